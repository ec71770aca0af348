"""``tieout reconcile`` and ``tieout headroom``: does every token have its share, and how many more may be minted."""

from collections.abc import Sequence
from datetime import UTC, datetime
from fractions import Fraction
from typing import Annotated, Any

import typer
from rich.text import Text

from tieout import exits, settings
from tieout.commands.breaks import breaks_table
from tieout.commands.options import BIGINT_MAX, Dsn, Json, group, run, share_bar
from tieout.output import OUTPUT, exact, shares, table

APP = group("Reconciliation: liability against custody, movements against orders.")

_STYLES = {
    "ties_out": "bold green",
    "ties_out_in_settlement": "bold green",
    "does_not_tie_out": "bold red",
    "incomplete": "bold magenta",
}

_AT_REST = ("pending", "paid", "void")
"""States of an order's cash that leave nothing to look at."""


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


def verdict(value: str) -> Text:
    """A verdict in its colour; the word says it all without one."""
    return Text(str(value).replace("_", " "), style=_STYLES.get(str(value), ""))


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


def value_tables(values: Sequence[Any]) -> list[Any]:
    """What figures are worth, in each currency, with the day of the price."""
    if not values:
        return []
    columns = (
        "instrument", "currency", "price of", "price>", "liability>", "settled custody>", "difference>", "payable>"
    )  # fmt: skip
    rows = (
        (v.symbol, v.currency, v.day, v.problem if v.price is None else shares(v.price),
         *("" if v.price is None else shares(x, 2) for x in (v.liability, v.custody, v.difference)),
         None if v.payable is None else shares(v.payable, 2))
        for v in values
    )  # fmt: skip
    return ["", table("worth, by the last price on or before the cut-off (no verdict rests on it)", columns, rows)]


def _without_schema(plain: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in plain.items() if name != "schema"}


def run_tables(done: Any) -> list[Any]:
    """The figures, the reasons and the findings of a run."""
    names = [i.symbol for i in done.instruments]

    def line(title: str, cell: Any) -> tuple[Any, ...]:
        return (title, *(cell(i) for i in done.instruments))

    lent = [sum((a.encumbered or Fraction(0) for a in i.accounts), Fraction(0)) for i in done.instruments]
    encumbered = [("encumbered (not counted), shares", *map(shares, lent))] if any(lent) else []
    unsettled = (
        [line("unsettled trades, shares", lambda i: shares(i.unsettled))]
        if any(i.trades for i in done.instruments)
        else []
    )
    bridged = (
        [line("+ in flight over bridges, less escrow, raw", lambda i: _raw((i.in_flight or 0) - (i.escrowed or 0)))]
        if any(i.in_flight or i.escrowed for i in done.instruments)
        else []
    )
    elsewhere = (
        [line("+ on other networks, shares", lambda i: shares(i.other_chains))]
        if any(i.networks for i in done.instruments)
        else []
    )
    explained = (
        [line("to come by evidence, shares", lambda i: shares(_to_come(i)))]
        if any(i.receivables or i.held for i in done.instruments)
        else []
    )
    soft = (
        [line("said by affiliates or management (not counted), shares", lambda i: shares(i.soft))]
        if any(i.soft is not None for i in done.instruments)
        else []
    )
    frozen = [
        line(label, lambda i, name=name: _raw(getattr(i, name)))
        for label, name in (
            ("  of it in frozen accounts, still owed, raw", "frozen"),
            ("  of it where nobody knows whether it is frozen, raw", "frozen_unknown"),
        )
        if any(getattr(i, name) for i in done.instruments)
    ]
    figures = table("", ("", *(f"{n}>" for n in names)), [
        line("supply, raw", lambda i: _raw(i.supply)),
        line("− inventory (treasury …), raw", lambda i: _raw(i.inventory)),
        line("− in transit (redemption …), raw", lambda i: _raw(i.in_transit)),
        line("= circulating, raw", lambda i: _raw(i.circulating)),
        *frozen,
        line("+ returned, still owed, raw", lambda i: _raw(_sum(i.owed_returns, i.owed_forced))),
        *bridged,
        line("× multiplier in force", lambda i: _multiplier(i.multiplier)),
        *elsewhere,
        line("= liability, shares", lambda i: shares(i.liability)),
        *encumbered,
        *soft,
        line("settled custody, shares", lambda i: shares(i.custody)),
        *unsettled,
        *explained,
        line("difference, shares", lambda i: shares(i.difference)),
        line("verdict", lambda i: verdict(i.verdict)),
    ])  # fmt: skip
    parts: list[Any] = [figures]
    unproven = [(i, u) for i in done.instruments for u in i.unproven]
    if unproven:
        parts += ["", table("were a wallet not the issuer's: no holder, document or proof of control is on record", (
            "instrument", "wallet", "role", "raw>", "liability, shares>", "difference, shares>", "verdict"
        ), (
            (i.symbol, u.address, u.role, _raw(u.raw), shares(u.liability), shares(u.difference), verdict(u.verdict))
            for i, u in unproven
        ))]  # fmt: skip
    parts += _wrapper_table(done.instruments)
    parts += _loan_table(done.instruments)
    parts += _cash_tables(done.instruments)
    parts += _payment_table(done.payments)
    reasons = [f"{i.symbol}: {reason}" for i in done.instruments for reason in i.reasons]
    if reasons:
        parts += ["", *reasons]
    if done.breaks:
        parts += ["", breaks_table(done.breaks)]
    notices = [f for f in done.findings if not f.is_break]
    if notices:
        rows = ((f.id, f.symbol, f.summary) for f in notices)
        parts += ["", table("explained", ("id", "instrument", "what"), rows)]
    return parts


