"""What demo and scenarios stand on: an embedded Postgres, a local chain, an indexer, pages, gone again afterwards."""

import asyncio
import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit, urlunsplit

from tieout.exits import UsageProblem

T = TypeVar("T")

_CHECKOUT = Path(__file__).resolve().parents[2]
_STOP_WAIT_S = 15.0
_PAGES_WAIT_S = 60.0
_PORT_TRIES = 3


class LocalnetFailed(UsageProblem):
    """The local chain did not start."""


@dataclass(frozen=True, slots=True)
class Localnet:
    """A running local chain."""

    url: str
    port: int


@dataclass(frozen=True, slots=True)
class Pages:
    """A ``tieout serve`` that was left running; ``pid_file`` names its process."""

    url: str
    pid_file: Path


@asynccontextmanager
async def workspace(name: str, *, keep: bool = False) -> AsyncIterator[Path]:
    """A new temporary directory ``tieout-NAME-…``, gone at the end unless ``keep``."""

    def new() -> Path:
        directory = Path(tempfile.mkdtemp(prefix=f"tieout-{name}-"))
        # The embedded server runs as a user of its own where we are root: it must be able to pass through.
        directory.chmod(0o755)
        return directory

    directory = await asyncio.to_thread(new)
    try:
        yield directory
    finally:
        if not keep:
            shutil.rmtree(directory, ignore_errors=True)


def left_running(chain: Localnet, directory: Path, *first: str) -> dict[str, str]:
    """How to reach the chain that was left running, and how to end all of it; ``first`` are commands that end more."""
    home, instances = f"TIEOUT_HOME={directory}", f"TIEOUT_LOCALNET_HOME={directory / 'instances'}"
    down = f"{instances} ./localnet.sh down --port {chain.port}"
    return {
        "chain": f"{chain.url}, WebSocket on {chain.port + 1}",
        "end it": "; ".join([*first, f"{home} tieout db stop", down, f"rm -r {directory}"]),
    }


def free_port() -> int:
    """Return a port that is free now, and so is the next one (the WebSocket's)."""
    for _ in range(100):
        with socket.socket() as first, socket.socket() as second:
            first.bind(("127.0.0.1", 0))
            port = int(first.getsockname()[1])
            try:
                second.bind(("127.0.0.1", port + 1))
            except OSError:
                continue
            return port
    raise LocalnetFailed("no two free ports side by side were found")


async def localnet_command(*arguments: str, environment: dict[str, str] | None = None) -> str:
    """Run ``localnet.sh``. Raises LocalnetFailed with what it said."""
    script = _CHECKOUT / "localnet.sh"
    if not script.exists():
        raise LocalnetFailed("the local chain comes with a checkout of tieout, and this installation has none")
    process = await asyncio.create_subprocess_exec(
        str(script), *arguments,
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        env={**os.environ, **(environment or {})},
        start_new_session=True,  # Ctrl-C must not reach it: it would leave a half-started chain
    )  # fmt: skip
    said, wrong = await process.communicate()
    if process.returncode != 0:
        raise LocalnetFailed(f"the local chain: {(wrong or said).decode().strip() or 'failed without a word'}")
    return said.decode()


async def _to_its_end(work: Coroutine[Any, Any, T]) -> T:
    """Await work that must not be left half-done: an interruption waits for it, then goes on."""
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task})
        raise


@asynccontextmanager
async def postgres(directory: Path, *, keep: bool = False) -> AsyncIterator[str]:
    """Run an embedded Postgres in ``directory``, laid out as ``tieout db start`` does; gives its DSN."""
    from tieout_database import EmbeddedPostgres, connect, migrate

    servers: list[EmbeddedPostgres] = []

    def start() -> None:
        servers.append(EmbeddedPostgres(directory / "postgres", ephemeral=not keep))

    try:
        await _to_its_end(asyncio.to_thread(start))
        dsn = servers[0].dsn
        connection = await connect(dsn)
        await migrate(connection)
        await connection.close()
        await asyncio.to_thread((directory / "embedded.dsn").write_text, dsn + "\n", "utf-8")
        yield dsn
    finally:
        if not keep:
            for server in servers:
                await _to_its_end(asyncio.to_thread(server.close))


