"""Shapes that others read already: the issuer's own reserve answer, the accounts of a reserve feed, plain numbers.

Nothing here looks fresh when it is not: where the ripcord is pulled the answer is 503, with the reasons.
"""

from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

from fastapi import APIRouter
from fastapi.responses import JSONResponse, PlainTextResponse, Response

from tieout_reconcile import InstrumentResult, Run, decimal_text
from tieout_web import cursors
from tieout_web.api import Symbol
from tieout_web.board import utc_now
from tieout_web.freshness import Freshness, ripcord_reasons
from tieout_web.problems import Refused, described
from tieout_web.state import Cursor, Limit, Parts, State, last_run, shown

ROUTER = APIRouter(prefix="/compat", responses=described(400, 404, 422, 429, 503), tags=["compatibility"])
_OBJECT: dict[int | str, dict[str, Any]] = {200: {"content": {"application/json": {"schema": {"type": "object"}}}}}
_NUMBER: dict[int | str, dict[str, Any]] = {200: {"content": {"text/plain": {"schema": {"type": "string"}}}}}


@ROUTER.get("/xstocks/proof-of-reserves", response_class=Response, responses=_OBJECT)
async def proof_of_reserves_list(parts: Parts, cursor: Cursor = None, limit: Limit = 100) -> Response:
    """Every instrument whose figures stand, in the issuer's own shape; 503 when none does."""
    run, now = last_run(parts), utc_now()
    try:
        (start,) = (0,) if cursor is None else cursors.decode(cursor, 1)
    except ValueError as bad:
        raise Refused(HTTPStatus.BAD_REQUEST, f"cursor: {bad}") from None
    standing = [i for i in run.instruments if not ripcord_reasons(i, parts.board.freshness(run, i), now)]
    if not standing:
        raise Refused(HTTPStatus.SERVICE_UNAVAILABLE, "; ".join(_all_reasons(parts, run, now)), Retry_After="60")
    page = standing[start : start + limit]
    more = start + limit < len(standing)
    body = {
        "nodes": [_proof(i, parts.board.freshness(run, i)) for i in page],
        "page": {
            "hasNextPage": more,
            "totalNodes": len(standing),
            "nextCursor": cursors.encode(start + limit) if more else None,
        },
    }
    return JSONResponse(body, headers={"Cache-Control": "public, max-age=1"})


@ROUTER.get("/xstocks/proof-of-reserves/{symbol}", response_class=Response, responses=_OBJECT)
async def proof_of_reserves(parts: Parts, symbol: Symbol) -> Response:
    """One instrument in the issuer's own shape: sharesHeld against circulatingSupply, both in shares."""
    _, result, freshness = _standing(parts, symbol)
    return JSONResponse(_proof(result, freshness), headers={"Cache-Control": "public, max-age=1"})


def _proof(result: InstrumentResult, freshness: Freshness) -> dict[str, Any]:
    assert result.custody is not None
    assert result.liability is not None
    held: dict[str, Any] = {}
    for line in result.accounts:
        held[line.custodian] = held.get(line.custodian, 0) + (line.shares or 0)
    return {
        "symbol": result.symbol,
        # the instant of the oldest input: no figure is younger than what it rests on
        "timestamp": _timestamp(freshness.oldest_at),
        "sharesHeld": decimal_text(result.custody),
        "circulatingSupply": decimal_text(result.liability),
        "holdings": [
            {"provider": name, "quantity": decimal_text(shares), "symbol": result.isin}
            for name, shares in sorted(held.items())
        ],
    }


def _timestamp(at: datetime | None) -> str | None:
    return None if at is None else at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


@ROUTER.get("/accounts/{symbol}", response_class=Response, responses=_OBJECT)
async def accounts(parts: Parts, symbol: Symbol) -> Response:
    """The accounts of a reserve feed with their ripcord: 503 with the same shape when it is pulled."""
    _, result, freshness = shown(parts, symbol)
    reasons = ripcord_reasons(result, freshness, utc_now())
    lines = [
        {"accountName": line.custodian, "totalReserve": decimal_text(line.shares),
         "totalToken": None if result.liability is None else decimal_text(result.liability)}
        for line in result.accounts if line.shares is not None
    ]  # fmt: skip
    body = {
        "timestamp": _timestamp(freshness.oldest_at),
        "accounts": [] if reasons else lines,
        "ripcord": bool(reasons),
        "ripcordDetails": reasons,
    }
    status = HTTPStatus.SERVICE_UNAVAILABLE if reasons else HTTPStatus.OK
    return JSONResponse(body, int(status), {"Cache-Control": "public, max-age=1"})


@ROUTER.get("/supply/{symbol}/total", response_class=PlainTextResponse, responses=_NUMBER)
async def total_supply(parts: Parts, symbol: Symbol) -> Response:
    """The total supply as a plain number, in shares: raw × multiplier ÷ 10^decimals."""
    return PlainTextResponse(_in_shares(parts, symbol, "supply"))


@ROUTER.get("/supply/{symbol}/circulating", response_class=PlainTextResponse, responses=_NUMBER)
async def circulating_supply(parts: Parts, symbol: Symbol) -> Response:
    """What is outside the issuer's wallets as a plain number, in shares."""
    return PlainTextResponse(_in_shares(parts, symbol, "circulating"))


def _in_shares(parts: State, symbol: str, name: str) -> str:
    _, result, _ = _standing(parts, symbol)
    raw = getattr(result, name)
    assert raw is not None
    assert result.multiplier is not None
    return decimal_text(int(raw) * result.multiplier / 10**result.decimals)


def _standing(parts: State, symbol: str) -> tuple[Run, InstrumentResult, Freshness]:
    """Return an instrument whose figures stand. Raises Refused (503) with the reasons when the ripcord is pulled."""
    run, result, freshness = shown(parts, symbol)
    if reasons := ripcord_reasons(result, freshness, utc_now()):
        raise Refused(HTTPStatus.SERVICE_UNAVAILABLE, "; ".join(reasons), Retry_After="60")
    return run, result, freshness


def _all_reasons(parts: State, run: Run, now: datetime) -> list[str]:
    return [r for i in run.instruments for r in ripcord_reasons(i, parts.board.freshness(run, i), now)]
