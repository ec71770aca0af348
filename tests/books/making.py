"""Making a clean book: an issuer's days, from the mint's creation to the cut-off, in order of time."""

from collections.abc import Callable, Collection
from datetime import date, datetime, timedelta
from fractions import Fraction
from math import ceil, floor
from random import Random

from books import days, elsewhere, venues
from books.cash import settle_in_cash
from books.coins import send_coins
from books.model import Book, Declared, Lot, Order, Place, Step, Stock, Told, Trade, down, plain, up

MINUTE = timedelta(minutes=1)
RELEASED_AFTER = 21 * MINUTE
"""How long after the shares the tokens of an order have moved."""
TAX = Fraction(3, 10)
"""Withheld on US dividends."""
SHARES = (("AAPLx", "US0378331005"), ("TSLAx", "US88160R1014"), ("MSFTx", "US5949181045"), ("NVDAx", "US67066G1040"))
NATURES = ("plain", "whole", "split", "dividend", "late_split", "late_dividend", "chains")
"""What a stock goes through: one of these. Late: in the night to the last day, booked after the cut-off."""
TURNING = frozenset({"split", "dividend", "late_split", "late_dividend"})
HABITS = ("movements", "odd", "venue", "large", "authorised")
LONG = 9
"""Business days from which a book is long enough for what takes its time."""
INVENTORY = 2_000_000
"""Tokens minted in advance."""
ODD = (1.0026642075893797, 1.0032690125398187, 1.001701196801074)
"""Multipliers of live mints."""


def make(seed: int, needs: Collection[str] = ()) -> Book:
    """A clean book of a seed.

    ``needs``: traits that its first stock must have, ``bare``: no movements.
    """
    dice = Random(seed)
    length = dice.randint(14 if needs else 5, 30)
    last = date(2026, 2, 10) + timedelta(days=dice.randrange(280))
    start = last - timedelta(days=length)
    while not days.works(start):
        start -= days.DAY
    book = Book(seed, dice, start, days.moment(last, 21))
    for number in range(dice.randint(1, 4)):
        _stock(book, number, needs if number == 0 else ())
    for stock in book.stocks:
        _live(book, stock)
        _afterwards(book, stock)
    settle_in_cash(book)
    send_coins(book)
    return book


def _stock(book: Book, number: int, needs: Collection[str]) -> None:
    dice, short = book.dice, len(book.working_days()) < 8
    nature = next((n for n in NATURES if n in needs), None)
    nature = nature or dice.choice(("plain", "whole", "chains") if short or needs else NATURES)
    traits = {nature} | {t for t in HABITS if t in needs or dice.random() < 0.35}
    traits -= {"odd"} if nature == "whole" else set()
    traits -= {"movements"} if "bare" in needs else set()
    traits |= {"long"} if len(book.working_days()) >= LONG else set()
    symbol, isin = SHARES[number]
    place = Place("bank", f"0815-{number}", 10**9) if nature == "whole" else Place("alpaca", f"ITN-{number}")
    turns = bool(traits & {"odd", *TURNING})
    opened = days.moment(book.start, 9, number)
    book.stocks.append(
        Stock(
            symbol, isin, f"mint of {symbol}", 8 if turns else dice.choice((6, 8, 8, 9)), place, "movements" in traits,
            frozenset(traits), Fraction(1, 1000) if turns else Fraction(dice.choice((0, 0, 1)), 10**4),
            [Step(opened, None, dice.choice(ODD) if "odd" in traits else 1.0, book.name("tx"))],
            ("ethereum",) if nature == "chains" else (), "0.02" if "large" in traits else "", "authorised" in traits,
        )
    )  # fmt: skip


def mint_inventory(book: Book, stock: Stock, at: datetime, tokens: int) -> None:
    """Mint into the treasury: nothing is owed for it, and only an authorisation is needed, where it is."""
    raw = tokens * stock.one
    request = book.name("INV")
    if stock.authorised:
        book.orders.append(Order(request, stock, "inventory", None, raw, "completed", at - MINUTE, at - MINUTE))
    memo = f"tieout/1 inventory {request}" if stock.authorised and book.dice.random() < 0.5 else None
    book.move(at, stock, "mint", "issuance", "treasury", raw, memo=memo, role="mint_authority")


