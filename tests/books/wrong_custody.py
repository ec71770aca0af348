"""Defects of custody, statements, trades and other networks' figures: the codes B."""

from datetime import timedelta
from fractions import Fraction
from math import floor

from books import days
from books.kinds import kind
from books.making import MINUTE
from books.model import Book, Loan, Order, Stock, Told, Trade, Truth, Wrapper, down
from books.windows import buy_and_book, escrow
from books.wrong_orders import EVENING, truth


def _unexplained(book: Book, stock: Stock) -> Fraction:
    """What custody has too much, when all that is to come or go is taken into account."""
    return book.backing(stock) - book.owed(stock) + book.explained.get(stock.symbol, Fraction(0))


def _misstated(book: Book, stock: Stock, by: Fraction, name: str) -> Truth | None:
    """State so many shares more, or fewer; never fewer than none."""
    wrong = book.misstated.get(stock.place, Fraction(0)) + by
    if book.held(stock, book.stated(stock)) + wrong < 0:
        return None
    book.misstated[stock.place] = wrong
    return truth(name)


@kind("B1", bars="dividend", claims="figure")
def position_short(book: Book, stock: Stock) -> Truth | None:
    """The statement has fewer shares than were ever moved there."""
    return _misstated(book, stock, -Fraction(book.dice.randint(2, 60)), "position_short")


@kind("B1", needs="movements", bars="whole dividend late_split late_dividend", claims="figure")
def shortfall_of_a_trade_told_twice(book: Book, stock: Stock) -> Truth | None:
    """Just the shares of a purchase are missing that is booked, and that the file of trades still calls pending."""
    return _misstated(book, stock, -buy_and_book(book, stock), "shortfall_of_a_trade_told_twice")


@kind("B2", bars="dividend", claims="figure")
def position_over(book: Book, stock: Stock) -> Truth | None:
    """The statement has more shares than were ever moved there."""
    return _misstated(book, stock, Fraction(book.dice.randint(2, 60)), "position_over")


@kind("B1", bars="odd split dividend late_split late_dividend nine whole", claims="figure", last=True)
def short_by_one_unit(book: Book, stock: Stock) -> Truth | None:
    """Exactly one raw unit is not backed: the smallest shortfall there is."""
    return _misstated(book, stock, -_unexplained(book, stock) - stock.unit(book.cut_off), "short_by_one_unit")


@kind("B2", bars="odd split dividend late_split late_dividend whole", claims="figure", last=True)
def over_by_one_quantum(book: Book, stock: Stock) -> Truth | None:
    """The surplus is exactly the bound: one quantum and the buffer."""
    return _misstated(book, stock, book.bounds(stock)[1] - _unexplained(book, stock), "over_by_one_quantum")


@kind("B9", bars="odd split dividend late_split late_dividend whole", claims="figure", last=True)
def over_within_the_bound(book: Book, stock: Stock) -> Truth | None:
    """One billionth less than that: rounding, which is counted and shown."""
    if book.explained.get(stock.symbol):
        return None
    gap = book.bounds(stock)[1] - Fraction(1, 10**10)
    return _misstated(book, stock, gap - _unexplained(book, stock), "over_within_the_bound")


@kind("B3", bars="whole late_split late_dividend")
def trade_overdue(book: Book, stock: Stock) -> Truth:
    """A purchase was to settle by now and is still pending: it explains nothing any more."""
    day = book.working_days()[-2]
    at = book.time(day, EVENING)
    shares, request = down(book.size(stock) * stock.unit(at), 6), book.name("REQ")
    raw, released = floor(shares / stock.unit(at)), at + 10 * MINUTE
    book.move(released, stock, "transfer", "treasury", book.name("participant"), raw, memo=f"tieout/1 issue {request}")
    book.orders.append(Order(request, stock, "issue", shares, None, "completed", at, released))
    book.owe(stock, raw, released)
    trade = Trade(stock.place, stock.isin, book.name("TR"), "buy", shares, at - 10 * MINUTE, days.later(day, 1))
    book.trades.append(trade)
    told = [Told("B3", stock.symbol, shares, trade.reference)]
    if stock.has_movements and days.on(book.cut_off) > trade.settles_on:
        # the day is over on which its shares had to come, and every movement is known
        told.append(Told("C1", stock.symbol, raw, request))
    return truth("trade_overdue", *told)


@kind("B5", needs="bare", bars="movements split dividend", alone=True)
def statement_too_old(book: Book, stock: Stock) -> Truth:
    """The last statement is two weeks old."""
    book.stale.add(stock.place)
    book.unknown.add(stock.symbol)
    return truth("statement_too_old", Told("B5", stock.symbol, None, stock.place.account))


