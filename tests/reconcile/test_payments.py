"""Delivery versus payment: the cash legs of orders, what was paid for them, and what is told of it."""

import hashlib
import json
from datetime import date
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import tieout_reconcile
from reconcile.builders import ONE, REGISTRY, Book, at, cash, iso, issue, memo, payment, redeem, signature
from reconcile.test_inputs import KNOWN, parse
from reconcile.test_legs import leg, legs, opened
from reconcile.test_reports import TRUSTED, failed, made, resigned
from tieout_reconcile import BadInput, Run, Verdict, verify_report
from tieout_reconcile.calendars import PLAIN
from tieout_reconcile.canonical import canonical_bytes
from tieout_reconcile.cash import Delivery, cash_legs, cash_totals
from tieout_reconcile.files import InputFile
from tieout_reconcile.orders import Order, parse_orders
from tieout_reconcile.payments import Payment
from tieout_reconcile.reports import bundle
from tieout_reconcile.results import CashLine
from tieout_reconcile.saying import said_digests

BEFORE = "1b260d0a7efb32e9f50209f501d21373c1dc8d5604fc0a05ff19e8df90b89a48"
ORDER = "request_id,side,symbol,quantity,status,created_at"


def orders_of(columns: str, values: str, side: str = "issue") -> list[Order]:
    text = f"{ORDER}{columns}\nR-1,{side},AAPLx,5,completed,{iso(1)}{values}\n"
    return parse_orders(InputFile("orders.csv", text.encode()), KNOWN)


def test_an_order_without_a_cash_leg_is_settled_in_kind_and_says_what_it_said_before() -> None:
    ((old,), (blank,)) = orders_of("", ""), orders_of(",settlement,cash_amount,cash_currency", ",,,")
    assert (old.settlement, old.cash_amount, old.cash_currency) == ("in_kind", None, None)
    assert old.same_content(blank)
    # as a version that knew no cash legs digested it
    assert [d.hex() for d in said_digests("orders", [old])] == [BEFORE]
    (paid,) = orders_of(",settlement,cash_amount,cash_currency", ",cash,1250.50,USDC")
    assert said_digests("orders", [paid]) != said_digests("orders", [old])


@pytest.mark.parametrize(
    ("values", "side", "told"),
    [
        (",cash,,", "issue", 'line 2: settlement "cash" needs cash_amount and cash_currency too: what is paid, like'),
        (",cash,5,", "issue", 'line 2: settlement "cash" needs cash_currency too'),
        (",cash,,USD", "issue", 'line 2: settlement "cash" needs cash_amount too'),
        (
            ",,5,USD",
            "issue",
            'line 2: is settled in kind and gives cash_amount "5" and cash_currency "USD": write cash',
        ),
        (",in_kind,,USD", "redeem", 'line 2: is settled in kind and gives cash_currency "USD": write cash under'),
        (",credit,5,USD", "issue", 'line 2: settlement "credit" is not one of in_kind, cash'),
        (",cash,0,USD", "issue", 'line 2: cash_amount "0" is 0: an amount above zero is wanted'),
        (",cash,5,usdc", "issue", 'line 2: cash_currency "usdc" is no currency: write its code, or a stablecoin'),
        (",cash,5,USD", "inventory", "line 2: is an inventory order with the settlement"),
    ],
)
def test_half_a_cash_leg_is_refused_with_its_line_the_value_and_what_to_write(
    values: str, side: str, told: str
) -> None:
    with pytest.raises(BadInput) as bad:
        orders_of(",settlement,cash_amount,cash_currency", values, side)
    assert any(told in fault for fault in bad.value.problems), bad.value.problems


def test_amounts_are_exact_and_a_stablecoin_may_name_its_transaction() -> None:
    head = "reference,direction,amount,currency,paid_at,source,signature"
    (found,) = parse("payments", f"{head}\nP-1,in,0.000000000000000001,USDC,{iso(1)},chain,{signature(1)}\n").records
    assert (found.to_json()["amount"], found.signature) == ("0.000000000000000001", signature(1))


