"""The legitimate windows: moments at which custody and tokens differ, or seem to, and nothing is wrong.

Each adds itself to a clean book around its cut-off, says so to the book's accounts, and tells what may be shown.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from fractions import Fraction
from math import floor

from books import days, elsewhere
from books.making import MINUTE, mint_inventory, settle_leg
from books.model import Book, Label, Loan, Order, Stock, Trade, Wrapper, down


def journal_before_release(book: Book, stock: Stock) -> bool:
    """The shares of an order are in custody, its tokens come tomorrow."""
    if not stock.has_movements or stock.place.quantum == 1:
        return False
    at = book.time(book.working_days()[-1], 18, 2)
    shares = down(book.size(stock) * stock.unit(at))
    request = book.name("REQ")
    book.orders.append(Order(request, stock, "issue", shares, None, "pending", at, wallet=book.name("participant")))
    book.leg(stock, shares, "journal", at + 10 * MINUTE, request_id=request)
    book.explain(stock, -shares)
    return True


def unsettled_trade(book: Book, stock: Stock) -> bool:
    """Tokens are out, the shares behind them were bought on the last day and settle on the next one."""
    if stock.place.quantum == 1:
        return False
    day = book.working_days()[-1]
    at = book.time(day, 18, 2)
    shares = down(book.size(stock) * stock.unit(at))
    raw, request = floor(shares / stock.unit(at)), book.name("REQ")
    released = at + 10 * MINUTE
    book.move(released, stock, "transfer", "treasury", book.name("participant"), raw, memo=f"tieout/1 issue {request}")
    book.orders.append(Order(request, stock, "issue", shares, None, "completed", at, released))
    book.owe(stock, raw, released)
    book.trades.append(
        Trade(stock.place, stock.isin, book.name("TR"), "buy", shares, at - 10 * MINUTE, days.later(day, 1))
    )
    book.explain(stock, shares)
    return True


def told_by_both_files(book: Book, stock: Stock) -> bool:
    """A purchase of the last day is in custody already, and still pending by the file of trades."""
    if not stock.has_movements or stock.place.quantum == 1:
        return False
    buy_and_book(book, stock)
    return True


def buy_and_book(book: Book, stock: Stock) -> Fraction:
    """Buy shares for tokens that are out, early enough for custody to book them at once; return how many."""
    day = book.working_days()[-1]
    at = book.time(day, 18, 2)
    shares = down(book.size(stock) * stock.unit(at))
    raw, request = floor(shares / stock.unit(at)), book.name("REQ")
    released = at + 10 * MINUTE
    book.move(released, stock, "transfer", "treasury", book.name("participant"), raw, memo=f"tieout/1 issue {request}")
    book.orders.append(Order(request, stock, "issue", shares, None, "completed", at, released))
    book.owe(stock, raw, released)
    booked = book.leg(stock, shares, "buy", at + 5 * MINUTE, request_id=request)
    book.trades.append(
        Trade(stock.place, stock.isin, booked.reference, "buy", shares, at - 10 * MINUTE, days.later(day, 1))
    )
    return shares


def redemption_received(book: Book, stock: Stock) -> bool:
    """Tokens came back, on whatever day; their shares are delivered later, so they stay owed."""
    at = book.cut_off - timedelta(minutes=55, seconds=book.dice.randrange(60))
    if (found := book.take(stock, at)) is None:
        return False
    request = book.name("RED")
    book.move(at, stock, "transfer", found[0], "redemption", found[1], memo=f"tieout/1 redeem {request}")
    book.orders.append(Order(request, stock, "redeem", None, found[1], "pending", at - 5 * MINUTE, wallet=found[0]))
    return True


def inventory_mint(book: Book, stock: Stock) -> bool:
    """A mint into the treasury minutes before the cut-off."""
    mint_inventory(book, stock, book.cut_off - timedelta(minutes=10, seconds=book.dice.randrange(60)), 50_000)
    return True


def bridge_in_flight(book: Book, stock: Stock) -> bool:
    """Burned here, not minted there yet."""
    if "chains" not in stock.traits:
        return False
    return elsewhere.in_flight(book, stock)


def ordered_elsewhere(book: Book, stock: Stock) -> bool:
    """An order of tokens on another network that its last reading has not, or may not have, seen."""
    if "chains" not in stock.traits or not stock.has_movements:
        return False
    around = book.dice.random() < 0.5
    return elsewhere.around_the_reading(book, stock) if around else elsewhere.after_the_reading(book, stock)


def weekend(book: Book, stock: Stock) -> bool:
    """The last statement is of the last business day, and holders go on moving tokens."""
    at = book.cut_off - timedelta(minutes=70, seconds=book.dice.randrange(60))
    if (found := book.take(stock, at)) is None:
        return False
    book.move(at, stock, "transfer", found[0], book.name("holder"), found[1])
    return not days.works(days.on(book.cut_off))


def whole_share_rounding(book: Book, stock: Stock) -> bool:
    """A custodian of whole shares holds up to one share more than is owed."""
    if stock.place.quantum != 1:
        return False
    at = book.time(book.working_days()[-1], 18, 2)
    raw = book.size(stock)
    request, released = book.name("REQ"), at + 30 * MINUTE
    book.move(released, stock, "transfer", "treasury", book.name("participant"), raw, memo=request)
    book.orders.append(Order(request, stock, "issue", None, raw, "completed", at, released))
    book.owe(stock, raw, released)
    settle_leg(book, stock, raw * stock.unit(at), at + 20 * MINUTE, request_id=request)
    return True


def ex_date_before_pay_date(book: Book, stock: Stock) -> bool:
    """The multiplier rose in the night to the last day; cash, and shares for it, come later (``making.turn``)."""
    return "late_dividend" in stock.traits


def split_before_booking(book: Book, stock: Stock) -> bool:
    """The split took effect in the night, the custodian books it tomorrow (``making.turn``)."""
    return "late_split" in stock.traits


def fee_kept_back(book: Book, stock: Stock) -> bool:
    """An order whose fee is taken in shares, and for which so many tokens fewer are released."""
    if not stock.has_movements or stock.place.quantum == 1:
        return False
    at = book.time(book.working_days()[-1], 18, 2)
    unit, request, fee = stock.unit(at), book.name("REQ"), Fraction(1, 2)
    shares = down(book.size(stock) * unit, 6)
    raw, released = floor((shares - fee) / unit), at + 20 * MINUTE
    book.leg(stock, shares, "journal", at + 5 * MINUTE, request_id=request)
    book.leg(stock, -fee, "fee", at + 6 * MINUTE, request_id=request)
    book.move(released, stock, "transfer", "treasury", book.name("participant"), raw, memo=f"tieout/1 issue {request}")
    book.orders.append(Order(request, stock, "issue", shares, None, "completed", at, released, fee=fee))
    book.owe(stock, raw, released)
    return True


def released_in_parts(book: Book, stock: Stock) -> bool:
    """An order filled by two releases to the same wallet, that nothing but their sum tells."""
    if stock.place.quantum == 1:
        return False
    at = book.time(book.working_days()[-1], 18, 1)
    raw, request, wallet = book.size(stock, 40), book.name("REQ"), book.name("participant")
    book.orders.append(Order(request, stock, "issue", None, raw, "completed", at, at + 30 * MINUTE, wallet))
    for part, minutes in ((raw // 3, 22), (raw - raw // 3, 24)):
        book.move(at + minutes * MINUTE, stock, "transfer", "treasury", wallet, part)
        book.owe(stock, part, at + minutes * MINUTE)
    settle_leg(book, stock, raw * stock.unit(at), at + 20 * MINUTE, request_id=request)
    return True


def refused_and_given_back(book: Book, stock: Stock) -> bool:
    """A redemption that was refused: its tokens go back to whom they came from."""
    at = book.time(book.working_days()[-1], 18, 2)
    if (found := book.take(stock, at)) is None:
        return False
    (holder, raw), request = found, book.name("RED")
    book.move(at + MINUTE, stock, "transfer", holder, "redemption", raw, memo=f"tieout/1 redeem {request}")
    book.orders.append(Order(request, stock, "redeem", None, raw, "rejected", at, at + 9 * MINUTE))
    book.move(at + 12 * MINUTE, stock, "transfer", "redemption", holder, raw)
    return True


def lent_and_recalled(book: Book, stock: Stock) -> bool:
    """Shares of the account are lent, against cash, and were called back; they are due tomorrow."""
    day = book.working_days()[-1]
    lent, recalled = book.time(book.working_days()[-3], 15), book.time(day, 15)
    size, due = Fraction(book.dice.randint(1, 90)), days.later(day, 1)
    book.loans.append(Loan(stock.place, stock.isin, book.name("LN"), size, lent, recalled, due, f"{size * 200}.5"))
    return True


def wrapped(book: Book, stock: Stock) -> bool:
    """Some of the tokens lie in the escrow of a wrapper, which promises no more than that."""
    held = Fraction(book.dice.randint(10, 90))
    at = book.cut_off - timedelta(minutes=book.dice.randint(5, 50))
    book.wrappers.append(Wrapper(stock, "solana", f"w{stock.symbol}", held - book.dice.randint(0, 1), held, at))
    return True


def wrapped_and_registered(book: Book, stock: Stock) -> bool:
    """A holder gave tokens to the escrow of a wrapper, whose account the registry names, and got as many for them."""
    at = book.time(book.working_days()[-2], 18, 1)
    if (found := book.take(stock, at)) is None:
        return False
    escrow(book, stock, f"v{stock.symbol}", *found, at)
    return True


def escrow(book: Book, stock: Stock, wrapper: str, holder: str, raw: int, at: datetime) -> str:
    """Wrap a holder's tokens; return whose they are then."""
    name = f"escrow of {wrapper}"
    book.labels.append(Label(name, "escrow", stock, wrapper=wrapper))
    book.move(at, stock, "transfer", holder, name, raw)
    told = Fraction(raw)
    book.wrappers.append(Wrapper(stock, "solana", wrapper, told, told, book.cut_off - timedelta(minutes=7), raw=True))
    return name


Window = Callable[[Book, Stock], bool]
WINDOWS: tuple[Window, ...] = (
    journal_before_release, unsettled_trade, told_by_both_files, redemption_received, ex_date_before_pay_date,
    split_before_booking, weekend, inventory_mint, bridge_in_flight, ordered_elsewhere, whole_share_rounding,
    fee_kept_back, released_in_parts, refused_and_given_back, lent_and_recalled, wrapped, wrapped_and_registered,
)  # fmt: skip


def add_windows(book: Book, chance: float = 0.5) -> list[str]:
    """Add windows to the stocks of a book; return the names of those that are open."""
    added = []
    for stock in book.stocks:
        for window in WINDOWS:
            if book.dice.random() < chance and window(book, stock):
                added.append(window.__name__)
    return added
