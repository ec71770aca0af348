"""What a request reaches: the board, the reader, the stream and the settings, kept on the application."""

from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Annotated, cast

from fastapi import Depends, Query, Request
from fastapi.responses import Response

from tieout_reconcile import InstrumentResult, Run
from tieout_web.beside import Holdings
from tieout_web.board import Board, utc_now
from tieout_web.freshness import Freshness
from tieout_web.problems import Refused
from tieout_web.reading import Reader
from tieout_web.settings import WebSettings
from tieout_web.stream import Broadcaster

Endpoint = Callable[[Request], Awaitable[Response]]
SLOT_MAX = 2**63 - 1


@dataclass(frozen=True, slots=True)
class State:
    """The parts of a running service."""

    settings: WebSettings
    reader: Reader
    board: Board
    stream: Broadcaster
    kept: dict[Hashable, tuple[bytes, str]] = field(default_factory=dict)
    holdings: dict[Hashable, Holdings] = field(default_factory=dict)


def state_of(request: Request) -> State:
    """Return the parts of the service that a request runs in."""
    return cast("State", request.app.state.tieout)


Parts = Annotated[State, Depends(state_of)]
Limit = Annotated[int, Query(ge=1, le=200, description="How many items a page holds.")]
Cursor = Annotated[
    str | None, Query(max_length=400, description="next_cursor of the page before; left out for the first page.")
]


def last_run(state: State) -> Run:
    """Return the run that is shown. Raises Refused: nothing was reconciled yet, or nothing was ever seen."""
    seen = state.board.seen
    if seen is None:
        raise Refused(HTTPStatus.SERVICE_UNAVAILABLE, f"nothing was read yet: {state.board.gone}", Retry_After="5")
    if seen.run is None:
        raise Refused(HTTPStatus.NOT_FOUND, "nothing was reconciled yet: tieout reconcile run")
    return seen.run


def instrument_of(run: Run, symbol: str) -> InstrumentResult:
    """Return an instrument of a run. Raises Refused."""
    found = run.instrument(symbol)
    if found is None:
        known = ", ".join(i.symbol for i in run.instruments)
        raise Refused(HTTPStatus.NOT_FOUND, f"{symbol[:40]!r} is no instrument here: there are {known}")
    return found


def shown(state: State, symbol: str) -> tuple[Run, InstrumentResult, Freshness]:
    """Return the last run, an instrument of it, and how fresh its figures are. Raises Refused."""
    run = last_run(state)
    result = instrument_of(run, symbol)
    return run, result, state.board.freshness(run, result)


def now_and_age(state: State, run: Run) -> dict[str, str]:
    """Return the headers that say how old the figures of a run are: the age of the oldest input."""
    now = utc_now()
    ages = [age for i in run.instruments if (age := state.board.freshness(run, i).age_s(now)) is not None]
    headers = {} if not ages else {"Tieout-Age-Seconds": str(max(ages))}
    return headers | ({"Tieout-Database": "gone"} if state.board.gone else {})
