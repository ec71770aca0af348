"""Decode again from the evidence, without a node and beside a running indexer: append only what differs.

Evidence that was moved to files is read from their folder (``evidence``); what is in neither place
stops the work: a reading with a transaction missing would take rows back that are right.
"""

from collections.abc import Callable
from pathlib import Path

from tieout_database import Queries
from tieout_indexer import mint_state
from tieout_indexer.chain import Segment
from tieout_indexer.corrections import Reading, checked_rows
from tieout_indexer.decode import Scope, decode_transaction
from tieout_indexer.differing import counted, differences
from tieout_indexer.errors import BadEvidence
from tieout_indexer.evidence import detached_body, stored_body
from tieout_indexer.limits import IndexerLimits
from tieout_indexer.mint_state import EpochOf
from tieout_indexer.pipeline import read_context
from tieout_indexer.rows import RowSet
from tieout_indexer.writer import LedgerWriter

_SQL = Queries("tieout_indexer", "redecode.sql")


async def redecode(
    dsn: str,
    from_slot: int,
    to_slot: int,
    *,
    evidence: Path | None = None,
    limits: IndexerLimits | None = None,
    progress: Callable[[str, int, int], None] | None = None,
) -> tuple[int, int]:
    """Decode the evidence of a slot range again. Returns ``(rows appended, rows retracted)``. Raises BadEvidence."""
    limits = limits or IndexerLimits()
    appended = retracted = 0
    async with await LedgerWriter.open(dsn, limits, beside=True) as writer:
        epoch_of = mint_state.epoch_function(await writer.epoch_schedule())
        mints = sorted(await writer.tracked())
        for mint, ranges in (await writer.read_ranges(mints)).items():
            for start, end in ranges:
                first, last = max(start, from_slot), min(end, to_slot)
                for at in range(first, last + 1, limits.redecode_slots_max):
                    until = min(at + limits.redecode_slots_max - 1, last)
                    rows = await _corrections(writer, mint, at, until, epoch_of, evidence, limits)
                    await writer.commit(rows)
                    more, fewer = counted(rows)
                    appended, retracted = appended + more, retracted + fewer
                    if progress is not None:
                        progress(mint, at, until)
    return appended, retracted


async def _corrections(
    writer: LedgerWriter,
    mint: str,
    first: int,
    last: int,
    epoch_of: EpochOf,
    folder: Path | None,
    limits: IndexerLimits,
) -> RowSet:
    context = await read_context(writer, Segment(first, last, frozenset({mint})), epoch_of)
    scope = Scope(frozenset({mint}), context.states, epoch_of, limits)
    readings = []
    for record in await writer.fetch_rows(_SQL["evidence"], first, last):
        body = _body(record, folder)
        if mint.encode() not in body:
            continue
        result = decode_transaction(scope, record["slot"], record["tx_index"], body)
        if result is not None:
            readings.append(Reading(record["slot"], record["block_time"], result))
    rows = RowSet()
    await differences(writer, [mint], first, last, await checked_rows(writer, context, first, readings), rows)
    return rows


def _body(record: object, folder: Path | None) -> bytes:
    slot, tx_index, sha256 = record["slot"], record["tx_index"], record["sha256"]  # type: ignore[index]
    body: bytes = record["body"]  # type: ignore[index]
    if body:
        return stored_body(body, sha256)
    if folder is None:
        raise BadEvidence(
            f"the evidence of slot {slot} transaction {tx_index} was moved to files: name their folder with --evidence"
        )
    return detached_body(folder, sha256)
