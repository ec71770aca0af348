"""The map that goes with a file: what its format leaves open, declared once a custodian, in TOML.

::

    format = "csv"                 # all keys are optional
    custodian = "bank"             # of several that have an account of the same name
    account = "0815"
    basis = "settled"              # or trade_date
    time_zone = "Europe/Zurich"    # of times and days without one
    cut_off = "17:30"              # the time of day that a day alone stands for
    delimiter = ";"                # CSV, as are the next three
    decimal = ","
    thousands = "'"
    date_format = "%d.%m.%Y"       # ISO 8601 when left out

    [columns]                      # CSV: what each column is called
    isin = "ISIN"
    quantity = "Bestand"           # account, basis, as_of, available, lent, pledged, blocked, borrowed too

    [isins]                        # formats that name tickers alone
    AAPL = "US0378331005"
"""

import tomllib
from dataclasses import dataclass, field
from datetime import datetime, time
from typing import Any
from zoneinfo import ZoneInfo

from tieout_reconcile.errors import BadInput
from tieout_reconcile.files import InputFile, Problems, decode_text, shown
from tieout_reconcile.formats.records import KINDS, Declared
from tieout_reconcile.statements import BASES

COLUMNS = frozenset({"isin", "quantity", "account", "basis", "as_of", "available", *KINDS})
_TEXTS = frozenset({
    "format", "custodian", "account", "basis", "time_zone", "cut_off", "delimiter", "decimal", "thousands",
    "date_format",
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class StatementMap:
    """A map, read and checked. ``texts`` holds what was given; the properties say what it means."""

    texts: dict[str, str] = field(default_factory=dict)
    columns: dict[str, str] = field(default_factory=dict)
    isins: dict[str, str] = field(default_factory=dict)

    def declared(self, custodian: str | None, account: str | None, as_of: datetime | None) -> Declared:
        """Return the declaration; what is said on the command line goes before the map."""
        cut_off, zone = self.texts.get("cut_off"), self.texts.get("time_zone")
        return Declared(
            custodian or self.texts.get("custodian"),
            account or self.texts.get("account"),
            self.texts.get("basis"),
            as_of,
            ZoneInfo(zone) if zone else None,
            time.fromisoformat(cut_off) if cut_off else None,
        )

    def to_json(self) -> dict[str, Any]:
        """Return plain values, by which two declarations are told apart."""
        return {"texts": self.texts, "columns": self.columns, "isins": self.isins}


def parse_map(file: InputFile) -> StatementMap:
    """Return the map of a TOML file. Raises BadInput with the place of each fault."""
    try:
        tables = tomllib.loads(decode_text(file))
    except (tomllib.TOMLDecodeError, RecursionError) as bad:
        raise BadInput(file.name, [f"it is not TOML: {bad}"]) from None
    problems = Problems(file.name)
    columns, isins = _table(tables, "columns", problems), _table(tables, "isins", problems)
    texts = {key: value for key, value in tables.items() if key not in ("columns", "isins")}
    for key in sorted(texts.keys() - _TEXTS):
        problems.add(shown(key), f"is not one of {', '.join(sorted(_TEXTS | {'columns', 'isins'}))}")
    for key, value in texts.items():
        if not isinstance(value, str) or not value:
            problems.add(key, f"{shown(value)} is not a string")
    for key in sorted(columns.keys() - COLUMNS):
        problems.add(f"columns.{key}", f"is not one of {', '.join(sorted(COLUMNS))}")
    if columns and not {"isin", "quantity"} <= columns.keys():
        problems.add("columns", "names no column for isin and quantity")
    problems.refuse_if_any()
    _check_values(texts, problems)
    problems.refuse_if_any()
    return StatementMap(texts, columns, isins)


def _table(tables: dict[str, Any], key: str, problems: Problems) -> dict[str, str]:
    table = tables.get(key, {})
    if not isinstance(table, dict) or not all(isinstance(value, str) for value in table.values()):
        problems.add(key, "is no table of strings")
        return {}
    return table


def _check_values(texts: dict[str, str], problems: Problems) -> None:
    if (basis := texts.get("basis", "settled")) not in BASES:
        problems.add("basis", f"{shown(basis)} is not one of {', '.join(BASES)}")
    try:
        ZoneInfo(texts.get("time_zone", "UTC"))
    except (ValueError, OSError, KeyError):
        problems.add("time_zone", f"{shown(texts['time_zone'])} is no zone like Europe/Zurich")
    try:
        if time.fromisoformat(texts.get("cut_off", "00:00")).tzinfo is not None:
            raise ValueError
    except ValueError:
        problems.add("cut_off", f"{shown(texts['cut_off'])} is no time of day like 17:30")
    if texts.get("decimal", ".") not in (".", ","):
        problems.add("decimal", f"{shown(texts['decimal'])} is neither a point nor a comma")
    for key in ("delimiter", "thousands"):
        if len(texts.get(key, ",")) != 1 or texts.get(key, ",").isalnum():
            problems.add(key, f"{shown(texts[key])} is not one sign")
    if texts.get("thousands", "") == texts.get("decimal", "."):
        problems.add("thousands", "is the decimal sign too")
