"""Defects of corporate actions: record, multiplier and custody that do not agree three ways."""

from datetime import timedelta
from fractions import Fraction

from books import days
from books.kinds import kind
from books.making import MINUTE
from books.model import Book, Declared, Step, Stock, Told, Truth, plain
from books.wrong_orders import truth

QUANTUM = Fraction(1, 10**9)
BARS = "chains whole split dividend late_split late_dividend nine"


def _step(book: Book, stock: Stock, factor: Fraction, asked: bool = False) -> Step:
    """A step minutes before the cut-off, when all orders of the book are done."""
    sent = book.cut_off - 4 * MINUTE
    step = Step(
        sent, sent - timedelta(hours=20) if asked else None, float(stock.multiplier(sent) * factor), book.name("tx")
    )
    stock.steps.append(step)
    return step


def _added(book: Book, stock: Stock, step: Step) -> Fraction:
    before = stock.multiplier(step.at - timedelta(microseconds=1))
    return (Fraction(step.value) - before) * book.owed_raw(stock, step.at) / stock.one


def _window(book: Book, stock: Stock, step: Step, identity: str) -> None:
    """What a step adds is to be booked: a window, whatever else is wrong with the step."""
    added = _added(book, stock, step)
    book.explain(stock, added)
    book.windows.setdefault(stock.symbol, []).append(Told("B4", stock.symbol, added, identity, notice=True))


@kind("B13", bars=BARS, claims="step")
def step_unannounced(book: Book, stock: Stock) -> Truth:
    """The multiplier rises, and no corporate action was declared."""
    step = _step(book, stock, Fraction(101, 100))
    return truth("step_unannounced", Told("B13", stock.symbol, None, step.reference))


@kind("B14", bars=BARS, claims="step")
def step_backdated(book: Book, stock: Stock) -> Truth:
    """A split's step is made twenty hours after the instant that it names."""
    step = _step(book, stock, Fraction(2), asked=True)
    assert step.asked is not None
    identity = book.name("CA")
    book.actions.append(
        Declared(
            identity, stock.isin, "split", step.asked - timedelta(days=1), step.asked, "2", ex_date=step.asked.date()
        )
    )
    _window(book, stock, step, identity)
    return truth("step_backdated", Told("B14", stock.symbol, None, step.reference))


@kind("B15", bars=BARS, claims="step")
def step_overridden(book: Book, stock: Stock) -> Truth:
    """An announced step is replaced by another before its time."""
    value = float(stock.multiplier(book.cut_off) * Fraction(102, 100))
    first = Step(book.cut_off - 6 * MINUTE, book.cut_off + timedelta(days=1), value, book.name("tx"), dropped=True)
    second = Step(book.cut_off - 4 * MINUTE, book.cut_off + timedelta(days=2), value, book.name("tx"))
    stock.steps += [first, second]
    return truth("step_overridden", Told("B15", stock.symbol, None, first.reference))


@kind("B16", needs="long", bars="chains whole late_split late_dividend split dividend")
def action_never_applied(book: Book, stock: Stock) -> Truth:
    """A dividend was declared, its day has passed, and the multiplier has not moved."""
    day = book.working_days()[-5]
    identity = book.name("CA")
    book.actions.append(
        Declared(
            identity, stock.isin, "dividend", days.moment(days.later(day, -2), 12), days.moment(day, 0, 30), "1.004",
            ex_date=day, cash_rate="0.5", withholding="0.3", by_csv=True,
        )
    )  # fmt: skip
    return truth("action_never_applied", Told("B16", stock.symbol, None, identity))


@kind("B17", bars=BARS, claims="step")
def step_of_another_rate(book: Book, stock: Stock) -> Truth:
    """The step is ten times the dividend that was declared."""
    step = _step(book, stock, Fraction(103, 100))
    identity = book.name("CA")
    book.actions.append(
        Declared(
            identity, stock.isin, "dividend", step.at - timedelta(days=1), step.at, "1.003", ex_date=days.on(step.at),
            pay_date=days.later(days.on(step.at), 2), cash_rate="0.5", withholding="0.3", by_csv=True,
        )
    )  # fmt: skip
    _window(book, stock, step, identity)
    return truth("step_of_another_rate", Told("B17", stock.symbol, None, step.reference))


@kind("B18", needs="split movements", claims="step")
def split_not_booked(book: Book, stock: Stock) -> Truth | None:
    """The split was declared and took effect, and the custodian never booked it, though its movements are all known."""
    action = next(a for a in book.actions if a.isin == stock.isin)
    booked = next(x for x in book.legs if x.action_id == action.action_id)
    if days.waited(days.on(action.effective_at), days.on(book.cut_off)) <= 3:
        return None
    later = {x.at for x in book.legs if x.isin == stock.isin and x.at >= booked.at}
    if min(book.held(stock, at) for at in later) < booked.shares:
        # shares were delivered that only the split brought: without it, custody could not have
        return None
    book.legs.remove(booked)
    return truth("split_not_booked", Told("B18", stock.symbol, booked.shares, action.action_id, within=QUANTUM))


@kind("B19", needs="dividend movements", claims="step")
def dividend_never_paid(book: Book, stock: Stock) -> Truth | None:
    """The pay date is long past, every movement since is known, and the cash is not among them."""
    action = next(a for a in book.actions if a.isin == stock.isin)
    paid = next((x for x in book.legs if x.action_id == action.action_id and x.cash), None)
    if paid is None or action.pay_date is None or days.waited(action.pay_date, days.on(book.cut_off)) <= 3:
        return None
    book.legs.remove(paid)
    return truth("dividend_never_paid", Told("B19", stock.symbol, None, action.action_id))


@kind("B19", needs="dividend movements", claims="step")
def dividend_of_another_size(book: Book, stock: Stock) -> Truth | None:
    """The cash that came is ten dollars less than rate × position × (1 − withholding)."""
    action = next(a for a in book.actions if a.isin == stock.isin)
    paid = next((x for x in book.legs if x.action_id == action.action_id and x.cash), None)
    if paid is None or paid.at > book.cut_off:
        return None
    paid.cash = plain(Fraction(paid.cash) - 10)
    return truth("dividend_of_another_size", Told("B19", stock.symbol, None, action.action_id))
