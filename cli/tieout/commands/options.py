"""Options that several commands share, and how their commands run."""

import asyncio
import csv
from collections.abc import Callable, Coroutine, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from tieout import exits
from tieout.output import OUTPUT

T = TypeVar("T")

BIGINT_MAX = 2**63 - 1
"""The largest slot, batch or run number that the database takes."""

Dsn = Annotated[
    str | None,
    typer.Option(
        "--dsn", help="Postgres connection string, without a password. Default: TIEOUT_DSN, or the embedded one."
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
RpcUrl = Annotated[
    list[str] | None, typer.Option("--rpc-url", help="A node's address; several to fail over. Default: TIEOUT_RPC_URL.")
]
Signer = Annotated[str | None, typer.Option("--keypair", help="Key file of the fee payer, as solana-keygen writes it.")]


def group(text: str) -> typer.Typer:
    """A group of commands."""
    return typer.Typer(help=text, no_args_is_help=True, rich_markup_mode=None)


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run a command's asynchronous work to its end."""
    return asyncio.run(work)


def instant(option: str, text: str) -> datetime:
    """Return the instant that an option names. Raises UsageProblem."""
    try:
        found = datetime.fromisoformat(text)
        # one of year 1 or 9999 may lie outside both in UTC
        found.astimezone(UTC)
    except (ValueError, OverflowError):
        raise exits.UsageProblem(f"{option} {text!r} is no instant like 2026-11-23T16:00:00-05:00") from None
    if found.tzinfo is None:
        raise exits.UsageProblem(f"{option} {text!r} has no time zone: write 2026-11-23T16:00:00-05:00 or …Z")
    return found


def read_text(file: Path, what: str, bytes_max: int) -> str:
    """Read a file of rows as UTF-8. Raises UsageProblem naming it as ``what``."""
    try:
        if file.stat().st_size > bytes_max:
            raise exits.UsageProblem(f"the {what} {file} has over {bytes_max} bytes: split it")
        return file.read_text("utf-8-sig")
    except OSError as bad:
        raise exits.UsageProblem(f"cannot read the {what} {file}: {bad.strerror or type(bad).__name__}") from bad
    except UnicodeDecodeError as bad:
        raise exits.UsageProblem(f"the {what} {file} is no UTF-8 text: byte {bad.start}") from bad


@contextmanager
def rows_bar(what: str, total: int) -> Iterator[Callable[[int], None]]:
    """Show how many rows are done, to a person at a terminal; give the function that tells how many more are."""
    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=OUTPUT.err, transient=True, disable=not exits.is_terminal()) as bar:
        task = bar.add_task("rows", total=total)
        yield lambda more: bar.advance(task, more)


@contextmanager
def share_bar(what: str) -> Iterator[Callable[[int, int], None]]:
    """Show how much of some work is done, to a person at a terminal; give what is told (done, all)."""
    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=OUTPUT.err, transient=True, disable=not exits.is_terminal()) as bar:
        task = bar.add_task(what, total=None, visible=False)
        yield lambda done, total: bar.update(task, completed=done, total=total, visible=True)


def write_rows(path: Path, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Write what became of a file's rows as CSV. Raises UsageProblem: the work itself is done by then."""
    try:
        with path.open("w", encoding="utf-8", newline="") as out:
            writer = csv.writer(out)
            writer.writerow(header)
            writer.writerows(rows)
    except OSError as bad:
        why = bad.strerror or type(bad).__name__
        raise exits.UsageProblem(f"all is done, its result cannot be written to {path}: {why}; run it again") from bad
