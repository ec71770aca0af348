"""A venue: its wallets on chain, and its own ledger of what it owes its customers."""

from datetime import datetime, timedelta

from books.model import Balance, Book, Label, Stock, plain

MINUTE = timedelta(minutes=1)
AGE = 50 * MINUTE
"""How long before the cut-off a venue's ledger is of."""


def open_venue(book: Book, stock: Stock) -> None:
    """Deposits into hot and cold wallets, and a ledger that agrees with them to the unit."""
    venue = f"venue-{stock.symbol.lower()}"
    book.venues.append(venue)
    hot, cold = f"{venue} hot", f"{venue} cold"
    book.labels += [Label(hot, "venue_hot", venue=venue), Label(cold, "venue_cold", venue=venue)]
    held = 0
    for wallet in (hot, cold, hot):
        at = book.time(book.working_days()[-2], 18, 1)
        if (found := book.take(stock, at)) is not None:
            book.move(at, stock, "transfer", found[0], wallet, found[1])
            held += found[1]
    write_ledger(book, stock, venue, held, book.cut_off - AGE)


def write_ledger(book: Book, stock: Stock, venue: str, held: int, as_of: datetime) -> None:
    """Share what the wallets hold out among customers, the house and what is on its way."""
    pots = ["customer"] * 3 + ["house", "withdrawal_pending", "received_not_credited"]
    cuts = sorted(book.dice.randrange(held + 1) for _ in pots[1:])
    parts = [high - low for low, high in zip([0, *cuts], [*cuts, held], strict=True)]
    in_shares = stock.multiplier(as_of) == 1 and book.dice.random() < 0.5
    for kind, raw in zip(pots, parts, strict=True):
        text = plain(raw * stock.unit(as_of)) if in_shares else str(raw)
        book.balances.append(
            Balance(venue, stock, kind, book.name("customer"), text, "shares" if in_shares else "raw", as_of)
        )
    # a customer in debt: netted with nobody
    debt = Balance(venue, stock, "customer", book.name("customer"), "-25", "raw", as_of)
    book.balances.append(debt)
