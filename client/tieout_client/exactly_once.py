"""Exactly once: a request is signed, journaled, sent, and never signed again while it may still land.

Order: look in the journal · check and simulate (nothing is signed yet) · sign · write · send.
Two processes may both sign; whoever writes first has signed, the other sends those same bytes.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import cast

from solders.instruction import Instruction

from tieout_client.budget import budget
from tieout_client.checks import AmountLimits
from tieout_client.errors import BadInput, ClientError, Expired, ProgramRefused
from tieout_client.grouping import GroupedWrites
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
from tieout_client.memo import REQUEST_ID_LENGTH_MAX, MemoKind, memo_instruction, request_memo
from tieout_client.multisig import MultisigSigner, resolve
from tieout_client.sending import Receipt, Sender
from tieout_client.settling import SignedTransaction, restore, simulate, simulate_signed

_GUARDED = frozenset({"issue", "mint"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A request's instructions without its memo, who signs (the first key guards it), and the day's limit in raw.

    The memo comes first, or right before the instruction ``memo_before`` where the receiver
    requires one there.
    """

    steps: Sequence[Instruction]
    signers: Sequence[Signer]
    day_max: int | None = None
    memo_before: int = 0


Prepare = Callable[[], Awaitable[Plan]]
_Sign = Callable[[Journal, str, int], Awaitable[Entry]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """How requests are kept from happening twice, and how large they may be."""

    journal: Journal | None = None
    guard: GuardMode = "auto"
    limits: AmountLimits = field(default_factory=AmountLimits)


@dataclass(frozen=True, slots=True)
class Ready:
    """Instructions as they will be signed, who signs them, the guard among them, and the day's limit in raw."""

    steps: list[Instruction]
    signers: Sequence[Signer]
    guard: GuardAccount | None
    day_max: int | None


class Requests:
    """Carries out requests of one connection through a desk's journal and guard."""

    def __init__(self, sender: Sender, desk: Desk) -> None:
        self.sender, self.desk, self._genesis = sender, desk, ""
        self._writes = None if desk.journal is None else GroupedWrites(desk.journal)

    async def perform(self, request: Request, prepare: Prepare) -> Receipt:
        """Do a request, or return what came of it. Raises ClientError; AlreadyIssued when the chain knows it."""
        if self.desk.journal is None:
            return await self._once(request, prepare)

        async def sign(journal: Journal, chain: str, after: int) -> Entry:
            return await self._sign(journal, chain, request, prepare, after)

        return await self._through(self.desk.journal, request, sign)

    async def perform_signed(
        self,
        request: Request | None,
        signed: SignedTransaction,
        guard: GuardAccount | None,
        check: Callable[[Request], Awaitable[int | None]],
    ) -> Receipt:
        """Send a transaction that others signed, or return what came of it or of its request. Raises as ``perform``.

        ``request`` None: it carries none, and is journaled by what it is. ``check`` runs before it
        is journaled, and gives the day's limit in raw.
        """
        journal = self.desk.journal
        assert journal is not None, "what others signed goes through a journal"
        asked = request or _itself(signed)

        async def record(journal: Journal, chain: str, after: int) -> Entry:
            try:
                # What has landed by another desk's hand is not tried again, only noted.
                if await self.sender.status(signed.signature) is None:
                    await simulate_signed(self.sender.rpc, signed)
            except ProgramRefused as refused:
                if guard is not None and refused_by_guard(refused, signed.instructions, guard.address):
                    raise await self._already(asked, guard) from refused
                raise
            day_max = None if request is None else await check(request)
            return await self._record(journal, chain, asked, signed, guard, after=after, day_max=day_max)

        return await self._through(journal, asked, record, same=signed.signature)

    async def _through(self, journal: Journal, request: Request, sign: _Sign, *, same: str | None = None) -> Receipt:
        chain = await self.chain()
        entry = await asyncio.to_thread(journal.find, chain, request)
        if entry is not None:
            try:
                return await self.settle(entry)
            except (Expired, ProgramRefused) as over:
                # The same bytes cannot be signed again: what came of them is the answer.
                if entry.signature == same:
                    raise
                # It can never take effect any more, by finalized proof: signing again is safe.
                if isinstance(over, ProgramRefused) and not await self._failed_for_good(entry):
                    raise
        entry = await sign(journal, chain, 0 if entry is None else entry.attempt)
        return await self.settle(entry)

    async def settle(self, entry: Entry) -> Receipt:
        """Send a journaled transaction until its outcome is known, and note it. Raises as ``Sender.submit``."""
        signed = restore(entry.transaction_bytes, entry.last_valid_block_height, entry.fetched_slot)
        guard = None if entry.guard is None else GuardAccount(entry.guard, entry.guard_lamports)
        if entry.state == "landed" and entry.slot is not None:
            return Receipt(signature=entry.signature, slot=entry.slot, guard=guard)
        if entry.state == "dead":
            raise Expired(entry.signature, entry.last_valid_block_height)
        if entry.state == "signed":
            await self._mark(entry, "sent")
        try:
            done = await self._durable().submit(signed, preflight=False)
        except Expired:
            await self._mark(entry, "dead")
            raise
        except ProgramRefused as refused:
            await self._mark(entry, "failed", error=str(refused.refusal))
            if entry.guard is not None and refused_by_guard(refused, signed.instructions, entry.guard):
                raise await already_issued(
                    self.sender.rpc, entry.guard, cast("MemoKind", entry.kind), entry.request_id
                ) from refused
            raise
        state: State = "landed" if done.refusal is None else "failed"
        error = None if done.refusal is None else str(done.refusal)
        await self._mark(entry, state, slot=done.slot, error=error)
        return replace(done, guard=guard)

    async def _mark(self, entry: Entry, state: State, *, slot: int | None = None, error: str | None = None) -> None:
        assert self.desk.journal is not None, "an entry comes from a journal"
        await self._written.do(partial(self.desk.journal.mark, entry, state, slot=slot, error=error))

    @property
    def _written(self) -> GroupedWrites:
        assert self._writes is not None, "what is written goes to a journal"
        return self._writes

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
        return await self._record(journal, chain, request, signed, ready.guard, after=after, day_max=ready.day_max)

    async def _record(
        self,
        journal: Journal,
        chain: str,
        request: Request,
        signed: SignedTransaction,
        guard: GuardAccount | None,
        *,
        after: int,
        day_max: int | None,
    ) -> Entry:
        record = partial(journal.record, chain, request, _columns(signed, guard), after=after, day_max=day_max)
        return await self._written.do(record)

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

    async def _ready(self, request: Request, plan: Plan) -> Ready:
        kind = request.memo_kind
        memo = memo_instruction(request_memo(kind, request.request_id))
        making: list[Instruction] = []
        guard = None
        if request.kind in _GUARDED and await self._guards():
            # The first signer's key moves the value: no host can do without it.
            if isinstance(plan.signers[0], MultisigSigner):
                raise BadInput(
                    f"a guard account hangs on one key that always signs, and {plan.signers[0].pubkey()} is a "
                    "multisig: send it from one journal alone, with the guard none"
                )
            base, payer = plan.signers[0].pubkey(), self.sender.payer.pubkey()
            lamports: int = await self.sender.rpc.call("getMinimumBalanceForRentExemption", [GUARD_BYTES], int)
            guard = GuardAccount(str(guard_address(base, kind, request.request_id)), lamports)
            making = guard_instructions(base, payer, kind, request.request_id, lamports)
        at = plan.memo_before
        body = [*making, *plan.steps[:at], memo, *plan.steps[at:]] if at else [memo, *making, *plan.steps]
        steps, signers = resolve(body, plan.signers)
        return Ready(steps, signers, guard, plan.day_max)

    async def _guards(self) -> bool:
        mode = self.desk.guard
        return mode == "account" or (mode == "auto" and await self.chain() in CLUSTERS)

    async def _simulated(self, request: Request, ready: Ready) -> int | None:
        sender = self.sender
        try:
            return await simulate(sender.rpc, ready.steps, sender.payer.pubkey(), legacy=sender.options.legacy)
        except ProgramRefused as refused:
            if ready.guard is not None and refused_by_guard(refused, ready.steps, ready.guard.address):
                raise await self._already(request, ready.guard) from refused
            raise

    async def _already(self, request: Request, guard: GuardAccount) -> ClientError:
        return await already_issued(self.sender.rpc, guard.address, request.memo_kind, request.request_id)

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


def _itself(signed: SignedTransaction) -> Request:
    return Request(kind="transaction", request_id=signed.signature[:REQUEST_ID_LENGTH_MAX], mint="", raw=0, details={})


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