async def test_orders_and_payments_are_kept_exactly_and_a_file_is_taken_once(book: Book) -> None:
    await opened(book, issue("REQ-1", "5", **cash("1000.01", "USDC")), redeem("RED-1", "5"))
    first, second = await tieout_reconcile.list_orders(book.dsn)
    assert [(o.settlement, o.to_json()["cash_amount"], o.cash_currency) for o in (first, second)] == [
        ("in_kind", None, None), ("cash", "1000.01", "USDC"),
    ]  # fmt: skip
    rows = [payment("P-1", "in", "1000.01", 20, "REQ-1", currency="USDC"), payment("P-2", "out", "3", 30)]
    taken = await book.records("payments", *rows)
    assert (taken.new, taken.rows, taken.kind) == (True, 2, "payments")
    again = await tieout_reconcile.import_records(book.dsn, "payments", taken.path)
    assert (again.new, again.load) == (False, taken.load)
    await book.records("payments", payment("P-1", "in", "999", 20, "REQ-1", currency="USDC"))
    listed = await tieout_reconcile.list_records(book.dsn, "payments")
    assert [(p.reference, p.amount) for p in listed] == [("P-1", 999), ("P-2", 3)]
    assert await book.db.fetchval("select count(*) from recon.payment_row") == 3


DAY = 24 * 3600
# slot 20 is of Monday 2026-11-02: five business days later it is Monday the 9th
DUE = "2026-11-09"


async def redeemed(book: Book, *payments: dict[str, str], days: int = 8, **more: str) -> None:
    """One redemption of 5 shares for 1000.01 USD, returned and sold on the 2nd, proven over some days."""
    order = redeem("RED-1", "5", **{**cash("1000.01"), "settled_at": iso(30), **more})
    await opened(book, issue("REQ-1", "5", settled_at=iso(15)), order, days=days)
    await book.transfer(16, "treasury", "ap", 5 * ONE, memo=memo("issue", "REQ-1"))
    await book.transfer(25, "ap", "redemption", 5 * ONE, memo=memo("redeem", "RED-1"))
    await book.statement("0", 40)
    if payments:
        await book.records("payments", *payments)


def line(run: Run, request_id: str = "RED-1") -> CashLine:
    (found,) = [c for i in run.instruments for c in i.cash_legs if c.request_id == request_id]
    return found


def figures(run: Run) -> dict[str, object]:
    """All that a run says of shares."""
    plain = run.instruments[0].to_json()
    return {name: plain[name] for name in plain if name not in ("cash", "cash_legs")}


def told(run: Run) -> list[str]:
    return [f.code for f in run.breaks if f.code in ("C13", "C14", "C15", "C16")]


async def test_a_redemption_that_is_filled_is_a_payable_until_it_is_paid_and_no_figure_in_shares_knows_it(
    book: Book,
) -> None:
    await redeemed(book)
    before, filled = await book.run(29), await book.run(100)
    assert (line(before).state, line(before).owed, before.instruments[0].cash[0].outstanding) == (
        "pending",
        Fraction(0),
        Fraction(0),
    )
    assert line(filled) == CashLine(
        "RED-1", "payable", "USD", Fraction("1000.01"), Fraction("1000.01"), Fraction(0), Fraction(0),
        Fraction("1000.01"), Fraction(0), Fraction(0), "open", at(30), date(2026, 11, 9), at(25), None, None, (),
    )  # fmt: skip
    assert (filled.verdict, told(filled)) == (Verdict.TIES_OUT, [])
    await book.records("payments", payment("P-1", "out", "1000.01", 60, "RED-1"))
    paid = await book.run(100)
    assert (line(paid).state, line(paid).payments) == ("paid", ("P-1",))
    assert not line(paid).outstanding
    assert figures(paid) == figures(filled)
    # as known before the file came, nothing was paid
    assert line(await book.run(100, known_load=filled.inputs.known_load)).state == "open"


