"""The same purchase or sale told twice, by a file of trades and by one of custody's movements: it counts once. Pure.

A trade counts as unsettled until its day, a movement once it is booked: told both ways, one purchase would be
counted as had and as still to come, and hide a shortfall of its size. A trade and a movement of one account and
direction are one piece of evidence where

- they share a reference (the trade's is the movement's own, or the one that it gives as ours), or
- they agree in quantity and day, and there are as many of the one as of the other: the day on which they were
  traded; where the movement does not say it, the day on which they are to settle; where it says neither, the day on
  which it settled.

A purchase that names no action may also be the reinvestment that a dividend's receivable stands for: where the two
have one quantity, to the custodian's rounding, it is taken for that.

Where that leaves it open, a purchase is taken for booked and a sale for still to come: evidence in doubt may only
make the assets less. Each such pair stands on a line with its rule; ``sure`` is False for those in doubt.
"""

from collections import deque
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from fractions import Fraction

from tieout_reconcile.calendars import day_of
from tieout_reconcile.legs import Legs
from tieout_reconcile.movements import CustodyMovement
from tieout_reconcile.orders import CASH
from tieout_reconcile.three_way import Receivable
from tieout_reconcile.trades import Trade

REFERENCE, TRADE_DAY, SETTLEMENT_DAY, BOOKED_DAY = "reference", "trade day", "settlement day", "day of booking"
QUANTITY, PART, ACTION = "quantity", "part", "action"
_DEALS = {"buy": 1, "reinvest": 1, "sell": -1}
_DELIVERIES = {"receive": 1, "deliver": -1}
_MOVED = frozenset({*_DEALS, *_DELIVERIES, "journal"})
_SIGNS = {"buy": 1, "sell": -1}

Key = tuple[str, str]
"""Custodian and reference."""


@dataclass(frozen=True, slots=True)
class TwiceLine:
    """A trade that was pending by its own file, and what tells it too, by which rule.

    ``others`` are references of movements, or the id of a corporate action. ``shares`` would count twice and count
    once, below zero of a sale; 0: the trade counts on, for nothing proves that it is the same.
    """

    custodian: str
    account: str
    trade: str
    others: tuple[str, ...]
    shares: Fraction
    rule: str
    sure: bool


@dataclass(frozen=True, slots=True)
class Pair:
    """A trade and the movements that tell it too; ``booked``: how many of its shares custody has by them."""

    trade: Trade
    movements: tuple[CustodyMovement, ...]
    rule: str
    sure: bool
    booked: Fraction

    @property
    def taken(self) -> Fraction:
        """The shares of the trade that are to come no more; of a sale in doubt none."""
        return self.booked if self.sure or self.trade.side == "buy" else Fraction(0)


@dataclass(frozen=True, slots=True)
class Once:
    """Trades and movements as they count, each thing once; ``lines`` say what was told twice.

    ``dealt`` are the movements (custodian, reference) that are certainly a trade's.
    """

    trades: Sequence[Trade]
    movements: Sequence[CustodyMovement]
    lines: tuple[TwiceLine, ...] = ()
    dealt: frozenset[Key] = frozenset()


def told_once(
    trades: Sequence[Trade],
    movements: Sequence[CustodyMovement],
    legs: Legs,
    reflected: Mapping[tuple[str, str], datetime],
    at: datetime,
) -> Once:
    """Return what an instrument's trades and movements say together as of an instant.

    A trade that custody has booked is settled with the movement; of one that is booked in part the rest is pending.
    What one of the two says of a corporate action, the other says too. ``legs``: what stands for the shares of an
    order in kind is no trade. ``reflected`` says up to which instant the figures of an account go: what was booked
    after it they may show or not.
    """
    if not trades or not movements:
        return Once(trades, movements)
    pairs = {_key(p.trade): p for p in _Tellings(trades, movements, legs, reflected, at).pairs()}
    named = {_key(m): p.trade.action_id for p in pairs.values() for m in p.movements}
    return Once(
        [_counted(t, pairs.get(_key(t)), at) for t in trades],
        [m if m.action_id else replace(m, action_id=named.get(_key(m))) for m in movements],
        tuple(sorted(_lines(pairs.values(), at), key=lambda line: (line.custodian, line.trade))),
        frozenset(_key(m) for p in pairs.values() if p.sure for m in p.movements),
    )


def _key(one: Trade | CustodyMovement) -> Key:
    return one.custodian, one.reference


def _counted(trade: Trade, pair: Pair | None, at: datetime) -> Trade:
    if pair is None:
        return trade
    action = trade.action_id or next((m.action_id for m in pair.movements if m.action_id), None)
    named = replace(trade, action_id=action)
    if not pair.taken or trade.status_as_of(at) != "pending":
        return named
    if pair.taken < trade.quantity:
        return replace(named, quantity=trade.quantity - pair.taken)
    last = max(m.settled_at for m in pair.movements if m.settled_at is not None and m.settled_by(at))
    return replace(named, status="settled", status_at=last)


