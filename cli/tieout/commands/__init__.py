"""The commands, one module a group. Modules import tieout's parts only inside their functions."""

import typer

from tieout.commands import (
    actions,
    audit,
    breaks,
    control,
    coverage,
    database,
    demo,
    holder,
    index,
    instrument,
    journal,
    key,
    look,
    market,
    order,
    payout,
    people,
    period,
    practitioner,
    reconcile,
    records,
    registry,
    report,
    scenario,
    serve,
    statement,
    token,
    trade,
    tx,
    upkeep,
)


def register(app: typer.Typer) -> None:
    """Add every command to the application."""
    app.command("demo")(demo.demo)
    app.add_typer(database.APP, name="db")
    app.add_typer(key.APP, name="key")
    look.register(instrument.APP)
    actions.register(instrument.APP)
    upkeep.register(instrument.APP)
    app.add_typer(instrument.APP, name="instrument")
    market.register(app)
    holder.register(app)
    app.command("payout")(payout.payout)
    app.add_typer(journal.APP, name="journal")
    app.add_typer(tx.APP, name="tx")
    app.add_typer(index.APP, name="index")
    app.add_typer(registry.APP, name="registry")
    app.add_typer(statement.APP, name="statement")
    app.add_typer(order.APP, name="order")
    app.add_typer(trade.APP, name="trade")
    records.register(app)
    reconcile.APP.command("coverage")(coverage.coverage)
    app.add_typer(reconcile.APP, name="reconcile")
    app.add_typer(control.APP, name="control")
    app.add_typer(breaks.APP, name="breaks")
    app.add_typer(report.APP, name="report")
    app.add_typer(practitioner.APP, name="practitioner")
    app.add_typer(period.APP, name="period")
    app.add_typer(people.APP, name="people")
    app.add_typer(token.APP, name="token")
    app.command("serve")(serve.serve)
    app.add_typer(audit.APP, name="audit")
    app.command("headroom")(reconcile.headroom)
    app.add_typer(scenario.APP, name="scenario")
