"""Audits of the ledger by itself: its hash chain, its evidence, its identities.

Each difference is a finding with both values; none is an exception.
"""

from dataclasses import dataclass

import asyncpg

from tieout_database import Queries, check_schema, connect
from tieout_database.content import (
    GENESIS_PREV_HASH,
    batch_rows,
    chain_hash,
    parted_hash,
    parts_of,
    stored_parts,
    whole_hash,
)
from tieout_indexer.errors import BadEvidence
from tieout_indexer.evidence import stored_body
from tieout_indexer.findings import AuditFinding

_SQL = Queries("tieout_indexer", "audit.sql")


@dataclass(frozen=True, slots=True)
class ChainMark:
    """How far the hash chain was verified: the last batch, and its hash."""

    batch: int = 0
    hash: bytes = GENESIS_PREV_HASH


async def verify_chain(dsn: str) -> tuple[int, list[AuditFinding]]:
    """Recompute every batch's hashes and evidence from the stored rows. Returns (batches, findings)."""
    mark, findings = await verify_chain_after(dsn, ChainMark())
    return mark.batch, findings


async def verify_chain_after(dsn: str, mark: ChainMark) -> tuple[ChainMark, list[AuditFinding]]:
    """Verify the batches after a mark, each with its evidence. Returns how far it is verified now."""
    connection = await connect(dsn)
    try:
        await check_schema(connection)
        findings: list[AuditFinding] = []
        prev_hash, expected_batch = mark.hash, mark.batch + 1
        for row in await connection.fetch(_SQL["batches"], mark.batch):
            batch = row["batch"]
            subject = f"batch {batch}"
            if batch != expected_batch:
                findings.append(AuditFinding("gapless", subject, str(expected_batch), str(batch)))
            content = await _content(connection, batch)
            if content != row["content_hash"]:
                findings.append(AuditFinding("content", subject, row["content_hash"].hex(), content.hex()))
            linked = chain_hash(prev_hash, batch, row["decoder_version"], row["content_hash"])
            if linked != row["hash"] or prev_hash != row["prev_hash"]:
                findings.append(AuditFinding("chain", subject, row["hash"].hex(), linked.hex()))
            findings += await _evidence_findings(connection, batch)
            prev_hash, expected_batch = row["hash"], batch + 1
        # Derived, so in no batch's hash: worked out again from rows that are.
        for wrong in await connection.fetch(_SQL["wrong_marks"], mark.batch):
            findings.append(AuditFinding("coverage", wrong["subject"], wrong["expected"], wrong["found"]))
        return ChainMark(expected_batch - 1, prev_hash), findings
    finally:
        await connection.close()


async def _content(connection: asyncpg.Connection, batch: int) -> bytes:
    """The hash of a batch's rows as they are stored now, by the rule that it was made by."""
    rows, said = await batch_rows(connection, batch), await stored_parts(connection, batch)
    if said is None:
        return whole_hash(rows)
    # both the rows and the digests stored beside them have to be those that were hashed
    return parted_hash(parts) if (parts := parts_of(rows)) == said else parted_hash(parts + said)


async def _evidence_findings(connection: asyncpg.Connection, batch: int) -> list[AuditFinding]:
    """Evidence that is not what was hashed; what a later row of the same transaction made good is no finding."""
    findings = []
    for row in await connection.fetch(_SQL["evidence"], batch):
        try:
            stored_body(row["body"], row["sha256"])
        except BadEvidence as bad:
            subject = f"slot {row['slot']} transaction {row['tx_index']} of batch {batch}"
            findings.append(AuditFinding("evidence", subject, row["sha256"].hex(), str(bad), slot=row["slot"]))
    return findings


async def identity_findings(connection: asyncpg.Connection, mint: str) -> list[AuditFinding]:
    """Supply = Σ balances + withheld + hidden, over the ledger's own current figures; nothing where unknown."""
    supply = await connection.fetchval(_SQL["supply"], mint)
    if supply is None:
        return []
    visible = int(await connection.fetchval(_SQL["balance_sum"], mint) or 0)
    rest = {r["account"]: int(r["total"]) for r in await connection.fetch(_SQL["pseudo_sums"], mint)}
    total = visible + rest.get("withheld", 0) + rest.get("confidential", 0)
    found = []
    if total != supply:
        found.append(AuditFinding("identity", mint, str(int(supply)), str(total), mint))
    if (withheld := rest.get("withheld", 0)) < 0:
        found.append(AuditFinding("identity", mint, "withheld fees of 0 or more", f"withheld fees of {withheld}", mint))
    return found
