"""Connections and pools, set up alike everywhere: UTC, JSON as Python values, bounded waits."""

import asyncio
import json
import os
import socket
from typing import Any

import asyncpg

from tieout_database.dsn import holds_password, redact_dsn
from tieout_database.errors import DatabaseUnreachable

CONNECT_TIMEOUT_S = 8.0
_SETTINGS = {"timezone": "UTC", "application_name": "tieout", "lock_timeout": "30s"}
_UNREACHABLE = (
    OSError,
    socket.gaierror,
    asyncio.TimeoutError,
    asyncpg.CannotConnectNowError,
    asyncpg.ObjectNotInPrerequisiteStateError,
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
    asyncpg.TooManyConnectionsError,
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.ClientConfigurationError,
    ValueError,
)


_JSONB_VERSION = b"\x01"


def _jsonb(value: Any) -> bytes:
    return _JSONB_VERSION + json.dumps(value).encode()


async def _set_up(connection: asyncpg.Connection) -> None:
    # Binary, because COPY takes no other form.
    await connection.set_type_codec(
        "jsonb", encoder=_jsonb, decoder=lambda raw: json.loads(raw[1:]), schema="pg_catalog", format="binary"
    )


def _unreachable(dsn: str, reason: BaseException) -> DatabaseUnreachable:
    said = str(reason).splitlines()[0] if str(reason) else type(reason).__name__
    if isinstance(reason, TimeoutError):
        said = f"no answer in {CONNECT_TIMEOUT_S:g} s"
    elif isinstance(reason, OSError) and reason.errno:
        said = str(reason.strerror) if isinstance(reason, socket.gaierror) else os.strerror(reason.errno)
    if isinstance(reason, ValueError) and holds_password(dsn):
        # What could not be read is quoted, and may be a piece of the password.
        said = "it cannot be read; characters such as @ : / in a password are written %40 %3A %2F"
    return DatabaseUnreachable(
        f"the database {redact_dsn(dsn)!r} cannot be reached: {redact_dsn(said)}; "
        "check that the server runs and the connection string is right (tieout db start runs an embedded one)"
    )


async def connect(dsn: str) -> asyncpg.Connection:
    """Open one connection. Raises DatabaseUnreachable within CONNECT_TIMEOUT_S."""
    try:
        connection = await asyncpg.connect(dsn, timeout=CONNECT_TIMEOUT_S, server_settings=_SETTINGS)
    except _UNREACHABLE as reason:
        raise _unreachable(dsn, reason) from reason
    await _set_up(connection)
    return connection


async def open_pool(dsn: str, *, size_max: int = 4) -> asyncpg.Pool:
    """Open a pool of one to ``size_max`` connections. Raises DatabaseUnreachable within CONNECT_TIMEOUT_S."""
    try:
        return await asyncpg.create_pool(
            dsn,
            # one to begin with, and no floor: asyncpg logs a traceback each time that it cannot restore one
            init_size=1,
            min_size=0,
            max_size=size_max,
            timeout=CONNECT_TIMEOUT_S,
            server_settings=_SETTINGS,
            init=_set_up,
        )
    except _UNREACHABLE as reason:
        raise _unreachable(dsn, reason) from reason
