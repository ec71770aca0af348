"""Roles: a reader reads views, a writer appends, an auditor reads every row; none does more."""

from collections.abc import AsyncIterator

import asyncpg
import pytest

from database.rows import APPEND_ONLY, Rows
from support.database import query
from tieout_database import check_schema, connect, create_roles

DENIED = asyncpg.InsufficientPrivilegeError
VIEWS = (
    "select table_schema || '.' || table_name as name from information_schema.views where table_schema "
    "in ('ledger', 'recon', 'access', 'audit')"
)


@pytest.fixture
async def roles(rows: Rows, dsn: str) -> AsyncIterator[Rows]:
    may = await rows.value("select rolsuper or rolcreaterole from pg_roles where rolname = current_user")
    if not may:
        pytest.skip("the test's user may not create roles")
    await create_roles(rows.db)
    await rows.batches(1)
    await rows.add("tracked_row")
    await rows.add("event_row")
    yield rows
    await rows.db.execute("reset role")


async def become(rows: Rows, role: str) -> None:
    await rows.db.execute(f"set role {role}")


async def test_creating_them_again_changes_nothing(roles: Rows) -> None:
    grants = (
        "select grantee, table_schema, table_name, privilege_type from "
        "information_schema.role_table_grants where grantee like 'tieout%'"
    )
    before = await roles.fetch(grants)
    await create_roles(roles.db)
    assert sorted(map(str, await roles.fetch(grants))) == sorted(map(str, before))
    assert before


async def test_none_of_them_may_log_in_by_itself(roles: Rows) -> None:
    found = await roles.fetch(
        "select rolname from pg_roles where rolname like 'tieout\\_%' and not (rolcanlogin or "
        "rolsuper or rolcreaterole or rolcreatedb)"
    )
    assert {r["rolname"] for r in found} >= {"tieout_owner", "tieout_writer", "tieout_reader", "tieout_auditor"}


async def test_they_can_be_made_before_there_is_any_schema(empty_dsn: str) -> None:
    rows = await Rows.open(empty_dsn)
    try:
        await create_roles(rows.db)
        assert await rows.value("select count(*) from pg_roles where rolname = 'tieout_reader'") == 1
    finally:
        await rows.db.close()


@pytest.mark.parametrize("role", ["tieout_reader", "tieout_writer", "tieout_auditor"])
async def test_every_role_sees_whether_the_schema_is_current(roles: Rows, role: str) -> None:
    await become(roles, role)
    await check_schema(roles.db)
    assert await roles.value("select current_user") == role


async def test_a_reader_selects_every_published_view_and_calls_the_functions(roles: Rows, dsn: str) -> None:
    views = [r["name"] for r in await query(dsn, VIEWS)]
    assert len(views) > 15
    await become(roles, "tieout_reader")
    for view in set(views) - {"recon.load_bodies"}:
        await roles.fetch(f"select * from {view}")
    # the custodians' own files are the auditor's
    with pytest.raises(DENIED):
        await roles.fetch("select body from recon.load_bodies")
    assert await roles.value("select count(*) from ledger.events") == 1
    assert await roles.value("select ledger.supply_at('M', 5)") is None
    assert await roles.fetch("select * from ledger.balances_at('M', 5)") == []
    assert await roles.value("select ledger.multiplier_at('M', now())") is None
    assert await roles.value("select ledger.shares(1, 8, '\\x000000000000f03f'::bytea)") is not None


@pytest.mark.parametrize("table", [*APPEND_ONLY, "writer", "provisional_row", "event_row_000000"])
async def test_a_reader_sees_no_stored_row(roles: Rows, table: str) -> None:
    await become(roles, "tieout_reader")
    with pytest.raises(DENIED):
        await roles.fetch(f"select * from ledger.{table}")


@pytest.mark.parametrize("role", ["tieout_reader", "tieout_auditor"])
async def test_who_only_reads_writes_nothing(roles: Rows, role: str) -> None:
    await become(roles, role)
    for attempt in (
        "insert into ledger.coverage_row values ('M', 0, 1, 1)",
        "update ledger.writer set epoch = 5",
        "delete from ledger.event_row",
        "truncate ledger.event_row",
        "delete from ledger.provisional_row",
        "insert into recon.load_row values (1, 'k', 'n', ''::bytea, ''::bytea, 0, now(), ''::bytea)",
        "insert into public.tieout_migration values (99, 'x', ''::bytea)",
        "select ledger.ensure_partition(500000000)",
        "create table ledger.mine (x int)",
        "create table recon.mine (x int)",
    ):
        with pytest.raises(DENIED):
            await roles.db.execute(attempt)


async def test_an_auditor_reads_every_row(roles: Rows, dsn: str) -> None:
    relations = await query(
        dsn,
        "select c.oid::regclass::text as name from pg_class c where c.relnamespace in "
        "('ledger'::regnamespace, 'recon'::regnamespace) "
        "and c.relkind in ('r', 'p', 'v') and not c.relispartition",
    )
    await become(roles, "tieout_auditor")
    for relation in relations:
        await roles.fetch(f"select * from {relation['name']}")
    assert await roles.value("select count(*) from ledger.event_row") == 1


async def test_a_writer_appends_and_no_more(roles: Rows) -> None:
    await become(roles, "tieout_writer")
    await roles.add("event_row", slot=2)
    await roles.add("event_row", slot=600_000_000)  # makes its partition
    await roles.add("retraction_row")
    await roles.add("provisional_row")
    await roles.db.execute("delete from ledger.provisional_row")
    await roles.db.execute("update ledger.writer set epoch = epoch + 1, holder = 'me'")
    for attempt in (
        "update ledger.event_row set amount = 0",
        "delete from ledger.event_row",
        "truncate ledger.event_row",
        "delete from ledger.event_row_000000",
        "update ledger.batch_row set hash = hash",
        "delete from ledger.writer",
        "alter table ledger.event_row disable trigger all",
        "drop table ledger.event_row_000000",
        "create table ledger.mine (x int)",
        "set session_replication_role = replica",
    ):
        with pytest.raises(DENIED):
            await roles.db.execute(attempt)
    assert await roles.value("select count(*) from ledger.events") == 2


async def test_nobody_who_logs_in_owns_what_is_append_only(dsn: str) -> None:
    connection = await connect(dsn)
    try:
        await create_roles(connection)
        await connection.execute("select ledger.ensure_partition(70000000)")
        owners = await connection.fetch(
            "select distinct pg_get_userbyid(relowner) as owner from pg_class "
            "where relnamespace in ('ledger'::regnamespace, 'recon'::regnamespace) and relkind in ('r', 'p', 'v')"
        )
        assert [row["owner"] for row in owners] == ["tieout_owner"]
        assert not await connection.fetchval("select rolcanlogin from pg_roles where rolname = 'tieout_owner'")
    finally:
        await connection.close()
