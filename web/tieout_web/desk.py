"""The desk: log in, look at breaks side by side with their evidence, propose, and approve as a second person."""

from datetime import UTC, datetime, timedelta
from fractions import Fraction
from http import HTTPStatus
from typing import Annotated, Any
from urllib.parse import urlsplit

from fastapi import APIRouter, Cookie, Depends, Form, Path, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from tieout_database import connect
from tieout_reconcile import (
    EXPLANATION_LINES,
    Kind,
    NotAllowed,
    NotFound,
    Wish,
    act,
    list_periods,
    parse_quantity,
    worked_break,
    worked_breaks,
)
from tieout_web.access import Locked, Session, is_form_token, log_in, log_out, session_of
from tieout_web.pages import render
from tieout_web.problems import Refused
from tieout_web.state import Parts, last_run

ROUTER = APIRouter(include_in_schema=False)
COOKIE = "tieout_session"
CookieValue = Annotated[str | None, Cookie(alias=COOKIE, max_length=256)]
Identity = Annotated[str, Path(min_length=4, max_length=64, pattern="^[0-9a-f]+$")]
Text = Annotated[str, Form(max_length=2000)]
_BIGINT_MAX = 2**63 - 1


async def person(parts: Parts, cookie: CookieValue = None) -> Session | None:
    """Return who is logged in, with the roles of this moment."""
    if not cookie:
        return None
    db = await connect(parts.settings.dsn)
    try:
        return await session_of(db, cookie)
    finally:
        await db.close()


Person = Annotated[Session | None, Depends(person)]


def allowed(session: Session | None, *roles: str) -> Session:
    """Return the session if it has one of the roles. Raises Refused: 401 for nobody, 403 for the wrong role."""
    if session is None:
        raise Refused(HTTPStatus.UNAUTHORIZED, "log in first: /login")
    if not set(roles) & set(session.roles):
        needs = " or ".join(roles)
        raise Refused(HTTPStatus.FORBIDDEN, f"{session.name} has {', '.join(session.roles)}: this needs {needs}")
    return session


def refuse_other_sites(request: Request) -> None:
    """Raise Refused for a form that a page of another site sent."""
    origin = request.headers.get("origin")
    if origin is not None and urlsplit(origin).netloc != request.headers.get("host"):
        raise Refused(HTTPStatus.FORBIDDEN, "the form came from another site")


def refuse_forged(request: Request, cookie: str | None, form_token: str) -> None:
    """Raise Refused unless the form came from a page of this session, on this site."""
    refuse_other_sites(request)
    if not cookie or not is_form_token(cookie, form_token):
        raise Refused(HTTPStatus.FORBIDDEN, "the form is not of this session: load the page again")


@ROUTER.get("/login", response_class=HTMLResponse)
async def login_form(parts: Parts) -> Response:
    """The form to log in."""
    return render(parts, "login.html", error=None)


@ROUTER.post("/login", response_class=HTMLResponse)
async def login(
    request: Request,
    parts: Parts,
    name: Annotated[str, Form(max_length=64)],
    password: Annotated[str, Form(max_length=256)],
) -> Response:
    """Log in: a cookie that scripts cannot read, for this site alone."""
    refuse_other_sites(request)
    settings = parts.settings
    db = await connect(settings.dsn)
    try:
        cookie = await log_in(
            db, name, password, settings.session_hours, settings.login_failures_max, settings.lock_minutes
        )
    except Locked:
        detail = f"too many attempts: wait {settings.lock_minutes} minutes, or ask an admin for a new password"
        return render(parts, "login.html", int(HTTPStatus.TOO_MANY_REQUESTS), error=detail)
    finally:
        await db.close()
    if cookie is None:
        return render(parts, "login.html", int(HTTPStatus.UNAUTHORIZED), error="name or password is wrong")
    response = RedirectResponse("/desk", HTTPStatus.SEE_OTHER)
    response.set_cookie(
        COOKIE, cookie, settings.session_hours * 3600, httponly=True, samesite="strict", secure=settings.secure_cookies
    )
    return response


@ROUTER.post("/logout")
async def logout(
    request: Request, parts: Parts, form_token: Annotated[str, Form(max_length=128)], cookie: CookieValue = None
) -> Response:
    """End the session."""
    refuse_forged(request, cookie, form_token)
    db = await connect(parts.settings.dsn)
    try:
        await log_out(db, cookie or "")
    finally:
        await db.close()
    response = RedirectResponse("/", HTTPStatus.SEE_OTHER)
    response.delete_cookie(COOKIE)
    return response


