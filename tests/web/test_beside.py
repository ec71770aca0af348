"""Networks, bridges, actions, custody legs, venues, holders and periods: each figure is the report's, to the unit."""

import asyncio
import hashlib
import json
import re
from collections.abc import AsyncIterator
from datetime import date
from fractions import Fraction
from html import unescape
from pathlib import Path
from typing import Any

import httpx
import pytest

import tieout_reconcile
import tieout_reconcile.working
from reconcile import test_settlement as settlement
from reconcile.builders import ISIN, ONE, Book, at, iso, issue, step
from reconcile.test_actions import moved
from reconcile.test_elsewhere import BRIDGE, CHAINS, COLD, HOT, VENUE, line, message, reading, stocked
from reconcile.test_wrappers import escrowing, wrapped
from tieout_reconcile import (
    PeriodKind,
    Statement,
    attach_statement,
    decide_period,
    export_report,
    open_period,
    propose_period,
    sign_statement,
    values_beside,
)
from tieout_reconcile.reports import bundle
from tieout_web.beside import beside
from tieout_web.formatting import quantity
from web.service import key_of, logged_in, people, served


async def elsewhere(book: Book) -> None:
    """One of each: a network, a wrapper, a bridge message, a step, a deposit, a trade, a loan, lent shares, a venue."""
    registry = CHAINS.replace("decimals = 8", 'decimals = 8\nlarge_share = "0.5"') + BRIDGE + VENUE + HOT + COLD
    await stocked(book, registry)
    sign = await book.burn(33, "ap", 2 * ONE)
    await book.records("chains", reading("50.25", 80, block="21000000"))
    await book.records("chains", reading("7.5", 80, wrapper="wAAPLx", escrowed="7", network="solana"))
    await book.records("bridge", message("M-1", "out", 2 * ONE, 33, signature=sign))
    await book.multiplier(92, 2.0, 0)
    await book.records("actions", step("SPLIT-1", 92, "2"))
    await book.orders(issue("REQ-2", "8"))
    deposit = {"custodian": "alpaca", "account": "ITN-1", "isin": ISIN, "quantity": "8", "kind": "receive",
               "reference": "D-2", "request_id": "REQ-2", "settled_at": iso(89)}  # fmt: skip
    await book.records("movements", deposit)
    columns = "custodian,account,isin,reference,side,quantity,traded_at,settles_on,status,status_at"
    trade = f"alpaca,ITN-1,{ISIN},TRD-9,buy,3,{iso(60)},2026-11-03,pending,"
    await tieout_reconcile.import_trades(book.dsn, book.file("trades.csv", f"{columns}\n{trade}\n"))
    await book.records("venue", line("customer", str(30 * ONE), 50))
    loan = {"custodian": "alpaca", "account": "ITN-1", "isin": ISIN, "reference": "LOAN-4", "quantity": "4",
            "position": "left", "lent_at": iso(10), "document": "GMSLA 7", "recalled_at": iso(20),
            "due_on": "2026-11-04", "collateral_amount": "820.5", "collateral_currency": "USD"}  # fmt: skip
    await book.records("loans", loan)
    mapping = 'basis = "settled"\n[columns]\nisin = "isin"\nquantity = "quantity"\nlent = "lent"\n'
    text = f"isin,quantity,lent\n{ISIN},160.25,4\n"
    await tieout_reconcile.import_statement(
        book.dsn, book.file("lent.csv", text), map_path=book.file("map.toml", mapping), custodian="alpaca",
        account="ITN-1", as_of=at(90),
    )  # fmt: skip
    await book.run()


async def sign_period(book: Book) -> None:
    """Everything handed in by pat; a period up to the end, proposed by both and signed by anna."""
    for row in await book.db.fetch("select load, sha256 from recon.load_row order by load"):
        async with book.db.transaction():
            await tieout_reconcile.working.claim_load(book.db, row["load"], row["sha256"], key_of("pat"))
    await open_period(book.dsn, "2026-11", at(0), at(99), key_of("pat"))
    await book.run(at(99))
    await propose_period(book.dsn, "2026-11", key_of("both"))
    await decide_period(book.dsn, PeriodKind.SIGN, "2026-11", key_of("anna"))


@pytest.fixture
async def full(book: Book) -> AsyncIterator[httpx.AsyncClient]:
    await elsewhere(book)
    await people(book)
    await sign_period(book)
    await book.run()
    async with served(book.dsn) as client:
        yield client


async def reported(book: Book) -> dict[str, Any]:
    data = (await export_report(book.dsn, None, None)).data
    path = Path(book.folder / "report.zip")
    path.write_bytes(data)
    found: dict[str, Any] = json.loads(bundle.unpack(path)[bundle.REPORT])["run"]["instruments"][0]
    return found