@pytest.mark.parametrize(
    ("day", "state", "codes_told"),
    # the 7th and 8th are a weekend; the slot of day n is n days after Monday the 2nd
    [(5, "open", []), (6, "open", []), (7, "open", []), (8, "overdue", ["C13"])],
)
async def test_what_is_unpaid_is_a_break_after_its_due_date_and_not_on_it(
    book: Book, day: int, state: str, codes_told: list[str]
) -> None:
    await redeemed(book)
    run = await book.run(100 + day)
    assert (line(run).state, line(run).due_on, told(run)) == (state, date.fromisoformat(DUE), codes_told)
    for found in run.breaks:
        if found.code == "C13":
            assert (found.request_id, found.shares, found.name) == ("RED-1", Fraction(5), "UNPAID")
            assert (found.details["amount"], found.details["currency"], found.details["due_on"]) == (
                "1000.01", "USD", DUE,
            )  # fmt: skip
            assert "1000.01 USD are not paid out, due on 2026-11-09" in found.summary


async def test_a_holiday_of_the_instruments_calendar_moves_the_due_date(book: Book) -> None:
    await redeemed(book, days=9)
    closed = '[[calendars]]\nid = "nyse"\nclosed = [2026-11-09]\n'
    await book.registry(REGISTRY.replace("decimals = 8\n", 'decimals = 8\ncalendar = "nyse"\n', 1) + closed)
    on_it, after = await book.run(108), await book.run(109)
    assert (line(on_it).due_on, told(on_it), told(after)) == (date(2026, 11, 10), [], ["C13"])


@pytest.mark.parametrize(
    ("amounts", "outstanding", "overpaid", "state", "code"),
    [
        (("1000.01",), "0", "0", "paid", []),
        (("1000.00",), "0.01", "0", "overdue", ["C13"]),
        (("1000.02",), "0", "0.01", "overpaid", ["C14"]),
        (("600", "400.01"), "0", "0", "paid", []),
        (("600", "400"), "0.01", "0", "overdue", ["C13"]),
        (("1000.01", "1000.01"), "0", "1000.01", "overpaid", ["C14"]),
    ],
)
async def test_parts_add_up_to_the_last_cent_and_what_is_paid_twice_is_too_much(
    book: Book, amounts: tuple[str, ...], outstanding: str, overpaid: str, state: str, code: list[str]
) -> None:
    paid = [payment(f"P-{n}", "out", amount, 50 + n, "RED-1") for n, amount in enumerate(amounts)]
    await redeemed(book, *paid)
    run = await book.run(108)
    found = line(run)
    assert (found.outstanding, found.overpaid, found.state) == (Fraction(outstanding), Fraction(overpaid), state)
    assert told(run) == code
    assert found.payments == tuple(f"P-{n}" for n in range(len(amounts)))
    if code == ["C14"]:
        (told_of,) = [f for f in run.breaks if f.code == "C14"]
        assert (told_of.request_id, told_of.shares) == ("RED-1", Fraction(5))
        assert told_of.details["amount"] == overpaid
        assert told_of.details["references"] == list(found.payments)


async def test_a_payment_counts_from_its_own_instant_on(book: Book) -> None:
    await redeemed(book, payment("P-1", "out", "1000.01", 60, "RED-1"))
    assert (line(await book.run(59)).state, line(await book.run(60)).state) == ("open", "paid")


async def test_a_restated_payment_counts_as_it_was_restated(book: Book) -> None:
    await redeemed(book, payment("P-1", "out", "1000.01", 60, "RED-1"))
    first = await book.run(108)
    await book.records("payments", payment("P-1", "out", "900", 60, "RED-1"))
    again = await book.run(108)
    assert (told(first), told(again), line(again).outstanding) == ([], ["C13"], Fraction("100.01"))
    assert (await book.run(108, known_load=first.inputs.known_load)).digest == first.digest


