"""``tieout reconcile coverage``: the figures of every instrument at any slot, without walking the chain again."""

from typing import Annotated, Any

import typer
from rich.text import Text

from tieout import exits, settings
from tieout.commands.options import BIGINT_MAX, Dsn, Json, run
from tieout.commands.reconcile import slot_or_instant
from tieout.output import OUTPUT, shares, table
from tieout.run_tables import value_tables, verdict

_GOOD = ("ties_out", "ties_out_in_settlement")


def coverage(
    symbols: Annotated[list[str] | None, typer.Argument(help="Instruments; all by default.")] = None,
    as_of: Annotated[
        str | None, typer.Option("--as-of", help="A slot, or an instant with its zone (ISO 8601).")
    ] = None,
    known_batch: Annotated[
        int | None, typer.Option("--known-batch", min=0, max=BIGINT_MAX, help="The ledger as known at a batch.")
    ] = None,
    dsn: Dsn = None,
    as_json: Json = False,
) -> None:
    """Show liability, custody and verdict as of any slot. Exit 0 only when all tie out; crossings are a run's."""
    from tieout_reconcile import coverage as ask
    from tieout_reconcile import values_beside

    where = settings.database_dsn(dsn)
    found = run(ask(where, slot_or_instant(as_of), symbols=symbols or None, known_batch=known_batch))
    inputs, values = found.inputs, run(values_beside(where, found))
    head = Text.assemble(
        ("coverage", "bold"),
        f"  as of slot {inputs.as_of_slot:,}",
        f", {inputs.as_of_time:%Y-%m-%d %H:%M:%S} UTC" if inputs.as_of_time else "",
        "  ",
        verdict(found.verdict),
    )
    worth = {"values": [line.to_json() for line in values]}
    OUTPUT.result(found.to_json() | worth, head, *_tables(found), *value_tables(values))
    if found.verdict not in _GOOD:
        raise exits.Found


def _tables(found: Any) -> list[Any]:
    columns = ("instrument", "owed, shares>", "settled custody, shares>", "difference, shares>", "verdict")
    rows = (
        (i.symbol, shares(i.liability), shares(i.custody), shares(i.difference), verdict(i.verdict))
        for i in found.instruments
    )
    parts: list[Any] = [table("", columns, rows)]
    reasons = [f"{i.symbol}: {reason}" for i in found.instruments for reason in i.reasons]
    if reasons:
        parts += ["", *reasons]
    if found.walked:
        looked_up = len(found.instruments) - len(found.walked)
        parts += [
            "",
            f"{looked_up} looked up, {len(found.walked)} walked anew: tieout reconcile run keeps what it finds",
        ]
    return parts
