"""Ledger rows written straight into their tables: what is not given has a harmless default."""

from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg

from tieout_database import connect

T0 = datetime(2026, 11, 2, 14, 0, tzinfo=UTC)
MINT = "M"
BLANK = bytes(32)

DEFAULTS: dict[str, dict[str, Any]] = {
    "cluster_row": {"genesis_hash": "genesis"},
    "batch_row": {
        "batch": 1,
        "epoch": 1,
        "decoder_version": "test",
        "prev_hash": BLANK,
        "content_hash": BLANK,
        "hash": BLANK,
    },
    "tracked_row": {"mint": MINT, "from_slot": 0, "batch": 1},
    "coverage_row": {"mint": MINT, "from_slot": 0, "to_slot": 9, "batch": 1},
    "cohort_row": {"cohort": 1, "mint": MINT, "batch": 1},
    "cohort_coverage_row": {"cohort": 1, "from_slot": 0, "to_slot": 9, "batch": 1},
    "coverage_mark_row": {"cohort": 1, "batch": 1, "ranges": [asyncpg.Range(0, 10)]},
    "coverage_before_row": {"mint": MINT, "batch": 1, "ranges": [asyncpg.Range(0, 10)]},
    "slot_row": {
        "slot": 1,
        "parent_slot": 0,
        "blockhash": "h1",
        "parent_blockhash": "h0",
        "block_time": T0,
        "transactions": 1,
        "batch": 1,
    },
    "event_row": {
        "slot": 1,
        "block_time": T0,
        "tx_index": 0,
        "step": 0,
        "child": -1,
        "path": "0",
        "signature": "s",
        "program": "p",
        "kind": "transfer",
        "mint": MINT,
        "source": "a",
        "source_owner": "oa",
        "destination": "b",
        "destination_owner": "ob",
        "authority": "oa",
        "authority_role": "owner",
        "amount": 1,
        "fee": 0,
        "memo": None,
        "batch": 1,
    },
    "control_row": {
        "slot": 1,
        "block_time": T0,
        "tx_index": 0,
        "step": 0,
        "child": -1,
        "path": "0",
        "signature": "s",
        "kind": "freeze",
        "mint": MINT,
        "account": None,
        "authority": None,
        "details": {},
        "batch": 1,
    },
    "proof_row": {"slot": 1, "tx_index": 0, "mint": MINT, "status": "exact", "batch": 1},
    "touch_row": {
        "slot": 1,
        "tx_index": 0,
        "mint": MINT,
        "account": "a",
        "decimals": 8,
        "pre_amount": 0,
        "post_amount": 0,
        "pre_owner": "oa",
        "post_owner": "oa",
        "batch": 1,
    },
    "quarantine_row": {
        "slot": 1,
        "tx_index": 0,
        "step": 0,
        "child": -1,
        "signature": "s",
        "path": "0",
        "mint": MINT,
        "reason": "r",
        "data": "",
        "batch": 1,
    },
    "park_row": {"slot": 1, "action": "park", "reason": "r", "at": T0, "batch": 1},
    "evidence_row": {
        "slot": 1,
        "tx_index": 0,
        "encoding": "json",
        "endpoint": "e",
        "sha256": BLANK,
        "body": b"",
        "batch": 1,
    },
    "retraction_row": {
        "relation": "event",
        "slot": 1,
        "tx_index": 0,
        "step": 0,
        "child": -1,
        "mint": MINT,
        "account": "",
        "row_batch": 1,
        "batch": 2,
    },
    "hole_row": {"from_slot": 1, "to_slot": 2, "reason": "r", "accepted_by": "who", "at": T0, "batch": 1},
    "finding_row": {
        "audit": "balance",
        "subject": "a",
        "mint": MINT,
        "slot": 1,
        "action": "open",
        "expected": "1",
        "found": "2",
        "evidence": "",
        "at": T0,
        "batch": 1,
    },
    "opening_row": {
        "mint": MINT,
        "slot": 1,
        "decimals": 8,
        "supply": 1,
        "withheld": 0,
        "hidden": 0,
        "accounts": 1,
        "batch": 1,
    },
    "listed_row": {"mint": MINT, "from_slot": 0, "to_slot": 9, "batch": 1},
    "detachment_row": {
        "before_slot": 1,
        "files": 1,
        "bytes": 1,
        "manifest_sha256": BLANK,
        "at": T0,
        "batch": 1,
    },
    "multiplier_rule_row": {"from_slot": 1, "reason": "r", "declared_by": "who", "at": T0, "batch": 1},
    "content_row": {"batch": 1, "parts": ""},
    "provisional_row": {},
}
DEFAULTS["provisional_row"] = {**DEFAULTS["event_row"], "blockhash": "h1"}
PARTITIONED = ("event_row", "control_row", "proof_row", "touch_row", "evidence_row")
APPEND_ONLY = tuple(t for t in DEFAULTS if t != "provisional_row")


def at(slot: int) -> datetime:
    """A slot is a second."""
    return T0 + timedelta(seconds=slot)


class Rows:
    """One connection that writes rows; ``block_time`` follows the slot."""

    def __init__(self, db: asyncpg.Connection) -> None:
        self.db = db

    @classmethod
    async def open(cls, dsn: str) -> "Rows":
        return cls(await connect(dsn))

    async def add(self, table: str, **values: Any) -> None:
        row = {**DEFAULTS[table], **values}
        if "block_time" in row and "block_time" not in values:
            row["block_time"] = at(row["slot"])
        if table in PARTITIONED:
            await self.db.execute("select ledger.ensure_partition($1)", row["slot"])
        columns, marks = ", ".join(row), ", ".join(f"${n}" for n in range(1, len(row) + 1))
        await self.db.execute(f"insert into ledger.{table} ({columns}) values ({marks})", *row.values())

    async def batches(self, count: int) -> None:
        for batch in range(1, count + 1):
            await self.add("batch_row", batch=batch)

    async def fetch(self, sql: str, *args: Any) -> list[dict[str, Any]]:
        return [dict(row) for row in await self.db.fetch(sql, *args)]

    async def value(self, sql: str, *args: Any) -> Any:
        return await self.db.fetchval(sql, *args)
