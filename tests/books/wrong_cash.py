"""Defects of what was paid for orders: the codes C13 to C18."""

from datetime import datetime, timedelta
from fractions import Fraction

from books.cash import in_cash, pay
from books.coins import a_unit_less
from books.kinds import kind
from books.model import Book, Order, Payment, Stock, Told, Truth


def _any(book: Book, stock: Stock, *, due: bool) -> Order | None:
    found = sorted(in_cash(book, stock.symbol, due=due), key=lambda o: o.request_id)
    return book.dice.choice(found) if found else None


def _told(code: str, order: Order, about: str | None = None) -> Told:
    return Told(code, order.stock.symbol, order.raw or order.shares, about or order.request_id)


def _last_hour(book: Book) -> datetime:
    return book.cut_off - timedelta(minutes=book.dice.randrange(1, 60))


@kind("C13", needs="long", claims="cash")
def nobody_paid(book: Book, stock: Stock) -> Truth | None:
    """The money of an order never came, or never went out."""
    if (order := _any(book, stock, due=True)) is None:
        return None
    book.payments = [p for p in book.payments if p.request_id != order.request_id]
    return Truth("nobody_paid", (_told("C13", order),))


@kind("C13", needs="long", claims="cash")
def a_cent_too_little(book: Book, stock: Stock) -> Truth | None:
    """One cent of what was agreed is missing."""
    if (order := _any(book, stock, due=True)) is None:
        return None
    mine = [p for p in book.payments if p.request_id == order.request_id]
    max(mine, key=lambda p: p.amount).amount -= Fraction(1, 100)
    return Truth("a_cent_too_little", (_told("C13", order),))


@kind("C14", needs="long", claims="cash")
def paid_twice(book: Book, stock: Stock) -> Truth | None:
    """The whole of it is paid once more."""
    if (order := _any(book, stock, due=True)) is None or order.cash is None:
        return None
    pay(book, order, order.cash, _last_hour(book))
    return Truth("paid_twice", (_told("C14", order),))


@kind("C14", needs="long", claims="cash")
def a_cent_too_much(book: Book, stock: Stock) -> Truth | None:
    """One cent more is paid than was agreed."""
    if (order := _any(book, stock, due=True)) is None:
        return None
    pay(book, order, Fraction(1, 100), _last_hour(book))
    return Truth("a_cent_too_much", (_told("C14", order),))


@kind("C15")
def payout_for_nobody(book: Book, stock: Stock) -> Truth:
    """Money goes out, and no order is named, or one that was never placed."""
    request = "" if book.dice.random() < 0.5 else book.name("RED")
    made = Payment(f"PAY-{90000 + len(book.payments)}", "out", Fraction(book.dice.randrange(1, 10**8), 100), "USD",
                   _last_hour(book), request)  # fmt: skip
    book.payments.append(made)
    return Truth("payout_for_nobody", (Told("C15", "*", None, made.reference),))


@kind("C16", needs="long", claims="cash")
def paid_in_another_money(book: Book, stock: Stock) -> Truth | None:
    """An order that is paid is paid again, in another currency: the second payment counts for nothing."""
    if (order := _any(book, stock, due=True)) is None or order.cash is None:
        return None
    made = pay(book, order, order.cash, _last_hour(book), currency="CHF")
    return Truth("paid_in_another_money", (_told("C16", order, made.reference),))


def _by_coin(book: Book, stock: Stock, until: datetime) -> Payment | None:
    """A payment of one of a stock's orders whose transaction is named, by an instant."""
    mine = {o.request_id for o in in_cash(book, stock.symbol, due=True)}
    found = [p for p in book.payments if p.transaction and p.request_id in mine and p.at <= until]
    return book.dice.choice(found) if found else None


@kind("C17", needs="long", claims="cash")
def a_unit_less_on_chain(book: Book, stock: Stock) -> Truth | None:
    """The transaction that a payment names moved the coin's smallest unit less."""
    if (made := _by_coin(book, stock, book.cut_off)) is None:
        return None
    a_unit_less(made)
    return Truth("a_unit_less_on_chain", (Told("C17", "*", None, made.reference),))


@kind("C18", needs="long", claims="cash")
def nothing_on_chain(book: Book, stock: Stock) -> Truth | None:
    """The transaction that a payment names is not there, a day and more after it."""
    if (made := _by_coin(book, stock, book.cut_off - timedelta(days=1, hours=1))) is None:
        return None
    made.moved = Fraction(0)
    return Truth("nothing_on_chain", (Told("C18", "*", None, made.reference),))
