"""From blocks to committed rows: one segment of slots at a time, for the mints that lack it.

source → chain → decode → proof → continuity → writer. Values move; a segment's rows, evidence
and progress commit together, so a crash anywhere leaves the ledger as it was before the segment.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from types import TracebackType
from typing import Self

from tieout_database import marked_text
from tieout_database.content import COLUMNS
from tieout_indexer import mint_state
from tieout_indexer.chain import Anchor, Segment, missing, plan
from tieout_indexer.continuity import Continuity
from tieout_indexer.decode import Scope, decode_transaction
from tieout_indexer.differing import RELATIONS, differences
from tieout_indexer.errors import ChangedBlock
from tieout_indexer.findings import AuditFinding, finding_rows
from tieout_indexer.limits import IndexerLimits
from tieout_indexer.mint_state import EpochOf, MintState
from tieout_indexer.model import BlockHeader, DecodedBlock, Doubt, TransactionResult
from tieout_indexer.rows import RowSet, add_block
from tieout_indexer.source import BlockSource, Fetched, Parked, naming
from tieout_indexer.turns import Work, at_once, in_turns
from tieout_indexer.wire import UNREADABLE
from tieout_indexer.withheld import Withholding, paid_out, withheld_by_account
from tieout_indexer.writer import LedgerWriter

_EVENT_MINT, _EVENT_KIND = (COLUMNS["event_row"].index(name) for name in ("mint", "kind"))
_DOUBT_MINT = COLUMNS["quarantine_row"].index("mint")


@dataclass(frozen=True, slots=True)
class SegmentOutcome:
    """What became of a segment: the last slot proven (None: none), rows written, the slot parked."""

    segment: Segment
    proven_to: int | None
    events: int
    parked: Parked | None
    kinds: Mapping[tuple[str, str], int] = field(default_factory=dict)
    """(mint, kind) → events written"""
    doubts: Mapping[str, int] = field(default_factory=dict)
    """mint → quarantined places"""
    last_block_time: datetime | None = None
    commit_s: float = 0.0


@dataclass(slots=True)
class Context:
    """What must be known from before a segment to read it."""

    since: dict[str, int]
    """mint → first slot from which what is known holds without a gap"""
    states: dict[str, MintState]
    complete: set[str]
    """mints of which everything before is known"""
    following: dict[str, int]
    """mint → last slot of the range already read that begins right after the segment"""


@dataclass(slots=True)
class _Reading:
    """A segment while it is read: what holds for all of it, and what of it was not handed to a commit yet."""

    segment: Segment
    context: Context
    scope: Scope
    continuity: Continuity
    known: dict[int, str]
    evidence: set[tuple[int, int]]
    new_mints: list[str]
    from_slot: int
    withholding: Withholding = field(default_factory=Withholding)
    blocks: list[DecodedBlock] = field(default_factory=list)
    rows: int = 0

    @property
    def last(self) -> BlockHeader:
        return self.blocks[-1].header

    async def take(self, found: Fetched | Parked) -> Parked | None:
        """Decode the next block; the reason to stop, where it cannot be taken. Raises ChangedBlock."""
        if isinstance(found, Parked):
            return found
        refuse_changed(found, self.known)
        decoded = await in_turns(decoding_block(self.scope, found))
        if isinstance(decoded, Parked):
            return decoded
        self.blocks.append(decoded)
        self.rows += sum(len(r.events) + len(r.controls) + len(r.touches) for r in decoded.results)
        return None


class _InOrder:
    """Commits one after the other, each under way while its successor's rows are being made.

    Leaving the block waits for the last; an error of a commit comes out at the next step.
    """

    def __init__(
        self, commit: Callable[[RowSet], Awaitable[int | None]], done: Callable[[SegmentOutcome], None]
    ) -> None:
        self._commit = commit
        self._done = done
        self._pending: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._pending is None:
            return
        if error is None:
            await self._pending
        else:
            # Rows made before the error are good: let them land, whatever becomes of the rest.
            await asyncio.gather(self._pending, return_exceptions=True)

    async def add(self, rows: RowSet, outcome: SegmentOutcome) -> None:
        """Wait for the commit before, then start this one."""
        if self._pending is not None:
            await self._pending
        self._pending = asyncio.create_task(self._run(rows, outcome))

    async def _run(self, rows: RowSet, outcome: SegmentOutcome) -> None:
        started = time.perf_counter()
        await self._commit(rows)
        self._done(replace(outcome, commit_s=time.perf_counter() - started))


class Pipeline:
    """Reads segments from a source into a ledger."""

    def __init__(self, source: BlockSource, writer: LedgerWriter, epoch_of: EpochOf, limits: IndexerLimits) -> None:
        self._source = source
        self._writer = writer
        self.epoch_of = epoch_of
        self._limits = limits

    async def index(
        self,
        mints: Sequence[str],
        from_slot: int,
        to_slot: int,
        done: Callable[[SegmentOutcome], None],
        starts: Mapping[str, int] | None = None,
        *,
        into_holes: bool = False,
    ) -> Parked | None:
        """Read and commit what of the range each mint lacks, in slot order. Returns the slot that stopped it.

        A mint of which nothing was read yet begins at its slot in ``starts``, if that is later than the range.
        Slots given up for good are passed over, except ``into_holes``.
        """
        have = await self._writer.read_ranges(list(mints))
        holes = [] if into_holes else await self._writer.holes()
        for mint, ranges in have.items():
            start = (starts or {}).get(mint, 0)
            if not ranges and start > from_slot:
                ranges.append((from_slot, start - 1))
            ranges.extend(holes)
        for segment in plan((from_slot, to_slot), have, self._limits.window_slots_max):
            parked = await self.read_segment(segment, done)
            if parked:
                return parked
        return None

    async def unproven(self, mints: Sequence[str], from_slot: int, to_slot: int) -> dict[str, list[tuple[int, int]]]:
        """What of the range is not proven, by mint; empty when all is."""
        coverage = await self._writer.coverage(list(mints))
        holes = {mint: missing((from_slot, to_slot), coverage[mint]) for mint in mints}
        return {mint: ranges for mint, ranges in holes.items() if ranges}

    async def read_segment(self, segment: Segment, done: Callable[[SegmentOutcome], None]) -> Parked | None:
        """Read one segment and commit it; in parts, where it holds more rows than one commit should.

        While a part commits, the next one is read. Returns the slot that stopped it: what was
        proven before that slot is committed.
        """
        reading = await self._begin(segment)
        before = await self._writer.block_before(segment.from_slot)
        anchor = Anchor(*before) if before else None
        commits = _InOrder(self._writer.commit, done)
        parked: Parked | None = None
        stream = self._source.blocks(segment.from_slot, segment.to_slot, anchor, naming(segment.mints))
        async with aclosing(stream), commits:
            async for found in stream:
                parked = await reading.take(found)
                if parked:
                    break
                if reading.rows >= self._limits.batch_rows_max:
                    await commits.add(*await self._part(reading, reading.last.slot, None))
                await asyncio.sleep(0)
            proven_to = segment.to_slot
            if parked:
                proven_to = reading.last.slot if reading.blocks else reading.from_slot - 1
            await commits.add(*await self._part(reading, proven_to, parked))
        return parked

    async def _begin(self, segment: Segment) -> _Reading:
        context = await self.context(segment)
        first, last = segment.from_slot, segment.to_slot
        tracked = await self._writer.tracked()
        return _Reading(
            segment=segment,
            context=context,
            scope=Scope(segment.mints, context.states, self.epoch_of, self._limits),
            continuity=Continuity({}, set(context.complete)),
            known=await self._writer.known_slots(first, last),
            evidence=await self._writer.evidence_known(first, last),
            new_mints=sorted(mint for mint in segment.mints if mint not in tracked),
            from_slot=first,
        )

    async def _part(self, reading: _Reading, proven_to: int, parked: Parked | None) -> tuple[RowSet, SegmentOutcome]:
        """Make the rows of what was read since the last part, and go on after it."""
        rows = RowSet()
        part = Segment(reading.from_slot, reading.segment.to_slot, reading.segment.mints)
        await self._park_rows(rows, part, proven_to, parked)
        if proven_to >= reading.from_slot:
            await self._ledger_rows(rows, reading, proven_to)
        await self._disagreements(rows)
        last_time = reading.last.block_time if reading.blocks else None
        reading.from_slot, reading.blocks, reading.rows = proven_to + 1, [], 0
        reached = proven_to if proven_to >= part.from_slot else None
        kinds = Counter((row[_EVENT_MINT], row[_EVENT_KIND]) for row in rows["event_row"])
        doubts = Counter(row[_DOUBT_MINT] for row in rows["quarantine_row"])
        return rows, SegmentOutcome(part, reached, len(rows["event_row"]), parked, kinds, doubts, last_time)

    async def _disagreements(self, rows: RowSet) -> None:
        """Write down who was out-voted about a block: a finding with both hashes."""
        told, self._source.disagreements[:] = list(self._source.disagreements), []
        found = [AuditFinding("quorum", d.endpoint, f"slot {d.slot}: {d.majority}", d.said, None, d.slot) for d in told]
        if found:
            rows["finding_row"].extend(await finding_rows(self._writer, found, (), self._limits.text_characters_max))

    async def context(self, segment: Segment) -> Context:
        """What is known from before a segment."""
        return await read_context(self._writer, segment, self.epoch_of)

    async def _ledger_rows(self, rows: RowSet, reading: _Reading, last: int) -> None:
        if reading.blocks:
            await self._writer.check_block_after(reading.last.slot, reading.last.blockhash)
        await self._learn(reading)
        for block in reading.blocks:
            for result in block.results:
                quarantine(result, [*reading.continuity.check(result), *await self._overpaid(reading, result)])
                reading.withholding.note(result)
            add_block(rows, block, block.header.slot in reading.known, reading.evidence)
            await asyncio.sleep(0)
        await self._replace_listed(rows, reading.segment.mints, reading.from_slot, last)
        rows["tracked_row"].extend((mint, reading.from_slot) for mint in reading.new_mints)
        reading.new_mints = []
        rows.covered.append((reading.segment.mints, reading.from_slot, last))
        if last == reading.segment.to_slot:
            for mint in sorted(reading.context.following):
                await self._check_join(rows, reading, mint, last)

    async def _overpaid(self, reading: _Reading, result: TransactionResult) -> list[Doubt]:
        """Doubt withdrawals of withheld fees, whose bytes name no amount, that are not what was withheld."""
        doubts = []
        for mint in sorted(paid_out(result)):
            if reading.withholding.wants(mint):
                before, complete = None, reading.continuity.is_complete(mint)
                if complete:
                    last = reading.segment.from_slot - 1
                    before = await withheld_by_account(self._writer.reader, mint, last)
                reading.withholding.begin(mint, before)
            doubts.append(reading.withholding.check(result, mint))
        return [doubt for doubt in doubts if doubt is not None]

    async def _replace_listed(self, rows: RowSet, mints: frozenset[str], first: int, last: int) -> None:
        """Where a mint was read by its signatures before, only what the blocks say otherwise is written."""
        listed = await self._writer.listed(sorted(mints), first, last)
        if not listed:
            return
        read = RowSet()
        for relation in RELATIONS:
            table = f"{relation}_row"
            at = COLUMNS[table].index("mint")
            read[table].extend(row for row in rows[table] if row[at] in listed)
            rows[table][:] = [row for row in rows[table] if row[at] not in listed]
        await differences(self._writer, listed, first, last, read, rows)

    async def _learn(self, reading: _Reading) -> None:
        """Look up what the accounts met for the first time were left with before the segment."""
        before, since = reading.segment.from_slot, reading.context.since
        known_before = {mint for mint, slot in since.items() if slot < before}
        met = {
            (t.mint, t.account) for b in reading.blocks for r in b.results for t in r.touches if t.mint in known_before
        }
        unknown = sorted(key for key in met if not reading.continuity.knows(key))
        if unknown:
            reading.continuity.learn(await self._writer.last_touches(unknown, since, before))

    async def _check_join(self, rows: RowSet, reading: _Reading, mint: str, last: int) -> None:
        """A gap closes here: what this side left must be what the other side found."""
        continuity, since = reading.continuity, reading.context.since
        firsts = await self._writer.first_touches(mint, last + 1, reading.context.following[mint])
        unknown = [(mint, f.touch.account) for f in firsts if not continuity.knows((mint, f.touch.account))]
        continuity.learn(await self._writer.last_touches(unknown, since, reading.segment.from_slot))
        told: set[tuple[int, int]] = set()
        for first in firsts:
            doubt = continuity.check_touch(first.touch)
            if doubt is not None and (first.slot, first.tx_index) not in told:
                # one for the transaction, as everywhere
                told.add((first.slot, first.tx_index))
                place = (doubt.place.step, doubt.place.child, first.signature, doubt.place.path)
                rows["quarantine_row"].append((first.slot, first.tx_index, *place, mint, doubt.reason, ""))

    async def _park_rows(self, rows: RowSet, segment: Segment, proven_to: int, parked: Parked | None) -> None:
        now = datetime.now(UTC)
        until = max(segment.to_slot, parked.slot if parked else 0)
        standing = await self._writer.parked(segment.from_slot, until)
        for slot in standing:
            if slot <= proven_to:
                rows["park_row"].append((slot, "clear", "read and proven", now))
        reason = marked_text(parked.reason, self._limits.text_characters_max) if parked else ""
        if parked and standing.get(parked.slot) != reason:
            rows["park_row"].append((parked.slot, "park", reason, now))


async def read_context(writer: LedgerWriter, segment: Segment, epoch_of: EpochOf) -> Context:
    """What is known from before a segment: states, and how far back they hold without a gap."""
    mints = sorted(segment.mints)
    ranges = await writer.read_ranges(mints)
    openings = await writer.openings(mints)
    since = {
        mint: next((start for start, end in ranges[mint] if start <= segment.from_slot - 1 <= end), segment.from_slot)
        for mint in mints
    }
    for mint in mints:
        # A snapshot right before a range begins it.
        since[mint] = min([since[mint], *(slot for slot in openings[mint] if slot + 1 == since[mint])])
    controls = await writer.mint_controls(mints, segment.from_slot)
    states, complete = {}, set()
    for mint in mints:
        relevant = [c for c in controls[mint] if c[0] >= since[mint]]
        states[mint] = mint_state.fold(relevant, epoch_of)
        if states[mint].known:
            complete.add(mint)
    following = {mint: end for mint in mints for start, end in ranges[mint] if start <= segment.to_slot + 1 <= end}
    return Context(since, states, complete, following)


def decode_block(scope: Scope, found: Fetched) -> DecodedBlock | Parked:
    """Decode the transactions of a block that may matter; a shape not understood parks the slot."""
    return at_once(decoding_block(scope, found))


def decoding_block(scope: Scope, found: Fetched) -> Work[DecodedBlock | Parked]:
    """As ``decode_block``, a transaction a step."""
    results = []
    for index, raw in found.transactions:
        try:
            result = decode_transaction(scope, found.header.slot, index, raw)
        except UNREADABLE as bad:
            return Parked(found.header.slot, f"transaction {index} cannot be read: {bad}")
        if result is not None:
            results.append(result)
        yield
    return DecodedBlock(found.header, found.endpoint, tuple(results))


def quarantine(result: TransactionResult, doubts: Sequence[Doubt]) -> None:
    """Mark a transaction unproven for the mints in doubt; its rows for them are not kept."""
    for doubt in doubts:
        result.events = [e for e in result.events if e.mint != doubt.mint]
        result.controls = [c for c in result.controls if c.mint != doubt.mint]
        result.status[doubt.mint] = "unproven"
        if not any(d.mint == doubt.mint and d.place == doubt.place for d in result.doubts):
            result.doubts.append(doubt)


def refuse_changed(found: Fetched, known: dict[int, str]) -> None:
    """Raise ChangedBlock where the ledger has another block in this slot."""
    slot, blockhash = found.header.slot, found.header.blockhash
    if known.get(slot, blockhash) != blockhash:
        raise ChangedBlock(
            f"finalized block {slot} is {known[slot]} in the ledger, {found.endpoint} now says {blockhash}: "
            "a finalized block changed, or the endpoint lies; nothing was written"
        )
