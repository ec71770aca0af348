"""``tieout registry``: instruments, issuer wallets and custodians, planned, then applied."""

from pathlib import Path
from typing import Annotated, Any

import typer

from tieout import settings
from tieout.commands.options import Dsn, Json, group, run
from tieout.commands.statement import PersonalKey, signing_key
from tieout.output import OUTPUT, table

APP = group("The registry: instruments, issuer wallets and their roles, custodians.")
File = Annotated[Path, typer.Argument(help="Registry file, TOML or CSV, or a folder of CSV files.")]


@APP.command()
def plan(path: File, dsn: Dsn = None, as_json: Json = False) -> None:
    """Check a registry file and show what applying it would change; nothing is stored."""
    from tieout_reconcile import plan_registry

    _show(run(plan_registry(settings.database_dsn(dsn), path)), "would")


@APP.command()
def apply(path: File, key: PersonalKey = None, dsn: Dsn = None, as_json: Json = False) -> None:
    """Apply a registry file; the same file again does nothing."""
    from tieout_reconcile import apply_registry

    _show(run(apply_registry(settings.database_dsn(dsn), path, key=signing_key(key))), "did")


def _show(made: Any, verb: str) -> None:
    rows = [(change.action, change.what) for change in made.changes]
    OUTPUT.result(
        made.to_json(), table("", ("change", "entry"), rows) if rows else f"{made.path}: nothing {verb} change"
    )


@APP.command()
def show(dsn: Dsn = None, as_json: Json = False) -> None:
    """Show the registry in force."""
    from tieout_reconcile import show_registry

    registry = run(show_registry(settings.database_dsn(dsn)))
    OUTPUT.result(
        registry.to_json(),
        table("instruments", ("symbol", "mint", "ISIN", "decimals>"), (
            (i.symbol, i.mint, i.isin, i.decimals) for i in registry.instruments
        )),
        table("issuer wallets", ("role", "address", "instrument", "from", "source"), (
            (w.role, w.address, w.instrument, f"{w.valid_from:%Y-%m-%d}", w.source) for w in registry.wallets
        )),
        table("custodians", ("custodian", "name", "accounts"), (
            (c.custodian, c.name, ", ".join(a.account for a in c.accounts)) for c in registry.custodians
        )),
    )  # fmt: skip