def _lines(pairs: Iterable[Pair], at: datetime) -> Iterator[TwiceLine]:
    for pair in pairs:
        trade, booked = pair.trade, tuple(m.reference for m in pair.movements if m.settled_by(at))
        if booked and trade.status_as_of(at) == "pending":
            shares = pair.taken * _SIGNS[trade.side]
            yield TwiceLine(trade.custodian, trade.account, trade.reference, booked, shares, pair.rule, pair.sure)


def reinvesting(
    trades: Sequence[Trade], receivables: Sequence[Receivable], quantum: Fraction, at: datetime
) -> tuple[list[Trade], tuple[TwiceLine, ...]]:
    """Return the trades, each pending purchase of just what a dividend still brings named as that action's."""
    named: dict[Key, Receivable] = {}
    for due in receivables:
        day = due.action.record_date or due.action.ex_date
        fits = (
            t for t in trades
            if t.is_unsettled(at) and t.action_id is None and _key(t) not in named and due.shares > 0
            and abs(t.signed - due.shares) <= quantum and (day is None or day_of(t.traded_at) >= day)
        )  # fmt: skip
        found = next(fits, None) if due.action.kind == "dividend" and not due.expired else None
        if found is not None:
            named[_key(found)] = due
    dealt = [replace(t, action_id=named[_key(t)].action.action_id) if _key(t) in named else t for t in trades]
    lines = (
        TwiceLine(t.custodian, t.account, t.reference, (t.action_id or "",), t.quantity, ACTION, False)
        for t in dealt
        if _key(t) in named
    )
    return dealt, tuple(lines)


