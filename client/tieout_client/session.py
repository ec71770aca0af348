"""What every operation stands on: one connection, one fee payer, the authorities, the way to send."""

from collections.abc import Sequence
from dataclasses import fields
from typing import Self

from solders.instruction import Instruction
from solders.keypair import Keypair
from solders.pubkey import Pubkey

from tieout_client.checks import Scene, look
from tieout_client.errors import BadInput
from tieout_client.exactly_once import Desk, Requests
from tieout_client.instructions import token_account
from tieout_client.keys import Address, AddressOnly, Authorities, Signer, address
from tieout_client.multisig import parse_multisig, signer_for
from tieout_client.reading import Balance, Instrument, read_accounts, read_balance, read_instrument
from tieout_client.risks import Holder, read_holders
from tieout_client.sending import Receipt, Sender, SendOptions
from tieout_rpc import RpcClient


class Session:
    """Base of ``Issuer``. Addresses are taken as ``Pubkey`` or base58; amounts are raw integers."""

    def __init__(
        self,
        rpc: RpcClient,
        signer: Signer,
        authorities: Authorities | None = None,
        sender: Sender | None = None,
        desk: Desk | None = None,
        members: Sequence[Signer] = (),
    ) -> None:
        self.rpc = rpc
        self.signer = signer
        self.authorities = authorities or Authorities.of(signer)
        self.sender = sender or Sender(rpc, signer)
        self.desk = desk or Desk()
        self.requests = Requests(self.sender, self.desk)
        self.members = tuple(members)
        self._decimals: dict[Pubkey, int] = {}

    def using(self, *, options: SendOptions | None = None, authorities: Authorities | None = None) -> Self:
        """Return the same session with other send options or other authorities, over the same connection."""
        sender = self.sender if options is None else self.sender.using(options)
        other = type(self)(self.rpc, self.signer, authorities or self.authorities, sender, self.desk, self.members)
        other.requests = type(self.requests)(other.sender, self.requests.desk)
        other._decimals = self._decimals
        return other

    async def acting(self, signer: Signer) -> Signer:
        """Return a signer as one that acts: for a multisig's address, the multisig with members that we have.

        Raises BadInput when it is a multisig and too few of its members are among ours.
        """
        if not isinstance(signer, AddressOnly):
            return signer
        _, (found,) = await read_accounts(self.rpc, [signer.address], "confirmed")
        multisig = parse_multisig(str(signer.address), found)
        return signer if multisig is None else signer_for(multisig, self.members)

    async def with_multisigs(self) -> Self:
        """Return the same session, the authorities that are multisigs acting by our member keys. Raises BadInput."""
        roles = {field.name: getattr(self.authorities, field.name) for field in fields(self.authorities)}
        acting = {name: await self.acting(signer) for name, signer in roles.items()}
        return self.using(authorities=Authorities(**acting))

    async def show(self, mint: Address) -> Instrument:
        """Return the mint as it is: extensions, authorities, multiplier in force and pending. Raises BadInput."""
        return await read_instrument(self.rpc, address(mint, "mint"), self.sender.options.commitment)

    async def holders(self, instrument: Instrument) -> dict[str, Holder]:
        """Return who holds each authority: a key, a multisig, a program or nobody."""
        return await read_holders(self.rpc, instrument)

    async def balance(self, account: Address) -> Balance:
        """Return a token account as it is. Raises BadInput when there is none."""
        return await read_balance(self.rpc, address(account, "token account"), self.sender.options.commitment)

    async def balance_of(self, mint: Address, owner: Address) -> Balance:
        """Return the owner's associated token account as it is. Raises BadInput when it was never opened."""
        return await self.balance(self.account_address(mint, owner))

    def account_address(self, mint: Address, owner: Address) -> str:
        """Return the base58 address of an owner's associated token account; nothing is asked of the node."""
        return str(token_account(address(mint, "mint"), address(owner, "owner")))

    def _new_key(self, what: str) -> Keypair:
        if self.sender.keeps:
            raise BadInput(f"a key made for {what} now would be lost before the transaction is signed: name one")
        return Keypair()

    async def _decimals_of(self, mint: Pubkey) -> int:
        # Decimals never change, so they are read once a mint.
        if mint not in self._decimals:
            self._decimals[mint] = (await self.show(mint)).decimals
        return self._decimals[mint]

    async def _scene(
        self, mint: Pubkey, accounts: Sequence[Pubkey], raw: int | None = None, decimals: int | None = None
    ) -> Scene:
        """Look, and check what every operation needs: decimals as expected, not paused, within the limit."""
        # Not at "finalized": what was sent a moment ago counts, whatever the next one waits for.
        scene = await look(self.rpc, mint, accounts, "confirmed")
        self._decimals[mint] = scene.instrument.decimals
        if self._checking:
            scene.decimals(decimals)
            scene.running()
            if raw is not None:
                scene.within(raw, self.desk.limits)
        return scene

    @property
    def _checking(self) -> bool:
        # Who skips the preflight wants the chain's own refusal.
        return not self.sender.options.skip_preflight

    async def _send(self, instructions: Sequence[Instruction], *signers: Signer) -> Receipt:
        return await self.sender.send(instructions, signers)
