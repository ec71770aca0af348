"""A book in business terms: who holds what, what was ordered, moved, declared and stated. Nothing of the detector.

A book is made clean (``making``), then defects change it (``defects``), then it is rendered to chain rows
(``chain``) and files (``papers``). It keeps its own accounts: what is owed in raw units, what custody really
moved, what evidence explains a gap; ``figures`` tells from them what a controller must be told.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from fractions import Fraction
from math import ceil, floor
from random import Random
from typing import Any

from books import days

NINE = 10**9


@dataclass(frozen=True)
class Told:
    """One thing that a reconciliation must say: the taxonomy's code, of which stock, how much, about what.

    ``size``: raw units (int) or shares (Fraction), None where the thing has none. ``about``: the request id,
    signature, account or other reference that must stand with it. ``notice``: it explains itself and is no break.
    ``within``: how far the size may lie off, where custody can only book whole quanta of it.
    """

    code: str
    symbol: str
    size: int | Fraction | None = None
    about: str | None = None
    notice: bool = False
    within: Fraction = Fraction(0)


@dataclass(frozen=True)
class Truth:
    """What one defect must make a reconciliation say; ``stock`` is where. Gaps in the figures are told by the book."""

    kind: str
    told: tuple[Told, ...]


@dataclass(frozen=True)
class Place:
    """An account of a custodian. ``nano``: its smallest bookable quantity, in billionths of a share."""

    custodian: str
    account: str
    nano: int = 1

    @property
    def quantum(self) -> Fraction:
        return Fraction(self.nano, NINE)


@dataclass
class Step:
    """A setting of the multiplier: sent when, in force from when, and the number as a double."""

    sent_at: datetime
    asked: datetime | None
    value: float
    reference: str
    dropped: bool = False

    @property
    def at(self) -> datetime:
        return self.sent_at if self.asked is None else max(self.asked, self.sent_at)


@dataclass
class Stock:
    """A tokenized share, and how its issuer runs it."""

    symbol: str
    isin: str
    mint: str
    decimals: int
    place: Place
    has_movements: bool
    traits: frozenset[str]
    buffer: Fraction
    steps: list[Step]
    networks: tuple[str, ...] = ()
    large_share: str = ""
    authorised: bool = False
    known_decimals: int | None = None

    @property
    def one(self) -> int:
        return int(10**self.decimals)

    def multiplier(self, at: datetime) -> Fraction:
        """The multiplier in force, exact."""
        known = [s for s in self.steps if s.at <= at and not s.dropped]
        return Fraction(max(known, key=lambda s: (s.at, s.sent_at)).value)

    def unit(self, at: datetime) -> Fraction:
        """Shares for one raw unit."""
        return self.multiplier(at) / self.one


@dataclass
class Move:
    """A movement of tokens on chain. Names stand for owners; ``issuance`` and ``confidential`` for themselves."""

    at: datetime
    stock: Stock
    kind: str
    source: str
    destination: str
    raw: int
    reference: str
    memo: str | None = None
    role: str = "owner"
    twice: bool = False
    blockless: bool = False


@dataclass
class Control:
    """A control on chain: pause, freeze, a changed authority."""

    at: datetime
    stock: Stock
    kind: str
    reference: str
    account: str | None
    details: dict[str, Any]


@dataclass
class Doubt:
    """What the indexer itself could not prove: a transaction in quarantine, an audit's open finding."""

    stock: Stock
    kind: str
    at: datetime
    reference: str
    text: str


@dataclass
class Order:
    """An order of the primary market; in shares or in raw units. ``network``: another one, else ours."""

    request_id: str
    stock: Stock
    side: str
    shares: Fraction | None
    raw: int | None
    status: str
    created_at: datetime
    settled_at: datetime | None = None
    wallet: str | None = None
    reference: str | None = None
    fee: Fraction | None = None
    by_json: bool = False
    network: str = ""
    # settled in cash: how much, of which currency
    cash: Fraction | None = None
    currency: str = ""