async def test_what_came_back_is_owed_again_and_more_than_was_paid_is_told(book: Book) -> None:
    await redeemed(book, payment("P-1", "out", "2000", 50, "RED-1"), payment("P-2", "in", "999.99", 60, "RED-1"))
    run = await book.run(108)
    assert (line(run).state, line(run).paid, line(run).returned) == ("paid", Fraction(2000), Fraction("999.99"))
    assert told(run) == []
    await book.records("payments", payment("P-3", "in", "1001", 70, "RED-1"))
    run = await book.run(108)
    assert (line(run).overpaid, line(run).outstanding, told(run)) == (
        Fraction("0.99"), Fraction("1000.01"), ["C13", "C14"],
    )  # fmt: skip
    assert "0.99 USD more came back than was paid" in next(f.summary for f in run.breaks if f.code == "C14")


async def test_a_payment_to_a_rejected_order_is_too_much_until_it_came_back(book: Book) -> None:
    await opened(book, issue("REQ-1", "5", **{**cash("100"), "status": "rejected", "settled_at": iso(30)}))
    await book.statement("0", 40)
    await book.records("payments", payment("P-1", "in", "100", 20, "REQ-1"))
    before, after = await book.run(25), await book.run(100)
    assert (line(before, "REQ-1").state, told(before)) == ("prepaid", [])
    assert (line(after, "REQ-1").state, line(after, "REQ-1").overpaid, told(after)) == (
        "overpaid",
        Fraction(100),
        ["C14"],
    )
    assert "100 USD was paid, and it was rejected" in after.breaks[0].summary
    await book.records("payments", payment("P-2", "out", "100", 50, "REQ-1"))
    assert (line(await book.run(100), "REQ-1").state, told(await book.run(100))) == ("void", [])


async def test_a_payment_for_an_order_in_kind_is_too_much(book: Book) -> None:
    await opened(book, issue("REQ-1", "5", status="pending"))
    await book.statement("0", 40)
    await book.records("payments", payment("P-1", "in", "7", 20, "REQ-1"))
    run = await book.run(100)
    assert told(run) == ["C14"]
    assert [line(run, "REQ-1").agreed, line(run, "REQ-1").overpaid] == [0, 7]


async def test_a_payout_without_an_order_is_told_by_its_reference_whatever_amount_it_fits(book: Book) -> None:
    await redeemed(
        book,
        payment("P-1", "out", "1000.01", 50, counterparty="AP bank"),
        payment("P-2", "out", "1000.01", 55, "RED-9"),
        payment("P-3", "in", "1", 90, "RED-9"),
        payment("P-4", "out", "8", 200, "RED-9"),
    )
    run = await book.run(90)
    found = [f for f in run.breaks if f.code == "C15"]
    assert [(f.details["reference"], f.request_id, f.symbol) for f in found] == [
        ("P-1", None, "*"), ("P-2", "RED-9", "*"), ("P-3", "RED-9", "*"),
    ]  # fmt: skip
    assert '1000.01 USD went out by payment P-1 at 2026-11-02T14:00:50Z (to "AP bank"), and it names no order' in (
        found[0].summary
    )
    assert 'it names "RED-9", which is no order' in found[1].summary
    assert line(run).outstanding == Fraction("1000.01")
    # the order becomes known: its payments are linked
    await book.orders(redeem("RED-9", "1", status="pending", **cash("1000.01")))
    assert [f.details["reference"] for f in (await book.run(90)).breaks if f.code == "C15"] == ["P-1"]


