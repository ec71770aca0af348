"""Reading what users hand in: bounded, exact, and refused whole with the place of every fault."""

import csv
import hashlib
import io
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from tieout_database import clean_text
from tieout_reconcile.errors import BadInput

FILE_BYTES_MAX = 64 * 1024 * 1024
FIELD_CHARACTERS_MAX = 256
PROBLEMS_MAX = 50
SHOWN_CHARACTERS_MAX = 60

SPACES = " \u00a0\u202f"
"""The blank, the no-break space and the narrow one: what separates thousands in many languages."""

Value = TypeVar("Value")


def shown(value: object) -> str:
    """Return a value from a file as it may stand in a message: quoted, cut, no control characters."""
    text = value if isinstance(value, str) else str(value)
    cut, _ = clean_text(text, SHOWN_CHARACTERS_MAX)
    ending = "…" if len(text) > SHOWN_CHARACTERS_MAX else ""
    visible = "".join(letter if letter.isprintable() else "\ufffd" for letter in cut)
    return json.dumps(visible + ending, ensure_ascii=False)


RULE = 3
"""The version of the formats' rules by which files are read today. A stored file is read again by its own."""


class Problems:
    """The faults of one file, collected so that its author sees them all at once (up to PROBLEMS_MAX).

    ``rule`` is the version of the formats' rules by which the file is read.
    """

    def __init__(self, path: str, rule: int = RULE) -> None:
        self.path = path
        self.rule = rule
        self._found: list[str] = []
        self._more = 0

    def add(self, place: str, what: str) -> None:
        """Record a fault, ``place`` first: ``line 3: …``, ``wallets[2].role: …``."""
        if len(self._found) < PROBLEMS_MAX:
            self._found.append(f"{place}: {what}")
        else:
            self._more += 1

    def add_since(self, rule: int, place: str, what: str) -> None:
        """Record a fault that files taken in by an earlier rule were not refused for."""
        if self.rule >= rule:
            self.add(place, what)

    def __bool__(self) -> bool:
        return bool(self._found)

    def __len__(self) -> int:
        return len(self._found) + self._more

    def refuse_if_any(self) -> None:
        """Raise BadInput when anything was found."""
        if self._found:
            raise BadInput(self.path, self._found, self._more)


@dataclass(frozen=True, slots=True)
class InputFile:
    """A file's name as given and its bytes; the SHA-256 is its identity. ``rule``: see ``RULE``."""

    name: str
    data: bytes
    rule: int = RULE

    @property
    def sha256(self) -> bytes:
        """The digest by which a second import of the same file is recognised."""
        return hashlib.sha256(self.data).digest()


def read_file(path: Path | str) -> InputFile:
    """Return a regular file's bytes. Raises BadInput when it cannot be read or is larger than FILE_BYTES_MAX."""
    place = Path(path)
    try:
        if not place.is_file():
            raise BadInput(str(path), ["it is no file, or not there"])
        with place.open("rb") as handle:
            data = handle.read(FILE_BYTES_MAX + 1)
    except (OSError, ValueError) as failed:
        raise BadInput(
            shown(str(path)), [f"it cannot be read: {getattr(failed, 'strerror', None) or failed}"]
        ) from failed
    if len(data) > FILE_BYTES_MAX:
        raise BadInput(str(path), [f"it is larger than {FILE_BYTES_MAX} bytes"])
    return InputFile(str(path), data)


def decode_text(file: InputFile) -> str:
    """Return the file as text. Raises BadInput, with the line, where it is not UTF-8 or holds a NUL."""
    try:
        text = file.data.decode("utf-8-sig")
    except UnicodeDecodeError as bad:
        line = file.data.count(b"\n", 0, bad.start) + 1
        raise BadInput(
            file.name,
            [f"line {line}: byte {bad.start + 1} (0x{file.data[bad.start]:02x}) is not UTF-8: save the file as UTF-8"],
        ) from None
    if (nul := text.find("\0")) >= 0:
        raise BadInput(file.name, [f"line {text.count(chr(10), 0, nul) + 1}: it holds a NUL character"])
    return text


