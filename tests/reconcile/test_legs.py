"""Orders, the custody legs behind them, fees, lateness, groups and inventory, end to end."""

from datetime import date, timedelta
from fractions import Fraction
from typing import Any

import pytest

from reconcile.builders import (
    ISIN,
    MINT,
    ONE,
    REGISTRY,
    Book,
    address,
    at,
    codes,
    iso,
    issue,
    memo,
    places_asked,
    redeem,
    signature,
)
from tieout_reconcile import Period, Run, Verdict
from tieout_reconcile.calendars import PLAIN
from tieout_reconcile.legs import Legs, match_legs
from tieout_reconcile.movements import CustodyMovement
from tieout_reconcile.orders import Order

DAY = 24 * 3600


async def opened(book: Book, *rows: dict[str, Any], days: int = 0) -> None:
    """1000 tokens in the treasury, nothing outside, proven over some days."""
    await book.commit()
    await book.open_mint()
    await book.mint(10, "treasury", 1000 * ONE)
    await book.track(100)
    for day in range(1, days + 1):
        await book.db.execute(
            "insert into ledger.slot_row values ($1, $2, $3, $4, $5, 1, 1)",
            100 + day, 99 + day, f"hash{100 + day}", f"hash{99 + day}", at(day * DAY),
        )  # fmt: skip
        await book.db.execute("insert into ledger.coverage_row values ($1, $2, $2, 1)", MINT, 100 + day)
    await book.registry()
    if rows:
        await book.orders(*rows)


def leg(quantity: str, slot: int, request_id: str = "", reference: str = "J-1", **more: Any) -> dict[str, Any]:
    return {"custodian": "alpaca", "account": "ITN-1", "isin": ISIN, "quantity": quantity, "kind": "journal",
            "reference": reference, "request_id": request_id, "settled_at": iso(slot), **more}  # fmt: skip


async def legs(book: Book, *rows: dict[str, Any], start: int = -DAY, end: int = 95) -> None:
    await book.records("movements", *rows, declared=Period(at(start), at(end)))


def only(run: Run, code: str) -> Any:
    (found,) = [f for f in run.breaks if f.code == code]
    return found


async def test_a_journal_before_its_release_is_held_and_raises_nothing(book: Book) -> None:
    await opened(book, issue("REQ-1", "50", status="pending"))
    await book.statement("0", 15)
    await legs(book, leg("50", 30, "REQ-1"), start=15)
    run = await book.run()
    assert (run.verdict, codes(run)) == (Verdict.TIES_OUT_IN_SETTLEMENT, [])
    (notice,) = run.findings
    assert (notice.code, notice.severity, notice.shares) == ("C2", "notice", Fraction(50))
    assert [(h.reference, h.shares) for h in run.instruments[0].held] == [("REQ-1", Fraction(50))]
    await book.transfer(60, "treasury", "ap", 50 * ONE, memo=memo("issue", "REQ-1"))
    assert ((await book.run()).verdict, codes(await book.run(), notices=True)) == (Verdict.TIES_OUT, [])


@pytest.mark.parametrize(
    ("moved", "released", "held"),
    [
        (["50"], None, "50"),
        (["50"], "49.5", "0.5"),
        (["50", "-0.5"], None, "49.5"),
        (["50", "-0.5"], "49.5", None),
    ],
    ids=["nothing yet", "tokens out", "fee taken", "both"],
)
async def test_a_deposit_is_held_until_its_tokens_are_out_and_its_fee_is_taken(
    book: Book, moved: list[str], released: str | None, held: str | None
) -> None:
    await opened(book, issue("REQ-1", "50", fee="0.5", status="pending"))
    if released is not None:
        await book.transfer(60, "treasury", "ap", int(Fraction(released) * ONE), memo=memo("issue", "REQ-1"))
    await book.statement("0", 15)
    journal, *fee = moved
    await legs(book, leg(journal, 30, "REQ-1"), *(leg(q, 40, "REQ-1", "F-1", kind="fee") for q in fee), start=15)
    run = await book.run()
    assert codes(run) == []
    assert [h.shares for h in run.instruments[0].held] == ([] if held is None else [Fraction(held)])
    assert run.verdict is (Verdict.TIES_OUT if held is None else Verdict.TIES_OUT_IN_SETTLEMENT)


async def test_a_journal_without_a_release_is_named_when_its_time_is_over(book: Book) -> None:
    await opened(book, issue("REQ-1", "50", status="pending"), days=4)
    await book.statement("0", 15)
    await legs(book, leg("50", 30, "REQ-1"), leg("7", 31, reference="J-2"), start=15, end=4 * DAY)
    assert codes(await book.run(102)) == []
    run = await book.run(103)
    assert codes(run) == ["B2", "C2", "C2"]
    assert {f.request_id: f.shares for f in run.breaks if f.code == "C2"} == {"REQ-1": Fraction(50), None: Fraction(7)}


