"""Orders against crossings. Pure, and the same for the same input whatever its order.

Rules, strongest first:

1. ``memo``: a line of the transaction's memo is ``tieout/1 <verb> <request id>``, or the id alone.
2. ``signature``: the order names the transaction.
3. ``quantity``: one order, one crossing, same direction, quantity and instrument, within the window
   around the order's creation; the order of the earliest deadline first, so that none is wasted.
   Such a match is ``derived``, the others are ``exact``.
4. ``refund``: a release that gives back an earlier return not yet settled: to the same owner and of
   the same quantity, or naming the same request.

An order in shares fits raw amounts when their sum is less than one raw unit each away from it:
shares = raw x multiplier / 10^decimals, each raw amount is the floor or the ceiling of its part.
"""

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from fractions import Fraction

from tieout_reconcile.crossings import Crossing, Kind
from tieout_reconcile.orders import Order

RULE_VERSION = 1
WINDOW_BEFORE = timedelta(days=3)
WINDOW_AFTER = timedelta(days=7)
MEMO_TAG = "tieout/1"
_MEMO_WORDS = 3


@dataclass(frozen=True, slots=True)
class Match:
    """A crossing and the order behind it, with the raw quantity allocated. ``refunds``: the return given back."""

    crossing: Crossing
    order: Order | None
    rule: str
    status: str
    raw: int
    refunds: Crossing | None = None


@dataclass(frozen=True, slots=True)
class Mismatch:
    """An order and crossings that name each other but differ in quantity."""

    order: Order
    crossings: tuple[Crossing, ...]


@dataclass(frozen=True, slots=True)
class Matching:
    """The outcome: matches, crossings that repeat a settled reference, and quantity mismatches."""

    matches: tuple[Match, ...]
    duplicates: tuple[tuple[Crossing, Order], ...]
    mismatches: tuple[Mismatch, ...]


def fits(order: Order, crossings: Sequence[Crossing]) -> bool:
    """Whether the crossings together are what the order asked for, to the raw unit."""
    if order.raw is not None:
        return sum(c.raw for c in crossings) == order.raw
    if order.shares is None or any(c.unit is None for c in crossings):
        return False
    units = [c.unit for c in crossings if c.unit is not None]
    shares = sum((c.raw * u for c, u in zip(crossings, units, strict=True)), Fraction(0))
    return abs(shares - order.shares) < sum(units, Fraction(0))


def memo_references(memo: str | None) -> tuple[str, ...]:
    """Return the request ids that the tagged lines of a memo name, in order."""
    words = [line.split(" ") for line in (memo or "").split("\n")]
    return tuple(w[2] for w in words if len(w) == _MEMO_WORDS and w[0] == MEMO_TAG and w[2])


def match(orders: Sequence[Order], crossings: Sequence[Crossing], as_of: datetime) -> Matching:
    """Match one instrument's orders and crossings. An order created after ``as_of`` is matched by key only."""
    return _Matcher(sorted(orders, key=lambda o: (o.created_at, o.request_id)), crossings, as_of).run()


class _Matcher:
    def __init__(self, orders: Sequence[Order], crossings: Sequence[Crossing], as_of: datetime) -> None:
        self.orders = orders
        self.crossings = [c for c in crossings if c.kind is not Kind.ROLE_CHANGE]
        self.as_of = as_of
        self.by_id = {o.request_id: o for o in orders}
        self.claims: dict[str, list[tuple[Crossing, str]]] = defaultdict(list)
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
        self._refunds()
        return Matching(tuple(self.matches), tuple(self.duplicates), tuple(self.mismatches))

    def _references(self, crossing: Crossing) -> set[str]:
        bare = {line for line in (crossing.memo or "").split("\n") if line in self.by_id}
        return bare | set(memo_references(crossing.memo))

    def _claim_by_memo(self) -> None:
        for crossing in self.crossings:
            named = [self.by_id[r] for r in sorted(self._references(crossing)) if r in self.by_id]
            self._claim(crossing, [o for o in named if _same_side(o, crossing)], "memo")

    def _claim_by_signature(self) -> None:
        by_signature: dict[str, list[Order]] = defaultdict(list)
        for order in self.orders:
            if order.signature is not None and order.request_id not in self.claims:
                by_signature[order.signature].append(order)
        for crossing in self.crossings:
            if crossing.key not in self.taken and crossing.signature is not None:
                candidates = [o for o in by_signature[crossing.signature] if _same_side(o, crossing)]
                self._claim(crossing, candidates, "signature")

    def _claim(self, crossing: Crossing, candidates: list[Order], rule: str) -> None:
        """One transaction may carry several orders: then quantity tells which one is meant."""
        if len(candidates) > 1:
            free = [o for o in candidates if not self._claimed_in(o, crossing.signature)]
            candidates = [o for o in free or candidates if fits(o, [crossing])]
        if candidates:
            self.claims[candidates[0].request_id].append((crossing, rule))
            self.taken.add(crossing.key)

    def _claimed_in(self, order: Order, signature: str | None) -> bool:
        claimed: list[tuple[Crossing, str]] = self.claims.get(order.request_id, [])
        return any(crossing.signature == signature for crossing, _ in claimed)

    def _settle(self, order: Order, claims: list[tuple[Crossing, str]]) -> None:
        """Take the shortest run of crossings that fills the order; what names it beyond that is a duplicate."""
        named = [crossing for crossing, _ in claims]
        length = next((n for n in range(1, len(named) + 1) if fits(order, named[:n])), None)
        if length is None:
            self.mismatches.append(Mismatch(order, tuple(named)))
        filled = claims[:length]
        for crossing, rule in filled:
            self.matches.append(Match(crossing, order, rule, "exact", crossing.raw))
        self.duplicates.extend((crossing, order) for crossing, _ in claims[len(filled) :])

    def _by_quantity(self) -> None:
        index = _QuantityIndex(
            [o for o in self.orders if o.request_id not in self.claims and o.created_at <= self.as_of]
        )
        for crossing in self.crossings:
            if crossing.key in self.taken or not _may_match_by_quantity(crossing):
                continue
            order = index.take(crossing, self.as_of)
            if order is not None:
                self.taken.add(crossing.key)
                self.matches.append(Match(crossing, order, "quantity", "derived", crossing.raw))

    def _refunds(self) -> None:
        behind = {m.crossing.key: m.order for m in self.matches}
        unsettled = [
            c for c in self.crossings if is_owed_when_unsettled(c) and not order_settles(behind.get(c.key), self.as_of)
        ]
        left = {c.key: c.raw for c in unsettled}
        for crossing in self.crossings:
            if crossing.key in self.taken or crossing.kind is not Kind.RELEASE:
                continue
            for earlier in unsettled:
                order = behind.get(earlier.key)
                rest = left[earlier.key]
                if rest < crossing.raw or _is_before(crossing, earlier):
                    continue
                its_own = self._references(earlier) | ({order.request_id} if order else set())
                named = bool(self._references(crossing) & its_own)
                if named or (earlier.counterparty == crossing.counterparty and rest == crossing.raw):
                    left[earlier.key] = rest - crossing.raw
                    self.taken.add(crossing.key)
                    status = "exact" if named else "derived"
                    self.matches.append(Match(crossing, order, "refund", status, crossing.raw, earlier))
                    break


