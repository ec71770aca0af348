"""The public API, version 1: reserves, supply, movements, multipliers, breaks, headroom, files, reports."""

from collections.abc import AsyncIterator, Sequence
from datetime import MAXYEAR, UTC, datetime
from http import HTTPStatus
from typing import Annotated, Any, Literal, TypeVar

from fastapi import APIRouter, Header, Path, Query, Request
from fastapi.responses import Response, StreamingResponse

from tieout_reconcile import Age, Run, worked_breaks
from tieout_web import cursors, models, showing
from tieout_web.answers import answer, kept_answer
from tieout_web.board import utc_now
from tieout_web.freshness import Freshness
from tieout_web.problems import Refused, described
from tieout_web.situation import situation_of
from tieout_web.state import SLOT_MAX, Cursor, Limit, Parts, State, instrument_of, last_run, shown
from tieout_web.stated import practitioners
from tieout_web.stream import Full, parse_id

ROUTER = APIRouter(prefix="/v1", responses=described(400, 404, 422, 429, 503))
Symbol = Annotated[str, Path(min_length=1, max_length=40, description="The token's symbol, such as AAPLx.")]
Number = Annotated[int, Path(ge=1, le=SLOT_MAX, description="The report's number.")]
AsOfQuery = Annotated[
    str | None, Query(alias="as_of", max_length=40, description="A slot, or an instant with its zone (ISO 8601).")
]
Row = TypeVar("Row")


@ROUTER.get("/reserves", response_model=models.Reserves, tags=["reserves"])
async def reserves(request: Request, parts: Parts, cursor: Cursor = None, limit: Limit = 100) -> Response:
    """All instruments: what is owed, what is held, whether it ties out."""
    run, now = last_run(parts), utc_now()
    (start,) = _decoded(cursor, 1) or (0,)
    fresh = tuple(parts.board.freshness(run, i).is_fresh(now) for i in run.instruments)

    async def page() -> models.Reserves:
        chosen = run.instruments[start : start + limit]
        more = start + limit < len(run.instruments)
        return models.Reserves(
            verdict=str(run.verdict) if all(fresh) else "unknown",  # type: ignore[arg-type]  # one of the literals
            items=[showing.reserve(run, i, parts.board.freshness(run, i), now) for i in chosen],
            next_cursor=cursors.encode(start + limit) if more else None,
        )

    # a run never changes: what is said of it depends on which of its figures are still fresh, and no more
    return await kept_answer(request, ("reserves", run.run, fresh, start, limit), page, parts, run)


@ROUTER.get("/reserves/{symbol}", response_model=models.Reserve, tags=["reserves"])
async def reserve(request: Request, parts: Parts, symbol: Symbol, as_of: AsOfQuery = None) -> Response:
    """One instrument, now or as of an earlier cut-off. An earlier one is the past: its figures stay."""
    if as_of is None:
        run, result, freshness = shown(parts, symbol)
        now = utc_now()
        key = ("reserve", run.run, symbol, freshness.is_fresh(now))

        async def make() -> models.Reserve:
            return showing.reserve(run, result, freshness, now)

        return await kept_answer(request, key, make, parts, run)
    run = await _run_at(parts, as_of)
    result = instrument_of(run, symbol)
    then = run.inputs.as_of_time or utc_now()
    dated = Freshness(then, datetime.max.replace(tzinfo=UTC), "as of the cut-off asked for")
    return answer(request, showing.reserve(run, result, dated, then), parts, run)


async def _run_at(parts: State, text: str) -> Run:
    slot, at = None, None
    if text.isascii() and text.isdigit():
        slot = int(text)
    else:
        at = _instant(text)
    if slot is not None and slot > SLOT_MAX:
        raise Refused(HTTPStatus.BAD_REQUEST, f"as_of {text} is no slot: the largest is {SLOT_MAX}")
    number = await parts.reader.value("run_at", slot, at)
    if number is None:
        raise Refused(HTTPStatus.NOT_FOUND, f"no run lies at or before {text}")
    return await parts.board.run(number)


