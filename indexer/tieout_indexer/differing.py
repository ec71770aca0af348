"""What a second reading says otherwise: appended; what it replaces: retracted. Rows that say the same stay."""

from collections.abc import Iterable
from typing import Any

from tieout_database import Queries
from tieout_database.content import COLUMNS, from_database
from tieout_indexer.model import SNAPSHOT_INDEX
from tieout_indexer.rows import RowSet
from tieout_indexer.writer import LedgerWriter

_SQL = Queries("tieout_indexer", "differing.sql")
RELATIONS = ("event", "control", "proof", "touch", "quarantine")


async def differences(
    writer: LedgerWriter, mints: Iterable[str], first: int, last: int, decoded: RowSet, corrections: RowSet
) -> None:
    """Add to ``corrections`` what turns the stored rows of these mints and slots into the decoded ones."""
    for relation in RELATIONS:
        table = f"{relation}_row"
        stored = await writer.fetch_rows(_SQL[relation], sorted(mints), first, last, SNAPSHOT_INDEX)
        width = len(COLUMNS[table])
        after = {_key(table, row): row for row in decoded[table]}
        standing = set()
        for row in stored:
            key = _key(table, row)
            if key not in standing and after.get(key) == from_database(row[:width]):
                standing.add(key)
            else:
                corrections["retraction_row"].append((relation, *key, row[width]))
        corrections[table].extend(row for key, row in after.items() if key not in standing)


def _key(table: str, row: Any) -> tuple[Any, ...]:
    """(slot, tx_index, step, child, mint, account) as retractions name a row; what a table lacks is 0 or ''."""
    at = {column: row[i] for i, column in enumerate(COLUMNS[table])}
    account = at["account"] if table == "touch_row" else ""
    return at["slot"], at["tx_index"], at.get("step", 0), at.get("child", 0), at["mint"], account


def counted(rows: RowSet) -> tuple[int, int]:
    """(rows appended, rows retracted) of a set of corrections."""
    return sum(len(rows[f"{relation}_row"]) for relation in RELATIONS), len(rows["retraction_row"])
