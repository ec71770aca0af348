"""Reading for pages and API: published views through connections that cannot write."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import asyncpg

from tieout_database import DatabaseUnreachable, Queries, open_pool

SQL = Queries("tieout_web", "web.sql")
LOST = (OSError, asyncpg.InterfaceError, asyncpg.InternalClientError, TimeoutError, DatabaseUnreachable)
"""What a database that went away looks like, to a pool and to a connection."""
_WAIT_S = 5.0


class Reader:
    """A small pool of read-only sessions. The database may go and come back: each read finds out anew."""

    def __init__(self, dsn: str, size_max: int) -> None:
        self._dsn = dsn
        self._size_max = size_max
        self._pool: asyncpg.Pool | None = None

    async def close(self) -> None:
        """Close what is open."""
        if self._pool is not None:
            self._pool.terminate()
            self._pool = None

    @asynccontextmanager
    async def session(self) -> AsyncIterator[Any]:
        """Give a read-only transaction with one snapshot. Raises DatabaseUnreachable."""
        try:
            if self._pool is None:
                self._pool = await open_pool(self._dsn, size_max=self._size_max)
            connection = await self._pool.acquire(timeout=_WAIT_S)
        except (asyncpg.PostgresError, *LOST) as gone:
            raise _gone(gone) from gone
        pool = self._pool
        try:
            async with connection.transaction(isolation="repeatable_read", readonly=True):
                yield connection
        except (asyncpg.PostgresConnectionError, asyncpg.OperatorInterventionError, *LOST) as gone:
            raise _gone(gone) from gone
        finally:
            with suppress(asyncpg.PostgresError, *LOST):
                await pool.release(connection)

    async def rows(self, query: str, *values: Any) -> list[dict[str, Any]]:
        """Run a named query; return its rows. Raises DatabaseUnreachable."""
        async with self.session() as connection:
            return [dict(row) for row in await connection.fetch(SQL[query], *values)]

    async def row(self, query: str, *values: Any) -> dict[str, Any] | None:
        """Run a named query; return its first row. Raises DatabaseUnreachable."""
        found = await self.rows(query, *values)
        return found[0] if found else None

    async def value(self, query: str, *values: Any) -> Any:
        """Run a named query; return its first value. Raises DatabaseUnreachable."""
        found = await self.row(query, *values)
        return next(iter(found.values())) if found else None


def _gone(reason: BaseException) -> DatabaseUnreachable:
    # the pool stays: it replaces what was lost when the database is back
    if isinstance(reason, DatabaseUnreachable):
        return reason
    return DatabaseUnreachable(f"the database cannot be reached: {str(reason) or type(reason).__name__}")
