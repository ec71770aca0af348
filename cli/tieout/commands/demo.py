"""``tieout demo``: a whole day on a local chain, indexed live, reconciled, then broken on purpose."""

import asyncio
import time
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from tieout import exits
from tieout.commands.options import Json, run
from tieout.commands.reconcile import show_run
from tieout.day import Day, instant, write_files
from tieout.output import OUTPUT, shares
from tieout.stack import Localnet, Pages, indexer, leave_pages, left_running, localnet, postgres, workspace

_SHORT_SHARES = Fraction(40)
_INDEX_WAIT_S = 60.0
# nobody reconciles after the day: its figures count for a day, then the pages call them unknown
_DAY_S = 86_400


def demo(
    seed: Annotated[int, typer.Option("--seed", help="The day's seed: keys and amounts follow it.")] = 2026,
    keep: Annotated[
        bool, typer.Option("--keep", help="Leave chain, database and pages running, and say how to reach them.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Play a day, index it live, reconcile it: it ties out. Then break three things: all are caught.

    Exit 0 when the day ties out and the three breaks are found.
    """
    data = run(_demo(seed, keep))
    OUTPUT.result(data, *_verdict_lines(data))
    if not data["as_expected"]:
        raise exits.Found


async def _demo(seed: int, keep: bool) -> dict[str, Any]:
    started = time.monotonic()
    async with workspace("demo", keep=keep) as directory:
        _say("starting the embedded Postgres and a local chain")
        options = ("--slot-ms", "50", "--finalized-depth", "2")
        async with postgres(directory, keep=keep) as dsn, localnet(directory, *options, keep=keep) as chain:
            data = await _played(chain, dsn, directory, seed)
        data["left_running"] = None
        if keep:
            _say("serving the pages of the day")
            pages = await leave_pages(dsn, directory, "--chain-age-max-s", str(_DAY_S))
            data["left_running"] = _left_running(chain, pages, dsn, directory)
        data["seconds"] = round(time.monotonic() - started, 1)
        _say(f"done in {data['seconds']} s")
        return data


async def _played(chain: Localnet, dsn: str, directory: Path, seed: int) -> dict[str, Any]:
    from tieout_client import connect
    from tieout_reconcile import apply_registry, import_orders, import_records, import_statement
    from tieout_reconcile import run as reconcile

    day = Day(seed, _say)
    mints = {symbol: str(day.signer(f"mint {symbol}").pubkey()) for symbol in ("AAPLx", "TSLAx")}
    async with connect(chain.url, day.signer("payer"), day.authorities()) as issuer:
        opened_at = instant(await _chain_time(issuer) - 1)
        await _prepare(issuer, day)
        playing = asyncio.create_task(day.play(issuer))
        await _exists(issuer, mints, playing)
        async with indexer(chain.url, dsn, list(mints.values()), directory / "indexer.log") as daemon:
            book = await playing
            await _indexed(daemon, dsn, mints, book.slot, directory)
            closed_at = instant(await _block_time(dsn, book.slot))
            registry, orders, positions, actions = write_files(book, directory / "day", opened_at, closed_at)
            await apply_registry(dsn, registry)
            await import_orders(dsn, orders)
            await import_records(dsn, "actions", actions)
            await import_statement(dsn, positions)
            good = await reconcile(dsn, book.slot)
            _show("the day as it was", good)

            caused = await day.break_things(issuer)
            await _indexed(daemon, dsn, mints, book.slot, directory)
            later = instant(await _block_time(dsn, book.slot))
            short = write_files(book, directory / "day", opened_at, later, {"AAPLx": _SHORT_SHARES})
            await import_statement(dsn, short[2])
            bad = await reconcile(dsn, book.slot)
            _show("the same day, with a release without an order, a mint to an outsider and a short custody file", bad)
        return _summary(book, good, bad, caused)


async def _prepare(issuer: Any, day: Day) -> None:
    # Fees first: the payer must exist before it can pay for anything.
    await issuer.airdrop(day.owner("payer"), 100_000_000_000)


async def _exists(issuer: Any, mints: dict[str, str], playing: asyncio.Task[Any]) -> None:
    """Wait until the chain has both mints finalized, so that the indexer may be pointed at them."""
    while not playing.done():
        config = {"commitment": "finalized", "encoding": "base64"}
        answer = await issuer.rpc.call("getMultipleAccounts", [list(mints.values()), config])
        if all(answer["value"]):
            return
        await asyncio.sleep(0.1)
    await playing


async def _chain_time(issuer: Any) -> int:
    slot = await issuer.rpc.call("getSlot", [{"commitment": "finalized"}], int)
    return int(await issuer.rpc.call("getBlockTime", [slot], int))


async def _indexed(daemon: Any, dsn: str, mints: dict[str, str], slot: int, directory: Path) -> None:
    """Wait until every mint is proven up to a slot."""
    from tieout_database import connect

    connection = await connect(dsn)
    give_up_at = time.monotonic() + _INDEX_WAIT_S
    query = "select count(*) from ledger.coverage where mint = any($1) and $2 between from_slot and to_slot"
    try:
        while await connection.fetchval(query, list(mints.values()), slot) < len(mints):
            if daemon.returncode is not None or time.monotonic() > give_up_at:
                said = (directory / "indexer.log").read_text("utf-8", "replace")[-2000:]
                raise exits.UsageProblem(f"the indexer did not reach slot {slot}; it said: {said}")
            await asyncio.sleep(0.1)
    finally:
        await connection.close()


async def _block_time(dsn: str, slot: int) -> int:
    from tieout_database import connect

    connection = await connect(dsn)
    try:
        when = await connection.fetchval("select block_time from ledger.slots where slot = $1", slot)
        return int(when.timestamp())
    finally:
        await connection.close()


def _say(text: str) -> None:
    if not OUTPUT.json:
        OUTPUT.err.print(f"· {text}", style="dim", markup=False)


def _show(title: str, done: Any) -> None:
    if OUTPUT.json:
        return
    OUTPUT.heading(title)
    show_run(done)
    OUTPUT.out.print()


def _summary(book: Any, good: Any, bad: Any, caused: dict[str, str]) -> dict[str, Any]:
    found = {f.signature for f in bad.breaks}
    caught = all(signature in found for signature in caused.values())
    before, after = good.instrument("AAPLx"), bad.instrument("AAPLx")
    short = after.verdict == "does_not_tie_out" and before.custody - after.custody == _SHORT_SHARES
    return {
        "ties_out": good.clean,
        "caught": caught and short,
        "short_caught": short,
        "as_expected": good.clean and caught and short,
        "mints": book.mints,
        "failed_on_purpose": [{"what": what, "signature": signature} for what, signature in book.failed],
        "caused": caused,
        "run": good,
        "run_after_breaks": bad,
    }


def _verdict_lines(data: dict[str, Any]) -> list[Text]:
    def line(good: bool, text: str) -> Text:
        return Text.assemble(("✓ " if good else "✗ ", "bold green" if good else "bold red"), text)

    lines = [line(data["ties_out"], "the day as played ties out, to the last raw unit")]
    found = {f.signature: f for f in data["run_after_breaks"].breaks}
    for what, signature in data["caused"].items():
        finding = found.get(signature)
        caught = f"caught: {shares(finding.shares)} shares of {finding.symbol}" if finding else "not caught"
        lines.append(line(finding is not None, f"{what}, {caught}, {signature}"))
    lines.append(line(data["short_caught"], f"short custody file, {_SHORT_SHARES} shares of AAPLx: under backed"))
    if data["left_running"]:
        lines.append(Text("\nleft running", style="bold"))
        lines += [Text(f"  {what:<12}{how}") for what, how in data["left_running"].items()]
    return lines


def _left_running(chain: Localnet, pages: Pages, dsn: str, directory: Path) -> dict[str, str]:
    common = left_running(chain, directory, f"kill $(cat {pages.pid_file})")
    exports = f"export TIEOUT_HOME={directory} TIEOUT_RPC_URL={chain.url}"
    return {
        "pages": pages.url,
        "look around": f"{exports}; tieout reconcile show 1; tieout breaks list",
        "chain": common["chain"],
        "database": f"psql '{dsn}'",
        "files": str(directory / "day"),
        "end it": common["end it"],
    }
