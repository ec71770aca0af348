"""The views, their columns and their order are a promise; columns may only be added at the end."""

from typing import Any

import pytest

from database.rows import Rows
from support.database import query

EVENTS = (
    "slot block_time tx_index step child path signature program kind mint source source_owner destination "
    "destination_owner authority authority_role amount fee memo batch"
)
VIEWS = {
    "events": EVENTS,
    "controls": "slot block_time tx_index step child path signature kind mint account authority details batch",
    "balances": "mint account owner amount frozen opened_slot closed_slot last_slot",
    "supply": "mint decimals supply last_slot",
    "multipliers": "mint effective_at announced_slot bits value superseded_slot",
    "tracked": "mint from_slot opening",
    "coverage": "mint from_slot to_slot",
    "slots": "slot parent_slot blockhash block_time transactions",
    "proofs": "slot tx_index status batch",
    "quarantine": "slot signature path mint reason data batch",
    "parked": "slot reason since",
    "cluster": "genesis_hash",
    "batches": "batch committed_at decoder_version prev_hash hash",
    "evidence": "slot tx_index encoding endpoint sha256 body detached batch",
    "holes": "from_slot to_slot reason accepted_by accepted_at batch",
    "findings": "audit subject mint slot expected found opened_at opened_batch closed_at closed_batch evidence",
    "endpoints": "endpoint standing requests failures rate_limited disagreements latency_s finalized_slot lag_slots "
    "first_slot seen_at",
    "openings": "mint slot decimals supply withheld hidden accounts batch",
    "listed": "mint from_slot to_slot",
    "detachments": "before_slot files bytes manifest_sha256 at batch",
    "owners": "mint account owner how from_slot from_tx_index from_step from_time signature set_by to_slot to_tx_index "
    "to_step to_time ended_by",
    "frozen": "mint account from_slot from_time frozen_by from_signature how to_slot to_time thawed_by to_signature "
    "ended_by",
    "paused": "mint from_slot from_time paused_by from_signature to_slot to_time resumed_by to_signature",
    "authorities": "mint account type authority from_slot from_tx_index from_step from_time signature set_by how "
    "to_slot to_time",
    "provisional_events": EVENTS + " blockhash",
}
TYPES = {
    "slot": "bigint",
    "from_slot": "bigint",
    "to_slot": "bigint",
    "parent_slot": "bigint",
    "opened_slot": "bigint",
    "closed_slot": "bigint",
    "last_slot": "bigint",
    "announced_slot": "bigint",
    "superseded_slot": "bigint",
    "batch": "bigint",
    "block_time": "timestamp with time zone",
    "effective_at": "timestamp with time zone",
    "since": "timestamp with time zone",
    "committed_at": "timestamp with time zone",
    "mint": "text",
    "signature": "text",
    "account": "text",
    "owner": "text",
    "amount": "numeric",
    "fee": "numeric",
    "supply": "numeric",
    "value": "numeric",
    "bits": "bytea",
    "details": "jsonb",
    "frozen": "boolean",
}
COLUMNS = (
    "select column_name, data_type from information_schema.columns where table_schema = 'ledger' and "
    "table_name = $1 order by ordinal_position"
)


@pytest.mark.parametrize("view", VIEWS)
async def test_a_view_has_its_columns_in_their_order(dsn: str, view: str) -> None:
    found = await query(dsn, COLUMNS, view)
    promised = VIEWS[view].split()
    assert [c["column_name"] for c in found][: len(promised)] == promised
    for column in found:
        expected = TYPES.get(column["column_name"], column["data_type"])
        assert column["data_type"] == expected, (view, column)
    assert await query(dsn, f"select * from ledger.{view}") == []


async def test_the_functions_take_what_is_promised(rows: Rows) -> None:
    assert await rows.value("select ledger.supply_at('M', 5)") is None
    assert await rows.value("select ledger.supply_at('M', 5, 1)") is None
    assert await rows.fetch("select account, owner, amount, frozen from ledger.balances_at('M', 5)") == []
    assert await rows.fetch("select * from ledger.balances_at('M', 5, 1)") == []
    assert await rows.value("select ledger.multiplier_at('M', now())") is None
    assert await rows.value("select ledger.multiplier_at('M', now(), 1)") is None
    assert await rows.value("select ledger.shares(1, 8, '\\x000000000000f03f'::bytea)") is not None


async def test_text_keys_sort_by_bytes_in_every_locale(dsn: str) -> None:
    wrong: list[dict[str, Any]] = await query(
        dsn,
        "select c.relname, a.attname from pg_attribute a join pg_class c on c.oid = a.attrelid "
        "join pg_collation l on l.oid = a.attcollation "
        "where c.relnamespace = 'ledger'::regnamespace and c.relkind in ('r', 'p') and a.attnum > 0 "
        "and l.collname <> 'C' and a.attname in ('mint', 'account', 'signature', 'path', 'kind', "
        "'blockhash', 'source', 'destination')",
    )
    assert wrong == []
