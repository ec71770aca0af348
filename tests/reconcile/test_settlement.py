"""Unsettled trades: a gap that they equal ties out in settlement, until the day on which they should have settled."""

from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from typing import Any

import pytest

import tieout_reconcile
from reconcile.builders import ISIN, MINT, ONE, REGISTRY, T0, Book, at, codes, iso, issue, memo
from tieout_reconcile import BadInput, Verdict
from tieout_reconcile.trades import Trade

HEADER = "custodian,account,isin,reference,side,quantity,traded_at,settles_on,status,status_at"
TODAY = date(2026, 11, 2)
TOMORROW = TODAY + timedelta(days=1)


def row(reference: str = "T-1", quantity: str = "10.5", side: str = "buy", **more: str) -> str:
    values = {"traded_at": iso(15), "settles_on": TOMORROW.isoformat(), "status": "pending", "status_at": "", **more}
    tail = ",".join(values[name] for name in ("traded_at", "settles_on", "status", "status_at"))
    return f"alpaca,ITN-1,{ISIN},{reference},{side},{quantity},{tail}"


async def trades(book: Book, *rows: str, name: str = "trades.csv") -> tieout_reconcile.Imported:
    return await tieout_reconcile.import_trades(book.dsn, book.file(name, "\n".join([HEADER, *rows])))


async def book_of(book: Book, custody: str) -> None:
    """250.5 shares owed at the cut-off; the custodian's settled statement has ``custody``."""
    await book.commit()
    await book.open_mint()
    await book.mint(10, "treasury", 1000 * ONE)
    await book.transfer(20, "treasury", "ap", 25_050_000_000, memo=memo("issue", "REQ-1"))
    await book.track(100)
    await book.registry()
    await book.orders(issue("REQ-1", "250.5"))
    await book.statement(custody, 90)


async def test_a_gap_that_evidenced_trades_equal_ties_out_in_settlement(book: Book) -> None:
    await book_of(book, "240")
    await trades(book, row(quantity="11.5"), row("T-2", "1", "sell"))
    run = await book.run()
    (aapl,) = run.instruments
    assert run.verdict is Verdict.TIES_OUT_IN_SETTLEMENT
    assert run.clean
    assert (codes(run), codes(run, notices=True)) == ([], ["B3"])
    # shown on both bases, and never added up in silence
    assert aapl.custody == 240
    assert aapl.difference == Fraction("-10.5")
    assert aapl.unsettled == Fraction("10.5")
    assert aapl.custody_traded == Fraction("250.5")
    assert [(t.reference, t.shares) for t in aapl.trades] == [("T-1", Fraction("11.5")), ("T-2", Fraction(-1))]


@pytest.mark.parametrize(
    ("what", "rows", "found"),
    [
        ("one unit short of the gap", [row(quantity="10.49999999")], ["B1"]),
        ("a failed trade", [row(status="failed", status_at=iso(50))], ["B1"]),
        ("a cancelled one", [row(status="cancelled", status_at=iso(50))], ["B1"]),
        ("one already delivered", [row(status="settled", status_at=iso(50))], ["B1"]),
        ("one made after the cut-off", [row(traded_at=iso(200))], ["B1"]),
        ("one that should have settled today", [row(settles_on=TODAY.isoformat())], ["B1", "B3"]),
    ],
)
async def test_what_is_no_unsettled_trade_explains_nothing(
    book: Book, what: str, rows: list[str], found: list[str]
) -> None:
    await book_of(book, "240")
    await trades(book, *rows)
    run = await book.run()
    assert run.verdict is Verdict.DOES_NOT_TIE_OUT, what
    assert codes(run) == found, what


async def test_a_trade_that_failed_later_was_pending_at_the_cut_off(book: Book) -> None:
    await book_of(book, "240")
    await trades(book, row())
    before = await book.run()
    await trades(book, row(status="failed", status_at=iso(5000)), name="later.csv")
    assert (await book.run()).verdict is Verdict.TIES_OUT_IN_SETTLEMENT
    await trades(book, row(status="failed", status_at=iso(60)), name="corrected.csv")
    assert (await book.run()).verdict is Verdict.DOES_NOT_TIE_OUT
    again = await book.run(known_load=before.inputs.known_load)
    assert again.digest == before.digest


async def test_trades_that_do_not_help_leave_settled_custody_alone(book: Book) -> None:
    await book_of(book, "250.5")
    await trades(book, row())
    run = await book.run()
    assert run.verdict is Verdict.TIES_OUT
    assert (await tieout_reconcile.headroom(book.dsn, "AAPLx", now=at(100))).shares == 0


