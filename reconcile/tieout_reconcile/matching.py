"""Orders against crossings. Pure, and the same for the same input whatever its order.

Rules, strongest first:

1. ``memo``: a line of the transaction's memo is ``tieout/1 <verb> <request id>``, or the id alone.
2. ``signature``: the order names the transaction.
3. ``quantity``: one order, one crossing, same direction, quantity and instrument, within the window
   around the order's creation; the order of the earliest deadline first, so that none is wasted.
4. ``split``, ``joint``, ``group`` (``grouping``): one order by several crossings, several orders by one
   crossing, several by several, of one counterparty within the window.
5. ``refund``: a release that gives back an earlier return not yet settled: to the same owner and of
   the same quantity, or naming the same request.

The first two are ``exact``, the others ``derived`` (a refund that names its request is exact).

shares = raw x multiplier / 10^decimals, at the multiplier of each movement. An issue in shares releases them
rounded down to raw units, so it falls short by less than one unit a movement and never exceeds the order; a
redemption in shares may lie on either side of what came back.
"""

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction
from heapq import heappop, heappush
from math import floor

import msgspec

from tieout_reconcile.calendars import PLAIN, Calendar
from tieout_reconcile.crossings import Crossing, Kind
from tieout_reconcile.fitting import Window, falls_short, first_fit, fits, same_side
from tieout_reconcile.grouping import grouped
from tieout_reconcile.orders import Order

RULE_VERSION = 2
MEMO_TAG = "tieout/1"
_MEMO_WORDS = 3
_RETURNED = frozenset({Kind.RETURN, Kind.SEIZURE, Kind.FORCED_BURN, Kind.OWNER_CHANGE})


class Match(msgspec.Struct, frozen=True, gc=False):
    """A crossing and the order behind it, with the raw quantity allocated. ``refunds``: the return given back."""

    crossing: Crossing
    order: Order | None
    rule: str
    status: str
    raw: int
    refunds: Crossing | None = None


@dataclass(frozen=True, slots=True)
class Mismatch:
    """An order and crossings that name each other but differ in quantity. ``partial``: it is pending, not exceeded."""

    order: Order
    crossings: tuple[Crossing, ...]
    partial: bool = False


@dataclass(frozen=True, slots=True)
class Matching:
    """The outcome: matches, crossings that repeat a settled reference, and quantity mismatches."""

    matches: tuple[Match, ...]
    duplicates: tuple[tuple[Crossing, Order], ...]
    mismatches: tuple[Mismatch, ...]


def memo_references(memo: str | None) -> tuple[str, ...]:
    """Return the request ids that the tagged lines of a memo name, in order."""
    if memo is None or MEMO_TAG not in memo:
        return ()
    words = [line.split(" ") for line in memo.split("\n")]
    return tuple([w[2] for w in words if len(w) == _MEMO_WORDS and w[0] == MEMO_TAG and w[2]])


def match(
    orders: Sequence[Order],
    crossings: Sequence[Crossing],
    as_of: datetime,
    calendar: Calendar = PLAIN,
    settled: Collection[str] = (),
) -> Matching:
    """Match one instrument's orders and crossings. An order created after ``as_of`` is matched by key only.

    ``settled`` are the request ids whose custody leg is booked, whatever their order's status says.
    """
    ordered = sorted((o for o in orders if o.side != "inventory"), key=lambda o: (o.created_at, o.request_id))
    return _Matcher(ordered, crossings, as_of, Window(calendar), settled).run()


