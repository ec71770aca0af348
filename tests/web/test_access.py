"""Who may do what: each role, route and verb; stolen, expired, forged and replayed things are refused."""

import asyncio
import itertools
import re
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from argon2 import Type, extract_parameters

from reconcile.builders import ISIN, Book, iso
from tieout_database import create_roles, list_audit, verify_audit
from tieout_reconcile import NotAllowed, import_statement, worked_breaks
from tieout_web import access
from tieout_web.access import create_token, end_tokens, set_password
from tieout_web.desk import COOKIE
from tieout_web.people import set_person
from web.conftest import REAL_HASHER
from web.service import PASSWORD, browser, fill, key_of, logged_in, people, served

ROLES = {"nobody": None, "viewer": "val", "auditor": "otto", "admin": "ada", "preparer": "pat", "approver": "anna"}
FORM = {"kind": "explain", "note": "seen", "after": "0"}


@pytest.fixture
async def desk(book: Book) -> AsyncIterator[httpx.AsyncClient]:
    """A service with a shortfall of 1.5 shares, and people."""
    await fill(book, custody="39")
    await people(book)
    async with served(book.dsn) as client:
        yield client


def test_passwords_are_hashed_at_the_cost_that_rfc_9106_recommends_and_nobodys_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(access, "_HASHER", REAL_HASHER)
    for made in (access._HASHER.hash(PASSWORD), access._nobodys_hash.__wrapped__()):
        found = extract_parameters(made)
        assert (found.type, found.memory_cost, found.time_cost) == (Type.ID, 65536, 3)


async def only_break(book: Book) -> str:
    (found,) = await worked_breaks(book.dsn)
    return found.finding.id


async def form_of(browser: httpx.AsyncClient, identity: str) -> dict[str, str]:
    """The hidden fields of a break's page: the form token, and what was seen last."""
    page = (await browser.get(f"/desk/breaks/{identity}")).text
    return {name: re.findall(f'name="{name}" value="([^"]*)"', page)[0] for name in ("form_token", "after")}


PUBLIC = ("/", "/instruments/AAPLx", "/instruments/AAPLx/holders", "/health", "/login", "/v1/reserves", "/v1/events",
          "/v1/breaks", "/v1/reports", "/v1/statements", "/healthz", "/version")  # fmt: skip
GUARDED = {"/v1/desk/breaks": "breaks:read", "/v1/reports/1": "reports:read", "/v1/reports/1/bundle": "reports:read"}


async def test_the_permission_matrix(desk: httpx.AsyncClient, book: Book) -> None:
    identity = await only_break(book)
    for role, name in ROLES.items():
        asks = desk if name is None else await logged_in(desk, name)
        for path in PUBLIC:
            assert (await asks.get(path)).status_code == 200, (role, path)
        for path in GUARDED:
            # a login opens nothing of the API: a cookie is for the desk alone
            assert (await asks.get(path)).status_code == 401, (role, path)
        looks = (await asks.get("/desk")).status_code, (await asks.get(f"/desk/breaks/{identity}")).status_code
        assert looks == ((303, 303) if name is None else (200, 200)), role
        fields = {} if name is None else await _token_only(asks, identity)
        acts = await asks.post(f"/desk/breaks/{identity}", data={**FORM, "form_token": "x", **fields})
        wanted = {"nobody": 401, "preparer": 303, "approver": 409}.get(role, 403)
        assert acts.status_code == wanted, (role, acts.text)
        for verb, path in itertools.product(
            ("PUT", "PATCH", "DELETE"), ("/", "/desk", f"/desk/breaks/{identity}", "/v1/reserves")
        ):
            assert (await asks.request(verb, path)).status_code == 405, (role, verb, path)
        for path in ("/", "/v1/reserves", "/v1/desk/breaks", "/desk"):
            assert (await asks.post(path)).status_code == 405, (role, path)


async def _token_only(browser: httpx.AsyncClient, identity: str) -> dict[str, str]:
    page = (await browser.get(f"/desk/breaks/{identity}")).text
    found: list[str] = re.findall('name="form_token" value="([^"]*)"', page)
    return {"form_token": found[0]}