class _Tellings:
    """Trades and movements that are not paired yet, and the rules that pair them, the strongest first."""

    def __init__(
        self,
        trades: Sequence[Trade],
        movements: Sequence[CustodyMovement],
        legs: Legs,
        reflected: Mapping[tuple[str, str], datetime],
        at: datetime,
    ) -> None:
        self._reflected, self._at = reflected, at
        known = [t for t in trades if t.traded_at <= at and t.status_as_of(at) in ("pending", "settled")]
        # a trade that its own file has settled takes its movement first, and movements that are booked are taken first
        known.sort(key=lambda t: (t.status_as_of(at) == "pending", _key(t)))
        moved = sorted(self._standing(movements), key=lambda m: (not m.settled_by(at), m.settled_at or at, _key(m)))
        self._trades = {_key(t): t for t in known}
        self._movements = {_key(m): m for m in moved}
        told = [(m, leg.order) for leg in legs.by_order.values() for m in leg.movements]
        self._in_kind = {_key(m) for m, order in (*told, *legs.repeated) if order.settlement != CASH}

    def _standing(self, movements: Sequence[CustodyMovement]) -> list[CustodyMovement]:
        """What shares moved, but for what the figures show as undone; where it is not certain what was, all stands."""
        moved = [m for m in movements if m.quantity and m.kind in _MOVED]
        shown = _shelved((m for m in moved if self._shows(m)), lambda m: (m.place, m.quantity))
        undone: set[Key] = set()
        for undo in (m for m in movements if m.kind == "reversal" and self._shows(m)):
            found = shown.get((undo.place, -undo.quantity))
            if found is not None and len(found) == 1:
                undone.add(_key(found.popleft()))
        return [m for m in moved if _key(m) not in undone]

    def _shows(self, movement: CustodyMovement) -> bool:
        """Whether the custody figures contain a movement."""
        return movement.settled_by(min(self._at, self._reflected.get(movement.place, self._at)))

    def pairs(self) -> Iterator[Pair]:
        """Yield each trade that is told twice, once."""
        yield from self._by_reference()
        yield from self._by_day(TRADE_DAY, lambda t: day_of(t.traded_at), _traded_on)
        yield from self._by_day(SETTLEMENT_DAY, lambda t: t.settles_on, _due_on)
        yield from self._by_day(BOOKED_DAY, lambda t: t.settles_on, _booked_on)
        yield from self._by_day(BOOKED_DAY, self._settled_on, _booked_on)
        yield from self._by_quantity()
        yield from self._in_parts()

    def _pair(self, trade: Trade, movements: Sequence[CustodyMovement], rule: str, *, sure: bool) -> Pair:
        del self._trades[_key(trade)]
        for movement in movements:
            del self._movements[_key(movement)]
        booked = [m for m in movements if m.settled_by(self._at)]
        shares = min(trade.quantity, sum((abs(m.quantity) for m in booked), Fraction(0)))
        return Pair(trade, tuple(movements), rule, sure and all(map(self._shows, booked)), shares)

    def _by_reference(self) -> Iterator[Pair]:
        named: dict[Key, list[CustodyMovement]] = {}
        for m in self._movements.values():
            for reference in dict.fromkeys((m.reference, m.request_id or m.reference)):
                named.setdefault((m.custodian, reference), []).append(m)
        for trade in list(self._trades.values()):
            found = [m for m in named.get(_key(trade), ()) if _key(m) in self._movements and _may_bring(m, trade)]
            if found:
                whole = sum(abs(m.quantity) for m in found) == trade.quantity
                sure = whole and all(m.account == trade.account for m in found)
                yield self._pair(trade, found, REFERENCE, sure=sure)

    def _by_day(
        self, rule: str, of_trade: Callable[[Trade], date | None], of_movement: Callable[[CustodyMovement], date | None]
    ) -> Iterator[Pair]:
        groups: dict[tuple[object, ...], tuple[list[Trade], list[CustodyMovement]]] = {}
        for t in self._trades.values():
            group = t.custodian, t.account, t.signed, of_trade(t)
            groups.setdefault(group, ([], []))[0].append(t)
        for m in self._movements.values():
            day, group = of_movement(m), (*m.place, m.quantity, of_movement(m))
            if day is not None and group in groups and self._is_dealt(m):
                groups[group][1].append(m)
        for trades, movements in groups.values():
            for trade, movement in zip(trades, movements, strict=False):
                yield self._pair(trade, [movement], rule, sure=len(trades) == len(movements))

    def _settled_on(self, trade: Trade) -> date | None:
        settled = trade.status_at is not None and trade.status_as_of(self._at) == "settled"
        return day_of(trade.status_at) if settled and trade.status_at is not None else None

    def _by_quantity(self) -> Iterator[Pair]:
        """What is booked and says no day but that may be any pending trade of its quantity."""
        dayless = (m for m in self._booked_deals() if _booked_on(m) is not None)
        shelves = _shelved(dayless, lambda m: (m.place, m.quantity))
        for trade in [t for t in self._trades.values() if t.is_unsettled(self._at)]:
            shelf = shelves.get(((trade.custodian, trade.account), trade.signed))
            if shelf and _may_bring(shelf[0], trade):
                yield self._pair(trade, [shelf.popleft()], QUANTITY, sure=False)

    def _in_parts(self) -> Iterator[Pair]:
        """What is booked of a purchase's own day, in other quantities, may be parts of it, or several together."""
        bought = [m for m in self._booked_deals() if m.quantity > 0]
        order, left = {_key(m): n for n, m in enumerate(bought)}, {_key(m): m.quantity for m in bought}
        traded = _shelved(bought, lambda m: (m.place, _traded_on(m)))
        due = _shelved(bought, lambda m: (m.place, _due_on(m)))
        for trade in [t for t in self._trades.values() if t.is_unsettled(self._at) and t.side == "buy"]:
            place, parts, rest = (trade.custodian, trade.account), list[CustodyMovement](), trade.quantity
            shelves = [
                s for s in (traded.get((place, day_of(trade.traded_at))), due.get((place, trade.settles_on))) if s
            ]
            # a movement that is used up leaves its shelf, so what is looked at is looked at once
            while rest and (shelf := min(shelves, key=lambda s: order[_key(s[0])] if s else len(order), default=None)):
                found = shelf[0]
                taken = min(rest, left[_key(found)])
                left[_key(found)], rest = left[_key(found)] - taken, rest - taken
                parts.append(found)
                if not left[_key(found)]:
                    shelf.popleft()
            if parts:
                yield Pair(trade, tuple(parts), PART, False, trade.quantity - rest)

    def _booked_deals(self) -> Iterator[CustodyMovement]:
        return (m for m in self._movements.values() if m.settled_by(self._at) and m.kind in _DEALS)

    def _is_dealt(self, movement: CustodyMovement) -> bool:
        """Whether a movement may be a trade's: bought or sold, or delivered for no order in kind."""
        sign = _DEALS.get(movement.kind) or (
            _DELIVERIES.get(movement.kind) if _key(movement) not in self._in_kind else None
        )
        return sign is not None and movement.quantity * sign > 0


def _shelved(
    movements: Iterable[CustodyMovement], key: Callable[[CustodyMovement], Hashable]
) -> dict[Hashable, deque[CustodyMovement]]:
    """Sort movements by what they have in common, each shelf in their order: there may be a year of them."""
    shelves: dict[Hashable, deque[CustodyMovement]] = {}
    for movement in movements:
        shelves.setdefault(key(movement), deque()).append(movement)
    return shelves


def _may_bring(movement: CustodyMovement, trade: Trade) -> bool:
    """Whether a movement goes the way of a trade, and not before it."""
    if (movement.quantity > 0) is not (trade.side == "buy"):
        return False
    return movement.settled_at is None or day_of(movement.settled_at) >= day_of(trade.traded_at)


def _traded_on(movement: CustodyMovement) -> date | None:
    return None if movement.traded_at is None else day_of(movement.traded_at)


def _due_on(movement: CustodyMovement) -> date | None:
    return movement.settles_on if movement.traded_at is None else None


def _booked_on(movement: CustodyMovement) -> date | None:
    """The day on which a movement was booked, where that is all it says."""
    said = movement.traded_at is not None or movement.settles_on is not None
    return None if said or movement.settled_at is None else day_of(movement.settled_at)
