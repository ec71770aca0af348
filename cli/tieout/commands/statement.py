"""``tieout statement``: custodian positions."""

from pathlib import Path
from typing import Annotated, Any

import typer

from tieout import settings
from tieout.commands.options import Dsn, Json, group, run
from tieout.output import OUTPUT, table

APP = group("Custodian statements: positions by account, ISIN, basis and cut-off.")
Files = Annotated[list[Path], typer.Argument(help="Statement files (CSV).")]


@APP.command("import")
def import_(paths: Files, dsn: Dsn = None, as_json: Json = False) -> None:
    """Take in statement files; each is taken whole or refused whole, and taken once."""
    from tieout_reconcile import import_statement

    where = settings.database_dsn(dsn)

    async def work() -> list[Any]:
        return [await import_statement(where, path) for path in paths]

    show_imported(run(work()))


def show_imported(taken: list[Any]) -> None:
    """Say what became of each file."""
    OUTPUT.result(
        {"imported": [i.to_json() for i in taken]},
        *(f"{i.path}: {i.stored} of {i.rows} rows stored" if i.new else f"{i.path}: taken in before" for i in taken),
    )


@APP.command("list")
def list_(dsn: Dsn = None, as_json: Json = False) -> None:
    """List the statements taken in, superseded ones included."""
    from tieout_reconcile import list_statements

    found = run(list_statements(settings.database_dsn(dsn)))
    OUTPUT.result(
        {"statements": [s.to_json() for s in found]},
        table("", ("as of", "custodian", "account", "basis", "positions>", "file", "standing"), (
            (f"{s.as_of:%Y-%m-%d %H:%M %Z}", s.custodian, s.account, s.basis, s.positions, s.name,
             "superseded" if s.superseded else "in force")
            for s in found
        )),
    )  # fmt: skip
