"""The command as a process: what it does when nobody answers, and when it is told to stop."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from rpc.nodes import closed_port, silence, tcp
from support.command import start_tieout, tieout
from support.replay import GoldenDay, ReplayNode
from tieout_database import pool
from tieout_rpc import RpcLimits

MINT = "XsbEhLAtcf6HdfpFZ5xEMdqW8nfAvcsP5bdudRLJzJp"
BACKFILL = ("index", "backfill", "--mint", MINT, "--from-slot", "1", "--to-slot", "2")
BOUND_S = 30
"""Far above the ten seconds promised, which a busy machine may miss; the limits themselves are below."""


def test_the_limits_leave_room_below_the_ten_seconds_promised() -> None:
    assert RpcLimits().give_up_after_s <= 8
    assert pool.CONNECT_TIMEOUT_S <= 8


async def test_a_node_that_is_down_or_silent_is_3(dsn: str) -> None:
    async with closed_port() as down, tcp(silence) as silent, asyncio.timeout(BOUND_S):
        ended = await asyncio.gather(*(tieout(*BACKFILL, "--dsn", dsn, "--rpc-url", url) for url in (down, silent)))
    for url, done in zip((down, silent), ended, strict=True):
        assert done.code == 3, done
        assert done.err.startswith(f"error: {url} did not answer getGenesisHash")


async def test_a_database_that_is_down_or_silent_is_3() -> None:
    async with closed_port() as down, tcp(silence) as silent, asyncio.timeout(BOUND_S):
        dsns = [f"postgresql://u@127.0.0.1:{url.rpartition(':')[2]}/d" for url in (down, silent)]
        ended = await asyncio.gather(*(tieout("index", "status", TIEOUT_DSN=dsn) for dsn in dsns))
    for dsn, done in zip(dsns, ended, strict=True):
        assert done.code == 3, done
        assert f"the database '{dsn}' cannot be reached" in done.err


@asynccontextmanager
async def started(words: str, *arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """A process that has said ``words``; it is gone at the end."""
    process = await start_tieout(*arguments)
    assert process.stderr is not None
    try:
        async with asyncio.timeout(BOUND_S):
            said = ""
            while words not in said:
                line = await process.stderr.readline()
                assert line, said
                said += line.decode()
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
async def test_a_waiting_backfill_that_is_interrupted_is_4(day: GoldenDay, dsn: str, sent: signal.Signals) -> None:
    async with ReplayNode(day.blocks()) as node:
        slots = ("--from-slot", str(day.first), "--to-slot", str(day.last + 100))
        where = ("--mint", day.mints["AAPLx"], "--rpc-url", node.url, "--dsn", dsn, "--json")
        async with started("waiting", "index", "backfill", *slots, *where) as process:
            process.send_signal(sent)
            async with asyncio.timeout(BOUND_S):
                out, err = await process.communicate()
    assert process.returncode == 4
    assert err.decode() == "error: interrupted\n"
    assert out.decode().strip() == (
        '{"schema": "tieout/index-backfill/1", "error": {"message": "interrupted", "exit_code": 4}}'
    )


async def test_sigterm_ends_a_command_that_a_script_started_in_the_background(day: GoldenDay, dsn: str) -> None:
    async with ReplayNode(day.blocks()) as node:
        slots = ("--from-slot", str(day.first), "--to-slot", str(day.last + 100))
        where = ("--mint", day.mints["AAPLx"], "--rpc-url", node.url, "--dsn", dsn)
        # so a shell without job control starts what stands before an ampersand
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            waiting = started("waiting", "index", "backfill", *slots, *where)
            process = await waiting.__aenter__()
        finally:
            signal.signal(signal.SIGINT, before)
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(BOUND_S):
            await process.wait()
        await waiting.__aexit__(None, None, None)
    assert process.returncode == 4


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 4)])
async def test_following_ends_with_0_on_sigterm_and_4_on_ctrl_c(
    day: GoldenDay, dsn: str, sent: signal.Signals, code: int
) -> None:
    async with ReplayNode(day.blocks()) as node:
        where = ("--mint", day.mints["AAPLx"], "--from-slot", str(day.first), "--rpc-url", node.url, "--dsn", dsn)
        async with started("events", "index", "run", *where) as process:
            process.send_signal(sent)
            async with asyncio.timeout(BOUND_S):
                _, err = await process.communicate()
    assert process.returncode == code, err.decode()
    assert "Traceback" not in err.decode()


@pytest.mark.parametrize(
    "arguments", ["--help", "--version", "index status --json --dsn postgresql:///x?host=/nowhere"]
)
async def test_a_reader_that_stops_reading_is_no_defect(arguments: str) -> None:
    script = f"{sys.executable} -m tieout {arguments} | true; exit ${{PIPESTATUS[0]}}"
    process = await asyncio.create_subprocess_exec("bash", "-c", script, stderr=asyncio.subprocess.PIPE)
    _, err = await asyncio.wait_for(process.communicate(), BOUND_S)
    assert process.returncode in {0, 3}, err
    assert b"defect" not in err
    assert b"Traceback" not in err
    assert b"Exception ignored" not in err