def rows_of(page: str, title: str) -> list[list[str]]:
    """The cells of the table in the section of that title, as a reader sees them."""
    section = next(s for s in page.split("<section>") if s.lstrip().startswith(f"<h2>{title}"))
    rows = re.findall(r"<tr[^>]*>(.*?)</tr>", section.partition("<tbody>")[2], re.S)
    return [[_text(c) for c in re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row, re.S)] for row in rows]


def _text(cell: str) -> str:
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", cell)).split())


async def test_each_line_beside_the_figures_is_the_reports(full: httpx.AsyncClient, book: Book) -> None:
    said = await reported(book)
    page = (await full.get("/instruments/AAPLx")).text
    cells = re.findall(r"<dd[^>]*>(.*?)</dd>", page)
    for name in ("in_flight", "escrowed", "other_chains", "liability"):
        assert quantity(said[name]) in cells, name
    # the derivation that is shown gives the liability
    raw = sum(int(said[name]) for name in ("liability_raw", "in_flight")) - int(said["escrowed"])
    shares = raw * Fraction(said["multiplier"]) / 10**8 + Fraction(said["other_chains"])
    assert shares == Fraction(said["liability"])
    (network,) = said["networks"]
    assert rows_of(page, "On other networks") == [
        ["ethereum", "adjusted", "2026-11-02 14:01:20 UTC", "21000000", "archive node", quantity(network["shares"])]
    ]
    (flight,) = said["flights"]
    assert rows_of(page, "In flight")[0][-2:] == [quantity(flight["raw"]), quantity("4")]
    (due,) = said["receivables"]
    assert rows_of(page, "Corporate actions")[0] == [
        "SPLIT-1", "split", "—", due["expires_on"], "evidence" if due["sure"] else "the figures alone",
        quantity(due["shares"]),
    ]  # fmt: skip
    (held,) = said["held"]
    assert rows_of(page, "In custody for tokens") == [["1 line", held["until"], quantity(held["shares"])]]
    (trade,) = said["trades"]
    assert rows_of(page, "Unsettled trades") == [["1 line", "alpaca", "2026-11-03", quantity(trade["shares"])]]
    assert rows_of(page, "Lent, pledged") == [["alpaca", "lent", "4"]]
    assert rows_of(page, "Lent out") == [["1 loan", "alpaca", "recalled", "2026-11-04", "820.5 USD", "4"]]
    # read before the split, at the multiplier that is in force now
    assert rows_of(page, "Wrappers") == [
        ["solana", "wAAPLx", "AAPLx", "2026-11-02 14:01:20 UTC", "not covered", "15", "14", "file"]
    ]
    # accounts and references are the desk's alone
    assert "LOAN-4" not in page
    assert "GMSLA 7" not in page
    assert "TRD-9" not in page
    assert "ITN-1" not in page
    assert "REQ-2" not in page
    val = await logged_in(full, "val")
    desk = (await val.get("/desk/instruments/AAPLx")).text
    assert rows_of(desk, "In custody for tokens") == [["REQ-2", held["until"], quantity(held["shares"])]]
    assert rows_of(desk, "Unsettled trades")[0][:2] == ["TRD-9", "alpaca/ITN-1"]
    assert rows_of(desk, "Lent out")[0][:2] == ["LOAN-4 (GMSLA 7)", "alpaca/ITN-1"]
    (account,) = rows_of(desk, "Custody accounts")
    assert (account[0], account[4], account[5], account[7]) == (
        "alpaca/ITN-1", quantity(said["accounts"][0]["aggregate"]), "4", quantity(said["accounts"][0]["shares"])
    )  # fmt: skip
    for path in ("/desk/instruments/AAPLx", "/desk/periods/2026-11"):
        assert (await full.get(path)).status_code == 303


async def test_by_whose_word_an_escrow_holds_what_it_does_is_shown(book: Book) -> None:
    await escrowing(book)
    await book.records("chains", wrapped("20.5", "21"))
    await book.run()
    async with served(book.dsn) as client:
        page = (await client.get("/instruments/AAPLx")).text
    (row,) = rows_of(page, "Wrappers")
    assert row[-4:] == ["not covered", "20.5", "20", "ledger"]


async def test_holders_and_venues_add_up_to_the_supply(full: httpx.AsyncClient, book: Book) -> None:
    page = (await full.get("/instruments/AAPLx/holders")).text
    said = await reported(book)
    split = rows_of(page, "By venue and role")
    *lines, total = split
    assert sum(int(cells[2].replace(",", "")) for cells in lines) == int(said["supply"])
    assert total[2] == quantity(said["supply"])
    assert {cells[0]: cells[2] for cells in lines}["kraken venue hot"] == quantity(str(10 * ONE))
    holders = rows_of(page, "Holders, the largest first")
    assert sum(int(cells[3].replace(",", "")) for cells in holders) == int(said["supply"])
    assert "add up to the supply, to the raw unit" in page
    assert (await full.get("/instruments/NOPE/holders")).status_code == 404


