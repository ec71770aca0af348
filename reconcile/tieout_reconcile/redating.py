"""One date for one file: the same bytes under another date are a correction that a person signs, or are refused.

Yesterday's file declared as of today would make an old figure look fresh.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from tieout_reconcile.errors import BadInput
from tieout_reconcile.files import InputFile, shown
from tieout_reconcile.registry import instant_text
from tieout_reconcile.statements import Position
from tieout_reconcile.store import SQL


async def dated_otherwise(
    db: Any, file: InputFile, positions: Sequence[Position], *, correct: bool, signed: bool
) -> list[int]:
    """Return the standing loads of the same bytes that gave an account another date.

    Raises BadInput where there are any and no signed correction is asked for.
    """
    if correct and not signed:
        raise BadInput(file.name, ["a correction of its date is handed in under a personal key: give --key"])
    dates: dict[tuple[str, str], set[datetime]] = {}
    for p in positions:
        dates.setdefault((p.custodian, p.account), set()).add(p.as_of)
    known = await db.fetch(SQL["same_bytes"], file.sha256)
    other = [row for row in known if row["as_of"] not in dates.get((row["custodian"], row["account"]), {row["as_of"]})]
    if other and not correct:
        row = other[0]
        what = f"these bytes were taken in as of {instant_text(row['as_of'])} for account {shown(row['account'])}"
        remedy = "a file has one date; if that one was wrong, say so with --correct and your --key"
        raise BadInput(file.name, [f"{what} (load {row['load']}, {shown(row['name'])}): {remedy}"])
    return sorted({row["load"] for row in other})


async def insert_corrections(db: Any, load: int, corrected: Sequence[int], positions: Sequence[Position]) -> None:
    """Store that a load puts right the date under which earlier ones stood, for its accounts."""
    accounts = sorted({(p.custodian, p.account) for p in positions})
    rows = [(load, earlier, *account) for earlier in corrected for account in accounts]
    await db.executemany(SQL["insert_statement_correction"], rows)
