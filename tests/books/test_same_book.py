"""One book through every format of a statement, and public figures beside it as a third opinion."""

import json
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path
from typing import Any

import asyncpg
import pytest

import tieout_reconcile
from books import chain, papers
from books.making import make
from books.model import Book, Step
from books.papers import Desk, Held, Statement
from books.windows import add_windows
from support.paths import shared_file
from tieout_database import connect

OTHERS = ("alpaca", "flex")
"""Formats that speak as of trade date; of what is not free they say how much, or nothing."""


def book_of(*traits: str, first: int = 0, after: datetime | None = None) -> Book:
    """The first book whose first stock has these traits, and whose cut-off lies late enough."""
    for seed in range(first, first + 400):
        book = make(seed, traits)
        if len(book.stocks) > 1 and (after is None or book.cut_off > after):
            return book
    raise AssertionError(f"no book of 400 has {traits}")


async def positions_of(dsn: str, folder: Path, form: str) -> dict[str, tuple[Fraction, Any, str, datetime]]:
    """What a statement over all stocks of a book is taken as, in a format; the registry lists them in one account."""
    book, db = book_of(), await connect(dsn)
    place = book.stocks[0].place
    for stock in book.stocks:
        stock.place = place
    held = tuple(
        Held(s.isin, book.held(s, book.cut_off) + Fraction(n, 10**9), {"lent": Fraction(3, 2), "blocked": Fraction(n)})
        for n, s in enumerate(book.stocks, 1)
    )
    if form in ("csv", "flex"):
        held = tuple(Held(h.isin, h.shares, {}) for h in held)
    registry = papers.registry_of(book).split("[[custodians.accounts]]")[0]
    registry += f'[[custodians.accounts]]\nid = "{place.account}"\n'
    whole = db.transaction()
    await whole.start()
    try:
        desk = Desk(folder, book)
        await tieout_reconcile.apply_registry(db, desk.file(f"{registry}\n{_calendars(book)}", "toml"))
        taken = await papers.state(db, desk, Statement(place, book.cut_off, held), form)
        assert taken.rows == len(held)
        rows = await db.fetch("select * from recon.positions where superseded_load is null")
        return {r["isin"]: (Fraction(r["quantity"]), Fraction(r["encumbered"]), r["basis"], r["as_of"]) for r in rows}
    finally:
        await whole.rollback()
        await db.close()


def _calendars(book: Book) -> str:
    text = papers.registry_of(book)
    return text[text.index("[[calendars]]") :]


@pytest.mark.parametrize("form", [*papers.SETTLED, *OTHERS])
async def test_every_format_gives_the_positions_of_the_book(books_dsn: str, tmp_path: Path, form: str) -> None:
    book = book_of()
    found = await positions_of(books_dsn, tmp_path, form)
    basis = "trade_date" if form in OTHERS else "settled"
    encumbered = {n: Fraction(3, 2) + n if form not in ("csv", "flex") else 0 for n in range(1, 5)}
    assert found == {
        s.isin: (book.held(s, book.cut_off) + Fraction(n, 10**9), encumbered[n], basis, book.cut_off)
        for n, s in enumerate(book.stocks, 1)
    }


async def test_a_book_is_told_alike_whatever_its_statements_are_written_in(books_dsn: str, tmp_path: Path) -> None:
    told = []
    for form in papers.SETTLED:
        book = make(21)
        add_windows(book)
        book.misstated[book.stocks[-1].place] = Fraction(-7)
        db = await connect(books_dsn)
        whole = db.transaction(isolation="repeatable_read")
        await whole.start()
        written = await chain.write(db, book)
        (tmp_path / form).mkdir()
        await Desk(tmp_path / form, book, form).hand_in(db)
        run = await tieout_reconcile.run(db, written.cut_off, keep=False)
        told.append(
            [[(f.key, f.shares) for f in run.findings], [(i.symbol, i.custody, i.verdict) for i in run.instruments]]
        )
        await whole.rollback()
        await db.close()
    assert all(one == told[0] for one in told)
    assert told[0][0]


async def listed(dsn: str, folder: Path, book: Book, kind: str, form: str) -> list[dict[str, Any]]:
    """The records of a kind that a book's files become in a format, as plain values; spans beside movements."""
    db = await connect(dsn)
    whole = db.transaction()
    await whole.start()
    try:
        desk = Desk(folder, book)
        await tieout_reconcile.apply_registry(db, desk.file(papers.registry_of(book), "toml"))
        if kind == "movements":
            await papers.move(db, desk, book.stocks[0], form)
        for action in book.actions if kind == "actions" else ():
            assert (await papers.declare(db, desk, action, form)).format == form
        spans = [dict(r) for r in await db.fetch("select custodian, account, from_at, to_at from recon.movement_spans")]
        return [r.to_json() for r in await tieout_reconcile.list_records(db, kind)] + spans
    finally:
        await whole.rollback()
        await db.close()


def without(rows: list[dict[str, Any]], *names: str) -> list[dict[str, Any]]:
    return [{k: v for k, v in row.items() if k not in names} for row in rows]


@pytest.mark.parametrize("form", papers.MOVED[1:])
async def test_every_format_gives_the_movements_of_the_book(books_dsn: str, tmp_path: Path, form: str) -> None:
    book = book_of("movements", "split")
    ours = await listed(books_dsn, tmp_path, book, "movements", "csv")
    theirs = await listed(books_dsn, tmp_path, book, "movements", form)
    assert len(ours) > 5
    assert any(row.get("action_id") for row in theirs)
    # a message calls a journal a receipt or a delivery free of payment, and names the contractual day too
    loose = ("line", "kind", "settles_on")
    assert without(theirs, *loose) == without(ours, *loose)


