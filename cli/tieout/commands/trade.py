"""``tieout trade``: trades that are not settled yet."""

from typing import Annotated, Any

import typer

from tieout import settings
from tieout.commands.declaring import Account, Custodian, CutOff, Map, TimeZone, declared_of
from tieout.commands.options import Dsn, Json, group, run
from tieout.commands.statement import Files, PersonalKey, show_imported, signing_key
from tieout.output import OUTPUT, exact, table

APP = group("Unsettled trades: what a custodian or broker evidences before its settlement day.")


@APP.command("import")
def import_(
    paths: Files,
    custodian: Custodian = None,
    account: Account = None,
    time_zone: TimeZone = None,
    cut_off: CutOff = None,
    map_path: Map = None,
    file_format: Annotated[
        str | None, typer.Option("--format", help="csv, ibkr-flex; told by the content when left out.")
    ] = None,
    key: PersonalKey = None,
    dsn: Dsn = None,
    as_json: Json = False,
) -> None:
    """Take in trade files; each is taken whole or refused whole, and taken once."""
    from tieout_reconcile import import_trades

    given = {"custodian": custodian, "account": account, "time_zone": time_zone, "cut_off": cut_off}
    declared, signer = declared_of(given, map_path), signing_key(key)
    where = settings.database_dsn(dsn)

    async def work() -> list[Any]:
        return [
            await import_trades(where, path, declared=declared, file_format=file_format, key=signer) for path in paths
        ]

    show_imported(run(work()))


@APP.command("list")
def list_(dsn: Dsn = None, as_json: Json = False) -> None:
    """List the trades, each in its newest version."""
    from tieout_reconcile import list_trades

    found = run(list_trades(settings.database_dsn(dsn)))
    rows = (
        (t.custodian, t.account, t.reference, t.side, t.isin, exact(t.quantity), f"{t.settles_on}", t.status)
        for t in found
    )
    columns = ("custodian", "account", "reference", "side", "isin", "shares>", "settles on", "status")
    OUTPUT.result({"trades": [t.to_json() for t in found]}, table("", columns, rows))
