"""What control asks of the database: its queries keep to their indexes, and the writer's role is enough."""

import json
from typing import Any

import asyncpg
import pytest

from reconcile.builders import MINT, ONE, Book, address, issue, memo, signature
from reconcile.controlling import LIMITS, checked, commit, firing, issued
from support.database import value
from tieout_database import connect, create_roles
from tieout_reconcile.control import Checker, Ripcord, control_status, list_alerts
from tieout_reconcile.control.reading import SQL

FIRST, MANY = 20_000, 30_000
FILL = f"""
insert into ledger.batch_row (batch, epoch, decoder_version, prev_hash, content_hash, hash)
select n, 1, 't', decode(repeat('00', 32), 'hex'), decode(repeat('00', 32), 'hex'), decode(repeat('00', 32), 'hex')
from generate_series({FIRST}, {MANY}) n;
insert into ledger.event_row
select n, now(), 0, 0, -1, '0', 'sig' || n, 'p', 'transfer', 'M' || n % 50, 'a' || n, 'o', 'b' || n, 'o', 'o', 'owner',
       1, 0, null, n
from generate_series({FIRST}, {MANY}) n;
insert into ledger.control_row
select n, now(), 0, 0, -1, '0', 'sig' || n, 'freeze', 'M1', 'a' || n, null, '{{}}', n
from generate_series({FIRST}, {MANY}) n;
insert into ledger.touch_row
select n, 0, 'M1', 'a' || n, 8, 0, 0, 'o', 'o', n from generate_series({FIRST}, {MANY}) n;
insert into recon.load_row (load, kind, name, sha256, content_sha256, rows, body)
select n, case when n % 2 = 0 then 'orders' else 'trades' end, 'f', sha256(n::text::bytea), sha256(n::text::bytea),
       1, ''
from generate_series({FIRST}, {MANY}) n;
insert into recon.order_row
select n, 1, 'R' || n, 'issue', 'M1', 1, null, 'pending', null, 'sig' || n, now(), null
from generate_series({FIRST}, {MANY}) n;
insert into recon.bridge_message_row
select n, 1, 'B' || n, 'M1', 'out', 'ethereum', 1, 'sig' || n, null, now(), null
from generate_series({FIRST}, {MANY}) n;
insert into recon.control_crossing_row
    (key, symbol, mint, slot, tx_index, step, child, signature, kind, outward, raw, unit, at, batch, ordinal,
     registry_load)
select 'k' || n, 'S', 'M1', n, 0, 0, -1, 'sig' || n, 'release', true, 1, 1, now(), n, 1, {FIRST}
from generate_series({FIRST}, {MANY}) n;
insert into recon.control_reference_row select 'R' || n, true, n - {FIRST - 1} from generate_series({FIRST}, {MANY}) n;
insert into recon.control_notice_row
    (notice, fingerprint, status, reason, mint, crossing, labels, annotations, starts_at, ends_at)
select n - {FIRST - 1}, 'f' || (n - n % 2), case when n % 2 = 0 then 'firing' else 'resolved' end, 'r', 'M1',
       n - {FIRST - 1}, '{{}}', '{{}}', now(), case when n % 2 = 0 then null else now() end
from generate_series({FIRST}, {MANY}) n;
insert into recon.control_act_row
    (key, symbol, mint, kind, slot, tx_index, step, child, signature, at, raw, details, batch, registry_load)
select 'a' || n, 'S', 'M' || n % 50, 'inventory_mint', n, 0, 0, -1, 'sig' || n, now(), 1, '{{}}', n, {FIRST}
from generate_series({FIRST}, {MANY}) n;
insert into recon.control_act_reference_row select 'R' || n, n - {FIRST - 1} from generate_series({FIRST}, {MANY}) n;
insert into recon.control_notice_row
    (notice, fingerprint, status, reason, mint, act, labels, annotations, starts_at, ends_at)
select {MANY} + n, 'act' || n, 'firing', 'r', 'M1', n, '{{}}', '{{}}', now(), null from generate_series(1, 20) n;
insert into recon.control_receiver (receiver, delivered_through) values ('desk', {MANY - FIRST - 1200});
analyze;
"""
PLANNED: dict[str, tuple[Any, ...]] = {
    "batches_after": (29_990, 64),
    "events_of_batch": (29_990,),
    "owner_changes_of_batch": (29_990, ["M1"]),
    "touches_of_batch": (29_990, ["M1"]),
    "retractions_of_batch": (29_990,),
    "crossings_at": (2_000, 0, 0, -1, "M1", 30_000),
    "event_at": (2_000, 0, 0, -1, "M1"),
    "source": (),
    "last_registry": (),
    "last_load": (),
    "crossings": ([5, 6, 7],),
    "references": ([5, 6, 7],),
    "claims": (["R1005"], [True], 200),
    "signed_crossings": (["sig1005"], 200),
    "signed_orders": (["sig1005"],),
    "messages": (["B1005"], ["sig1005"]),
    "named_by_loads": (29_990, 29_999),
    "notices_of_crossings": ([5, 6],),
    "notice_of_fingerprint": ("f1004",),
    "last_notice": (),
    "pending": ("desk", [], 256),
    "frontier": (29_990,),
    "controls_of_batch": (29_990, ["M1"], ["authority"]),
    "taken_back": ([29_990], [0], [0], [-1], ["M1"], 29_990),
    "acts_at": (2_000, 0, 0, -1, "M1", 30_000),
    "acts": ([5, 6, 7],),
    "withdrawn_acts": ([5, 6, 7],),
    "acts_of_mints": (["M1"], "authority"),
    "act_references": ([5, 6, 7],),
    "acts_naming": (["R1005"], ["sig1005"], 200),
    "acts_of_orders": (29_990, 29_999),
    "firing_acts": (),
    "notices_of_acts": ([5, 6],),
    "last_act_load": (),
    "firing_named": ("f1004",),
}
UNDER_FUNCTIONS = {
    "events_of_batch": "select * from ledger.event_row e where e.batch = $1 order by e.slot, e.tx_index, e.step",
    "owner_changes_of_batch": "select * from ledger.control_row c where c.batch = $1 and c.mint = any ($2)",
    "touches_of_batch": "select * from ledger.touch_row t where t.batch = $1 and t.mint = any ($2)",
    "controls_of_batch": "select * from ledger.control_row c "
    "where c.batch = $1 and c.mint = any ($2) and c.kind = any ($3)",
}
SMALL = {"control_receiver", "cluster_row", "control_state"}


