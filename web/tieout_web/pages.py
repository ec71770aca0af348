"""The public pages: complete without JavaScript, built from the very values that the API answers."""

import json
from collections.abc import Mapping
from datetime import datetime
from http import HTTPStatus
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Request
from fastapi import Path as PathParameter
from fastapi.responses import HTMLResponse, Response
from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape
from markupsafe import Markup

from tieout_idl import base58
from tieout_reconcile import InstrumentResult, Run, entitlement, split_of
from tieout_reconcile.valuing import values_at
from tieout_web import formatting, showing
from tieout_web.api import event_of, multiplier_steps
from tieout_web.beside import PeriodRow, beside, holdings, period_rows, published_registry
from tieout_web.board import utc_now
from tieout_web.charts import coverage_chart
from tieout_web.problems import Refused
from tieout_web.situation import situation_of
from tieout_web.state import Parts, State, last_run, shown
from tieout_web.stated import practitioners

ROUTER = APIRouter(include_in_schema=False)
Symbol = Annotated[str, PathParameter(min_length=1, max_length=40)]
Address = Annotated[str, PathParameter(min_length=32, max_length=44)]
Signature = Annotated[str, PathParameter(min_length=64, max_length=90)]
_EVENTS_SHOWN = 15
_PERIODS_SHOWN = 24
_HOLDINGS_KEPT = 32
_POINTS_MAX = 200
_BYTES = {"address": 32, "signature": 64}