@dataclass
class Payment:
    """Money that came in or went out for an order; ``request_id`` empty: it names none.

    ``transaction``: of coins on chain, the reference that names it; ``moved`` what it moved, None: the amount.
    """

    reference: str
    direction: str
    amount: Fraction
    currency: str
    at: datetime
    request_id: str
    transaction: str = ""
    moved: Fraction | None = None


@dataclass
class Leg:
    """What a custodian moved. ``shown``: it stands in the file of movements."""

    place: Place
    isin: str
    shares: Fraction
    kind: str
    reference: str
    at: datetime
    request_id: str = ""
    action_id: str = ""
    cash: str = ""
    currency: str = ""
    shown: bool = True


@dataclass
class Trade:
    """A trade that has not settled, or has."""

    place: Place
    isin: str
    reference: str
    side: str
    shares: Fraction
    traded_at: datetime
    settles_on: date
    status: str = "pending"
    status_at: datetime | None = None
    action_id: str = ""


@dataclass
class Declared:
    """A corporate action as somebody declared it. ``by_csv``: it says something that no message can."""

    action_id: str
    isin: str
    kind: str
    announced_at: datetime
    effective_at: datetime
    factor: str = ""
    status: str = "announced"
    ex_date: date | None = None
    record_date: date | None = None
    pay_date: date | None = None
    cash_rate: str = ""
    withholding: str = ""
    by_csv: bool = False


@dataclass
class Message:
    """A bridge message."""

    message_id: str
    stock: Stock
    direction: str
    network: str
    raw: int
    reference: str
    sent_at: datetime
    delivered_at: datetime | None


@dataclass
class Reading:
    """What another network held; ``text`` is the quantity as it is written."""

    stock: Stock
    network: str
    unit: str
    text: str
    as_of: datetime
    decimals: str = ""
    multiplier: str = ""


@dataclass
class Wrapper:
    """Another token, each of which is a claim on the stock's own, and what its escrow holds; ``raw`` or in shares."""

    stock: Stock
    network: str
    name: str
    supply: Fraction
    escrowed: Fraction
    as_of: datetime
    raw: bool = False


@dataclass
class Loan:
    """Shares that a custodian lent out of an account: its statements no longer have them."""

    place: Place
    isin: str
    reference: str
    shares: Fraction
    lent_at: datetime
    recalled_at: datetime | None = None
    due_on: date | None = None
    cash: str = ""


@dataclass
class Balance:
    """A line of a venue's own ledger."""

    venue: str
    stock: Stock
    kind: str
    account: str
    text: str
    unit: str
    as_of: datetime


@dataclass
class Lot:
    """What a participant got by one order and still holds."""

    holder: str
    raw: int
    since: datetime


@dataclass
class Label:
    """A wallet of the registry; ``account``: the entry names its token account of that stock."""

    name: str
    role: str
    stock: Stock | None = None
    valid_from: datetime | None = None
    valid_to: datetime | None = None
    venue: str = ""
    wrapper: str = ""