class _QuantityIndex:
    """Free orders by quantity, so that a crossing meets only those that could fit it."""

    def __init__(self, orders: Sequence[Order]) -> None:
        self._by_raw: dict[int, list[Order]] = defaultdict(list)
        self._by_shares = sorted((o for o in orders if o.shares is not None), key=_shares)
        self._taken: set[str] = set()
        for order in orders:
            if order.raw is not None:
                self._by_raw[order.raw].append(order)

    def take(self, crossing: Crossing, as_of: datetime) -> Order | None:
        """Return and use up the best order for a crossing: its own wallet's first, then the oldest."""
        near = list(self._by_raw.get(crossing.raw, ()))
        if crossing.unit is not None:
            low = bisect_right(self._by_shares, (crossing.raw - 1) * crossing.unit, key=_shares)
            high = bisect_left(self._by_shares, (crossing.raw + 1) * crossing.unit, key=_shares)
            near += self._by_shares[low:high]
        eligible = [o for o in near if o.request_id not in self._taken and _eligible(o, crossing, as_of)]
        if not eligible:
            return None
        order = min(eligible, key=lambda o: (o.wallet != crossing.counterparty, o.created_at, o.request_id))
        self._taken.add(order.request_id)
        return order


def _shares(order: Order) -> Fraction:
    return order.shares or Fraction(0)


def order_settles(order: Order | None, as_of: datetime) -> bool:
    """Whether an order ends what is owed for tokens that came back: its share journal is booked."""
    return order is not None and order.side == "redeem" and order.status_at(as_of) == "completed"


def is_owed_when_unsettled(crossing: Crossing) -> bool:
    """Whether tokens that came in stay owed until evidence says otherwise.

    Tokens sent in for redemption are owed until the shares are delivered, and what the issuer took
    by force stays owed: its own act never lowers what it owes. A holder who burns gives up the claim.
    """
    returned = {Kind.RETURN, Kind.SEIZURE, Kind.FORCED_BURN, Kind.OWNER_CHANGE}
    return not crossing.outward and crossing.kind in returned


def _is_before(one: Crossing, other: Crossing) -> bool:
    return one.position is not None and other.position is not None and one.position <= other.position


def _same_side(order: Order, crossing: Crossing) -> bool:
    return (order.side == "issue") is crossing.outward


def _may_match_by_quantity(crossing: Crossing) -> bool:
    """A memo that names some other request speaks against a guess, and force needs no order."""
    forced = crossing.kind in (Kind.SEIZURE, Kind.FORCED_BURN, Kind.HIDDEN)
    return not forced and not memo_references(crossing.memo)


def _eligible(order: Order, crossing: Crossing, as_of: datetime) -> bool:
    if not _same_side(order, crossing) or not fits(order, [crossing]):
        return False
    if order.signature is not None and order.signature != crossing.signature:
        return False
    if order.side == "issue" and order.status_at(as_of) == "rejected":
        return False
    if order.wallet is not None and order.wallet != crossing.counterparty:
        return False
    if crossing.kind is Kind.HOLDER_BURN and order.wallet is None:
        return False
    return order.created_at - WINDOW_BEFORE <= crossing.at <= order.created_at + WINDOW_AFTER
