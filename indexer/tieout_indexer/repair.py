"""Read stored slots again from a node and put right what differs: rows, evidence, and holes that can be read now.

Beside a running indexer. Blocks must be the ones in the ledger: a finalized block that changed is a
halt, here as everywhere. Corrections are appended, never updates.
"""

from collections.abc import Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field

from tieout_database import Queries
from tieout_indexer.chain import Anchor, Segment, missing, plan
from tieout_indexer.corrections import Reading, checked_rows
from tieout_indexer.decode import Scope
from tieout_indexer.differing import counted, differences
from tieout_indexer.errors import BadEvidence, IndexerError
from tieout_indexer.evidence import stored_body
from tieout_indexer.limits import IndexerLimits
from tieout_indexer.model import DecodedBlock
from tieout_indexer.pipeline import decode_block, read_context, refuse_changed
from tieout_indexer.rows import RowSet, evidence_row, slot_row
from tieout_indexer.session import Session, open_session
from tieout_indexer.source import Parked, naming
from tieout_rpc import RpcLimits

_SQL = Queries("tieout_indexer", "repair.sql")


@dataclass(slots=True)
class RepairResult:
    """What a repair compared and changed; ``parked``: the slot that no node shows any more, or not as it was."""

    from_slot: int
    to_slot: int
    mints: tuple[str, ...]
    slots_compared: int = 0
    appended: int = 0
    retracted: int = 0
    evidence_restored: int = 0
    filled: list[tuple[int, int]] = field(default_factory=list)
    unread: list[tuple[int, int]] = field(default_factory=list)
    parked: Parked | None = None

    @property
    def changed(self) -> bool:
        """Whether anything was written."""
        return bool(self.appended or self.retracted or self.evidence_restored or self.filled)

    @property
    def complete(self) -> bool:
        """Whether all of the range that the ledger claims could be compared, and no hole is left in it."""
        return self.parked is None and not self.unread


async def repair(
    urls: Sequence[str],
    dsn: str,
    from_slot: int,
    to_slot: int,
    *,
    mints: Sequence[str] = (),
    progress: Callable[[int], None] = lambda _: None,
    limits: IndexerLimits | None = None,
    rpc_limits: RpcLimits | None = None,
) -> RepairResult:
    """Compare the stored rows of a range with the chain's. Raises ChangedBlock, IndexerError, RpcError."""
    limits = limits or IndexerLimits()
    async with open_session(urls, dsn, limits, rpc_limits or RpcLimits(), beside=True) as session:
        tracked = await session.writer.tracked()
        unknown = [mint for mint in mints if mint not in tracked]
        if unknown:
            raise IndexerError(f"{unknown[0]} is not tracked: there is nothing of it to repair")
        result = RepairResult(from_slot, to_slot, tuple(mints or sorted(tracked)))
        for segment in await _read_already(session, result, limits):
            await _compare(session, segment, result, limits)
            if result.parked:
                return result
            progress(segment.to_slot)
        await _fill(session, result)
        return result


async def _read_already(session: Session, result: RepairResult, limits: IndexerLimits) -> list[Segment]:
    """The part of the range that the ledger has read, in windows, each for the mints that were read there."""
    wanted = (result.from_slot, result.to_slot)
    have = await session.writer.read_ranges(list(result.mints))
    return plan(wanted, {mint: missing(wanted, ranges) for mint, ranges in have.items()}, limits.window_slots_max)


async def _compare(session: Session, segment: Segment, result: RepairResult, limits: IndexerLimits) -> None:
    writer, first, last = session.writer, segment.from_slot, segment.to_slot
    context = await read_context(writer, segment, session.pipeline.epoch_of)
    scope = Scope(segment.mints, context.states, session.pipeline.epoch_of, limits)
    known = await writer.known_slots(first, last)
    before = await writer.block_before(first)
    blocks: list[DecodedBlock] = []
    stream = session.source.blocks(first, last, Anchor(*before) if before else None, naming(segment.mints))
    async with aclosing(stream):
        async for found in stream:
            if isinstance(found, Parked):
                result.parked = found
                return
            refuse_changed(found, known)
            decoded = decode_block(scope, found)
            if isinstance(decoded, Parked):
                result.parked = decoded
                return
            blocks.append(decoded)
    readings = [Reading(b.header.slot, b.header.block_time, r) for b in blocks for r in b.results]
    rows = RowSet()
    decoded_rows = await checked_rows(writer, context, first, readings)
    await differences(writer, segment.mints, first, last, decoded_rows, rows)
    more, fewer = counted(rows)
    rows["slot_row"].extend(slot_row(b.header) for b in blocks if b.header.slot not in known)
    result.evidence_restored += await _restore_evidence(session, segment, blocks, rows)
    await writer.commit(rows)
    result.slots_compared += last - first + 1
    result.appended, result.retracted = result.appended + more, result.retracted + fewer


async def _restore_evidence(session: Session, segment: Segment, blocks: list[DecodedBlock], rows: RowSet) -> int:
    """Append the node's bytes of each transaction whose own are missing or are not what was hashed."""
    sound = set()
    for record in await session.writer.fetch_rows(_SQL["evidence"], segment.from_slot, segment.to_slot):
        try:
            if record["body"]:  # an empty one lies in files, and is theirs to verify
                stored_body(record["body"], record["sha256"])
            sound.add((record["slot"], record["tx_index"]))
        except BadEvidence:
            continue
    for block in blocks:
        for found in block.results:
            if (block.header.slot, found.tx_index) not in sound:
                place = (block.header.slot, found.tx_index)
                rows["evidence_row"].append(evidence_row(*place, "json", block.endpoint, found.body))
    return len(rows["evidence_row"])


async def _fill(session: Session, result: RepairResult) -> None:
    """Read the holes of the range, which everything else passes over."""
    wanted = (result.from_slot, result.to_slot)
    for start, end in await session.writer.holes():
        first, last = max(start, wanted[0]), min(end, wanted[1])
        if first > last:
            continue
        ranges = await session.writer.read_ranges(list(result.mints))
        mints = [mint for mint in result.mints if _spans(ranges[mint], first, last)]
        lacking = [mint for mint in mints if missing((first, last), ranges[mint])]
        if not lacking:
            continue
        parked = await session.pipeline.index(lacking, first, last, lambda _: None, into_holes=True)
        (result.unread if parked else result.filled).append((first, last))


def _spans(ranges: list[tuple[int, int]], first: int, last: int) -> bool:
    """Whether something before the hole was read: a mint that begins after it has no business in it."""
    return any(start <= last + 1 and end >= first - 1 for start, end in ranges) and ranges[0][0] <= last
