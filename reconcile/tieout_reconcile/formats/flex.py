"""Interactive Brokers Flex query as a statement: OpenPositions, with what is lent by SLBOpenContracts. Pure.

A position may stand as one SUMMARY row and again as its LOT rows (levelOfDetail): the summary counts, and
the lots must add up to it. isin, position, accountId and reportDate are needed. Positions are as of trade date;
where the importer declares ``basis = "settled"``, what the section Trades has bought or sold and not settled by
``reportDate`` (``settleDateTarget``) is taken off, and the query must reach back over all such trades.

Shares that are lent stay in the position: a contract of SLBOpenContracts (below zero) is lent, one of borrowed
shares borrowed. ``ibflex`` passes over attributes and words that it does not know and guesses dates as American,
and importing it needs an HTTP client, so the few attributes are read here (``flex_rows.py``).
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from fractions import Fraction

from tieout_reconcile.exact import decimal_text
from tieout_reconcile.files import InputFile, Problems, shown
from tieout_reconcile.formats.flex_rows import FlexRow, FlexStatement, Section, statements_of
from tieout_reconcile.formats.flex_trades import TRADES, Trades, side_of
from tieout_reconcile.formats.records import Empty, Record

BASIS = "trade_date"
POSITIONS = Section("OpenPositions", "OpenPosition", ("", "SUMMARY", "LOT"))
LOANS = Section("SLBOpenContracts", "SLBOpenContract", ("", "DETAIL"), ("SUMMARY",))
UNSETTLED_DAYS = 14
"""How many days before a position its query must begin, for no earlier trade to be unsettled: T+2 and holidays."""
_KIND_OF = {"ManagedLoan": "lent", "DirectLoan": "lent", "ManagedBorrow": "borrowed", "DirectBorrow": "borrowed"}

Key = tuple[str, str]
"""An account and an ISIN."""


@dataclass(frozen=True, slots=True)
class _Position:
    row: FlexRow
    number: int
    day: date
    size: Fraction

    @property
    def is_lot(self) -> bool:
        return self.row.get("levelOfDetail") == "LOT"


def is_flex(head: str) -> bool:
    """Whether a file begins like a Flex query's answer."""
    return "<FlexQueryResponse" in head


def parse(file: InputFile, problems: Problems, basis: str | None = None) -> tuple[list[Record], list[Empty]]:
    """Return the stock positions of all statements in the file. Faults go to ``problems``.

    ``basis`` is the declared one: settled positions are derived from those of the trade date.
    """
    numbers, records = itertools.count(1), list[Record]()
    for statement in statements_of(file, problems):
        if statement.count(POSITIONS) != 1:
            problems.add(statement.place, "has no section OpenPositions: add it to the Flex query")
        settled = basis == "settled" and problems.rule >= 3
        records += _records(statement, numbers, problems, settled=settled)
    return records, []


def _records(
    statement: FlexStatement, numbers: Iterator[int], problems: Problems, *, settled: bool
) -> Iterator[Record]:
    groups: dict[tuple[str, str, date], list[_Position]] = {}
    for row in statement.rows(POSITIONS):
        if row.is_stock and (found := _position(row, next(numbers))) is not None:
            groups.setdefault((*_key(row, statement), found.day), []).append(found)
    lent = _lent(statement) if problems.rule >= 3 else {}
    coming = _Unsettled(statement) if settled else None
    for (account, isin, day), rows in groups.items():
        if (size := _size(rows, problems)) is None:
            continue
        first, basis = rows[0], BASIS
        if coming is not None:
            size, basis = size - coming.of((account, isin), day, first.row), "settled"
        named = lent.pop((account, isin), {})
        own = first.row.values.get("accountId")
        yield Record(first.row.place, first.number, own, isin, size, basis, day, named)
    for account, isin in lent:
        problems.add(statement.place, f"{isin} in account {shown(account)} is lent or borrowed and has no position")


def _key(row: FlexRow, statement: FlexStatement) -> Key:
    return row.get("accountId") or statement.account, row.get("isin")


def _position(row: FlexRow, number: int) -> _Position | None:
    before = len(row.problems)
    row.needed("isin")
    day = row.day("reportDate")
    if day is None and len(row.problems) == before:
        row.needed("reportDate")
    if not row.get("position"):
        row.fault("position", "is empty: tick it in the Flex query")
    size = row.number_of("position")
    return None if day is None or len(row.problems) > before else _Position(row, number, day, size)


def _size(rows: list[_Position], problems: Problems) -> Fraction | None:
    """Return what the rows of one position say together; None where they contradict each other."""
    first = rows[0].row
    lots, summaries = [r for r in rows if r.is_lot], [r for r in rows if not r.is_lot]
    total = sum((lot.size for lot in lots), Fraction(0))
    if len(summaries) > 1:
        what = f"{first.get('isin')} in account {shown(first.values.get('accountId'))}"
        problems.add(first.place, f"{what} has {len(summaries)} summary rows")
        return None
    size = summaries[0].size if summaries else total
    if summaries and lots and size != total:
        said = f"the lots add up to {decimal_text(total)}, the summary says {decimal_text(size)}"
        problems.add(first.place, said)
        return None
    return size


def _lent(statement: FlexStatement) -> dict[Key, dict[str, Fraction]]:
    """Return what of each position is lent or borrowed, by kind."""
    found: dict[Key, dict[str, Fraction]] = {}
    for row in statement.rows(LOANS):
        if not row.is_stock or not row.needed("isin"):
            continue
        kind, size = _KIND_OF.get(row.get("type")), row.number_of("quantity")
        if kind is None:
            row.fault("type", f"{shown(row.get('type'))} is not one of {', '.join(sorted(_KIND_OF))}")
        elif size == 0 or (size < 0) is not (kind == "lent"):
            what = f"{shown(row.get('quantity'))} is {kind}"
            row.fault("quantity", f"{what}: what is lent stands below zero, what is borrowed above")
        else:
            parts = found.setdefault(_key(row, statement), {})
            parts[kind] = parts.get(kind, Fraction(0)) + abs(size)
    return found


class _Unsettled:
    """What was traded and has not settled on a day, by account and ISIN; shares that come are above zero."""

    def __init__(self, statement: FlexStatement) -> None:
        self._statement = statement
        self._trades = Trades(statement)
        if not statement.count(TRADES):
            what = 'is declared basis = "settled", and has no section Trades to tell what has not settled'
            statement.problems.add(statement.place, f"{what}: add it to the Flex query")
        self._first = statement.day("fromDate")
        self._last = statement.day("toDate")
        self._sizes: dict[Key, list[tuple[date, Fraction]]] = {}
        for row in self._trades.rows:
            side_of(row)
            day = self._trades.settles(row)
            if day is not None and row.needed("isin"):
                self._sizes.setdefault(_key(row, statement), []).append((day, row.number_of("quantity")))

    def of(self, key: Key, day: date, row: FlexRow) -> Fraction:
        """Return what has still to settle after a day, where the query reaches over all of it."""
        earliest = day - timedelta(days=UNSETTLED_DAYS)
        if self._first is None or self._first > earliest or self._last != day:
            period = f"{self._first or 'no fromDate'} to {self._last or 'no toDate'}"
            what = f"is of {day}, and the query's trades are of {period}"
            remedy = f"what has not settled is known by a query from {earliest} or earlier to {day}"
            row.problems.add(f"{row.place}/@reportDate", f"{what}: {remedy}")
        return sum((size for settles, size in self._sizes.get(key, ()) if settles > day), Fraction(0))
