"""The bookings of an Interactive Brokers Flex query, as rows of a movement file. Pure.

Trades, Transfers, CorporateActions and CashTransactions of stocks; each row's key is its ``transactionID``, for a
``tradeID`` comes again when a trade is corrected.

A trade settles at the cut-off of its ``settleDateTarget``, where both the statement (``toDate``) and the declared
period reach that far; else it is pending. A cancelled trade (``Ca``) stands twice, as it was booked and taken back
with the sign turned: each is a movement of its own, so that it is all the same whether one file or two tell it. A
correction (``TradeCorrect``) is a third, and is taken only where what it corrects is taken back.

A Flex query lists trades by their trade date. Whoever declares a period (``--from``, ``--to``) says that every
movement in it is known: so the query must reach back over the trades that settle after ``--from``, up to ``--to``,
and hold all four sections.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from tieout_reconcile import fields
from tieout_reconcile.exact import decimal_text
from tieout_reconcile.files import InputFile, Problems, Row, shown
from tieout_reconcile.formats.flex_rows import FlexRow, FlexStatement, Section, statements_of
from tieout_reconcile.formats.flex_trades import TRADES, Places, Trades, names, reach_of, settled_at, side_of, traded_at
from tieout_reconcile.formats.mt536 import Clock
from tieout_reconcile.movements import Period
from tieout_reconcile.registry import Registry, instant_text

_DETAIL = (("", "DETAIL"), ("SUMMARY",))
TRANSFERS = Section("Transfers", "Transfer", ("", "TRANSFER", "DETAIL"), ("LOT", "SUMMARY"), frozenset({"TransferLot"}))
ACTIONS = Section("CorporateActions", "CorporateAction", *_DETAIL)
CASH = Section("CashTransactions", "CashTransaction", *_DETAIL)
SECTIONS = (TRADES, TRANSFERS, ACTIONS, CASH)

_PAID = frozenset({"Dividends", "Payment In Lieu Of Dividends"})
"""Cash that is paid on a holding, and cannot be without one."""
_TAXED = frozenset({"Withholding Tax", "871(m) Withholding"})
_CHARGED = frozenset({
    "Other Fees", "Broker Fees", "Advisor Fees", "Commission Adjustments", "Price Adjustments", "Other Income",
})  # fmt: skip
_PLAIN_CASH = frozenset({
    "Deposits/Withdrawals", "Deposits & Withdrawals", "Broker Interest Paid", "Broker Interest Received",
    "Bond Interest Paid", "Bond Interest Received",
})  # fmt: skip
_REORGANISED = frozenset({
    "CD", "CH", "DI", "DW", "ED", "FI", "FS", "GV", "HD", "HI", "IC", "OR", "PI", "PV", "RI", "RS", "SD", "SO", "SR",
    "TC", "TI", "TO",
})  # fmt: skip
"""The types of corporate action that concern stocks."""


def parse(file: InputFile, registry: Registry, declared: Period, clock: Clock, problems: Problems) -> list[Row]:
    """Return a row for each booking of shares, or of cash on shares. Faults go to ``problems`` with their elements."""
    found: list[Row] = []
    for statement in statements_of(file, problems):
        if not any(statement.count(section) for section in SECTIONS):
            wanted = ", ".join(section.name for section in SECTIONS)
            problems.add(statement.place, f"has none of the sections {wanted}: add them to the Flex query")
        found += _Reader(statement, registry, declared, clock, problems).rows()
    return [Row(number, row.values, problems, row.place) for number, row in enumerate(found, 1)]


@dataclass(frozen=True, slots=True)
class Booked:
    """What a row of any section moves; ``settled`` and ``due`` are not known where they are None."""

    kind: str
    quantity: str
    cash: str
    traded: datetime | None
    settled: datetime | None
    due: date | None
    request_id: str = ""


class _Reader:
    """Turns a statement's rows into those of a movement file, which then hold them to the same rules."""

    def __init__(
        self, statement: FlexStatement, registry: Registry, declared: Period, clock: Clock, problems: Problems
    ) -> None:
        self._statement = statement
        self._registry = registry
        self._declared = declared
        self._clock = clock
        self._problems = problems
        self._places = Places(statement, registry, declared)
        self._reach = reach_of(statement, declared, clock, problems)

    def rows(self) -> Iterator[Row]:
        self._check_period()
        self._trades = Trades(self._statement)
        for row in self._trades.rows:
            yield from self._row(row, self._trade(row))
        for section, read in ((TRANSFERS, self._transfer), (ACTIONS, self._action), (CASH, self._cash)):
            for row in self._statement.rows(section):
                if row.is_stock or (section is CASH and row.get("isin")):
                    yield from self._row(row, read(row))

    def _row(self, row: FlexRow, booked: Booked | None) -> Iterator[Row]:
        if booked is None:
            return
        custodian, account = self._places.of(row)
        values = {
            "custodian": custodian, "account": account, "isin": row.needed("isin"), "quantity": booked.quantity,
            "kind": booked.kind, "reference": row.needed("transactionID"), "request_id": booked.request_id,
            "action_id": row.get("actionID"), "traded_at": instant_text(booked.traded) or "",
            "settled_at": instant_text(booked.settled) or "",
            "settles_on": "" if booked.due is None else booked.due.isoformat(), "cash": booked.cash,
            "currency": row.needed("currency") if booked.cash else "",
        }  # fmt: skip
        if values["isin"] and values["reference"]:
            yield Row(row.number, values, self._problems, row.place)

    def _trade(self, row: FlexRow) -> Booked | None:
        before, side = len(self._problems), side_of(row)
        day, traded = self._trades.settles(row), traded_at(row, self._clock)
        settled = settled_at(row, day, self._reach, self._clock)
        if len(self._problems) > before:
            return None
        # a dividend that is reinvested by the broker itself is bought under the code R
        kind = "reinvest" if side == "buy" and "R" in row.codes() else side
        cash, ours = _text(row, "netCash"), _request_id(row, "orderReference")
        return Booked(kind, _text(row, "quantity"), cash, traded, settled, day, ours)

    def _transfer(self, row: FlexRow) -> Booked | None:
        size, direction = row.number_of("quantity"), row.get("direction")
        if not size:
            return None
        if direction not in ("IN", "OUT"):
            row.fault("direction", f"{shown(direction)} is neither IN nor OUT: tick it in the Flex query")
        elif direction == "IN" and size < 0:
            row.fault("quantity", f"{shown(row.get('quantity'))} comes in, and is below zero")
        kind, size = ("receive", size) if direction == "IN" else ("deliver", -abs(size))
        settled, due = self._when(row, "date")
        return Booked(kind, decimal_text(size), "", None, settled, due, _request_id(row, "clientReference"))

    def _action(self, row: FlexRow) -> Booked | None:
        if row.get("type") not in _REORGANISED:
            row.fault("type", f"{shown(row.get('type'))} is not one of {names(_REORGANISED)}: declare it in a CSV")
        quantity, cash = _text(row, "quantity"), _text(row, "proceeds")
        if not quantity and not cash:
            return None
        settled, due = self._when(row)
        return Booked("split" if quantity else "dividend", quantity or "0", cash, None, settled, due)

    def _cash(self, row: FlexRow) -> Booked | None:
        kind, cash = row.get("type"), _text(row, "amount")
        if kind not in _PAID | _TAXED | _CHARGED | _PLAIN_CASH:
            known = names(_PAID | _TAXED | _CHARGED | _PLAIN_CASH)
            row.fault("type", f"{shown(kind)} is not one of {known}: declare it in a CSV")
        of_holding = row.get("isin") or (row.get("symbol") and kind in _TAXED) or kind in _PAID
        if not cash or kind in _PLAIN_CASH or not of_holding:
            return None
        settled, due = self._when(row)
        return Booked("fee" if kind in _CHARGED else "dividend", "0", cash, None, settled, due)

    def _when(self, row: FlexRow, *others: str) -> tuple[datetime | None, date | None]:
        """When a booking took place, and its day: at its own time, or at the cut-off of a later day of settlement."""
        moments = (row.moment(name) for name in ("dateTime", *others, "reportDate"))
        moment = next((m for m in moments if m is not None), None)
        day = row.day("settleDate")
        if moment is None and day is None:
            row.problems.add(row.place, "has neither dateTime, settleDate nor reportDate: tick one in the Flex query")
            return None, None
        booked = moment.date() if isinstance(moment, datetime) else moment
        if moment is None or (day is not None and booked is not None and day > booked):
            moment = day
        due = day or booked
        if moment is None:
            return None, due
        return self._clock.instant(moment, row.place, self._problems), due

    def _check_period(self) -> None:
        """Hold a declared period to what the query can know of it."""
        start, end, place = self._declared.start, self._declared.end, self._statement.place
        if start is None or end is None:
            return
        for section in SECTIONS:
            if not self._statement.count(section):
                what = f"has no section {section.name}, so not every movement of the period is known"
                self._problems.add(place, f"{what}: add it to the Flex query, or declare no period")
        first, last = self._statement.day("fromDate"), self._statement.day("toDate")
        if first is None or last is None:
            self._problems.add(place, "has no fromDate and toDate: how far it reaches is unknown, declare no period")
            return
        if self._reach is not None and end > self._reach:
            what = f"reaches to {instant_text(self._reach)} (toDate {last} at the cut-off)"
            self._problems.add(place, f"{what}, and the declared period ends after it")
        self._check_start(start, first)

    def _check_start(self, start: datetime, first: date) -> None:
        """What was traded before the query's first day is not in it, and must have settled before the period."""
        calendar = self._registry.calendar_of(self._places.of()[0])
        settles = calendar.settles_on(first - timedelta(days=1))
        latest = self._clock.instant(settles, f"{self._statement.place}/@fromDate", self._problems)
        if latest is not None and latest > start:
            what = f"begins with trades of {first}: those of the day before settle on {settles}, inside the period"
            self._problems.add(self._statement.place, f"{what}: let the Flex query begin earlier")


def _request_id(row: FlexRow, name: str) -> str:
    """Return the account owner's own reference, which names the order; words that can be no request id name none."""
    try:
        return fields.request_id(row.get(name))
    except ValueError:
        return ""


def _text(row: FlexRow, name: str) -> str:
    """Return a number as text, empty for 0 and where it is not there."""
    found = row.number_of(name)
    return decimal_text(found) if found else ""