def named(server_dsn: str, database: str) -> str:
    """The DSN of another database of the embedded server."""
    return urlunsplit(urlsplit(server_dsn)._replace(path=f"/{database}"))


async def copied(server_dsn: str, database: str) -> str:
    """Make a database of that name, migrated and empty as the server's own still is; returns its DSN."""
    from tieout_database import connect

    connection = await connect(named(server_dsn, "template1"))
    try:
        await connection.execute(f'create database "{database}" template postgres')
    finally:
        await connection.close()
    return named(server_dsn, database)


@asynccontextmanager
async def localnet(directory: Path, *options: str, keep: bool = False) -> AsyncIterator[Localnet]:
    """Start a local chain on free ports, with its ledger in ``directory``; stop it at the end unless ``keep``."""
    environment = {"TIEOUT_LOCALNET_HOME": str(directory / "instances")}
    given = ("--ledger", str(directory / "ledger"), *options)
    port, tries = free_port(), 1
    try:
        while True:
            try:
                await _to_its_end(localnet_command("up", "--port", str(port), *given, environment=environment))
                break
            except LocalnetFailed as failed:
                if "is in use" not in str(failed) or tries == _PORT_TRIES:
                    raise
            # somebody took it after it was seen free
            port, tries = free_port(), tries + 1
        yield Localnet(f"http://127.0.0.1:{port}", port)
    finally:
        if not keep:
            with contextlib.suppress(LocalnetFailed):
                await asyncio.shield(localnet_command("down", "--port", str(port), environment=environment))


@asynccontextmanager
async def indexer(
    url: str, dsn: str, mints: list[str], log: Path, from_slot: int = 0
) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run ``tieout index run`` as the daemon it is; SIGTERM at the end."""
    arguments = [part for mint in mints for part in ("--mint", mint)]
    with log.open("wb") as out:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tieout", "index", "run", "--rpc-url", url, "--from-slot", str(from_slot),
            *arguments,
            stdin=asyncio.subprocess.DEVNULL, stdout=out, stderr=out, env={**os.environ, "TIEOUT_DSN": dsn},
            start_new_session=True,
        )  # fmt: skip
    try:
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
            try:
                await asyncio.wait_for(process.wait(), _STOP_WAIT_S)
            except TimeoutError:
                process.kill()
                await process.wait()


async def leave_pages(dsn: str, directory: Path, *options: str) -> Pages:
    """Start ``tieout serve`` on a free port and leave it running once it answers. Raises UsageProblem."""
    port, log = free_port(), directory / "serve.log"
    with log.open("wb") as out:
        # not one of asyncio's: the interpreter's end lets go of its transports, and they kill what still runs
        process = subprocess.Popen(  # noqa: ASYNC220, S603
            [sys.executable, "-m", "tieout", "serve", "--port", str(port), *options],
            stdin=subprocess.DEVNULL, stdout=out, stderr=out, env={**os.environ, "TIEOUT_DSN": dsn},
            start_new_session=True,  # Ctrl-C in the terminal must not reach it
        )  # fmt: skip
    made = Pages(f"http://127.0.0.1:{port}/", directory / "serve.pid")
    try:
        async with asyncio.timeout(_PAGES_WAIT_S):
            while not await _answers(port):
                if process.poll() is not None:
                    raise UsageProblem(f"the pages did not start: {log.read_text('utf-8', 'replace')[-2000:].strip()}")
                await asyncio.sleep(0.1)
    except TimeoutError:
        process.kill()
        raise UsageProblem(f"the pages did not answer within {_PAGES_WAIT_S:.0f} s; they said: {log}") from None
    except BaseException:
        process.kill()
        raise
    await asyncio.to_thread(made.pid_file.write_text, f"{process.pid}\n", "utf-8")
    return made


async def _answers(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True
