"""What the ledger says, in a form to compare."""

from typing import Any

from support.database import query

LEDGER_VIEWS = (
    "events",
    "controls",
    "balances",
    "supply",
    "multipliers",
    "tracked",
    "coverage",
    "slots",
    "proofs",
    "quarantine",
    "touches",
)


async def ledger(dsn: str, *, batches: bool = False) -> dict[str, list[Any]]:
    """Every ledger view's rows, sorted; without the batch column unless asked for."""
    found = {}
    for view in LEDGER_VIEWS:
        rows = await query(dsn, f"select * from ledger.{view}")
        kept = [{k: v for k, v in row.items() if batches or k != "batch"} for row in rows]
        found[view] = sorted(kept, key=repr)
    return found
