"""Answers that can be cached: an ETag over the bytes, 304 for who has them, and how old the figures are."""

import hashlib
from collections.abc import Awaitable, Callable, Hashable

from fastapi import Request
from fastapi.responses import Response
from pydantic import BaseModel

from tieout_reconcile import Run
from tieout_web.state import State, now_and_age


def answer(request: Request, body: BaseModel, state: State, run: Run | None, status: int = 200) -> Response:
    """Return a model as JSON. The age stands in a header, so that the bytes change only when the figures do."""
    return _sent(request, *_encoded(body), state, run, status)


async def kept_answer(
    request: Request, key: Hashable, make: Callable[[], Awaitable[BaseModel]], state: State, run: Run
) -> Response:
    """Return the model that ``make`` gives, kept as bytes under a key that says all that it depends on."""
    kept = state.kept.get(key)
    if kept is None:
        kept = state.kept[key] = _encoded(await make())
        while len(state.kept) > _KEPT_MAX:
            del state.kept[next(iter(state.kept))]
    return _sent(request, *kept, state, run, 200)


_KEPT_MAX = 256


def _encoded(body: BaseModel) -> tuple[bytes, str]:
    data = body.model_dump_json().encode()
    return data, f'"{hashlib.sha256(data).hexdigest()[:32]}"'


def _sent(request: Request, data: bytes, etag: str, state: State, run: Run | None, status: int) -> Response:
    headers = {"ETag": etag, "Cache-Control": "public, max-age=1", "Vary": "Accept-Encoding"}
    if run is not None:
        headers |= now_and_age(state, run)
    if status == 200 and matches(request, etag):
        return Response(status_code=304, headers=headers)
    return Response(data, status, headers, "application/json")


def matches(request: Request, etag: str) -> bool:
    """Whether the client has these bytes already."""
    given = request.headers.get("if-none-match", "")
    return given == "*" or etag in [part.strip().removeprefix("W/") for part in given.split(",")]
