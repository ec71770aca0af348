"""CSV files that a command works off row by row: read whole, or refused whole with the lines that are wrong. Pure."""

import csv
import io
from collections.abc import Callable, Sequence
from typing import Final, TypeVar

from tieout_client.errors import BadInput

T = TypeVar("T")
ROWS_MAX: Final = 100_000
_WRONG_TOLD: Final = 5


def read_rows(
    text: str, what: str, needed: Sequence[Sequence[str]], read: Callable[[dict[str, str], int], T]
) -> list[T]:
    """Return each row as ``read`` makes it of its cells and its line. Raises BadInput naming the wrong lines.

    The first line holds all the columns of one choice of ``needed``; ``read`` raises BadInput for a
    wrong row. ``what`` names the file in what is said of it.
    """
    reader = csv.DictReader(io.StringIO(text), strict=True, restval="")
    rows: list[T] = []
    wrong: list[str] = []
    try:
        if not any(set(choice) <= set(reader.fieldnames or ()) for choice in needed):
            choices = ", or ".join(" and ".join(choice) for choice in needed)
            raise BadInput(f"{what} names its columns in its first line: {choices}")
        for cells in reader:
            try:
                rows.append(read(cells, reader.line_num))
            except BadInput as bad:
                wrong.append(f"line {reader.line_num}: {bad}")
    except csv.Error as bad:
        wrong.append(f"line {max(reader.line_num, 1)}: {bad}")
    if wrong:
        more = f"; and {len(wrong) - _WRONG_TOLD} more" if len(wrong) > _WRONG_TOLD else ""
        raise BadInput("; ".join(wrong[:_WRONG_TOLD]) + more)
    if not 0 < len(rows) <= ROWS_MAX:
        raise BadInput(f"{what} has 1 to {ROWS_MAX} rows, not {len(rows)}")
    return rows
