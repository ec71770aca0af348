"""``tieout order``: primary-market orders."""

from typing import Annotated, Any

import typer

from tieout import settings
from tieout.commands.options import Dsn, Json, group, run
from tieout.commands.statement import Files, PersonalKey, show_imported, signing_key
from tieout.output import OUTPUT, exact, table

APP = group("Primary-market orders: what was asked to be issued and redeemed.")


@APP.command("import")
def import_(
    paths: Files,
    file_format: Annotated[
        str | None, typer.Option("--format", help="csv or alpaca-requests; told by the content when left out.")
    ] = None,
    key: PersonalKey = None,
    dsn: Dsn = None,
    as_json: Json = False,
) -> None:
    """Take in order files; each is taken whole or refused whole, and taken once."""
    from tieout_reconcile import import_orders

    signer = signing_key(key)
    where = settings.database_dsn(dsn)

    async def work() -> list[Any]:
        return [await import_orders(where, path, file_format=file_format, key=signer) for path in paths]

    show_imported(run(work()))


@APP.command("list")
def list_(dsn: Dsn = None, as_json: Json = False) -> None:
    """List the orders, each in its newest version."""
    from tieout_reconcile import list_orders

    found = run(list_orders(settings.database_dsn(dsn)))
    OUTPUT.result(
        {"orders": [o.to_json() for o in found]},
        table("", ("request", "side", "mint", "shares>", "raw>", "status", "created", "network", "cash>"), (
            (o.request_id, o.side, o.mint, "" if o.shares is None else exact(o.shares), "" if o.raw is None else o.raw,
             o.status, f"{o.created_at:%Y-%m-%d %H:%M}", o.network,
             "" if o.cash_amount is None else f"{exact(o.cash_amount)} {o.cash_currency}")
            for o in found
        )),
    )  # fmt: skip
