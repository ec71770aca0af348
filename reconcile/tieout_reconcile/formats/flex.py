"""Interactive Brokers Flex query, section OpenPositions.

A position may stand as one SUMMARY row and again as its LOT rows (levelOfDetail): the summary counts, and
the lots must add up to it. Positions are as of trade date. Which attributes are there is the user's choice
in the query: isin, position, accountId and reportDate are needed. Dates are yyyyMMdd or yyyy-MM-dd: the
other styles that a query may choose cannot be told apart (03/04/2026). ``ibflex`` guesses them as American,
and importing it needs an HTTP client, so the few attributes are read here.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from fractions import Fraction
from xml.etree.ElementTree import Element

from tieout_reconcile.exact import decimal_text, parse_quantity
from tieout_reconcile.files import InputFile, Problems, shown
from tieout_reconcile.formats.records import Empty, Record
from tieout_reconcile.formats.xml import children, local, parse_xml

BASIS = "trade_date"
_DAY = re.compile(r"(\d{4})-?(\d\d)-?(\d\d)(?:[;, T].*)?", re.ASCII)
_LEVELS = ("", "SUMMARY", "LOT")


@dataclass(frozen=True, slots=True)
class _Row:
    place: str
    number: int
    account: str | None
    isin: str
    day: date
    size: Fraction
    is_lot: bool


def is_flex(head: str) -> bool:
    """Whether a file begins like a Flex query's answer."""
    return "<FlexQueryResponse" in head


def parse(file: InputFile, problems: Problems) -> tuple[list[Record], list[Empty]]:
    """Return the stock positions of all statements in the file. Faults go to ``problems``."""
    root = parse_xml(file)
    if local(root) != "FlexQueryResponse":
        problems.add(local(root), "is no FlexQueryResponse")
    groups: dict[tuple[str | None, str, date], list[_Row]] = {}
    for number, (place, element) in enumerate(_elements(root, problems), 1):
        if (row := _row(element, place, number, problems)) is not None:
            groups.setdefault((row.account, row.isin, row.day), []).append(row)
    return [record for rows in groups.values() if (record := _record(rows, problems)) is not None], []


def _elements(root: Element, problems: Problems) -> Iterator[tuple[str, Element]]:
    containers = list(children(root, "FlexStatements"))
    statements = [s for container in containers for s in children(container, "FlexStatement")]
    counts = [container.get("count") for container in containers]
    if not statements or counts not in ([str(len(statements))], [None]):
        problems.add("FlexStatements", f"holds {len(statements)} FlexStatement, its count is {shown(counts)}")
    for number, statement in enumerate(statements, 1):
        sections = list(children(statement, "OpenPositions"))
        if len(sections) != 1:
            problems.add(f"FlexStatement[{number}]", "has no section OpenPositions: add it to the Flex query")
        for section in sections:
            for n, element in enumerate(children(section, "OpenPosition"), 1):
                # stocks alone are shares; the attribute may be left out of the query
                if element.get("assetCategory", "STK") == "STK":
                    yield f"FlexStatement[{number}]/OpenPositions/OpenPosition[{n}]", element


def _row(element: Element, place: str, number: int, problems: Problems) -> _Row | None:
    isin, level = element.get("isin", ""), element.get("levelOfDetail", "")
    if not isin:
        problems.add(place, "has no attribute isin: tick it in the Flex query")
    if level not in _LEVELS:
        problems.add(f"{place}/@levelOfDetail", f"{shown(level)} is not one of SUMMARY, LOT")
    day = _day(element.get("reportDate", ""))
    if day is None:
        given = shown(element.get("reportDate", ""))
        problems.add(f"{place}/@reportDate", f"{given} is no date: tick it in the query, in the style yyyy-MM-dd")
    size = _size(element.get("position", ""), place, problems)
    if not isin or day is None or size is None:
        return None
    return _Row(place, number, element.get("accountId"), isin, day, size, level == "LOT")


def _day(text: str) -> date | None:
    found = _DAY.fullmatch(text)
    try:
        return date(int(found[1]), int(found[2]), int(found[3])) if found else None
    except ValueError:
        return None


def _size(text: str, place: str, problems: Problems) -> Fraction | None:
    try:
        return -parse_quantity(text[1:]) if text.startswith("-") else parse_quantity(text)
    except ValueError as bad:
        problems.add(f"{place}/@position", f"{shown(text)} {bad}")
        return None


def _record(rows: list[_Row], problems: Problems) -> Record | None:
    first = rows[0]
    lots, summaries = [r for r in rows if r.is_lot], [r for r in rows if not r.is_lot]
    total = sum((lot.size for lot in lots), Fraction(0))
    if len(summaries) > 1:
        problems.add(first.place, f"{first.isin} in account {shown(first.account)} has {len(summaries)} summary rows")
        return None
    size = summaries[0].size if summaries else total
    if summaries and lots and size != total:
        said = f"the lots add up to {decimal_text(total)}, the summary says {decimal_text(size)}"
        problems.add(first.place, said)
        return None
    return Record(first.place, first.number, first.account, first.isin, size, BASIS, first.day)
