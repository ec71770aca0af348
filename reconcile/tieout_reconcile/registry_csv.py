"""A registry as CSV: one file with a part for each kind of entry, or a folder with a file for each.

::

    [instruments]
    symbol,mint,isin,decimals,chains
    AAPLx,XsbE…,US0378331005,8,ethereum

    [accounts]
    custodian,id,instruments
    alpaca,ITN-1,AAPLx MSFTx

The columns are the keys of the TOML file, a blank cell is a key that is left out. Accounts name their custodian. A
list is separated by blanks, ``-`` is one with nothing in it; rows of one calendar, or of one account, add up. A folder
holds ``instruments.csv``, ``wallets.csv`` and so on, and becomes one file in which each part is called by its name.
"""

import re
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Any

from tieout_reconcile.errors import BadInput
from tieout_reconcile.files import FILE_BYTES_MAX, InputFile, Problems, Row, csv_rows, decode_text, read_file, shown

_INTERVAL = ("valid_from", "valid_to")
COLUMNS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "instruments": (
        ("symbol", "mint", "isin", "decimals"),
        ("name", "buffer_shares", *_INTERVAL, "chains", "chain_age_hours_max", "bridge_hours_max", "late_days_max",
         "redemption_days_max", "price_days_max", "large_share", "inventory_authorised", "calendar"),
    ),
    "wallets": (
        ("role", "valid_from", "source"),
        ("owner", "account", "instrument", "valid_to", "evidence", "venue", "holder", "proven_at", "wrapper"),
    ),
    "custodians": (("id", "name"), ("quantum", "currency", "max_age_hours", "calendar", "evidence")),
    "accounts": (("custodian", "id"), ("instruments", *_INTERVAL)),
    "calendars": (("id",), ("closed", "weekend")),
    "venues": (("id", "name"), ("max_age_hours",)),
    "sources": (("kind", "name"), ("every_minutes", "at", "time_zone", "grace_minutes", "calendar")),
    "announced": (("kind", *_INTERVAL, "source"), ("account", "instrument")),
    "payment_tokens": (("currency", "mint", "decimals"), ()),
}  # fmt: skip
"""The columns of each part: those that are needed, and the others."""
_PART = re.compile(rf"\[({'|'.join(COLUMNS)})(\.csv)?\]\s*")
_HEAD = re.compile(rf"\s*{_PART.pattern}\n[^=\n]*(?:\n|\Z)")
_ADDS_UP = {"calendars": ("id", "closed"), "accounts": ("id", "instruments")}


class Entry(dict[str, Any]):
    """One row's values by key, as the TOML file gives them, and where it stands."""

    def __init__(self, place: str, values: dict[str, Any]) -> None:
        super().__init__(values)
        self.place = place


def is_csv(text: str) -> bool:
    """Whether a registry's text begins like the parts of a CSV: a part's name, and columns."""
    return _HEAD.match(text.removeprefix("\ufeff")) is not None


def read_registry_file(path: Path | str) -> InputFile:
    """Return a registry's file, TOML or CSV; a folder of CSV files becomes one. Raises BadInput."""
    place = Path(path)
    if place.is_dir():
        return _packed(place)
    file = read_file(path)
    if place.suffix.lower() == ".csv" and not is_csv(decode_text(file)):
        what = f"line 1: it begins with no part of a registry: write a line [{next(iter(COLUMNS))}] before its columns"
        raise BadInput(file.name, [f"{what}, or give the folder that holds {_names()}"])
    return file


def _names() -> str:
    return ", ".join(f"{name}.csv" for name in COLUMNS)


def _packed(folder: Path) -> InputFile:
    problems, parts = Problems(str(folder)), []
    there = {path.name.lower(): path for path in sorted(folder.iterdir()) if path.suffix.lower() == ".csv"}
    for name in sorted(there.keys() - {f"{part}.csv" for part in COLUMNS}):
        problems.add(shown(there[name].name), f"is no part of a registry: {_names()} are")
    for part in COLUMNS:
        if (path := there.get(f"{part}.csv")) is not None:
            parts.append(f"[{part}.csv]\n{decode_text(read_file(path)).rstrip()}\n")
    if not there:
        problems.add("the folder", f"holds none of {_names()}")
    problems.refuse_if_any()
    data = "".join(parts).encode()
    if len(data) > FILE_BYTES_MAX:
        raise BadInput(str(folder), [f"its files are larger than {FILE_BYTES_MAX} bytes together"])
    return InputFile(str(folder), data)


