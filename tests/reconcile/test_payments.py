"""Delivery versus payment: the cash legs of orders, what was paid for them, and what is told of it."""

import pytest

import tieout_reconcile
from reconcile.builders import Book, cash, iso, issue, payment, redeem, signature
from reconcile.test_inputs import KNOWN, parse
from reconcile.test_legs import opened
from tieout_reconcile import BadInput
from tieout_reconcile.files import InputFile
from tieout_reconcile.orders import Order, parse_orders
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
