"""The same purchase or sale told as a trade and as a custodian's movement counts once."""

from datetime import timedelta
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

import tieout_reconcile
from reconcile.builders import ISIN, REGISTRY, Book, at, cash, codes, iso, issue, places_asked
from reconcile.test_actions import dividend, moved, outside, period
from reconcile.test_inputs import parse
from reconcile.test_reports import TRUSTED, made
from reconcile.test_settlement import DAY, TODAY, book_of, row, trades
from tieout_reconcile import Run, Verdict, verify_report
from tieout_reconcile.legs import Legs
from tieout_reconcile.movements import CustodyMovement
from tieout_reconcile.reports import bundle
from tieout_reconcile.told_twice import Once, told_once
from tieout_reconcile.trades import Trade

DAYS: dict[str, Any] = {"traded_at": iso(15), "settles_on": "2026-11-03"}
REINVESTED = "custodian,account,isin,reference,side,quantity,traded_at,status,status_at,action_id"


def bought(reference: str = "M-1", quantity: str = "10.5", slot: int = 80, **more: Any) -> dict[str, Any]:
    return moved(quantity, slot, "buy", reference, **more)


def sold(reference: str = "M-1", quantity: str = "-10.5", slot: int = 80, **more: Any) -> dict[str, Any]:
    return moved(quantity, slot, "sell", reference, **more)


def told(run: Run) -> list[tuple[str, tuple[str, ...], Fraction, str, bool]]:
    return [(x.trade, x.others, x.shares, x.rule, x.sure) for x in run.instruments[0].told_twice]


def sizes(run: Run) -> tuple[Any, list[str]]:
    """What is unsettled, and by which trades."""
    (aapl,) = run.instruments
    return aapl.unsettled, [t.reference for t in aapl.trades]


def together(movements: list[dict[str, Any]], side: str = "buy") -> Once:
    """What a pending trade of 10.5 and movements say together, custody being known up to slot 90."""
    trade = Trade(
        2, "alpaca", "ITN-1", ISIN, "T-1", side, Fraction("10.5"), at(15), TODAY + timedelta(days=1), "pending", None
    )  # fmt: skip
    names = list(dict.fromkeys(name for m in movements for name in m))
    text = "\n".join([",".join(names), *(",".join(str(m.get(n, "")) for n in names) for m in movements)])
    found = parse("movements", text).records
    return told_once([trade], found, Legs({}, (), (), ()), {("alpaca", "ITN-1"): at(90)}, at(100))


def unsettled(once: Once) -> Fraction:
    return sum((t.signed for t in once.trades if t.is_unsettled(at(100))), Fraction(0))


async def dividend_short(book: Book, custody: str, slot: int) -> None:
    """125 are owed since a dividend's step, 25 of them by its reinvestment; custody lacks 25 beside it."""
    await outside(book)
    await dividend(book)
    await book.multiplier(40, 1.25, 0)
    await book.statement(custody, slot)


async def reinvested(book: Book, *rows: str) -> None:
    lines = [REINVESTED, *(f"alpaca,ITN-1,{ISIN},{r},DIV-1" for r in rows)]
    await tieout_reconcile.import_trades(book.dsn, book.file("reinvested.csv", "\n".join(lines)))


@pytest.mark.parametrize(
    ("movement", "rule"),
    [
        (bought("T-1"), "reference"),
        (bought(request_id="T-1"), "reference"),
        (moved("10.5", 80, "receive", "T-1"), "reference"),
        (bought(**DAYS), "trade day"),
        (moved("10.5", 80, "receive", "M-1", **DAYS), "trade day"),
        (bought(settles_on=DAYS["settles_on"]), "settlement day"),
    ],
)
def test_a_trade_and_its_booking_are_one(movement: dict[str, Any], rule: str) -> None:
    once = together([movement])
    assert [(x.others, x.shares, x.rule, x.sure) for x in once.lines] == [
        ((movement["reference"],), Fraction("10.5"), rule, True)
    ]
    assert unsettled(once) == 0