def _instant(text: str) -> datetime:
    try:
        # a plus sign in a query is a space where the client did not encode it
        at = datetime.fromisoformat(text.replace(" ", "+")).astimezone(UTC)
        if datetime.fromisoformat(text.replace(" ", "+")).tzinfo is None:
            raise ValueError
    except (ValueError, OverflowError):
        why = "as_of is neither a slot nor an instant with its zone, like 2026-11-23T16:00:00Z"
        raise Refused(HTTPStatus.BAD_REQUEST, why) from None
    return at


@ROUTER.get("/reserves/{symbol}/history", response_model=models.History, tags=["reserves"])
async def history(
    request: Request, parts: Parts, symbol: Symbol, cursor: Cursor = None, limit: Limit = 100
) -> Response:
    """An instrument over time: every run that said something new."""
    run, _, _ = shown(parts, symbol)
    (before,) = _decoded(cursor, 1) or (None,)
    rows = await parts.reader.rows("history", symbol, before, limit + 1)
    page, more = _page(rows, limit)
    items = [
        models.Point(
            run=r["run"],
            slot=r["as_of_slot"],
            time=r["as_of_time"],
            verdict=_verdict(r["verdict"]),
            liability=_text(r["liability_shares"]),
            custody=_text(r["custody_shares"]),
        )
        for r in page
    ]
    next_cursor = cursors.encode(page[-1]["run"]) if more else None
    return answer(request, models.History(symbol=symbol, items=items, next_cursor=next_cursor), parts, run)


@ROUTER.get("/supply/{symbol}", response_model=models.Supply, tags=["supply"])
async def supply(request: Request, parts: Parts, symbol: Symbol) -> Response:
    """The supply by chain and holder; the lines sum to it."""
    run, result, freshness = shown(parts, symbol)
    return answer(request, showing.supply(run, result, freshness.is_fresh(utc_now())), parts, run)


@ROUTER.get("/events", response_model=models.Events, tags=["movements"])
async def events(
    request: Request,
    parts: Parts,
    symbol: Annotated[str | None, Query(max_length=40, description="Of one instrument; of all when left out.")] = None,
    cursor: Cursor = None,
    limit: Limit = 50,
) -> Response:
    """Final movements of tokens, the newest first."""
    run = last_run(parts)
    mints = _mints(run, symbol)
    place = _decoded(cursor, 4)
    if place is not None and max(place[1:]) > _INT_MAX:
        raise Refused(HTTPStatus.BAD_REQUEST, "cursor: it is no cursor of ours")
    before = place or (None, None, None, None)
    rows = await parts.reader.rows("events", sorted(mints), *before, limit + 1)
    page, more = _page(rows, limit)
    items = [event_of(r, mints[r["mint"]]) for r in page]
    last = page[-1] if more else None
    next_cursor = None if last is None else cursors.encode(*(last[k] for k in ("slot", "tx_index", "step", "child")))
    return answer(request, models.Events(items=items, next_cursor=next_cursor), parts, run)


def event_of(row: dict[str, Any], symbol: str) -> models.Event:
    """Return a movement as it is shown."""
    names = ("slot", "tx_index", "step", "child", "signature", "kind", "source", "source_owner", "destination",
             "destination_owner", "authority_role", "memo")  # fmt: skip
    return models.Event(
        symbol=symbol,
        time=row["block_time"],
        amount=str(int(row["amount"])),
        fee=str(int(row["fee"])),
        **{name: row[name] for name in names},
    )


