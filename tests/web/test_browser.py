"""A real browser: every page with and without JavaScript, live movements, two people, nothing from elsewhere."""

import os
import re
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import httpx
import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, Page, async_playwright

from reconcile.builders import ISIN, ONE, Book, address, at, iso
from tieout_reconcile import import_statement, worked_breaks
from web.service import PASSWORD, fill, key_of, people, served
from web.test_beside import elsewhere, sign_period

CHROMIUM = os.environ.get("TIEOUT_CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is here: apt-get install chromium")
ARGUMENTS = ["--no-sandbox", "--disable-background-networking", "--disable-component-update", "--no-first-run"]
SERIOUS = {"serious", "critical"}


@pytest.fixture
async def chromium(tmp_path: Path) -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        found = await playwright.chromium.launch(
            executable_path=CHROMIUM, args=ARGUMENTS, env={**os.environ, "HOME": str(tmp_path)}
        )
        yield found
        await found.close()


@pytest.fixture
async def desk(book: Book) -> AsyncIterator[httpx.AsyncClient]:
    await fill(book, custody="39")
    await people(book)
    async with served(book.dsn) as client:
        yield client


async def live(page: Page) -> None:
    """Wait until the page hears of movements; a predicate that is polled would be `eval`, which the page forbids."""
    await page.locator("#live-status", has_text=re.compile(r"^\s*Live")).wait_for(state="attached")


async def scrolled(page: Page) -> list[str]:
    """Return the tables that are cut off at this width."""
    cut = "found => found.filter(e => e.scrollWidth > e.clientWidth).map(e => e.ariaLabel)"
    return list(await page.locator(".wide").evaluate_all(cut))


class Watched:
    """A page that tells what went wrong in it, and what it asked of whom."""

    def __init__(self, page: Page, host: str) -> None:
        self.page = page
        self.faults: list[str] = []
        page.on("console", lambda m: self.faults.append(m.text) if m.type in ("error", "warning") else None)
        page.on("pageerror", lambda e: self.faults.append(str(e)))
        page.on("request", lambda r: self.faults.append(r.url) if urlsplit(r.url).netloc not in (host, "") else None)


async def opened(browser: Browser, client: httpx.AsyncClient, **options: Any) -> Watched:
    context = await browser.new_context(base_url=str(client.base_url), **options)
    return Watched(await context.new_page(), client.base_url.netloc.decode())


@pytest.fixture
async def house(book: Book) -> AsyncIterator[httpx.AsyncClient]:
    """Everything that a page may have to show: networks, bridges, venues, a locked period, a break to work on."""
    await elsewhere(book)
    await people(book)
    await sign_period(book)
    async with served(book.dsn) as client:
        yield client


async def log_in(watched: Watched, name: str) -> None:
    await watched.page.goto("/login")
    await watched.page.fill("#name", name)
    await watched.page.fill("#password", PASSWORD)
    await watched.page.click("main button[type=submit]")
    await watched.page.wait_for_url("**/desk")


async def paths(client: httpx.AsyncClient, book: Book) -> list[str]:
    signature = (await client.get("/v1/events")).json()["items"][-1]["signature"]
    found = (await worked_breaks(book.dsn))[0]
    public = ["/", "/instruments/AAPLx", "/instruments/AAPLx/holders", f"/transactions/{signature}",
              f"/accounts/{address('treasury')}", "/health", "/login", "/nothing"]  # fmt: skip
    return [*public, "/desk", f"/desk/breaks/{found.finding.id}", "/desk/instruments/AAPLx", "/desk/periods/2026-11"]


@pytest.mark.parametrize("javascript", [True, False], ids=["with JavaScript", "without JavaScript"])
async def test_every_page_is_complete_has_no_error_and_asks_nobody_else(
    chromium: Browser, house: httpx.AsyncClient, book: Book, javascript: bool
) -> None:
    watched = await opened(chromium, house, java_script_enabled=javascript, viewport={"width": 1280, "height": 900})
    await log_in(watched, "both")
    for path in await paths(house, book):
        watched.faults.clear()
        answer = await watched.page.goto(path)
        assert answer is not None
        assert answer.status == (404 if path == "/nothing" else 200), path
        assert await watched.page.locator("main h1").count() == 1, path
        expected = ["404"] if path == "/nothing" else []
        assert [f for f in watched.faults if not any(e in f for e in expected)] == [], path
        assert await scrolled(watched.page) == [], f"{path} has tables that an office screen cuts off"
    await watched.page.goto("/instruments/AAPLx")
    assert (await watched.page.locator("#liability").inner_text()).strip() == "300.5"
    assert await watched.page.locator("#events tbody tr").count() == 5
    assert await watched.page.locator("figure.chart svg").count() == 1
    assert "anna" in await watched.page.locator("#period-2026-11 ~ td").last.inner_text()


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_no_page_has_a_serious_finding_for_people_who_cannot_see_or_point(
    chromium: Browser, house: httpx.AsyncClient, book: Book, scheme: Any
) -> None:
    phone = {"width": 360, "height": 800}
    watched = await opened(chromium, house, color_scheme=scheme, viewport=phone, bypass_csp=True)
    await log_in(watched, "both")
    for path in await paths(house, book):
        await watched.page.goto(path)
        found = await Axe().run(watched.page)
        serious = [
            (v["id"], v["nodes"][0]["html"][:120]) for v in found.response["violations"] if v["impact"] in SERIOUS
        ]
        assert serious == [], path
        wide = await watched.page.evaluate("document.documentElement.scrollWidth - innerWidth")
        assert wide <= 0, f"{path} is {wide} px wider than a phone"
        assert path != "/" or await scrolled(watched.page) == [], "the reserves have to be scrolled for on a phone"