async def test_a_payment_in_another_currency_counts_for_nothing_and_is_told(book: Book) -> None:
    await redeemed(book, payment("P-1", "out", "1000.01", 50, "RED-1", currency="USDC"))
    run = await book.run(108)
    assert (told(run), line(run).outstanding, line(run).payments) == (["C13", "C16"], Fraction("1000.01"), ())
    (other,) = [f for f in run.breaks if f.code == "C16"]
    assert (other.details["reference"], other.details["currency"], other.request_id, other.shares) == (
        "P-1", "USDC", "RED-1", Fraction(5),
    )  # fmt: skip


async def test_two_orders_of_one_amount_are_never_paid_by_each_others_payment(book: Book) -> None:
    await redeemed(book, payment("P-1", "out", "2000.02", 50, "RED-1"), days=8)
    await book.orders(redeem("RED-2", "5", **cash("1000.01"), settled_at=iso(30)))
    run = await book.run(108)
    assert [(c.request_id, c.outstanding, c.overpaid) for c in run.instruments[0].cash_legs] == [
        ("RED-1", 0, Fraction("1000.01")), ("RED-2", Fraction("1000.01"), 0),
    ]  # fmt: skip
    (total,) = run.instruments[0].cash
    assert (total.owed, total.paid, total.outstanding, total.overdue, total.overpaid, total.orders) == (
        Fraction("2000.02"), Fraction("1000.01"), Fraction("1000.01"), Fraction("1000.01"), Fraction("1000.01"), 1,
    )  # fmt: skip
    assert told(run) == ["C13", "C14"]


async def test_payables_and_receivables_stand_by_kind_and_currency_and_in_the_views(book: Book) -> None:
    await redeemed(book, payment("P-1", "out", "0.01", 50, "RED-1"))
    await book.orders(
        issue("REQ-2", "1", **cash("10", "USDC"), settled_at=iso(20)),
        issue("REQ-3", "1", **cash("30"), settled_at=iso(20)),
    )
    run = await book.run(100)
    expected = [
        ("payable", "USD", 1, Fraction(1000)), ("receivable", "USD", 1, Fraction(30)),
        ("receivable", "USDC", 1, Fraction(10)),
    ]  # fmt: skip
    assert [(t.kind, t.currency, t.orders, t.outstanding) for t in run.instruments[0].cash] == expected
    # a second run of the same content has no rows of its own, and shows the same
    again = await book.run(100)
    for number in (run.run, again.run):
        rows = await book.db.fetch(
            "select kind, currency, orders, outstanding from recon.payables where run = $1 order by 1, 2", number
        )
        assert [(*r.values(),) for r in rows] == expected
        legs = await book.db.fetch("select * from recon.cash_legs where run = $1 order by request_id", number)
        assert [(r["request_id"], r["state"], r["payments"]) for r in legs] == [
            ("RED-1", "open", ["P-1"]), ("REQ-2", "open", []), ("REQ-3", "open", []),
        ]  # fmt: skip
    assert run.run is not None
    assert await tieout_reconcile.get_run(book.dsn, run.run) == run


async def test_what_goes_out_before_its_counterpart_is_shown_and_is_no_break_by_itself(book: Book) -> None:
    await opened(
        book, issue("REQ-1", "5", status="pending", **cash("100")), redeem("RED-1", "2", **cash("40"), status="pending")
    )
    await book.transfer(20, "treasury", "ap", 5 * ONE, memo=memo("issue", "REQ-1"))
    await book.transfer(60, "ap", "redemption", 2 * ONE, memo=memo("redeem", "RED-1"))
    await book.statement("5", 70)
    await book.records("payments", payment("P-1", "out", "40", 50, "RED-1"), payment("P-2", "in", "100", 55, "REQ-1"))
    then, now = await book.run(52), await book.run(100)
    assert [(c.request_id, c.state, c.ahead) for c in then.instruments[0].cash_legs] == [
        ("RED-1", "prepaid", "cash"), ("REQ-1", "open", "tokens"),
    ]  # fmt: skip
    assert [(c.request_id, c.state, c.ahead) for c in now.instruments[0].cash_legs] == [
        ("RED-1", "prepaid", "cash"), ("REQ-1", "paid", "tokens"),
    ]  # fmt: skip
    assert (told(then), told(now)) == ([], [])