class _Matcher:
    def __init__(
        self,
        orders: Sequence[Order],
        crossings: Sequence[Crossing],
        as_of: datetime,
        window: Window,
        settled: Collection[str],
    ) -> None:
        self.window = window
        self.settled = settled
        self.orders = orders
        self.crossings = [c for c in crossings if c.kind not in (Kind.ROLE_CHANGE, Kind.OPENING)]
        self.as_of = as_of
        self.by_id = {o.request_id: o for o in orders}
        self.claims: dict[str, list[tuple[Crossing, str]]] = defaultdict(list)
        self.claimed: set[tuple[str, str | None]] = set()
        self.taken: set[str] = set()
        self.matches: list[Match] = []
        self.duplicates: list[tuple[Crossing, Order]] = []
        self.mismatches: list[Mismatch] = []

    def run(self) -> Matching:
        self._claim_by_memo()
        self._claim_by_signature()
        for request_id in sorted(self.claims):
            self._settle(self.by_id[request_id], self.claims[request_id])
        self._by_quantity()
        self._by_groups()
        self._refunds()
        return Matching(tuple(self.matches), tuple(self.duplicates), tuple(self.mismatches))

    def _references(self, crossing: Crossing) -> set[str]:
        memo = crossing.memo
        if memo is None:
            return set()
        return {line for line in memo.split("\n") if line in self.by_id}.union(memo_references(memo))

    def _claim_by_memo(self) -> None:
        for crossing in self.crossings:
            if crossing.memo is not None:
                named = [self.by_id[r] for r in sorted(self._references(crossing)) if r in self.by_id]
                self._claim(crossing, [o for o in named if same_side(o, crossing)], "memo")

    def _claim_by_signature(self) -> None:
        by_signature: dict[str, list[Order]] = defaultdict(list)
        for order in self.orders:
            if order.signature is not None and order.request_id not in self.claims:
                by_signature[order.signature].append(order)
        for crossing in self.crossings if by_signature else ():
            if crossing.key not in self.taken and crossing.signature in by_signature:
                candidates = [o for o in by_signature[crossing.signature] if same_side(o, crossing)]
                self._claim(crossing, candidates, "signature")

    def _claim(self, crossing: Crossing, candidates: list[Order], rule: str) -> None:
        """One transaction may carry several orders: then quantity tells which one is meant."""
        if len(candidates) > 1:
            free = [o for o in candidates if (o.request_id, crossing.signature) not in self.claimed]
            candidates = [o for o in free or candidates if fits(o, [crossing])]
        if candidates:
            request_id = candidates[0].request_id
            self.claims[request_id].append((crossing, rule))
            self.claimed.add((request_id, crossing.signature))
            self.taken.add(crossing.key)

    def _settle(self, order: Order, claims: list[tuple[Crossing, str]]) -> None:
        """Take the shortest run of crossings that fills the order; what names it beyond that is a duplicate."""
        named = [crossing for crossing, _ in claims]
        length = first_fit(order, named)
        if length is None:
            partial = order.status_at(self.as_of) == "pending" and falls_short(order, named)
            self.mismatches.append(Mismatch(order, tuple(named), partial))
        filled = claims[:length]
        for crossing, rule in filled:
            self.matches.append(Match(crossing, order, rule, "exact", crossing.raw))
        self.duplicates.extend((crossing, order) for crossing, _ in claims[len(filled) :])

    def _by_quantity(self) -> None:
        free = [o for o in self.orders if o.request_id not in self.claims and o.created_at <= self.as_of]
        if not free:
            return
        index = _QuantityIndex(free, {c.signature for c in self.crossings})
        for crossing in self.crossings:
            if crossing.key in self.taken or not _may_match_by_quantity(crossing):
                continue
            order = index.take(crossing, self.as_of, self.window)
            if order is not None:
                self.taken.add(crossing.key)
                self.matches.append(Match(crossing, order, "quantity", "derived", crossing.raw))

    def _by_groups(self) -> None:
        served = {m.order.request_id for m in self.matches if m.order is not None} | self.claims.keys()
        orders = [
            o
            for o in self.orders
            if o.request_id not in served and o.created_at <= self.as_of and o.signature is None
            and not (o.side == "issue" and o.status_at(self.as_of) == "rejected")
        ]  # fmt: skip
        free = [c for c in self.crossings if c.key not in self.taken] if orders else []
        crossings = [c for c in free if _may_match_by_quantity(c)]
        for found in grouped(orders, crossings, self.window):
            for crossing, order, raw in found.parts:
                self.taken.add(crossing.key)
                self.matches.append(Match(crossing, order, found.rule, "derived", raw))

    def _refunds(self) -> None:
        loose = [c for c in self.crossings if c.kind is Kind.RELEASE and c.key not in self.taken]
        if not loose:
            return
        behind = {m.crossing.key: m.order for m in self.matches}
        unsettled = [
            c
            for c in self.crossings
            if is_owed_when_unsettled(c) and not order_settles(behind.get(c.key), self.as_of, self.settled)
        ]
        index = _Returned([(c, self._names(c, behind.get(c.key))) for c in unsettled])
        for crossing in loose:
            found = index.take(crossing, self._references(crossing))
            if found is not None:
                earlier, named = found
                self.taken.add(crossing.key)
                status = "exact" if named else "derived"
                order = behind.get(earlier.key)
                self.matches.append(Match(crossing, order, "refund", status, crossing.raw, earlier))

    def _names(self, crossing: Crossing, order: Order | None) -> set[str]:
        return self._references(crossing) | ({order.request_id} if order else set())


