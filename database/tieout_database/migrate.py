"""Migrations: numbered SQL files in one total order, applied once, each in its own transaction.

Forward only. The content of each applied file is kept as a SHA-256; a file that changes
afterwards is refused, because two databases of the same version would then differ.
"""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources

import asyncpg

from tieout_database.errors import MigrationDrift, SchemaBehind

_FILENAME = re.compile(r"^(?P<number>\d{4})_(?P<schema>[a-z]+)_[a-z0-9_]+\.sql$")
_LOCK_KEY = 7_401_685_233  # any constant of ours: two migrators at once wait for each other
_TABLE = """
create table if not exists public.tieout_migration (
    number integer primary key,
    name text not null unique,
    sha256 bytea not null,
    applied_at timestamptz not null default clock_timestamp()
)
"""


@dataclass(frozen=True, slots=True)
class Migration:
    """One file of ``migrations/``: its number, its name, its SQL."""

    number: int
    name: str
    sql: str

    @property
    def sha256(self) -> bytes:
        """The digest under which the file was applied."""
        return hashlib.sha256(self.sql.encode()).digest()


def load_migrations() -> list[Migration]:
    """Return all migrations in order. Raises ValueError on a bad name or a number used twice."""
    found = []
    for entry in resources.files("tieout_database").joinpath("migrations").iterdir():
        if not entry.name.endswith(".sql"):
            continue
        match = _FILENAME.match(entry.name)
        if match is None:
            raise ValueError(f"migration {entry.name!r} is not named NNNN_schema_what.sql")
        found.append(Migration(int(match["number"]), entry.name, entry.read_text("utf-8")))
    found.sort(key=lambda m: m.number)
    if [m.number for m in found] != list(range(1, len(found) + 1)):
        raise ValueError(f"migrations are not numbered 1..{len(found)}: {[m.name for m in found]}")
    return found


async def applied_migrations(connection: asyncpg.Connection) -> dict[int, tuple[str, bytes]]:
    """Return number → (name, sha256) of what this database has; empty when it has none."""
    if await connection.fetchval("select to_regclass('public.tieout_migration')") is None:
        return {}
    rows = await connection.fetch("select number, name, sha256 from public.tieout_migration")
    return {r["number"]: (r["name"], r["sha256"]) for r in rows}


def _pending(all_of_them: Sequence[Migration], applied: dict[int, tuple[str, bytes]]) -> list[Migration]:
    for migration in all_of_them:
        if migration.number in applied and applied[migration.number][1] != migration.sha256:
            raise MigrationDrift(
                f"migration {migration.name} was applied with other content than this version carries: "
                "restore the file, or use the version of tieout that made this database"
            )
    unknown = sorted(set(applied) - {m.number for m in all_of_them})
    if unknown:
        raise MigrationDrift(
            f"the database has migrations {unknown} that this version of tieout does not know: use a newer tieout"
        )
    return [m for m in all_of_them if m.number not in applied]


async def migrate(connection: asyncpg.Connection) -> list[Migration]:
    """Apply what is pending, under a lock, and return it. Raises MigrationDrift."""
    await connection.execute("select pg_advisory_lock($1)", _LOCK_KEY)
    try:
        await connection.execute(_TABLE)
        pending = _pending(load_migrations(), await applied_migrations(connection))
        for migration in pending:
            async with connection.transaction():
                await connection.execute(migration.sql)
                await connection.execute(
                    "insert into public.tieout_migration (number, name, sha256) values ($1, $2, $3)",
                    migration.number,
                    migration.name,
                    migration.sha256,
                )
        return pending
    finally:
        await connection.execute("select pg_advisory_unlock($1)", _LOCK_KEY)


async def check_schema(connection: asyncpg.Connection) -> None:
    """Raise SchemaBehind when migrations are pending, MigrationDrift when content differs."""
    pending = _pending(load_migrations(), await applied_migrations(connection))
    if pending:
        raise SchemaBehind(
            f"the database lacks {len(pending)} migration(s), the first {pending[0].name}: run tieout db migrate"
        )
