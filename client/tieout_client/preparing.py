"""Operations that stop before signing: the same checks, and a transaction for others to sign.

``await issuer.prepare(lambda desk: desk.issue(…))`` runs the operation on a desk whose sender
keeps what it is given; what comes out is the message that would have been signed here.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any, Final, NoReturn, Self

import msgspec
from solders.hash import Hash
from solders.instruction import Instruction
from solders.keypair import Keypair
from solders.pubkey import Pubkey

from tieout_client.budget import budget
from tieout_client.errors import BadInput, ProgramRefused
from tieout_client.exactly_once import Prepare, Ready, Requests
from tieout_client.guard import already_issued, refused_by_guard
from tieout_client.instruments import Instruments
from tieout_client.journal import Request
from tieout_client.keys import Address, Signer, address
from tieout_client.multisig import MULTISIG_BYTES, Multisig, create_multisig, parse_multisig, resolve
from tieout_client.nonce import NONCE_BYTES, Nonce, advance_nonce, create_nonce, parse_nonce
from tieout_client.reading import read_accounts
from tieout_client.request_of import guard_of, request_of
from tieout_client.sending import TRANSACTION_BYTES_MAX, Receipt, Sender
from tieout_client.settling import SignedTransaction, compile_message, restore, simulate
from tieout_client.transaction_file import TransactionFile, make_transaction

_BLOCKS_VALID: Final = 150
"""For how many blocks a blockhash is taken (agave ``MAX_PROCESSING_AGE``)."""

_SIGNATURE_BYTES: Final = 64


class Captured(Exception):
    """Not an error: what an operation would have signed, on its way out of it."""

    def __init__(self, ready: Ready, request: Request | None) -> None:
        self.ready, self.request = ready, request
        super().__init__("an operation was prepared and not sent")


class _Height(msgspec.Struct):
    block_height: int = msgspec.field(name="blockHeight")
    absolute_slot: int = msgspec.field(name="absoluteSlot")


class Keeping(Sender):
    """A sender that keeps what it is given instead of signing it."""

    keeps = True

    async def send(self, instructions: Sequence[Instruction], signers: Sequence[Signer] = ()) -> NoReturn:
        """Raise Captured."""
        steps, flat = resolve(instructions, signers)
        raise Captured(Ready(steps, flat, None, None), None)

    async def sign(self, instructions: Sequence[Instruction], signers: Sequence[Signer] = ()) -> NoReturn:
        """Raise Captured."""
        await self.send(instructions, signers)


class Planning(Requests):
    """Requests that are prepared as they would be signed, and neither signed nor journaled."""

    async def perform(self, request: Request, prepare: Prepare) -> NoReturn:
        """Raise Captured."""
        raise Captured(await self._ready(request, await prepare()), request)


class Transactions(Instruments):
    """Transactions in separate steps: prepare here, sign where the keys are, submit once."""

    def preparing(self) -> Self:
        """Return the same desk, whose operations raise Captured where they would sign."""
        other = self.using()
        other.sender = Keeping(self.rpc, self.signer, self.sender.options)
        other.requests = Planning(other.sender, replace(self.desk, journal=None))
        return other

    async def prepare(
        self, operation: Callable[[Self], Awaitable[Any]], *, nonce: Address | None = None
    ) -> TransactionFile:
        """Return the transaction that an operation would sign, checked and simulated, for others to sign.

        Over a ``nonce`` account it stays valid until the nonce advances; without one for about a
        minute. Raises what the operation raises, and BadInput.
        """
        try:
            await operation(self.preparing())
        except Captured as caught:
            return await self.captured(caught, nonce=nonce)
        raise BadInput("this operation signs nothing: there is nothing to prepare")

    async def captured(self, caught: Captured, *, nonce: Address | None = None) -> TransactionFile:
        """Return what an operation of ``preparing`` came to as a transaction file."""
        ready, payer = caught.ready, self.signer.pubkey()
        steps = await self._budgeted(caught)
        slot, recent, before = await self._valid_from(None if nonce is None else address(nonce, "nonce account"))
        message = compile_message([*before, *steps], payer, Hash.from_string(recent), legacy=self.sender.options.legacy)
        size = 1 + _SIGNATURE_BYTES * message.header.num_required_signatures + len(bytes(message)) + 1
        if size > TRANSACTION_BYTES_MAX:
            raise BadInput(f"the transaction has {size} bytes and {TRANSACTION_BYTES_MAX} fit: shorten or split it")
        if caught.request is not None:
            found = request_of([*before, *steps])
            assert found is not None, "what was prepared for a request carries its memo"
            assert ready.guard == guard_of(steps), "and its guard"
        return make_transaction(message, await self.requests.chain(), slot)

    async def submit(self, file: TransactionFile, *, forced: bool = False) -> Receipt:
        """Send a transaction that everybody has signed, through the journal, once.

        A request that was carried out by another transaction before gives that one's receipt.
        Raises BadInput (missing signatures, another chain, over the day's limit, not understood
        and not ``forced``), and as an operation does.
        """
        if self.desk.journal is None:
            raise BadInput("what is sent from a file is journaled first: name a journal")
        file.understood(forced=forced)
        chain = await self.requests.chain()
        if file.chain != chain:
            raise BadInput(f"the transaction is for the chain {file.chain}, and this node is of {chain}: ask another")
        signed = await self._submittable(file)
        steps = signed.instructions
        return await self.requests.perform_signed(request_of(steps), signed, guard_of(steps), self._day_max)

    async def create_nonce(
        self, authority: Address | None = None, *, key: Keypair | None = None
    ) -> tuple[Nonce, Receipt]:
        """Make a nonce account that the fee payer funds; ``authority`` (the fee payer by default) advances it."""
        at, payer = key or self._new_key("the nonce account"), self.signer.pubkey()
        holder = payer if authority is None else address(authority, "authority")
        lamports: int = await self.rpc.call("getMinimumBalanceForRentExemption", [NONCE_BYTES], int)
        done = await self._send(create_nonce(payer, at.pubkey(), holder, lamports), at)
        return await self.show_nonce(at.pubkey()), done

    async def show_nonce(self, nonce: Address) -> Nonce:
        """Return a nonce account as it is. Raises BadInput when it is none."""
        return (await self._nonce(address(nonce, "nonce account")))[1]

    async def advance_nonce(self, nonce: Address, authority: Signer | None = None) -> Receipt:
        """Give a nonce its next value: what was signed over the old one, sent or not, is dead from here on."""
        holder = authority or self.signer
        return await self._send([advance_nonce(address(nonce, "nonce account"), holder.pubkey())], holder)

    async def create_multisig(
        self, members: Sequence[Address], needed: int, *, key: Keypair | None = None
    ) -> tuple[Multisig, Receipt]:
        """Make a token multisig of which ``needed`` members sign. Raises BadInput."""
        at, payer = key or self._new_key("the multisig"), self.signer.pubkey()
        keys = [address(member, "member") for member in members]
        lamports: int = await self.rpc.call("getMinimumBalanceForRentExemption", [MULTISIG_BYTES], int)
        done = await self._send(create_multisig(payer, at.pubkey(), keys, needed, lamports), at)
        found = await self.show_multisig(at.pubkey())
        assert found is not None, "a multisig just made is there"
        return found, done

    async def show_multisig(self, multisig: Address) -> Multisig | None:
        """Return a multisig account, or None when the address is none."""
        at = address(multisig, "multisig")
        _, (found,) = await read_accounts(self.rpc, [at], self.sender.options.commitment)
        return parse_multisig(str(at), found)

    async def _budgeted(self, caught: Captured) -> list[Instruction]:
        steps, guard = caught.ready.steps, caught.ready.guard
        if not self._checking:
            return steps
        try:
            units = await simulate(self.rpc, steps, self.signer.pubkey(), legacy=self.sender.options.legacy)
        except ProgramRefused as refused:
            if guard is not None and caught.request is not None and refused_by_guard(refused, steps, guard.address):
                kind, request_id = caught.request.memo_kind, caught.request.request_id
                raise await already_issued(self.rpc, guard.address, kind, request_id) from refused
            raise
        return [*steps, *await budget(self.rpc, self.sender.options, steps, units)]

    async def _valid_from(self, nonce: Pubkey | None) -> tuple[int, str, list[Instruction]]:
        if nonce is None:
            answer = await self.sender.recent_blockhash()
            return answer.context.slot, answer.value.blockhash, []
        slot, found = await self._nonce(nonce)
        return slot, found.value, [advance_nonce(nonce, Pubkey.from_string(found.authority))]

    async def _nonce(self, at: Pubkey) -> tuple[int, Nonce]:
        slot, (found,) = await read_accounts(self.rpc, [at], "confirmed")
        return slot, parse_nonce(at, found)

    async def _submittable(self, file: TransactionFile) -> SignedTransaction:
        raw = file.transaction_bytes()
        now: _Height = await self.rpc.call("getEpochInfo", [{"commitment": "confirmed"}], _Height)
        # Not from the file: from here on it may live as long as any blockhash, which is never too short.
        return restore(raw, now.block_height + _BLOCKS_VALID, min(file.prepared_slot, now.absolute_slot))

    async def _day_max(self, request: Request) -> int | None:
        if self.desk.limits.day_shares_max is None and self.desk.limits.operation_shares_max is None:
            return None
        scene = await self._scene(address(request.mint, "mint"), [], request.raw)
        return scene.raw_limit(self.desk.limits.day_shares_max)
