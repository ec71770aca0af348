"""A fresh migrated database per test, and a book around one mint."""

import asyncio
import os
import tempfile
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from reconcile.builders import Book
from tieout_database import EmbeddedPostgres, connect, migrate


@pytest.fixture(scope="session")
def server_dsn() -> Iterator[str]:
    if (given := os.environ.get("TIEOUT_TEST_DSN")) is not None:
        yield given
        return
    with tempfile.TemporaryDirectory() as folder, EmbeddedPostgres(Path(folder) / "data", ephemeral=True) as server:
        yield server.dsn


def _named(server_dsn: str, name: str) -> str:
    if "/postgres?" in server_dsn:
        return server_dsn.replace("/postgres?", f"/{name}?")
    return f"{server_dsn.rsplit('/', 1)[0]}/{name}"


@pytest.fixture(scope="session")
def template(server_dsn: str) -> str:
    name = f"tieout_template_{uuid.uuid4().hex}"

    async def build() -> None:
        admin = await connect(server_dsn)
        await admin.execute(f"create database {name}")
        await admin.close()
        fresh = await connect(_named(server_dsn, name))
        await migrate(fresh)
        await fresh.close()

    asyncio.run(build())
    return name


@pytest.fixture
async def dsn(server_dsn: str, template: str) -> AsyncIterator[str]:
    name = f"tieout_test_{uuid.uuid4().hex}"
    admin = await connect(server_dsn)
    await admin.execute(f"create database {name} template {template}")
    yield _named(server_dsn, name)
    await admin.execute(f"drop database {name} with (force)")
    await admin.close()


@pytest.fixture
async def book(dsn: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Book]:
    built = await Book.open(dsn, tmp_path_factory.mktemp("files"))
    yield built
    await built.close()