class _Returned:
    """Returns that are not settled, in the order of the chain, with what of each is not given back yet.

    They are kept by each name that is theirs, and by counterparty and rest: a release meets only those that it may
    give back, however many there are.
    """

    def __init__(self, returns: Sequence[tuple[Crossing, set[str]]]) -> None:
        self._returns = returns
        self._left = [crossing.raw for crossing, _ in returns]
        self._by_name: dict[str, list[int]] = {}
        self._by_rest: dict[tuple[str | None, int], list[int]] = {}
        for place, (crossing, names) in enumerate(returns):
            self._by_rest.setdefault((crossing.counterparty, crossing.raw), []).append(place)
            for name in names:
                self._by_name.setdefault(name, []).append(place)

    def take(self, crossing: Crossing, names: set[str]) -> tuple[Crossing, bool] | None:
        """Return the first return that a release gives back, and whether it names the same request; None: none."""
        places = [place for place in (self._named(crossing, names), self._alike(crossing)) if place is not None]
        if not places:
            return None
        place = min(places)
        earlier, own = self._returns[place]
        self._left[place] -= crossing.raw
        heappush(self._by_rest.setdefault((earlier.counterparty, self._left[place]), []), place)
        return earlier, not own.isdisjoint(names)

    def _named(self, crossing: Crossing, names: set[str]) -> int | None:
        places = [
            place
            for name in names
            for place in self._by_name.get(name, ())
            if self._left[place] >= crossing.raw and not _is_before(crossing, self._returns[place][0])
        ]
        return min(places, default=None)

    def _alike(self, crossing: Crossing) -> int | None:
        """The first of the release's counterparty of which just its quantity is left."""
        shelf = self._by_rest.get((crossing.counterparty, crossing.raw), [])
        while shelf and self._left[shelf[0]] != crossing.raw:
            heappop(shelf)
        return shelf[0] if shelf and not _is_before(crossing, self._returns[shelf[0]][0]) else None


class _Queue:
    """Orders of one side, quantity and wallet, the oldest first. Crossings come in order of time."""

    __slots__ = ("head", "orders")

    def __init__(self) -> None:
        self.orders: list[Order] = []
        self.head = 0

    def first(self, crossing: Crossing, as_of: datetime, window: Window, taken: set[str]) -> Order | None:
        """Return the oldest order that the crossing may fill; those that no later one can fill are left behind."""
        while self.head < len(self.orders):
            order = self.orders[self.head]
            if order.request_id not in taken and window.side_of(order, crossing) >= 0:
                break
            self.head += 1
        for place in range(self.head, len(self.orders)):
            order = self.orders[place]
            if window.side_of(order, crossing) > 0:
                return None
            if order.request_id not in taken and _eligible(order, crossing, as_of, window):
                return order
        return None


