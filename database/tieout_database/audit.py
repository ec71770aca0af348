"""The audit log: who did what, each entry chained to the last by its hash. Written by one SQL function alone."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import asyncpg

from tieout_database.queries import Queries

_SQL = Queries("tieout_database", "audit.sql")
_FIRST_PREV_HASH = bytes(32)


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One entry. ``details`` is canonical JSON text; the hash covers its bytes."""

    entry: int
    at: datetime
    actor: str
    action: str
    subject: str
    details: str
    prev_hash: bytes
    hash: bytes

    def to_json(self) -> dict[str, Any]:
        """Return plain values; details as the object that it is."""
        plain = {name: getattr(self, name) for name in ("entry", "actor", "action", "subject")}
        return plain | {"at": self.at.isoformat(), "details": json.loads(self.details), "hash": self.hash.hex()}


async def append_audit(
    connection: asyncpg.Connection, actor: str, action: str, subject: str, details: Mapping[str, Any]
) -> int:
    """Append an entry in the caller's transaction; return its number."""
    text = json.dumps(details, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    entry: int = await connection.fetchval(_SQL["append"], actor, action, subject, text)
    return entry


async def list_audit(connection: asyncpg.Connection, limit: int) -> list[AuditEntry]:
    """Return the last entries, the newest first."""
    return [AuditEntry(**row) for row in await connection.fetch(_SQL["entries"], limit)]


async def verify_audit(connection: asyncpg.Connection) -> tuple[int, list[str]]:
    """Recompute the whole chain; return how many entries there are and what does not hold."""
    faults: list[str] = []
    prev_hash, number = _FIRST_PREV_HASH, 0
    async with connection.transaction(readonly=True):
        async for row in connection.cursor(_SQL["all_entries"], prefetch=1000):
            entry, number = AuditEntry(**row), number + 1
            if entry.entry != number:
                faults.append(f"entry {number} is missing: after {number - 1} comes {entry.entry}")
                number = entry.entry
            if entry.prev_hash != prev_hash:
                faults.append(f"entry {entry.entry} does not follow the one before: the chain breaks there")
            if entry_hash(entry) != entry.hash:
                faults.append(f"entry {entry.entry} ({entry.action} by {entry.actor}) was changed after it was written")
            prev_hash = entry.hash
    return number, faults


def entry_hash(entry: AuditEntry) -> bytes:
    """Return the hash that an entry must have: over its predecessor's and its own fields, each framed by its length."""
    at = entry.at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    fields = (str(entry.entry), at, entry.actor, entry.action, entry.subject, entry.details)
    return hashlib.sha256(entry.prev_hash + b"".join(map(_framed, fields))).digest()


def _framed(field: str) -> bytes:
    data = field.encode()
    return f"{len(data)}:".encode() + data