async def test_the_ladder_says_what_may_be_released_on_each_coming_day(book: Book) -> None:
    await book_of(book, "250.5")
    later = (TODAY + timedelta(days=3)).isoformat()
    await trades(book, row("T-1", "10"), row("T-2", "4", "sell"), row("T-3", "2.5", settles_on=later))
    found = await tieout_reconcile.headroom(book.dsn, "AAPLx", now=at(100))
    assert found.shares == 0
    assert found.ladder == ((TOMORROW.isoformat(), Fraction(6)), (later, Fraction("8.5")))
    assert found.to_json()["ladder"][1] == {"settles_on": later, "shares": "8.5"}


async def test_no_file_keeps_a_trade_unsettled_for_years(book: Book) -> None:
    await book_of(book, "240")
    await trades(book, row(settles_on="2036-01-02", traded_at=iso(-13 * 86400)))
    assert (await book.run()).verdict is Verdict.TIES_OUT_IN_SETTLEMENT
    late = await trades(book, row(settles_on="2036-01-02", traded_at=iso(-20 * 86400)), name="older.csv")
    assert late.stored == 1
    run = await book.run()
    assert (run.verdict, codes(run)) == (Verdict.DOES_NOT_TIE_OUT, ["B1", "B3"])


async def test_what_is_sold_is_free_on_no_day(book: Book) -> None:
    await book_of(book, "290.5")
    await trades(book, row(quantity="60", side="sell"))
    found = await tieout_reconcile.headroom(book.dsn, "AAPLx", now=at(100))
    assert (found.shares, found.ladder) == (Fraction(-20), ((TOMORROW.isoformat(), Fraction(-20)),))


@pytest.mark.parametrize(("settles_on", "verdict"), [(TODAY, "incomplete"), (TODAY - timedelta(days=1), "ties_out")])
async def test_a_statement_from_before_what_is_known_to_have_settled_says_nothing(
    book: Book, settles_on: date, verdict: str
) -> None:
    await book_of(book, "250.5")
    await book.orders(issue("REQ-1", "250.5", created_at=iso(-21 * 3600)))
    # stated on the day before: it shows what settled on that day, whenever that was noted
    await book.statement("250.5", -20 * 3600)
    day_before = {"traded_at": iso(-48 * 3600), "settles_on": settles_on.isoformat()}
    await trades(book, row(quantity="40", side="sell", status="settled", status_at=iso(-3600), **day_before))
    early = await book.run(at(80))
    assert early.verdict == verdict
    assert codes(early) == ([] if verdict == "ties_out" else ["B5"])
    assert (await book.run()).clean, "the statement after it counts"
    found = await tieout_reconcile.coverage(book.dsn, at(80))
    assert found.verdict == verdict


DAY = 24 * 3600


async def a_day_later(book: Book, order: dict[str, Any], custody: str = "250.5") -> None:
    """Yesterday's statement, and a second order whose file came since; tokens of 9 went out for it."""
    await book_of(book, custody)
    await book.transfer(95, "treasury", "ap", 9 * ONE, memo=memo(str(order["side"]), "REQ-2"))
    await book.orders(order)
    later = at(DAY + 500)
    await book.db.execute("insert into ledger.slot_row values (101, 100, 'hash101', 'hash100', $1, 1, 1)", later)
    await book.db.execute("insert into ledger.coverage_row values ($1, 101, 101, 1)", MINT)


def later_issue(**more: Any) -> dict[str, Any]:
    return issue("REQ-2", "9", created_at=iso(94), settled_at=iso(DAY + 100), **more)


async def test_a_statement_from_before_the_day_of_a_completed_order_says_nothing(book: Book) -> None:
    await a_day_later(book, later_issue())
    run = await book.run(101)
    assert run.verdict is Verdict.INCOMPLETE
    (told,) = run.breaks
    assert told.code == "B5"
    assert f"is from before the last completed order settled at {at(DAY + 100):%Y-%m-%dT%H:%M:%S}Z" in told.summary
    (line,) = run.instruments[0].accounts
    assert (line.shares, run.instruments[0].custody) == (None, None), "unknown is no zero"
    # as of yesterday it was completed tomorrow, and the statement says what it says
    assert (await book.run(94)).verdict is Verdict.TIES_OUT
    await book.statement("259.5", DAY + 200)
    assert (await book.run(101)).verdict is Verdict.TIES_OUT


