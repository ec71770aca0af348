"""Logging in: passwords (Argon2id), sessions, lock-out, and tokens for programs.

What a browser or a program holds is random and kept here as its SHA-256 alone. A session's form token is
derived from the cookie, so that another site cannot know it.
"""

import asyncio
import hashlib
import hmac
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import asyncpg
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tieout_database import Queries, append_audit
from tieout_idl import base58
from tieout_reconcile import NotAllowed

SQL = Queries("tieout_web", "access.sql")
TOKEN_PREFIX = "tieout_"
SCOPES = ("breaks:read", "reports:read")
PASSWORD_CHARACTERS_MIN = 12
PASSWORD_CHARACTERS_MAX = 256
LABEL_CHARACTERS_MAX = 64
_SECRET_BYTES = 32
_HASHER = PasswordHasher()


@dataclass(frozen=True, slots=True)
class Session:
    """A person who is logged in. ``form_token`` must come with everything that they send."""

    name: str
    roles: tuple[str, ...]
    form_token: str


class Locked(Exception):
    """Too many failed attempts: the name is locked for a while."""


@cache
def _nobodys_hash() -> str:
    # a name that is nobody's takes as long to be refused as one that is somebody's
    return _HASHER.hash(secrets.token_urlsafe(_SECRET_BYTES))


def digest_of(secret: str) -> bytes:
    """Return what is stored of a secret."""
    return hashlib.sha256(secret.encode()).digest()


def form_token_of(cookie: str) -> str:
    """Return the token that this session's forms carry."""
    return hmac.new(cookie.encode(), b"tieout form", hashlib.sha256).hexdigest()


def is_form_token(cookie: str, given: str) -> bool:
    """Whether a form came from a page of this session."""
    return hmac.compare_digest(form_token_of(cookie).encode(), given.encode())


async def set_password(db: asyncpg.Connection, name: str, password: str, admin: Ed25519PrivateKey) -> None:
    """Give a person a password, by an admin's key; their sessions end. Raises NotAllowed."""
    if not PASSWORD_CHARACTERS_MIN <= len(password) <= PASSWORD_CHARACTERS_MAX:
        raise NotAllowed(f"a password has {PASSWORD_CHARACTERS_MIN} to {PASSWORD_CHARACTERS_MAX} characters")
    made = await asyncio.to_thread(_HASHER.hash, password)
    async with db.transaction():
        actor = await _admin(db, admin)
        if await db.fetchrow(SQL["person"], name) is None:
            raise NotAllowed(f"{name!r} is nobody here: tieout people set adds somebody")
        entry = await append_audit(db, actor, "password.set", name, {})
        await db.execute(SQL["insert_password"], name, made, entry)
        await db.execute(SQL["end_sessions_of"], name)


async def _admin(db: asyncpg.Connection, key: Ed25519PrivateKey) -> str:
    who = base58.encode(key.public_key().public_bytes_raw())
    name: str | None = await db.fetchval(SQL["admin"], who)
    if name is None:
        raise NotAllowed(f"the key {who} is no admin's: tieout people list shows who is")
    return name


async def log_in(
    db: asyncpg.Connection, name: str, password: str, hours: int, failures_max: int, lock_minutes: int
) -> str | None:
    """Return the cookie of a new session, None for a wrong name or password. Raises Locked.

    A wrong name takes as long as a wrong password, and both count.
    """
    name, password = name[:PASSWORD_CHARACTERS_MAX], password[:PASSWORD_CHARACTERS_MAX]
    async with db.transaction():
        # one attempt at a time for a name: a burst of guesses cannot outrun the count
        await db.execute(SQL["lock_login"], name)
        if await db.fetchval(SQL["failures"], name, lock_minutes) >= failures_max:
            raise Locked
        stored: str | None = await db.fetchval(SQL["password"], name)
        nobodys = await asyncio.to_thread(_nobodys_hash)
        right = await asyncio.to_thread(_is_right, stored or nobodys, password)
        person = await db.fetchrow(SQL["person"], name)
        allowed = right and stored is not None and person is not None and bool(person["roles"])
        await db.execute(SQL["insert_login"], name, allowed)
        if not allowed:
            return None
        cookie = secrets.token_urlsafe(_SECRET_BYTES)
        await db.execute(SQL["insert_session"], digest_of(cookie), name, hours)
        await append_audit(db, name, "session.begin", name, {})
    return cookie


def _is_right(stored: str, password: str) -> bool:
    try:
        return _HASHER.verify(stored, password)
    except (VerificationError, InvalidHashError):
        return False


async def session_of(db: asyncpg.Connection, cookie: str | None) -> Session | None:
    """Return who a cookie belongs to, with the roles of this moment; None when it is nobody's any more."""
    if not cookie or len(cookie) > PASSWORD_CHARACTERS_MAX:
        return None
    row = await db.fetchrow(SQL["session"], digest_of(cookie))
    if row is None or not row["roles"]:
        return None
    return Session(row["name"], tuple(row["roles"]), form_token_of(cookie))


async def log_out(db: asyncpg.Connection, cookie: str) -> None:
    """End a session."""
    await db.execute(SQL["end_session"], digest_of(cookie))


async def create_token(
    db: asyncpg.Connection, label: str, scopes: Sequence[str], days: int, admin: Ed25519PrivateKey
) -> str:
    """Return a new token for a program, which is shown this once. Raises NotAllowed."""
    if not label or len(label) > LABEL_CHARACTERS_MAX or not label.isprintable():
        raise NotAllowed(f"{label!r} is no label: 1 to {LABEL_CHARACTERS_MAX} printable characters")
    if not scopes or (unknown := sorted(set(scopes) - set(SCOPES))):
        raise NotAllowed(f"{', '.join(unknown) if scopes else 'nothing'}: the scopes are {', '.join(SCOPES)}")
    secret = f"{TOKEN_PREFIX}{secrets.token_urlsafe(_SECRET_BYTES)}"
    async with db.transaction():
        actor = await _admin(db, admin)
        details = {"label": label, "scopes": sorted(set(scopes)), "days": days}
        entry = await append_audit(db, actor, "token.create", label, details)
        await db.execute(SQL["insert_token"], digest_of(secret), actor, label, sorted(set(scopes)), days, entry)
    return secret


async def end_tokens(db: asyncpg.Connection, label: str, admin: Ed25519PrivateKey) -> None:
    """End every token of a label. Raises NotAllowed."""
    async with db.transaction():
        actor = await _admin(db, admin)
        entry = await append_audit(db, actor, "token.end", label, {})
        await db.execute(SQL["end_tokens"], label, entry)


async def list_tokens(db: asyncpg.Connection) -> list[dict[str, Any]]:
    """Return all tokens by label, without what they are."""
    return [dict(row) for row in await db.fetch(SQL["tokens"])]


async def token_scopes(db: asyncpg.Connection, secret: str) -> tuple[str, ...] | None:
    """Return what a token may do; None for one that is unknown, expired or ended."""
    row = await db.fetchrow(SQL["token"], digest_of(secret))
    if row is None or row["ended"] or not row["in_time"]:
        return None
    return tuple(row["scopes"])
