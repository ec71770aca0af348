"""``tieout breaks``: what does not tie out, one by one."""

from typing import Annotated

import typer

from tieout import exits, settings
from tieout.commands.options import BIGINT_MAX, Dsn, Json, group, run
from tieout.commands.reconcile import breaks_table
from tieout.output import OUTPUT, table

APP = group("Breaks: what does not tie out, one by one.")
RunNumber = Annotated[int | None, typer.Option("--run", min=1, max=BIGINT_MAX, help="The run; the latest by default.")]


@APP.command("list")
def list_(number: RunNumber = None, dsn: Dsn = None, as_json: Json = False) -> None:
    """List the breaks of a run. Exit 1 when there are any."""
    from tieout_reconcile import list_breaks

    found = run(list_breaks(settings.database_dsn(dsn), number))
    OUTPUT.result({"breaks": [f.to_json() for f in found]}, breaks_table(found) if found else "no break")
    if found:
        raise exits.Found


@APP.command()
def show(
    identity: Annotated[str, typer.Argument(help="The break's id, or the beginning of it.")],
    number: RunNumber = None,
    dsn: Dsn = None,
    as_json: Json = False,
) -> None:
    """Show one break with its evidence."""
    from tieout_reconcile import get_break

    found = run(get_break(settings.database_dsn(dsn), identity, number))
    plain = found.to_json()
    OUTPUT.result({"break": plain}, table("", ("", ""), ((k, v) for k, v in plain.items() if v not in (None, {}, ""))))
