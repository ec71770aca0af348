"""Other networks: what they hold, and bridge messages to and from them."""

from datetime import datetime, timedelta

from books.model import Book, Lot, Message, Reading, Stock, plain, up

MINUTE = timedelta(minutes=1)
EVM_DECIMALS = 18


def begin(book: Book, stock: Stock) -> None:
    """Tokens that were issued on the other network before: shares were bought for them."""
    raw = book.size(stock, 2000, 3000)
    add(book, stock, raw)
    at = book.time(book.start, 16)
    book.leg(stock, up(raw * stock.unit(at), stock.place), "buy", at)


def add(book: Book, stock: Stock, raw: int) -> None:
    """More, or less, is owed on the other network; it is kept in raw units of ours."""
    book.elsewhere_raw[stock.symbol] = book.elsewhere_raw.get(stock.symbol, 0) + raw


def live(book: Book, stock: Stock) -> None:
    """Messages that arrived, then one reading of the network shortly before the cut-off."""
    for day in book.working_days()[1:-1:3]:
        send(book, stock, book.time(day, 17), 20)
        if book.dice.random() < 0.5:
            receive(book, stock, book.time(day, 17), 20)
    read(book, stock)


def read(book: Book, stock: Stock) -> None:
    """The network's own figure, in raw units of 18 decimals, or adjusted by the multiplier as it shows it."""
    as_of, raw = book.cut_off - 40 * MINUTE, book.elsewhere_raw[stock.symbol]
    if stock.decimals < EVM_DECIMALS and ("odd" in stock.traits or book.dice.random() < 0.5):
        text = str(raw * 10 ** (EVM_DECIMALS - stock.decimals))
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
