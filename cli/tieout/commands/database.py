"""``tieout db``: the embedded Postgres, migrations, roles, and the audit of the ledger's hash chain."""

from typing import Any

from tieout import exits, settings
from tieout.commands.options import Dsn, Json, group, run
from tieout.output import OUTPUT, table

APP = group("The database: embedded server, migrations, roles, verification.")


@APP.command()
def start(as_json: Json = False) -> None:
    """Start the embedded Postgres, migrate it, and print how to connect."""
    from tieout_database import EmbeddedPostgres, connect, migrate, redact_dsn

    config = settings.load()
    server = EmbeddedPostgres(config.state_directory / "postgres")

    async def prepare() -> list[str]:
        connection = await connect(server.dsn)
        try:
            return [m.name for m in await migrate(connection)]
        finally:
            await connection.close()

    applied = run(prepare())
    settings.embedded_note(config).write_text(server.dsn + "\n", "utf-8")
    OUTPUT.result(
        {"dsn": redact_dsn(server.dsn), "directory": str(server.directory), "migrations": applied},
        f"Postgres runs in {server.directory}; connect with\n  {redact_dsn(server.dsn)}\n"
        "tieout commands find it by themselves; tieout db stop ends it.",
    )


@APP.command()
def stop(as_json: Json = False) -> None:
    """Stop the embedded Postgres; its data stays."""
    from tieout_database import EmbeddedPostgres

    config = settings.load()
    note = settings.embedded_note(config)
    if not note.exists():
        raise exits.UsageProblem("the embedded Postgres was not started by tieout db start")
    EmbeddedPostgres(config.state_directory / "postgres").stop()
    note.unlink()
    OUTPUT.result({"stopped": True}, "stopped")


@APP.command()
def migrate(dsn: Dsn = None, as_json: Json = False) -> None:
    """Bring the database's schemas to this version; does nothing when they are."""
    from tieout_database import connect
    from tieout_database import migrate as apply

    async def work() -> list[str]:
        connection = await connect(settings.database_dsn(dsn))
        try:
            return [m.name for m in await apply(connection)]
        finally:
            await connection.close()

    applied = run(work())
    OUTPUT.result({"applied": applied}, *(f"applied {name}" for name in applied or ["nothing: the schema is current"]))


@APP.command()
def roles(dsn: Dsn = None, as_json: Json = False) -> None:
    """Create tieout_owner, _writer, _reader, _auditor and _desk and grant their rights (needs CREATEROLE)."""
    from tieout_database import check_schema, connect, create_roles
    from tieout_database.roles import ROLES

    async def work() -> None:
        connection = await connect(settings.database_dsn(dsn))
        try:
            await check_schema(connection)
            await create_roles(connection)
        finally:
            await connection.close()

    run(work())
    OUTPUT.result({"roles": list(ROLES)}, f"roles are in place: {', '.join(ROLES)}")


@APP.command()
def status(dsn: Dsn = None, as_json: Json = False) -> None:
    """Show the server, the schema's state and what the ledger holds."""
    from tieout_database import applied_migrations, connect, load_migrations, redact_dsn

    async def work() -> dict[str, Any]:
        where = settings.database_dsn(dsn)
        connection = await connect(where)
        try:
            applied = await applied_migrations(connection)
            pending = [m.name for m in load_migrations() if m.number not in applied]
            facts: dict[str, Any] = {
                "dsn": redact_dsn(where),
                "server": await connection.fetchval("show server_version"),
                "applied": len(applied),
                "pending": pending,
            }
            if not pending:
                facts["genesis_hash"] = await connection.fetchval("select genesis_hash from ledger.cluster")
                facts["batches"] = await connection.fetchval("select coalesce(max(batch), 0) from ledger.batches")
                facts["tracked_mints"] = await connection.fetchval("select count(*) from ledger.tracked")
                facts["parked_slots"] = await connection.fetchval("select count(*) from ledger.parked")
            return facts
        finally:
            await connection.close()

    facts = run(work())
    told = facts | {"pending": ", ".join(facts["pending"]) or "nothing"}
    if told.get("genesis_hash", "") is None:
        told["genesis_hash"] = "none yet: nothing is indexed"
    OUTPUT.result(facts, table("", ("", ""), ((name.replace("_", " "), value) for name, value in told.items())))
    if facts["pending"]:
        raise exits.Found


@APP.command()
def verify(dsn: Dsn = None, as_json: Json = False) -> None:
    """Recompute the hash chain over all batches, and the hash of every piece of evidence."""
    from tieout_database import connect
    from tieout_indexer import verify_chain

    where = settings.database_dsn(dsn)

    async def guarded() -> bool:
        connection = await connect(where)
        try:
            return bool(
                await connection.fetchval("select exists (select from pg_roles where rolname = 'tieout_writer')")
            )
        finally:
            await connection.close()

    batches, findings = run(verify_chain(where))
    guard = "by role and trigger" if run(guarded()) else "by trigger only (tieout db roles separates the roles)"
    OUTPUT.result(
        {"batches": batches, "append_only": guard, "findings": findings_json(findings)},
        f"{batches} batches verified, {len(findings)} findings; append-only {guard}",
        *([findings_table(findings)] if findings else []),
    )
    if findings:
        raise exits.Found


def findings_json(findings: list[Any]) -> list[dict[str, str]]:
    """Audit findings as plain values."""
    return [{"check": f.check, "subject": f.subject, "expected": f.expected, "found": f.found} for f in findings]


def findings_table(findings: list[Any]) -> Any:
    """Audit findings for people."""
    return table(
        "", ("check", "subject", "expected", "found"), ((f.check, f.subject, f.expected, f.found) for f in findings)
    )
