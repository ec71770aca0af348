"""Acknowledging an alert: a person says that they have seen it. It goes on firing, and its break on ageing."""

from datetime import datetime
from typing import Any

import asyncpg

from tieout_database import append_audit, clean_text
from tieout_reconcile import store
from tieout_reconcile.canonical import canonical_bytes
from tieout_reconcile.control.alerts import Notice
from tieout_reconcile.control.reading import SQL
from tieout_reconcile.errors import NotAllowed, NotFound
from tieout_reconcile.registry import instant_text
from tieout_reconcile.reports import signing
from tieout_reconcile.store import SQL as RECON_SQL
from tieout_reconcile.store import Database
from tieout_reconcile.workflow import NOTE_CHARACTERS_MAX
from tieout_reconcile.working import Identity, people_of, person_of

SCHEMA = "tieout/alert-acknowledgement/1"
_ROLES = frozenset({"preparer", "approver"})


async def acknowledge(database: Database, alert: str, identity: Identity, *, note: str | None = None) -> Notice:
    """Record that somebody has seen an alert that fires, named by its fingerprint (a beginning is enough).

    It goes to the audit log, under their signature where a personal key says who they are; nothing else changes.
    Raises NotAllowed, NotFound.
    """
    async with store.session(database) as db, db.transaction():
        await db.execute(SQL["lock"])
        person = person_of(identity, await people_of(db))
        if not _ROLES & set(person.roles):
            has = ", ".join(person.roles) or "no role"
            raise NotAllowed(f"{person.name} has {has}: to acknowledge an alert needs the role preparer or approver")
        if note is not None:
            note = clean_text(note, NOTE_CHARACTERS_MAX + 1)[0]
            if len(note) > NOTE_CHARACTERS_MAX:
                raise NotAllowed(f"the note has over {NOTE_CHARACTERS_MAX} characters: shorten it")
        row = await _firing(db, alert)
        if row["acknowledged_by"] is not None:
            said = instant_text(row["acknowledged_at"])
            raise NotAllowed(f"{row['acknowledged_by']} acknowledged the alert {row['fingerprint']} at {said}")
        await _store(db, row, person.name, identity, note)
        return Notice(**dict(await _firing(db, row["fingerprint"])))


async def _firing(db: asyncpg.Connection, alert: str) -> Any:
    rows = await db.fetch(SQL["firing_named"], alert)
    if len(rows) != 1:
        raise NotFound(f"{alert!r} names {len(rows)} alerts that fire, not one: tieout control list shows them")
    return rows[0]


async def _store(db: asyncpg.Connection, row: Any, actor: str, identity: Identity, note: str | None) -> None:
    now: datetime = await db.fetchval(SQL["now"])
    body = canonical_bytes({
        "schema": SCHEMA, "kind": "acknowledge", "actor": actor, "fingerprint": row["fingerprint"],
        "notice": row["notice"], "genesis_hash": await db.fetchval(RECON_SQL["genesis_hash"]), "note": note,
    })  # fmt: skip
    signature = None if isinstance(identity, str) else signing.sign(identity, body)
    details = {"body": body.decode(), "signature": signature}
    entry = await append_audit(db, actor, "alert.acknowledge", row["fingerprint"], details)
    await db.execute(
        SQL["insert_acknowledgement"], row["notice"], actor, now, note, signature, body.decode(), entry
    )  # fmt: skip
