"""The daemon as a process: told to stop, killed at any moment, without its database, and what it says."""

import asyncio
import json
import os
import random
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from reconcile.builders import ONE, Book, issue, memo
from reconcile.controlling import SECRET, Desk, desk, issued
from support.chains import free_ports
from support.command import start_tieout, tieout, tieout_here
from support.database import query, value

SEEDS = int(os.environ.get("TIEOUT_CHAOS_SEEDS", "1"))
KILLS = 3


def environment(book: Book, *desks: Desk, **more: str) -> dict[str, str]:
    receivers = [{"name": d.name, "url": d.url, "secret_env": "DESK_SECRET"} for d in desks]
    return {
        "TIEOUT_DSN": book.dsn, "TIEOUT_CONTROL__RECEIVERS": json.dumps(receivers), "DESK_SECRET": SECRET.decode(),
        "TIEOUT_CONTROL__RETRY_INITIAL_S": "0.05", "TIEOUT_CONTROL__RETRY_MAX_S": "0.2",
        "TIEOUT_CHAIN_AGE_MAX_S": str(10**9), "TIEOUT_STATEMENT_AGE_MAX_S": str(10**9), **more,
    }  # fmt: skip


@asynccontextmanager
async def running(book: Book, *desks: Desk, **more: str) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await start_tieout("control", "run", **environment(book, *desks, **more))
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def release(book: Book, slot: int, request: str) -> None:
    """One batch with one release, committed whole, as the indexer commits."""
    async with book.db.transaction():
        await book.commit()
        await book.transfer(slot, "treasury", "ap", ONE, memo=memo("issue", request))
        await book.flush()
        await book.db.execute("select pg_notify('tieout_ledger', $1)", str(book.batch))


@pytest.fixture
async def ready(book: Book) -> Book:
    await issued(book)
    await book.orders(*(issue(f"REQ-{n}", "1") for n in range(100)))
    return book


async def test_it_tells_an_alert_and_ends_with_0_on_sigterm_saying_no_secret(ready: Book) -> None:
    port = free_ports()
    async with desk() as heard:
        log = {"TIEOUT_LOG_FORMAT": "json", "TIEOUT_CONTROL__METRICS_PORT": str(port)}
        async with running(ready, heard, **log) as process:
            await release(ready, 20, "REQ-1")
            await release(ready, 21, "NOBODY-ASKED")
            await heard.until(1)
            await scraped(port, 'tieout_control_outbox_depth{receiver="desk"} 0.0')
            text = await scraped(port, "tieout_control_crossings_total 2.0")
            process.send_signal(signal.SIGTERM)
            async with asyncio.timeout(20):
                out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    assert heard.alerts() == [("firing", "CrossingUnmatched")]
    assert heard.forged == 0
    said = out.decode() + err.decode()
    assert SECRET.decode() not in said
    assert "never-shown" not in said
    lines = [json.loads(line) for line in err.decode().splitlines()]
    assert [line["event"] for line in lines] == ["controlling", "alert", "stopped"]
    assert (lines[1]["alertname"], lines[1]["reason"]) == ("CrossingUnmatched", "no_order")
    assert 'tieout_control_notices_total{alert="CrossingUnmatched",status="firing"} 1.0' in text


async def scraped(port: int, wanted: str) -> str:
    """The exposition once it says what is wanted."""
    async with asyncio.timeout(20), aiohttp.ClientSession() as client:
        while True:
            async with client.get(f"http://127.0.0.1:{port}/metrics") as answer:
                text = await answer.text()
            if wanted in text:
                return text
            await asyncio.sleep(0.1)


@pytest.mark.parametrize("seed", range(SEEDS))
async def test_killed_at_any_moment_it_loses_no_alert_and_raises_none_twice(ready: Book, seed: int) -> None:
    """Receivers may hear a notice again, under the same key; each notice is written once."""
    chance = random.Random(seed)
    async with desk() as heard:
        heard.answer = 500
        for round_ in range(KILLS):
            async with running(ready, heard) as process:
                for n in range(8):
                    slot = 20 + round_ * 8 + n
                    await release(ready, slot, f"REQ-{slot}" if n % 2 else f"NOBODY-{slot}")
                await asyncio.sleep(chance.uniform(0.7, 1.5))
                heard.answer = 200 if round_ else 500
                await asyncio.sleep(chance.uniform(0.0, 0.3))
                process.kill()
        async with running(ready, heard):
            async with asyncio.timeout(30):
                while len(set(heard.keys)) < KILLS * 4:
                    await asyncio.sleep(0.02)
    rows = await query(ready.dsn, "select fingerprint, status from recon.alert_notices")
    assert len(rows) == len({r["fingerprint"] for r in rows}) == KILLS * 4
    assert await value(ready.dsn, "select count(*) from recon.checked_crossings") == KILLS * 8
    assert await value(ready.dsn, "select batch from recon.control_position") == ready.batch
    slots = {m["alerts"][0]["annotations"]["slot"] for m in heard.told}
    assert slots == {str(20 + r * 8 + n) for r in range(KILLS) for n in (0, 2, 4, 6)}


async def test_it_outlives_its_connections_and_goes_on_where_it_was(ready: Book) -> None:
    async with desk() as heard, running(ready, heard) as process:
        await release(ready, 20, "NOBODY-1")
        await heard.until(1)
        await ready.db.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity "
            "where datname = current_database() and pid <> pg_backend_pid()"
        )
        await release(ready, 21, "NOBODY-2")
        await heard.until(2)
        assert process.returncode is None
    assert len(heard.keys) == 2


async def test_status_and_list_tell_what_waits_and_what_fires(ready: Book, tmp_path: Path) -> None:
    async with desk(answer=503) as heard, running(ready, heard) as process:
        await release(ready, 20, "NOBODY-1")
        async with asyncio.timeout(20):
            while not await value(ready.dsn, "select coalesce(max(failures), 0) from recon.alert_receivers"):
                await asyncio.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        await process.wait()
        assert process.returncode == 0
        shown: Any = environment(ready, heard)
    fine = await tieout_here("control", "status", "--json", **shown)
    assert (fine.code, fine.json["schema"], fine.json["late"]) == (0, "tieout/control-status/1", [])
    waiting = fine.json["receivers"][0]
    assert (waiting["receiver"], waiting["depth"]) == ("desk", 1)
    assert "answered 503" in waiting["last_error"]
    assert fine.json["firing"] == [{"alertname": "CrossingUnmatched", "symbol": "AAPLx", "alerts": 1}]
    late = await tieout_here("control", "status", **{**shown, "TIEOUT_CONTROL__UNDELIVERED_MAX_S": "0.001"})
    assert late.code == 1
    assert "receiver desk: 1 undelivered" in late.out
    listed = await tieout_here("control", "list", "--json", **shown)
    assert (listed.code, listed.json["schema"]) == (1, "tieout/control-list/1")
    assert listed.json["alerts"][0]["labels"]["kind"] == "release"
    secret = tmp_path / "none"
    wrong = json.dumps([{"name": "desk", "url": "https://h/", "secret_file": str(secret)}])
    refused = await tieout("control", "run", **{**shown, "TIEOUT_CONTROL__RECEIVERS": wrong})
    assert refused.code == 2
    assert f"receiver desk: cannot read its secret from {secret}" in refused.err
