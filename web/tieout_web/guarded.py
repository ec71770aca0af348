"""What needs a token: the breaks one by one, reports and their bundles."""

from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from tieout_database import connect
from tieout_reconcile import decimal_text, rebuild_bundle, worked_breaks
from tieout_web import models, showing
from tieout_web.access import TOKEN_PREFIX, token_scopes
from tieout_web.answers import answer
from tieout_web.api import Number
from tieout_web.problems import Refused, described
from tieout_web.state import Parts, last_run

ROUTER = APIRouter(prefix="/v1", responses=described(401, 403, 404, 422, 429, 503))
_TOKEN_CHARACTERS_MAX = 200
_UNKNOWN = "the token is unknown, expired or ended: an admin makes a new one (tieout token create)"
_BEARER = HTTPBearer(auto_error=False, description="A token of `tieout token create`.")


def scope(wanted: str) -> Callable[..., Awaitable[None]]:
    """Return a dependency that lets only tokens of a scope pass: 401 without one that counts, 403 without the scope."""

    async def check(parts: Parts, given: Annotated[HTTPAuthorizationCredentials | None, Depends(_BEARER)]) -> None:
        if given is None or len(given.credentials) > _TOKEN_CHARACTERS_MAX:
            raise Refused(
                HTTPStatus.UNAUTHORIZED, "a token is needed: Authorization: Bearer …", WWW_Authenticate="Bearer"
            )
        if not given.credentials.startswith(TOKEN_PREFIX):
            raise Refused(HTTPStatus.UNAUTHORIZED, _UNKNOWN, WWW_Authenticate="Bearer")
        # tokens are no published view: asked for by the part that may, on a connection of its own
        db = await connect(parts.settings.dsn)
        try:
            scopes = await token_scopes(db, given.credentials)
        finally:
            await db.close()
        if scopes is None:
            raise Refused(HTTPStatus.UNAUTHORIZED, _UNKNOWN, WWW_Authenticate="Bearer")
        if wanted not in scopes:
            raise Refused(HTTPStatus.FORBIDDEN, f"the token has not the scope {wanted}")

    return check


@ROUTER.get("/desk/breaks", response_model=models.BreakDetails, tags=["breaks"],
            dependencies=[Depends(scope("breaks:read"))])  # fmt: skip
async def break_details(request: Request, parts: Parts) -> Response:
    """Open breaks one by one: what each is about, its age, who works on it. Scope breaks:read."""
    run = last_run(parts)
    async with parts.reader.session() as db:
        worked = await worked_breaks(db, run.run)
    items = [
        models.BreakDetail(
            id=w.finding.id,
            code=w.finding.code,
            symbol=w.finding.symbol,
            summary=w.finding.summary,
            shares=_decimal(w.finding.shares),
            unexplained=_decimal(w.unexplained),
            status=w.work.status,
            assignee=w.work.assignee,
            days=None if w.age is None else w.age.days,
            signature=w.finding.signature,
            request_id=w.finding.request_id,
        )
        for w in worked
    ]
    made = answer(request, models.BreakDetails(as_of=showing.as_of(run), items=items), parts, run)
    made.headers["Cache-Control"] = "private, no-store"
    return made


def _decimal(value: Any) -> str | None:
    return None if value is None else decimal_text(value)


@ROUTER.get("/reports/{number}", tags=["reports"], response_class=Response,
            dependencies=[Depends(scope("reports:read"))], responses={
    200: {"content": {"application/json": {"schema": {"type": "object"}}},
          "description": "The report: canonical JSON (RFC 8785), the bytes that were signed."},
})  # fmt: skip
async def report(parts: Parts, number: Number) -> Response:
    """One report, byte for byte as it was signed. Scope reports:read."""
    row = await parts.reader.row("report", number)
    if row is None:
        raise Refused(HTTPStatus.NOT_FOUND, f"there is no report {number}")
    headers = {"ETag": f'"{row["sha256"]}"', "Cache-Control": "private, no-store"}
    return Response(row["body"], 200, headers, "application/json")


@ROUTER.get("/reports/{number}/bundle", tags=["reports"], response_class=Response,
            dependencies=[Depends(scope("reports:read"))], responses={
    200: {"content": {"application/zip": {"schema": {"type": "string", "format": "binary"}}},
          "description": "The evidence bundle: tieout report verify computes it again, offline."},
})  # fmt: skip
async def report_bundle(parts: Parts, number: Number) -> Response:
    """The evidence bundle of a report, the custodians' own files among it. Scope reports:read."""
    async with parts.reader.session() as db:
        data = await rebuild_bundle(db, number)
    headers = {
        "Content-Disposition": f'attachment; filename="tieout-report-{number}.zip"',
        "Cache-Control": "private, no-store",
    }
    return Response(data, 200, headers, "application/zip")
