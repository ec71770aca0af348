"""The desk's own views, for whoever is logged in: an instrument line by line, and periods with who signed them."""

from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Path, Query
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from tieout_database import connect
from tieout_reconcile import show_period
from tieout_web.beside import beside
from tieout_web.board import utc_now
from tieout_web.desk import Person
from tieout_web.pages import Symbol, locked_periods, render
from tieout_web.state import Parts, shown

ROUTER = APIRouter(include_in_schema=False)
PeriodName = Annotated[str, Path(min_length=1, max_length=40)]


@ROUTER.get("/desk/instruments/{symbol}", response_class=HTMLResponse)
async def instrument(parts: Parts, session: Person, symbol: Symbol) -> Response:
    """One instrument as the desk needs it: each account, custody leg and trade by its reference."""
    if session is None:
        return RedirectResponse("/login", HTTPStatus.SEE_OTHER)
    run, result, freshness = shown(parts, symbol)
    fresh = freshness.is_fresh(utc_now())
    return render(
        parts, "desk_instrument.html", session=session, run=run, result=result, fresh=fresh,
        beside=beside(result, fresh, each=True), periods=await locked_periods(parts, symbol),
        breaks=[f for f in run.breaks if f.symbol == symbol],
    )  # fmt: skip


@ROUTER.get("/desk/periods/{name}", response_class=HTMLResponse)
async def period(
    parts: Parts, session: Person, name: PeriodName, later: Annotated[bool, Query()] = False
) -> Response:  # fmt: skip
    """One period: what it fixes, who signed it, its breaks; on request what was learned since, computed now."""
    if session is None:
        return RedirectResponse("/login", HTTPStatus.SEE_OTHER)
    db = await connect(parts.settings.dsn)
    try:
        found = await show_period(db, name, later=later)
    finally:
        await db.close()
    return render(parts, "period.html", session=session, found=found, content=found.content, later=found.later)