@ROUTER.get("/events/stream", tags=["movements"], response_class=StreamingResponse, responses={
    200: {"content": {"text/event-stream": {"schema": {"type": "string"}}},
          "description": "final, provisional, withdrawn, retracted, reset, and state, told first and on each change: "
          "the run that is shown, each verdict (unknown once its inputs are too old), whether the database is there. A "
          "final's id resumes after it."},
})  # fmt: skip
async def stream(
    parts: Parts,
    symbol: Annotated[str | None, Query(max_length=40, description="Of one instrument; of all when left out.")] = None,
    only: Annotated[
        Literal["state"] | None, Query(description="state: no movements, only what figures are worth.")
    ] = None,
    last_event_id: Annotated[
        str | None, Header(max_length=40, description="The id of the last final event seen: resumes after it.")
    ] = None,
) -> Response:
    """Movements as they happen, as Server-Sent Events: provisional within moments, final exactly once an id."""
    mints = frozenset() if only else frozenset(_mints(last_run(parts), symbol))
    parts.stream.tell_state(situation_of(parts.board, utc_now()).to_json())
    after = None
    if last_event_id:
        after = parse_id(last_event_id)
        if after is None or max(after.batch, after.ordinal) > SLOT_MAX:
            raise Refused(HTTPStatus.BAD_REQUEST, "Last-Event-ID is none of ours: leave it out to begin now")
    if parts.stream.listeners >= parts.settings.stream_readers_max:
        raise Refused(HTTPStatus.SERVICE_UNAVAILABLE, "as many listen as can be served: try again", Retry_After="30")
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(_listening(parts, mints, after), 200, headers, "text/event-stream")


async def _listening(parts: State, mints: frozenset[str], after: Any) -> AsyncIterator[bytes]:
    try:
        async for chunk in parts.stream.listen(mints, after):
            yield chunk
    except Full:
        return


@ROUTER.get("/multipliers/{symbol}", response_model=models.Multipliers, tags=["multipliers"])
async def multipliers(request: Request, parts: Parts, symbol: Symbol) -> Response:
    """The multiplier over time: what was announced, what applies, what is to come."""
    run, result, _ = shown(parts, symbol)
    items = await multiplier_steps(parts, result.mint, utc_now())
    return answer(request, models.Multipliers(symbol=symbol, items=items), parts, run)


async def multiplier_steps(parts: State, mint: str, now: datetime) -> list[models.MultiplierStep]:
    """Return a mint's multiplier steps with their state at an instant."""
    rows = await parts.reader.rows("multipliers", [mint])
    in_force = [r for r in rows if r["superseded_slot"] is None and _moment(r["effective_at"], now) <= now]
    current = in_force[-1] if in_force else None
    return [_step(r, r is current, now) for r in rows]


def _step(row: dict[str, Any], is_current: bool, now: datetime) -> models.MultiplierStep:
    at = row["effective_at"]
    finite = isinstance(at, datetime) and at.year < MAXYEAR
    state = (
        "superseded"
        if row["superseded_slot"] is not None
        else "current" if is_current else "pending" if _moment(at, now) > now else "past"
    )  # fmt: skip
    return models.MultiplierStep(
        value=_text(row["value"]),
        bits=None if row["bits"] is None else bytes(row["bits"]).hex(),
        effective_at=at if finite else None,
        announced_slot=row["announced_slot"],
        signature=row["signature"],
        state=state,  # type: ignore[arg-type]  # one of the literals
    )


def _moment(at: datetime | None, now: datetime) -> datetime:
    return now if at is None else at if at.tzinfo else at.replace(tzinfo=UTC)


@ROUTER.get("/breaks", response_model=models.Breaks, tags=["breaks"])
async def breaks(request: Request, parts: Parts) -> Response:
    """Open breaks, counted by instrument and code; what each is about needs a token: /v1/desk/breaks."""
    run = last_run(parts)
    return await kept_answer(request, ("breaks", run.run), lambda: _counted(parts, run), parts, run)


