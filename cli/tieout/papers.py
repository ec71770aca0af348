"""The files of a back office, as text: registry tables and CSV, in the forms of ``docs/reference.md``. Pure."""

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from fractions import Fraction
from typing import Any

from tieout.output import exact

QUANTUM_PLACES = 9
"""Decimal places of a share in a custodian's book (Alpaca's)."""


def toml_table(name: str, values: Mapping[str, Any]) -> str:
    """One entry of an array of tables; ``name`` may be dotted. Texts, numbers, truths, instants and lists of texts."""
    lines = [f"[[{name}]]"]
    for key, value in values.items():
        # a JSON text or list of texts is the same in TOML; an instant stands bare
        said = value.isoformat() if isinstance(value, datetime) else json.dumps(value, ensure_ascii=False)
        lines.append(f"{key} = {said}")
    return "\n".join(lines) + "\n\n"


def csv_text(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """CSV with a head; None is an empty cell, a fraction its exact decimal, an instant ISO 8601."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(map(_cell, row) for row in rows)
    return text.getvalue()


def _cell(value: Any) -> str:
    match value:
        case None:
            return ""
        case Fraction():
            return exact(value)
        case datetime():
            return value.isoformat()
        case _:
            return str(value)


def stated(shares: Fraction) -> Fraction:
    """Shares as a custodian states them: rounded to its quantum."""
    return Fraction(round(shares * 10**QUANTUM_PLACES), 10**QUANTUM_PLACES)