async def test_coverage_knows_of_the_last_completed_order_as_a_run_does(book: Book) -> None:
    await a_day_later(book, later_issue())
    run = await book.run(101)
    found = await tieout_reconcile.coverage(book.dsn, 101)
    assert (found.walked, found.verdict) == ((), Verdict.INCOMPLETE)
    assert found.instruments[0].accounts == run.instruments[0].accounts
    assert (await tieout_reconcile.coverage(book.dsn, 94)).verdict is Verdict.TIES_OUT


async def test_the_movement_of_an_order_decides_instead_of_its_completion(book: Book) -> None:
    await a_day_later(book, later_issue())
    moved = {"custodian": "alpaca", "account": "ITN-1", "isin": ISIN, "quantity": "9", "kind": "journal",
             "reference": "J-1", "request_id": "REQ-2", "settled_at": iso(93)}  # fmt: skip
    await book.records("movements", moved, declared=tieout_reconcile.Period(at(90), at(99)))
    run = await book.run(101)
    assert (run.verdict, run.instruments[0].custody) == (Verdict.TIES_OUT, Fraction("259.5"))


@pytest.mark.parametrize(
    "order",
    [
        issue("REQ-2", "9", created_at=iso(94), settled_at=iso(99)),
        issue("REQ-2", "9", created_at=iso(94), status="pending"),
        issue("REQ-2", "9", created_at=iso(94), settled_at=iso(DAY + 100), status="rejected"),
        issue("REQ-2", "9", created_at=iso(94), settled_at=iso(DAY + 900)),
        {"request_id": "REQ-2", "side": "inventory", "raw": 9 * ONE, "status": "completed", "created_at": iso(94),
         "settled_at": iso(DAY + 100)},
    ],
)  # fmt: skip
async def test_what_moved_no_shares_since_leaves_the_statement_alone(book: Book, order: dict[str, Any]) -> None:
    await a_day_later(book, order)
    assert "B5" not in codes(await book.run(101))


async def test_an_order_names_no_account_so_one_that_is_stated_since_may_have_its_shares(book: Book) -> None:
    await a_day_later(book, later_issue(), custody="200")
    await book.registry(REGISTRY + '[[custodians.accounts]]\nid = "ITN-2"\n')
    rows = "\n".join(
        ["custodian,account,isin,quantity,basis,as_of", f"alpaca,ITN-2,{ISIN},59.5,settled,{iso(DAY + 50)}"]
    )
    await tieout_reconcile.import_statement(book.dsn, book.file("second.csv", rows))
    run = await book.run(101)
    assert (run.verdict, codes(run)) == (Verdict.TIES_OUT, [])


async def test_unknown_custody_stays_unknown_whatever_was_traded(book: Book) -> None:
    await book_of(book, "240")
    await trades(book, row("T-9", "10.5"))
    await book.registry((book.folder / "registry.toml").read_text() + '[[custodians.accounts]]\nid = "ITN-2"\n')
    run = await book.run()
    assert run.verdict is Verdict.INCOMPLETE
    assert run.instruments[0].custody_traded is None


async def test_the_same_file_is_taken_once_and_a_bad_one_refused_whole(book: Book) -> None:
    await book_of(book, "240")
    first = await trades(book, row())
    assert (await trades(book, row())).load == first.load
    bad = [
        row(quantity="0"), row("T 2"), row("T-3", status="settled"), row("T-4", settles_on="2026-10-01"),
        row("T-5", side="lend"), row("T-6", traded_at="2026-11-02T10:00:00"), row("T-7"), row("T-7"),
        row("T-8", status_at=iso(50)), row("T-9", status="failed", status_at=iso(1)),
    ]  # fmt: skip
    with pytest.raises(BadInput) as refused:
        await trades(book, *bad, name="bad.csv")
    lines = {problem.partition(":")[0] for problem in refused.value.problems}
    assert lines == {f"line {n}" for n in (2, 3, 4, 5, 6, 7, 9, 10, 11)}
    assert [t.reference for t in await tieout_reconcile.list_trades(book.dsn)] == ["T-1"]


def test_the_settlement_day_comes_at_midnight_of_the_depository() -> None:
    trade = Trade(1, "c", "a", ISIN, "T", "buy", Fraction(1), T0, date(2026, 11, 3), "pending", None)
    assert trade.is_unsettled(datetime(2026, 11, 3, 4, 59, tzinfo=UTC))
    assert not trade.is_unsettled(datetime(2026, 11, 3, 5, 0, tzinfo=UTC))