async def test_two_people_explain_a_break_through_the_desk(desk: httpx.AsyncClient, book: Book) -> None:
    identity = await only_break(book)
    text = f"custodian,account,isin,quantity,basis,as_of\nalpaca,ITN-1,{ISIN},40.5,trade_date,{iso(95)}\n"
    load = (await import_statement(book.dsn, book.file("e.csv", text), key=key_of("pat"))).load
    both, anna = await logged_in(desk, "both"), await logged_in(desk, "anna")
    wish = {"kind": "propose", "line": "unsettled_trade", "document": str(load), "shares": "1.5", "days": "5"}
    done = await both.post(f"/desk/breaks/{identity}", data={**wish, **await form_of(both, identity)})
    assert done.status_code == 303
    number = re.findall(r"Decide on proposal (\d+)", (await both.get(f"/desk/breaks/{identity}")).text)[0]
    decide = {"kind": "approve", "proposal": number}
    alone = await both.post(f"/desk/breaks/{identity}", data={**decide, **await form_of(both, identity)})
    assert (alone.status_code, "somebody else must approve" in alone.text) == (409, True)
    # whatever the client sends, the actor is the session's
    forged = {**decide, "actor": "anna", "name": "anna", **await form_of(both, identity)}
    assert (await both.post(f"/desk/breaks/{identity}", data=forged)).status_code == 409
    fields = await form_of(anna, identity)
    assert (await anna.post(f"/desk/breaks/{identity}", data={**decide, **fields})).status_code == 303
    replayed = await anna.post(f"/desk/breaks/{identity}", data={**decide, **fields})
    assert (replayed.status_code, "since" in replayed.text) == (409, True)
    (worked,) = await worked_breaks(book.dsn)
    assert (worked.work.status, [a.actor for a in worked.actions]) == ("explained", ["both", "anna"])
    told = {"kind": "notify", "recipient": "the supervisor <b>", "since": "2026-11-02T15:00", "document": str(load)}
    assert (
        await both.post(f"/desk/breaks/{identity}", data={**told, **await form_of(both, identity)})
    ).status_code == 303
    covers = {"kind": "cover", "assets": "bills", "since": "2026-11-02T15:00", "document": str(load), "shares": "1"}
    assert (
        await both.post(f"/desk/breaks/{identity}", data={**covers, **await form_of(both, identity)})
    ).status_code == 303
    page = (await both.get(f"/desk/breaks/{identity}")).text
    assert re.search(r'id="uncovered">0\.5<', page)
    assert "1 shares by bills" in page
    assert "the supervisor &lt;b&gt;" in page
    assert "part" in (await both.get("/desk")).text
    bad = {**covers, "since": "soon", **await form_of(both, identity)}
    assert (await both.post(f"/desk/breaks/{identity}", data=bad)).status_code == 409
    did = [(e.actor, e.action) for e in await list_audit(book.db, 50)]
    assert {("both", "break.propose"), ("anna", "break.approve"), ("both", "session.begin")} <= set(did)
    assert (await verify_audit(book.db))[1] == []


async def test_a_forged_form_does_nothing(desk: httpx.AsyncClient, book: Book) -> None:
    identity = await only_break(book)
    pat, val = await logged_in(desk, "pat"), await logged_in(desk, "val")
    good = {**FORM, **await form_of(pat, identity)}
    other = (await _token_only(val, identity))["form_token"]
    for token in ("", "x", other, good["form_token"][:-1]):
        refused = await pat.post(f"/desk/breaks/{identity}", data={**good, "form_token": token})
        assert refused.status_code in (403, 422), token
    elsewhere = await pat.post(f"/desk/breaks/{identity}", data=good, headers={"Origin": "https://evil.example"})
    assert elsewhere.status_code == 403
    assert (await pat.post("/logout", data={"form_token": "x"})).status_code == 403
    (worked,) = await worked_breaks(book.dsn)
    assert worked.actions == ()
    assert (await pat.post(f"/desk/breaks/{identity}", data=good)).status_code == 303


async def test_a_session_ends_by_logging_out_by_a_new_password_and_in_time(desk: httpx.AsyncClient, book: Book) -> None:
    identity = await only_break(book)
    pat, again = await logged_in(desk, "pat"), await logged_in(desk, "pat")
    stolen = pat.cookies[COOKIE]
    cookie = (await browser(desk).post("/login", data={"name": "pat", "password": PASSWORD})).headers["set-cookie"]
    for attribute in ("HttpOnly", "SameSite=strict", "Max-Age=28800"):
        assert attribute.lower() in cookie.lower()
    token = (await form_of(pat, identity))["form_token"]
    assert (await pat.post("/logout", data={"form_token": token})).status_code == 303
    assert (await browser(desk, **{COOKIE: stolen}).get("/desk")).status_code == 303
    assert (await again.get("/desk")).status_code == 200
    await set_password(book.db, "pat", "another horse battery", key_of("ada"))
    assert (await again.get("/desk")).status_code == 303
    anna = await logged_in(desk, "anna")
    await book.db.execute("set session_replication_role = replica")
    await book.db.execute("update access.session_row set expires_at = now() - interval '1 second' where name = 'anna'")
    assert (await anna.get("/desk")).status_code == 303
    val = await logged_in(desk, "val")
    await set_person(book.dsn, "val", [], None, key_of("ada"))
    assert (await val.get("/desk")).status_code == 303
    assert (await desk.post("/login", data={"name": "val", "password": PASSWORD})).status_code == 401


