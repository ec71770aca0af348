"""Defects of orders, their tokens and their shares: the codes C."""

from datetime import date, datetime, timedelta
from fractions import Fraction
from math import floor

from books import days, elsewhere
from books.kinds import kind
from books.making import MINUTE
from books.model import Book, Label, Message, Order, Stock, Told, Truth, down

EVENING = 19
TURNS = "split dividend late_split late_dividend"


def truth(name: str, *told: Told) -> Truth:
    return Truth(name, told)


def evening(book: Book) -> datetime:
    """An instant of the last day at which all else is done."""
    return book.time(book.working_days()[-1], EVENING)


def evening_unit(book: Book, stock: Stock) -> Fraction:
    """Shares for one raw unit on the last evening: a step may come after it, before the cut-off."""
    return stock.unit(days.moment(book.working_days()[-1], EVENING))


def shares_of(book: Book, stock: Stock, raw: int) -> Fraction:
    """The shares that raw units stand for, in decimals that a custodian can book, enough of them."""
    exact = raw * evening_unit(book, stock)
    return exact if (exact * 10**9).denominator == 1 else down(exact) + Fraction(1, 10**9)


def ordered(book: Book, stock: Stock, side: str, raw: int, **more: object) -> Order:
    """An order in raw units of the last evening, completed half an hour later."""
    at = evening(book)
    order = Order(
        book.name("REQ" if side == "issue" else "RED"), stock, side, None, raw, "completed", at, at + 30 * MINUTE
    )
    for name, value in more.items():
        setattr(order, name, value)
    book.orders.append(order)
    return order


def release(book: Book, order: Order, raw: int, minutes: int = 20, to: str | None = None, **more: object) -> str:
    """Release tokens for an order, naming it in the memo; return the transaction's reference."""
    at = order.created_at + minutes * MINUTE
    wallet = to or book.name("participant")
    moved = book.move(
        at, order.stock, "transfer", "treasury", wallet, raw, memo=f"tieout/1 issue {order.request_id}", **more
    )
    book.owe(order.stock, raw, at)
    return moved.reference


def journal(book: Book, order: Order, raw: int, sign: int = 1) -> None:
    """Book the shares of an order."""
    at = order.created_at + 10 * MINUTE
    book.leg(order.stock, sign * shares_of(book, order.stock, raw), "journal", at, request_id=order.request_id)


def _waits(book: Book, order: Order) -> None:
    """Where the custodian's movements are known, they say for which order shares came: no surplus of their own."""
    if order.stock.has_movements:
        out = sum(m.raw for m in book.moves if m.memo == f"tieout/1 issue {order.request_id}" and m.at <= book.cut_off)
        waiting = shares_of(book, order.stock, order.raw or 0) - out * evening_unit(book, order.stock)
        book.explain(order.stock, -waiting)


@kind("C1")
def release_without_order(book: Book, stock: Stock) -> Truth:
    """Tokens leave the treasury, and nobody ordered them."""
    at = evening(book)
    raw = book.size(stock)
    moved = book.move(at, stock, "transfer", "treasury", book.name("stranger"), raw)
    book.owe(stock, raw, at)
    return truth("release_without_order", Told("C1", stock.symbol, raw, moved.reference))


@kind("C1")
def mint_to_a_stranger(book: Book, stock: Stock) -> Truth:
    """Tokens are minted straight to somebody, and nobody ordered them."""
    at = evening(book)
    raw = book.size(stock)
    moved = book.move(at, stock, "mint", "issuance", book.name("stranger"), raw, role="mint_authority")
    book.owe(stock, raw, at)
    return truth("mint_to_a_stranger", Told("C1", stock.symbol, raw, moved.reference))


@kind("C1", needs="movements long", bars=f"whole {TURNS}")
def order_without_its_journal(book: Book, stock: Stock) -> Truth:
    """Tokens went out against an order, and the shares never came, though every movement is known."""
    day = book.working_days()[-4]
    at, raw, request = book.time(day, EVENING), book.size(stock), book.name("REQ")
    order = Order(request, stock, "issue", None, raw, "completed", at, at + 30 * MINUTE)
    book.orders.append(order)
    release(book, order, raw)
    return truth("order_without_its_journal", Told("C1", stock.symbol, raw, request))