async def test_a_locked_period_is_shown_as_it_was_signed(full: httpx.AsyncClient, book: Book) -> None:
    signed = (await tieout_reconcile.show_period(book.dsn, "2026-11", later=False)).content
    assert signed is not None
    figures = signed["figures"]["AAPLx"]
    page = (await full.get("/instruments/AAPLx")).text
    (row,) = rows_of(page, "Signed periods")
    assert row[:6] == ["2026-11", "2026-11-02 14:01:39 UTC", figures["verdict"].replace("_", " "),
                       quantity(figures["liability"]), quantity(figures["custody"]),
                       quantity(figures["difference"])]  # fmt: skip
    assert (row[7], row[8].startswith("anna")) == ("both", True)
    pat = await logged_in(full, "pat")
    assert '<a href="/desk/periods/2026-11">' in (await pat.get("/desk")).text
    shown = (await pat.get("/desk/periods/2026-11")).text
    assert rows_of(shown, "Figures")[0][3:] == [
        quantity(figures["multiplier"], 16), *(quantity(figures[n]) for n in ("liability", "custody", "difference")),
    ]  # fmt: skip
    assert "Nothing learned since" in (await pat.get("/desk/periods/2026-11?later=1")).text
    # a statement that comes late
    await book.statement("170", 91)
    later = (await pat.get("/desk/periods/2026-11?later=1")).text
    told = {cells[1]: cells[2:] for cells in rows_of(later, "Learned since")}
    assert told["custody"] == [quantity(figures["custody"]), "170", quantity(str(170 - Fraction(figures["custody"])))]
    assert "positions-" in later
    assert (await pat.get("/desk/periods/nope")).status_code == 404


async def test_what_the_figures_are_worth_stands_on_the_page_with_the_prices_day(
    full: httpx.AsyncClient, book: Book
) -> None:
    assert "Worth" not in (await full.get("/instruments/AAPLx")).text
    await book.records(
        "prices", {"isin": ISIN, "date": "2026-11-01", "price": "10.5", "currency": "USD", "source": "<vendor>"}
    )
    run = await book.run()
    while (await full.get("/instruments/AAPLx")).text.count(run.digest) == 0:
        await asyncio.sleep(0.05)
    (row,) = rows_of((await full.get("/instruments/AAPLx")).text, "Worth")
    (value,) = await values_beside(book.dsn, run)
    assert row[:3] == ["USD", "2026-11-01", "10.5"]
    assert row[3:6] == [quantity(str(v), 2) for v in (value.liability, value.custody, value.difference)]
    assert row[6] == "<vendor>"


async def test_a_practitioners_statement_stands_beside_the_signed_period_only_while_it_holds(
    full: httpx.AsyncClient, book: Book
) -> None:
    async def said() -> tuple[str, list[dict[str, Any]]]:
        listed = (await full.get("/v1/reports")).json()["items"]
        return (await full.get("/instruments/AAPLx")).text, listed[0]["practitioners"]

    data = (await export_report(book.dsn, None, key_of("issuer"), period="2026-11")).data
    path = Path(book.folder / "report.zip")
    path.write_bytes(data)
    page, listed = await said()
    assert "assurance" not in page
    assert listed == []
    digest = hashlib.sha256(bundle.unpack(path)[bundle.REPORT]).hexdigest()
    statement = Statement(
        digest, "Prüfer <&> Partner", "review_at_c_210", "the board's criteria", "unmodified", None, date(2026, 11, 30)
    )
    signed = sign_statement(statement, key_of("outside"))
    file = Path(book.folder / "statement.json")
    file.write_bytes(signed.to_bytes())
    await attach_statement(book.dsn, str(file), signed.public_key, key_of("pat"))
    page, listed = await said()
    words = "Prüfer <&> Partner reviewed this report under AT-C section 210, with limited assurance"
    assert words in unescape(page)
    assert words not in page
    assert signed.public_key in page
    assert [(x["words"].startswith(words), x["public_key"]) for x in listed] == [(True, signed.public_key)]
    await export_report(book.dsn, None, key_of("outside"))
    page, listed = await said()
    assert "assurance" not in page
    assert listed == []


async def test_what_is_told_twice_stands_on_the_desk_alone(book: Book) -> None:
    await settlement.book_of(book, "240")
    await book.records("movements", moved("10.5", 80, "buy", "T-1"))
    await settlement.trades(book, settlement.row())
    (result,) = (await book.run()).instruments
    assert beside(result, True).twice == ()
    (line,) = beside(result, True, each=True).twice
    assert (line.trade, line.place, line.others, line.rule, line.state) == (
        "T-1", "alpaca/ITN-1", "T-1", "reference", "certain",
    )  # fmt: skip
