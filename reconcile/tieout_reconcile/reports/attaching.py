"""Practitioners' statements, stored: verified first, attached by a person under their own key, and logged."""

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import asyncpg
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tieout_database import Queries, append_audit
from tieout_reconcile import store
from tieout_reconcile.calendars import last_day_begun
from tieout_reconcile.canonical import canonical_bytes, from_plain
from tieout_reconcile.errors import NotAllowed, NotFound
from tieout_reconcile.files import InputFile, read_file
from tieout_reconcile.reports import signing
from tieout_reconcile.reports.practitioner import SignedStatement, Statement, faults, read_statement
from tieout_reconcile.store import Database
from tieout_reconcile.working import people_of, person_of

SQL = Queries("tieout_reconcile.reports", "practitioner.sql")
_ROLES = frozenset({"preparer", "approver"})


@dataclass(frozen=True, slots=True)
class Attached:
    """A statement attached to a report. ``holds``: its signature is the key's, and the key belongs to nobody here."""

    number: int
    report: int
    actor: str
    attached_at: datetime
    signed: SignedStatement
    holds: bool

    def to_json(self) -> dict[str, Any]:
        """Return plain values; of one that does not hold none of its words."""
        plain = self.signed.to_json()
        if not self.holds:
            del plain["words"]
        return {
            "number": self.number, "report": self.report, "actor": self.actor, "attached_at": self.attached_at,
            "holds": self.holds, **plain,
        }  # fmt: skip


def attached_of(row: Any) -> Attached:
    """Return a row of ``recon.practitioner_statements`` as a value, its signature checked again."""
    body = row["body"].encode()
    signed = SignedStatement(from_plain(Statement, json.loads(body)), row["public_key"], row["signature"])
    valid = signed.statement.body() == body and signing.is_signed_by(signed.public_key, signed.signature, body)
    return Attached(
        row["statement"], row["report"], row["actor"], row["attached_at"], signed, valid and bool(row["outside"])
    )


async def attach_statement(database: Database, path: str, trusted: str, key: Ed25519PrivateKey) -> Attached:
    """Attach a practitioner's statement to the report that it names; the same file twice is once.

    ``trusted`` is the practitioner's public key, known from elsewhere; ``key`` that of who attaches it. Raises BadInput
    for a file that is none or whose signature is wrong, NotFound for a report that was never made, NotAllowed.
    """
    file = read_file(path)
    signed = read_statement(file.name, file.data)
    if signed.public_key != trusted:
        raise NotAllowed(f"{path} is signed by {signed.public_key}, not by the practitioner's key {trusted} (--trust)")
    async with store.session(database) as db, db.transaction():
        await db.execute(SQL["lock"])
        actor = await _actor(db, key)
        known = await db.fetchrow(SQL["by_digest"], signed.sha256.hex())
        if known is not None:
            return attached_of(known)
        number = await _report(db, file, signed)
        await _store(db, number, signed, actor, key)
        row = await db.fetchrow(SQL["by_digest"], signed.sha256.hex())
        assert row is not None, "it was just stored"
        return attached_of(row)


async def list_statements_on_reports(database: Database, report: int | None = None) -> list[Attached]:
    """Return the statements attached to a report, or to any, in the order in which they were attached."""
    async with store.session(database) as db:
        return [attached_of(row) for row in await db.fetch(SQL["statements"], report)]


async def _actor(db: asyncpg.Connection, key: Ed25519PrivateKey) -> str:
    person = person_of(key, await people_of(db))
    if not _ROLES & set(person.roles):
        has = ", ".join(person.roles) or "no role"
        raise NotAllowed(f"{person.name} has {has}: to attach a statement needs the role preparer or approver")
    return person.name


async def _report(db: asyncpg.Connection, file: InputFile, signed: SignedStatement) -> int:
    """The number of the report that it is about, once nothing speaks against it."""
    digest = signed.statement.report_sha256
    row = await db.fetchrow(SQL["report_of"], digest)
    if row is None:
        raise NotFound(f"{file.name} is about the report {digest}, which was never made here: tieout report list")
    issuers = {r["public_key"]: r["whose"] for r in await db.fetch(SQL["issuers_keys"])}
    found = faults(signed, digest, row["as_of_time"], issuers)
    now: datetime = await db.fetchval(SQL["now"])
    if signed.statement.dated > last_day_begun(now):
        found.append(f"it is dated {signed.statement.dated}, which is not yet")
    if found:
        raise NotAllowed(f"{file.name} is not attached: {'; '.join(found)}")
    number: int = row["report"]
    return number


async def _store(
    db: asyncpg.Connection, report: int, signed: SignedStatement, actor: str, key: Ed25519PrivateKey
) -> None:
    body = canonical_bytes({
        "schema": "tieout/practitioner-attachment/1", "actor": actor,
        "report_sha256": signed.statement.report_sha256, "statement_sha256": signed.sha256.hex(),
        "genesis_hash": await db.fetchval(SQL["genesis_hash"]),
    }).decode()  # fmt: skip
    mine = signing.sign(key, body.encode())
    entry = await append_audit(db, actor, "report.attach", str(report), {"body": body, "signature": mine})
    await db.execute(
        SQL["insert"], await db.fetchval(SQL["next_statement"]), report, signed.public_key, signed.signature,
        signed.statement.body().decode(), signed.sha256, actor, body, mine, entry,
    )  # fmt: skip
