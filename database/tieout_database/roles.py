"""Roles, optional and separate from migrations: who may append, who may read.

``tieout_owner`` owns the schemas and may not log in; ``tieout_writer`` appends,
``tieout_reader`` reads views, ``tieout_auditor`` reads every row, ``tieout_desk`` reads every row and appends
what people at the desk do: sessions, work on breaks, periods, acknowledgements, and the log of it.
"""

import asyncpg

from tieout_database.queries import Queries

ROLES = ("tieout_owner", "tieout_writer", "tieout_reader", "tieout_auditor", "tieout_desk")
_LOCK_KEY = 7_401_685_234


async def create_roles(connection: asyncpg.Connection) -> None:
    """Create the five roles where missing and (re)grant their rights. Needs CREATEROLE."""
    async with connection.transaction():
        await connection.execute("select pg_advisory_xact_lock($1)", _LOCK_KEY)
        await connection.execute(Queries("tieout_database", "roles.sql")["create_roles"])