@pytest.mark.parametrize("rolled", [False, True])
async def test_a_pending_trade_that_custody_has_booked_hides_no_shortfall(book: Book, rolled: bool) -> None:
    await book_of(book, "229.5" if rolled else "240")
    movement = bought(slot=95 if rolled else 80, **DAYS)
    await book.records("movements", movement, declared=period(90, 99) if rolled else None)
    await trades(book, row())
    run = await book.run()
    assert (run.verdict, codes(run, notices=True)) == (Verdict.DOES_NOT_TIE_OUT, ["B1"])
    assert told(run) == [("T-1", ("M-1",), Fraction("10.5"), "trade day", True)]
    assert sizes(run) == (0, [])
    found = await tieout_reconcile.headroom(book.dsn, "AAPLx", now=run.inputs.as_of_time)
    assert (found.shares, found.ladder) == (Fraction("-10.5"), ())


async def test_a_reinvestment_that_one_file_settles_and_the_other_keeps_pending_is_no_receivable(book: Book) -> None:
    await dividend_short(book, "100", 90)
    await book.records("movements", moved("25", 0, "reinvest", settled_at="", traded_at=iso(50), action_id="DIV-1"))
    await reinvested(book, f"T-1,buy,25,{iso(50)},settled,{iso(60)}")
    run = await book.run()
    assert (run.verdict, codes(run)) == (Verdict.DOES_NOT_TIE_OUT, ["B1"])
    assert not run.instruments[0].receivables


async def test_a_pending_reinvestment_is_a_trade_or_a_receivable_and_not_both(book: Book) -> None:
    await dividend_short(book, "75", 35)
    await book.records("movements", moved("25", 0, "reinvest", settled_at="", traded_at=iso(50), action_id="DIV-1"))
    await trades(book, row(quantity="25", traded_at=iso(50)))
    run = await book.run()
    assert (run.verdict, codes(run)) == (Verdict.DOES_NOT_TIE_OUT, ["B1"])
    assert sizes(run) == (25, ["T-1"])
    assert not run.instruments[0].receivables


async def test_a_purchase_of_just_what_a_dividend_brings_is_taken_for_its_reinvestment(book: Book) -> None:
    await dividend_short(book, "75", 35)
    await trades(book, row(quantity="25", traded_at=iso(50)))
    run = await book.run()
    assert (run.verdict, codes(run, notices=True)) == (Verdict.DOES_NOT_TIE_OUT, ["B1", "B3"])
    assert told(run) == [("T-1", ("DIV-1",), Fraction(25), "action", False)]
    await trades(book, row(quantity="24", traded_at=iso(50)), row("T-2", "26", traded_at=iso(50)), name="others.csv")
    await trades(book, row(quantity="25", status="cancelled", status_at=iso(60)), name="cancelled.csv")
    assert (await book.run()).instruments[0].receivables[0].shares == 25


async def test_of_two_reinvestments_the_one_that_no_movement_tells_is_booked_too(book: Book) -> None:
    await dividend_short(book, "100", 90)
    settled = f"{iso(50)},settled,{iso(60)}"
    await reinvested(book, f"T-1,buy,10,{settled}", f"T-2,buy,15,{settled}")
    await book.records("movements", moved("10", 60, "reinvest", action_id="DIV-1"))
    run = await book.run()
    assert (run.verdict, codes(run)) == (Verdict.DOES_NOT_TIE_OUT, ["B1"])
    # in other portions: one movement for both
    await book.records("movements", moved("25", 60, "reinvest", action_id="DIV-1"))
    await book.statement("125", 95)
    assert (await book.run()).findings == ()


@pytest.mark.parametrize(
    ("what", "movements", "line"),
    [
        ("says no day", [bought()], (("M-1",), "10.5", "quantity", False)),
        ("a part of it", [bought(quantity="4", **DAYS)], (("M-1",), "4", "part", False)),
        ("a part under its reference", [bought("T-1", "4")], (("T-1",), "4", "reference", False)),
        ("of more", [bought(quantity="40", **DAYS)], (("M-1",), "10.5", "part", False)),
        (
            "in two parts",
            [bought(quantity="4", **DAYS), bought("M-2", "6.5", **DAYS)],
            (("M-1", "M-2"), "10.5", "part", False),
        ),
        ("two that it may be", [bought(**DAYS), bought("M-2", **DAYS)], (("M-1",), "10.5", "trade day", False)),
    ],
)
def test_a_purchase_that_may_be_booked_counts_as_booked(
    what: str, movements: list[dict[str, Any]], line: tuple[tuple[str, ...], str, str, bool]
) -> None:
    others, shares, rule, sure = line
    once = together(movements)
    assert [(x.others, x.shares, x.rule, x.sure) for x in once.lines] == [(others, Fraction(shares), rule, sure)], what
    assert unsettled(once) == Fraction("10.5") - Fraction(shares), what