@kind("C1", needs="authorised")
def inventory_without_authority(book: Book, stock: Stock) -> Truth:
    """A mint into the treasury that no inventory order covers."""
    at = evening(book)
    raw = book.size(stock)
    moved = book.move(at, stock, "mint", "issuance", "treasury", raw, role="mint_authority")
    return truth("inventory_without_authority", Told("C1", stock.symbol, raw, moved.reference))


@kind("C2", bars="whole")
def deposit_without_mint(book: Book, stock: Stock) -> Truth:
    """An order is completed and its shares came, its tokens never went out."""
    raw = book.size(stock)
    order = ordered(book, stock, "issue", raw)
    journal(book, order, raw)
    _waits(book, order)
    return truth("deposit_without_mint", Told("C2", stock.symbol, raw, order.request_id))


@kind("C2", needs="movements long", bars=f"whole {TURNS}")
def journal_without_order(book: Book, stock: Stock) -> Truth:
    """Shares came four business days ago, and nobody knows what for."""
    at = book.time(book.working_days()[-5], EVENING)
    leg = book.leg(stock, shares_of(book, stock, book.size(stock)), "receive", at)
    return truth("journal_without_order", Told("C2", stock.symbol, leg.shares, leg.reference))


@kind("C2", needs="movements long", bars=f"whole {TURNS}")
def shares_waiting_too_long(book: Book, stock: Stock) -> Truth:
    """Shares of a pending order came four business days ago, and its tokens are still not out."""
    at, raw, request = book.time(book.working_days()[-5], EVENING), book.size(stock), book.name("REQ")
    book.orders.append(Order(request, stock, "issue", None, raw, "pending", at))
    leg = book.leg(stock, shares_of(book, stock, raw), "journal", at + 10 * MINUTE, request_id=request)
    return truth("shares_waiting_too_long", Told("C2", stock.symbol, leg.shares, request))


@kind("C3")
def return_without_order(book: Book, stock: Stock) -> Truth | None:
    """Tokens come to the redemption wallet, and no order says why; they stay owed."""
    at = evening(book)
    if (found := book.take(stock, at)) is None:
        return None
    moved = book.move(at, stock, "transfer", found[0], "redemption", found[1])
    return truth("return_without_order", Told("C3", stock.symbol, found[1], moved.reference))


@kind("C3", needs="movements long", bars=f"whole {TURNS}")
def redemption_without_delivery(book: Book, stock: Stock) -> Truth | None:
    """A redemption is called completed, and custody never delivered its shares, though every movement is known."""
    at = book.time(book.working_days()[-4], EVENING)
    if (found := book.take(stock, at)) is None:
        return None
    (holder, raw), request = found, book.name("RED")
    book.move(at + MINUTE, stock, "transfer", holder, "redemption", raw, memo=f"tieout/1 redeem {request}")
    book.orders.append(Order(request, stock, "redeem", None, raw, "completed", at, at + 30 * MINUTE))
    book.owe(stock, -raw, at + 30 * MINUTE)
    return truth("redemption_without_delivery", Told("C3", stock.symbol, raw, request))


@kind("C4", bars="whole")
def delivery_without_return(book: Book, stock: Stock) -> Truth:
    """A redemption is completed and its shares were delivered, its tokens never came back."""
    raw = book.size(stock, 1, 5)
    order = ordered(book, stock, "redeem", raw)
    journal(book, order, raw, -1)
    # one finding for the order that has no movement of tokens, whatever else is known of it
    return truth("delivery_without_return", Told("C4", stock.symbol, raw, order.request_id))


@kind("C4", needs="movements", bars="whole")
def delivery_without_order(book: Book, stock: Stock) -> Truth:
    """Shares went out of custody, and no order stands for them."""
    at = evening(book)
    leg = book.leg(stock, -shares_of(book, stock, book.size(stock, 1, 5)), "deliver", at)
    return truth("delivery_without_order", Told("C4", stock.symbol, leg.shares, leg.reference))


@kind("C5", bars="whole")
def released_too_much(book: Book, stock: Stock) -> Truth:
    """One raw unit too many is released."""
    raw = book.size(stock)
    order = ordered(book, stock, "issue", raw)
    journal(book, order, raw)
    release(book, order, raw + 1)
    return truth("released_too_much", Told("C5", stock.symbol, raw + 1, order.request_id))


