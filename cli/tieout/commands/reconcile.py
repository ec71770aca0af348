"""``tieout reconcile`` and ``tieout headroom``: does every token have its share, and how many more may be minted."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from rich.text import Text

from tieout import exits, settings
from tieout.commands.options import BIGINT_MAX, Dsn, Json, group, run, share_bar
from tieout.output import OUTPUT, shares, table
from tieout.run_tables import run_tables, value_tables, verdict

APP = group("Reconciliation: liability against custody, movements against orders.")


@APP.command("run")
def run_(
    as_of: Annotated[
        str | None, typer.Option("--as-of", help="A slot, or an instant with its zone (ISO 8601).")
    ] = None,
    known_batch: Annotated[
        int | None, typer.Option("--known-batch", min=0, max=BIGINT_MAX, help="The ledger as known at a batch.")
    ] = None,
    workers: Annotated[
        int | None, typer.Option("--workers", min=1, max=256, help="Processes that share a large run; one a core.")
    ] = None,
    dsn: Dsn = None,
    as_json: Json = False,
) -> None:
    """Reconcile every registered instrument and store the run. Exit 0 only when all tie out without a break."""
    from tieout_reconcile import run as reconcile
    from tieout_reconcile import values_beside

    where, slot = settings.database_dsn(dsn), slot_or_instant(as_of)
    with share_bar("orders") as told:
        done = run(reconcile(where, slot, known_batch=known_batch, workers=workers, on_progress=told))
    show_run(done, run(values_beside(where, done)))
    if not done.clean:
        raise exits.Found


def slot_or_instant(text: str | None) -> int | datetime | None:
    """What ``--as-of`` names. Raises UsageProblem."""
    if text is None:
        return None
    if text.isdecimal():
        if len(text) > len(str(BIGINT_MAX)) or int(text) > BIGINT_MAX:
            raise exits.UsageProblem(f"--as-of {text!r} is no slot: the largest is {BIGINT_MAX}")
        return int(text)
    try:
        instant = datetime.fromisoformat(text)
        instant.astimezone(UTC)
    except (ValueError, OverflowError) as bad:
        raise exits.UsageProblem(
            f"--as-of {text!r} is neither a slot nor an instant like 2026-11-23T16:00:00-05:00"
        ) from bad
    if instant.tzinfo is None:
        raise exits.UsageProblem(f"--as-of {text!r} has no time zone: write 2026-11-23T16:00:00-05:00 or …Z")
    return instant


@APP.command()
def show(
    number: Annotated[int | None, typer.Argument(min=1, max=BIGINT_MAX, help="The run; the latest by default.")] = None,
    dsn: Dsn = None,
    as_json: Json = False,
) -> None:
    """Show a stored run. Its exit code is that of the run."""
    from tieout_reconcile import get_run, latest_run, values_beside

    where = settings.database_dsn(dsn)
    # people are shown figures and breaks, programs every crossing too
    lines = OUTPUT.json
    found = run(latest_run(where, lines=lines) if number is None else get_run(where, number, lines=lines))
    if found is None:
        raise exits.UsageProblem("nothing was reconciled yet: tieout reconcile run")
    show_run(found, run(values_beside(where, found)))
    if not found.clean:
        raise exits.Found


@APP.command()
def history(dsn: Dsn = None, as_json: Json = False) -> None:
    """List the stored runs, newest first."""
    from tieout_reconcile import run_history

    found = run(run_history(settings.database_dsn(dsn)))
    OUTPUT.result(
        {"runs": [r.to_json() for r in found]},
        table("", ("run>", "ran at", "slot>", "batch>", "verdict", "breaks>"), (
            (r.run, f"{r.ran_at:%Y-%m-%d %H:%M:%S}", r.as_of_slot, r.known_batch, verdict(r.verdict), r.breaks)
            for r in found
        )),
    )  # fmt: skip


def show_run(done: Any, values: Sequence[Any] = ()) -> None:
    """Show a run: the figures of each instrument, then each finding by name; what they are worth, last."""
    inputs = done.inputs
    head = Text.assemble(
        ("run " + str(done.run or "(not stored)"), "bold"),
        f"  as of slot {inputs.as_of_slot:,}",
        f", {inputs.as_of_time:%Y-%m-%d %H:%M:%S} UTC" if inputs.as_of_time else "",
        "  ",
        verdict(done.verdict),
        f"  {len(done.breaks)} breaks" if done.breaks else "",
    )
    # every crossing is in it: made for programs alone
    plain = {"run": done.run, "digest": done.digest, **_without_schema(done.to_json())} if OUTPUT.json else {}
    worth = {"values": [line.to_json() for line in values]}
    OUTPUT.result(plain | worth, head, *run_tables(done), *value_tables(values))


def _without_schema(plain: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in plain.items() if name != "schema"}


def headroom(
    symbol: Annotated[str, typer.Argument(help="The instrument's symbol.")],
    ladder: Annotated[
        bool, typer.Option("--ladder", help="Also at each coming settlement day, should all pending trades settle.")
    ] = False,
    margin: Annotated[
        str | None, typer.Option("--margin", help="Kept back: shares (100), or a part of settled custody (2.5%).")
    ] = None,
    dsn: Dsn = None,
    as_json: Json = False,
) -> None:
    """How many more shares may be released before custody falls short; unknown where anything is, or is too old."""
    from tieout_reconcile import AgeLimits, Margin
    from tieout_reconcile import headroom as ask

    try:
        kept = Margin() if margin is None else Margin.parse(margin)
    except ValueError as bad:
        raise exits.UsageProblem(f"--margin {margin!r} {bad}: give shares (100) or a percentage (2.5%)") from None
    config, where = settings.load(), settings.database_dsn(dsn)
    limits = AgeLimits(config.chain_age_max_s, config.statement_age_max_s, config.order_age_max_s)
    found = run(ask(where, symbol, margin=kept, ages=limits))
    text = (
        "unknown: " + "; ".join(found.reasons)
        if found.shares is None
        else f"{shares(found.shares)} shares, {found.raw:,} raw"
    )
    if found.margin:
        text += f" (a margin of {shares(found.margin)} shares kept back)"
    rungs = [
        f"  should all pending trades settle, after {day}: {shares(level)} shares"
        for day, level in (found.ladder if ladder else ())
    ]
    if ladder and not rungs and found.shares is not None:
        rungs = ["  no trade is pending: it stays so until a statement or an order changes it"]
    OUTPUT.result(found.to_json(), f"{found.symbol} headroom as of slot {found.as_of_slot:,}: {text}", *rungs)
    if found.shares is None or found.shares < 0:
        raise exits.Found
