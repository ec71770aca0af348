"""A second reading of stored transactions: from a newer decoder, from other bytes of a node, or with more known of
what came before.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from tieout_indexer.continuity import Continuity
from tieout_indexer.model import Doubt, TransactionResult
from tieout_indexer.pipeline import Context, quarantine
from tieout_indexer.rows import RowSet, add_result
from tieout_indexer.withheld import Withholding, paid_out, withheld_by_account
from tieout_indexer.writer import LedgerWriter


@dataclass(frozen=True, slots=True)
class Reading:
    """One transaction as it reads now."""

    slot: int
    block_time: datetime | None
    result: TransactionResult


async def checked_rows(
    writer: LedgerWriter, context: Context, first_slot: int, readings: Sequence[Reading], *, continuity: bool = True
) -> RowSet:
    """The rows of transactions in order, each begun where the last one in the ledger before ``first_slot`` ended."""
    state = Continuity({}, set(context.complete))
    accounts = sorted({(t.mint, t.account) for r in readings for t in r.result.touches})
    state.learn(await writer.last_touches(accounts, context.since, first_slot))
    rows = RowSet()
    for reading in readings:
        if continuity:
            doubts = state.check(reading.result)
            doubts += [d for m in sorted(paid_out(reading.result)) if (d := await _overpaid(writer, state, reading, m))]
            quarantine(reading.result, doubts)
        add_result(rows, reading.slot, reading.block_time, reading.result)
    return rows


async def _overpaid(writer: LedgerWriter, state: Continuity, reading: Reading, mint: str) -> Doubt | None:
    """Compare withheld fees that are paid out with the ledger's, up to the slot before; None where it is unknown."""
    if not state.is_complete(mint):
        return None
    withholding = Withholding()
    withholding.begin(mint, await withheld_by_account(writer.reader, mint, reading.slot - 1))
    return withholding.check(reading.result, mint)
