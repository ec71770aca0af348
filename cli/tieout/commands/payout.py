"""``tieout payout``: pay many owners from a CSV file, each row once."""

import csv
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from tieout import exits
from tieout.commands.market import Holder, Mint, Raw
from tieout.commands.options import Json, RpcUrl, run
from tieout.issuer import JournalFile, Keypair, desk
from tieout.output import OUTPUT

_FILE_BYTES_MAX = 32 * 1024 * 1024


def payout(
    mint: Mint,
    file: Annotated[Path, typer.Argument(help="CSV file with the columns owner and amount.")],
    holder: Holder,
    request: Annotated[str, typer.Option("--request", help="Id of the payout, at most 56 characters.")],
    result: Annotated[Path | None, typer.Option("--result", help="CSV file to write: what became of each row.")] = None,
    raw: Raw = False,
    rpc_url: RpcUrl = None,
    keypair: Keypair = None,
    journal: JournalFile = None,
    as_json: Json = False,
) -> None:
    """Pay each row of a file once; run it again to pay what is missing. Exit 1 when rows are left unpaid."""
    text = _read(file)

    async def work() -> list[Any]:
        from tieout_client import load_keypair, parse_payout

        async with desk(rpc_url, keypair, None, journal) as connected:
            seen = await connected.show(mint)
            rows = parse_payout(text, decimals=seen.decimals, bits=None if raw else seen.multiplier.bits)
            with _bar() as bar:
                task = bar.add_task("rows", total=len(rows))
                lines: list[Any] = await connected.payout(
                    mint, rows, load_keypair(holder), request, progress=lambda more: bar.advance(task, more)
                )
        return lines

    lines = run(work())
    if result is not None:
        _write(result, lines)
    unpaid = [line for line in lines if not line.paid]
    total = sum(line.row.raw for line in lines if line.paid)
    plain = {
        "rows": len(lines),
        "paid": len(lines) - len(unpaid),
        "paid_raw": str(total),
        "unpaid": [{"line": line.row.line, "owner": line.row.owner, "error": line.error} for line in unpaid],
    }
    said = [f"line {line.row.line}: {line.error}" for line in unpaid[:20]]
    OUTPUT.result(plain, f"{len(lines) - len(unpaid):,} of {len(lines):,} rows paid, {total:,} raw", *said)
    if unpaid:
        raise exits.Found


def _bar() -> Progress:
    columns = (TextColumn("paying"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=OUTPUT.err, transient=True, disable=not exits.is_terminal())


def _read(file: Path) -> str:
    try:
        if file.stat().st_size > _FILE_BYTES_MAX:
            raise exits.UsageProblem(f"the payout file {file} has over {_FILE_BYTES_MAX} bytes: split it")
        return file.read_text("utf-8-sig")
    except OSError as bad:
        raise exits.UsageProblem(f"cannot read the payout file {file}: {bad.strerror or type(bad).__name__}") from bad
    except UnicodeDecodeError as bad:
        raise exits.UsageProblem(f"the payout file {file} is no UTF-8 text: byte {bad.start}") from bad


def _write(path: Path, lines: list[Any]) -> None:
    try:
        with path.open("w", encoding="utf-8", newline="") as out:
            writer = csv.writer(out)
            writer.writerow(["line", "owner", "raw", "state", "signature", "slot", "error"])
            for line in lines:
                state = "paid" if line.paid else "unpaid"
                row = line.row
                writer.writerow([row.line, row.owner, row.raw, state, line.signature, line.slot, line.error])
    except OSError as bad:
        why = bad.strerror or type(bad).__name__
        raise exits.UsageProblem(
            f"the payout is done, its result cannot be written to {path}: {why}; run it again"
        ) from bad