async def test_the_keyboard_reaches_everything(chromium: Browser, desk: httpx.AsyncClient) -> None:
    watched = await opened(chromium, desk)
    await watched.page.goto("/")
    await watched.page.keyboard.press("Tab")
    assert await watched.page.evaluate("document.activeElement.textContent") == "Skip to the content"
    await watched.page.keyboard.press("Enter")
    await watched.page.keyboard.press("Tab")
    await watched.page.keyboard.press("Tab")
    assert await watched.page.evaluate("document.activeElement.textContent") == "AAPLx"
    await watched.page.keyboard.press("Enter")
    await watched.page.wait_for_url("**/instruments/AAPLx")


async def test_a_mint_appears_while_somebody_looks(chromium: Browser, desk: httpx.AsyncClient, book: Book) -> None:
    watched = await opened(chromium, desk)
    await watched.page.goto("/instruments/AAPLx")
    await live(watched.page)
    async with book.db.transaction():
        await book.commit()
        await book.mint(101, "treasury", 77 * ONE)
        await book.flush()
        await book.db.execute("select pg_notify('tieout_ledger', $1)", str(book.batch))
    row = watched.page.locator("#events tbody tr").first
    # the budget is a second; how long it took is the benchmark's to say
    await row.get_by_text("7,700,000,000").wait_for(timeout=10_000)
    assert await row.locator("td").nth(1).inner_text() == "mint"
    assert watched.faults == []


async def test_one_proposes_and_another_approves(chromium: Browser, desk: httpx.AsyncClient, book: Book) -> None:
    text = f"custodian,account,isin,quantity,basis,as_of\nalpaca,ITN-1,{ISIN},40.5,trade_date,{iso(95)}\n"
    load = (await import_statement(book.dsn, book.file("e.csv", text), key=key_of("pat"))).load
    (found,) = await worked_breaks(book.dsn)
    both, anna = await opened(chromium, desk), await opened(chromium, desk, java_script_enabled=False)
    await log_in(both, "both")
    await both.page.goto(f"/desk/breaks/{found.finding.id}")
    await both.page.select_option("#line", "unsettled_trade")
    await both.page.fill("#document", str(load))
    await both.page.fill("#shares", "1.5")
    await both.page.click("#propose")
    await both.page.wait_for_selector("#status:text('proposed')")
    await both.page.click("#approve")
    assert "somebody else must approve" in await both.page.locator("[role=alert]").inner_text()
    await log_in(anna, "anna")
    await anna.page.click(f"text={found.finding.id}")
    await anna.page.click("#approve")
    await anna.page.wait_for_selector("#status:text('explained')")
    log = await anna.page.locator("ol.log").inner_text()
    assert re.search(r"both.*propose", log)
    assert re.search(r"anna.*approve", log)


async def test_what_is_too_old_looks_so(chromium: Browser, book: Book) -> None:
    await fill(book)
    async with served(book.dsn, chain_age_max_s=1) as client:
        watched = await opened(chromium, client)
        await watched.page.goto("/instruments/AAPLx")
        assert "unknown" in await watched.page.locator(".lead .verdict").inner_text()
        assert "unknown" in await watched.page.locator("#liability").inner_text()
        assert await watched.page.locator(".ripcord").count() == 1


async def test_a_page_left_open_turns_unknown_when_its_figures_grow_too_old(chromium: Browser, book: Book) -> None:
    await fill(book)
    oldest_s = await book.db.fetchval("select extract(epoch from now() - $1)::bigint", at(90))
    async with served(book.dsn, statement_age_max_s=oldest_s + 10) as client:
        pages = [await opened(chromium, client) for _ in range(2)]
        for watched, path in zip(pages, ("/", "/instruments/AAPLx"), strict=True):
            await watched.page.goto(path)
            assert await watched.page.locator(".verdict").first.inner_text() == "ties out"
        for watched in pages:
            await watched.page.wait_for_selector(".verdict.unknown", timeout=20_000)
            assert await watched.page.locator(".ripcord").count() == 1
            assert watched.faults == []


async def test_a_page_left_open_says_that_the_database_is_gone_and_that_it_is_back(
    chromium: Browser, book: Book
) -> None:
    await fill(book)
    name = await book.db.fetchval("select current_database()")
    async with served(book.dsn) as client:
        watched = await opened(chromium, client)
        await watched.page.goto("/")
        other = await asyncpg.connect(book.dsn, database="postgres")
        await other.execute(f'alter database "{name}" allow_connections false')
        await other.execute("select pg_terminate_backend(pid) from pg_stat_activity where datname = $1", name)
        banner = watched.page.get_by_text("The database cannot be reached")
        await banner.wait_for(timeout=20_000)
        await other.execute(f'alter database "{name}" allow_connections true')
        await other.close()
        await banner.wait_for(state="detached", timeout=20_000)


async def test_a_page_left_open_says_when_nobody_serves_it_any_more_and_that_it_grew_too_old(
    chromium: Browser, book: Book
) -> None:
    await fill(book)
    oldest_s = await book.db.fetchval("select extract(epoch from now() - $1)::bigint", at(90))
    async with served(book.dsn, statement_age_max_s=oldest_s + 5) as client:
        watched = await opened(chromium, client)
        await watched.page.goto("/instruments/AAPLx")
        await live(watched.page)
    await watched.page.get_by_text("No connection since").or_(watched.page.get_by_text("too old since")).wait_for()
    await watched.page.get_by_text("read them as unknown").wait_for(timeout=20_000)
    assert set(await watched.page.locator(".verdict").all_inner_texts()) == {"unknown"}
