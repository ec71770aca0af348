"""The issuer's hand on the chain: all operations over one connection."""

import asyncio
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from solders.keypair import Keypair
from solders.pubkey import Pubkey

from tieout_client.bulk import Bulk
from tieout_client.checks import AmountLimits
from tieout_client.control import Control
from tieout_client.errors import BadInput, ClientError, JournalUnavailable
from tieout_client.exactly_once import Desk
from tieout_client.guard import GuardMode
from tieout_client.holding import Holdings
from tieout_client.journal import Entry, Journal
from tieout_client.keys import Address, Authorities, Signer, address
from tieout_client.market import Market
from tieout_client.payouts import Payouts
from tieout_client.preparing import Transactions
from tieout_client.sending import Receipt, Sender, SendOptions
from tieout_client.upkeep import Upkeep
from tieout_rpc import RpcClient, RpcLimits


class Issuer(Transactions, Market, Payouts, Control, Upkeep, Bulk, Holdings):
    """Drives instruments of one issuer. Made by ``connect``."""

    async def settle_open(self) -> list[tuple[Entry, Receipt | ClientError]]:
        """Settle this chain's requests whose outcome the journal does not know: ``(entry, what came of it)``.

        Raises BadInput without a journal, JournalUnavailable, and RpcError when no node answers.
        """
        if self.desk.journal is None:
            raise BadInput("there is no journal to resume from: name one")
        chain = await self.requests.chain()
        entries = await asyncio.to_thread(self.desk.journal.entries, chain, open_only=True)
        return [(entry, await self._settled(entry)) for entry in entries]

    async def _settled(self, entry: Entry) -> Receipt | ClientError:
        try:
            return await self.requests.settle(entry)
        except JournalUnavailable:
            raise
        except ClientError as over:
            return over


@asynccontextmanager
async def connect(
    url: str | Sequence[str],
    signer: Signer,
    authorities: Authorities | None = None,
    *,
    options: SendOptions | None = None,
    limits: RpcLimits | None = None,
    journal: Journal | str | os.PathLike[str] | None = None,
    guard: GuardMode = "auto",
    amounts: AmountLimits | None = None,
    members: Sequence[Signer] = (),
) -> AsyncIterator[Issuer]:
    """Connect to a cluster by one node's address or several: ``async with connect(url, signer) as issuer``.

    ``signer`` pays the fees, and holds every authority that ``authorities`` does not give to
    another key. Nothing is asked of the node yet. With a ``journal`` (a file, made when it is not
    there) operations under a request id happen exactly once on this desk; ``guard`` has the chain
    itself refuse the second issue, whatever desk it comes from; ``amounts`` limits what one
    operation and one day may move; ``members`` are keys that sign for multisigs. Raises BadInput
    for an address that is none, or a file that is no journal, and JournalUnavailable.
    """
    opened = journal if journal is None or isinstance(journal, Journal) else Journal(journal)
    try:
        async with _rpc(url, limits) as rpc:
            desk = Desk(journal=opened, guard=guard, limits=amounts or AmountLimits())
            yield Issuer(rpc, signer, authorities, Sender(rpc, signer, options), desk, members)
    finally:
        if opened is not None and opened is not journal:
            opened.close()


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
