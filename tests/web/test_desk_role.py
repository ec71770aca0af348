"""The desk's own login: with it the service does all that it serves, and stores nothing but what its people do."""

import importlib
import pkgutil
import re
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from fastapi.routing import APIRoute

import tieout_web
from reconcile.builders import ISIN, Book, address, at, iso
from tieout_database import create_roles, verify_audit
from tieout_reconcile import (
    Kind,
    PeriodKind,
    decide_period,
    export_report,
    import_statement,
    open_period,
    propose_period,
    verify_signatures,
    worked_breaks,
)
from tieout_reconcile.working import claim_load
from tieout_web.access import create_token
from web.service import PASSWORD, browser, fill, key_of, logged_in, people, served


def desk_dsn(dsn: str) -> str:
    """The same database, with no right but the desk's."""
    return f"{dsn}{'&' if '?' in dsn else '?'}options=-c%20role%3Dtieout_desk"


@pytest.fixture
async def desk(book: Book) -> AsyncIterator[httpx.AsyncClient]:
    """A shortfall of 1.5 shares, its evidence, a locked period and a report, served with the desk's role alone."""
    may = await book.db.fetchval("select rolsuper or rolcreaterole from pg_roles where rolname = current_user")
    if not may:
        pytest.skip("the test's user may not create roles")
    await fill(book, custody="39")
    await people(book)
    text = f"custodian,account,isin,quantity,basis,as_of\nalpaca,ITN-1,{ISIN},40.5,trade_date,{iso(95)}\n"
    await import_statement(book.dsn, book.file("e.csv", text), key=key_of("pat"))
    for row in await book.db.fetch("select load, sha256 from recon.loads order by load"):
        await claim_load(book.db, row["load"], bytes.fromhex(row["sha256"]), key_of("pat"))
    await open_period(book.dsn, "p1", at(0), at(39), key_of("pat"))
    await propose_period(book.dsn, "p1", key_of("pat"))
    await decide_period(book.dsn, PeriodKind.SIGN, "p1", key_of("anna"))
    await export_report(book.dsn, None, key_of("issuer"))
    await create_roles(book.db)
    async with served(desk_dsn(book.dsn)) as client:
        yield client


async def work(asks: httpx.AsyncClient, path: str, kind: str, **wish: str) -> None:
    page = (await asks.get(path)).text
    fields = {name: re.findall(f'name="{name}" value="([^"]*)"', page)[0] for name in ("form_token", "after")}
    done = await asks.post(path, data={"kind": kind, **wish, **fields})
    assert done.status_code == 303, (kind, done.text)


async def test_every_action_of_the_desk_is_done_with_the_desks_role(desk: httpx.AsyncClient, book: Book) -> None:
    posts = {r.path for r in routes() if "POST" in (r.methods or ())}
    assert posts == {"/login", "/logout", "/desk/breaks/{identity}"}, "a new action is one to be done here"
    wrong = await browser(desk).post("/login", data={"name": "pat", "password": "wrong wrong wrong"})
    assert wrong.status_code == 401
    pat, anna = await logged_in(desk, "pat"), await logged_in(desk, "anna")
    (found,) = await worked_breaks(book.dsn)
    path = f"/desk/breaks/{found.finding.id}"
    load = str(await book.db.fetchval("select max(load) from recon.loads where kind = 'statement'"))
    lines = {"line": "unsettled_trade", "document": load, "shares": "1.5", "days": "5"}
    told = {"since": "2026-11-02T15:00", "document": load}

    await work(pat, path, "assign", assignee="anna")
    await work(pat, path, "explain", note="seen")
    await work(pat, path, "propose", **lines)
    await work(anna, path, "reject", proposal=await pending(anna, path))
    await work(pat, path, "propose", **lines)
    await work(anna, path, "approve", proposal=await pending(anna, path))
    await work(pat, path, "reopen")
    await work(pat, path, "cover", assets="bills", shares="1", **told)
    await work(pat, path, "notify", recipient="the supervisor", **told)
    (worked,) = await worked_breaks(book.dsn)
    assert {a.kind for a in worked.actions} == set(Kind)
    token = re.findall('name="form_token" value="([^"]*)"', (await pat.get(path)).text)[0]
    assert (await pat.post("/logout", data={"form_token": token})).status_code == 303
    assert (await pat.get("/desk")).status_code == 303
    assert (await verify_audit(book.db))[1] == []
    assert await verify_signatures(book.dsn) == []


async def pending(asks: httpx.AsyncClient, path: str) -> str:
    return str(re.findall(r"Decide on proposal (\d+)", (await asks.get(path)).text)[0])


def routes() -> list[APIRoute]:
    """What every module with a router serves."""
    modules = [importlib.import_module(f"tieout_web.{m.name}") for m in pkgutil.iter_modules(tieout_web.__path__)]
    found = [route for module in modules if hasattr(module, "ROUTER") for route in module.ROUTER.routes]
    return [route for route in found if isinstance(route, APIRoute)]


async def test_every_page_and_answer_is_served_with_the_desks_role(desk: httpx.AsyncClient, book: Book) -> None:
    token = await create_token(book.db, "x", ["breaks:read", "reports:read"], 5, key_of("ada"))
    anna = await logged_in(desk, "anna")
    (found,) = await worked_breaks(book.dsn)
    signature = await book.db.fetchval("select signature from ledger.events limit 1")
    values: dict[str, Any] = {"symbol": "AAPLx", "identity": found.finding.id, "name": "p1", "number": 1,
                              "signature": signature, "address": address("ap")}  # fmt: skip
    for route in routes():
        if "GET" not in (route.methods or ()) or route.path == "/v1/events/stream":
            continue
        path = route.path.format(**values)
        seen = await anna.get(path, headers={"Authorization": f"Bearer {token}"})
        # the compatible shapes tell a shortfall by 503
        wanted = {200, 503} if path.startswith("/compat/") else {200}
        assert seen.status_code in wanted, (path, seen.text)
        assert "published views only" not in seen.text, path
    checks = (await desk.get("/readyz")).json()["checks"]
    assert (checks["database"], checks["schema"], checks["audit chain"]) == ("ok", "ok", "ok")
    # what was learned since is computed by a run that is stored nowhere
    runs = await book.db.fetchval("select count(*) from recon.runs")
    assert (await anna.get("/desk/periods/p1?later=true")).status_code == 200
    assert await book.db.fetchval("select count(*) from recon.runs") == runs
    async with desk.stream("GET", "/v1/events/stream?only=state") as stream:
        assert stream.status_code == 200


async def test_five_wrong_passwords_lock_a_name_with_the_desks_role_too(desk: httpx.AsyncClient) -> None:
    wrong = {"name": "pat", "password": "wrong wrong wrong"}
    assert [(await desk.post("/login", data=wrong)).status_code for _ in range(5)] == [401] * 5
    locked = await desk.post("/login", data={"name": "pat", "password": PASSWORD})
    assert locked.status_code == 429
