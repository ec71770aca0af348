"""The API keeps to its description: schemathesis over all of it, and a fuzz of what clients send."""

import base64
import json
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from reconcile.builders import Book
from tieout_web import cursors
from tieout_web.app import create_app
from web.service import fill, served, settings

DESCRIPTION = create_app(settings("unused")).openapi()


def drawn(strategy: Any, count: int) -> list[Any]:
    """Examples of a strategy, drawn before any I/O: hypothesis knows no event loop."""
    found: list[Any] = []

    @given(strategy)
    @hypothesis_settings(max_examples=count, database=None, deadline=None, suppress_health_check=list(HealthCheck))
    def collect(example: Any) -> None:
        found.append(example)

    collect()
    return found


def test_every_field_of_every_answer_is_described() -> None:
    for name, model in DESCRIPTION["components"]["schemas"].items():
        if name in ("HTTPValidationError", "ValidationError") or name.startswith("Body_"):
            continue
        for field, shape in model.get("properties", {}).items():
            assert shape.get("description") or "$ref" in str(shape), f"{name}.{field}"
    for path, verbs in DESCRIPTION["paths"].items():
        for verb, operation in verbs.items():
            assert operation.get("summary"), (verb, path)
            for parameter in operation.get("parameters", []):
                assert parameter.get("description"), (verb, path, parameter["name"])


async def test_nothing_asked_by_the_description_gives_a_5xx_or_an_undocumented_answer(book: Book) -> None:
    await fill(book)
    async with served(book.dsn) as client:
        schema = schemathesis.openapi.from_dict({**DESCRIPTION, "servers": [{"url": str(client.base_url)}]})
        asked = 0
        for result in schema.get_all_operations():
            operation: Any = result.ok()  # type: ignore[union-attr]
            if operation.path == "/v1/events/stream":
                continue
            cases = drawn(operation.as_strategy(), 15)
            for case in cases:
                arguments = case.as_transport_kwargs(base_url=str(client.base_url))
                given_headers = (arguments.get("headers") or {}).items()
                sendable = {k: v for k, v in given_headers if v.isascii() and v.isprintable() and v == v.strip()}
                answer = await client.request(
                    arguments["method"], arguments["url"], params=arguments.get("params"), headers=sendable
                )
                asked += 1
                documented = operation.definition.raw["responses"]
                assert str(answer.status_code) in documented, (operation.label, answer.status_code, answer.text)
                assert answer.status_code < 500, (operation.label, answer.text)
        assert asked > 200


HOSTILE = st.one_of(
    st.text(max_size=60),
    st.sampled_from(["'; drop table x --", "%00", "../../etc/passwd", "９", "-1", "1e9", "NaN", "\u202e", "0" * 400]),
)


async def test_hostile_cursors_dates_symbols_and_headers_never_give_a_5xx(book: Book) -> None:
    await fill(book)
    asked = drawn(st.tuples(HOSTILE, HOSTILE, HOSTILE, HOSTILE), 40)
    async with served(book.dsn) as client:
        for cursor, at, symbol, etag in asked:
            quoted = httpx.QueryParams({"x": symbol})
            path = str(quoted)[2:] or "x"
            requests: list[tuple[str, dict[str, str]]] = [
                (f"/v1/reserves/{path}", {"as_of": at}),
                ("/v1/reserves/AAPLx", {"as_of": at}),
                ("/v1/events", {"cursor": cursor, "symbol": symbol}),
                ("/v1/reserves/AAPLx/history", {"cursor": cursor}),
                (f"/instruments/{path}", {}),
                (f"/accounts/{path}", {}),
                ("/v1/statements", {"cursor": cursor, "limit": at}),
            ]
            headers = {"If-None-Match": etag.encode("utf-8", "ignore").replace(b"\n", b"").replace(b"\r", b"")}
            for url, query in requests:
                try:
                    answer = await client.get(url, params=query, headers=headers)
                except (httpx.InvalidURL, httpx.LocalProtocolError, UnicodeEncodeError):
                    continue
                assert answer.status_code < 500, (url, query, answer.text)


@given(st.lists(st.integers(0, 2**63 - 1), min_size=1, max_size=4))
def test_a_cursor_comes_back_as_it_went(parts: list[int]) -> None:
    assert cursors.decode(cursors.encode(*parts), len(parts)) == tuple(parts)


@given(st.text(max_size=100), st.integers(1, 4))
def test_anything_else_is_no_cursor(text: str, length: int) -> None:
    if _is_cursor(text, length):
        assert cursors.encode(*cursors.decode(text, length)) == text
    else:
        with pytest.raises(ValueError, match="no cursor of ours"):
            cursors.decode(text, length)


def _is_cursor(text: str, length: int) -> bool:
    try:
        parts = json.loads(base64.b64decode(text + "=" * (-len(text) % 4), "-_", validate=True))
    except (ValueError, RecursionError):
        return False
    whole = isinstance(parts, list) and all(type(p) is int and -1 <= p < 2**63 for p in parts)
    return whole and len(parts) == length and cursors.encode(*parts) == text


def test_a_booleans_cursor_is_none() -> None:
    with pytest.raises(ValueError, match="no cursor"):
        cursors.decode(cursors.encode(True), 1)
