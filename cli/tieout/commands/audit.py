"""``tieout audit``: the log of who did what."""

from typing import Annotated, Any

import typer

from tieout import exits, settings
from tieout.commands.options import Dsn, Json, group, run
from tieout.output import OUTPUT, table

APP = group("Audit: the hash-chained log of who did what.")
_ENTRIES_MAX = 10_000


@APP.command("list")
def list_(
    limit: Annotated[int, typer.Option("--limit", min=1, max=_ENTRIES_MAX, help="How many, the newest first.")] = 50,
    dsn: Dsn = None,
    as_json: Json = False,
) -> None:
    """List the newest entries."""
    from tieout_database import list_audit

    found: list[Any] = run(with_connection(settings.database_dsn(dsn), lambda db: list_audit(db, limit)))
    rows = ((e.entry, f"{e.at:%Y-%m-%d %H:%M:%S}", e.actor, e.action, e.subject) for e in found)
    OUTPUT.result(
        {"entries": [e.to_json() for e in found]},
        table("", ("entry>", "when", "who", "what", "on"), rows) if found else "nothing was done yet",
    )


@APP.command()
def verify(dsn: Dsn = None, as_json: Json = False) -> None:
    """Recompute the whole chain, and check each action's signature against its actor's key. Exit 1 on a difference."""
    from tieout_database import verify_audit
    from tieout_reconcile import verify_signatures

    where = settings.database_dsn(dsn)
    count, faults = run(with_connection(where, verify_audit))
    faults = [*faults, *run(verify_signatures(where))]
    OUTPUT.result({"entries": count, "faults": faults}, *(faults or [f"{count} entries: the chain holds"]))
    if faults:
        raise exits.Found


async def with_connection(dsn: str, work: Any) -> Any:
    """Run ``work(connection)`` on a connection to a migrated database."""
    from tieout_database import check_schema, connect

    connection = await connect(dsn)
    try:
        await check_schema(connection)
        return await work(connection)
    finally:
        await connection.close()