class _QuantityIndex:
    """Free orders by side, raw quantity and wallet, so that a crossing meets only those that could fit it.

    What an order in shares is in raw depends on the multiplier: there is one shelf a multiplier, filled when
    a crossing first asks for it.
    """

    def __init__(self, orders: Sequence[Order], signatures: Collection[str | None]) -> None:
        # an order that names another transaction is for that one
        self._orders = [o for o in orders if o.signature is None or o.signature in signatures]
        self._shelves: dict[Fraction | None, dict[tuple[str, int, str | None], _Queue]] = {}
        self._taken: set[str] = set()

    def take(self, crossing: Crossing, as_of: datetime, window: Window) -> Order | None:
        """Return and use up the best order for a crossing: its own wallet's first, then the oldest."""
        shelf = self._shelves.get(crossing.unit)
        if shelf is None:
            shelf = self._shelves[crossing.unit] = self._shelf(crossing.unit)
        side = "issue" if crossing.outward else "redeem"
        for wallet in self._wallets(shelf, side, crossing):
            queue = shelf.get((side, crossing.raw, wallet))
            order = None if queue is None else queue.first(crossing, as_of, window, self._taken)
            if order is not None:
                self._taken.add(order.request_id)
                return order
        return None

    @staticmethod
    def _wallets(
        shelf: dict[tuple[str, int, str | None], _Queue], side: str, crossing: Crossing
    ) -> Collection[str | None]:
        if not _came_before(crossing):
            return dict.fromkeys((crossing.counterparty, None))
        return sorted({key[2] for key in shelf if key[:2] == (side, crossing.raw)}, key=lambda w: (w is None, w))

    def _shelf(self, unit: Fraction | None) -> dict[tuple[str, int, str | None], _Queue]:
        shelf: dict[tuple[str, int, str | None], _Queue] = {}
        for order in self._orders:
            for raw in _raws(order, unit):
                shelf.setdefault((order.side, raw, order.wallet), _Queue()).orders.append(order)
        return shelf


def _raws(order: Order, unit: Fraction | None) -> tuple[int, ...]:
    """The raw quantities by which one crossing fills an order at a multiplier."""
    if order.token_raw is not None:
        return (order.token_raw,)
    if unit is None or order.token_shares is None:
        return ()
    exact = order.token_shares / unit
    low = floor(exact)
    return (low,) if order.side == "issue" or low == exact else (low, low + 1)


def order_settles(order: Order | None, as_of: datetime, settled: Collection[str] = ()) -> bool:
    """Whether an order ends what is owed for tokens that came back: its share journal is booked."""
    if order is None or order.side != "redeem":
        return False
    return order.status_at(as_of) == "completed" or order.request_id in settled


def is_owed_when_unsettled(crossing: Crossing) -> bool:
    """Whether tokens that came in stay owed until evidence says otherwise.

    Tokens sent in for redemption are owed until the shares are delivered, and what the issuer took
    by force stays owed: its own act never lowers what it owes. A holder who burns gives up the claim,
    unless an order to redeem says that shares are due for it (``redeems_by_burning``).
    """
    return not crossing.outward and crossing.kind in _RETURNED


def redeems_by_burning(match: Match) -> bool:
    """Whether a holder burned for a redemption: owed until its shares are delivered, as what was sent in is."""
    return match.crossing.kind is Kind.HOLDER_BURN and match.order is not None and match.order.side == "redeem"


def _is_before(one: Crossing, other: Crossing) -> bool:
    return one.position is not None and other.position is not None and one.position <= other.position


def _may_match_by_quantity(crossing: Crossing) -> bool:
    """A memo that names some other request speaks against a guess, and force needs no order."""
    forced = crossing.kind in (Kind.SEIZURE, Kind.FORCED_BURN, Kind.HIDDEN)
    return not forced and not memo_references(crossing.memo)


def _eligible(order: Order, crossing: Crossing, as_of: datetime, window: Window) -> bool:
    if not same_side(order, crossing) or not fits(order, [crossing]):
        return False
    if order.signature is not None and order.signature != crossing.signature:
        return False
    if order.side == "issue" and order.status_at(as_of) == "rejected":
        return False
    if order.wallet is not None and order.wallet != crossing.counterparty and not _came_before(crossing):
        return False
    if crossing.kind is Kind.HOLDER_BURN and order.wallet is None:
        return False
    return window.holds(order, crossing)


def _came_before(crossing: Crossing) -> bool:
    """Whether it is what a redemption wallet held when the ledger began: by whom it was sent in is not known."""
    return crossing.kind is Kind.RETURN and crossing.signature is None
