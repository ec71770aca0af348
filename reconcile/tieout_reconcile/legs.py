"""Orders against the custody legs behind them: journals, receipts and deliveries of shares. Pure.

A leg belongs to the order whose request id it names; a leg that names none belongs to the one order of the
same side and quantity within the window, where exactly one fits. A missing leg is told only where every
movement of all collateral accounts is known from the order's creation until ``LEG_DAYS`` business days
after it was completed: absence is never guessed.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from fractions import Fraction

from tieout_reconcile.calendars import Calendar, day_of
from tieout_reconcile.movements import LEGS, CustodyMovement, Span, covered_to
from tieout_reconcile.orders import CASH, Order

LEG_DAYS = 1
WINDOW_DAYS = 3
_SIDES = {"issue": 1, "redeem": -1}
_DEALS = {"issue": "buy", "redeem": "sell"}
"""What custody books for an order that is settled in cash, where shares are dealt and not journalled."""


@dataclass(frozen=True, slots=True)
class Leg:
    """The shares that one order moved: its movements, net of reversals, and the fees taken beside them."""

    order: Order
    movements: tuple[CustodyMovement, ...]
    fees: tuple[CustodyMovement, ...]

    @property
    def shares(self) -> Fraction:
        """The shares moved in the order's direction."""
        return sum((m.quantity for m in self.movements), Fraction(0)) * _SIDES[self.order.side]

    @property
    def settled_at(self) -> datetime | None:
        """When the last of it settled."""
        return max((m.settled_at for m in self.movements if m.settled_at is not None), default=None)


@dataclass(frozen=True, slots=True)
class Legs:
    """The outcome for one instrument: each order's leg, legs without an order, orders that lack theirs, repetitions."""

    by_order: Mapping[str, Leg]
    unordered: tuple[CustodyMovement, ...]
    missing: tuple[Order, ...]
    repeated: tuple[tuple[CustodyMovement, Order], ...]


def match_legs(
    orders: Sequence[Order],
    movements: Sequence[CustodyMovement],
    spans: Mapping[tuple[str, str], Sequence[Span]],
    shares_of: Mapping[str, Fraction],
    calendar: Calendar,
    at: datetime,
) -> Legs:
    """Match one instrument's orders with the settled movements of its collateral accounts.

    ``spans`` has a key for each of those accounts. ``shares_of`` gives each order's custody quantity.
    """
    mine = [m for m in movements if m.settled_by(at) and m.action_id is None]
    ours = {o.request_id: o for o in orders if o.side in _SIDES and o.created_at <= at}
    named: dict[str, list[CustodyMovement]] = {}
    fees: dict[str, list[CustodyMovement]] = {}
    loose: list[CustodyMovement] = []
    for movement in sorted(mine, key=lambda m: (m.settled_at or at, m.reference)):
        if movement.kind == "fee" and movement.request_id in ours:
            fees.setdefault(movement.request_id, []).append(movement)
        elif _is_leg(movement, ours):
            if movement.request_id in ours:
                named.setdefault(movement.request_id, []).append(movement)
            else:
                loose.append(movement)
    loose = _cancel_reversals(loose)
    unordered = _guess(loose, ours, named, shares_of, calendar)
    legs: dict[str, Leg] = {}
    repeated: list[tuple[CustodyMovement, Order]] = []
    for request_id, found in named.items():
        kept, again = _first_fill(found, ours[request_id], shares_of.get(request_id))
        repeated += [(m, ours[request_id]) for m in again]
        legs[request_id] = Leg(ours[request_id], tuple(kept), tuple(fees.get(request_id, ())))
    for request_id in fees.keys() - legs.keys():
        legs[request_id] = Leg(ours[request_id], (), tuple(fees[request_id]))
    # where nothing is known of one account's movements, no leg is known to be missing
    told = bool(spans) and all(spans.values())
    missing = [o for o in ours.values() if _lacks(o, legs, spans, calendar, at)] if told else []
    return Legs(legs, tuple(unordered), tuple(sorted(missing, key=lambda o: o.request_id)), tuple(repeated))


