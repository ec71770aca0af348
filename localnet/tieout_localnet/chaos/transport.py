"""Faults of the way between node and client: what proxies, load balancers and bad lines do to an answer."""

import asyncio
import json
from typing import Final

from aiohttp import web

from tieout_localnet.chaos.book import Book
from tieout_localnet.chaos.rules import TRANSPORT_KINDS, Rule

DRIP_PIECES: Final = 20
HALF_OPEN_S: Final = 3_600.0
GARBAGE: Final = b'{"jsonrpc":"2.0","result":{"context":{"slot":NaN,<html>502 Bad Gateway</html>'


def rule_for(book: Book, body: bytes, open_slot: int) -> Rule | None:
    """The rule that spoils the answer to a body, if any; admin calls are never spoiled."""
    if not book:
        return None
    method = _method(body)
    if method.startswith("localnet_"):
        return None
    return book.on_request(TRANSPORT_KINDS, method, open_slot)


def _method(body: bytes) -> str:
    """The method of a request, of a batch the first one; empty when there is none."""
    try:
        parsed = json.loads(body)
    except (ValueError, RecursionError):
        return ""
    first = parsed[0] if isinstance(parsed, list) and parsed else parsed
    method = first.get("method") if isinstance(first, dict) else None
    return method if isinstance(method, str) else ""


async def spoil(rule: Rule, request: web.Request, answer: bytes) -> web.StreamResponse:
    """Answer in the way that the rule has; `answer` is what would have been sent."""
    if rule.kind == "rate_limit":
        headers = {} if rule.retry_after_s is None else {"Retry-After": str(rule.retry_after_s)}
        return web.Response(status=429, text="Too Many Requests", headers=headers)
    if rule.kind == "http_error":
        return web.Response(status=rule.status, text="upstream error")
    if rule.kind == "garbage":
        return web.Response(body=GARBAGE, content_type="application/json")
    if rule.kind == "timeout":
        await asyncio.sleep(rule.delay_ms / 1000)
        return _cut(request)
    if rule.kind == "half_open":
        # The connection stays, and nothing ever comes.
        await asyncio.sleep(HALF_OPEN_S)
        return _cut(request)
    return await _partly(rule, request, answer)


async def _partly(rule: Rule, request: web.Request, answer: bytes) -> web.StreamResponse:
    """Half of the answer and then the end (truncate), or all of it in small pieces (drip)."""
    response = web.StreamResponse(headers={"Content-Type": "application/json; charset=utf-8"})
    response.content_length = len(answer)
    await response.prepare(request)
    if rule.kind == "truncate":
        await response.write(answer[: len(answer) // 2])
        if request.transport is not None:
            request.transport.close()
        return response
    size = max(len(answer) // DRIP_PIECES, 1)
    for start in range(0, len(answer), size):
        await response.write(answer[start : start + size])
        await asyncio.sleep(rule.delay_ms / 1000 / DRIP_PIECES)
    await response.write_eof()
    return response


def _cut(request: web.Request) -> web.StreamResponse:
    if request.transport is not None:
        request.transport.abort()
    return web.Response()