async def test_shares_sold_for_a_cash_redemption_are_its_custody_leg(book: Book) -> None:
    await redeemed(book, status="pending", settled_at="")
    await legs(book, leg("-5", 50, "RED-1", kind="sell"), start=-DAY, end=95)
    before, after = await book.run(45), await book.run(90)
    assert (line(before).state, line(after).state, line(after).owed_since) == ("pending", "open", at(50))
    assert [before.instruments[0].liability, after.instruments[0].liability] == [5, 0]


said = st.lists(
    st.tuples(st.sampled_from(["R-0", "R-1", "R-2"]), st.sampled_from(["in", "out"]), st.sampled_from(["USD", "USDC"]),
              st.integers(1, 3), st.integers(0, 9)), max_size=8,
)  # fmt: skip
asked = st.lists(
    st.tuples(st.sampled_from(["issue", "redeem"]), st.sampled_from(["pending", "completed", "rejected"]),
              st.sampled_from([None, "USD", "USDC"]), st.integers(1, 4)), min_size=3, max_size=3,
)  # fmt: skip


@given(asked, said)
def test_payables_are_what_is_owed_less_what_is_paid_order_by_order_and_never_below_zero(
    orders: list[tuple[str, str, str | None, int]], payments: list[tuple[str, str, str, int, int]]
) -> None:
    made = [
        Order(1, f"R-{n}", side, "mint", Fraction(1), None, status, None, None, at(0),
              None if status == "pending" else at(1), settlement="in_kind" if currency is None else "cash",
              cash_amount=None if currency is None else Fraction(cents, 100), cash_currency=currency)
        for n, (side, status, currency, cents) in enumerate(orders)
    ]  # fmt: skip
    paid = [
        Payment(1, f"P-{n}", direction, Fraction(cents, 100), currency, at(when), "bank", request_id)
        for n, (request_id, direction, currency, cents, when) in enumerate(payments)
    ]
    found = cash_legs(made, paid, Delivery({}, {}, whole=True), PLAIN, at(5))
    lines = [leg.line for leg in found]
    for c in lines:
        order = next(o for o in made if o.request_id == c.request_id)
        mine = [p for p in paid if (p.request_id, p.currency) == (c.request_id, c.currency) and p.paid_at <= at(5)]
        way = "out" if order.side == "redeem" else "in"
        net = sum((p.amount if p.direction == way else -p.amount for p in mine), Fraction(0))
        assert c.paid - c.returned == net
        assert c.outstanding == max(Fraction(0), c.owed - max(net, Fraction(0)))
        assert c.owed == (order.cash_amount if order.settlement == "cash" and order.status == "completed" else 0)
        assert min(c.outstanding, c.overdue, c.overpaid, c.owed, c.paid, c.returned) >= 0
        assert c.kind == {"issue": "receivable", "redeem": "payable"}[order.side]
    for total in cash_totals(lines):
        group = [c for c in lines if (c.kind, c.currency) == (total.kind, total.currency)]
        assert total.outstanding == total.owed - total.paid == sum(c.outstanding for c in group) >= 0


