"""Every named query of the indexer fits the real schema, and those that run often stay on their index."""

from importlib import resources
from typing import Any

import asyncpg
import pytest

from database.rows import Rows
from tieout_database import Queries, connect

FILES = sorted(f.name for f in resources.files("tieout_indexer").iterdir() if f.name.endswith(".sql"))
HELD: dict[tuple[str, str], tuple[str, list[Any]]] = {
    ("writer.sql", "known_slots"): ("slot_row_pkey", [1, 9]),
    ("writer.sql", "block_before"): ("slot_row_pkey", [5]),
    ("writer.sql", "block_after"): ("slot_row_pkey", [5]),
    ("writer.sql", "evidence_known"): ("_pkey", [1, 9]),
    ("writer.sql", "last_touches"): ("touch_row_000000_mint_account", [["M"], ["a"], [0], 9]),
    ("writer.sql", "last_batch"): ("batch_row_pkey", []),
    ("stream.sql", "batches_after"): ("batch_row_pkey", [1, 64]),
    ("differing.sql", "event"): ("_pkey|_mint_", [["M"], 1, 9, 99]),
    ("differing.sql", "touch"): ("_pkey|_mint_", [["M"], 1, 9, 99]),
    ("redecode.sql", "evidence"): ("_pkey", [1, 9]),
    ("repair.sql", "evidence"): ("_pkey", [1, 9]),
    ("evidence.sql", "before"): ("_pkey", [9, -1, -1, -1, 500]),
    ("audit.sql", "evidence"): ("_batch|_pkey", [1]),
    ("audit_node.sql", "evidence"): ("_pkey", [1, 0]),
    ("audit_node.sql", "signatures"): ("_mint_|_pkey", ["M", 0, 9]),
}
"""(file, query) → part of the name of the index that it must use (alternatives by |), its arguments."""


@pytest.mark.parametrize("file", FILES)
async def test_every_named_query_is_prepared_by_the_server(file: str, dsn: str) -> None:
    queries = Queries("tieout_indexer", file)
    connection = await connect(dsn)
    try:
        for name in sorted(queries.names):
            statement = await connection.prepare(queries[name])
            assert statement is not None, name
    finally:
        await connection.close()


@pytest.fixture
async def filled(dsn: str) -> Any:
    rows = await Rows.open(dsn)
    await rows.batches(2)
    for slot in range(1, 40):
        await rows.add("slot_row", slot=slot, parent_slot=slot - 1)
        for table in ("event_row", "control_row", "touch_row", "evidence_row", "proof_row"):
            await rows.add(table, slot=slot)
    await rows.db.execute("analyze")
    yield rows.db
    await rows.db.close()


@pytest.mark.parametrize(("file", "name"), HELD)
async def test_a_query_that_runs_often_stays_on_its_index(filled: asyncpg.Connection, file: str, name: str) -> None:
    index, arguments = HELD[file, name]
    sql = Queries("tieout_indexer", file)[name]
    # A small table is read whole whatever its indexes: what counts is whether the index can serve.
    await filled.execute("set enable_seqscan = off")
    await filled.execute("set plan_cache_mode = force_generic_plan")
    statement = await filled.prepare(f"explain (costs off) {sql}")
    plan = "\n".join(row[0] for row in await statement.fetch(*arguments))
    assert any(part in plan for part in index.split("|")), plan
    scanned = [line for line in plan.splitlines() if "Seq Scan" in line and "retraction_row" not in line]
    assert scanned == [], plan