def _is_leg(movement: CustodyMovement, ours: Mapping[str, Order]) -> bool:
    """Whether a movement stands for an order's shares: a deal does so only by the name of an order settled in cash."""
    if movement.kind in LEGS or not movement.quantity:
        return bool(movement.quantity)
    order = ours.get(movement.request_id) if movement.request_id is not None else None
    return order is not None and order.settlement == CASH and movement.kind == _DEALS[order.side]


def _first_fill(
    found: Sequence[CustodyMovement], order: Order, wanted: Fraction | None
) -> tuple[list[CustodyMovement], list[CustodyMovement]]:
    """Split an order's movements into those that fill it and those that repeat them: same quantity, once more."""
    sign, total = _SIDES[order.side], Fraction(0)
    for n, movement in enumerate(found, 1):
        total += movement.quantity * sign
        rest = found[n:]
        if total == wanted and rest and all(m.quantity == movement.quantity for m in rest):
            return list(found[:n]), list(rest)
    return list(found), []


def _cancel_reversals(loose: Sequence[CustodyMovement]) -> list[CustodyMovement]:
    """Take out each reversal together with the movement of the opposite quantity that it undoes."""
    shelves: dict[tuple[tuple[str, str], str, Fraction], deque[int]] = {}
    for place, m in enumerate(loose):
        shelves.setdefault((m.place, m.isin, m.quantity), deque()).append(place)
    gone: set[int] = set()
    for place, undo in enumerate(loose):
        if undo.kind != "reversal" or place in gone:
            continue
        shelf = shelves.get((undo.place, undo.isin, -undo.quantity), deque())
        while shelf and shelf[0] in gone:
            shelf.popleft()
        if shelf:
            gone |= {shelf.popleft(), place}
    return [m for place, m in enumerate(loose) if place not in gone]


def _guess(
    loose: Sequence[CustodyMovement],
    orders: Mapping[str, Order],
    named: dict[str, list[CustodyMovement]],
    shares_of: Mapping[str, Fraction],
    calendar: Calendar,
) -> list[CustodyMovement]:
    """Give legs without a request id to the one order that fits; return the others."""
    by_quantity: dict[Fraction, dict[date, set[str]]] = {}
    for order in orders.values():
        if order.request_id not in named and (wanted := shares_of.get(order.request_id)) is not None:
            days = by_quantity.setdefault(wanted * _SIDES[order.side], {})
            days.setdefault(day_of(order.created_at), set()).add(order.request_id)
    left = []
    for movement in loose:
        days = {} if movement.request_id is not None else by_quantity.get(movement.quantity, {})
        near = [of_day for day, of_day in days.items() if of_day and _is_near(day, movement, calendar)]
        if sum(map(len, near)) == 1:
            (fits,) = (of_day for of_day in near if of_day)
            named[fits.pop()] = [movement]
        else:
            left.append(movement)
    return left


def _is_near(created: date, movement: CustodyMovement, calendar: Calendar) -> bool:
    settled = movement.settled_at
    return settled is not None and abs(calendar.between(created, day_of(settled))) <= WINDOW_DAYS


def _lacks(
    order: Order,
    legs: Mapping[str, Leg],
    spans: Mapping[tuple[str, str], Sequence[Span]],
    calendar: Calendar,
    at: datetime,
) -> bool:
    """Whether a completed order's leg is not there though it would have been seen."""
    done = order.settled_at or order.created_at
    if order.status_at(at) != "completed" or (order.request_id in legs and legs[order.request_id].movements):
        return False
    last = calendar.add(day_of(done), LEG_DAYS)
    if day_of(at) <= last:
        return False
    return all(day_of(covered_to(found, order.created_at, at)) > last for found in spans.values())