async def _counted(parts: State, run: Run) -> models.Breaks:
    groups: dict[tuple[str, str, str], list[Age | None]] = {}
    async with parts.reader.session() as db:
        for worked in await worked_breaks(db, run.run):
            f = worked.finding
            groups.setdefault((f.symbol, f.code, f.name), []).append(worked.age)
    items = [
        models.BreakCount(
            symbol=symbol,
            code=code,
            name=name,
            count=len(ages),
            oldest_days=max((a.days for a in ages if a is not None), default=None),
        )
        for (symbol, code, name), ages in sorted(groups.items())
    ]
    return models.Breaks(as_of=showing.as_of(run), items=items)


@ROUTER.get("/headroom/{symbol}", response_model=models.HeadroomAnswer, tags=["reserves"])
async def headroom(request: Request, parts: Parts, symbol: Symbol) -> Response:
    """How many more shares may be released before settled custody falls short."""
    run, result, freshness = shown(parts, symbol)
    return answer(request, showing.headroom(run, result, freshness, utc_now()), parts, run)


@ROUTER.get("/statements", response_model=models.Statements, tags=["reports"])
async def statements(request: Request, parts: Parts, cursor: Cursor = None, limit: Limit = 50) -> Response:
    """The files of the business that were taken in, by digest; their content is in a report's bundle."""
    (before,) = _decoded(cursor, 1) or (None,)
    page, more = _page(await parts.reader.rows("statements", before, limit + 1), limit)
    fields = ("load", "kind", "format", "sha256", "recorded_at")
    items = [models.StatementFile(**{name: row[name] for name in fields}) for row in page]
    next_cursor = cursors.encode(page[-1]["load"]) if more else None
    return answer(request, models.Statements(items=items, next_cursor=next_cursor), parts, last_run(parts))


@ROUTER.get("/reports", response_model=models.Reports, tags=["reports"])
async def reports(request: Request, parts: Parts, cursor: Cursor = None, limit: Limit = 50) -> Response:
    """Reports that were made, with their signatures."""
    (before,) = _decoded(cursor, 1) or (None,)
    page, more = _page(await parts.reader.rows("reports", before, limit + 1), limit)
    signed: dict[int, list[models.Signature]] = {}
    for row in await parts.reader.rows("signatures", [r["report"] for r in page]):
        line = models.Signature(public_key=row["public_key"], signature=row["signature"])
        signed.setdefault(row["report"], []).append(line)
    stated = await practitioners(parts, [r["report"] for r in page])
    items = [
        models.ReportLine(
            report=r["report"],
            made_at=r["made_at"],
            slot=r["as_of_slot"],
            time=r["as_of_time"],
            verdict=_verdict(r["verdict"]),
            sha256=r["sha256"],
            previous=r["previous"],
            signatures=signed.get(r["report"], []),
            practitioners=[showing.practitioner(one) for one in stated.get(r["report"], [])],
        )
        for r in page
    ]
    next_cursor = cursors.encode(page[-1]["report"]) if more else None
    return answer(request, models.Reports(items=items, next_cursor=next_cursor), parts, last_run(parts))


_INT_MAX = 2**31 - 1


def _mints(run: Run, symbol: str | None) -> dict[str, str]:
    if symbol is None:
        return {i.mint: i.symbol for i in run.instruments}
    found = instrument_of(run, symbol)
    return {found.mint: found.symbol}


def _decoded(cursor: str | None, length: int) -> tuple[int, ...] | None:
    if cursor is None:
        return None
    try:
        return cursors.decode(cursor, length)
    except ValueError as bad:
        raise Refused(HTTPStatus.BAD_REQUEST, f"cursor: {bad}") from None


def _page(rows: Sequence[Row], limit: int) -> tuple[Sequence[Row], bool]:
    return rows[:limit], len(rows) > limit


def _text(value: Any) -> str | None:
    """A ``numeric`` as text: plain digits, no exponent, no zeros at the end."""
    if value is None:
        return None
    text = format(value, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def _verdict(value: str) -> Any:
    """A stored verdict; what older rules called otherwise is said in today's words."""
    return "does_not_tie_out" if value in ("over_backed", "under_backed") else value
