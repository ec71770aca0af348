"""What a command prints: tables for people, one JSON object for programs, errors on stderr.

With ``--json`` every exit prints one object with ``schema`` ``tieout/<command>/1``, errors
included. Text from the chain or a file is stripped of control characters before a terminal sees it.
"""

import json
import os
import sys
from collections.abc import Iterable, Sequence
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

_REPLACEMENT = "\ufffd"
_UNFOLDED = 10_000
"""How wide a table may be that no terminal shows: a key that is folded is found by no search."""


class Output:
    """The one way out of a command; ``start`` is called before it runs."""

    def __init__(self) -> None:
        self.command = "tieout"
        self.json = False
        self.told = False

    def start(self, command: str, as_json: bool) -> None:
        """Name the command that runs, and whether a program reads it."""
        self.command, self.json, self.told = command, as_json, False

    @property
    def out(self) -> Console:
        """The console for results: as wide as the terminal or COLUMNS; a pipe or a file gets whole lines."""
        piped = not sys.stdout.isatty()
        width = _UNFOLDED if piped and "COLUMNS" not in os.environ else None
        return Console(file=sys.stdout, highlight=False, soft_wrap=piped, width=width)

    @property
    def err(self) -> Console:
        """The console for progress and errors."""
        return Console(file=sys.stderr, highlight=False, soft_wrap=True)

    def result(self, data: dict[str, Any], *shown: Any) -> None:
        """Print the JSON object, or what is shown to people in its stead."""
        if self.json:
            self._object(data)
            return
        for part in shown:
            self._show(printable(part) if isinstance(part, str) else part)

    def _show(self, part: Any) -> None:
        console = self.out
        if sys.stdout.isatty():
            console.print(part, markup=False)
            return
        with console.capture() as held:
            console.print(part, markup=False)
        # a table fills its last column up with blanks: whoever reads lines has no use for them
        print(*(line.rstrip() for line in held.get().splitlines()), sep="\n", flush=True)

    def heading(self, text: str) -> None:
        """Begin a part of a long account, for people alone."""
        if not self.json:
            self.out.print(Text.assemble("\n", ("── " + printable(text), "bold")))

    def note(self, text: str) -> None:
        """Tell a person, on stderr, what is going on."""
        self.err.print(printable(text), markup=False)

    def error(self, text: str, code: int) -> None:
        """Report an error."""
        if self.json and not self.told:
            self._object({"error": {"message": printable(text), "exit_code": code}})
        self.err.print(Text("error: ", style="bold red") + Text(printable(text)))

    def _object(self, data: dict[str, Any]) -> None:
        self.told = True
        # ASCII: whatever the text and the terminal's encoding, nothing in it steers or breaks the output.
        try:
            print(json.dumps({"schema": f"tieout/{self.command}/1", **data}, default=plain), flush=True)
        except BrokenPipeError:
            # Who reads us stopped reading; the exit code still says how it went.
            sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115  until the process ends


OUTPUT = Output()


def plain(value: Any) -> Any:
    """JSON of what has none of its own: exact numbers as text, times in ISO 8601, bytes in hexadecimal."""
    if hasattr(value, "to_json"):
        return value.to_json()
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, Fraction):
        return exact(value)
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, bytes):
        return value.hex()
    raise TypeError(f"{type(value).__name__} has no JSON form")


def exact(value: Fraction) -> str:
    """A fraction as the decimal it is; every amount here is one, or it is shown as a quotient."""
    scaled, places = value, 0
    while scaled.denominator != 1 and places < 1100:
        scaled, places = scaled * 10, places + 1
    if scaled.denominator != 1:
        return f"{value.numerator}/{value.denominator}"
    digits = str(abs(scaled.numerator)).rjust(places + 1, "0")
    whole = f"{digits[:-places]}.{digits[-places:]}" if places else digits
    return f"-{whole}" if value < 0 else whole


def shares(value: Fraction | None, places: int = 8) -> str:
    """Shares for people: thousands apart, rounded half even at the last place; unknown is ``unknown``."""
    if value is None:
        return "unknown"
    scaled = round(value * 10**places)
    digits = str(abs(scaled)).rjust(places + 1, "0")
    whole, part = digits[: len(digits) - places], digits[len(digits) - places :]
    text = f"{int(whole):,}.{part}".rstrip("0").rstrip(".")
    return f"-{text}" if scaled < 0 else text


def printable(text: str) -> str:
    """Text with control characters replaced: nothing from outside may steer a terminal."""
    return "".join(c if c.isprintable() or c == "\n" else _REPLACEMENT for c in text)


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> Table:
    """A plain table; a column whose name ends in ``>`` is set to the right."""
    # facts in two columns without names need no line for them
    head = any(columns)
    made = Table(
        title=title or None, title_justify="left", title_style="bold", box=None, pad_edge=False, show_header=head
    )
    for column in columns:
        made.add_column(column.rstrip(">"), justify="right" if column.endswith(">") else "left", overflow="fold")
    for row in rows:
        made.add_row(*(cell if isinstance(cell, Text) else Text(_cell(cell)) for cell in row))
    return made


def _cell(value: Any) -> str:
    match value:
        case None:
            return "—"
        case bool():
            return "yes" if value else "no"
        case _:
            return printable(str(value))
