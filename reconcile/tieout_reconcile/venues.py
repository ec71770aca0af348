"""Venues' own ledgers: what they owe their customers, and what they say they hold elsewhere. Pure.

Columns: ``venue, symbol, kind, quantity, unit, as_of`` and optionally ``account``. A file is the whole
ledger of each (venue, symbol, as_of) that it names.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction
from typing import Any

from tieout_reconcile import fields
from tieout_reconcile.canonical import to_plain
from tieout_reconcile.files import InputFile, Problems, Row, choice, csv_rows, parse_instant, shown
from tieout_reconcile.registry import Registry

REQUIRED = frozenset({"venue", "symbol", "kind", "quantity", "unit", "as_of"})
OPTIONAL = frozenset({"account"})
KINDS = ("customer", "house", "withdrawal_pending", "received_not_credited", "third_party_custody")
ASSET = "third_party_custody"
UNITS = ("raw", "shares")


@dataclass(frozen=True, slots=True)
class VenueLine:
    """One line of a venue's ledger. ``quantity`` is in raw units or shares, by ``unit``."""

    line: int
    venue: str
    mint: str
    kind: str
    account: str | None
    quantity: Fraction
    unit: str
    as_of: datetime

    def to_json(self) -> dict[str, Any]:
        """Return plain values; quantities as text."""
        return to_plain(self)


@dataclass(frozen=True, slots=True)
class Totals:
    """A venue's ledger summed, in raw units, exact. ``negative`` are customers' debts, which net nothing.

    ``rounding`` is how far lines kept in shares may lie from whole raw units, together.
    """

    customers: Fraction
    negative: Fraction
    house: Fraction
    withdrawals: Fraction
    received: Fraction
    elsewhere: Fraction
    rounding: Fraction

    @property
    def owed(self) -> Fraction:
        """Gross positive customers + house + withdrawals + received and not credited."""
        return self.customers + self.house + self.withdrawals + self.received


def totals(lines: Sequence[VenueLine], unit: Fraction) -> Totals:
    """Sum a ledger; ``unit`` is shares per raw unit at its instant."""

    def total(kind: str, counts: Callable[[Fraction], bool] = lambda _: True) -> Fraction:
        found = (_raw(x, unit) for x in lines if x.kind == kind and counts(x.quantity))
        return sum(found, Fraction(0))

    in_shares = sum(1 for x in lines if x.unit == "shares" and x.quantity)
    return Totals(
        total("customer", lambda q: q > 0), total("customer", lambda q: q < 0), total("house"),
        total("withdrawal_pending"), total("received_not_credited"), total(ASSET), Fraction(in_shares),
    )  # fmt: skip


def _raw(line: VenueLine, unit: Fraction) -> Fraction:
    return line.quantity if line.unit == "raw" else line.quantity / unit


def parse_venue_lines(file: InputFile, registry: Registry) -> list[VenueLine]:
    """Return the lines of a file. Raises BadInput with the line of each fault."""
    problems, seen = Problems(file.name), fields.Seen("this venue, symbol, kind, account and as_of")
    symbols = {i.symbol: i for i in registry.instruments}
    venues = {v.venue for v in registry.venues}
    lines = []
    for row in csv_rows(file, REQUIRED, OPTIONAL, problems):
        instrument = fields.instrument_of(row, symbols)
        if row.get("venue") not in venues:
            row.fault(f"venue {shown(row.get('venue'))} is not in the registry: add it under [[venues]]")
        if (line := _line(row, instrument.mint if instrument else "")) is not None:
            seen.check((line.venue, line.mint, line.kind, line.account, line.as_of), row)
            lines.append(line)
    problems.refuse_if_any()
    return lines


def _line(row: Row, mint: str) -> VenueLine | None:
    kind, unit = row.parsed("kind", choice(*KINDS)), row.parsed("unit", choice(*UNITS))
    quantity, as_of = row.parsed("quantity", fields.signed), row.parsed("as_of", parse_instant)
    if quantity is not None and quantity < 0 and kind != "customer":
        row.fault(f"is a {kind} below zero: only a customer's balance may be")
    if quantity is not None and unit == "raw" and quantity.denominator != 1:
        row.fault(f"quantity {shown(row.get('quantity'))} is a fraction of a raw unit: is it in shares?")
    if kind is None or unit is None or quantity is None or as_of is None:
        return None
    return VenueLine(row.line, row.get("venue"), mint, kind, row.get("account") or None, quantity, unit, as_of)