@dataclass
class Book:
    """All of it, and the accounts that the book keeps of itself."""

    seed: int
    dice: Random
    start: date
    cut_off: datetime
    stocks: list[Stock] = field(default_factory=list)
    moves: list[Move] = field(default_factory=list)
    controls: list[Control] = field(default_factory=list)
    doubts: list[Doubt] = field(default_factory=list)
    orders: list[Order] = field(default_factory=list)
    legs: list[Leg] = field(default_factory=list)
    trades: list[Trade] = field(default_factory=list)
    payments: list[Payment] = field(default_factory=list)
    actions: list[Declared] = field(default_factory=list)
    messages: list[Message] = field(default_factory=list)
    readings: list[Reading] = field(default_factory=list)
    wrappers: list[Wrapper] = field(default_factory=list)
    loans: list[Loan] = field(default_factory=list)
    balances: list[Balance] = field(default_factory=list)
    labels: list[Label] = field(default_factory=list)
    venues: list[str] = field(default_factory=list)
    lots: dict[str, list[Lot]] = field(default_factory=dict)
    # the book's accounts
    owings: dict[str, list[tuple[datetime, int]]] = field(default_factory=dict)
    elsewhere_raw: dict[str, Fraction] = field(default_factory=dict)
    explained: dict[str, Fraction] = field(default_factory=dict)
    told: list[Told] = field(default_factory=list)
    windows: dict[str, list[Told]] = field(default_factory=dict)
    # what is wrong or special about statements, by account
    misstated: dict[Place, Fraction] = field(default_factory=dict)
    encumbered: dict[Place, dict[str, Fraction]] = field(default_factory=dict)
    strange: dict[Place, list[tuple[str, Fraction]]] = field(default_factory=dict)
    stale: set[Place] = field(default_factory=set)
    absent: set[Place] = field(default_factory=set)
    unproven: set[str] = field(default_factory=set)
    miscounted: dict[str, tuple[str, int]] = field(default_factory=dict)
    # stocks of which something is unknown, so that no gap in their figures may be told
    unknown: set[str] = field(default_factory=set)
    hour: int = 13
    count: int = 0
    used: set[int] = field(default_factory=set)

    # --- naming and time

    def name(self, what: str) -> str:
        """A reference that occurs once: its number has a fixed width, so that none begins another."""
        self.count += 1
        return f"{what}-{self.count:05d}"

    def working_days(self) -> list[date]:
        """The business days of the book, in order; the last may be the cut-off's own."""
        last = days.on(self.cut_off)
        return [d for n in range((last - self.start).days + 1) if days.works(d := self.start + days.DAY * n)]

    def time(self, day: date, first_hour: int | None = None, hours: int = 1) -> datetime:
        """An instant of a day that nothing else has; within the hour at which the book stands, where none is given."""
        while True:
            second = self.dice.randrange(hours * 3600)
            at = days.moment(day, first_hour or self.hour) + timedelta(seconds=second)
            if int(at.timestamp()) not in self.used:
                self.used.add(int(at.timestamp()))
                return at

    @property
    def stated_at(self) -> datetime:
        """When the last statements are of: the close of the last business day, on a working day before the cut-off."""
        last = self.working_days()[-1]
        return min(days.moment(last, 20, 45), self.cut_off)

    def size(self, stock: Stock, low: int = 5, high: int = 900) -> int:
        """A raw quantity that occurs once; of so many tokens and odd parts."""
        while True:
            raw = self.dice.randrange(low * stock.one, high * stock.one)
            if raw not in self.used:
                self.used.add(raw)
                return raw

    @property
    def rolled_from(self) -> datetime:
        """When the statements are of that movements roll forward: a close halfway through the book."""
        worked = self.working_days()
        return days.moment(worked[len(worked) // 2], 20, 45)

    def stated(self, stock: Stock) -> datetime:
        """When the last settled statement of a stock's account is of."""
        return self.rolled_from if stock.has_movements else self.stated_at

    # --- what happens

    def move(self, at: datetime, stock: Stock, kind: str, source: str, destination: str, raw: int, **more: Any) -> Move:
        """Move tokens; the caller says what it means for what is owed."""
        moved = Move(at, stock, kind, source, destination, raw, self.name("tx"), **more)
        self.moves.append(moved)
        return moved

    def owe(self, stock: Stock, raw: int, at: datetime) -> None:
        """More, or less, is owed to holders from an instant on."""
        self.owings.setdefault(stock.symbol, []).append((at, raw))

    def owed_raw(self, stock: Stock, at: datetime) -> int:
        """What is owed on our chain, in raw units."""
        return sum(raw for since, raw in self.owings.get(stock.symbol, ()) if since <= at)

    def explain(self, stock: Stock, shares: Fraction) -> None:
        """Evidence says that custody will gain so much, or lose it."""
        self.explained[stock.symbol] = self.explained.get(stock.symbol, Fraction(0)) + shares

    def leg(self, stock: Stock, shares: Fraction, kind: str, at: datetime, **more: Any) -> Leg:
        """Move shares at the custodian."""
        moved = Leg(stock.place, stock.isin, shares, kind, self.name("MV"), at, **more)
        self.legs.append(moved)
        return moved

    def take(self, stock: Stock, before: datetime) -> tuple[str, int] | None:
        """Take about half the tokens of a participant: who, and how many; None where nobody has enough."""
        found = [x for x in self.lots[stock.symbol] if x.since < before and x.raw > 20 * stock.one]
        if not found:
            return None
        lot = self.dice.choice(found)
        raw = floor(lot.raw * Fraction(self.dice.randint(40, 60), 100))
        while raw in self.used:
            raw -= 1
        self.used.add(raw)
        lot.raw -= raw
        return lot.holder, raw

    # --- the accounts

    def held(self, stock: Stock, at: datetime) -> Fraction:
        """What custody really had settled at an instant."""
        return sum((x.shares for x in self.legs if x.isin == stock.isin and x.at <= at), Fraction(0))

    def owed(self, stock: Stock) -> Fraction:
        """What is owed at the cut-off, in shares, over all networks."""
        raw = self.owed_raw(stock, self.cut_off) + self.elsewhere_raw.get(stock.symbol, 0)
        return raw * stock.unit(self.cut_off)

    def backing(self, stock: Stock) -> Fraction:
        """What the custody files say backs it at the cut-off."""
        stated, until = self.stated(stock), self.cut_off if stock.has_movements else self.stated_at
        mine = [x for x in self.legs if x.isin == stock.isin and x.at <= until]
        shown = sum((x.shares for x in mine if x.shown or x.at <= stated), Fraction(0))
        lent = sum(self.encumbered.get(stock.place, {}).values(), Fraction(0))
        return shown + self.misstated.get(stock.place, Fraction(0)) - lent

    def bounds(self, stock: Stock) -> tuple[Fraction, Fraction]:
        """How far custody may lie below and above what is owed, each exclusive."""
        unit = stock.unit(self.cut_off)
        return unit, max(unit, stock.place.quantum) + stock.buffer

    def ties(self, stock: Stock, gap: Fraction) -> bool:
        """Whether a gap is within the tolerance."""
        short, over = self.bounds(stock)
        return -short < gap < over

    def figures(self) -> Iterator[Told]:
        """What the figures alone must say: a shortfall or surplus that nothing explains, or what explains it."""
        for stock in self.stocks:
            gap, to_come = self.backing(stock) - self.owed(stock), self.explained.get(stock.symbol, Fraction(0))
            if stock.symbol in self.unknown:
                continue
            if self.ties(stock, gap):
                if gap:
                    yield Told("B9", stock.symbol, gap, notice=True)
                continue
            if to_come and self.ties(stock, gap + to_come):
                # a window that closes the gap is named; where it closes none, it may be
                yield from self.windows.get(stock.symbol, ())
                continue
            yield Told("B1" if gap < 0 else "B2", stock.symbol, gap)

    def expected(self) -> list[Told]:
        """Everything that a reconciliation must say about the book."""
        return [*self.told, *self.figures()]


def up(shares: Fraction, place: Place) -> Fraction:
    """A quantity rounded up to what a custodian can book."""
    return ceil(shares / place.quantum) * place.quantum


def down(shares: Fraction, places: int = 9) -> Fraction:
    """A quantity cut after so many decimals."""
    return Fraction(floor(shares * 10**places), 10**places)


def plain(value: Fraction | int) -> str:
    """A number with finite decimals as text, all of them."""
    value = Fraction(value)
    places = 0
    while (value * 10**places).denominator != 1:
        places += 1
        assert places < 200, f"{value} has no finite decimals"
    digits = str(abs(int(value * 10**places))).rjust(places + 1, "0")
    text = f"{digits[:-places]}.{digits[-places:]}" if places else digits
    return f"-{text}" if value < 0 else text
