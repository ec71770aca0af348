"""Shares that are lent out: who has them, when they come back, what cash is held against them. Pure.

Columns: ``custodian, account, isin, reference, quantity, position, lent_at, document`` and optionally ``borrower``,
``recalled_at`` with ``due_on``, ``returned_at``, ``collateral_amount`` with ``collateral_currency``. The same
custodian's reference again is a new version. ``position`` says what the custodian's statements do with what is lent:
``included`` in the position still, or ``left``.

Nothing of a loan counts as custody: neither a recall, which is shares to come, nor collateral, which is cash. What
a statement includes and does not itself call lent is taken off.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from fractions import Fraction
from typing import Any

from tieout_reconcile import fields
from tieout_reconcile.calendars import day_begins, day_of
from tieout_reconcile.canonical import to_plain
from tieout_reconcile.exact import rounded_text
from tieout_reconcile.files import InputFile, Problems, Row, choice, csv_rows, parse_instant, shown
from tieout_reconcile.findings import SHOWN_PLACES, finding, shares_text
from tieout_reconcile.liability import SETTLEMENT_DELAY_DAYS_MAX
from tieout_reconcile.registry import Instrument, Registry
from tieout_reconcile.results import CustodyLine, Encumbrance, Finding, LoanLine

REQUIRED = frozenset({
    "custodian", "account", "isin", "reference", "quantity", "position", "lent_at", "document",
})  # fmt: skip
OPTIONAL = frozenset({
    "borrower", "recalled_at", "due_on", "returned_at", "collateral_amount", "collateral_currency",
})  # fmt: skip
INCLUDED, LEFT = "included", "left"
_LENT = "lent"


@dataclass(frozen=True, slots=True)
class StockLoan:
    """One version of a loan of ``quantity`` shares; ``document`` is where to look it up."""

    line: int
    custodian: str
    account: str
    isin: str
    reference: str
    quantity: Fraction
    position: str
    lent_at: datetime
    document: str
    borrower: str | None = None
    recalled_at: datetime | None = None
    due_on: date | None = None
    returned_at: datetime | None = None
    collateral_amount: Fraction | None = None
    collateral_currency: str | None = None

    def is_open(self, at: datetime) -> bool:
        """Whether the shares are out at an instant."""
        return self.lent_at <= at and (self.returned_at is None or self.returned_at > at)

    def to_json(self) -> dict[str, Any]:
        """Return plain values; quantities as text."""
        return to_plain(self)


def parse_loans(file: InputFile, registry: Registry) -> list[StockLoan]:
    """Return the loans of a CSV file. Raises BadInput with the line of each fault."""
    problems, seen = Problems(file.name), fields.Seen("this custodian's reference")
    loans = []
    for row in csv_rows(file, REQUIRED, OPTIONAL, problems):
        if (loan := _loan(row, registry)) is not None:
            seen.check((loan.custodian, loan.reference), row)
            loans.append(loan)
    problems.refuse_if_any()
    return loans


def _loan(row: Row, registry: Registry) -> StockLoan | None:
    before = len(row.problems)
    place, isin = fields.account_of(row, registry), row.parsed("isin", fields.isin)
    reference, quantity = row.parsed("reference", fields.key), row.parsed("quantity", fields.positive)
    position, lent_at = row.parsed("position", choice(INCLUDED, LEFT)), row.parsed("lent_at", parse_instant)
    recalled_at, returned_at = row.optional("recalled_at", parse_instant), row.optional("returned_at", parse_instant)
    due_on = row.optional("due_on", fields.day)
    amount = row.optional("collateral_amount", fields.positive)
    currency = row.optional("collateral_currency", fields.money)
    if not row.get("document"):
        row.fault("has no document: say where the loan is on record")
    _check_pairs(row)
    for name, moment in (("recalled_at", recalled_at), ("returned_at", returned_at)):
        if moment is not None and lent_at is not None and moment < lent_at:
            row.fault(f"{name} {shown(row.get(name))} is before lent_at {shown(row.get('lent_at'))}")
    if due_on is not None and recalled_at is not None and due_on < day_of(recalled_at):
        row.fault(f"due_on {due_on} is before the day of the recall, {day_of(recalled_at)}")
    if len(row.problems) > before or place is None or isin is None or reference is None or quantity is None:
        return None
    if position is None or lent_at is None:
        return None
    return StockLoan(
        row.line, *place, isin, reference, quantity, position, lent_at, row.get("document"),
        row.get("borrower") or None, recalled_at, due_on, returned_at, amount, currency,
    )  # fmt: skip


def _check_pairs(row: Row) -> None:
    for one, other in (("recalled_at", "due_on"), ("collateral_amount", "collateral_currency")):
        if bool(row.get(one)) is not bool(row.get(other)):
            there, missing = (one, other) if row.get(one) else (other, one)
            row.fault(f"gives {there} and no {missing}: both are wanted, or neither")


def less_lent(
    lines: Iterable[CustodyLine], loans: Sequence[StockLoan], isins: Sequence[str]
) -> tuple[CustodyLine, ...]:
    """Return custody lines without what they include, is lent, and their statements do not themselves call lent."""
    return tuple(_less(line, [x for x in loans if x.isin in isins]) for line in lines) if loans else tuple(lines)


def _less(line: CustodyLine, loans: Sequence[StockLoan]) -> CustodyLine:
    at = line.as_of
    if line.shares is None or at is None:
        return line
    mine = (x for x in loans if (x.custodian, x.account, x.position) == (line.custodian, line.account, INCLUDED))
    out = sum((x.quantity for x in mine if x.is_open(at)), Fraction(0))
    said = sum((e.shares for e in line.encumbrances if e.kind == _LENT), Fraction(0))
    beyond = out - said
    if beyond <= 0:
        return line
    others = [e for e in line.encumbrances if e.kind != _LENT]
    parts = tuple(sorted([*others, Encumbrance(_LENT, out)], key=lambda e: e.kind))
    taken = (line.encumbered or Fraction(0)) + beyond
    return replace(line, shares=line.shares - beyond, encumbered=taken, encumbrances=parts)


def loan_lines(
    instrument: Instrument, registry: Registry, loans: Sequence[StockLoan], at: datetime, isins: Sequence[str] = ()
) -> tuple[LoanLine, ...]:
    """Return the loans that are out at an instant, of the accounts that are collateral of an instrument."""
    named = isins or (instrument.isin,)
    evidence = {
        (c.custodian, a.account): c.evidence
        for c in registry.custodians for a in c.accounts if a.counts(instrument.symbol, at)
    }  # fmt: skip
    return tuple(
        _line(loan, evidence[loan.custodian, loan.account], registry, at)
        for loan in loans
        if loan.isin in named and (loan.custodian, loan.account) in evidence and loan.is_open(at)
    )


def _line(loan: StockLoan, evidence: str, registry: Registry, at: datetime) -> LoanLine:
    recalled, due = loan.recalled_at, loan.due_on
    if recalled is None or due is None or recalled > at:
        recalled, due, expires, state = None, None, None, _LENT
    else:
        # a day in a file keeps no recall coming for years
        latest = registry.calendar_of(loan.custodian).add(day_of(recalled), SETTLEMENT_DELAY_DAYS_MAX)
        expires = min(due, latest)
        state = "overdue" if day_of(at) > expires else "recalled"
    return LoanLine(
        loan.custodian, loan.account, loan.reference, loan.quantity, loan.position, state, loan.lent_at, recalled, due,
        expires, loan.collateral_amount, loan.collateral_currency, loan.borrower, loan.document, evidence,
    )  # fmt: skip


def loan_findings(instrument: Instrument, lines: Iterable[LoanLine]) -> Iterator[Finding]:
    """Yield the recalled shares that did not come back in their time."""
    for line in lines:
        if line.state != "overdue" or line.expires_on is None:
            continue
        due = f"due back on {line.due_on}" + ("" if line.due_on == line.expires_on else f" (by {line.expires_on})")
        who = "" if line.borrower is None else f" to {shown(line.borrower)}"
        what = f"{shares_text(line.shares, instrument)} of {line.custodian}/{line.account}, lent{who}"
        yield finding(
            "B20", instrument, f"loan/{line.custodian}/{line.reference}",
            f"{what} under {line.reference}, were recalled, {due}, and are not back{_held(line)}",
            shares=line.shares, at=day_begins(line.expires_on),
            details={"reference": line.reference, "document": line.document},
        )  # fmt: skip


def _held(line: LoanLine) -> str:
    if line.collateral_amount is None:
        return ""
    return (
        f"; {rounded_text(line.collateral_amount, SHOWN_PLACES)} {line.collateral_currency} of cash are held for them"
    )
