"""Roles: a reader reads views, a writer appends, an auditor reads every row, a desk logs work; none does more."""

from collections.abc import AsyncIterator

import asyncpg
import pytest

from database.rows import APPEND_ONLY, Rows
from support.database import query
from tieout_database import check_schema, connect, create_roles
from tieout_database.roles import ROLES

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
    assert {r["rolname"] for r in found} >= set(ROLES)


async def test_they_can_be_made_before_there_is_any_schema(empty_dsn: str) -> None:
    rows = await Rows.open(empty_dsn)
    try:
        await create_roles(rows.db)
        assert await rows.value("select count(*) from pg_roles where rolname = 'tieout_reader'") == 1
    finally:
        await rows.db.close()


@pytest.mark.parametrize("role", ["tieout_reader", "tieout_writer", "tieout_auditor", "tieout_desk"])
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


GRANTS = (
    "select table_schema || '.' || table_name as name, privilege_type as may from "
    "information_schema.role_table_grants where grantee = $1"
)
DESK_APPENDS = {
    "access.login_row", "access.session_row", "access.session_end_row", "recon.break_action_row", "recon.period_row",
    "recon.period_action_row", "recon.control_acknowledgement_row",
}  # fmt: skip


async def grants(rows: Rows, role: str) -> set[tuple[str, str]]:
    return {(r["name"], r["may"]) for r in await rows.fetch(GRANTS, role)}


async def test_a_desk_may_all_that_a_reader_may_and_writes_what_its_people_do(roles: Rows) -> None:
    desk, reader = await grants(roles, "tieout_desk"), await grants(roles, "tieout_reader")
    assert reader < desk
    assert {(name, may) for name, may in desk if may != "SELECT"} == {(name, "INSERT") for name in DESK_APPENDS}
    functions = (
        "select p.oid::regprocedure::text as name from pg_proc p where p.pronamespace::regnamespace::text in "
        "('ledger', 'recon', 'access', 'audit') and has_function_privilege($1, p.oid, 'execute')"
    )
    may = {role: {r["name"] for r in await roles.fetch(functions, role)} for role in ("tieout_reader", "tieout_desk")}
    assert may["tieout_desk"] - may["tieout_reader"] == {"audit.append(text,text,text,text)"}
    assert may["tieout_reader"] <= may["tieout_desk"]


async def test_a_desk_writes_no_ledger_no_file_no_run_no_report_and_no_person(roles: Rows) -> None:
    tables = [r["name"] for r in await roles.fetch(
        "select c.oid::regclass::text as name from pg_class c where c.relkind in ('r', 'p') and "
        "c.relnamespace::regnamespace::text in ('ledger', 'recon', 'access', 'audit')"
    )]  # fmt: skip
    assert {
        "ledger.event_row", "recon.position_row", "recon.order_row", "recon.wallet_row", "recon.run_row",
        "recon.report_row", "access.person_row", "access.password_row", "access.token_row", "audit.entry_row",
    } <= set(tables)  # fmt: skip
    await become(roles, "tieout_desk")
    for table in tables:
        for attempt in (f"delete from {table}", f"truncate {table}"):
            with pytest.raises(DENIED):
                await roles.db.execute(attempt)
        if table not in DESK_APPENDS:
            with pytest.raises(DENIED):
                await roles.db.execute(f"insert into {table} overriding system value select * from {table}")
    for attempt in (
        "update ledger.writer set epoch = 5",
        "update recon.control_state set batch = 0",
        "update recon.break_action_row set actor = 'eve'",
        "update access.session_row set expires_at = now() + interval '9 years'",
        "select ledger.ensure_partition(500000000)",
        "select ledger.detach_evidence(0, 1)",
        "insert into public.tieout_migration values (99, 'x', ''::bytea)",
        "alter table recon.break_action_row disable trigger all",
        "create table recon.mine (x int)",
        "set session_replication_role = replica",
    ):
        with pytest.raises(DENIED):
            await roles.db.execute(attempt)
    for role in set(ROLES) - {"tieout_desk"}:
        assert not await roles.value("select pg_has_role('tieout_desk', $1, 'member')", role)


async def test_what_a_desk_appended_is_changed_by_nobody(roles: Rows, dsn: str) -> None:
    await become(roles, "tieout_desk")
    await roles.db.execute("insert into access.login_row (name, succeeded) values ('pat', false)")
    await roles.db.execute(
        "insert into access.session_row (digest, name, expires_at) values (sha256('x'), 'pat', now())"
    )
    assert await roles.value("select audit.append('pat', 'session.begin', 'pat', '{}')") == 1
    # nobody without a session, and who signs nothing, works on a break
    with pytest.raises(asyncpg.RestrictViolationError, match="has no session"):
        await roles.db.execute(
            "insert into recon.break_action_row (action, key, kind, actor, at, body, entry) "
            "values (1, 'k', 'explain', 'pat', now(), '{}', 1)"
        )
    await roles.db.execute("reset role")
    for attempt in (
        "update access.login_row set succeeded = true",
        "delete from access.session_row",
        "delete from audit.entry_row",
        "truncate recon.break_action_row cascade",
        "truncate recon.period_row cascade",
    ):
        with pytest.raises(asyncpg.RestrictViolationError, match="append-only"):
            await roles.db.execute(attempt)


async def test_a_database_of_four_roles_gets_the_desks_by_making_them_again(roles: Rows) -> None:
    await roles.db.execute("drop owned by tieout_desk")
    assert await grants(roles, "tieout_desk") == set()
    before = {role: await grants(roles, role) for role in ROLES if role != "tieout_desk"}
    await roles.db.execute("create table recon.later_row (x bigint); create view recon.later as select 1 as x")
    await create_roles(roles.db)
    desk = await grants(roles, "tieout_desk")
    assert {name for name, may in desk if may == "INSERT"} == DESK_APPENDS
    # a later migration's relations are read, and not written until the desk's list names them
    assert {("recon.later_row", "SELECT"), ("recon.later", "SELECT")} <= desk
    after = {role: await grants(roles, role) for role in before}
    assert all(before[role] <= after[role] for role in before)


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
