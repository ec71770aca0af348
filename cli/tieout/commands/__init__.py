"""The commands, one module a group. Modules import tieout's parts only inside their functions."""

import typer

from tieout.commands import (
    actions,
    breaks,
    database,
    demo,
    index,
    instrument,
    journal,
    key,
    market,
    order,
    payout,
    reconcile,
    registry,
    statement,
)


def register(app: typer.Typer) -> None:
    """Add every command to the application."""
    app.command("demo")(demo.demo)
    app.add_typer(database.APP, name="db")
    app.add_typer(key.APP, name="key")
    actions.register(instrument.APP)
    app.add_typer(instrument.APP, name="instrument")
    market.register(app)
    app.command("payout")(payout.payout)
    app.add_typer(journal.APP, name="journal")
    app.add_typer(index.APP, name="index")
    app.add_typer(registry.APP, name="registry")
    app.add_typer(statement.APP, name="statement")
    app.add_typer(order.APP, name="order")
    app.add_typer(reconcile.APP, name="reconcile")
    app.add_typer(breaks.APP, name="breaks")
    app.command("headroom")(reconcile.headroom)
