"""Exactly once: a request is signed, journaled, sent, and never signed again while it may still land.

Order: look in the journal · check and simulate (nothing is signed yet) · sign · write · send.
Two processes may both sign; whoever writes first has signed, the other sends those same bytes.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace

from solders.instruction import Instruction

from tieout_client.budget import budget
from tieout_client.checks import AmountLimits
from tieout_client.errors import BadInput, ClientError, Expired, ProgramRefused
from tieout_client.guard import (
    CLUSTERS,
    GUARD_BYTES,
    GuardAccount,
    GuardMode,
    already_issued,
    guard_address,
    guard_instructions,
    refused_by_guard,
)
from tieout_client.journal import Entry, Journal, Request, State
from tieout_client.keys import Signer
from tieout_client.memo import memo_instruction, request_memo
from tieout_client.sending import Receipt, Sender
from tieout_client.settling import SignedTransaction, restore, simulate

_GUARDED = frozenset({"issue", "mint"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A request's instructions without its memo, who signs (the first key guards it), and the day's limit in raw."""

    steps: Sequence[Instruction]
    signers: Sequence[Signer]
    day_max: int | None = None


Prepare = Callable[[], Awaitable[Plan]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """How requests are kept from happening twice, and how large they may be."""

    journal: Journal | None = None
    guard: GuardMode = "auto"
    limits: AmountLimits = field(default_factory=AmountLimits)


@dataclass(frozen=True, slots=True)
class _Ready:
    """Instructions as they will be signed, and the guard among them."""

    steps: list[Instruction]
    signers: Sequence[Signer]
    guard: GuardAccount | None
    day_max: int | None


class Requests:
    """Carries out requests of one connection through a desk's journal and guard."""

    def __init__(self, sender: Sender, desk: Desk) -> None:
        self.sender, self.desk, self._genesis = sender, desk, ""

    async def perform(self, request: Request, prepare: Prepare) -> Receipt:
        """Do a request, or return what came of it. Raises ClientError; AlreadyIssued when the chain knows it."""
        journal = self.desk.journal
        if journal is None:
            return await self._once(request, prepare)
        chain = await self.chain()
        entry = await asyncio.to_thread(journal.find, chain, request)
        if entry is not None:
            try:
                return await self.settle(entry)
            except (Expired, ProgramRefused) as over:
                # It can never take effect any more, by finalized proof: signing again is safe.
                if isinstance(over, ProgramRefused) and not await self._failed_for_good(entry):
                    raise
        entry = await self._sign(journal, chain, request, prepare, 0 if entry is None else entry.attempt)
        return await self.settle(entry)

    async def settle(self, entry: Entry) -> Receipt:
        """Send a journaled transaction until its outcome is known, and note it. Raises as ``Sender.submit``."""
        journal = self.desk.journal
        assert journal is not None, "an entry comes from a journal"
        signed = restore(entry.transaction_bytes, entry.last_valid_block_height, entry.fetched_slot)
        guard = None if entry.guard is None else GuardAccount(entry.guard, entry.guard_lamports)
        if entry.state == "landed" and entry.slot is not None:
            return Receipt(signature=entry.signature, slot=entry.slot, guard=guard)
        if entry.state == "dead":
            raise Expired(entry.signature, entry.last_valid_block_height)
        if entry.state == "signed":
            await asyncio.to_thread(journal.mark, entry, "sent")
        try:
            done = await self._durable().submit(signed, preflight=False)
        except Expired:
            await asyncio.to_thread(journal.mark, entry, "dead")
            raise
        except ProgramRefused as refused:
            await asyncio.to_thread(journal.mark, entry, "failed", error=str(refused.refusal))
            if entry.guard is not None and refused_by_guard(refused, signed.instructions, entry.guard):
                raise await already_issued(self.sender.rpc, entry.guard, entry.kind, entry.request_id) from refused
            raise
        state: State = "landed" if done.refusal is None else "failed"
        error = None if done.refusal is None else str(done.refusal)
        await asyncio.to_thread(journal.mark, entry, state, slot=done.slot, error=error)
        return replace(done, guard=guard)

    async def chain(self) -> str:
        """Return the genesis hash of the chain."""
        if not self._genesis:
            self._genesis = await self.sender.rpc.call("getGenesisHash", [], str)
        return self._genesis

    async def _sign(self, journal: Journal, chain: str, request: Request, prepare: Prepare, after: int) -> Entry:
        try:
            ready = await self._ready(request, await prepare())
            steps = ready.steps
            if not self.sender.options.skip_preflight:
                units = await self._simulated(request, ready)
                steps = [*steps, *await budget(self.sender.rpc, self.sender.options, steps, units)]
        except ClientError:
            # Another process may have done it between our look and now.
            raced = await asyncio.to_thread(journal.find, chain, request)
            if raced is None or raced.attempt <= after:
                raise
            return raced
        signed = await self.sender.sign(steps, ready.signers)
        columns = _columns(signed, ready.guard)
        return await asyncio.to_thread(journal.record, chain, request, columns, after=after, day_max=ready.day_max)

    async def _once(self, request: Request, prepare: Prepare) -> Receipt:
        if self.desk.limits.day_shares_max is not None:
            raise BadInput("a limit for a day is counted in the journal: name a journal too")
        ready = await self._ready(request, await prepare())
        try:
            return replace(await self.sender.send(ready.steps, ready.signers), guard=ready.guard)
        except ProgramRefused as refused:
            if ready.guard is not None and refused_by_guard(refused, ready.steps, ready.guard.address):
                raise await self._already(request, ready.guard) from refused
            raise

    async def _ready(self, request: Request, plan: Plan) -> _Ready:
        steps: list[Instruction] = [memo_instruction(request_memo(request.kind, request.request_id))]
        guard = None
        if request.kind in _GUARDED and await self._guards():
            # The first signer's key moves the value: no host can do without it.
            base, payer = plan.signers[0].pubkey(), self.sender.payer.pubkey()
            lamports: int = await self.sender.rpc.call("getMinimumBalanceForRentExemption", [GUARD_BYTES], int)
            guard = GuardAccount(str(guard_address(base, request.kind, request.request_id)), lamports)
            steps += guard_instructions(base, payer, request.kind, request.request_id, lamports)
        return _Ready([*steps, *plan.steps], plan.signers, guard, plan.day_max)

    async def _guards(self) -> bool:
        mode = self.desk.guard
        return mode == "account" or (mode == "auto" and await self.chain() in CLUSTERS)

    async def _simulated(self, request: Request, ready: _Ready) -> int | None:
        sender = self.sender
        try:
            return await simulate(sender.rpc, ready.steps, sender.payer.pubkey(), legacy=sender.options.legacy)
        except ProgramRefused as refused:
            if ready.guard is not None and refused_by_guard(refused, ready.steps, ready.guard.address):
                raise await self._already(request, ready.guard) from refused
            raise

    async def _already(self, request: Request, guard: GuardAccount) -> ClientError:
        return await already_issued(self.sender.rpc, guard.address, request.kind, request.request_id)

    async def _failed_for_good(self, entry: Entry) -> bool:
        # Confirmed is not final: a failure counts when no other fork can turn it into a success.
        finally_ = self.sender.using(replace(self.sender.options, commitment="finalized", accept_failure=True))
        signed = restore(entry.transaction_bytes, entry.last_valid_block_height, entry.fetched_slot)
        return not (await finally_.submit(signed, preflight=False)).succeeded

    def _durable(self) -> Sender:
        # A transaction that is only processed may vanish with its fork: the journal must not call it landed.
        options = self.sender.options
        return (
            self.sender.using(replace(options, commitment="confirmed"))
            if options.commitment == "processed"
            else self.sender
        )


def _columns(signed: SignedTransaction, guard: GuardAccount | None) -> dict[str, str | bytes | int | None]:
    return {
        "signature": signed.signature,
        "transaction_bytes": signed.raw,
        "blockhash": signed.blockhash,
        "last_valid_block_height": signed.last_valid_block_height,
        "fetched_slot": signed.fetched_slot,
        "guard": guard.address if guard else None,
        "guard_lamports": guard.lamports if guard else 0,
    }
