"""The cash side of a book's orders: some are settled in cash and paid in time, in one part or two.

It has dice of its own, so that everything else in a book is what it is without it.
"""

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from fractions import Fraction
from random import Random

from books import days
from books.chain import address, signature
from books.coins import DESK, payee
from books.model import Book, Order, Payment, plain

PAID_WITHIN = 5
"""Business days from the journal or the sale to the payment."""
CURRENCIES = ("USD", "USDC", "EURC")
WAYS = {"issue": "in", "redeem": "out"}


def settle_in_cash(book: Book) -> None:
    """Settle a third of the orders of our chain in cash; what is due by the cut-off is paid."""
    dice = Random(f"cash of {book.seed}")
    for order in list(book.orders):
        able = order.status == "completed" and order.side in WAYS and not (order.network or order.by_json)
        if not able or order.settled_at is None or dice.random() > 1 / 3:
            continue
        cents = dice.randrange(10**4, 10**9)
        order.cash, order.currency = Fraction(cents, 100), dice.choice(CURRENCIES)
        sold = dice.random() < 0.5
        for leg in book.legs:
            if order.side == "redeem" and sold and leg.request_id == order.request_id and leg.shares < 0:
                leg.kind = "sell"
        last = days.moment(due_on(order), 21)
        if last > book.cut_off and dice.random() < 0.5:
            continue
        _pay(book, order, order.settled_at, min(last, book.cut_off), dice)


def due_on(order: Order) -> date:
    """The last day on which an order may be unpaid."""
    assert order.settled_at is not None
    return days.later(days.on(order.settled_at), PAID_WITHIN)


def _pay(book: Book, order: Order, start: datetime, end: datetime, dice: Random) -> None:
    assert order.cash is not None
    first = Fraction(dice.randrange(1, int(order.cash * 100)), 100) if dice.random() < 0.3 else order.cash
    for part in (first, order.cash - first):
        if part:
            at = start + timedelta(seconds=dice.randrange(int((end - start).total_seconds())))
            pay(book, order, part, at)


def pay(book: Book, order: Order, amount: Fraction, at: datetime, **more: str) -> Payment:
    """Pay some of an order."""
    made = Payment(f"PAY-{len(book.payments) + 1:05d}", WAYS[order.side], amount, order.currency, at, order.request_id)
    for name, value in more.items():
        setattr(made, name, value)
    book.payments.append(made)
    return made


def in_cash(book: Book, symbol: str, *, due: bool) -> Iterator[Order]:
    """The orders of a stock that are settled in cash, and whose last day is over, or is not."""
    today = days.on(book.cut_off)
    for order in book.orders:
        if order.stock.symbol == symbol and order.cash is not None and (due_on(order) < today) is due:
            yield order


def payments_csv(book: Book) -> list[dict[str, str | None]]:
    """The payments, a row each."""
    # an address is derived by the chain's own rule, from the name of whose wallet it is
    return [
        {"reference": p.reference, "direction": p.direction, "amount": plain(p.amount), "currency": p.currency,
         "paid_at": p.at.isoformat(), "request_id": p.request_id, "source": "the bank's statement",
         **({"account": address(DESK), "counterparty": address(payee(p)), "signature": signature(p.transaction)}
            if p.transaction else {"account": None, "counterparty": None, "signature": None})}
        for p in book.payments
    ]  # fmt: skip