def csv_tables(file: InputFile, problems: Problems) -> dict[str, list[Entry]]:
    """Return the entries of each section, as the TOML file nests them. Faults go to ``problems`` with their lines."""
    found: dict[str, list[Entry]] = {}
    for part, place, text in _parts(decode_text(file), problems):
        if part in found:
            problems.add(place, f"the part [{part}] is there twice")
        entries = [_entry(row, place) for row in _rows(file.name, part, place, text, problems)]
        found[part] = _added_up(part, entries, problems) if part in _ADDS_UP else entries
    _nest(found, problems)
    return found


def _parts(text: str, problems: Problems) -> Iterator[tuple[str, str, str]]:
    """Yield each part: its name, what its lines are called before their number, its text with lines as they count."""
    lines = text.split("\n")
    heads = [(number, found) for number, line in enumerate(lines) if (found := _PART.fullmatch(line)) is not None]
    if any(line.strip() for line in lines[: heads[0][0] if heads else None]):
        problems.add("line 1", "stands before the first part: write [instruments] before its columns")
    for (number, found), (end, _) in zip(heads, [*heads[1:], (len(lines), None)], strict=True):
        # blank lines before it keep the numbers of the lines; a file of its own counts its own
        before = [] if found[2] else [""] * (number + 1)
        name = f"{found[1]}.csv " if found[2] else ""
        yield found[1], name, "\n".join(before + lines[number + 1 : end])


def _rows(name: str, part: str, place: str, text: str, problems: Problems) -> list[Row]:
    needed, others = COLUMNS[part]
    faults = Problems(name)
    try:
        rows = list(csv_rows(InputFile(name, text.encode()), frozenset(needed), frozenset(others), faults))
        faults.refuse_if_any()
    except BadInput as bad:
        for said in bad.problems:
            where, _, what = said.partition(": ")
            problems.add(f"{place}{where}" if place else f"[{part}] {where}", what)
        return []
    return rows


def _entry(row: Row, place: str) -> Entry:
    values = {key: _VALUES.get(key, str)(text) for key, text in row.values.items() if text}
    return Entry(f"{place}line {row.line}", values)


def _whole(text: str) -> int | str:
    """A whole number; what is none stays a text, of which the registry's rules say what is wanted."""
    return int(text) if re.fullmatch(r"-?[0-9]{1,18}", text) else text


def _flag(text: str) -> bool | str:
    return {"true": True, "false": False}.get(text.lower(), text)


def _list(text: str) -> list[str]:
    return [] if text == "-" else text.split()


def _days(text: str) -> list[date | str]:
    return [_day(word) for word in _list(text)]


def _day(text: str) -> date | str:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return text


_VALUES: dict[str, Callable[[str], Any]] = {
    **dict.fromkeys((
        "decimals", "chain_age_hours_max", "bridge_hours_max", "late_days_max", "redemption_days_max",
        "price_days_max", "max_age_hours", "every_minutes", "grace_minutes",
    ), _whole),
    **dict.fromkeys(("chains", "instruments", "weekend", "at"), _list),
    "inventory_authorised": _flag, "closed": _days,
}  # fmt: skip
"""How a cell becomes the value that the TOML file has there; all others are texts."""


def _added_up(part: str, entries: list[Entry], problems: Problems) -> list[Entry]:
    """Return the entries with the rows of one calendar or one account together, their lists added up."""
    key, adds = _ADDS_UP[part]
    found: dict[tuple[Any, Any], Entry] = {}
    for entry in entries:
        first = found.setdefault((entry.get("custodian"), entry.get(key)), entry)
        if first is entry:
            continue
        for name in sorted((first.keys() | entry.keys()) - {adds}):
            if first.get(name, entry.get(name)) != entry.get(name, first.get(name)):
                said = f"{shown(entry.get(name))} here and {shown(first.get(name))} at {first.place}"
                problems.add(f"{entry.place}, {name}", f"is {said}: rows of one {part[:-1]} say the same of it")
        if part == "accounts" and (adds in first) is not (adds in entry):
            problems.add(f"{entry.place}, {adds}", f"are named in one row and left out, which is all, at {first.place}")
        for name, value in entry.items():
            first[name] = [*first.get(name, []), *value] if name == adds else value
    return list(found.values())


def _nest(found: dict[str, list[Entry]], problems: Problems) -> None:
    """Put each account under its custodian."""
    custodians: dict[Any, Entry] = {}
    for custodian in found.get("custodians", ()):
        custodians.setdefault(custodian.get("id"), custodian)
    for account in found.pop("accounts", ()):
        named = account.pop("custodian", None)
        if named in custodians:
            custodians[named].setdefault("accounts", []).append(account)
        else:
            problems.add(f"{account.place}, custodian", f"{shown(named or '')} is the id of no entry of [custodians]")
