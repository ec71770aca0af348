"""A book under control: steps, alerts, and receivers that answer as a test wants."""

import asyncio
import hashlib
import hmac
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from reconcile.builders import MINT, ONE, Book
from tieout_reconcile.control import Checker, ControlLimits, Notice, Receiver, list_alerts
from tieout_reconcile.freshness import AgeLimits

SECRET = b"a secret of more than sixteen bytes"
AGES = AgeLimits(10**9, 10**9, 10**9)
LIMITS = ControlLimits(ages=AGES, poll_interval_s=0.05, retry_initial_s=0.01, retry_max_s=0.05, send_timeout_s=1.0)


async def issued(book: Book) -> None:
    """A mint, 1,000 tokens in the treasury, the registry."""
    await book.commit()
    await book.open_mint()
    await book.mint(10, "treasury", 1000 * ONE)
    await book.track(100)
    await book.registry()


async def commit(book: Book, *works: Any) -> None:
    """One more batch with what the works write."""
    await book.commit()
    for work in works:
        await work
    await book.flush()


async def checked(book: Book, limits: ControlLimits = LIMITS) -> list[Notice]:
    """Step until there is nothing more to do; what was told."""
    checker = Checker(limits)
    told: list[Notice] = []
    while True:
        outcome = await checker.step(book.db)
        told += outcome.notices
        if not outcome.more:
            return told


async def firing(book: Book) -> list[tuple[str, str]]:
    """The alerts that fire: name and reason, in order of their beginning."""
    return [(n.labels["alertname"], n.reason) for n in reversed(await list_alerts(book.dsn))]


async def take_back(book: Book, slot: int, sign: str) -> None:
    """A correction: the next batch retracts the event of a transaction."""
    row: Any = await book.db.fetchrow("select * from ledger.event_row where slot = $1 and signature = $2", slot, sign)
    await book.commit()
    await book.db.execute(
        "insert into ledger.retraction_row values ('event', $1, $2, $3, $4, $5, '', $6, $7)",
        slot, row["tx_index"], row["step"], row["child"], MINT, row["batch"], book.batch,
    )  # fmt: skip


Answer = Callable[[web.Request], Any]


@dataclass
class Desk:
    """A receiver: what it was told, and how it answers (a status, or a handler)."""

    answer: int | Answer = 200
    told: list[dict[str, Any]] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    forged: int = 0
    url: str = ""
    name: str = "desk"

    @property
    def receiver(self) -> Receiver:
        return Receiver(self.name, self.url, SECRET)

    async def take(self, request: web.Request) -> Any:
        body = await request.read()
        sent, _, digest = request.headers["Tieout-Signature"].partition(",v1=")
        wanted = hmac.new(SECRET, sent.removeprefix("t=").encode() + b"." + body, hashlib.sha256).hexdigest()
        self.forged += not hmac.compare_digest(wanted, digest)
        answer = self.answer
        if callable(answer):
            return await answer(request)
        if answer < 300:
            self.told.append(json.loads(body))
            self.keys.append(request.headers["Idempotency-Key"])
        return web.Response(status=answer, text="as you like")

    def alerts(self) -> list[tuple[str, str]]:
        """Status and name of each alert told, in order."""
        return [(m["status"], m["alerts"][0]["labels"]["alertname"]) for m in self.told]

    async def until(self, count: int) -> None:
        async with asyncio.timeout(20):
            while len(self.told) < count:
                await asyncio.sleep(0.01)


@asynccontextmanager
async def desk(**values: Any) -> AsyncIterator[Desk]:
    """A receiver on a port of its own."""
    made = Desk(**values)
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", made.take)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    assert site._server is not None
    made.url = f"http://127.0.0.1:{site._server.sockets[0].getsockname()[1]}/hook?token=never-shown"  # type: ignore[attr-defined]
    try:
        yield made
    finally:
        await runner.cleanup()