async def test_a_completed_order_without_its_leg_is_named_only_where_all_movements_are_known(book: Book) -> None:
    await opened(book, issue("REQ-1", "50", settled_at=iso(25)), days=3)
    await book.transfer(20, "treasury", "ap", 50 * ONE, memo=memo("issue", "REQ-1"))
    await book.statement("50", 90)
    assert codes(await book.run(103)) == []
    await legs(book, leg("3", 50, "OTHER"), leg("-3", 51, reference="J-2", kind="reversal"), start=0, end=3 * DAY)
    run = await book.run(103)
    assert codes(run) == ["C1"]
    assert (only(run, "C1").request_id, only(run, "C1").shares) == ("REQ-1", Fraction(50))


def movement(number: int, quantity: int, kind: str = "journal") -> CustodyMovement:
    return CustodyMovement(
        number, "alpaca", "ITN-1", ISIN, Fraction(quantity), kind, f"J-{number:05}", settled_at=at(50)
    )


def loose(*movements: CustodyMovement, orders: tuple[Order, ...] = (), quantity: int = 3) -> Legs:
    wanted = {order.request_id: Fraction(quantity) for order in orders}
    return match_legs(orders, movements, {("alpaca", "ITN-1"): ()}, wanted, PLAIN, at(60))


def test_a_reversal_that_was_itself_taken_back_undoes_one_movement_and_no_more() -> None:
    one, undo, back = movement(1, 3), movement(2, -3, "reversal"), movement(3, 3, "reversal")
    assert loose(one, undo, back).unordered == (back,)
    assert loose(undo, back, one).unordered == (back,)
    assert loose(movement(1, 3, "reversal"), movement(2, -3, "reversal"), movement(3, 3)).unordered == (movement(3, 3),)


