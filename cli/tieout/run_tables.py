"""A run as tables for a terminal: each instrument's figures, what stands beside them, the findings."""

from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any

from rich.text import Text

from tieout.commands.breaks import breaks_table
from tieout.output import exact, shares, table

_STYLES = {
    "ties_out": "bold green",
    "ties_out_in_settlement": "bold green",
    "does_not_tie_out": "bold red",
    "incomplete": "bold magenta",
}

_AT_REST = ("pending", "paid", "void")
"""States of an order's cash that leave nothing to look at."""


def verdict(value: str) -> Text:
    """A verdict in its colour; the word says it all without one."""
    return Text(str(value).replace("_", " "), style=_STYLES.get(str(value), ""))


def run_tables(done: Any) -> list[Any]:
    """The figures, the reasons and the findings of a run."""
    instruments = done.instruments
    parts: list[Any] = [_figure_table(instruments)]
    parts += _unproven_table(instruments)
    parts += _twice_table(instruments)
    parts += _wrapper_table(instruments)
    parts += _loan_table(instruments)
    parts += _cash_tables(instruments)
    parts += _payment_table(done.payments)
    reasons = [f"{i.symbol}: {reason}" for i in instruments for reason in i.reasons]
    if reasons:
        parts += ["", *reasons]
    if done.breaks:
        parts += ["", breaks_table(done.breaks)]
    notices = [f for f in done.findings if not f.is_break]
    if notices:
        rows = ((f.id, f.symbol, f.summary) for f in notices)
        parts += ["", table("explained", ("id", "instrument", "what"), rows)]
    return parts


Cell = Callable[[Any], Any]
"""An instrument's result → what its column shows."""


def _figure_table(instruments: Any) -> Any:
    """From the supply to the verdict, a column an instrument; what no instrument has is no line."""

    def line(title: str, cell: Cell) -> list[tuple[Any, ...]]:
        return [(title, *map(cell, instruments))]

    def where(told: Cell, title: str, cell: Cell) -> list[tuple[Any, ...]]:
        return line(title, cell) if any(map(told, instruments)) else []

    rows = [
        *line("supply, raw", lambda i: _raw(i.supply)),
        *line("− inventory (treasury …), raw", lambda i: _raw(i.inventory)),
        *line("− in transit (redemption …), raw", lambda i: _raw(i.in_transit)),
        *line("= circulating, raw", lambda i: _raw(i.circulating)),
        *where(lambda i: i.frozen, "  of it in frozen accounts, still owed, raw", lambda i: _raw(i.frozen)),
        *where(
            lambda i: i.frozen_unknown,
            "  of it where nobody knows whether it is frozen, raw",
            lambda i: _raw(i.frozen_unknown),
        ),
        *line("+ returned, still owed, raw", lambda i: _raw(_sum(i.owed_returns, i.owed_forced))),
        *where(
            lambda i: i.in_flight or i.escrowed,
            "+ in flight over bridges, less escrow, raw",
            lambda i: _raw((i.in_flight or 0) - (i.escrowed or 0)),
        ),
        *line("× multiplier in force", lambda i: _multiplier(i.multiplier)),
        *where(lambda i: i.networks, "+ on other networks, shares", lambda i: shares(i.other_chains)),
        *line("= liability, shares", lambda i: shares(i.liability)),
        *where(_encumbered, "encumbered (not counted), shares", lambda i: shares(_encumbered(i))),
        *where(
            lambda i: i.soft is not None,
            "said by affiliates or management (not counted), shares",
            lambda i: shares(i.soft),
        ),
        *line("settled custody, shares", lambda i: shares(i.custody)),
        *where(lambda i: i.trades, "unsettled trades, shares", lambda i: shares(i.unsettled)),
        *where(lambda i: i.receivables or i.held, "to come by evidence, shares", lambda i: shares(_to_come(i))),
        *line("difference, shares", lambda i: shares(i.difference)),
        *line("verdict", lambda i: verdict(i.verdict)),
    ]
    return table("", ("", *(f"{i.symbol}>" for i in instruments)), rows)


def _encumbered(instrument: Any) -> Fraction:
    return sum((account.encumbered or Fraction(0) for account in instrument.accounts), Fraction(0))


def _unproven_table(instruments: Any) -> list[Any]:
    """The verdict without each wallet of the issuer's that nothing proves to be its own."""
    unproven = [(i, u) for i in instruments for u in i.unproven]
    if not unproven:
        return []
    columns = ("instrument", "wallet", "role", "raw>", "liability, shares>", "difference, shares>", "verdict")
    title = "were a wallet not the issuer's: no holder, document or proof of control is on record"
    return ["", table(title, columns, (
        (i.symbol, u.address, u.role, _raw(u.raw), shares(u.liability), shares(u.difference), verdict(u.verdict))
        for i, u in unproven
    ))]  # fmt: skip


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


def _twice_table(instruments: Any) -> list[Any]:
    """Pending trades that movements or actions tell too, and the shares that would count twice."""
    found = [(i, x) for i in instruments for x in i.told_twice]
    if not found:
        return []
    columns = ("instrument", "trade", "told by", "by", "shares>", "")
    return ["", table("told twice, counted once", columns, (
        (i.symbol, x.trade, ", ".join(x.others), x.rule, shares(x.shares), "" if x.sure else "in doubt")
        for i, x in found
    ))]  # fmt: skip


def _wrapper_table(instruments: Any) -> list[Any]:
    """Tokens that wrap an instrument's, and whether their escrow holds what they promise."""
    found = [(i, w) for i in instruments for w in i.wrappers]
    if not found:
        return []
    columns = ("network", "wrapper", "wraps", "supply, shares>", "in escrow, shares>", "escrow by", "")
    return ["", table("wrappers (left out: what they wrap is counted where it lies)", columns, (
        (w.network, w.wrapper, w.wraps, shares(w.supply), shares(w.escrowed), "ledger" if w.on_ledger else "file",
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