async def test_what_may_be_booked_is_named(book: Book) -> None:
    await book_of(book, "240")
    await book.records("movements", bought())
    await trades(book, row())
    run = await book.run()
    assert (run.verdict, codes(run, notices=True)) == (Verdict.DOES_NOT_TIE_OUT, ["B1", "B3"])
    (notice,) = [f for f in run.findings if f.code == "B3"]
    assert (notice.is_break, notice.shares) == (False, Fraction("10.5"))
    assert notice.details == {"reference": "T-1", "others": ["M-1"], "rule": "quantity"}


async def test_two_purchases_of_one_day_and_one_booking_are_one_booked_and_one_to_come(book: Book) -> None:
    await book_of(book, "240")
    await book.records("movements", bought(**DAYS))
    await trades(book, row(), row("T-2"))
    run = await book.run()
    assert (run.verdict, sizes(run)) == (Verdict.TIES_OUT_IN_SETTLEMENT, (Fraction("10.5"), ["T-2"]))
    # that the other one is settled by its own file leaves one to come all the same
    await trades(book, row(status="settled", status_at=iso(70)), name="later.csv")
    run = await book.run()
    assert (run.clean, sizes(run), told(run)) == (True, (Fraction("10.5"), ["T-2"]), [])
    # each has its own booking
    await book.records("movements", bought("M-2", **DAYS))
    run = await book.run()
    assert (run.verdict, told(run)) == (
        Verdict.DOES_NOT_TIE_OUT, [("T-2", ("M-2",), Fraction("10.5"), "trade day", True)],
    )  # fmt: skip


@pytest.mark.parametrize(
    ("what", "movement"),
    [
        ("another day's", bought(traded_at=iso(-DAY))),
        ("another quantity, and no day", bought(quantity="10.4")),
        ("due on another day", bought(settles_on="2026-11-02")),
        ("booked before it was made", bought(slot=-DAY)),
        ("pending itself", bought(settled_at="", traded_at=iso(15))),
        ("booked after the cut-off", bought(slot=500, **DAYS)),
        ("the other way", sold(**DAYS)),
        ("a split", moved("10.5", 80, "split", "T-1", **DAYS)),
        ("cash alone", moved("0", 80, "buy", "T-1", cash="5", currency="USD", **DAYS)),
    ],
)
def test_another_movement_leaves_a_trade_to_come(what: str, movement: dict[str, Any]) -> None:
    once = together([movement])
    assert (unsettled(once), once.lines) == (Fraction("10.5"), ()), what


@pytest.mark.parametrize(("settlement", "left"), [({}, "10.5"), (cash("2000"), "0")])
async def test_shares_that_came_for_an_order_in_kind_are_no_trade(
    book: Book, settlement: dict[str, str], left: str
) -> None:
    await book_of(book, "261")
    await book.orders(issue("REQ-2", "10.5", status="pending", **settlement))
    await book.records("movements", moved("10.5", 80, "receive", request_id="REQ-2", **DAYS))
    await trades(book, row())
    assert (await book.run()).instruments[0].unsettled == Fraction(left)


async def test_a_receipt_that_a_trade_explains_waits_for_no_tokens(book: Book) -> None:
    await book_of(book, "247.5")
    await book.records("movements", moved("10.5", 80, "receive", **DAYS))
    await trades(book, row(), row("T-2", "3"))
    run = await book.run()
    assert (run.verdict, sizes(run)) == (Verdict.TIES_OUT_IN_SETTLEMENT, (3, ["T-2"]))
    assert run.instruments[0].held == ()
    # nor when its own file has settled it
    settled = row(status="settled", status_at=iso(80), settles_on=TODAY.isoformat())
    await trades(book, settled, name="later.csv")
    assert (await book.run()).verdict is Verdict.TIES_OUT_IN_SETTLEMENT