@pytest.fixture
async def filled(book: Book) -> Book:
    await issued(book)
    for slot in (FIRST, MANY):
        await book.db.execute("select ledger.ensure_partition($1)", slot)
    await book.db.execute(FILL)
    return book


def scans(plan: Any) -> list[str]:
    """The relations that a plan reads from end to end."""
    found = [plan["Relation Name"]] if plan["Node Type"] == "Seq Scan" else []
    for part in plan.get("Plans", ()):
        found += scans(part)
    return found


async def test_every_query_of_a_step_keeps_to_its_index(filled: Book) -> None:
    for name, arguments in PLANNED.items():
        sql = UNDER_FUNCTIONS.get(name, SQL[name])
        statement = await filled.db.prepare(f"explain (format json) {sql}")
        text = await statement.fetchval(*arguments)
        plan = (json.loads(text) if isinstance(text, str) else text)[0]["Plan"]
        empty = {"retraction_row", "control_withdrawal_row", "control_delivery_row", "source_seen_row"}
        empty |= {"control_act_withdrawal_row", "control_acknowledgement_row"}
        assert [r for r in scans(plan) if r not in SMALL | empty] == [], (name, plan)


async def test_a_step_reads_rows_by_what_is_new_not_by_what_there_is(filled: Book) -> None:
    """The database's own counts of one step: no table is read from end to end."""
    book = filled
    await book.db.execute("update recon.control_state set batch = $1, load = $2, registry_load = 1", MANY, MANY)
    book.batch = MANY
    await book.orders(issue("REQ-1", "100"))
    await commit(book, book.transfer(MANY + 1, "treasury", "ap", ONE, memo=memo("issue", "REQ-1")))
    read = "select relname, seq_tup_read from pg_stat_xact_user_tables where seq_tup_read > 1000"
    async with book.db.transaction():
        checker = Checker(LIMITS)
        outcome = await checker.step(book.db)
        while outcome.more:
            outcome = await checker.step(book.db)
        rows = [tuple(r.values()) for r in await book.db.fetch(read)]
    assert outcome.batch == book.batch
    assert rows == []