class Row:
    """One record of a CSV file: its line, its values by column, and where its faults go."""

    __slots__ = ("line", "place", "problems", "values")

    def __init__(self, line: int, values: dict[str, str], problems: Problems, place: str | None = None) -> None:
        self.line = line
        self.place = place or f"line {line}"
        self.values = values
        self.problems = problems

    def get(self, column: str) -> str:
        """Return the value, empty when the column is absent or blank."""
        return self.values.get(column, "")

    def fault(self, what: str) -> None:
        """Record a fault of this line."""
        self.problems.add(self.place, what)

    def parsed(self, column: str, parse: Callable[[str], Value]) -> Value | None:
        """Return ``parse(value)``; a ValueError becomes a fault of this line, and None is returned."""
        text = self.get(column)
        try:
            return parse(text)
        except ValueError as bad:
            self.fault(f"{column} {shown(text)} {bad}")
            return None

    def optional(self, column: str, parse: Callable[[str], Value]) -> Value | None:
        """Return ``parse(value)``, or None for a blank without a fault."""
        return self.parsed(column, parse) if self.get(column) else None


def csv_rows(
    file: InputFile,
    required: frozenset[str],
    optional: frozenset[str],
    problems: Problems,
    *,
    delimiter: str = ",",
    others: bool = False,
) -> Iterator[Row]:
    """Yield the records of a CSV file. Faults of shape go to ``problems``; a bad header raises BadInput.

    ``others`` lets columns stand that nobody asked for.
    """
    reader = csv.reader(io.StringIO(decode_text(file), newline=""), strict=True, delimiter=delimiter)
    header: list[str] | None = None
    line = 0
    while True:
        line = reader.line_num + 1
        try:
            record = next(reader, None)
        except csv.Error as bad:
            problems.add(f"line {line}", f"is not CSV: {bad}")
            return
        if record is None:
            break
        if not record:
            continue
        if header is None:
            names = [name.strip() for name in record]
            allowed = optional | frozenset(names) if others else optional
            header = _checked_header(names, required, allowed, file.name, line)
        elif (row := _row(record, header, line, problems)) is not None:
            yield row
    if header is None:
        raise BadInput(
            file.name, [f"line 1: it is empty: the first line names the columns {', '.join(sorted(required))}"]
        )


def _checked_header(
    names: list[str], required: frozenset[str], optional: frozenset[str], path: str, line: int
) -> list[str]:
    problems = Problems(path)
    for name in sorted(required - set(names)):
        problems.add(f"line {line}", f"the column {name} is missing")
    for name in names:
        if name not in required | optional:
            problems.add(
                f"line {line}", f"the column {shown(name)} is not one of {', '.join(sorted(required | optional))}"
            )
    for name in sorted({name for name in names if names.count(name) > 1}):
        problems.add(f"line {line}", f"the column {shown(name)} is there twice")
    problems.refuse_if_any()
    return names


def _row(record: list[str], header: list[str], line: int, problems: Problems) -> Row | None:
    if len(record) != len(header):
        problems.add(f"line {line}", f"has {len(record)} fields, the header has {len(header)}")
        return None
    values = {}
    for name, field in zip(header, record, strict=True):
        text = field.strip()
        if len(text) > FIELD_CHARACTERS_MAX:
            problems.add(f"line {line}", f"{name} has {len(text)} characters, at most {FIELD_CHARACTERS_MAX} are taken")
            return None
        if not all(letter.isprintable() or letter in SPACES for letter in text):
            problems.add(f"line {line}", f"{name} {shown(text)} holds control characters")
            return None
        values[name] = text
    return Row(line, values, problems)


def parse_instant(text: str) -> datetime:
    """Return an ISO 8601 instant with its zone, in UTC. Raises ValueError saying what is wrong with it."""
    if not text:
        raise ValueError("is empty: an instant with its zone is wanted, like 2026-11-23T21:00:00Z")
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError("is not an ISO 8601 instant like 2026-11-23T21:00:00Z") from None
    return in_utc(instant)


def in_utc(instant: datetime) -> datetime:
    """Return the instant in UTC. Raises ValueError when it has no zone or lies outside the calendar."""
    if instant.tzinfo is None:
        raise ValueError("has no time zone: add Z or an offset like -05:00")
    try:
        return instant.astimezone(UTC)
    except OverflowError:
        raise ValueError("lies outside the calendar") from None


def choice(*allowed: str) -> Callable[[str], str]:
    """Return a parser that takes one of ``allowed``, exactly."""

    def parse(text: str) -> str:
        if text not in allowed:
            raise ValueError(f"is not one of {', '.join(allowed)}")
        return text

    return parse
