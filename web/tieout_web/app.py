"""The service: pages, API, compatibility shapes and health, with their headers, limits and errors."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from http import HTTPStatus
from importlib.metadata import version
from pathlib import Path

import asyncpg
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException

from tieout_database import DatabaseUnreachable, load_migrations, verify_audit
from tieout_indexer import START, Position
from tieout_reconcile import NotFound, NotReady
from tieout_web import api, compat, desk, desk_pages, guarded, pages
from tieout_web.board import Board, utc_now
from tieout_web.limiter import RateLimiter
from tieout_web.models import Health
from tieout_web.problems import Refused, described, problem, wants_page
from tieout_web.reading import Reader
from tieout_web.settings import WebSettings
from tieout_web.situation import situation_of
from tieout_web.state import State
from tieout_web.stream import Broadcaster

_STATIC = Path(__file__).parent / "static"
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self' data:; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
_PUBLIC = ("/v1/", "/compat/")
_AUDIT_CHECK_S = 300.0
_CANCEL_AGAIN_S = 0.5
Next = Callable[[Request], Awaitable[Response]]


def create_app(settings: WebSettings) -> FastAPI:
    """Return the application; it reads the database while it runs, and outlives its absence."""
    reader = Reader(settings.dsn, settings.pool_size_max)
    state = State(settings, reader, Board(settings, reader), Broadcaster(settings))
    app = FastAPI(
        title="tieout",
        version=version("tieout"),
        description="Whether every tokenized share is backed by a share in custody. Quantities are exact text; "
        "null is unknown, never zero. Figures carry their age in the header Tieout-Age-Seconds.",
        lifespan=_lifespan,
        docs_url=None,
        redoc_url=None,
        openapi_url="/v1/openapi.json",
    )
    app.state.tieout = state
    readiness = _Readiness(state)
    app.state.ready = readiness.checks
    limiter = RateLimiter(settings.requests_per_s, settings.requests_burst, settings.clients_max)
    _add_middleware(app, state, limiter)
    _add_errors(app, state)
    _add_health(app, readiness)
    for router in (api.ROUTER, guarded.ROUTER, compat.ROUTER, pages.ROUTER, desk.ROUTER, desk_pages.ROUTER):
        app.include_router(router)
    app.mount("/static", StaticFiles(directory=_STATIC), name="static")
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    state: State = app.state.tieout
    async with asyncio.TaskGroup() as tasks:
        looking = tasks.create_task(state.board.keep_looking())
        streaming = tasks.create_task(_stream(state))
        await state.board.first_look()
        telling = tasks.create_task(_tell_state(state))
        try:
            yield
        finally:
            await _ended(looking, streaming, telling)
            await state.reader.close()


async def _ended(*tasks: asyncio.Task[None]) -> None:
    """Cancel tasks until they are done: Python before 3.12 loses a cancellation that meets the end of a wait."""
    while running := [task for task in tasks if not task.done()]:
        for task in running:
            task.cancel()
        await asyncio.wait(running, timeout=_CANCEL_AGAIN_S)


async def _stream(state: State) -> None:
    """Stream from where the ledger is now: what was before is read by /v1/events."""
    start = START
    while True:
        with suppress(DatabaseUnreachable):
            last = await state.reader.value("last_batch")
            start = START if last is None else Position(last, _ORDINAL_MAX)
            break
        await asyncio.sleep(state.settings.refresh_interval_s)
    await state.stream.run(start)


async def _tell_state(state: State) -> None:
    """Figures grow old without anything happening: say so to pages that stay open."""
    while True:
        state.stream.tell_state(situation_of(state.board, utc_now()).to_json())
        await asyncio.sleep(state.settings.refresh_interval_s)


_ORDINAL_MAX = 2**31


def _add_middleware(app: FastAPI, state: State, limiter: RateLimiter) -> None:
    @app.middleware("http")
    async def guard(request: Request, call_next: Next) -> Response:
        client = request.client.host if request.client else "unknown"
        wait_s = limiter.wait_s(client, time.monotonic())
        if wait_s and not request.url.path.startswith("/static/"):
            text = f"too many requests: wait {wait_s:.2f} s"
            response: Response = problem(
                HTTPStatus.TOO_MANY_REQUESTS, text, {"Retry-After": str(max(1, round(wait_s)))}
            )
        else:
            response = await call_next(request)
        for name, value in _HEADERS.items():
            response.headers.setdefault(name, value)
        if request.url.path.startswith(_PUBLIC) and not request.url.path.startswith("/v1/desk"):
            # anybody's page may read what is public; it never carries a login
            response.headers["Access-Control-Allow-Origin"] = "*"
            response.headers["Access-Control-Expose-Headers"] = "ETag, Tieout-Age-Seconds, Tieout-Database"
        if state.settings.secure_cookies:
            response.headers["Strict-Transport-Security"] = "max-age=31536000"
        return response


def _add_errors(app: FastAPI, state: State) -> None:
    def told(request: Request, status: HTTPStatus, detail: str, headers: dict[str, str] | None = None) -> Response:
        if wants_page(request):
            return pages.problem_page(state, status, detail)
        return problem(status, detail, headers)

    @app.exception_handler(Refused)
    async def refused(request: Request, found: Refused) -> Response:
        return told(request, found.status, found.detail, found.headers)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, found: RequestValidationError) -> Response:
        first = found.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        return told(request, HTTPStatus.UNPROCESSABLE_ENTITY, f"{where}: {first['msg']}")

    @app.exception_handler(HTTPException)
    async def http(request: Request, found: HTTPException) -> Response:
        return told(request, HTTPStatus(found.status_code), str(found.detail), dict(found.headers or {}))

    @app.exception_handler(DatabaseUnreachable)
    async def unreachable(request: Request, _: DatabaseUnreachable) -> Response:
        # the sentence names the database: that is for the operator's log, not for the public
        seen = state.board.seen
        since = "never" if seen is None else f"{seen.at:%Y-%m-%d %H:%M:%S} UTC"
        text = f"the database cannot be reached; it was last read {since}"
        return told(request, HTTPStatus.SERVICE_UNAVAILABLE, text, {"Retry-After": "5"})

    @app.exception_handler(asyncpg.InsufficientPrivilegeError)
    async def read_only(request: Request, _: asyncpg.InsufficientPrivilegeError) -> Response:
        text = "this service may read published views only: the desk, tokens and bundles are served elsewhere"
        return told(request, HTTPStatus.SERVICE_UNAVAILABLE, text)

    @app.exception_handler(NotFound)
    async def missing(request: Request, found: NotFound) -> Response:
        return told(request, HTTPStatus.NOT_FOUND, str(found))

    @app.exception_handler(NotReady)
    async def not_ready(request: Request, found: NotReady) -> Response:
        return told(request, HTTPStatus.SERVICE_UNAVAILABLE, str(found))


class _Readiness:
    """Whether the service can be relied on: database, schema, what was read, the audit chain (now and then)."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._audit = "not looked at yet"
        self._audited_at = float("-inf")

    async def checks(self) -> dict[str, str]:
        """Return each check and what was seen; what does not hold begins with ``no``."""
        board = self._state.board
        seen = board.seen
        checks = {"database": "no: it cannot be reached" if board.gone else "ok"}
        if board.gone is None:
            try:
                number = await self._state.reader.value("schema")
                wanted = load_migrations()[-1].number
                checks["schema"] = "ok" if number == wanted else f"no: migration {number}, this version has {wanted}"
                checks["audit chain"] = await self._audit_chain()
            except DatabaseUnreachable:
                checks["database"] = "no: it cannot be reached"
        checks["run"] = "ok" if seen and seen.run else "no: nothing was reconciled yet"
        if seen and seen.tip and seen.tip.block_time:
            age = int((utc_now() - seen.tip.block_time).total_seconds())
            limit = self._state.settings.chain_age_max_s
            checks["lag"] = f"ok: {age} s" if age <= limit else f"no: the last block is {age} s old, at most {limit} s"
        else:
            checks["lag"] = "no: nothing is indexed yet"
        return checks

    async def _audit_chain(self) -> str:
        if time.monotonic() - self._audited_at > _AUDIT_CHECK_S:
            async with self._state.reader.session() as db:
                _, faults = await verify_audit(db)
            self._audit = f"no: {faults[0]}" if faults else "ok"
            self._audited_at = time.monotonic()
        return self._audit


def _add_health(app: FastAPI, readiness: _Readiness) -> None:
    @app.get("/healthz", response_model=Health, tags=["health"], responses=described(429))
    async def alive() -> Health:
        """Whether the process answers."""
        return Health(ok=True, checks={})

    @app.get("/readyz", response_model=Health, tags=["health"], responses={
        503: {"model": Health, "description": "Something does not hold."}, **described(429),
    })  # fmt: skip
    async def ready(response: Response) -> Health:
        """Whether the service can be relied on; 503 with what does not hold."""
        checks = await readiness.checks()
        ok = not any(seen.startswith("no") for seen in checks.values())
        response.status_code = HTTPStatus.OK if ok else HTTPStatus.SERVICE_UNAVAILABLE
        return Health(ok=ok, checks=checks)

    @app.get("/version", tags=["health"], responses=described(429))
    async def which() -> dict[str, str]:
        """Which version answers."""
        return {"version": version("tieout")}
