"""The issuer's hand on the chain: all operations over one connection."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from solders.keypair import Keypair
from solders.pubkey import Pubkey

from tieout_client.control import Control
from tieout_client.errors import BadInput
from tieout_client.instruments import Instruments
from tieout_client.keys import Address, Authorities, Signer, address
from tieout_client.market import Market
from tieout_client.sending import Receipt, Sender, SendOptions
from tieout_rpc import RpcClient, RpcLimits


class Issuer(Instruments, Market, Control):
    """Drives instruments of one issuer. Made by ``connect``."""


@asynccontextmanager
async def connect(
    url: str | Sequence[str],
    signer: Signer,
    authorities: Authorities | None = None,
    *,
    options: SendOptions | None = None,
    limits: RpcLimits | None = None,
) -> AsyncIterator[Issuer]:
    """Connect to a cluster by one node's address or several: ``async with connect(url, signer) as issuer``.

    ``signer`` pays the fees, and holds every authority that ``authorities`` does not give to
    another key. Nothing is asked of the node yet. Raises BadInput for an address that is none.
    """
    async with _rpc(url, limits) as rpc:
        yield Issuer(rpc, signer, authorities, Sender(rpc, signer, options))


async def airdrop(url: str | Sequence[str], to: Address, lamports: int) -> Receipt:
    """Have a localnet's faucet pay ``lamports`` to an address, and wait for it. Raises RpcError where there is none."""
    key: Pubkey = address(to)
    async with _rpc(url, None) as rpc:
        # The faucet pays and signs: the sender's own key is never used.
        return await Sender(rpc, Keypair()).airdrop(key, lamports)


def _rpc(url: str | Sequence[str], limits: RpcLimits | None) -> RpcClient:
    try:
        return RpcClient([url] if isinstance(url, str) else list(url), limits)
    except ValueError as bad:
        raise BadInput(str(bad)) from bad
