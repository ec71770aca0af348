"""The command as a process: what it does when nobody answers, and when it is told to stop."""

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from cli.conftest import Cli
from rpc.nodes import closed_port, silence, tcp
from support.chains import free_ports
from support.command import start_tieout, tieout
from support.replay import GoldenDay, ReplayNode
from tieout.commands import index
from tieout_database import pool
from tieout_rpc import RpcLimits

MINT = "XsbEhLAtcf6HdfpFZ5xEMdqW8nfAvcsP5bdudRLJzJp"
BACKFILL = ("index", "backfill", "--mint", MINT, "--from-slot", "1", "--to-slot", "2")
BOUND_S = 30
"""Far above the ten seconds promised, which a busy machine may miss; the limits themselves are below."""


def test_the_limits_leave_room_below_the_ten_seconds_promised() -> None:
    assert RpcLimits().give_up_after_s <= 8
    assert pool.CONNECT_TIMEOUT_S <= 8


async def test_a_node_or_a_database_that_is_down_or_silent_is_3(dsn: str) -> None:
    # all four at once: each of the silent ones is waited for as long as promised
    async with closed_port() as down, tcp(silence) as silent, asyncio.timeout(BOUND_S):
        dsns = [f"postgresql://u@127.0.0.1:{url.rpartition(':')[2]}/d" for url in (down, silent)]
        nodes, databases = await asyncio.gather(
            asyncio.gather(*(tieout(*BACKFILL, "--dsn", dsn, "--rpc-url", url) for url in (down, silent))),
            asyncio.gather(*(tieout("index", "status", TIEOUT_DSN=dsn) for dsn in dsns)),
        )
    for url, done in zip((down, silent), nodes, strict=True):
        assert done.code == 3, done
        assert done.err.startswith(f"error: {url} did not answer getGenesisHash: ")
        assert "check that it runs" in done.err
    for named, done in zip(dsns, databases, strict=True):
        assert done.code == 3, done
        assert f"the database '{named}' cannot be reached" in done.err


async def test_a_port_that_is_taken_or_a_host_that_is_not_here_is_2(cli: Cli) -> None:
    database = ("--dsn", "postgresql:///x?host=/nowhere")
    async with tcp(silence) as url:
        taken = url.rpartition(":")[2]
        following = ("index", "run", "--mint", MINT, "--rpc-url", url, *database)
        (index, control), *serving = await asyncio.gather(
            asyncio.gather(
                tieout(*following, TIEOUT_METRICS_PORT=taken),
                tieout("control", "run", *database, TIEOUT_CONTROL__METRICS_PORT=taken),
            ),
            cli("serve", "--port", taken, *database),
        )
        serving.append(await cli("serve", "--port", str(free_ports()), "--metrics-port", taken, *database))
    named = ("TIEOUT_METRICS_PORT", "TIEOUT_CONTROL__METRICS_PORT", "--port", "--metrics-port")
    for done, name in zip((index, control, *serving), named, strict=True):
        assert (done.code, done.err.count("\n")) == (2, 1), done
        assert f"cannot listen on 127.0.0.1:{taken}: Address already in use" in done.err
        assert name in done.err
    done = await cli("serve", "--host", "node.invalid", *database)
    assert (done.code, "cannot listen on node.invalid:8080" in done.err) == (2, True), done


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


EARLY = """
import os, sys
from importlib.abc import MetaPathFinder

class Interrupting(MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name == "tieout.commands":
            os.kill(os.getpid(), {sent})

sys.meta_path.insert(0, Interrupting())
from tieout.entry import run
run()
"""


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
async def test_an_interrupt_that_comes_while_the_command_loads_is_told_as_any_other(sent: signal.Signals) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", EARLY.format(sent=int(sent)), "registry", "show", "--json",
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, err = await asyncio.wait_for(process.communicate(), BOUND_S)
    assert (process.returncode, err.decode()) == (4, "error: interrupted\n")
    assert json.loads(out) == {"schema": "tieout/registry-show/1", "error": {"message": "interrupted", "exit_code": 4}}


async def test_a_long_backfill_without_a_terminal_says_now_and_then_how_far_it_is(
    day: GoldenDay, dsn: str, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index, "_TOLD_EVERY_S", 0.0)
    async with ReplayNode(day.blocks()) as node:
        slots = ("--from-slot", str(day.first), "--to-slot", str(day.last - 1))
        done = await cli("index", "backfill", *slots, "--mint", day.mints["AAPLx"], "--rpc-url", node.url, "--dsn", dsn)
    assert done.code == 0, done
    assert done.err.splitlines()[-1] == f"proven to slot {day.last - 1:,} of {day.last - 1:,}"


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
    ("out", "code", "says"), [(">&-", 0, b""), ("2>&- >&-", 0, b""), ("> /dev/full", 2, b"No space left on device")]
)
async def test_an_output_that_is_closed_or_full_is_no_defect(out: str, code: int, says: bytes) -> None:
    script = f"{sys.executable} -m tieout breaks lines {out}"
    process = await asyncio.create_subprocess_exec("bash", "-c", script, stderr=asyncio.subprocess.PIPE)
    _, err = await asyncio.wait_for(process.communicate(), BOUND_S)
    assert (process.returncode, says in err, b"defect" in err) == (code, True, False), err


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