@kind("B6", alone=True)
def position_missing(book: Book, stock: Stock) -> Truth:
    """The account is stated, and the share is not in it; or nothing was stated at all."""
    book.absent.add(stock.place)
    if book.dice.random() < 0.5:
        book.strange[stock.place] = [("US0231351067", Fraction(0))]
    book.unknown.add(stock.symbol)
    return truth("position_missing", Told("B6", stock.symbol, None, stock.place.account))


@kind("B7")
def unmapped_position(book: Book, stock: Stock) -> Truth:
    """A share lies in the account under an ISIN that belongs to no instrument."""
    size = Fraction(book.dice.randint(1, 500))
    book.strange.setdefault(stock.place, []).append(("US0231351067", size))
    return truth("unmapped_position", Told("B7", "*", size, stock.place.account))


@kind("B8", needs="chains", alone=True)
def network_unread(book: Book, stock: Stock) -> Truth:
    """Another network was not read at all."""
    book.readings = [r for r in book.readings if r.stock is not stock]
    book.unknown.add(stock.symbol)
    return truth("network_unread", Told("B8", stock.symbol, None, "ethereum"))


@kind("B8", needs="chains", alone=True)
def network_read_long_ago(book: Book, stock: Stock) -> Truth | None:
    """Another network's figure is older than a day."""
    last = [r for r in book.readings if r.stock is stock][-1]
    before = book.cut_off - timedelta(hours=24, minutes=1)
    if any(o.network and o.stock is stock and o.created_at > before for o in book.orders):
        # the figure may have that order's tokens, which were not there yet
        return None
    last.as_of = before
    book.unknown.add(stock.symbol)
    return truth("network_read_long_ago", Told("B8", stock.symbol, None, "ethereum"))


@kind("A7", needs="chains odd", alone=True)
def multiplier_rounded_elsewhere(book: Book, stock: Stock) -> Truth:
    """Another network has the multiplier of an API, cut to five decimals."""
    for reading in (r for r in book.readings if r.stock is stock):
        reading.multiplier = f"{stock.multiplier(book.cut_off).__float__():.5f}"
    book.unknown.add(stock.symbol)
    return truth("multiplier_rounded_elsewhere", Told("A7", stock.symbol, None, "ethereum"))


@kind("B10", claims="lent")
def shares_lent(book: Book, stock: Stock) -> Truth:
    """Shares in the account are lent or pledged, and back nothing."""
    size, what = Fraction(book.dice.randint(1, 40)), book.dice.choice(("lent", "pledged", "blocked"))
    book.encumbered[stock.place] = {what: size}
    return truth("shares_lent", Told("B10", stock.symbol, size, stock.place.account, notice=True))


@kind("B20")
def recall_overdue(book: Book, stock: Stock) -> Truth:
    """Shares were lent and called back; they were due the day before, and are not there."""
    called, due = (book.time(book.working_days()[n], 15) for n in (-4, -2))
    size, reference = Fraction(book.dice.randint(1, 90)), book.name("LN")
    book.loans.append(
        Loan(stock.place, stock.isin, reference, size, called - timedelta(days=9), called, due.date(), "500.25")
    )
    return truth("recall_overdue", Told("B20", stock.symbol, size, reference))


@kind("B21")
def wrapper_without_escrow(book: Book, stock: Stock) -> Truth:
    """A token that wraps this one promises a billionth of a share more than its escrow holds."""
    held, over = Fraction(book.dice.randint(10, 90)), Fraction(1, 10**9)
    name = f"x{stock.symbol}"
    book.wrappers.append(Wrapper(stock, "solana", name, held + over, held, book.cut_off - timedelta(minutes=9)))
    return truth("wrapper_without_escrow", Told("B21", stock.symbol, over, name))


@kind("B21")
def escrow_emptied(book: Book, stock: Stock) -> Truth | None:
    """A registered escrow gave back tokens that its wrapper still promises, and that its file still declares."""
    at = book.time(book.working_days()[-2], 18, 1)
    if (found := book.take(stock, at)) is None:
        return None
    holder, raw = found
    wrapper, gone = f"y{stock.symbol}", book.dice.choice((1, raw // 3))
    name = escrow(book, stock, wrapper, holder, raw, at)
    book.move(book.time(book.working_days()[-1], 15), stock, "transfer", name, holder, gone)
    short = gone * stock.unit(book.cut_off)
    declared = Told("B21", stock.symbol, -short, wrapper, notice=True)
    return truth("escrow_emptied", Told("B21", stock.symbol, short, wrapper), declared)