@kind("C5", bars="whole")
def released_too_little(book: Book, stock: Stock) -> Truth:
    """A tenth of an order is not released."""
    raw = book.size(stock)
    order = ordered(book, stock, "issue", raw)
    journal(book, order, raw)
    release(book, order, raw - raw // 10)
    _waits(book, order)
    return truth("released_too_little", Told("C5", stock.symbol, raw - raw // 10, order.request_id))


@kind("C5", needs="movements", bars="whole")
def journal_of_another_quantity(book: Book, stock: Stock) -> Truth:
    """The shares that came are fewer than the order's."""
    raw, missing = book.size(stock), Fraction(3, 2)
    order = ordered(book, stock, "issue", raw, shares=None)
    at, shares = order.created_at, shares_of(book, stock, raw)
    order.raw, order.shares = None, shares
    tokens = floor(shares / evening_unit(book, stock))
    book.leg(stock, shares - missing, "journal", at + 10 * MINUTE, request_id=order.request_id)
    release(book, order, tokens)
    return truth("journal_of_another_quantity", Told("C5", stock.symbol, missing, order.request_id))


@kind("C6", needs="movements", bars="whole")
def fee_of_another_size(book: Book, stock: Stock) -> Truth:
    """Custody took a larger fee than the order declares."""
    order, fee = _with_fee(book, stock)
    too_much = Fraction(1, 8)
    book.leg(stock, -fee - too_much, "fee", order.created_at + 11 * MINUTE, request_id=order.request_id)
    release(book, order, floor(((order.shares or 0) - fee) / evening_unit(book, stock)))
    return truth("fee_of_another_size", Told("C6", stock.symbol, too_much, order.request_id))


@kind("C6", needs="movements", bars="whole")
def fee_not_kept_back(book: Book, stock: Stock) -> Truth:
    """Tokens were released for the fee too."""
    order, fee = _with_fee(book, stock)
    book.leg(stock, -fee, "fee", order.created_at + 11 * MINUTE, request_id=order.request_id)
    raw = floor((order.shares or 0) / evening_unit(book, stock))
    release(book, order, raw)
    return truth("fee_not_kept_back", Told("C6", stock.symbol, raw, order.request_id))


def _with_fee(book: Book, stock: Stock) -> tuple[Order, Fraction]:
    order, fee = ordered(book, stock, "issue", 0), Fraction(1, 4)
    shares = down(book.size(stock) * evening_unit(book, stock), 6)
    order.raw, order.shares, order.fee = None, shares, fee
    book.leg(stock, shares, "journal", order.created_at + 10 * MINUTE, request_id=order.request_id)
    return order, fee


@kind("C7", bars="whole")
def released_twice(book: Book, stock: Stock) -> Truth:
    """An order is filled, and filled again."""
    raw = book.size(stock)
    order = ordered(book, stock, "issue", raw)
    journal(book, order, raw)
    wallet = book.name("participant")
    release(book, order, raw, to=wallet)
    again = release(book, order, raw, 25, wallet)
    return truth("released_twice", Told("C7", stock.symbol, raw, again))


@kind("C7", bars="whole")
def two_orders_one_transaction(book: Book, stock: Stock) -> Truth:
    """Two orders claim the same release."""
    raw = book.size(stock)
    first, second = ordered(book, stock, "issue", raw), ordered(book, stock, "issue", raw)
    second.created_at = first.created_at + MINUTE
    second.settled_at = second.created_at + 30 * MINUTE
    moved = book.move(first.created_at + 20 * MINUTE, stock, "transfer", "treasury", book.name("participant"), raw)
    book.owe(stock, raw, moved.at)
    journal(book, first, raw)
    first.reference = second.reference = moved.reference
    return truth("two_orders_one_transaction", Told("C7", stock.symbol, raw, second.request_id))


@kind("C7", needs="movements", bars="whole")
def journal_twice(book: Book, stock: Stock) -> Truth:
    """The shares of an order came twice."""
    raw = book.size(stock)
    order = ordered(book, stock, "issue", raw)
    if (raw * evening_unit(book, stock) * 10**9).denominator != 1:
        order.raw, order.shares = None, shares_of(book, stock, raw)
    journal(book, order, raw)
    leg = book.leg(stock, shares_of(book, stock, raw), "journal", order.created_at + 12 * MINUTE,
                   request_id=order.request_id)  # fmt: skip
    release(book, order, floor(shares_of(book, stock, raw) / evening_unit(book, stock)))
    return truth("journal_twice", Told("C7", stock.symbol, leg.shares, leg.reference))


@kind("C8", needs="long", bars=f"whole {TURNS}")
def released_late(book: Book, stock: Stock) -> Truth:
    """The tokens of an order come four business days after its shares."""
    return _late(book, stock, "released_late", book.working_days()[-5], 4)


@kind("C8", needs="long holiday", bars=f"whole {TURNS}")
def released_late_over_a_holiday(book: Book, stock: Stock) -> Truth | None:
    """Two business days are allowed, and a holiday is none: the third one is late."""
    holidays = [d for d in days.HOLIDAYS if book.start < d < book.working_days()[-3]]
    if not holidays:
        return None
    first = days.later(holidays[-1], -1)
    if first <= book.start:
        return None
    # just in time, over the same holiday
    _late(book, stock, "", first, 2)
    return _late(book, stock, "released_late_over_a_holiday", first, 3)


def _late(book: Book, stock: Stock, name: str, first: date, business_days: int) -> Truth:
    at, raw, request = book.time(first, EVENING), book.size(stock), book.name("REQ")
    then = book.time(days.later(first, business_days), 18)
    order = Order(request, stock, "issue", None, raw, "completed", at, then + MINUTE)
    book.orders.append(order)
    journal(book, order, raw)
    book.move(then, stock, "transfer", "treasury", book.name("participant"), raw, memo=f"tieout/1 issue {request}")
    book.owe(stock, raw, then)
    return truth(name, Told("C8", stock.symbol, raw, request))


@kind("C8", needs="long", bars=TURNS)
def redeemed_late(book: Book, stock: Stock) -> Truth | None:
    """Tokens came back seven business days ago, and their shares are still not delivered."""
    at = book.time(book.working_days()[-8], EVENING)
    if (found := book.take(stock, at)) is None:
        return None
    (holder, raw), request = found, book.name("RED")
    book.move(at + MINUTE, stock, "transfer", holder, "redemption", raw, memo=f"tieout/1 redeem {request}")
    book.orders.append(Order(request, stock, "redeem", None, raw, "pending", at))
    return truth("redeemed_late", Told("C8", stock.symbol, raw, request))


@kind("C9", bars="whole")
def released_to_another_wallet(book: Book, stock: Stock) -> Truth:
    """The tokens of an order went to a wallet that is not the order's."""
    raw = book.size(stock)
    order = ordered(book, stock, "issue", raw, wallet=book.name("participant"))
    journal(book, order, raw)
    release(book, order, raw, to=book.name("stranger"))
    return truth("released_to_another_wallet", Told("C9", stock.symbol, raw, order.request_id))


@kind("C10")
def release_to_a_bridge_without_message(book: Book, stock: Stock) -> Truth:
    """Tokens go to a bridge's wallet, and no message says where they are bound."""
    at = evening(book)
    bridge, raw = book.name("bridge"), book.size(stock)
    book.labels.append(Label(bridge, "bridge"))
    moved = book.move(at, stock, "transfer", "treasury", bridge, raw)
    book.owe(stock, raw, at)
    return truth("release_to_a_bridge_without_message", Told("C10", stock.symbol, raw, moved.reference))


@kind("C10", needs="chains")
def message_without_movement(book: Book, stock: Stock) -> Truth:
    """A message says that tokens were burned here; nothing was, and there they are."""
    at = evening(book)
    raw, identity = book.size(stock, 1, 50), book.name("MSG")
    delivered = at + 5 * MINUTE
    book.messages.append(Message(identity, stock, "out", "ethereum", raw, book.name("tx"), at, delivered))
    elsewhere.count(book, stock, raw)
    return truth("message_without_movement", Told("C10", stock.symbol, raw, identity))


@kind("C10", needs="chains")
def bridge_stuck(book: Book, stock: Stock) -> Truth | None:
    """What was burned here is not there after thirty hours; it is still owed."""
    at = book.cut_off - timedelta(hours=30, seconds=book.dice.randrange(600))
    if (found := book.take(stock, at)) is None:
        return None
    (holder, raw), identity = found, book.name("MSG")
    moved = book.move(at, stock, "burn", holder, "issuance", raw)
    book.messages.append(Message(identity, stock, "out", "ethereum", raw, moved.reference, at, None))
    return truth("bridge_stuck", Told("C10", stock.symbol, raw, identity))


@kind("C5", needs="chains")
def message_of_another_quantity(book: Book, stock: Stock) -> Truth | None:
    """More is minted there than was burned here."""
    at = evening(book)
    if (found := book.take(stock, at)) is None:
        return None
    (holder, raw), identity, more = found, book.name("MSG"), 7 * stock.one
    moved = book.move(at, stock, "burn", holder, "issuance", raw)
    book.owe(stock, -raw, at)
    book.messages.append(Message(identity, stock, "out", "ethereum", raw + more, moved.reference, at, at + 5 * MINUTE))
    elsewhere.count(book, stock, raw + more)
    return truth("message_of_another_quantity", Told("C5", stock.symbol, more, identity))


@kind("C11", bars="whole")
def split_left_unfinished(book: Book, stock: Stock) -> Truth:
    """Two of three parts of an order were released, and it is called completed."""
    raw = book.size(stock, 30)
    part = raw // 3
    order = ordered(book, stock, "issue", raw)
    journal(book, order, raw)
    wallet = book.name("participant")
    release(book, order, part, 15, wallet)
    release(book, order, part + 1, 20, wallet)
    _waits(book, order)
    return truth("split_left_unfinished", Told("C11", stock.symbol, 2 * part + 1, order.request_id))


@kind("C12")
def rejected_but_released(book: Book, stock: Stock) -> Truth:
    """Tokens went out against an order that was refused."""
    raw = book.size(stock)
    order = ordered(book, stock, "issue", raw, status="rejected")
    order.settled_at = order.created_at + 5 * MINUTE
    release(book, order, raw)
    return truth("rejected_but_released", Told("C12", stock.symbol, raw, order.request_id))


@kind("C1", bars="whole")
def two_that_offset(book: Book, stock: Stock) -> Truth:
    """A release that nobody ordered, and an order of the same size whose tokens never went: the figures agree."""
    raw = book.size(stock)
    order = ordered(book, stock, "issue", raw)
    journal(book, order, raw)
    at = order.created_at + 20 * MINUTE
    moved = book.move(
        at, stock, "transfer", "treasury", book.name("stranger"), raw, memo=f"tieout/1 issue {book.name('NONE')}"
    )
    book.owe(stock, raw, at)
    _waits(book, order)
    return truth(
        "two_that_offset",
        Told("C1", stock.symbol, raw, moved.reference),
        Told("C2", stock.symbol, raw, order.request_id),
    )


@kind("C2", bars="whole")
def released_after_the_cut_off(book: Book, stock: Stock) -> Truth:
    """The desk calls an order completed, and its tokens go out one second after the cut-off."""
    raw = book.size(stock)
    order = ordered(book, stock, "issue", raw)
    journal(book, order, raw)
    _waits(book, order)
    at = book.cut_off + timedelta(seconds=1 + book.count)
    book.move(
        at, stock, "transfer", "treasury", book.name("participant"), raw, memo=f"tieout/1 issue {order.request_id}"
    )
    return truth("released_after_the_cut_off", Told("C2", stock.symbol, raw, order.request_id))


@kind("C5", needs="split")
def released_at_the_multiplier_of_before(book: Book, stock: Stock) -> Truth:
    """An order in shares is filled minutes after a split by as many tokens as before it."""
    action = next(a for a in book.actions if a.isin == stock.isin)
    at = action.effective_at + timedelta(minutes=2, seconds=book.dice.randrange(60))
    before = stock.unit(action.effective_at - MINUTE)
    shares = down(book.size(stock) * before, 6)
    raw, request = floor(shares / before), book.name("REQ")
    order = Order(request, stock, "issue", shares, None, "completed", at, at + 20 * MINUTE)
    book.orders.append(order)
    book.leg(stock, shares, "journal", at + 5 * MINUTE, request_id=request)
    release(book, order, raw, 10)
    return truth("released_at_the_multiplier_of_before", Told("C5", stock.symbol, raw, request))
