"""Defects of venues, labels and holders: the codes D."""

from datetime import timedelta

from books import venues
from books.kinds import kind
from books.making import MINUTE
from books.model import Book, Stock, Told, Truth
from books.wrong_orders import journal, ordered, release, truth

LARGE = 90_000
"""Tokens: well over the part of the supply from which an owner is large."""


@kind("D1", needs="large", bars="whole")
def large_owner_unlabelled(book: Book, stock: Stock) -> Truth:
    """Somebody whom no label names gets a large part of the supply, by an order that is in order."""
    raw, name = book.size(stock, LARGE, LARGE + 999), book.name("whale")
    order = ordered(book, stock, "issue", raw)
    journal(book, order, raw)
    release(book, order, raw, to=name)
    return truth("large_owner_unlabelled", Told("D1", stock.symbol, raw, name))


def _rewritten(book: Book, stock: Stock, more: int) -> str:
    """The venue's ledger owes so much more, or less, than its wallets hold."""
    venue = f"venue-{stock.symbol.lower()}"
    wallets = {f"{venue} hot", f"{venue} cold"}
    held = sum(m.raw for m in book.moves if m.stock is stock and m.destination in wallets)
    book.balances = [b for b in book.balances if b.venue != venue]
    venues.write_ledger(book, stock, venue, held + more, book.cut_off - venues.AGE)
    return venue


@kind("D2", needs="venue", claims="venue")
def venue_has_more(book: Book, stock: Stock) -> Truth:
    """The venue's wallets hold tokens that its ledger owes to nobody."""
    raw = 2 * stock.one + 1
    venue = _rewritten(book, stock, -raw)
    return truth("venue_has_more", Told("D2", stock.symbol, raw, venue))


@kind("D2", needs="venue", claims="venue")
def venue_ledger_is_old(book: Book, stock: Stock) -> Truth:
    """The venue handed in no ledger for days: what it owes now is not known, whatever the old one says."""
    venue = f"venue-{stock.symbol.lower()}"
    for balance in book.balances:
        if balance.venue == venue:
            balance.as_of = book.cut_off - timedelta(hours=49)
    return truth("venue_ledger_is_old", Told("D2", stock.symbol, None, venue))


@kind("D4", needs="venue", claims="venue")
def venue_has_less(book: Book, stock: Stock) -> Truth:
    """The venue owes its customers more than it holds; a customer's debt is set off against nobody."""
    raw = 25 if book.dice.random() < 0.3 else book.size(stock, 1, 40)
    venue = _rewritten(book, stock, raw)
    return truth("venue_has_less", Told("D4", stock.symbol, raw, venue))


@kind("D3", needs="venue", claims="venue")
def venue_label_ended(book: Book, stock: Stock) -> Truth | None:
    """The label of a venue's cold wallet ended after its ledger was made, with tokens in it."""
    venue = f"venue-{stock.symbol.lower()}"
    cold = next(x for x in book.labels if x.name == f"{venue} cold")
    held = sum(m.raw for m in book.moves if m.stock is stock and m.destination == cold.name)
    if not held:
        return None
    cold.valid_to = book.cut_off - 20 * MINUTE
    return truth("venue_label_ended", Told("D3", stock.symbol, held, f"{stock.symbol} account of {cold.name}"))


@kind("D5", needs="large")
def holders_exceed_supply(book: Book, stock: Stock) -> Truth:
    """The node's balances of holders add up to more than the supply."""
    book.miscounted[stock.symbol] = (book.name("holder"), 3 * stock.one)
    return truth("holders_exceed_supply", Told("D5", stock.symbol, 3 * stock.one))
