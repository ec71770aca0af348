"""Decode again from the stored evidence, without a node: append only what differs.

A newer decoder, or a gap filled since, may say more than the rows do. Rows that say the same
stay; one that differs is retracted and its successor appended, in one batch.
"""

import hashlib
from collections.abc import Callable
from typing import Any

import zstandard

from tieout_database import Queries
from tieout_indexer import mint_state
from tieout_indexer.continuity import Continuity
from tieout_indexer.decode import Scope, decode_transaction
from tieout_indexer.errors import IndexerError
from tieout_indexer.limits import IndexerLimits
from tieout_indexer.model import TransactionResult
from tieout_indexer.pipeline import quarantine
from tieout_indexer.rows import COLUMNS, RowSet, add_result, from_database
from tieout_indexer.writer import LedgerWriter

_SQL = Queries("tieout_indexer", "redecode.sql")
_RELATIONS = ("event", "control", "proof", "touch", "quarantine")
_BODY_BYTES_MAX = 64 * 1024 * 1024


async def redecode(
    dsn: str,
    from_slot: int,
    to_slot: int,
    *,
    limits: IndexerLimits | None = None,
    progress: Callable[[str, int, int], None] | None = None,
) -> tuple[int, int]:
    """Decode the stored evidence of a slot range again. Returns ``(rows appended, rows retracted)``."""
    limits = limits or IndexerLimits()
    appended = retracted = 0
    async with await LedgerWriter.open(dsn, limits) as writer:
        mints = sorted(await writer.tracked())
        for mint, ranges in (await writer.read_ranges(mints)).items():
            for start, end in ranges:
                first, last = max(start, from_slot), min(end, to_slot)
                if first <= last:
                    rows = await _differences(writer, mint, start, first, last, limits)
                    await writer.commit(rows)
                    retracted += len(rows["retraction_row"])
                    appended += sum(len(rows[f"{relation}_row"]) for relation in _RELATIONS)
                    if progress is not None:
                        progress(mint, first, last)
    return appended, retracted


async def _differences(
    writer: LedgerWriter, mint: str, since: int, first: int, last: int, limits: IndexerLimits
) -> RowSet:
    decoded = await _decode_again(writer, mint, since, first, last, limits)
    rows = RowSet()
    for relation in _RELATIONS:
        table = f"{relation}_row"
        stored = await writer.fetch_rows(_SQL[relation], mint, first, last)
        width = len(COLUMNS[table])
        before = {_key(table, row): (from_database(row[:width]), row[width]) for row in stored}
        after = {_key(table, row): row for row in decoded[table]}
        for key, (row, batch) in before.items():
            if after.get(key) != row:
                rows["retraction_row"].append((relation, *key, batch))
        rows[table].extend(row for key, row in after.items() if key not in before or before[key][0] != row)
    return rows


async def _decode_again(
    writer: LedgerWriter, mint: str, since: int, first: int, last: int, limits: IndexerLimits
) -> RowSet:
    epoch_of = mint_state.epoch_function(await writer.epoch_schedule())
    controls = [c for c in (await writer.mint_controls([mint], first))[mint] if c[0] >= since]
    state = mint_state.fold(controls, epoch_of)
    scope = Scope(frozenset({mint}), {mint: state}, epoch_of, limits)
    results: list[tuple[Any, TransactionResult]] = []
    for record in await writer.fetch_rows(_SQL["evidence"], first, last):
        body = check_evidence(record["body"], record["sha256"])
        if mint.encode() not in body:
            continue
        result = decode_transaction(scope, record["slot"], record["tx_index"], body)
        if result is not None:
            results.append((record, result))
    accounts = sorted({(t.mint, t.account) for _, r in results for t in r.touches})
    left = await writer.last_touches(accounts, {mint: since}, first)
    continuity = Continuity(left, {mint} if state.known else set())
    rows = RowSet()
    for record, result in results:
        quarantine(result, continuity.check(result))
        add_result(rows, record["slot"], record["block_time"], result)
    return rows


def _key(table: str, row: Any) -> tuple[Any, ...]:
    """(slot, tx_index, step, child, mint, account) as retractions name a row; what a table lacks is 0 or ''."""
    at = {column: row[i] for i, column in enumerate(COLUMNS[table])}
    account = at["account"] if table == "touch_row" else ""
    return at["slot"], at["tx_index"], at.get("step", 0), at.get("child", 0), at["mint"], account


def check_evidence(body: bytes, sha256: bytes) -> bytes:
    """Return the decompressed evidence. Raises IndexerError when it is not what was hashed."""
    exact = zstandard.ZstdDecompressor().decompress(body, max_output_size=_BODY_BYTES_MAX)
    if hashlib.sha256(exact).digest() != sha256:
        raise IndexerError("stored evidence does not have the hash recorded with it")
    return exact