@pytest.mark.parametrize(
    ("movements", "left", "sure"),
    [
        ([sold("T-1")], 0, True),
        ([sold(**DAYS)], 0, True),
        # what is not certain takes nothing off a sale: that would be more shares
        ([sold()], Fraction("-10.5"), False),
        ([sold(**DAYS), sold("M-2", **DAYS)], Fraction("-10.5"), False),
        ([sold("T-1", "-4")], Fraction("-10.5"), False),
        # the statement is from before it
        ([sold("T-1", slot=95)], Fraction("-10.5"), False),
    ],
)
def test_a_sale_is_gone_by_certain_evidence_alone(movements: list[dict[str, Any]], left: Any, sure: bool) -> None:
    once = together(movements, side="sell")
    assert (unsettled(once), [x.sure for x in once.lines]) == (left, [sure])


async def test_what_custody_took_back_is_to_come_again(book: Book) -> None:
    await book_of(book, "240")
    undone = moved("-10.5", 85, "reversal", "R-1")
    await book.records("movements", bought("T-1"), undone)
    await trades(book, row())
    run = await book.run()
    assert (run.verdict, told(run)) == (Verdict.TIES_OUT_IN_SETTLEMENT, [])
    # the statement is from before it was taken back
    await book.records("movements", undone | {"settled_at": iso(95)})
    assert (await book.run()).instruments[0].unsettled == 0
    # which of two was taken back is not said
    await book.records("movements", undone, bought("M-2"))
    assert (await book.run()).instruments[0].unsettled == 0


async def test_one_reference_in_two_accounts_of_a_custodian_is_one_purchase(book: Book) -> None:
    await book_of(book, "240")
    await book.registry(REGISTRY + '[[custodians.accounts]]\nid = "ITN-2"\n')
    header = "custodian,account,isin,quantity,basis,as_of"
    path = book.file("second.csv", f"{header}\nalpaca,ITN-2,{ISIN},0,settled,{iso(90)}")
    await tieout_reconcile.import_statement(book.dsn, path)
    await book.records("movements", bought("T-1") | {"account": "ITN-2"})
    await trades(book, row())
    run = await book.run()
    assert (codes(run), told(run)) == (["B1"], [("T-1", ("T-1",), Fraction("10.5"), "reference", False)])


async def test_a_trade_that_custody_booked_on_its_day_is_not_overdue(book: Book) -> None:
    await book_of(book, "250.5")
    await trades(book, row(settles_on=TODAY.isoformat()))
    assert codes(await book.run()) == ["B3"]
    await book.records("movements", bought())
    run = await book.run()
    assert (run.clean, told(run)) == (True, [("T-1", ("M-1",), Fraction("10.5"), "day of booking", True)])


async def test_a_report_computes_again_what_was_told_twice(book: Book, tmp_path: Path) -> None:
    await book_of(book, "240")
    await book.records("movements", bought("T-1"))
    await trades(book, row(), row("T-2", "1", "sell"))
    path = await made(book, tmp_path)
    verified = verify_report(path, TRUSTED)
    assert verified.holds, [c.text for c in verified.checks if not c.holds]
    assert "Told twice, counted once" in bundle.unpack(path)[bundle.PAGE].decode()


def test_a_year_of_movements_beside_a_days_trades_is_paired_in_one_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = places_asked(monkeypatch)
    place = ("alpaca", "ITN-1", ISIN)
    due = TODAY + timedelta(days=1)
    trades = [Trade(n, *place, f"T-{n}", "buy", Fraction(n + 1), at(15), due, "pending", None) for n in range(100)]
    moves = [
        CustodyMovement(n, *place, Fraction(10**6 + n), "buy", f"M-{n:05}", traded_at=at(15), settled_at=at(80))
        for n in range(2_000)
    ]
    undone = [
        CustodyMovement(n, *place, -Fraction(10**6 + n), "reversal", f"R-{n}", settled_at=at(81)) for n in range(500)
    ]
    once = told_once(trades, [*moves, *undone], Legs({}, (), (), ()), {("alpaca", "ITN-1"): at(90)}, at(100))
    assert {line.rule for line in once.lines} == {"part"}
    assert len(once.lines) == 100
    assert not unsettled(once)
    assert {other for line in once.lines for other in line.others} == {"M-00500"}
    assert len(looks) <= 10 * (2_000 + 500)
