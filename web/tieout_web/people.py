"""Who is who: names, roles, personal keys. The only writer of schema ``access``; every change is in the audit log.

The first person is an admin and is added by whoever may write to the database; from then on each change
is made by an admin, by their key.
"""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import asyncpg
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tieout_database import Queries, append_audit, check_schema, connect
from tieout_idl import base58
from tieout_reconcile import NotAllowed
from tieout_reconcile.reports.signing import sign
from tieout_reconcile.working import person_body

ROLES = ("viewer", "preparer", "approver", "auditor", "admin")
NAME_CHARACTERS_MAX = 64
_SQL = Queries("tieout_web", "people.sql")
_KEY_BYTES = 32
_FOUNDER = "founder"


@dataclass(frozen=True, slots=True)
class PersonInfo:
    """A person as of now. No role at all: they may do nothing any more."""

    name: str
    roles: tuple[str, ...]
    public_key: str | None
    since: datetime
    changed_by: str

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {name: getattr(self, name) for name in self.__slots__}


async def list_people(dsn: str) -> list[PersonInfo]:
    """Return everybody, those without a role included, by name."""
    connection = await connect(dsn)
    try:
        await check_schema(connection)
        return await _people(connection)
    finally:
        await connection.close()


async def set_person(
    dsn: str, name: str, roles: Sequence[str], public_key: str | None, admin: Ed25519PrivateKey | None
) -> PersonInfo:
    """Add a person, or give one other roles or another key (None keeps the key); no roles ends their access.

    Raises NotAllowed unless an admin's key is given; the very first person needs none and has to be an admin.
    """
    _refuse_malformed(name, roles, public_key)
    connection = await connect(dsn)
    try:
        await check_schema(connection)
        async with connection.transaction():
            await connection.execute(_SQL["lock_people"])
            people = {row["name"]: row for row in await connection.fetch(_SQL["people"])}
            actor = _admin(people, roles, admin)
            _refuse_last_admin(people, name, roles)
            known = people.get(name)
            key = public_key or (known["public_key"] if known else None)
            _refuse_shared_key(await connection.fetch(_SQL["keys"]), name, key)
            _refuse_alike(people, name)
            details = {"roles": sorted(set(roles)), "public_key": key}
            if admin is not None:
                details["signature"] = sign(admin, person_body(name, roles, key))
            entry = await append_audit(connection, actor, "person.set", name, details)
            await connection.execute(_SQL["insert_person"], name, key, sorted(set(roles)), entry)
        return next(p for p in await _people(connection) if p.name == name)
    finally:
        await connection.close()


async def _people(connection: asyncpg.Connection) -> list[PersonInfo]:
    return [PersonInfo(**{**row, "roles": tuple(row["roles"])}) for row in await connection.fetch(_SQL["people"])]


def _refuse_malformed(name: str, roles: Sequence[str], public_key: str | None) -> None:
    if (
        not name
        or len(name) > NAME_CHARACTERS_MAX
        or not name.isprintable()
        or name != name.strip()
        or name == _FOUNDER
    ):
        raise NotAllowed(f"{name!r} is no name: 1 to {NAME_CHARACTERS_MAX} printable characters, not {_FOUNDER!r}")
    if unknown := sorted(set(roles) - set(ROLES)):
        raise NotAllowed(f"{', '.join(unknown)}: the roles are {', '.join(ROLES)}")
    if public_key is not None:
        try:
            size = len(base58.decode(public_key))
        except ValueError as bad:
            raise NotAllowed(f"{public_key!r} is no public key: {bad}") from None
        if size != _KEY_BYTES:
            raise NotAllowed(f"{public_key!r} has {size} bytes, a public key has {_KEY_BYTES}")


def _admin(people: dict[str, Any], roles: Sequence[str], admin: Ed25519PrivateKey | None) -> str:
    if not any("admin" in row["roles"] for row in people.values()):
        if "admin" not in roles:
            raise NotAllowed("nobody is an admin yet: add one first (--role admin), with the public key to act by")
        return _FOUNDER
    if admin is None:
        raise NotAllowed("an admin changes people: give the admin's key (--key)")
    who = base58.encode(admin.public_key().public_bytes_raw())
    found = [row["name"] for row in people.values() if row["public_key"] == who and "admin" in row["roles"]]
    if not found:
        raise NotAllowed(f"the key {who} is no admin's: tieout people list shows who is")
    return str(found[0])


def _refuse_last_admin(people: dict[str, Any], name: str, roles: Sequence[str]) -> None:
    others = [row for row in people.values() if "admin" in row["roles"] and row["name"] != name]
    if people and not others and "admin" not in roles:
        raise NotAllowed(f"{name} is the last admin: make somebody else one first")


def _refuse_shared_key(known: Sequence[Any], name: str, key: str | None) -> None:
    """Whoever ever had a key may still have it."""
    holders = [row["name"] for row in known if key is not None and row["public_key"] == key and row["name"] != name]
    if holders:
        raise NotAllowed(f"the key {key} is or was that of {holders[0]}: two people with one key would be one person")


def _refuse_alike(people: dict[str, Any], name: str) -> None:
    alike = [other for other in people if other != name and _folded(other) == _folded(name)]
    if alike:
        raise NotAllowed(f"{name!r} reads as {alike[0]!r}, who is there: one person has one name")


def _folded(name: str) -> str:
    return unicodedata.normalize("NFKC", name).casefold()