def test_a_year_of_movements_without_a_name_is_looked_through_once(monkeypatch: pytest.MonkeyPatch) -> None:
    looks, count = places_asked(monkeypatch), 1_000
    near: list[date] = []

    def is_near(created: date, *_: Any) -> bool:
        near.append(created)
        return True

    monkeypatch.setattr("tieout_reconcile.legs._is_near", is_near)
    orders = tuple(
        Order(n, f"R-{n}", "issue", MINT, Fraction(3), None, "completed", None, None, at(10), at(20))
        for n in range(count)
    )
    moves = [movement(n, 3) for n in range(count)] + [movement(count + n, -3, "reversal") for n in range(count // 2)]
    found = loose(*moves, orders=orders)
    assert (len(found.unordered), found.by_order) == (count // 2, {})
    # all orders are of one day: it is asked about once a movement
    assert len(near) == count // 2
    assert len(looks) <= 10 * count


async def test_a_delivery_without_an_order_and_one_whose_tokens_never_came_are_named(book: Book) -> None:
    await opened(book, redeem("RED-1", "5", status="pending"))
    await book.statement("12", 15)
    await legs(book, leg("-5", 30, "RED-1"), leg("-7", 31, reference="J-2"), start=15)
    run = await book.run()
    assert codes(run) == ["C4", "C4"]
    assert {f.details.get("reference") for f in run.breaks} == {None, "J-2"}


async def test_a_delivered_redemption_is_owed_no_more_though_its_order_still_says_pending(book: Book) -> None:
    await opened(book, issue("REQ-1", "50"), redeem("RED-1", "20", status="pending"))
    await book.transfer(20, "treasury", "ap", 50 * ONE, memo=memo("issue", "REQ-1"))
    await book.transfer(40, "ap", "redemption", 20 * ONE, memo=memo("redeem", "RED-1"))
    await book.statement("50", 35)
    run = await book.run()
    assert (run.verdict, codes(run)) == (Verdict.TIES_OUT, [])
    await legs(book, leg("-20", 50, "RED-1"), start=35)
    run = await book.run()
    assert (run.verdict, codes(run)) == (Verdict.TIES_OUT, [])
    assert run.instruments[0].owed_returns == 0


async def test_a_leg_that_repeats_or_differs_is_named(book: Book) -> None:
    await opened(book, issue("REQ-1", "50"), issue("REQ-2", "10"))
    await book.transfer(20, "treasury", "ap", 50 * ONE, memo=memo("issue", "REQ-1"))
    await book.transfer(21, "treasury", "ap", 10 * ONE, memo=memo("issue", "REQ-2"))
    await book.statement("60", 90)
    await legs(book, leg("50", 18, "REQ-1"), leg("50", 19, "REQ-1", "J-2"), leg("9", 19, "REQ-2", "J-3"))
    run = await book.run()
    assert codes(run) == ["C5", "C7"]
    assert (only(run, "C5").request_id, only(run, "C5").shares) == ("REQ-2", Fraction(-1))
    assert (only(run, "C7").request_id, only(run, "C7").details["reference"]) == ("REQ-1", "J-2")


async def test_a_custodian_of_whole_shares_may_round_a_leg(book: Book) -> None:
    await opened(book, issue("REQ-1", "50.5"))
    await book.registry(REGISTRY.replace("0.000000001", "1"))
    await book.transfer(20, "treasury", "ap", 5_050_000_000, memo=memo("issue", "REQ-1"))
    await book.statement("51", 90)
    await legs(book, leg("51", 18, "REQ-1"))
    run = await book.run()
    assert (run.verdict, codes(run), codes(run, notices=True)) == (Verdict.TIES_OUT, [], ["B9"])


@pytest.mark.parametrize(("raw", "found"), [("9.9", []), ("10", ["C6"]), ("9.8", ["C6"]), ("9.95", ["C5"])])
async def test_a_fee_is_kept_back_and_a_wrong_one_is_told_from_a_wrong_quantity(
    book: Book, raw: str, found: list[str]
) -> None:
    await opened(book, issue("REQ-1", "10", fee="0.1"))
    await book.transfer(20, "treasury", "ap", int(Fraction(raw) * ONE), memo=memo("issue", "REQ-1"))
    await book.statement(raw, 90)
    assert codes(await book.run()) == found


async def test_a_fee_that_custody_took_must_be_the_declared_one(book: Book) -> None:
    await opened(book, redeem("RED-1", "10", fee="0.1"), issue("REQ-1", "10"))
    await book.transfer(20, "treasury", "ap", 10 * ONE, memo=memo("issue", "REQ-1"))
    await book.transfer(30, "ap", "redemption", 10 * ONE, memo=memo("redeem", "RED-1"))
    await book.statement("0", 90)
    await legs(book, leg("10", 18, "REQ-1"), leg("-9.9", 40, "RED-1", "J-2"),
               leg("-0.2", 41, "RED-1", "F-1", kind="fee"))  # fmt: skip
    run = await book.run()
    assert codes(run) == ["C6"]
    assert only(run, "C6").shares == Fraction("0.1")


async def test_a_pending_order_may_be_filled_in_parts_and_a_completed_one_left_in_parts_is_unfinished(
    book: Book,
) -> None:
    await opened(book, issue("REQ-1", "50", status="pending"))
    for slot in (20, 21):
        await book.transfer(slot, "treasury", "ap", 10 * ONE, memo=memo("issue", "REQ-1"))
    await book.statement("20", 90)
    assert (await book.run()).clean
    await book.orders(issue("REQ-1", "50"))
    run = await book.run()
    assert codes(run) == ["C11"]
    assert "in 2 parts" in run.breaks[0].summary
    await book.transfer(22, "treasury", "ap", 40 * ONE, memo=memo("issue", "REQ-1"))
    await book.statement("60", 91)
    await book.orders(issue("REQ-1", "50", status="pending"))
    assert codes(await book.run()) == ["C5"]


async def test_one_raw_unit_too_many_is_no_rounding(book: Book) -> None:
    await opened(book, issue("REQ-1", "10.000000004"), issue("REQ-2", "10.000000004"))
    await book.transfer(20, "treasury", "ap", 10 * ONE, memo=memo("issue", "REQ-1"))
    await book.transfer(21, "treasury", "ap", 10 * ONE + 1, memo=memo("issue", "REQ-2"))
    await book.statement("20.00000001", 90)
    run = await book.run()
    assert codes(run) == ["C5"]
    assert run.breaks[0].request_id == "REQ-2"
    assert run.instruments[0].crossings[0].matches[0].residue == Fraction("0.000000004")


@pytest.mark.parametrize(("slot", "tokens", "found"), [(30, 10, []), (50, 5, []), (50, 10, ["C5"]), (30, 5, ["C5"])])
async def test_an_order_in_shares_astride_an_activation_is_filled_at_the_multiplier_of_its_movement(
    book: Book, slot: int, tokens: int, found: list[str]
) -> None:
    await opened(book, issue("REQ-1", "10"))
    await book.multiplier(20, 2.0, 40)
    await book.records("actions", {"action_id": "S", "isin": ISIN, "kind": "split", "status": "announced",
                                   "announced_at": iso(1), "effective_at": iso(40), "factor": "2"})  # fmt: skip
    await book.transfer(slot, "treasury", "ap", tokens * ONE, memo=memo("issue", "REQ-1"))
    await book.statement(str(tokens * 2), 90)
    assert codes(await book.run()) == found


async def test_several_movements_and_orders_of_one_wallet_find_each_other_by_quantity(book: Book) -> None:
    wallets = {name: address(name) for name in ("one", "two", "three")}
    await opened(
        book,
        issue("SPLIT", "10", wallet=wallets["one"]),
        issue("JOINT-1", "3", wallet=wallets["two"]), issue("JOINT-2", "4", wallet=wallets["two"]),
        issue("GROUP-1", "5", wallet=wallets["three"]), issue("GROUP-2", "6", wallet=wallets["three"]),
    )  # fmt: skip
    for slot, owner, tokens in ((20, "one", 4), (21, "one", 6), (22, "two", 7), (23, "three", 8), (24, "three", 3)):
        await book.transfer(slot, "treasury", owner, tokens * ONE)
    await book.statement("28", 90)
    run = await book.run()
    assert run.clean, run.breaks
    rows = {(c.slot, m.request_id, m.rule, int(m.raw) // ONE) for c in run.instruments[0].crossings for m in c.matches}
    assert rows == {
        (20, "SPLIT", "split", 4), (21, "SPLIT", "split", 6), (22, "JOINT-1", "joint", 3), (22, "JOINT-2", "joint", 4),
        (23, "GROUP-1", "group", 5), (23, "GROUP-2", "group", 3), (24, "GROUP-2", "group", 3),
    }  # fmt: skip
    assert {m.status for c in run.instruments[0].crossings for m in c.matches} == {"derived"}


async def test_two_ways_to_combine_are_no_match(book: Book) -> None:
    await opened(book, issue("REQ-1", "10", wallet=address("ap")))
    for slot, tokens in ((20, 4), (21, 6), (22, 4)):
        await book.transfer(slot, "treasury", "ap", tokens * ONE)
    await book.statement("14", 90)
    assert codes(await book.run()) == ["C1", "C1", "C1", "C2"]


async def test_a_release_long_after_its_journal_and_a_settlement_long_after_the_return_are_late(book: Book) -> None:
    await opened(book, issue("REQ-1", "50", created_at=(at(0) - timedelta(days=10)).isoformat()),
                 redeem("RED-1", "20", status="pending"), days=9)  # fmt: skip
    await book.transfer(20, "treasury", "ap", 50 * ONE, memo=memo("issue", "REQ-1"))
    await book.transfer(40, "ap", "redemption", 20 * ONE, memo=memo("redeem", "RED-1"))
    await book.statement("50", 90)
    run = await book.run(100)
    assert codes(run) == ["C8"]
    assert (run.breaks[0].request_id, run.breaks[0].details) == ("REQ-1", {"business_days": 6})
    await book.statement("50", 9 * DAY)
    assert [f.request_id for f in (await book.run(109)).breaks if f.code == "C8"] == ["RED-1", "REQ-1"]


async def test_a_mint_into_inventory_needs_its_authorisation_where_the_registry_says_so(book: Book) -> None:
    await opened(book)
    await book.statement("0", 90)
    assert (await book.run()).clean
    await book.registry(REGISTRY.replace("decimals = 8", "decimals = 8\ninventory_authorised = true"))
    run = await book.run()
    assert codes(run) == ["C1"]
    assert (only(run, "C1").raw, only(run, "C1").details["kind"]) == (1000 * ONE, "inventory_mint")
    first = {"request_id": "INV-1", "side": "inventory", "quantity": "1000", "status": "completed"}
    await book.orders(first)
    assert (await book.run()).clean
    await book.mint(50, "treasury", 1000 * ONE, memo=memo("mint", "INV-1"))
    assert codes(await book.run()) == ["C1"]
    named = {**first, "request_id": "INV-2", "quantity": "5"}
    await book.mint(60, "treasury", 6 * ONE, memo=memo("mint", "INV-2"))
    await book.orders(named)
    assert codes(await book.run()) == ["C1", "C5"]


async def test_a_transaction_that_stands_twice_or_in_no_block_is_named(book: Book) -> None:
    await opened(book, issue("REQ-1", "10"), issue("REQ-2", "5"))
    sign = await book.transfer(20, "treasury", "ap", 10 * ONE, memo=memo("issue", "REQ-1"))
    await book.transfer(30, "treasury", "ap", 5 * ONE, memo=memo("issue", "REQ-2"))
    await book.statement("15", 90)
    assert (await book.run()).clean
    await book.db.execute("alter table ledger.event_row disable trigger all")
    await book.db.execute("alter table ledger.slot_row disable trigger all")
    await book.db.execute("delete from ledger.slot_row where slot = 30")
    run = await book.run()
    assert codes(run) == ["A4"]
    assert only(run, "A4").details == {"slot": 30}
    number = int(next(n for n in range(1, 20) if signature(n) == sign))
    second = await book.transfer(40, "treasury", "ap", ONE, memo=memo("issue", "REQ-3"), tx=900)
    await book.db.execute("update ledger.event_row set signature = $1 where signature = $2", signature(number), second)
    await book.orders(issue("REQ-3", "1"))
    await book.statement("16", 91)
    assert codes(await book.run()) == ["A2", "A4"]
