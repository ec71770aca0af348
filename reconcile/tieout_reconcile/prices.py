"""Dated prices, and what figures in shares are worth by them: shown beside, and read by nothing that judges. Pure.

Columns: ``isin, date, price, currency, source`` and optionally ``mic`` (ISO 10383, the market). The key is (isin,
currency, date): a newer row of the same one supersedes the older. Nothing is converted between currencies. No verdict,
figure in shares, finding, tolerance or order of anything imports this module; a test holds that.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from fractions import Fraction
from typing import Any

from tieout_reconcile import fields
from tieout_reconcile.calendars import day_of
from tieout_reconcile.canonical import to_plain
from tieout_reconcile.files import InputFile, Problems, Row, csv_rows
from tieout_reconcile.registry import Registry
from tieout_reconcile.results import InstrumentResult

REQUIRED = frozenset({"isin", "date", "price", "currency", "source"})
OPTIONAL = frozenset({"mic"})
_MIC = re.compile(r"[A-Z0-9]{4}")


@dataclass(frozen=True, slots=True)
class Price:
    """One version of a price: ``price`` units of ``currency`` for one share on a day, by whose word."""

    line: int
    isin: str
    day: date
    price: Fraction
    currency: str
    source: str
    mic: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Return plain values; the price as text."""
        return to_plain(self)


def parse_prices(file: InputFile, _: Registry) -> list[Price]:
    """Return the prices of a CSV file. Raises BadInput with the line of each fault."""
    problems, seen = Problems(file.name), fields.Seen("the price of this isin, currency and date")
    prices = []
    for row in csv_rows(file, REQUIRED, OPTIONAL, problems):
        if (price := _price(row)) is not None:
            seen.check((price.isin, price.currency, price.day), row)
            prices.append(price)
    problems.refuse_if_any()
    return prices


def _price(row: Row) -> Price | None:
    before = len(row.problems)
    isin, day = row.parsed("isin", fields.isin), row.parsed("date", fields.day)
    price, currency = row.parsed("price", fields.positive), row.parsed("currency", fields.money)
    mic = row.optional("mic", _mic)
    if not (source := row.get("source")):
        row.fault("has no source: say whose price it is, like the closing price of a data vendor")
    if len(row.problems) > before or isin is None or day is None or price is None or currency is None:
        return None
    return Price(row.line, isin, day, price, currency, source, mic)


def _mic(text: str) -> str:
    if not _MIC.fullmatch(text):
        raise ValueError("is no market identifier code (ISO 10383) like XNAS")
    return text


@dataclass(frozen=True, slots=True)
class ValueLine:
    """What an instrument's figures are worth in one currency, exact, by the last price on or before the cut-off's day.

    ``payable`` is what redemptions are owed in that very currency: it is shown, not computed by the price. A figure
    that is unknown has no value. ``problem`` says why there is no price; ``day`` is then that of the last there is.
    """

    symbol: str
    isin: str
    currency: str | None
    day: date | None
    price: Fraction | None
    source: str | None
    mic: str | None
    liability: Fraction | None
    custody: Fraction | None
    difference: Fraction | None
    payable: Fraction | None
    problem: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return to_plain(self)


def values_of(
    results: Iterable[InstrumentResult],
    days_max: Mapping[str, int],
    prices: Iterable[Price],
    at: datetime | None,
    *,
    cash: bool = True,
) -> list[ValueLine]:
    """Return the values of instruments at a cut-off, in their order, a line a currency.

    A price older than ``days_max`` of the instrument on the cut-off's day (the depository's) is none. ``cash``
    False: the results say nothing of what is owed in cash.
    """
    by_isin: dict[str, dict[str, Price]] = {}
    day = None if at is None else day_of(at)
    for price in prices:
        last = by_isin.setdefault(price.isin, {})
        known = last.get(price.currency)
        if day is not None and price.day <= day and (known is None or known.day < price.day):
            last[price.currency] = price
    lines = [line for r in results for line in _lines(r, by_isin.get(r.isin, {}), day, days_max[r.symbol])]
    return lines if cash else [replace(line, payable=None) for line in lines]


def _lines(result: InstrumentResult, last: dict[str, Price], day: date | None, days_max: int) -> list[ValueLine]:
    if not last or day is None:
        why = "no price: the cut-off's time is unknown" if day is None else "no price"
        return [ValueLine(result.symbol, result.isin, *(None,) * 9, why)]
    return [_line(result, last[currency], day, days_max) for currency in sorted(last)]


def _line(result: InstrumentResult, price: Price, day: date, days_max: int) -> ValueLine:
    owed = (t.outstanding for t in result.cash if (t.kind, t.currency) == ("payable", price.currency))
    payable = sum(owed, Fraction(0))
    head = (result.symbol, result.isin, price.currency, price.day)
    if price.day < day - timedelta(days=days_max):
        why = f"no price within {days_max} days before {day}: the last is of {price.day}"
        return ValueLine(*head, None, price.source, price.mic, None, None, None, payable, why)
    liability, custody, difference = (
        None if figure is None else figure * price.price
        for figure in (result.liability, result.custody, result.difference)
    )
    return ValueLine(*head, price.price, price.source, price.mic, liability, custody, difference, payable)
