"""``tieout payout``: pay many owners from a CSV file, each row once."""

from pathlib import Path
from typing import Annotated, Any

import typer

from tieout import exits
from tieout.commands.market import Holder, Mint, Raw
from tieout.commands.options import Json, RpcUrl, read_text, rows_bar, run, write_rows
from tieout.issuer import JournalFile, Keypair, Signers, desk, holder_of
from tieout.output import OUTPUT

_FILE_BYTES_MAX = 32 * 1024 * 1024
_RESULT = ("line", "owner", "raw", "state", "signature", "slot", "error")


def payout(
    mint: Mint,
    file: Annotated[Path, typer.Argument(help="CSV file with the columns owner and amount.")],
    holder: Holder,
    request: Annotated[str, typer.Option("--request", help="Id of the payout, at most 56 characters.")],
    result: Annotated[Path | None, typer.Option("--result", help="CSV file to write: what became of each row.")] = None,
    raw: Raw = False,
    rpc_url: RpcUrl = None,
    keypair: Keypair = None,
    signer: Signers = None,
    journal: JournalFile = None,
    as_json: Json = False,
) -> None:
    """Pay each row of a file once; run it again to pay what is missing. Exit 1 when rows are left unpaid."""
    text = read_text(file, "payout file", _FILE_BYTES_MAX)

    async def work() -> list[Any]:
        from tieout_client import parse_payout

        async with desk(rpc_url, keypair, None, signer, journal) as connected:
            seen = await connected.show(mint)
            rows = parse_payout(text, decimals=seen.decimals, bits=None if raw else seen.multiplier.bits)
            with rows_bar("paying", len(rows)) as advance:
                lines: list[Any] = await connected.payout(
                    mint,
                    rows,
                    await holder_of(connected, holder),
                    request,
                    progress=advance,
                )
        return lines

    lines = run(work())
    if result is not None:
        write_rows(result, _RESULT, map(_result, lines))
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


def _result(line: Any) -> list[Any]:
    row, state = line.row, "paid" if line.paid else "unpaid"
    return [row.line, row.owner, row.raw, state, line.signature, line.slot, line.error]
