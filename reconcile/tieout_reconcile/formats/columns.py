"""CSV of any layout, by a declared column map: which column is what, in which number and date style."""

import re
from collections.abc import Callable
from datetime import date, datetime
from fractions import Fraction

from tieout_reconcile.exact import parse_quantity, parse_signed
from tieout_reconcile.files import SPACES, InputFile, Problems, Row, choice, csv_rows
from tieout_reconcile.formats.declared import StatementMap
from tieout_reconcile.formats.records import KINDS, Empty, Record
from tieout_reconcile.statements import BASES


def parse(file: InputFile, given: StatementMap, problems: Problems) -> tuple[list[Record], list[Empty]]:
    """Return a record for each row. Faults go to ``problems`` with their lines."""
    columns = frozenset(given.columns.values())
    delimiter = given.texts.get("delimiter", ",")
    number = number_parser(given.texts.get("decimal", "."), given.texts.get("thousands", ""))
    moment = moment_parser(given.texts.get("date_format"))
    rows = csv_rows(file, columns, frozenset(), problems, delimiter=delimiter, others=True)
    records = [_record(row, given.columns, number, moment) for row in rows]
    return [record for record in records if record is not None], []


def _record(
    row: Row,
    columns: dict[str, str],
    number: Callable[[str], Fraction],
    moment: Callable[[str], datetime | date],
) -> Record | None:
    def optional(name: str, parse: Callable[[str], Fraction]) -> Fraction | None:
        return row.optional(columns[name], parse) if name in columns else None

    quantity = row.parsed(columns["quantity"], lambda text: parse_signed(text, number))
    basis = row.parsed(columns["basis"], choice(*BASES)) if "basis" in columns else None
    at = row.parsed(columns["as_of"], moment) if "as_of" in columns else None
    account = row.get(columns["account"]) if "account" in columns else None
    named = {kind: size for kind in KINDS if (size := optional(kind, number)) is not None}
    available = optional("available", number)
    if quantity is None:
        return None
    isin = row.get(columns["isin"])
    return Record(f"line {row.line}", row.line, account, isin, quantity, basis, at, named, available)


def number_parser(decimal: str, thousands: str) -> Callable[[str], Fraction]:
    """Return a parser of numbers in a style. Digits between thousands signs must be three, or it is no number."""
    # programs write a blank, a no-break and a narrow no-break space for one another
    sign = f"[{SPACES}]" if thousands and thousands in SPACES else re.escape(thousands)
    grouped = re.compile(rf"\d{{1,3}}(?:{sign}\d{{3}})+(?:{re.escape(decimal)}\d*)?", re.ASCII)

    def parse(text: str) -> Fraction:
        if thousands and grouped.fullmatch(text):
            text = re.sub(sign, "", text)
        if decimal != "." and "." in text:
            raise ValueError(f"has a point, but {decimal!r} is declared as the decimal sign")
        return parse_quantity(text.replace(decimal, "."))

    return parse


def moment_parser(date_format: str | None) -> Callable[[str], datetime | date]:
    """Return a parser of times: by a strptime format, else ISO 8601. One without a time of day gives a day."""

    def parse(text: str) -> datetime | date:
        try:
            if date_format is None:
                return date.fromisoformat(text) if len(text) == len("2026-01-31") else datetime.fromisoformat(text)
            found = datetime.strptime(text, date_format)  # noqa: DTZ007 - the zone is declared apart
        except ValueError:
            raise ValueError(f"is no date of the form {date_format or 'YYYY-MM-DD'}") from None
        return found if "%H" in date_format else found.date()

    return parse
