"""What every section of an Interactive Brokers Flex query has in common: statements, rows, dates, numbers. Pure.

Which sections and attributes are there is the user's choice in the query: what a row needs and lacks is a fault
that says to tick it, an attribute that nobody asked for is passed over. A row of a kind that is not known, or of
a level of detail that is not, is a fault: it may move shares. Dates are yyyyMMdd or yyyy-MM-dd; the other styles
that a query may choose cannot be told apart (03/04/2026).
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from fractions import Fraction
from xml.etree.ElementTree import Element

from tieout_reconcile.exact import parse_signed
from tieout_reconcile.files import InputFile, Problems, shown
from tieout_reconcile.formats.xml import children, local, parse_xml

_DAY = re.compile(r"(\d{4}-?\d\d-?\d\d)(?:[;, T].*)?", re.ASCII)
_MOMENT = re.compile(r"(\d{4})-?(\d\d)-?(\d\d)(?:(?:;|, ?| |T)(\d\d):?(\d\d):?(\d\d))?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Section:
    """A section's name, the element of its rows, and which levels of detail count; the others repeat those.

    ``repeats`` are elements beside the rows that say the same again, summed or by lot.
    """

    name: str
    row: str
    counts: tuple[str, ...]
    passed: tuple[str, ...] = ()
    repeats: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class FlexRow:
    """One row with its place in the file; a fault of it goes to ``problems``."""

    place: str
    number: int
    values: Mapping[str, str]
    problems: Problems

    def get(self, name: str) -> str:
        """Return an attribute, empty where it is not there."""
        return self.values.get(name, "").strip()

    def fault(self, name: str, what: str) -> None:
        """Record a fault of an attribute."""
        self.problems.add(f"{self.place}/@{name}", what)

    def needed(self, name: str) -> str:
        """Return an attribute; a fault where it is not there."""
        if not self.get(name):
            self.problems.add(self.place, f"has no attribute {name}: tick it in the Flex query")
        return self.get(name)

    def number_of(self, name: str) -> Fraction:
        """Return a number, 0 where it is not there."""
        text = self.get(name)
        try:
            return parse_signed(text) if text else Fraction(0)
        except ValueError as bad:
            self.fault(name, f"{shown(text)} {bad}")
            return Fraction(0)

    def moment(self, name: str) -> datetime | date | None:
        """Return a local time or a day, None where it is not there."""
        text = self.get(name)
        if not text:
            return None
        found = moment_of(text)
        if found is None:
            self.fault(name, f"{shown(text)} is no date: choose the style yyyy-MM-dd;HHmmss in the Flex query")
        return found

    def day(self, name: str) -> date | None:
        """Return a day, whatever time stands beside it; None where it is not there."""
        found = _DAY.fullmatch(self.get(name))
        found_day = None if found is None else moment_of(found[1])
        if self.get(name) and found_day is None:
            self.fault(name, f"{shown(self.get(name))} is no date: tick it in the query, in the style yyyy-MM-dd")
        return found_day

    def codes(self) -> list[str]:
        """Return its codes: ``Ca`` cancelled, ``R`` reinvested and so on."""
        return [code.strip() for code in re.split("[;,]", self.get("notes") or self.get("code"))]

    @property
    def is_stock(self) -> bool:
        """Whether it is of shares: stocks alone are; the attribute may be left out of the query."""
        return self.values.get("assetCategory", "STK") == "STK"


@dataclass(frozen=True, slots=True)
class FlexStatement:
    """One account's statement, and where its sections are."""

    place: str
    element: Element
    problems: Problems

    @property
    def account(self) -> str:
        """Whose it is, empty where it does not say."""
        return self.element.get("accountId", "").strip()

    def day(self, name: str) -> date | None:
        """Return the first or last day of its period (``fromDate``, ``toDate``), None where it does not say."""
        return FlexRow(self.place, 0, self.element.attrib, self.problems).day(name)

    def count(self, section: Section) -> int:
        """Return how often a section is there, be it empty."""
        return sum(1 for _ in children(self.element, section.name))

    def rows(self, section: Section) -> Iterator[FlexRow]:
        """Yield the rows of a section that count. What is not known in it is a fault."""
        for container in children(self.element, section.name):
            place, counted, passed = f"{self.place}/{section.name}", 0, 0
            for number, element in enumerate(container, 1):
                row = FlexRow(f"{place}/{local(element)}[{number}]", number, element.attrib, self.problems)
                level = row.get("levelOfDetail")
                if local(element) in section.repeats or level in section.passed:
                    passed += row.is_stock
                elif local(element) != section.row:
                    self.problems.add_since(3, row.place, f"is not known: {section.row} is taken")
                elif level not in section.counts:
                    known = ", ".join(level for level in section.counts + section.passed if level)
                    row.fault("levelOfDetail", f"{shown(level)} is not one of {known}")
                else:
                    counted += 1
                    yield row
            if passed and not counted:
                wanted = " or ".join(level for level in section.counts if level)
                self.problems.add(place, f"holds sums alone: tick the level of detail {wanted} in the Flex query")


def moment_of(text: str) -> datetime | date | None:
    """Return a local time, a day where no time stands beside it, or None for neither."""
    found = _MOMENT.fullmatch(text)
    if found is None:
        return None
    parts = [int(part) for part in found.groups() if part is not None]
    try:
        return date(*parts) if len(parts) == 3 else datetime(*parts)  # type: ignore[arg-type] # noqa: DTZ001 - local
    except ValueError:
        return None


def statements_of(file: InputFile, problems: Problems) -> list[FlexStatement]:
    """Return the statements of a Flex query's answer. Raises BadInput for what is not plain, bounded XML."""
    root = parse_xml(file)
    if local(root) != "FlexQueryResponse":
        problems.add(local(root), "is no FlexQueryResponse")
    containers = list(children(root, "FlexStatements"))
    found = [s for container in containers for s in children(container, "FlexStatement")]
    counts = [container.get("count") for container in containers]
    if not found or counts not in ([str(len(found))], [None]):
        problems.add("FlexStatements", f"holds {len(found)} FlexStatement, its count is {shown(counts)}")
    return [FlexStatement(f"FlexStatement[{n}]", element, problems) for n, element in enumerate(found, 1)]
