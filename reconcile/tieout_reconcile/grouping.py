"""Orders and crossings that only together agree: 1-n, n-1 and bounded n-m, of one counterparty. Pure.

Nothing is guessed: a group counts only where exactly one combination within the bounds fits. Orders that
name no wallet are tried with each counterparty; a combination must then be the only one for that order.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import combinations, islice

from tieout_reconcile.crossings import Crossing
from tieout_reconcile.fitting import Window, fits, same_side
from tieout_reconcile.orders import Order

CANDIDATES_MAX = 12
SIZE_MAX = 4
GROUP_MAX = 6
TRIES_MAX = 100_000
"""How many pairs of an order without a wallet and a counterparty are tried: beyond that, none is."""
REACH = timedelta(days=30)
"""Wider than any window of business days, to cut down a sorted list."""


@dataclass(frozen=True, slots=True)
class Group:
    """Orders and crossings that belong together, and how much raw of each crossing stands for which order."""

    rule: str
    parts: tuple[tuple[Crossing, Order, int], ...]


def grouped(orders: Sequence[Order], crossings: Sequence[Crossing], window: Window) -> Iterator[Group]:
    """Yield the groups among orders and crossings that nothing else has matched; each is used once."""
    pool = _Pool(orders, crossings, window)
    yield from pool.split()
    yield from pool.joint()
    yield from pool.whole()


class _Pool:
    def __init__(self, orders: Sequence[Order], crossings: Sequence[Crossing], window: Window) -> None:
        self.window = window
        self.orders = {o.request_id: o for o in orders}
        self.crossings = {c.key: c for c in crossings}
        self.by_party: dict[str | None, list[Crossing]] = {}
        self.by_wallet: dict[str | None, list[Order]] = {}
        for order in sorted(orders, key=_created):
            self.by_wallet.setdefault(order.wallet, []).append(order)
        for crossing in sorted(crossings, key=_moved):
            self.by_party.setdefault(crossing.counterparty, []).append(crossing)
        nameless = len(self.by_wallet.get(None, ()))
        self.parties = list(self.by_party) if nameless * len(self.by_party) <= TRIES_MAX else []

    def _near(self, order: Order) -> Iterator[list[Crossing]]:
        """The crossings that may be an order's, one list a counterparty; none of one that has too many."""
        for party in [order.wallet] if order.wallet is not None else self.parties:
            line = self.by_party.get(party, [])
            start = bisect_left(line, order.created_at - REACH, key=_moved)
            end = bisect_right(line, order.created_at + REACH, key=_moved)
            found = list(islice((c for c in islice(line, start, end) if self._may(order, c)), CANDIDATES_MAX + 1))
            if 1 < len(found) <= CANDIDATES_MAX:
                yield found

    def _orders_near(self, crossing: Crossing) -> list[Order]:
        """The orders that may be a crossing's, at most one more than are tried."""
        found: list[Order] = []
        for wallet in dict.fromkeys((crossing.counterparty, None)):
            line = self.by_wallet.get(wallet, [])
            start = bisect_left(line, crossing.at - REACH, key=_created)
            end = bisect_right(line, crossing.at + REACH, key=_created)
            found += islice((o for o in islice(line, start, end) if self._may(o, crossing)), CANDIDATES_MAX + 1)
        return found

    def _may(self, order: Order, crossing: Crossing) -> bool:
        free = crossing.key in self.crossings and order.request_id in self.orders
        return free and same_side(order, crossing) and self.window.holds(order, crossing)

    def _use(self, rule: str, parts: list[tuple[Crossing, Order, int]]) -> Group:
        for crossing, order, _ in parts:
            self.crossings.pop(crossing.key, None)
            self.orders.pop(order.request_id, None)
        return Group(rule, tuple(parts))

    def split(self) -> Iterator[Group]:
        """One order, several crossings."""
        for order in list(self.orders.values()):
            fitting = [
                chosen
                for near in self._near(order)
                for size in range(2, min(SIZE_MAX, len(near)) + 1)
                for chosen in combinations(near, size)
                if _may_fit(order, chosen) and fits(order, chosen)
            ]
            if len(fitting) == 1:
                yield self._use("split", [(c, order, c.raw) for c in fitting[0]])

    def joint(self) -> Iterator[Group]:
        """Several orders, one crossing."""
        for crossing in list(self.crossings.values()):
            near = self._orders_near(crossing)
            if not 1 < len(near) <= CANDIDATES_MAX:
                continue
            found = [
                (chosen, parts)
                for size in range(2, min(SIZE_MAX, len(near)) + 1)
                for chosen in combinations(near, size)
                if (parts := _parts(chosen, [crossing])) is not None
            ]
            if len(found) == 1:
                yield self._use("joint", found[0][1])

    def whole(self) -> Iterator[Group]:
        """All that is left of a wallet's orders and crossings, where together they agree."""
        by_wallet: dict[tuple[str, str], list[Order]] = {}
        for order in self.orders.values():
            if order.wallet is not None:
                by_wallet.setdefault((order.wallet, order.side), []).append(order)
        for (wallet, _), orders in sorted(by_wallet.items()):
            near = [
                c
                for c in self.by_party.get(wallet, ())
                if c.key in self.crossings and all(same_side(o, c) and self.window.holds(o, c) for o in orders)
            ]
            if 1 < len(orders) <= GROUP_MAX and 1 < len(near) <= GROUP_MAX:
                parts = _parts(orders, near)
                if parts is not None:
                    yield self._use("group", parts)


def _created(order: Order) -> datetime:
    return order.created_at


def _moved(crossing: Crossing) -> datetime:
    return crossing.at


def _may_fit(order: Order, crossings: Sequence[Crossing]) -> bool:
    """A quick look in whole numbers, before the exact one in fractions."""
    wanted = order.token_raw
    return wanted is None or sum(c.raw for c in crossings) == wanted


def _parts(orders: Sequence[Order], crossings: Sequence[Crossing]) -> list[tuple[Crossing, Order, int]] | None:
    """Share out the crossings among the orders in turn; None where they do not agree to the raw unit."""
    wanted: list[int] = []
    for order in orders:
        raw = order.token_raw
        if raw is None:
            units = {c.unit for c in crossings}
            unit = next(iter(units))
            if len(units) != 1 or unit is None or order.token_shares is None:
                return None
            raw = int(order.token_shares / unit)
        wanted.append(raw)
    if sum(wanted) != sum(c.raw for c in crossings):
        return None
    parts: list[tuple[Crossing, Order, int]] = []
    left = [(c, c.raw) for c in crossings]
    for order, raw in zip(orders, wanted, strict=True):
        open_raw = raw
        while open_raw > 0:
            crossing, rest = left[0]
            taken = min(open_raw, rest)
            parts.append((crossing, order, taken))
            open_raw -= taken
            left[0] = (crossing, rest - taken)
            if not left[0][1]:
                left.pop(0)
    return parts