def _live(book: Book, stock: Stock) -> None:
    dice, worked = book.dice, book.working_days()
    mint_inventory(book, stock, days.moment(book.start, 10, len(book.stocks)), INVENTORY)
    book.lots[stock.symbol] = []
    issue(book, stock, worked[0], book.size(stock, 3000, 6000))
    if "chains" in stock.traits:
        elsewhere.begin(book, stock)
    acts: list[tuple[Callable[[Book, Stock, date], object], int]] = [
        (issue, 4), (redeem, 3), (burn_and_sell, 1), (seize, 1), (restock, 1), (hand_on, 2),
    ]  # fmt: skip
    # before the split is booked, nobody can be delivered the shares that it brings
    careful = [(act, n) for act, n in acts if act not in (redeem, burn_and_sell)]
    turning = {"split": len(worked) // 2, "dividend": len(worked) // 2}
    turning |= {"late_split": len(worked) - 1, "late_dividend": len(worked) - 1}
    turns = [worked[n] for nature, n in turning.items() if nature in stock.traits]
    for day in worked[1:]:
        if day in turns:
            turn(book, stock, day)
        pay_dividends(book, stock, day)
        late = bool(stock.traits & {"late_split", "late_dividend"}) and day == worked[-1]
        able = careful if late else acts
        for number, act in enumerate(dice.choices([a for a, _ in able], [n for _, n in able], k=dice.randrange(3))):
            # each act has ended before the next one begins: what it books depends on what was booked before
            book.hour = 13 + 2 * number
            act(book, stock, day)
        book.hour = 13
    if "chains" in stock.traits:
        elsewhere.live(book, stock)
    if "venue" in stock.traits:
        venues.open_venue(book, stock)


def _afterwards(book: Book, stock: Stock) -> None:
    """What happens after the cut-off, and must not be seen."""
    at = book.cut_off + timedelta(hours=2, seconds=len(book.moves))
    raw = book.size(stock)
    book.move(at, stock, "transfer", "treasury", book.name("late"), raw)
    book.orders.append(Order(book.name("REQ"), stock, "issue", None, book.size(stock), "pending", at))


def settle_leg(book: Book, stock: Stock, wanted: Fraction, at: datetime, kind: str = "journal", **more: str) -> None:
    """Book the shares of an order: to the nano, or so that the account has whole shares and enough of them."""
    place = stock.place
    if place.quantum == 1:
        target = Fraction(ceil(book.owed_raw(stock, at + RELEASED_AFTER) * stock.unit(at)))
        book.leg(stock, target - book.held(stock, at), kind, at, **more)
    else:
        book.leg(stock, up(wanted, place) if wanted > 0 else -down(-wanted), kind, at, **more)


def issue(book: Book, stock: Stock, day: date, raw: int | None = None) -> Order:
    """An order to issue: shares are journaled, then tokens released, and found by memo, signature or quantity."""
    dice, created = book.dice, book.time(day)
    released, unit = created + 40 * MINUTE, stock.unit(created)
    size = raw or book.size(stock)
    shares = down(size * unit) if dice.random() < 0.5 else None
    size = floor(shares / unit) if shares is not None else size
    request, wallet = book.name("REQ"), book.name("participant")
    by = dice.choice(("memo", "signature", "quantity"))
    moved = book.move(
        released,
        stock,
        "transfer",
        "treasury",
        wallet,
        size,
        memo=f"tieout/1 issue {request}" if by == "memo" else None,
    )
    order = Order(
        request, stock, "issue", shares, None if shares is not None else size, "completed", created, released,
        wallet if dice.random() < 0.6 else None, moved.reference if by == "signature" else None,
        by_json=shares is not None and dice.random() < 0.4,
    )  # fmt: skip
    book.orders.append(order)
    book.owe(stock, size, released)
    settle_leg(book, stock, shares if shares is not None else size * unit, created + 20 * MINUTE, request_id=request)
    book.lots[stock.symbol].append(Lot(wallet, size, released))
    return order


def redeem(book: Book, stock: Stock, day: date) -> Order | None:
    """An order to redeem: tokens come to the redemption wallet, shares are delivered, tokens go to the treasury."""
    created = book.time(day)
    if (found := book.take(stock, created)) is None:
        return None
    (holder, raw), unit, request = found, stock.unit(created), book.name("RED")
    in_shares = stock.decimals < 9 and book.dice.random() < 0.5
    by_memo = book.dice.random() < 0.6
    moved = book.move(
        created + 10 * MINUTE, stock, "transfer", holder, "redemption", raw,
        memo=f"tieout/1 redeem {request}" if by_memo else None,
    )  # fmt: skip
    order = Order(
        request, stock, "redeem", down(raw * unit) if in_shares else None, None if in_shares else raw, "completed",
        created, created + 35 * MINUTE, holder, None if by_memo else moved.reference,
        by_json=in_shares and book.dice.random() < 0.4,
    )  # fmt: skip
    book.orders.append(order)
    book.owe(stock, -raw, created + 35 * MINUTE)
    settle_leg(book, stock, -raw * unit, created + 30 * MINUTE, request_id=request)
    book.move(created + 50 * MINUTE, stock, "transfer", "redemption", "treasury", raw)
    return order


def burn_and_sell(book: Book, stock: Stock, day: date) -> None:
    """A holder burns tokens and gives up the claim; the issuer sells the shares behind them."""
    at = book.time(day)
    if (found := book.take(stock, at)) is None:
        return
    holder, raw = found
    moved = book.move(at, stock, "burn", holder, "issuance", raw)
    book.owe(stock, -raw, at)
    settle_leg(book, stock, -raw * stock.unit(at), at + 30 * MINUTE, kind="sell")
    book.told.append(_notice("C3", stock, raw, moved.reference))


def seize(book: Book, stock: Stock, day: date) -> None:
    """The permanent delegate moves a holder's tokens into the treasury: they stay owed."""
    at = book.time(day)
    if (found := book.take(stock, at)) is None:
        return
    holder, raw = found
    moved = book.move(at, stock, "transfer", holder, "treasury", raw, role="permanent_delegate")
    book.told.append(_notice("A9", stock, raw, moved.reference))


def restock(book: Book, stock: Stock, day: date) -> None:
    """Mint more into the treasury."""
    mint_inventory(book, stock, book.time(day), 1000 + book.dice.randrange(1000))


def hand_on(book: Book, stock: Stock, day: date) -> None:
    """Holders move tokens among themselves: nothing is owed more or less for it."""
    at = book.time(day)
    if (found := book.take(stock, at)) is None:
        return
    other = book.name("holder")
    book.move(at, stock, "transfer", found[0], other, found[1])
    book.lots[stock.symbol].append(Lot(other, found[1], at))


def turn(book: Book, stock: Stock, day: date) -> Declared:
    """The multiplier's step of a split or dividend that takes effect in the night to a day, announced before."""
    at, late = days.moment(day, 0, 30), bool(stock.traits & {"late_split", "late_dividend"})
    before, identity = stock.multiplier(at), book.name("CA")
    made = days.moment(days.later(day, -2), 12, 5 + len(book.actions))
    if stock.traits & {"split", "late_split"}:
        factor = Fraction(book.dice.choice((2, 4, 10, Fraction(1, 2))))
        kind = "split" if factor > 1 else "reverse_split"
        action = Declared(identity, stock.isin, kind, made - MINUTE, at, str(factor), ex_date=day)
    else:
        rate, price = Fraction(book.dice.randint(10, 90), 100), Fraction(book.dice.randint(9000, 40000), 100)
        factor = 1 + rate * (1 - TAX) / price
        action = Declared(
            identity, stock.isin, "dividend", made - MINUTE, at, str(factor), ex_date=day, record_date=day,
            pay_date=days.later(day, 3 if late else 1), cash_rate=plain(rate), withholding=plain(TAX),
        )  # fmt: skip
    book.actions.append(action)
    stock.steps.append(Step(made, at, float(before * factor), book.name("tx")))
    added = (stock.multiplier(at) - before) * book.owed_raw(stock, at) / stock.one
    if late:
        book.explain(stock, added)
        book.windows.setdefault(stock.symbol, []).append(Told("B4", stock.symbol, added, identity, notice=True))
    elif "split" in stock.traits:
        booked = up(added, stock.place) if added > 0 else -down(-added)
        book.leg(stock, booked, "split", days.moment(day, 12, 10), action_id=identity)
    return action


def pay_dividends(book: Book, stock: Stock, day: date) -> None:
    """Cash on the pay date, a trade that reinvests it, and its settlement one business day later."""
    for action in book.actions:
        if action.isin != stock.isin or action.kind != "dividend" or action.pay_date is None:
            continue
        at, identity = action.effective_at, action.action_id
        added = (stock.multiplier(at) - stock.multiplier(at - MINUTE)) * book.owed_raw(stock, at) / stock.one
        bought, settles = up(added, stock.place), days.later(action.pay_date, 1)
        if day == action.pay_date:
            record = days.moment(action.record_date or day, 23)
            due = book.held(stock, record) * Fraction(action.cash_rate) * (1 - TAX)
            cash = plain(Fraction(round(due * 100), 100))
            book.leg(
                stock, Fraction(0), "dividend", days.moment(day, 12, 20), action_id=identity, cash=cash, currency="USD"
            )
            book.trades.append(
                Trade(stock.place, stock.isin, book.name("TR"), "buy", bought, days.moment(day, 12, 40), settles,
                      action_id=identity)
            )  # fmt: skip
        elif day == settles:
            trade = next(t for t in book.trades if t.action_id == identity)
            trade.status, trade.status_at = "settled", days.moment(day, 12, 50)
            book.leg(stock, bought, "reinvest", days.moment(day, 12, 50), action_id=identity)


def _notice(code: str, stock: Stock, raw: int, reference: str) -> Told:
    return Told(code, stock.symbol, raw, reference, notice=True)
