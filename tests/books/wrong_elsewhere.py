"""Defects of orders of tokens on other networks: their shares, and the tokens that the network holds."""

from fractions import Fraction

from books import elsewhere
from books.kinds import kind
from books.making import MINUTE
from books.model import Book, Stock, Told, Truth
from books.wrong_orders import EVENING, truth


def separates(book: Book, stock: Stock) -> bool:
    """Whether the last reading lies in no order's time: else nobody can say what it has of that order."""
    last = [r for r in book.readings if r.stock is stock][-1]
    return not any(
        o.created_at < last.as_of < o.settled_at
        for o in book.orders
        if o.network and o.stock is stock and o.settled_at is not None
    )


@kind("C1", needs="chains movements long")
def order_elsewhere_without_journal(book: Book, stock: Stock) -> Truth:
    """Tokens are minted there against an order, and the shares never came, though every movement is known."""
    made = elsewhere.order(
        book, stock, book.time(book.working_days()[-4], EVENING), "issue", journal=False, tokens=False
    )
    shares = made.shares or Fraction(0)
    elsewhere.count(book, stock, elsewhere.tokens_of(stock, shares, made.created_at))
    return truth("order_elsewhere_without_journal", Told("C1", stock.symbol, shares, made.request_id))


@kind("C2", needs="chains", claims="elsewhere")
def order_elsewhere_without_tokens(book: Book, stock: Stock) -> Truth | None:
    """An order is completed there and its shares came, but between two readings its tokens did not."""
    if not separates(book, stock):
        return None
    made = elsewhere.order(book, stock, book.time(book.working_days()[-2], EVENING), "issue", tokens=False)
    return truth("order_elsewhere_without_tokens", Told("C2", stock.symbol, made.shares, made.request_id))


@kind("C1", needs="chains", claims="elsewhere")
def minted_elsewhere_without_order(book: Book, stock: Stock) -> Truth | None:
    """More tokens are there at the second reading than orders and messages brought."""
    if not separates(book, stock) or not any(o.network and o.stock is stock for o in book.orders):
        return None
    raw, unit = book.size(stock, 20, 90), stock.unit(book.cut_off)
    elsewhere.count(book, stock, raw)
    told = Told("C1", stock.symbol, raw * unit, "ethereum", within=unit)
    return truth("minted_elsewhere_without_order", told)


@kind("C5", needs="chains movements")
def journal_of_another_quantity_elsewhere(book: Book, stock: Stock) -> Truth | None:
    """Custody journals two shares more than an order of tokens there is for."""
    late = book.cut_off - elsewhere.READ_BEFORE - 60 * MINUTE
    asked = {o.request_id for o in book.orders if o.network and o.side == "issue" and o.created_at < late}
    leg = next((x for x in book.legs if x.request_id in asked and x.isin == stock.isin), None)
    if leg is None:
        return None
    leg.shares += 2
    return truth("journal_of_another_quantity_elsewhere", Told("C5", stock.symbol, Fraction(2), leg.request_id))
