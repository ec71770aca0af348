"""Stored rows are appended, never changed; partitions are made as they are needed, once."""

import asyncio

import asyncpg
import pytest

from database.rows import APPEND_ONLY, DEFAULTS, PARTITIONED, Rows
from support.database import query
from tieout_database import connect

SPAN = 10_000_000


@pytest.mark.parametrize("table", APPEND_ONLY)
async def test_a_stored_row_is_neither_updated_nor_deleted_nor_truncated(rows: Rows, table: str) -> None:
    if table != "batch_row":
        await rows.batches(1)
    await rows.add(table)
    column = next(iter(DEFAULTS[table]))
    relations = [f"ledger.{table}"] + ([f"ledger.{table}_000000"] if table in PARTITIONED else [])
    for relation in relations:
        for change in (
            f"update {relation} set {column} = {column}",
            f"delete from {relation}",
            f"truncate {relation} cascade",
        ):
            with pytest.raises(asyncpg.RestrictViolationError, match="is append-only") as refused:
                await rows.db.execute(change)
            assert refused.value.hint
    assert await rows.value(f"select count(*) from ledger.{table}") == 1


async def test_every_stored_table_of_every_schema_refuses_changes(dsn: str) -> None:
    """Whatever a later migration adds: a table ending in _row has both triggers."""
    unguarded = await query(
        dsn,
        "select c.oid::regclass::text as relation from pg_class c join pg_namespace n on n.oid = c.relnamespace "
        "where n.nspname in ('ledger', 'recon', 'access', 'audit') and c.relkind in ('r', 'p') and "
        "c.relname like '%\\_row%' "
        "and c.relname <> 'provisional_row' and (select count(*) from pg_trigger t where t.tgrelid = "
        "c.oid and t.tgenabled = 'O' "
        "and t.tgname in ('refuse_change', 'refuse_truncate')) <> 2",
    )
    assert unguarded == []


async def test_an_insert_that_would_update_is_refused(rows: Rows) -> None:
    await rows.batches(1)
    await rows.add("tracked_row")
    with pytest.raises(asyncpg.RestrictViolationError):
        await rows.db.execute(
            "insert into ledger.tracked_row values ('M', 5, 1) on conflict (mint) do update set "
            "from_slot = excluded.from_slot"
        )
    assert await rows.value("select from_slot from ledger.tracked_row") == 0


async def test_provisional_rows_are_replaced_as_the_chain_moves(rows: Rows) -> None:
    await rows.add("provisional_row")
    await rows.db.execute("delete from ledger.provisional_row")
    assert await rows.value("select count(*) from ledger.provisional_events") == 0


async def test_one_database_speaks_of_one_chain(rows: Rows) -> None:
    await rows.add("cluster_row")
    with pytest.raises(asyncpg.UniqueViolationError):
        await rows.add("cluster_row", genesis_hash="another")


async def test_a_tracked_mint_belongs_to_a_batch_that_exists(rows: Rows) -> None:
    with pytest.raises(asyncpg.ForeignKeyViolationError):
        await rows.add("tracked_row", batch=7)


async def partitions(dsn: str) -> dict[str, list[str]]:
    found = await query(
        dsn,
        "select p.relname as parent, c.relname as child from pg_inherits i join pg_class c on c.oid = i.inhrelid "
        "join pg_class p on p.oid = i.inhparent where c.relkind = 'r' and p.relnamespace = "
        "'ledger'::regnamespace order by 1, 2",
    )
    made: dict[str, list[str]] = {}
    for row in found:
        made.setdefault(row["parent"], []).append(row["child"].rpartition("_")[2])
    return made


@pytest.mark.parametrize(
    ("slot", "number"),
    [
        (0, "000000"),
        (SPAN - 1, "000000"),
        (SPAN, "000001"),
        (437_855_402, "000043"),
        (10**13 - 1, "999999"),
        (10**13, "1000000"),
    ],
)
async def test_a_slots_partitions_hold_it_at_their_very_edges(rows: Rows, dsn: str, slot: int, number: str) -> None:
    await rows.add("event_row", slot=slot, block_time=None)
    await rows.db.execute("select ledger.ensure_partition($1)", slot)
    assert await partitions(dsn) == {table: [number] for table in PARTITIONED}
    assert await rows.value(f"select slot from ledger.event_row_{number}") == slot


async def test_partitions_named_by_seven_digits_do_not_collide(rows: Rows, dsn: str) -> None:
    for slot in (0, 10 * SPAN, 100_000 * SPAN, 10**13):
        await rows.add("event_row", slot=slot, block_time=None)
    assert len((await partitions(dsn))["event_row"]) == 4


async def test_a_slot_is_never_negative(rows: Rows) -> None:
    with pytest.raises(asyncpg.RaiseError, match="never negative: -1"):
        await rows.db.execute("select ledger.ensure_partition(-1)")


async def test_two_writers_at_once_make_each_partition_once(dsn: str) -> None:
    async def make() -> None:
        connection = await connect(dsn)
        try:
            for number in range(6):
                await connection.execute("select ledger.ensure_partition($1)", number * SPAN)
        finally:
            await connection.close()

    async with asyncio.timeout(60):
        await asyncio.gather(*(make() for _ in range(4)))
    assert {len(children) for children in (await partitions(dsn)).values()} == {6}
