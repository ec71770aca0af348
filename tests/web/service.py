"""A served book: the real service over a real database, on a port of its own."""

import asyncio
import hashlib
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from reconcile.builders import ONE, Book, iso, issue, memo, redeem, step
from tieout_reconcile import Run
from tieout_reconcile.reports import signing
from tieout_web.access import set_password
from tieout_web.app import create_app
from tieout_web.people import set_person
from tieout_web.serving import Server
from tieout_web.settings import WebSettings

FOR_EVER_S = 10**10
PASSWORD = "correct horse battery"


def key_of(name: str) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(hashlib.sha256(name.encode()).digest())


async def fill(book: Book, custody: str = "40.5") -> Run:
    """27 tokens outside at 1.5: 40.5 shares owed; issues, a return settled, a stranger's trade, a multiplier step."""
    await book.commit()
    await book.open_mint()
    await book.mint(10, "treasury", 1000 * ONE)
    for number, slot in enumerate((20, 21, 22), 1):
        await book.transfer(slot, "treasury", "ap", 10 * ONE, memo=memo("issue", f"REQ-{number}"))
    await book.transfer(31, "ap", "alice", 5 * ONE, memo="<script>alert(1)</script>")
    await book.multiplier(40, 1.5, 0)
    await book.transfer(50, "ap", "redemption", 3 * ONE, memo=memo("redeem", "RED-1"))
    await book.track(100)
    await book.seal()
    await book.registry()
    await book.orders(*(issue(f"REQ-{n}", "10") for n in (1, 2, 3)), redeem("RED-1", "4.5", settled_at=iso(60)))
    await book.records("actions", step("SPLIT-1", 40, "1.5"))
    await book.statement("30", 35)
    await book.run(39)
    await book.statement(custody, 90)
    return await book.run(100)


async def people(book: Book) -> None:
    """ada is admin, pat prepares, anna approves, both do both, val looks on, otto audits; with the same password."""
    roles = {"ada": ["admin"], "pat": ["preparer"], "anna": ["approver"], "both": ["preparer", "approver"],
             "val": ["viewer"], "otto": ["auditor"]}  # fmt: skip
    for name, held in roles.items():
        admin = None if name == "ada" else key_of("ada")
        await set_person(book.dsn, name, held, signing.public_text(key_of(name)), admin)
    for name in roles:
        await set_password(book.db, name, PASSWORD, key_of("ada"))


def settings(dsn: str, **more: Any) -> WebSettings:
    """Figures never grow old, and nobody asks too often, unless a test says so."""
    given = {"chain_age_max_s": FOR_EVER_S, "statement_age_max_s": FOR_EVER_S, "requests_per_s": 1e6,
             "requests_burst": 10**6, "refresh_interval_s": 0.05, **more}  # fmt: skip
    return WebSettings(dsn, **given)


@asynccontextmanager
async def served(dsn: str, **more: Any) -> AsyncIterator[httpx.AsyncClient]:
    """Serve a database; the client is at the address."""
    app = create_app(settings(dsn, **more))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = Server(app, "127.0.0.1", port)
    task = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
        assert not task.done(), task
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=20) as client:
            yield client
    finally:
        while _BROWSERS:
            await _BROWSERS.pop().aclose()
        server.should_exit = True
        await task


async def logged_in(client: httpx.AsyncClient, name: str) -> httpx.AsyncClient:
    """A browser of its own in which somebody is logged in."""
    own = browser(client)
    answer = await own.post("/login", data={"name": name, "password": PASSWORD})
    assert answer.status_code == 303, answer.text
    return own


_BROWSERS: list[httpx.AsyncClient] = []


def browser(client: httpx.AsyncClient, **cookies: str) -> httpx.AsyncClient:
    """A browser of its own with its own cookies; the service closes it when it ends."""
    own = httpx.AsyncClient(base_url=client.base_url, timeout=20, cookies=cookies)
    _BROWSERS.append(own)
    return own