def _wrapper_table(instruments: Any) -> list[Any]:
    """Tokens that wrap an instrument's, and whether their escrow holds what they promise."""
    found = [(i, w) for i in instruments for w in i.wrappers]
    if not found:
        return []
    columns = ("network", "wrapper", "wraps", "supply, shares>", "in escrow, shares>", "")
    return ["", table("wrappers (left out: what they wrap is counted where it lies)", columns, (
        (w.network, w.wrapper, w.wraps, shares(w.supply), shares(w.escrowed),
         "unknown" if w.problem else "" if w.covered else "not covered")
        for _, w in found
    ))]  # fmt: skip


def _loan_table(instruments: Any) -> list[Any]:
    """What is lent out, when it is to come back, and the cash held against it."""
    lent = [(i, x) for i in instruments for x in i.loans]
    if not lent:
        return []
    columns = ("instrument", "loan", "state", "shares>", "due", "collateral>", "currency", "document")
    return ["", table("shares lent out, their recall and collateral (never counted)", columns, (
        (i.symbol, x.reference, x.state, shares(x.shares), x.due_on or "",
         "none stated" if x.collateral_amount is None else exact(x.collateral_amount), x.collateral_currency or "",
         x.document)
        for i, x in lent
    ))]  # fmt: skip


def _cash_tables(instruments: Any) -> list[Any]:
    """What orders owe in cash, by currency, and each of them of which something is open or went ahead."""
    totals = [(i, t) for i in instruments for t in i.cash]
    if not totals:
        return []
    sums = ("instrument", "kind", "currency", "orders>", "owed>", "paid>", "outstanding>", "overdue>", "overpaid>")
    parts: list[Any] = ["", table("cash of orders (no part of any figure in shares)", sums, (
        (i.symbol, t.kind, t.currency, t.orders, exact(t.owed), exact(t.paid), exact(t.outstanding), exact(t.overdue),
         exact(t.overpaid))
        for i, t in totals
    ))]  # fmt: skip
    shown = [(i, c) for i in instruments for c in i.cash_legs if c.ahead or c.state not in _AT_REST]
    if shown:
        columns = (
            "instrument",
            "request",
            "kind",
            "currency",
            "owed>",
            "paid>",
            "outstanding>",
            "due",
            "state",
            "ahead",
        )
        parts += ["", table("orders of which cash is open, or went ahead", columns, (
            (i.symbol, c.request_id, c.kind, c.currency, exact(c.owed), exact(c.paid - c.returned),
             exact(c.outstanding), c.due_on or "", c.state, f"{c.ahead} first" if c.ahead else "")
            for i, c in shown
        ))]  # fmt: skip
    return parts


def _payment_table(checks: Any) -> list[Any]:
    """Payments that name their transaction, where the chain does not bear them out, or nobody can know."""
    if not checks:
        return []
    rest = [c for c in checks if c.state != "equal"]
    title = f"payments by transactions on chain: {len(checks) - len(rest)} of {len(checks)} are what the chain shows"
    rows = ((c.reference, c.state, f"{exact(c.amount)} {c.currency} {c.direction}", c.told) for c in rest)
    return ["", table(title, ("payment", "state", "amount", "what was seen"), rows) if rest else title]


def _to_come(instrument: Any) -> Fraction:
    """Shares that corporate actions bring, less those held for tokens not released yet."""
    coming = sum((r.shares for r in instrument.receivables), Fraction(0))
    return coming - sum((h.shares for h in instrument.held if h.sure), Fraction(0))


def _multiplier(value: Fraction | None) -> str:
    # The shortest decimal that names the chain's number, and no other.
    return "unknown" if value is None else repr(float(value)).removesuffix(".0")


def _raw(value: int | None) -> str:
    return "unknown" if value is None else f"{value:,}"


def _sum(*values: int | None) -> int | None:
    return None if any(v is None for v in values) else sum(v for v in values if v is not None)


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
