"""Other networks: what they hold, orders of tokens there, and bridge messages to and from them."""

from datetime import datetime, timedelta
from fractions import Fraction
from math import floor

from books import days
from books.model import Book, Lot, Message, Order, Reading, Stock, down, plain, up

MINUTE = timedelta(minutes=1)
EVM_DECIMALS = 18
READ_BEFORE = 40 * MINUTE
"""How long before the cut-off the network was read last."""


def begin(book: Book, stock: Stock) -> None:
    """Tokens that were issued on the other network before: shares were bought for them."""
    raw = book.size(stock, 2000, 3000)
    add(book, stock, raw)
    at = book.time(book.start, 16)
    book.leg(stock, up(raw * stock.unit(at), stock.place), "buy", at)
    read(book, stock, days.moment(book.start, 17, 30))


def add(book: Book, stock: Stock, raw: int | Fraction) -> None:
    """More, or less, is owed on the other network; it is kept in raw units of ours, and parts of them."""
    book.elsewhere_raw[stock.symbol] = book.elsewhere_raw.get(stock.symbol, Fraction(0)) + raw


def live(book: Book, stock: Stock) -> None:
    """Orders there, messages that arrived, then a second reading of the network shortly before the cut-off."""
    for day in book.working_days()[2:-1:2]:
        order(book, stock, book.time(day, 16), "redeem" if book.dice.random() < 0.4 else "issue")
    for day in book.working_days()[1:-1:3]:
        send(book, stock, book.time(day, 17), 20)
        if book.dice.random() < 0.5:
            receive(book, stock, book.time(day, 17), 20)
    read(book, stock, book.cut_off - READ_BEFORE)


def order(book: Book, stock: Stock, at: datetime, side: str, journal: bool = True, tokens: bool = True) -> Order:
    """An order of tokens there: shares are journaled, tokens minted or burned; nothing of it is on our chain."""
    shares, sign = down(book.size(stock, 20, 90) * stock.unit(at)), 1 if side == "issue" else -1
    made = Order(
        book.name("REQ" if side == "issue" else "RED"), stock, side, shares, None, "completed", at, at + 25 * MINUTE,
        book.name("participant"), book.name("hash"), by_json=book.dice.random() < 0.5, network="ethereum",
    )  # fmt: skip
    book.orders.append(made)
    if journal:
        book.leg(stock, sign * shares, "journal", at + 10 * MINUTE, request_id=made.request_id)
    if tokens:
        add(book, stock, sign * tokens_of(stock, shares, at))
    return made


def tokens_of(stock: Stock, shares: Fraction, at: datetime) -> Fraction:
    """How many raw units of ours shares make there: whole units of 18 decimals, the rest is kept."""
    there = floor(shares / stock.multiplier(at) * 10**EVM_DECIMALS)
    return Fraction(there * stock.one, 10**EVM_DECIMALS)


def count(book: Book, stock: Stock, raw: int | Fraction) -> None:
    """More is on the network, and its last reading has it."""
    add(book, stock, raw)
    reading = [r for r in book.readings if r.stock is stock][-1]
    decimals = int(reading.decimals) if reading.decimals else 0
    more = Fraction(raw) * 10**decimals / stock.one if reading.unit == "raw" else raw * stock.unit(reading.as_of)
    reading.text = plain(Fraction(reading.text) + more)


def read(book: Book, stock: Stock, as_of: datetime) -> None:
    """The network's own figure, in raw units of 18 decimals, or adjusted by the multiplier as it shows it."""
    raw = book.elsewhere_raw[stock.symbol]
    if stock.decimals < EVM_DECIMALS and ("odd" in stock.traits or book.dice.random() < 0.5):
        text = plain(raw * 10 ** (EVM_DECIMALS - stock.decimals))
        book.readings.append(Reading(stock, "ethereum", "raw", text, as_of, str(EVM_DECIMALS)))
    else:
        book.readings.append(Reading(stock, "ethereum", "adjusted", plain(raw * stock.unit(as_of)), as_of))


def send(book: Book, stock: Stock, at: datetime, minutes: int | None) -> Message | None:
    """Burn here, mint there after some minutes; None: it has not arrived."""
    if (found := book.take(stock, at)) is None:
        return None
    holder, raw = found
    identity = book.name("MSG")
    moved = book.move(at, stock, "burn", holder, "issuance", raw, memo=identity if book.dice.random() < 0.5 else None)
    delivered = None if minutes is None else at + minutes * MINUTE
    message = Message(identity, stock, "out", "ethereum", raw, moved.reference, at, delivered)
    book.messages.append(message)
    # on its way it is owed by neither network's figures, and owed all the same
    book.owe(stock, -raw, at)
    add(book, stock, raw)
    return message


def receive(book: Book, stock: Stock, at: datetime, minutes: int) -> Message:
    """Burned there, minted here straight to its holder."""
    raw = book.size(stock, 20, 90)
    holder, delivered = book.name("participant"), at + minutes * MINUTE
    moved = book.move(delivered, stock, "mint", "issuance", holder, raw, role="mint_authority")
    message = Message(book.name("MSG"), stock, "in", "ethereum", raw, moved.reference, at, delivered)
    book.messages.append(message)
    book.owe(stock, raw, delivered)
    add(book, stock, -raw)
    book.lots[stock.symbol].append(Lot(holder, raw, delivered))
    return message


def in_flight(book: Book, stock: Stock) -> bool:
    """Burned here half an hour before the cut-off; not there yet, or only after the network was read: still owed."""
    after_reading = book.dice.random() < 0.5
    at = book.cut_off - timedelta(minutes=30, seconds=book.dice.randrange(60))
    return send(book, stock, at, 12 if after_reading else None) is not None


def around_the_reading(book: Book, stock: Stock) -> bool:
    """An order made before the last reading and ended after it: the reading has its tokens, or does not yet."""
    at = book.cut_off - timedelta(minutes=50, seconds=book.dice.randrange(60))
    made = order(book, stock, at, "issue", tokens=False)
    if book.dice.random() < 0.5:
        count(book, stock, tokens_of(stock, made.shares or Fraction(0), at))
    else:
        book.explain(stock, -(made.shares or Fraction(0)))
    return True


def after_the_reading(book: Book, stock: Stock) -> bool:
    """An order made and ended after the last reading: its shares are in custody, its tokens in no figure."""
    at = book.cut_off - timedelta(minutes=35, seconds=book.dice.randrange(60))
    made = order(book, stock, at, "issue", tokens=False)
    book.explain(stock, -(made.shares or Fraction(0)))
    return True
