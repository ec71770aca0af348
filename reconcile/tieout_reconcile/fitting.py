"""Whether movements of tokens are what an order asked for: quantity, side and time. Pure and exact."""

from collections.abc import Sequence
from datetime import date, datetime
from fractions import Fraction

from tieout_reconcile.calendars import Calendar, day_of
from tieout_reconcile.crossings import Crossing
from tieout_reconcile.orders import Order

_NOTHING = Fraction(0)
WINDOW_BEFORE_DAYS = 2
WINDOW_AFTER_DAYS = 5
"""Business days before and after an order's creation within which a quantity may be its own."""


def same_side(order: Order, crossing: Crossing) -> bool:
    """Whether the order moves tokens the way that they went."""
    return (order.side == "issue") is crossing.outward


def fits(order: Order, crossings: Sequence[Crossing]) -> bool:
    """Whether the crossings together are what the order asked for, to the raw unit."""
    if (asked := order.token_raw) is not None:
        return sum([c.raw for c in crossings]) == asked
    rest = residue(order, crossings)
    return rest is not None and _within(
        order, rest, sum((c.unit for c in crossings if c.unit is not None), Fraction(0))
    )


def _within(order: Order, rest: Fraction, allowed: Fraction) -> bool:
    """Whether what is left of an order in shares is less than the roundings of its movements (``allowed``)."""
    return (rest >= 0 if order.side == "issue" else rest > -allowed) and rest < allowed


def first_fit(order: Order, crossings: Sequence[Crossing]) -> int | None:
    """How many of the crossings, the first ones, are what an order asked for; None where no run of them is.

    Whoever may name an order may name it in any number of transactions: each is looked at once.
    """
    asked, raw, moved, allowed = order.token_raw, 0, _NOTHING, _NOTHING
    for length, crossing in enumerate(crossings, 1):
        if asked is not None:
            raw += crossing.raw
            if raw == asked:
                return length
        elif order.token_shares is None or crossing.unit is None:
            return None
        else:
            moved += crossing.raw * crossing.unit
            allowed += crossing.unit
            if _within(order, order.token_shares - moved, allowed):
                return length
    return None


def residue(order: Order, crossings: Sequence[Crossing]) -> Fraction | None:
    """Return how many of the ordered shares the crossings leave over; None where one of them is unknown."""
    if order.token_shares is None:
        return None
    moved = Fraction(0)
    for crossing in crossings:
        if crossing.unit is None:
            return None
        moved += crossing.raw * crossing.unit
    return order.token_shares - moved


def falls_short(order: Order, crossings: Sequence[Crossing]) -> bool:
    """Whether the crossings leave more of the order open than rounding explains."""
    if order.token_raw is not None:
        return sum(c.raw for c in crossings) < order.token_raw
    rest = residue(order, crossings)
    return rest is not None and rest > 0


class Window:
    """Whether a crossing lies near enough to an order to be its own, in business days."""

    def __init__(self, calendar: Calendar) -> None:
        self._calendar = calendar
        self._sides: dict[tuple[date, date], int] = {}
        self._days: dict[datetime, date] = {}

    def holds(self, order: Order, crossing: Crossing) -> bool:
        """Whether the crossing lies within the window of the order."""
        return self.side_of(order, crossing) == 0

    def side_of(self, order: Order, crossing: Crossing) -> int:
        """Return 0 for a crossing within the order's window, 1 for one before it, -1 for one after it."""
        days = (self._day(order.created_at), self._day(crossing.at))
        side = self._sides.get(days)
        if side is None:
            between = self._calendar.between(*days)
            side = self._sides[days] = -1 if between > WINDOW_AFTER_DAYS else int(between < -WINDOW_BEFORE_DAYS)
        return side

    def _day(self, at: datetime) -> date:
        day = self._days.get(at)
        if day is None:
            day = self._days[at] = day_of(at)
        return day
