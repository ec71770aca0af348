"""Databases for tests: one server a session, one fresh migrated database a test.

The server is TIEOUT_TEST_DSN's where it is set (a superuser's, on PostgreSQL 15 or newer), else
the embedded one.
"""

import asyncio
import os
import tempfile
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from tieout_database import EmbeddedPostgres, connect, migrate


@contextmanager
def running_server() -> Iterator[str]:
    """The DSN of the session's server."""
    given = os.environ.get("TIEOUT_TEST_DSN")
    if given:
        yield given
        return
    with tempfile.TemporaryDirectory() as folder, EmbeddedPostgres(Path(folder) / "data", ephemeral=True) as server:
        yield server.dsn


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
    admin = await connect(server_dsn)
    copied = f" template {template}" if template else ""
    await admin.execute(f"create database {name}{copied}")
    try:
        yield named(server_dsn, name)
    finally:
        await admin.execute(f"drop database {name} with (force)")
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