def _environment() -> Environment:
    made = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=select_autoescape(default=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(
        quantity=formatting.quantity,
        percent=formatting.percent,
        instant=formatting.instant,
        machine=formatting.machine_instant,
        age=formatting.age,
        words=formatting.words,
    )
    return made


_TEMPLATES = _environment()


def render(parts: State, name: str, status: int = 200, **values: Any) -> HTMLResponse:
    """Return a page. Every page knows whether the database is there, and when it was last read."""
    now = utc_now()
    situation = situation_of(parts.board, now)
    common = {
        "gone": parts.board.gone, "seen": parts.board.seen, "now": now, "session": None,
        "situation": situation, "stale_at": situation.stale_at, "stays_true": False,
    }  # fmt: skip
    text = _TEMPLATES.get_template(name).render({**common, **values})
    return HTMLResponse(text, status, {"Cache-Control": "no-cache"})


def problem_page(parts: State, status: HTTPStatus, detail: str) -> HTMLResponse:
    """Return an error as a page."""
    return render(parts, "problem.html", int(status), title=status.phrase, detail=detail)


@ROUTER.get("/", response_class=HTMLResponse)
async def overview(parts: Parts) -> Response:
    """All instruments on one page."""
    run, now = last_run(parts), utc_now()
    items = [_shown(parts, run, i, now) for i in run.instruments]
    return render(parts, "overview.html", stays_true=True, run=run, as_of=showing.as_of(run), items=items)


def _shown(parts: State, run: Run, result: InstrumentResult, now: datetime) -> Mapping[str, Any]:
    freshness = parts.board.freshness(run, result)
    return {"reserve": showing.reserve(run, result, freshness, now), "age_s": freshness.age_s(now)}


@ROUTER.get("/instruments/{symbol}", response_class=HTMLResponse)
async def instrument(parts: Parts, symbol: Symbol) -> Response:
    """One instrument: figures with their derivation, history, holders, movements, multipliers."""
    run, result, freshness = shown(parts, symbol)
    now = utc_now()
    # what needs the database is left out, and said to be, when it is gone: the last figures stay
    events, steps, periods, worth = [], [], [], []
    points: tuple[tuple[datetime, float, float], ...] = ()
    if parts.board.gone is None:
        rows = await parts.reader.rows("events", [result.mint], None, None, None, None, _EVENTS_SHOWN)
        events = [event_of(row, symbol) for row in rows]
        steps = await multiplier_steps(parts, result.mint, now)
        points = await _points(parts, symbol)
        periods = await locked_periods(parts, symbol)
        async with parts.reader.session() as db:
            worth = await values_at(db, run.inputs, [result])
    return render(
        parts,
        "instrument.html",
        stays_true=True,
        stale_at=freshness.stale_at,
        run=run,
        result=result,
        reserve=showing.reserve(run, result, freshness, now),
        supply=showing.supply(run, result, freshness.is_fresh(now)),
        headroom=showing.headroom(run, result, freshness, now),
        beside=beside(result, freshness.is_fresh(now)),
        periods=periods,
        # figures that are too old have no value either
        worth=worth if freshness.is_fresh(now) else [],
        age_s=freshness.age_s(now),
        events=events,
        steps=steps,
        pending=[s for s in steps if s.state == "pending"],
        chart=Markup(coverage_chart(symbol, points)),  # noqa: S704  our own drawing; its texts are escaped there
        breaks=[f for f in run.breaks if f.symbol == symbol],
    )


async def _points(parts: State, symbol: str) -> tuple[tuple[datetime, float, float], ...]:
    rows = await parts.reader.rows("history", symbol, None, _POINTS_MAX)
    return tuple(
        (r["as_of_time"], float(r["liability_shares"]), float(r["custody_shares"]))
        for r in reversed(rows)
        if None not in (r["as_of_time"], r["liability_shares"], r["custody_shares"])
    )


async def locked_periods(parts: State, symbol: str) -> list[PeriodRow]:
    """Return an instrument's figures in the last locked periods, the newest first. Raises DatabaseUnreachable."""
    rows = await parts.reader.rows("locked_periods", _PERIODS_SHOWN)
    stated = await practitioners(parts, [row["report"] for row in rows if row["report"] is not None])
    return period_rows([row | {"content": json.loads(row["content"])} for row in rows], symbol, stated)


@ROUTER.get("/instruments/{symbol}/holders", response_class=HTMLResponse)
async def holders(parts: Parts, symbol: Symbol) -> Response:
    """Who holds an instrument as of the run's slot: by venue and role, and the largest holders."""
    run, result, freshness = shown(parts, symbol)
    key = ("holders", run.run, symbol)
    found = parts.holdings.get(key)
    if found is None:
        at, batch = run.inputs.as_of_slot, run.inputs.known_batch
        registry = published_registry(result, await parts.reader.rows("wallets", symbol))
        async with parts.reader.session() as db:
            held = await entitlement(db, symbol, at, known_batch=batch, registry=registry)
        found = parts.holdings[key] = holdings(held, split_of(held))
        while len(parts.holdings) > _HOLDINGS_KEPT:
            del parts.holdings[next(iter(parts.holdings))]
    now = utc_now()
    return render(
        parts, "holders.html", stays_true=True, stale_at=freshness.stale_at, run=run, result=result, found=found,
        reserve=showing.reserve(run, result, freshness, now), fresh=freshness.is_fresh(now), figure_of=showing.figure,
    )  # fmt: skip


@ROUTER.get("/transactions/{signature}", response_class=HTMLResponse)
async def transaction(parts: Parts, signature: Signature) -> Response:
    """One transaction: what it moved, how it is proven, which order stands behind it."""
    _check(signature, "signature")
    run = last_run(parts)
    events = await parts.reader.rows("events_of_transaction", signature)
    controls = await parts.reader.rows("controls_of_transaction", signature)
    if not events and not controls:
        raise Refused(HTTPStatus.NOT_FOUND, f"no tracked mint was touched by transaction {signature}")
    first = (events or controls)[0]
    slots = sorted({row["slot"] for row in (*events, *controls)})
    return render(
        parts,
        "transaction.html",
        signature=signature,
        first=first,
        events=events,
        controls=controls,
        proof=await parts.reader.row("proof", first["slot"], first["tx_index"]),
        matches=await parts.reader.rows("matches_of_transaction", run.run, signature, slots),
        findings=[f for f in run.findings if f.signature == signature],
        symbols=parts.board.mints(),
    )


@ROUTER.get("/accounts/{address}", response_class=HTMLResponse)
async def account(parts: Parts, address: Address) -> Response:
    """One wallet or token account: what it holds, and what the registry says it is."""
    _check(address, "address")
    rows = await parts.reader.rows("account", address)
    owners = sorted({address, *(r["owner"] for r in rows if r["owner"]), *(r["account"] for r in rows)})
    roles = await parts.reader.rows("wallet_roles", owners)
    if not rows and not roles:
        raise Refused(HTTPStatus.NOT_FOUND, f"{address} never held a tracked mint, and the registry does not name it")
    return render(parts, "account.html", address=address, rows=rows, roles=roles, symbols=parts.board.mints())


def _check(text: str, what: str) -> None:
    try:
        right = len(base58.decode(text)) == _BYTES[what]
    except ValueError:
        right = False
    if not right:
        raise Refused(HTTPStatus.BAD_REQUEST, f"{text[:90]!r} is no {what} in base58")


@ROUTER.get("/health", response_class=HTMLResponse)
async def health(request: Request, parts: Parts) -> Response:
    """How the indexer and this service are."""
    tracked = [] if parts.board.gone else await parts.reader.rows("tracked")
    checks = await request.app.state.ready()
    return render(parts, "health.html", stays_true=True, tracked=tracked, checks=checks, symbols=parts.board.mints())