@ROUTER.get("/desk", response_class=HTMLResponse)
async def desk(parts: Parts, session: Person) -> Response:
    """The breaks, the gravest and oldest first."""
    if session is None:
        return RedirectResponse("/login", HTTPStatus.SEE_OTHER)
    run = last_run(parts)
    async with parts.reader.session() as db:
        worked = await worked_breaks(db, run.run)
        periods = await list_periods(db)
    ordered = sorted(worked, key=lambda w: (w.finding.code[0] != "B", -(w.age.days if w.age else 0), w.finding.key))
    return render(parts, "desk.html", session=session, run=run, worked=ordered, periods=periods[::-1])


@ROUTER.get("/desk/breaks/{identity}", response_class=HTMLResponse)
async def break_page(parts: Parts, session: Person, identity: Identity) -> Response:
    """One break: what it is, the order beside the movement, what was done, what may be done."""
    if session is None:
        return RedirectResponse("/login", HTTPStatus.SEE_OTHER)
    return await _break_page(parts, session, identity, None, HTTPStatus.OK)


async def _break_page(
    parts: Any, session: Session, identity: str, error: str | None, status: HTTPStatus
) -> HTMLResponse:
    run = last_run(parts)
    async with parts.reader.session() as db:
        try:
            worked = await worked_break(db, identity, run.run)
        except NotFound as missing:
            raise Refused(HTTPStatus.NOT_FOUND, str(missing)) from None
    result = run.instrument(worked.finding.symbol)
    crossings = [c for c in result.crossings if c.signature == worked.finding.signature] if result else []
    return render(
        parts, "break.html", int(status), session=session, run=run, worked=worked, crossings=crossings, error=error,
        lines=EXPLANATION_LINES, after=worked.actions[-1].action if worked.actions else 0, kinds=Kind,
    )  # fmt: skip


@ROUTER.post("/desk/breaks/{identity}", response_class=HTMLResponse)
async def work_on(
    request: Request,
    parts: Parts,
    session: Person,
    identity: Identity,
    kind: Annotated[str, Form(max_length=20)],
    form_token: Annotated[str, Form(max_length=128)],
    after: Annotated[int, Form(ge=0, le=_BIGINT_MAX)],
    cookie: CookieValue = None,
    note: Text = "",
    assignee: Annotated[str, Form(max_length=64)] = "",
    line: Annotated[str, Form(max_length=64)] = "",
    document: Annotated[str, Form(max_length=20)] = "",
    shares: Annotated[str, Form(max_length=60)] = "",
    days: Annotated[int, Form(ge=1, le=40)] = 7,
    proposal: Annotated[str, Form(max_length=20)] = "",
    assets: Annotated[str, Form(max_length=500)] = "",
    since: Annotated[str, Form(max_length=40)] = "",
    recipient: Annotated[str, Form(max_length=500)] = "",
) -> Response:
    """Do something about a break. The actor is the session's person, whatever the form says."""
    who = allowed(session, "preparer", "approver")
    refuse_forged(request, cookie, form_token)
    try:
        wish = Wish(
            key=identity,
            kind=Kind(kind),
            note=note or None,
            assignee=assignee or None,
            line=line or None,
            document=_whole(document, "document"),
            shares=_shares(shares),
            expires_at=datetime.now(UTC) + timedelta(days=days) if kind == Kind.PROPOSE else None,
            proposal=_whole(proposal, "proposal"),
            assets=assets or None,
            since=_instant(since),
            recipient=recipient or None,
        )
        db = await connect(parts.settings.dsn)
        try:
            await act(db, wish, who.name, after=after)
        finally:
            await db.close()
    except (NotAllowed, ValueError) as refused:
        return await _break_page(parts, who, identity, str(refused), HTTPStatus.CONFLICT)
    except NotFound as missing:
        raise Refused(HTTPStatus.NOT_FOUND, str(missing)) from None
    return RedirectResponse(f"/desk/breaks/{identity}", HTTPStatus.SEE_OTHER)


def _whole(text: str, name: str) -> int | None:
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and int(text) <= _BIGINT_MAX):
        raise ValueError(f"{name} {text!r} is no number")
    return int(text)


def _instant(text: str) -> datetime | None:
    """What a form says of an instant: UTC where it names no zone."""
    if not text:
        return None
    try:
        found = datetime.fromisoformat(text)
        return found.replace(tzinfo=found.tzinfo or UTC).astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError(f"since {text!r} is no instant like 2026-11-23T16:00") from None


def _shares(text: str) -> Fraction | None:
    if not text:
        return None
    try:
        return parse_quantity(text)
    except ValueError as bad:
        raise ValueError(f"shares {text!r} {bad}") from None
