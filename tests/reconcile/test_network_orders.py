"""Orders of tokens on other networks: kept, paired with custody, compared with that network's readings."""

import json
from fractions import Fraction
from math import floor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

import tieout_reconcile
from reconcile.builders import REGISTRY, Book, at, codes, iso, issue, memo, redeem
from reconcile.test_elsewhere import message, opened, reading
from reconcile.test_formats import REGISTERED, REQUEST
from reconcile.test_legs import DAY, leg, legs, only
from reconcile.test_reports import KEY, TRUSTED, failed
from tieout_reconcile import BadInput, Run, Verdict, export_report, verify_report
from tieout_reconcile.files import InputFile
from tieout_reconcile.formats import parse_order_file, replay_order_file
from tieout_reconcile.network_orders import check_networks, network_findings
from tieout_reconcile.orders import Order, parse_orders
from tieout_reconcile.other_chains import ChainReading

NOTHING = leg("0", 20, "", "N-1", kind="dividend", cash="1", currency="USD")


def there(row: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {**row, "network": "ethereum", **more}


async def history(book: Book, *orders: dict[str, Any], days: int = 5) -> None:
    """A hundred tokens here against their order and journal; orders on Ethereum beside it; proven over some days."""
    await opened(book)
    for day in range(1, days + 1):
        await book.db.execute(
            "insert into ledger.slot_row values ($1, $2, $3, $4, $5, 1, 1)",
            100 + day, 99 + day, f"hash{100 + day}", f"hash{99 + day}", at(day * DAY),
        )  # fmt: skip
    await book.track(100 + days, from_slot=101)
    if orders:
        await book.orders(*orders)


async def moved(book: Book, custody: str, *rows: dict[str, Any], days: int = 5) -> None:
    """What custody had at first, and all that moved since; a movement of nothing, so that a file is never empty."""
    await book.statement(custody, 5)
    await legs(book, NOTHING, *rows, start=5, end=days * DAY)


def mine(run: Run, request_id: str) -> list[str]:
    return sorted(f.code for f in run.breaks if f.request_id == request_id)


async def test_a_journal_of_an_order_on_another_network_has_its_order(book: Book) -> None:
    await history(book, there(issue("ETH-1", "50", created_at=iso(30), settled_at=iso(50))))
    await moved(book, "100", leg("50", 40, "ETH-1"))
    await book.records("chains", reading("0", 20), reading("50", 5 * DAY - 60))
    run = await book.run(105)
    assert (run.verdict, codes(run, notices=True)) == (Verdict.TIES_OUT, [])
    assert [o.network for o in await tieout_reconcile.list_orders(book.dsn)] == ["solana", "ethereum"]
    assert await book.db.fetchval("select network from recon.orders where request_id = 'ETH-1'") == "ethereum"


async def test_an_order_on_another_network_never_stands_for_a_crossing_here(book: Book) -> None:
    await history(book, there(issue("ETH-1", "70", created_at=iso(30), settled_at=iso(50))))
    await book.transfer(60, "treasury", "ap", 70 * 10**8, memo=memo("issue", "ETH-1"))
    run = await book.run(105)
    found = only(run, "C1")
    assert (found.raw, found.request_id) == (70 * 10**8, None)
    assert 'names "ETH-1", an order to issue on ethereum' in found.summary


STOCK = REGISTERED.instruments[0]


def ordered(side: str, shares: str, start: int, end: int | None, request_id: str = "ETH-1") -> Order:
    status = "pending" if end is None else "completed"
    return Order(1, request_id, side, STOCK.mint, Fraction(shares), None, status, None, None, at(start),
                 None if end is None else at(end), network="ethereum")  # fmt: skip


def held(quantity: str, slot: int, unit: str = "adjusted", decimals: int | None = None) -> ChainReading:
    return ChainReading(
        1, STOCK.mint, "ethereum", unit, Fraction(quantity), Fraction(0), decimals, None, None, at(slot), "node"
    )


def compared(orders: list[Order], *readings: ChainReading, multiplier: Fraction = Fraction(1)) -> list[Any]:
    """Code, shares and request of each break, and of a notice its orders."""
    found = check_networks(STOCK, orders, readings, (), lambda _: multiplier, at(1000))
    return [
        (f.code, f.shares, f.request_id if f.is_break else tuple(f.details["request_ids"]))
        for f in network_findings(STOCK, found, at(1000))
    ]


@pytest.mark.parametrize(
    ("order", "last", "told"),
    [
        (ordered("issue", "50", 30, 50), "70", []),
        (ordered("redeem", "15", 30, 50), "5", []),
        (ordered("issue", "50", 30, 50), "20", [("C2", 50, "ETH-1")]),
        (ordered("redeem", "15", 30, 50), "20", [("C4", 15, "ETH-1")]),
        (ordered("issue", "50", 30, 50), "73", [("C1", 3, None)]),
        (ordered("issue", "50", 30, 50), "69", [("C3", -1, None)]),
        (ordered("issue", "50", 30, 50), "69.999999", [("C3", Fraction(-1, 10**6), None)]),
    ],
)
def test_orders_are_compared_with_what_the_network_held_before_and_after(
    order: Order, last: str, told: list[Any]
) -> None:
    assert compared([order], held("20", 20), held(last, 900)) == told


@pytest.mark.parametrize(
    ("orders", "readings"),
    [
        ([ordered("issue", "50", 30, 50)], [held("20", 40), held("999", 900)]),  # a reading in its midst
        ([ordered("issue", "50", 30, 50)], [held("70", 60), held("70", 900)]),  # none before it
        ([ordered("issue", "50", 30, 50)], [held("20", 20), held("999", 49)]),  # none after it
        ([ordered("issue", "50", 30, 50)], []),
        # a pending order may have moved its tokens already
        ([ordered("issue", "50", 30, 50), ordered("issue", "9", 10, None, "P")], [held("20", 20), held("999", 900)]),
    ],
)
def test_what_no_two_readings_enclose_is_unknown_and_no_break(
    orders: list[Order], readings: list[ChainReading]
) -> None:
    assert compared(orders, *readings) == [("B8", 50, ("ETH-1",))]


def test_a_change_of_the_multiplier_within_an_order_leaves_it_unknown() -> None:
    def multiplier(when: Any) -> Fraction:
        return Fraction(1) if when < at(40) else Fraction(2)

    orders, readings = [ordered("issue", "50", 30, 50)], [held("20", 20), held("999", 900)]
    assert check_networks(STOCK, orders, readings, (), multiplier, at(1000)).stretches == ()


@given(
    st.lists(st.tuples(st.sampled_from(["issue", "redeem"]), st.integers(1, 10**12)), min_size=1, max_size=8),
    st.sampled_from([6, 8, 18]),
    st.fractions(Fraction(1, 10), 20, max_denominator=10**4),
    st.integers(-3, 3),
)
def test_a_network_that_did_what_its_orders_say_ties_to_the_unit(
    moves: list[tuple[str, int]], decimals: int, multiplier: Fraction, extra: int
) -> None:
    orders, units = [], 10**30
    first = units
    for n, (side, nano) in enumerate(moves):
        shares = Fraction(nano, 10**9)
        orders.append(ordered(side, "1", 30 + n, 50 + n, f"R-{n}"))
        orders[-1] = replace(orders[-1], shares=shares)
        units += (1 if side == "issue" else -1) * floor(shares / multiplier * 10**decimals)
    # each order may be rounded by less than a unit; beyond that it shows
    moved = extra * (2 * len(moves) + 1)
    told = compared(
        orders, held(str(first), 20, "raw", decimals), held(str(units + moved), 900, "raw", decimals),
        multiplier=multiplier,
    )  # fmt: skip
    assert bool(told) is bool(extra)


async def test_bridge_messages_count_between_two_readings(book: Book) -> None:
    await history(book, there(issue("ETH-1", "50", created_at=iso(30), settled_at=iso(50))))
    sign = await book.burn(60, "ap", 10 * 10**8)
    out = message("M-1", "out", 10 * 10**8, 60, signature=sign, delivered_at=iso(70))
    await book.records("bridge", out)
    await book.records("chains", reading("20", 20), reading("80", 5 * DAY - 60))
    assert not [f for f in (await book.run(105)).breaks if f.code != "B6"]


async def test_a_completed_order_elsewhere_without_its_journal_is_told(book: Book) -> None:
    row = there(issue("ETH-1", "50", created_at=iso(30), settled_at=iso(50)))
    await history(book, row, there(redeem("ETH-2", "5", created_at=iso(31), settled_at=iso(51))))
    await moved(book, "100")
    await book.records("chains", reading("0", 20), reading("45", 5 * DAY - 60))
    run = await book.run(105)
    assert (mine(run, "ETH-1"), mine(run, "ETH-2")) == (["C1"], ["C3"])
    assert "no custody movement is behind it" in next(f for f in run.breaks if f.request_id == "ETH-1").summary


async def test_a_journal_of_another_quantity_is_told_and_one_without_any_order_still_is(book: Book) -> None:
    await history(book, there(issue("ETH-1", "50", created_at=iso(30), settled_at=iso(50))))
    await moved(book, "100", leg("49", 40, "ETH-1"), leg("7", 41, "NOBODY", "J-2"))
    await book.records("chains", reading("0", 20), reading("50", 5 * DAY - 60))
    run = await book.run(105)
    assert mine(run, "ETH-1") == ["C5"]
    assert [f.code for f in run.breaks if f.request_id == "NOBODY"] == ["C2"]


@pytest.mark.parametrize(("side", "code"), [("issue", "C2"), ("redeem", "C4")])
async def test_one_whose_shares_moved_and_that_stays_pending_is_told_after_its_days(
    book: Book, side: str, code: str
) -> None:
    make, sign = (issue, "") if side == "issue" else (redeem, "-")
    await history(book, there(make("ETH-1", "50", created_at=iso(30), status="pending")))
    await moved(book, "100", leg(f"{sign}50", 40, "ETH-1"))
    await book.records("chains", reading("0", 20))
    assert mine(await book.run(101), "ETH-1") == []
    assert mine(await book.run(105), "ETH-1") == [code]


async def test_late_by_its_own_word_is_late(book: Book) -> None:
    await history(book, there(issue("ETH-1", "50", created_at=iso(30), settled_at=iso(3 * DAY + 1))))
    await moved(book, "100", leg("50", 40, "ETH-1"))
    await book.records("chains", reading("0", 20), reading("50", 5 * DAY - 60))
    found = only(await book.run(105), "C8")
    assert (found.request_id, found.details["business_days"]) == ("ETH-1", 3)


@pytest.mark.parametrize(
    ("order", "shares", "waiting"),
    [
        # made after the reading: its tokens cannot be in it
        (issue("ETH-1", "50", created_at=iso(60), settled_at=iso(80)), "150", 50),
        (issue("ETH-1", "50", created_at=iso(60), status="pending"), "150", 50),
        # around it: custody has the shares, the reading may lack the tokens
        (issue("ETH-1", "50", created_at=iso(30), settled_at=iso(80)), "150", 50),
        # delivered, and the reading still has the tokens
        (redeem("ETH-1", "15", created_at=iso(60), settled_at=iso(80)), "85", -15),
        # its tokens are back by the reading, its shares are still to go
        (redeem("ETH-1", "15", created_at=iso(60), status="pending"), "115", 15),
    ],
)
async def test_a_reading_from_before_an_order_ended_raises_no_break(
    book: Book, order: dict[str, Any], shares: str, waiting: int
) -> None:
    await history(book, there(order))
    went = Fraction(shares) - 100
    booked = not (order["side"] == "redeem" and order["status"] == "pending")
    await book.statement("100" if booked else shares, 15)
    await legs(book, NOTHING, *([leg(str(went), 65, "ETH-1")] if booked else []), start=15)
    await book.records("chains", reading("0", 50))
    run = await book.run(100)
    assert (run.verdict, codes(run)) == (Verdict.TIES_OUT_IN_SETTLEMENT, [])
    (line,) = run.instruments[0].held
    assert (line.reference, line.shares, line.network) == ("ETH-1", Fraction(waiting), "ethereum")
    room = await tieout_reconcile.headroom(book.dsn, "AAPLx", now=at(100))
    assert room.shares is None or room.shares <= 0


async def test_a_network_of_which_orders_are_completed_is_owed_and_unknown_until_it_is_read(book: Book) -> None:
    await opened(book, REGISTRY)
    await book.statement("100", 90)
    assert (await book.run()).verdict is Verdict.TIES_OUT
    await book.orders(there(issue("ETH-1", "50", created_at=iso(30), status="pending")))
    assert (await book.run()).verdict is Verdict.TIES_OUT
    await book.orders(there(issue("ETH-1", "50", created_at=iso(30), settled_at=iso(50))))
    run = await book.run()
    assert (run.verdict, codes(run)) == (Verdict.INCOMPLETE, ["B8"])
    assert (await tieout_reconcile.coverage(book.dsn, 100)).verdict is Verdict.INCOMPLETE
    await book.records("chains", reading("50", 60))
    run = await book.run()
    assert (run.verdict, codes(run)) == (Verdict.DOES_NOT_TIE_OUT, ["B1"])


async def test_a_report_with_orders_elsewhere_verifies_offline(book: Book, tmp_path: Path) -> None:
    await history(book, there(issue("ETH-1", "50", created_at=iso(30), settled_at=iso(50))))
    path = book.file("requests.json", json.dumps([{**REQUEST, "issuer_request_id": "ETH-2", "network": "ethereum"}]))
    assert (await tieout_reconcile.import_orders(book.dsn, path)).stored == 1
    await moved(book, "100", leg("50", 40, "ETH-1"))
    await book.records("chains", reading("0", 20), reading("52.5", 5 * DAY - 60))
    await book.seal()
    run = await book.run(105)
    assert mine(run, "ETH-2") == ["C1"]
    exported = await export_report(book.dsn, run.run, KEY)
    path = tmp_path / "report.zip"
    path.write_bytes(exported.data)
    assert failed(verify_report(path, TRUSTED)) == {}


def test_requests_on_every_network_are_orders_and_replayed_as_they_were_taken() -> None:
    there_ = {
        **REQUEST,
        "issuer_request_id": "REQ-E",
        "network": "Ethereum",
        "tx_hash": "0xabc",
        "wallet_address": "0x1",
    }
    unknown = {**there_, "issuer_request_id": "REQ-X", "token_symbol": "XYZx"}
    file = InputFile("o.json", json.dumps([REQUEST, there_, unknown]).encode())
    form, orders, count = parse_order_file(file, REGISTERED)
    assert (form, count) == ("alpaca-requests/2", 3)
    assert [(o.request_id, o.network, o.signature) for o in orders[1:]] == [("REQ-E", "ethereum", "0xabc")]
    assert [o.request_id for o in replay_order_file(file, REGISTERED, "alpaca-requests")] == ["REQ-9"]
    assert replay_order_file(file, REGISTERED, form) == orders
    with pytest.raises(BadInput, match="has no network"):
        parse_order_file(InputFile("o.json", json.dumps([{**REQUEST, "network": ""}]).encode()), REGISTERED)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("E-1,issue,,5000,ethereum,", "gives raw units: give quantity"),
        ("E-1,inventory,5,,ethereum,", "inventory is watched on solana alone"),
        ("E-1,issue,5,,solana,0xabc", "is no address"),
        ("E-1,issue,5,,two words,", "is no id or reference"),
    ],
)
def test_what_an_order_elsewhere_cannot_be_is_refused(row: str, said: str) -> None:
    text = f"request_id,side,quantity,raw,network,wallet,symbol,status,created_at\n{row},AAPLx,completed,{iso(5)}\n"
    with pytest.raises(BadInput, match=said):
        parse_orders(InputFile("o.csv", text.encode()), REGISTERED)