async def test_a_report_recomputes_the_cash_offline_and_a_payment_taken_out_shows(book: Book, tmp_path: Path) -> None:
    await redeemed(book, payment("P-1", "out", "1000.02", 50, "RED-1"))
    await book.orders(issue("REQ-2", "1", **cash("30.5", "USDC"), settled_at=iso(20)))
    path = await made(book, tmp_path)
    assert failed(verify_report(path, TRUSTED)) == {}
    files = bundle.unpack(path)
    report = json.loads(files[bundle.REPORT])
    (result,) = report["run"]["instruments"]
    assert [(c["request_id"], c["state"], c["overpaid"]) for c in result["cash_legs"]] == [
        ("RED-1", "overpaid", "0.01"), ("REQ-2", "open", "0"),
    ]  # fmt: skip
    assert "AAPLx,receivable_outstanding_USDC,30.5\n" in files[bundle.TABLE].decode()
    assert "AAPLx,payable_overpaid_USD,0.01\n" in files[bundle.TABLE].decode()
    page = files[bundle.PAGE].decode()
    assert "Cash of orders" in page
    assert "C14 OVERPAID" in page
    (number,) = [x["load"] for x in json.loads(files[bundle.LOADS])["loads"] if x["kind"] == "payments"]

    def emptied(files: dict[str, bytes]) -> None:
        """The file is there, and its payment is not."""
        name = bundle.load_name(number)
        files[name] = files[name].splitlines(keepends=True)[0]
        loads = json.loads(files[bundle.LOADS])["loads"]
        loads[number - 1]["sha256"] = hashlib.sha256(files[name]).hexdigest()
        files[bundle.LOADS] = canonical_bytes({"loads": loads})

    forged = failed(verify_report(resigned(path, emptied), TRUSTED))
    assert {"figures", "report"} <= forged.keys()

    def removed(files: dict[str, bytes]) -> None:
        loads = json.loads(files[bundle.LOADS])["loads"]
        files[bundle.LOADS] = canonical_bytes({"loads": [x for x in loads if x["load"] != number]})
        del files[bundle.load_name(number)]

    assert "loads" in failed(verify_report(resigned(path, removed), TRUSTED))

    def flatter(said: dict[str, Any]) -> None:
        said["run"]["instruments"][0]["cash"][0]["overpaid"] = "0"

    changed = failed(verify_report(resigned(path, lambda _: None, flatter), TRUSTED))
    assert 'overpaid: it says "0", computed "0.01"' in changed["figures"]


def test_an_order_of_another_network_owes_by_its_own_word() -> None:
    order = Order(1, "R-1", "redeem", "mint", Fraction(1), None, "completed", None, None, at(0), at(1),
                  network="ethereum", settlement="cash", cash_amount=Fraction(5), cash_currency="EURC")  # fmt: skip
    paid = Payment(1, "P-1", "out", Fraction(2), "EURC", at(0), "bank", "R-1")
    (leg_,) = cash_legs([order], [paid], Delivery({}, {}, whole=True), PLAIN, at(5))
    # what its tokens did nobody here knows: nothing is said to be ahead
    assert (leg_.line.state, leg_.line.ahead) == ("open", None)
    assert leg_.line.outstanding == 3


async def test_a_reference_of_another_account_is_another_payment_and_refused_with_both_files(book: Book) -> None:
    await redeemed(book, payment("P-1", "out", "5", 50, "RED-1", account="bank A"))
    with pytest.raises(BadInput) as bad:
        await book.records("payments", payment("P-1", "out", "9", 60, "RED-1", account="bank B"))
    assert 'line 2: "P-1" is a payment of account "bank B" here and of "bank A" in' in bad.value.problems[0]
    assert "(load 4): two payments need two references" in bad.value.problems[0]
    await book.records("payments", payment("P-1", "out", "6", 60, "RED-1"))
    await book.records("payments", payment("P-1", "out", "7", 60, "RED-1", account="bank A"))
    assert line(await book.run(100)).paid == 7


async def test_a_restated_payment_is_the_same_evidence_and_another_payment_is_not(book: Book) -> None:
    await opened(book)
    for row in (payment("P-1", "out", "5", 50), payment("P-1", "out", "6", 50), payment("P-2", "out", "5", 50)):
        await book.records("payments", row)
    (first, again, other) = [
        row["load"] for row in await book.db.fetch("select load from recon.load_row where kind = 'payments' order by 1")
    ]
    asked = "select recon.says_again($1, $2)"
    assert [await book.db.fetchval(asked, load, first) for load in (again, other)] == [True, False]