@pytest.fixture
async def writer(book: Book) -> Any:
    """A connection that is the writer alone."""
    may = await value(book.dsn, "select rolsuper or rolcreaterole from pg_roles where rolname = current_user")
    if not may:
        pytest.skip("the test's user may not create roles")
    await issued(book)
    await book.orders(issue("REQ-1", "100"))
    await create_roles(book.db)
    db = await connect(book.dsn)
    await db.execute("set role tieout_writer")
    yield db
    await db.close()


async def test_the_writers_role_is_enough_for_all_that_the_daemon_does(book: Book, writer: Any) -> None:
    handed = book.control("authority", 21, details={"type": "pause", "new": address("x")}, authority=address("y"))
    await commit(book, book.transfer(20, "treasury", "ap", ONE), handed)
    outcome = await Checker(LIMITS).step(writer)
    assert len(outcome.notices) == 2
    await Ripcord(LIMITS).look(writer)
    for query, arguments in (
        ("deliver_lock", ("desk",)), ("add_receiver", ("desk",)), ("pending", ("desk", [], 8)),
        ("insert_delivery", ("desk", 1, 1, 200)), ("advance_receiver", ("desk",)), ("note_failure", ("desk", "x")),
    ):  # fmt: skip
        await writer.fetch(SQL[query], *arguments)
    assert (await control_status(writer)).receivers[0].depth == 1
    assert len(await list_alerts(writer)) == 2


async def test_nobody_rewrites_an_alert_a_delivery_or_a_crossing(book: Book, writer: Any) -> None:
    await commit(book, book.transfer(20, "treasury", "ap", ONE))
    assert len(await checked(book)) == 1
    await writer.execute(SQL["insert_delivery"], "desk", 1, 1, 200)
    tables = ("control_notice_row", "control_delivery_row", "control_crossing_row", "source_seen_row")
    for table in (*tables, "control_act_row", "control_acknowledgement_row", "source_row"):
        for attempt in (f"delete from recon.{table}", f"truncate recon.{table} cascade"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await writer.execute(attempt)
            with pytest.raises(asyncpg.RestrictViolationError, match="append-only"):
                # whoever owns the tables too: an empty one has no row to be refused
                await book.db.execute(attempt if "delete" not in attempt else f"truncate recon.{table} cascade")
    for change in ("status = 'resolved', ends_at = now()", "labels = '{}'"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await writer.execute(f"update recon.control_notice_row set {change}")
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await writer.execute("delete from recon.control_state")


async def test_a_reader_sees_how_control_does_and_changes_nothing(book: Book, writer: Any) -> None:
    await commit(book, book.transfer(20, "treasury", "ap", ONE))
    await checked(book)
    await writer.execute("reset role")
    await writer.execute("set role tieout_reader")
    assert (await control_status(writer)).batch == book.batch
    assert len(await list_alerts(writer)) == 1
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await writer.execute("update recon.control_state set batch = 0")
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await Checker(LIMITS).step(writer)


async def test_hostile_memos_reach_neither_sql_nor_an_alert_as_they_are(book: Book) -> None:
    await issued(book)
    await book.orders(issue("REQ-1", "100"))
    hostile = "tieout/1 issue '; drop table recon.control_state; --\n\x1b[31m</script>\n" + "x " * 2000
    await commit(book, book.transfer(20, "treasury", "ap", ONE, memo=hostile))
    (notice,) = await checked(book)
    assert "\x1b" not in notice.annotations["summary"]
    assert len(notice.annotations["summary"]) <= 1000
    assert await firing(book) == [("CrossingUnmatched", "no_order")]
    assert notice.mint == MINT
    assert notice.annotations["counterparty"] == address("ap")
    assert notice.annotations["signature"] != signature(0)
