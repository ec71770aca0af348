"""Corporate actions three ways, end to end: the record, the multiplier's step, the custodian's booking."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from typing import Any

import pytest

import tieout_reconcile
from reconcile.builders import (
    ISIN,
    MINT,
    ONE,
    OTHER_ISIN,
    REGISTRY,
    Book,
    address,
    at,
    codes,
    instrument,
    iso,
    issue,
    memo,
    step,
)
from tieout_reconcile import Period, Verdict
from tieout_reconcile.calendars import PLAIN
from tieout_reconcile.corporate import CorporateAction
from tieout_reconcile.three_way import expiry

SPIN_OFF_ISIN = "US5949181045"


async def outside(book: Book, *, tokens: int = 100, to_slot: int = 100) -> None:
    """A hundred tokens outside against an order, and a hundred shares."""
    await book.commit()
    await book.open_mint()
    await book.mint(10, "treasury", 1000 * ONE)
    await book.transfer(20, "treasury", "ap", tokens * ONE, memo=memo("issue", "REQ-1"))
    await book.track(to_slot)
    await book.registry()
    await book.orders(issue("REQ-1", str(tokens)))


def moved(quantity: str, slot: int, kind: str, reference: str = "M-1", **more: Any) -> dict[str, Any]:
    return {"custodian": "alpaca", "account": "ITN-1", "isin": ISIN, "quantity": quantity, "kind": kind,
            "reference": reference, "settled_at": iso(slot), **more}  # fmt: skip


def period(start: int, end: int) -> Period:
    return Period(at(start), at(end))


async def test_a_declared_split_that_the_custodian_booked_raises_nothing(book: Book) -> None:
    await outside(book)
    await book.multiplier(40, 10.0, 0)
    await book.records("actions", step("SPLIT-1", 40, "10"))
    await book.statement("1000", 90)
    run = await book.run()
    assert run.clean
    assert run.findings == ()


async def test_a_step_without_a_record_is_unannounced_and_one_of_a_cancelled_record_too(book: Book) -> None:
    await outside(book)
    sign_slot = 40
    await book.multiplier(sign_slot, 10.0, 0)
    await book.statement("1000", 90)
    run = await book.run()
    assert codes(run) == ["B13"]
    assert "no corporate action was declared" in run.breaks[0].summary
    assert run.breaks[0].details["slot"] == sign_slot
    await book.records("actions", step("SPLIT-1", 40, "10", status="cancelled"))
    run = await book.run()
    assert codes(run) == ["B13"]
    assert "SPLIT-1 was cancelled" in run.breaks[0].summary


async def test_a_repeated_announcement_is_no_step(book: Book) -> None:
    await outside(book)
    await book.multiplier(40, 10.0, 0)
    await book.multiplier(50, 10.0, 0)
    await book.records("actions", step("SPLIT-1", 40, "10"))
    await book.statement("1000", 90)
    assert (await book.run()).clean


async def test_a_step_of_another_ratio_is_named_with_both(book: Book) -> None:
    await outside(book)
    await book.multiplier(40, 1.0125, 0)
    await book.records("actions", step("DIV-1", 40, "1.0025", kind="dividend", cash_rate="0.26", currency="USD"))
    await book.statement("101.25", 90)
    run = await book.run()
    assert codes(run) == ["B17"]
    assert "1.0025" in run.breaks[0].summary
    assert (run.breaks[0].details["action_id"], run.breaks[0].details["declared"]) == ("DIV-1", "1.0025")


async def test_a_double_is_not_a_wrong_rate_and_a_third_stays_exact(book: Book) -> None:
    await outside(book, tokens=300)
    await book.multiplier(40, 1 / 3, 0)
    await book.records("actions", step("REV-1", 40, "1/3", kind="reverse_split"))
    await book.statement("100", 90)
    run = await book.run()
    assert codes(run) == []
    assert run.verdict is Verdict.TIES_OUT


async def test_a_backdated_step_and_a_record_made_afterwards_are_named(book: Book) -> None:
    await outside(book, to_slot=1000)
    await book.multiplier(900, 10.0, 40)
    await book.records("actions", step("SPLIT-1", 900, "10"))
    await book.statement("1000", 950)
    run = await book.run()
    assert codes(run) == ["B14"]
    assert "after the instant that it names" in run.breaks[0].summary
    await book.records("actions", step("SPLIT-1", 900, "10", announced_at=iso(950)))
    run = await book.run()
    assert {f.code for f in run.breaks} == {"B14"}
    assert any("before the split SPLIT-1 was announced" in f.summary for f in run.breaks)


async def test_an_overridden_announcement_is_named(book: Book) -> None:
    await outside(book)
    await book.multiplier(30, 20.0, 80)
    await book.multiplier(40, 10.0, 60)
    await book.records("actions", step("SPLIT-1", 60, "10"))
    await book.statement("1000", 90)
    run = await book.run()
    assert codes(run) == ["B15"]
    assert "replaced at slot 40" in run.breaks[0].summary


async def test_an_action_that_no_step_applies_is_named_once_its_time_is_over(book: Book) -> None:
    await outside(book)
    await book.statement("100", 90)
    early = (at(0) - timedelta(hours=40)).isoformat()
    fresh = (at(0) - timedelta(hours=30)).isoformat()
    await book.records("actions", step("SPLIT-1", 0, "10", effective_at=fresh, announced_at=early))
    assert (await book.run()).clean
    await book.records("actions", step("SPLIT-1", 0, "10", effective_at=early, announced_at=early))
    run = await book.run()
    assert codes(run) == ["B16"]
    assert run.breaks[0].details["action_id"] == "SPLIT-1"


async def test_a_split_before_the_custodian_books_it_is_a_window_with_quantity_and_expiry(book: Book) -> None:
    await outside(book)
    await book.multiplier(40, 10.0, 0)
    await book.records("actions", step("SPLIT-1", 40, "10", ex_date="2026-11-02", pay_date="2026-11-03"))
    await book.statement("100", 30)
    run = await book.run()
    assert run.verdict is Verdict.TIES_OUT_IN_SETTLEMENT
    assert run.clean
    (window,) = run.findings
    assert (window.code, window.severity, window.shares) == ("B4", "notice", Fraction(900))
    assert window.details == {"action_id": "SPLIT-1", "expires_on": "2026-11-05", "pay_date": "2026-11-03"}
    (line,) = run.instruments[0].receivables
    assert (line.action_id, line.shares, line.sure) == ("SPLIT-1", Fraction(900), True)
    assert run.instruments[0].difference == -900


async def test_a_statement_after_the_step_may_show_either_and_nothing_in_between(book: Book) -> None:
    await outside(book)
    await book.multiplier(40, 10.0, 0)
    await book.records("actions", step("SPLIT-1", 40, "10"))
    await book.statement("100", 60)
    assert codes(await book.run(), notices=True) == ["B4"]
    await book.statement("550", 70)
    run = await book.run()
    assert codes(run) == ["B1"]
    assert run.verdict is Verdict.DOES_NOT_TIE_OUT


async def test_a_window_ends_two_business_days_after_the_step_over_a_holiday(book: Book) -> None:
    closed = '[[calendars]]\nid = "nyse"\nclosed = [2026-11-03]\n'
    await outside(book)
    await book.registry(REGISTRY.replace("decimals = 8", 'decimals = 8\ncalendar = "nyse"') + closed)
    await book.multiplier(40, 10.0, 0)
    await book.records("actions", step("SPLIT-1", 40, "10"))
    await book.statement("100", 30)
    assert (await book.run()).instruments[0].receivables[0].expires_on.isoformat() == "2026-11-05"


async def test_an_expired_window_counts_no_more(book: Book) -> None:
    await outside(book)
    await book.multiplier(40, 10.0, 0)
    late = 4 * 24 * 3600
    await book.db.execute("insert into ledger.slot_row values (101, 100, 'hash101', 'hash100', $1, 1, 1)", at(late))
    await book.db.execute(
        "insert into ledger.coverage_row values ($1, 101, 101, 1)",
        (await book.db.fetchval("select mint from ledger.tracked_row")),
    )
    await book.records("actions", step("SPLIT-1", 40, "10"))
    await book.statement("100", 30)
    run = await book.run(101)
    assert codes(run) == ["B1", "B18"]
    assert next(f for f in run.breaks if f.code == "B18").shares == -900


async def dividend(book: Book, **more: Any) -> None:
    values = {"kind": "dividend", "cash_rate": "1.00", "currency": "USD", "withholding": "0.3", "ex_date": "2026-11-02",
              "record_date": "2026-11-02", "pay_date": "2026-11-03", **more}  # fmt: skip
    await book.records("actions", step("DIV-1", 40, "1.25", **values))


async def test_a_dividend_is_a_receivable_until_its_shares_settle_whichever_comes_first(book: Book) -> None:
    await outside(book)
    await dividend(book)
    # the shares first: bought before the step
    await book.statement("100", 15)
    bought = moved("25", 30, "reinvest", action_id="DIV-1")
    await book.records("movements", bought, declared=period(15, 35))
    early = await book.run(38)
    assert early.verdict is Verdict.TIES_OUT_IN_SETTLEMENT
    assert early.instruments[0].receivables[0].shares == -25
    assert early.clean
    # then the step
    await book.multiplier(40, 1.25, 0)
    done = await book.run()
    assert (done.verdict, done.findings) == (Verdict.TIES_OUT, ())


async def test_a_dividend_whose_step_comes_first_waits_for_its_shares(book: Book) -> None:
    await outside(book)
    await dividend(book)
    await book.multiplier(40, 1.25, 0)
    await book.statement("100", 35)
    await book.records("movements", moved("0", 50, "dividend", action_id="DIV-1", cash="70", currency="USD"),
                       declared=period(35, 60))  # fmt: skip
    run = await book.run()
    assert (run.verdict, codes(run), codes(run, notices=True)) == (Verdict.TIES_OUT_IN_SETTLEMENT, [], ["B4"])
    await book.records("movements", moved("25", 70, "reinvest", "M-2", action_id="DIV-1"), declared=period(60, 80))
    run = await book.run()
    assert (run.verdict, run.findings) == (Verdict.TIES_OUT, ())
    (line,) = run.instruments[0].accounts
    assert (line.stated_at, line.as_of, line.moved, line.shares) == (at(35), at(80), Fraction(25), Fraction(125))


async def test_an_unsettled_reinvestment_trade_takes_the_receivables_place(book: Book) -> None:
    await outside(book)
    await dividend(book)
    await book.multiplier(40, 1.25, 0)
    await book.statement("100", 35)
    header = "custodian,account,isin,reference,side,quantity,traded_at,status,action_id"
    trade = f"{header}\nalpaca,ITN-1,{ISIN},T-1,buy,25,{iso(50)},pending,DIV-1\n"
    await tieout_reconcile.import_trades(book.dsn, book.file("trades.csv", trade))
    run = await book.run()
    assert run.verdict is Verdict.TIES_OUT_IN_SETTLEMENT
    assert codes(run, notices=True) == ["B3"]
    assert run.instruments[0].trades[0].settles_on == "2026-11-03"


@pytest.mark.parametrize(("cash", "found"), [("70", []), ("70.004", []), ("100", ["B19"]), ("69.9", ["B19"])])
async def test_cash_is_rate_times_position_on_record_less_withholding(book: Book, cash: str, found: list[str]) -> None:
    await outside(book)
    await dividend(book)
    await book.multiplier(40, 1.25, 0)
    await book.statement("100", 35)
    await book.records("movements", moved("0", 50, "dividend", action_id="DIV-1", cash=cash, currency="USD"),
                       declared=period(35, 60))  # fmt: skip
    assert codes(await book.run()) == found


async def unpaid(
    book: Book, days_later: int, *movements: dict[str, Any], to_day: int | None = None, **more: Any
) -> Any:
    """A run some days after the pay date of 2026-11-03, every movement known from the statement to a day."""
    await outside(book)
    await dividend(book, **more)
    await book.multiplier(40, 1.25, 0)
    late, known = days_later * DAY, (days_later if to_day is None else to_day) * DAY
    await book.db.execute("insert into ledger.slot_row values (101, 100, 'hash101', 'hash100', $1, 1, 1)", at(late))
    await book.db.execute("insert into ledger.coverage_row values ($1, 101, 101, 1)", MINT)
    await book.statement("100", 35)
    bought = moved("25", 2 * DAY, "reinvest", "M-9", action_id="DIV-1")
    trade = f"{TRADES}\nalpaca,ITN-1,{ISIN},T-1,buy,25,{iso(DAY)},settled,{iso(2 * DAY)},DIV-1\n"
    await tieout_reconcile.import_trades(book.dsn, book.file("trades.csv", trade))
    await book.records("movements", bought, *movements, declared=period(35, known))
    return await book.run(101)


DAY = 24 * 3600
TRADES = "custodian,account,isin,reference,side,quantity,traded_at,status,status_at,action_id"


async def test_a_dividend_whose_cash_never_came_is_named_once_its_days_are_over(book: Book) -> None:
    run = await unpaid(book, 4)
    (told,) = run.breaks
    assert told.code == "B19"
    assert told.details == {
        "action_id": "DIV-1", "references": [], "due": "70", "currency": "USD", "pay_date": "2026-11-03",
        "expires_on": "2026-11-05",
    }  # fmt: skip
    assert "DIV-1, pay date 2026-11-03, has paid no cash by 2026-11-05" in told.summary
    assert "are 70 USD" in told.summary
    assert told.at == datetime(2026, 11, 3, 5, tzinfo=UTC), "the day begins in New York"


async def test_cash_that_is_announced_and_not_settled_is_no_cash(book: Book) -> None:
    pending = moved("0", 50, "dividend", "M-5", action_id="DIV-1", cash="70", currency="USD",
                    traded_at=iso(DAY), settled_at="")  # fmt: skip
    run = await unpaid(book, 4, pending)
    assert [(f.code, f.details["references"]) for f in run.breaks] == [("B19", ["M-5"])]


@pytest.mark.parametrize(
    ("days", "known", "more", "movements"),
    [
        (3, 3, {}, ()),
        (4, 3, {}, ()),
        (4, 4, {"pay_date": ""}, ()),
        (4, 4, {"pay_date": "2026-11-05"}, ()),
        (4, 4, {"record_date": ""}, ()),
        (4, 4, {}, (moved("0", DAY, "dividend", "M-5", cash="70", currency="USD"),)),
        (4, 4, {}, (moved("0", 3 * DAY, "dividend", "M-5", action_id="DIV-1", cash="70", currency="USD"),)),
    ],
)
async def test_cash_is_not_missed_in_time_nor_where_it_may_have_come_unseen(
    book: Book, days: int, known: int, more: dict[str, Any], movements: tuple[dict[str, Any], ...]
) -> None:
    assert codes(await unpaid(book, days, *movements, to_day=known, **more)) == []


async def test_a_custodians_own_reinvestment_stands_for_the_cash(book: Book) -> None:
    assert codes(await unpaid(book, 4)) == ["B19"]
    nobody = f"{TRADES}\nalpaca,ITN-1,{ISIN},T-1,buy,25,{iso(DAY)},settled,{iso(2 * DAY)},\n"
    await tieout_reconcile.import_trades(book.dsn, book.file("trades-2.csv", nobody))
    assert codes(await book.run(101)) == []


async def test_one_event_that_two_custodians_tell_is_one(book: Book) -> None:
    await outside(book)
    await book.multiplier(40, 10.0, 0)
    await book.statement("100", 35)
    told = step("CA-A", 40, "10"), step("CA-B", 41, "10", announced_at=iso(2), ex_date="2026-11-02")
    await book.records("actions", *told)
    await book.records("movements", moved("900", 50, "split", action_id="CA-B"), declared=period(35, 90))
    run = await book.run()
    assert run.clean, run.findings
    assert run.findings == ()
    # told with other terms it is another, and was never applied
    await book.records("actions", step("CA-B", 41, "9"))
    late = await book.run(at(40))
    assert [p.action_id for p in late.instruments[0].receivables] == ["CA-A"]


def test_a_pay_date_far_off_keeps_nothing_open() -> None:
    one = CorporateAction(1, "D", ISIN, "dividend", "announced", at(1), effective_at=at(40), pay_date=date(2036, 1, 2))
    assert expiry(one, None, PLAIN) == date(2027, 2, 4)
    assert expiry(replace(one, pay_date=date(2026, 12, 1)), None, PLAIN) == date(2026, 12, 3)


async def test_shares_under_the_new_isin_count_from_the_change_on(book: Book) -> None:
    await outside(book)
    await book.statement("100", 50, isin=OTHER_ISIN)
    run = await book.run()
    assert codes(run) == ["B6", "B7"]
    unmapped = next(f for f in run.breaks if f.code == "B7")
    assert (unmapped.symbol, unmapped.shares, unmapped.details["isin"]) == ("*", Fraction(100), OTHER_ISIN)
    await book.records("actions", step("ISIN-1", 40, "", kind="isin_change", new_isin=OTHER_ISIN))
    assert (await book.run()).clean


async def test_a_merger_changes_isin_and_multiplier_together(book: Book) -> None:
    await outside(book)
    await book.multiplier(40, 0.5, 0)
    await book.records("actions", step("M-1", 40, "0.5", kind="merger", new_isin=OTHER_ISIN))
    await book.statement("50", 60, isin=OTHER_ISIN)
    assert (await book.run()).clean


async def test_shares_that_two_instruments_would_count_count_for_neither(book: Book) -> None:
    other = address("mint2")
    await outside(book)
    await book.open_mint(mint=other)
    await book.mint(10, "treasury", 1000 * ONE, mint=other)
    await book.transfer(20, "treasury", "ap", 100 * ONE, mint=other)
    await book.track(100, mint=other)
    accounts = '[[custodians.accounts]]\nid = "ITN-2"\ninstruments = ["TSLAx"]\n'
    both = instrument("TSLAx", other, OTHER_ISIN) + REGISTRY
    await book.registry(both)
    await book.orders(issue("REQ-2", "100", symbol="TSLAx"))
    header = "custodian,account,isin,quantity,basis,as_of"
    rows = [f"alpaca,ITN-1,{isin},{n},settled,{iso(60)}" for isin, n in ((ISIN, "0"), (OTHER_ISIN, "100"))]
    await tieout_reconcile.import_statement(book.dsn, book.file("p.csv", "\n".join([header, *rows])))
    assert [i.verdict for i in (await book.run()).instruments] == [Verdict.DOES_NOT_TIE_OUT, Verdict.TIES_OUT]
    await book.records("actions", step("M-1", 40, "", kind="merger", new_isin=OTHER_ISIN))
    run = await book.run()
    assert [i.verdict for i in run.instruments] == [Verdict.INCOMPLETE, Verdict.INCOMPLETE]
    assert [f.symbol for f in run.breaks if f.code == "B7"] == ["AAPLx", "TSLAx"]
    # in an account of its own each is told
    apart = both.replace('id = "ITN-1"', 'id = "ITN-1"\ninstruments = ["AAPLx"]') + accounts
    await book.registry(apart)
    rows = [f"alpaca,ITN-2,{OTHER_ISIN},100,settled,{iso(61)}"]
    await tieout_reconcile.import_statement(book.dsn, book.file("q.csv", "\n".join([header, *rows])))
    run = await book.run()
    assert [(i.symbol, i.custody) for i in run.instruments] == [("AAPLx", Fraction(100)), ("TSLAx", Fraction(100))]
    assert [f for f in run.breaks if f.code == "B7"] == []


async def test_spun_off_shares_are_a_window_of_their_action(book: Book) -> None:
    await outside(book)
    await book.multiplier(40, 1.125, 0)
    await book.records("actions", step("SPIN-1", 40, "1.125", kind="spin_off", new_isin=SPIN_OFF_ISIN))
    header = "custodian,account,isin,quantity,basis,as_of"
    rows = [f"alpaca,ITN-1,{isin},{n},settled,{iso(60)}" for isin, n in ((ISIN, "112.5"), (SPIN_OFF_ISIN, "20"))]
    await tieout_reconcile.import_statement(book.dsn, book.file("p.csv", "\n".join([header, *rows])))
    run = await book.run()
    assert run.clean
    assert [(f.code, f.shares) for f in run.findings] == [("B4", Fraction(20))]


@pytest.mark.parametrize(
    ("pay_date", "last"), [("", date(2026, 11, 4)), ("2026-11-05", date(2026, 11, 9)), ("2036-01-02", date(2027, 2, 4))]
)
async def test_spun_off_shares_that_nobody_sold_or_registered_are_a_break_when_the_actions_days_are_over(
    book: Book, pay_date: str, last: date
) -> None:
    await outside(book)
    await book.multiplier(40, 1.125, 0)
    spun = step("SPIN-1", 40, "1.125", kind="spin_off", new_isin=SPIN_OFF_ISIN, pay_date=pay_date)
    await book.records("actions", spun)
    header = "custodian,account,isin,quantity,basis,as_of"
    for slot, days in ((101, 0), (102, 1)):
        later = datetime(last.year, last.month, last.day, 20, tzinfo=UTC) + timedelta(days=days)
        await book.db.execute("insert into ledger.slot_row values ($1, $2, $3, 'x', $4, 1, 1)", slot, slot - 1,
                              f"hash{slot}", later)  # fmt: skip
        await book.db.execute("insert into ledger.coverage_row values ($1, $2, $2, 1)", MINT, slot)
        stated = (later - timedelta(hours=1)).isoformat()
        rows = [f"alpaca,ITN-1,{isin},{n},settled,{stated}" for isin, n in ((ISIN, "112.5"), (SPIN_OFF_ISIN, "20"))]
        await tieout_reconcile.import_statement(book.dsn, book.file(f"p{slot}.csv", "\n".join([header, *rows])))
    open_, over = await book.run(101), await book.run(102)
    assert [(f.code, f.severity, f.shares) for f in open_.findings] == [("B4", "notice", Fraction(20))]
    assert open_.findings[0].details["expires_on"] == last.isoformat()
    (told,) = over.findings
    assert (told.code, told.severity, told.shares, told.details["action_id"]) == ("B7", "break", Fraction(20), "SPIN-1")
    assert f"it was to be sold and reinvested by {last}" in told.summary
    # registered, it is an instrument's own
    await book.registry(REGISTRY + instrument("NEWx", address("new mint"), SPIN_OFF_ISIN))
    assert [f for f in (await book.run(102)).findings if f.code == "B7"] == []


async def test_cash_in_lieu_explains_a_fraction_that_custody_lost(book: Book) -> None:
    await outside(book)
    await book.statement("100", 35)
    await book.records("actions", step("CIL-1", 40, "", kind="cash_in_lieu", pay_date="2026-11-03"))
    paid = moved("-0.4", 50, "sell", action_id="CIL-1", cash="60", currency="USD")
    await book.records("movements", paid, declared=period(35, 60))
    run = await book.run()
    assert (run.verdict, codes(run), codes(run, notices=True)) == (Verdict.TIES_OUT_IN_SETTLEMENT, [], ["B4"])
