"""Client → chain → indexer → reconciliation, as a user runs it: on the embedded chain and on a real validator."""

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import httpx
import pytest

from support.chains import running_chain
from support.command import Done, start_tieout, tieout, tieout_here
from support.database import query, value
from support.paths import ROOT
from tieout.day import Day, DayBook, instant, write_files
from tieout_client import connect
from tieout_rpc import RpcClient

pytestmark = pytest.mark.e2e
SEED = 7


Run = Callable[..., Awaitable[Done]]


@pytest.fixture(params=["embedded", pytest.param("agave", marks=pytest.mark.agave)])
def any_chain(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, Run]]:
    """A chain's URL, and how commands are run: in processes, as a user does; beside a real validator, which
    takes a core for itself, the same commands within this one.
    """
    with running_chain(request.param, tmp_path) as url:
        yield url, tieout_here if request.param == "agave" else tieout


async def block_time(url: str, slot: int) -> Any:
    async with RpcClient([url]) as rpc:
        return instant(await rpc.call("getBlockTime", [slot], int))


async def index_to(run: Run, url: str, dsn: str, book: DayBook) -> None:
    mints = [part for mint in book.mints.values() for part in ("--mint", mint)]
    span = ("--from-slot", "0", "--to-slot", str(book.slot))
    done = await run("index", "backfill", "--rpc-url", url, "--dsn", dsn, *mints, *span, "--json")
    assert done.code == 0, done.out + done.err
    assert done.json["complete"] is True


async def take_in(run: Run, dsn: str, *commands: tuple[str, str, Path]) -> None:
    for group, verb, path in commands:
        done = await run(group, verb, str(path), "--dsn", dsn)
        assert done.code == 0, done.err


async def test_a_day_ties_out_and_what_breaks_it_is_named(any_chain: tuple[str, Run], dsn: str, tmp_path: Path) -> None:
    url, run = any_chain
    day = Day(SEED, lambda text: None)
    async with connect(url, day.signer("payer"), day.authorities()) as issuer:
        await issuer.airdrop(day.owner("payer"), 100_000_000_000)
        opened_at = instant(await issuer.rpc.call("getBlockTime", [0], int) - 60)
        book = await day.play(issuer)
        await index_to(run, url, dsn, book)
        closed_at = await block_time(url, book.slot)
        registry, orders, positions, actions = write_files(book, tmp_path / "day", opened_at, closed_at)
        await take_in(
            run,
            dsn,
            ("registry", "apply", registry),
            ("order", "import", orders),
            ("action", "import", actions),
            ("statement", "import", positions),
        )

        good = await run("reconcile", "run", "--as-of", str(book.slot), "--dsn", dsn, "--json")
        assert good.code == 0, good.out + good.err
        assert {i["symbol"]: i["verdict"] for i in good.json["instruments"]} == {
            "AAPLx": "ties_out",
            "TSLAx": "ties_out",
        }
        failed = [signature for _, signature in book.failed]
        assert len(failed) == 4
        assert await value(dsn, "select count(*) from ledger.events where signature = any($1)", failed) == 0
        assert {r["status"] for r in await query(dsn, "select status from ledger.proofs")} == {"exact"}
        headroom = await run("headroom", "AAPLx", "--dsn", dsn, "--json")
        assert headroom.code in {0, 1}
        assert abs(Fraction(headroom.json["shares"])) < Fraction(1, 10**7)

        audited = await run("index", "verify", "--rpc-url", url, "--dsn", dsn, "--json")
        assert all("not proven up to that slot" in f["found"] for f in audited.json["findings"]), audited.out

        caused = await day.break_things(issuer)
    await index_to(run, url, dsn, book)
    later = await block_time(url, book.slot)
    short = write_files(book, tmp_path / "day", opened_at, later, {"AAPLx": Fraction(40)})[2]
    await take_in(run, dsn, ("statement", "import", short))
    bad = await run("reconcile", "run", "--as-of", str(book.slot), "--dsn", dsn, "--json")
    assert bad.code == 1, bad.err
    found = {f["signature"]: f for f in bad.json["findings"] if f["severity"] == "break"}
    for signature in caused.values():
        assert found[signature]["code"] == "C1", json.dumps(found, indent=1)
    assert {i["symbol"]: i["verdict"] for i in bad.json["instruments"]} == {
        "AAPLx": "does_not_tie_out",
        "TSLAx": "does_not_tie_out",
    }
    listed = await run("breaks", "list", "--dsn", dsn, "--json")
    assert listed.code == 1
    assert {b["code"] for b in listed.json["breaks"]} == {"B1", "C1"}
    # The day before the breaks says the same as it said then, though all of it is known now.
    again = await run("reconcile", "show", str(good.json["run"]), "--dsn", dsn, "--json")
    assert again.json["digest"] == good.json["digest"]


@pytest.mark.parametrize("after_s", [0.7, 1.5, 3.0, 5.0])
async def test_an_interrupted_demo_leaves_nothing_behind(tmp_path: Path, after_s: float) -> None:
    tmp_path.chmod(0o755)
    process = await start_tieout("demo", TMPDIR=str(tmp_path))
    await asyncio.sleep(after_s)
    process.send_signal(signal.SIGINT)
    _, err = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 4, err
    assert b"interrupted" in err
    assert list(tmp_path.glob("tieout-demo-*")) == []
    left = [p for p in Path("/proc").glob("[0-9]*/cmdline") if str(tmp_path).encode() in _read(p)]
    assert left == []


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""  # it ended meanwhile


async def test_the_demo_ties_out_catches_what_it_broke_and_cleans_up_after_itself(tmp_path: Path) -> None:
    done = await tieout("demo", "--json", "--seed", "11", TMPDIR=str(tmp_path))
    assert done.code == 0, done.err
    assert (done.json["ties_out"], done.json["caught"]) == (True, True)
    assert list(tmp_path.glob("tieout-demo-*")) == []


async def test_a_kept_demo_serves_the_day_and_ends_as_it_says(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    done = await tieout("demo", "--keep", "--json", "--seed", "12", TMPDIR=str(tmp_path))
    assert done.code == 0, done.err
    left = done.json["left_running"]
    try:
        async with httpx.AsyncClient(base_url=left["pages"], timeout=20) as client:
            shown = (await client.get("/v1/reserves/AAPLx")).json()
            page = await client.get("/instruments/AAPLx")
    finally:
        environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
        ending = await asyncio.create_subprocess_exec("bash", "-ec", left["end it"], cwd=ROOT, env=environment)
        code = await asyncio.wait_for(ending.wait(), 60)
    reconciled = next(i for i in done.json["run_after_breaks"]["instruments"] if i["symbol"] == "AAPLx")
    assert shown["verdict"] == "does_not_tie_out"
    assert Fraction(shown["liability"]["value"]) == Fraction(reconciled["liability"])
    assert page.status_code == 200
    assert code == 0
    assert list(tmp_path.glob("tieout-demo-*")) == []
    with pytest.raises(httpx.ConnectError):
        await asyncio.to_thread(httpx.get, left["pages"])
    deadline = time.monotonic() + 20
    while left_over := [p for p in Path("/proc").glob("[0-9]*/cmdline") if str(tmp_path).encode() in _read(p)]:
        assert time.monotonic() < deadline, left_over
        await asyncio.sleep(0.1)
