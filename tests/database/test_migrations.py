"""Migrations are applied once, in order, unchanged, by one migrator at a time."""

import asyncio
import dataclasses
from importlib import resources

import pytest

from support.database import query, value
from tieout_database import (
    MigrationDrift,
    SchemaBehind,
    applied_migrations,
    check_schema,
    connect,
    load_migrations,
    migrate,
)
from tieout_database import migrate as migrate_function


async def apply(dsn: str) -> list[str]:
    connection = await connect(dsn)
    try:
        return [m.name for m in await migrate(connection)]
    finally:
        await connection.close()


async def check(dsn: str) -> None:
    connection = await connect(dsn)
    try:
        await check_schema(connection)
    finally:
        await connection.close()


def test_every_migration_is_numbered_without_a_hole() -> None:
    found = load_migrations()
    assert [m.number for m in found] == list(range(1, len(found) + 1))
    files = {f.name for f in resources.files("tieout_database").joinpath("migrations").iterdir() if f.is_file()}
    assert files == {m.name for m in found}
    assert all(m.name.startswith(f"{m.number:04}_") and len(m.sha256) == 32 for m in found)


async def test_each_is_applied_once_and_remembered(empty_dsn: str) -> None:
    with pytest.raises(SchemaBehind, match="tieout db migrate"):
        await check(empty_dsn)
    names = [m.name for m in load_migrations()]
    assert await apply(empty_dsn) == names
    assert await apply(empty_dsn) == []
    await check(empty_dsn)
    connection = await connect(empty_dsn)
    try:
        assert await applied_migrations(connection) == {m.number: (m.name, m.sha256) for m in load_migrations()}
    finally:
        await connection.close()


async def test_an_empty_database_has_none(empty_dsn: str) -> None:
    connection = await connect(empty_dsn)
    try:
        assert await applied_migrations(connection) == {}
    finally:
        await connection.close()


async def test_a_changed_migration_is_refused(dsn: str) -> None:
    await query(dsn, "update public.tieout_migration set sha256 = $1 where number = 2 returning 1", bytes(32))
    with pytest.raises(MigrationDrift, match="0002_ledger_views"):
        await apply(dsn)
    with pytest.raises(MigrationDrift, match="restore the file"):
        await check(dsn)


async def test_a_database_of_a_newer_version_is_refused(dsn: str) -> None:
    await query(
        dsn,
        "insert into public.tieout_migration (number, name, sha256) values (9999, '9999_x_y.sql', $1) returning 1",
        bytes(32),
    )
    with pytest.raises(MigrationDrift, match=r"\[9999\].*newer tieout"):
        await apply(dsn)
    with pytest.raises(MigrationDrift, match="newer tieout"):
        await check(dsn)


async def test_a_pending_migration_is_named(dsn: str) -> None:
    last = load_migrations()[-1]
    await query(dsn, "delete from public.tieout_migration where number = $1 returning 1", last.number)
    with pytest.raises(SchemaBehind, match=f"lacks 1 migration.*{last.name}"):
        await check(dsn)


async def test_two_migrators_at_once_apply_each_migration_once(empty_dsn: str) -> None:
    async with asyncio.timeout(60):
        done = await asyncio.gather(*(apply(empty_dsn) for _ in range(3)))
    assert sorted(map(len, done)) == [0, 0, len(load_migrations())]
    assert await value(empty_dsn, "select count(*) from public.tieout_migration") == len(load_migrations())


async def test_a_migration_that_fails_leaves_nothing_and_lets_the_next_one_in(
    empty_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = load_migrations()
    broken = dataclasses.replace(good[1], sql="create table public.half (x int); select 1/0;")
    module = __import__("sys").modules[migrate_function.__module__]
    monkeypatch.setattr(module, "load_migrations", lambda: [good[0], broken])
    with pytest.raises(Exception, match="division by zero"):
        await apply(empty_dsn)
    assert await value(empty_dsn, "select to_regclass('public.half')") is None
    assert await value(empty_dsn, "select max(number) from public.tieout_migration") == 1
    monkeypatch.undo()
    assert await apply(empty_dsn) == [m.name for m in good[1:]]