@pytest.mark.parametrize("trait", ["split", "dividend"])
async def test_a_flex_query_gives_the_movements_and_the_period_of_the_book(
    books_dsn: str, tmp_path: Path, trait: str
) -> None:
    book = next(b for b in map(make, range(400)) if b.stocks[0].has_movements and _told(b) >= {trait, "journal"})
    ours = await listed(books_dsn, tmp_path, book, "movements", "csv")
    theirs = await listed(books_dsn, tmp_path, book, "movements", "flex")
    assert len(ours) > 3
    # Flex names days of settlement where the columns of our own need none, and calls a journal a transfer
    loose = ("line", "kind", "settles_on", "traded_at")
    assert without(_by_reference(theirs), *loose) == without(_by_reference(_at_the_cut_off(ours, book)), *loose)


def _at_the_cut_off(rows: list[dict[str, Any]], book: Book) -> list[dict[str, Any]]:
    """A trade has a day of settlement alone in Flex, and no word of the action whose cash it reinvests."""
    days = [
        row | {"settled_at": f"{row['settled_at'][:10]}T{book.cut_off:%H:%M:%S}Z"}
        if row.get("kind") in ("buy", "sell", "reinvest") else row
        for row in rows
    ]  # fmt: skip
    return [row | {"action_id": None} if row.get("kind") == "reinvest" else row for row in days]


def _told(book: Book) -> set[str]:
    return {"journal", *(leg.kind for leg in papers.shown_legs(book, book.stocks[0]))}


def _by_reference(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(rows, key=lambda row: row.get("reference", ""))


def _ratios(rows: list[dict[str, Any]]) -> list[Fraction]:
    return [Fraction(row["factor"]) for row in rows if row["kind"] != "dividend"]


@pytest.mark.parametrize("form", papers.DECLARING[1:])
async def test_every_format_gives_the_actions_of_the_book(books_dsn: str, tmp_path: Path, form: str) -> None:
    book = next(b for b in map(make, range(400)) if {a.kind for a in b.actions} >= {"split", "dividend"})
    ours = await listed(books_dsn, tmp_path, book, "actions", "csv")
    theirs = await listed(books_dsn, tmp_path, book, "actions", form)
    # no message says by how much a dividend raises the token's multiplier, nor the instant of a change
    loose = ("line", "effective_at", "factor")
    assert without(theirs, *loose) == without(ours, *loose)
    assert _ratios(theirs) == _ratios(ours)


# --- what is public


async def test_the_issuers_public_figures_are_a_third_opinion_and_count_for_nothing(
    books_dsn: str, tmp_path: Path
) -> None:
    sample = shared_file("ledger/xstocks-state/xstocks-proof-of-reserves-2026-09-30.json")
    said = {n["symbol"]: n for n in json.loads(sample.read_text("utf-8"))["nodes"]}["TSLAx"]
    book = book_of(after=datetime(2026, 10, 1, tzinfo=UTC))
    with_it, without = [await _with_opinion(books_dsn, tmp_path / n, book, s) for n, s in (("1", sample), ("2", None))]
    ours, bare = with_it.instrument("TSLAx"), without.instrument("TSLAx")
    assert ours is not None
    assert bare is not None
    (opinion,) = ours.opinions
    assert (opinion.circulating, opinion.held) == (Fraction(said["circulatingSupply"]), Fraction(said["sharesHeld"]))
    assert bare.opinions == ()
    assert (ours.liability, ours.custody, ours.verdict) == (bare.liability, bare.custody, bare.verdict)
    assert [f.key for f in with_it.findings] == [f.key for f in without.findings]


async def _with_opinion(dsn: str, folder: Path, book: Book, sample: Path | None) -> tieout_reconcile.Run:
    folder.mkdir()
    db = await connect(dsn)
    whole = db.transaction(isolation="repeatable_read")
    await whole.start()
    try:
        written = await chain.write(db, book)
        await Desk(folder, book, "csv").hand_in(db)
        if sample is not None:
            await tieout_reconcile.import_records(db, "chains", sample)
        return await tieout_reconcile.run(db, written.cut_off, keep=False)
    finally:
        await whole.rollback()
        await db.close()


async def test_the_public_history_of_a_multiplier_ends_in_the_mints_own_bytes(books_dsn: str) -> None:
    sample = json.loads(shared_file("ledger/xstocks-state/aaplx-scaled-ui-multiplier-history.json").read_text("utf-8"))
    book = book_of("bare", after=datetime(2026, 8, 9, tzinfo=UTC))
    stock = book.stocks[0]
    stock.steps = [_step(n, event) for n, event in enumerate(sample["events"])]
    bits = await _multiplier(books_dsn, book)
    assert bits == bytes.fromhex(sample["oracle_triplet"]["newMultiplierBitsHex"])


def _step(number: int, event: dict[str, Any]) -> Step:
    # two updates of one transaction stand in the order of their instructions: microseconds apart here
    sent = datetime.fromtimestamp(event["blockTimeSec"], UTC).replace(microsecond=number)
    asked = event["effectiveTimestampSec"]
    return Step(
        sent, datetime.fromtimestamp(asked, UTC) if asked else None, float(event["multiplier"]), f"history-{number}"
    )


async def _multiplier(dsn: str, book: Book) -> bytes:
    db: asyncpg.Connection = await connect(dsn)
    whole = db.transaction()
    await whole.start()
    try:
        await chain.write(db, book)
        mint = chain.mint_of(book.stocks[0])
        return bytes(await db.fetchval("select ledger.multiplier_at($1, $2)", mint, book.cut_off))
    finally:
        await whole.rollback()
        await db.close()
