"""Values beside the figures of a run or of a coverage, by the prices known at its load."""

from collections.abc import Sequence

from tieout_reconcile import store
from tieout_reconcile.calendars import day_of
from tieout_reconcile.coverage import Coverage
from tieout_reconcile.inputs import KINDS, record_of
from tieout_reconcile.prices import ValueLine, values_of
from tieout_reconcile.results import Inputs, InstrumentResult, Run
from tieout_reconcile.store import INPUTS_SQL, Database


async def values_beside(database: Database, found: Run | Coverage) -> list[ValueLine]:
    """Return what the figures are worth at their cut-off, as known at their load; none where no price was known."""
    return await values_at(database, found.inputs, found.instruments, cash=isinstance(found, Run))


async def values_at(
    database: Database, inputs: Inputs, results: Sequence[InstrumentResult], *, cash: bool = True
) -> list[ValueLine]:
    """Return what some instruments' figures are worth. Nothing is stored: the prices are, and never change."""
    async with store.session(database) as db:
        if not await db.fetchval(INPUTS_SQL["any_price"], inputs.known_load):
            return []
        days = {
            r["symbol"]: r["price_days_max"] for r in await db.fetch(INPUTS_SQL["price_days"], inputs.registry_load)
        }
        rows = []
        if inputs.as_of_time is not None:
            isins = [result.isin for result in results]
            rows = await db.fetch(INPUTS_SQL["last_prices"], isins, day_of(inputs.as_of_time), inputs.known_load)
    prices = [record_of(KINDS["prices"], dict(row)) for row in rows]
    return values_of(results, days, prices, inputs.as_of_time, cash=cash)