async def test_guessing_locks_the_name_for_a_while_even_when_all_at_once(book: Book) -> None:
    await fill(book, custody="39")
    await people(book)
    async with served(book.dsn, login_failures_max=3) as client:
        wrong = {"name": "pat", "password": "wrong wrong wrong"}
        answers = await asyncio.gather(*(client.post("/login", data=wrong) for _ in range(6)))
        assert sorted(a.status_code for a in answers) == [401] * 3 + [429] * 3
        right = await client.post("/login", data={"name": "pat", "password": PASSWORD})
        assert (right.status_code, "too many attempts" in right.text) == (429, True)
        assert (await client.post("/login", data={"name": "anna", "password": PASSWORD})).status_code == 303
        unknown = [await client.post("/login", data={"name": "nobody", "password": "x" * 12}) for _ in range(4)]
        assert [a.status_code for a in unknown] == [401, 401, 401, 429]


async def test_a_token_opens_what_its_scope_says_until_it_ends(desk: httpx.AsyncClient, book: Book) -> None:
    breaks = await create_token(book.db, "exchange", ["breaks:read"], 5, key_of("ada"))
    reports = await create_token(book.db, "auditor", ["reports:read"], 5, key_of("ada"))

    async def status(path: str, token: str, scheme: str = "Bearer") -> int:
        return (await desk.get(path, headers={"Authorization": f"{scheme} {token}"})).status_code

    assert await status("/v1/desk/breaks", breaks) == 200
    assert await status("/v1/desk/breaks", reports) == 403
    assert await status("/v1/reports/1", breaks) == 403
    assert await status("/v1/reports/1", reports) == 404
    for bad in (breaks[:-1], breaks.swapcase(), "x" * 5000, "tieout_" + "A" * 43):
        assert await status("/v1/desk/breaks", bad) == 401, bad[:50]
    assert await status("/v1/desk/breaks", breaks, "Basic") == 401
    assert not await book.db.fetchval("select count(*) from access.token_row where digest = $1", breaks.encode()[:32])
    await end_tokens(book.db, "exchange", key_of("ada"))
    assert await status("/v1/desk/breaks", breaks) == 401
    await book.db.execute("set session_replication_role = replica")
    await book.db.execute("update access.token_row set expires_at = now() where label = 'auditor'")
    assert await status("/v1/reports/1", reports) == 401


async def test_only_an_admin_makes_tokens_and_passwords(book: Book) -> None:
    await people(book)
    for make in (
        create_token(book.db, "x", ["breaks:read"], 5, key_of("pat")),
        create_token(book.db, "x", ["all"], 5, key_of("ada")),
        create_token(book.db, "", ["breaks:read"], 5, key_of("ada")),
        set_password(book.db, "pat", PASSWORD, key_of("pat")),
        set_password(book.db, "pat", "short", key_of("ada")),
        set_password(book.db, "stranger", PASSWORD, key_of("ada")),
    ):
        with pytest.raises(NotAllowed):
            await make


async def test_a_report_and_its_bundle_come_with_the_scope_and_verify(
    desk: httpx.AsyncClient, book: Book, tmp_path: Any
) -> None:
    from tieout_reconcile import export_report, verify_report
    from tieout_reconcile.reports import signing

    made = await export_report(book.dsn, None, key_of("issuer"))
    token = await create_token(book.db, "auditor", ["reports:read"], 5, key_of("ada"))
    headers = {"Authorization": f"Bearer {token}"}
    listed = (await desk.get("/v1/reports")).json()["items"]
    assert [(r["report"], r["sha256"]) for r in listed] == [(1, made.sha256)]
    assert listed[0]["signatures"][0]["public_key"] == signing.public_text(key_of("issuer"))
    body = await desk.get("/v1/reports/1", headers=headers)
    assert body.headers["etag"] == f'"{made.sha256}"'
    bundle = await desk.get("/v1/reports/1/bundle", headers=headers)
    assert bundle.content == made.data
    path = tmp_path / "bundle.zip"
    path.write_bytes(bundle.content)
    assert verify_report(path, signing.public_text(key_of("issuer"))).holds


async def test_with_a_readers_role_all_that_is_public_is_served_and_nothing_else(book: Book) -> None:
    await fill(book, custody="39")
    await people(book)
    token = await create_token(book.db, "x", ["breaks:read", "reports:read"], 5, key_of("ada"))
    await create_roles(book.db)
    joined = "&" if "?" in book.dsn else "?"
    async with served(f"{book.dsn}{joined}options=-c%20role%3Dtieout_reader") as client:
        for path in (*PUBLIC, "/v1/reserves/AAPLx", "/v1/multipliers/AAPLx", "/v1/headroom/AAPLx", "/v1/supply/AAPLx"):
            assert (await client.get(path)).status_code == 200, path
        assert "The lines add up to the supply" in (await client.get("/instruments/AAPLx/holders")).text
        assert (await client.get("/readyz")).json()["checks"]["audit chain"] == "ok"
        for path in ("/v1/desk/breaks", "/v1/reports/1/bundle"):
            refused = await client.get(path, headers={"Authorization": f"Bearer {token}"})
            assert (refused.status_code, "published views only" in refused.text) == (503, True), path
        login = await client.post("/login", data={"name": "pat", "password": PASSWORD})
        assert login.status_code == 503
