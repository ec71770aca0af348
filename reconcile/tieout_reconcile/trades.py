"""Trades: what a custodian or broker has bought or sold for an account and not delivered yet.

Columns of the CSV: ``custodian, account, isin, reference, side`` (buy, sell), ``quantity`` (shares), ``traded_at`` (an
instant with its zone), ``status`` (pending, settled, failed, cancelled) and, unless pending, ``status_at``;
optionally ``settles_on`` (the contractual day; the US cycle's when left out) and ``action_id`` (the corporate
action whose cash it reinvests). The same reference again is a new version of the trade.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from datetime import date, datetime
from fractions import Fraction
from typing import Any

from stdnum import isin as isin_number

from tieout_reconcile import fields
from tieout_reconcile.calendars import day_of
from tieout_reconcile.canonical import to_plain
from tieout_reconcile.exact import parse_quantity
from tieout_reconcile.files import InputFile, Problems, Row, choice, csv_rows, parse_instant, shown
from tieout_reconcile.registry import Registry

REQUIRED = frozenset({
    "custodian", "account", "isin", "reference", "side", "quantity", "traded_at", "status",
})  # fmt: skip
OPTIONAL = frozenset({"status_at", "settles_on", "action_id"})
SIDES = ("buy", "sell")
STATUSES = ("pending", "settled", "failed", "cancelled")


@dataclass(frozen=True, slots=True)
class Trade:
    """One version of a trade."""

    line: int
    custodian: str
    account: str
    isin: str
    reference: str
    side: str
    quantity: Fraction
    traded_at: datetime
    settles_on: date
    status: str
    status_at: datetime | None
    action_id: str | None = None

    def status_as_of(self, at: datetime) -> str:
        """Return the status at an instant: what became of it later was still pending."""
        return "pending" if self.status_at is not None and self.status_at > at else self.status

    def is_unsettled(self, at: datetime) -> bool:
        """Whether it counts as unsettled: traded, still pending, and its settlement day has not come."""
        return self.traded_at <= at and self.status_as_of(at) == "pending" and not self.is_due(at)

    def is_due(self, at: datetime) -> bool:
        """Whether its settlement day has come, by the depository's calendar."""
        return day_of(at) >= self.settles_on

    @property
    def signed(self) -> Fraction:
        """The shares that will come, below zero those that will go."""
        return self.quantity if self.side == "buy" else -self.quantity

    def to_json(self) -> dict[str, Any]:
        """Return plain values; quantities as text."""
        return to_plain(self)

    def same_content(self, other: "Trade") -> bool:
        """Whether two versions say the same; the line in the file does not count."""
        return replace(self, line=0) == replace(other, line=0)


def parse_trades(file: InputFile, registry: Registry) -> list[Trade]:
    """Return the trades of a CSV file. Raises BadInput with the line of each fault."""
    problems = Problems(file.name)
    isins = {i.isin for i in registry.instruments}
    trades = trades_of_rows(csv_rows(file, REQUIRED, OPTIONAL, problems), registry, isins)
    problems.refuse_if_any()
    return trades


def trades_of_rows(rows: Iterable[Row], registry: Registry, isins: Collection[str] | None) -> list[Trade]:
    """Return the trades of rows in the columns above; what is at fault is told in its row.

    ``isins`` are those that are known, None where a file of all that an account trades may name others: they are
    kept, and count for nothing.
    """
    seen, trades = fields.Seen("reference"), []
    for row in rows:
        if (trade := _trade(row, isins, registry)) is not None:
            seen.check((trade.custodian, trade.reference), row)
            trades.append(trade)
    return trades


def _trade(row: Row, isins: Collection[str] | None, registry: Registry) -> Trade | None:
    isin, place = row.get("isin"), fields.account_of(row, registry)
    if isins is not None and isin not in isins:
        row.fault(f"isin {shown(isin)} belongs to no instrument of the registry (B7 UNMAPPED_IDENTIFIER)")
    elif not isin_number.is_valid(isin):
        row.fault(f"isin {shown(isin)} is no ISIN")
    reference, quantity = row.parsed("reference", fields.key), row.parsed("quantity", parse_quantity)
    side, status = row.parsed("side", choice(*SIDES)), row.parsed("status", choice(*STATUSES))
    traded_at, settles_on = row.parsed("traded_at", parse_instant), row.optional("settles_on", fields.day)
    action_id = row.optional("action_id", fields.key)
    if traded_at is not None and not row.get("settles_on"):
        settles_on = registry.calendar_of(row.get("custodian")).settles_on(day_of(traded_at))
    status_at = row.optional("status_at", parse_instant)
    if quantity == 0:
        row.fault("is a trade of nothing: its quantity is 0")
    if status is not None and (status == "pending") is (status_at is not None):
        row.fault("gives a status_at and is pending" if status_at else f"is {status} and has no status_at")
    if status_at is not None and traded_at is not None and status_at < traded_at:
        row.fault(f"status_at {status_at} is before traded_at {traded_at}")
    if traded_at is not None and settles_on is not None:
        traded_on = day_of(traded_at)
        if settles_on < traded_on:
            row.fault(f"settles_on {settles_on} is before the trade day {traded_on}")
    if reference is None or quantity is None or side is None or status is None:
        return None
    if traded_at is None or settles_on is None or place is None:
        return None
    return Trade(
        row.line, *place, isin, reference, side, quantity, traded_at, settles_on, status, status_at,
        action_id,
    )  # fmt: skip
