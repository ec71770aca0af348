"""Audits of the ledger: its hash chain, its identities, and its figures against the node's.

Each difference is a Finding with both values; none is an exception.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import asyncpg

from tieout_database import Queries, check_schema, connect
from tieout_indexer.errors import IndexerError
from tieout_indexer.redecode import check_evidence
from tieout_indexer.rows import COLUMNS, GENESIS_PREV_HASH, chain_hash, content_hash, from_database
from tieout_rpc import RpcClient, RpcLimits

_SQL = Queries("tieout_indexer", "audit.sql")


@dataclass(frozen=True, slots=True)
class AuditFinding:
    """Something that does not hold: where, what was expected, what was found."""

    check: str
    subject: str
    expected: str
    found: str


async def verify_chain(dsn: str) -> tuple[int, list[AuditFinding]]:
    """Recompute every batch's hashes and evidence from the stored rows. Returns (batches, findings)."""
    connection = await connect(dsn)
    try:
        await check_schema(connection)
        findings: list[AuditFinding] = []
        prev_hash, expected_batch = GENESIS_PREV_HASH, 1
        for row in await connection.fetch(_SQL["batches"]):
            batch = row["batch"]
            if batch != expected_batch:
                findings.append(AuditFinding("gapless", f"batch {batch}", str(expected_batch), str(batch)))
            content = content_hash(await _batch_rows(connection, batch))
            if content != row["content_hash"]:
                findings.append(AuditFinding("content", f"batch {batch}", row["content_hash"].hex(), content.hex()))
            linked = chain_hash(prev_hash, batch, row["decoder_version"], row["content_hash"])
            if linked != row["hash"] or prev_hash != row["prev_hash"]:
                findings.append(AuditFinding("chain", f"batch {batch}", row["hash"].hex(), linked.hex()))
            prev_hash, expected_batch = row["hash"], batch + 1
        findings += await _evidence_findings(connection)
        return expected_batch - 1, findings
    finally:
        await connection.close()


async def _batch_rows(connection: asyncpg.Connection, batch: int) -> dict[str, list[Any]]:
    tables: dict[str, list[Any]] = {}
    for table, columns in COLUMNS.items():
        rows = await connection.fetch(f"select {', '.join(columns)} from ledger.{table} where batch = $1", batch)
        tables[table] = [from_database(row) for row in rows]
    return tables


async def _evidence_findings(connection: asyncpg.Connection) -> list[AuditFinding]:
    findings = []
    async with connection.transaction():
        async for row in connection.cursor(_SQL["evidence"]):
            try:
                check_evidence(row["body"], row["sha256"])
            except IndexerError as bad:
                subject = f"slot {row['slot']} transaction {row['tx_index']}"
                findings.append(AuditFinding("evidence", subject, row["sha256"].hex(), str(bad)))
    return findings


async def verify_supply(
    urls: Sequence[str], dsn: str, mints: Sequence[str], rpc_limits: RpcLimits | None = None
) -> list[AuditFinding]:
    """Check supply = Σ balances + withheld + hidden for each mint, and supply against the node at its slot."""
    connection = await connect(dsn)
    try:
        await check_schema(connection)
        findings: list[AuditFinding] = []
        async with RpcClient(urls, rpc_limits) as rpc:
            for row in await connection.fetch(_SQL["supplies"], list(mints)):
                if row["supply"] is None:
                    findings.append(
                        AuditFinding("supply", row["mint"], "a known supply", "unknown: the mint is unproven")
                    )
                    continue
                findings += await _identity(connection, row["mint"], int(row["supply"]))
                findings += await _against_node(connection, rpc, row["mint"])
        return findings
    finally:
        await connection.close()


async def _identity(connection: asyncpg.Connection, mint: str, supply: int) -> list[AuditFinding]:
    visible = int(await connection.fetchval(_SQL["balance_sum"], mint) or 0)
    rest = await connection.fetchrow(_SQL["hidden"], mint)
    assert rest is not None, "an aggregate always has a row"
    total = visible + int(rest["hidden"] or 0) + int(rest["withheld"] or 0)
    return [] if total == supply else [AuditFinding("identity", mint, str(supply), str(total))]


async def _against_node(connection: asyncpg.Connection, rpc: RpcClient, mint: str) -> list[AuditFinding]:
    answer: Any = await rpc.call("getTokenSupply", [mint, {"commitment": "finalized"}])
    slot, amount = answer["context"]["slot"], answer["value"]["amount"]
    ours = await connection.fetchval(_SQL["supply_at"], mint, slot)
    if ours is None:
        return [AuditFinding("supply", mint, f"{amount} at slot {slot}", "the ledger is not proven up to that slot")]
    return [] if int(ours) == int(amount) else [AuditFinding("supply", mint, f"{amount} at slot {slot}", str(ours))]
