"""What of an instrument was outside, and what of that was owed, at every instant of its past. Pure.

A run walks the whole chain of an instrument and matches all its orders. Where that leaves nothing open to
doubt, what it found for an earlier slot is the same as a run as of that slot would find: the history is then
*closed*, and its running totals are kept, so that the figures of any slot are a look-up and not a walk.
``closed_history`` says what keeps a history from being closed; such an instrument is walked anew each time.

A step holds from its place on: its instant (the block's time in microseconds since 1970, or that of a
settlement or a change of role) and its slot, 0 where no block made it. The chain's clock never goes back, so a
step counts at a slot exactly if its place is at or before (the slot's time, the slot).
"""

import struct
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import starmap
from operator import itemgetter
from typing import NamedTuple, TypeAlias

from tieout_reconcile.crossings import Crossing, Crossings, Kind
from tieout_reconcile.matching import Match, Matching, is_owed_when_unsettled, redeems_by_burning
from tieout_reconcile.orders import Order

CHUNK_STEPS = 256
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_BY_KEY = frozenset({"memo", "signature"})
# what no quantity is matched with, and what nobody owes: unmatched, it stays as it is at every slot
_ALWAYS_ALONE = frozenset({
    Kind.SEIZURE, Kind.FORCED_BURN, Kind.HOLDER_BURN, Kind.HIDDEN, Kind.OUTSIDE_MINT, Kind.ROLE_CHANGE, Kind.OPENING
})  # fmt: skip
_FORCED = frozenset({Kind.SEIZURE, Kind.FORCED_BURN})
_PACKED = struct.Struct("<qqQQQQQ")
_PLACED = struct.Struct("<qq")
_Totals: TypeAlias = tuple[int, int, int, int, int, int, int]
"""A step, or what changes from its place on, as a plain tuple: there are millions."""
_PLACE_OF = itemgetter(0, 1)


class Step(NamedTuple):
    """From this place on (``at``: microseconds since 1970): supply, the raw outside, returned and taken by force.

    ``returned`` and ``forced`` are what came in and is still owed. All raw. ``ordered`` is when the last order was
    completed, in microseconds since 1970; 0: none was.
    """

    at: int
    slot: int
    supply: int
    outside: int
    returned: int
    forced: int
    ordered: int = 0


NOTHING = Step(0, 0, 0, 0, 0, 0)
"""Before the first step."""


@dataclass(frozen=True, slots=True)
class History:
    """The steps in order, packed. It holds for slots whose time is before ``until``; None: until something is new."""

    packed: bytes
    until: datetime | None

    @classmethod
    def of(cls, steps: Iterable[_Totals], until: datetime | None) -> "History":
        """Return the history of some steps."""
        return cls(b"".join(starmap(_PACKED.pack, steps)), until)

    @property
    def steps(self) -> list[Step]:
        """The steps."""
        return unpack(self.packed)

    def chunks(self) -> Iterator[tuple[int, int, bytes]]:
        """Yield the steps in chunks as they are kept, each with the place of its first."""
        length = CHUNK_STEPS * _PACKED.size
        for start in range(0, len(self.packed), length):
            at, slot, *_ = _PACKED.unpack_from(self.packed, start)
            yield at, slot, self.packed[start : start + length]


def micros(at: datetime) -> int:
    """Return an instant in microseconds since 1970."""
    since = at - _EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def instant_of(at: int) -> datetime:
    """Return the instant of so many microseconds since 1970."""
    return _EPOCH + at * _MICROSECOND


def unpack(packed: bytes) -> list[Step]:
    """Return the steps of a chunk."""
    return [Step(*values) for values in _PACKED.iter_unpack(packed)]


def step_at(packed: bytes, slot: int, at: datetime) -> Step:
    """Return the step of a chunk that is in force at a slot of an instant."""
    count = len(packed) // _PACKED.size
    place = bisect_right(range(count), (micros(at), slot), key=lambda n: _PLACED.unpack_from(packed, n * _PACKED.size))
    return Step(*_PACKED.unpack_from(packed, (place - 1) * _PACKED.size)) if place else NOTHING


def closed_history(
    walked: Crossings,
    matching: Matching,
    orders: Sequence[Order],
    role_changes: Iterable[datetime],
    at: datetime,
) -> History | None:
    """Return the history up to ``at``; None where a run as of an earlier slot might match otherwise."""
    if not _is_closed(walked.found, matching, orders):
        return None
    changes = [*_moved(walked.marks), *_owed_changes(walked.found, matching), *_completions(orders)]
    steps = _summed(changes)
    if steps is None:
        return None
    return History.of(steps, min((change for change in role_changes if change > at), default=None))


def _is_closed(crossings: Sequence[Crossing], matching: Matching, orders: Sequence[Order]) -> bool:
    """Whether each crossing that an order could be behind has its order, by a key or by the only one that fits."""
    # how much of an order in shares is filled depends on all its parts
    if matching.duplicates or any(m.order.raw is None for m in matching.mismatches):
        return False
    by_key = {m.crossing.key for m in matching.matches if m.order is not None}
    if any(c.key not in by_key and c.kind not in _ALWAYS_ALONE for c in crossings):
        return False
    if not all(_stands_at_any_slot(m) for m in matching.matches):
        return False
    guessed = [_shelves(m) for m in matching.matches if m.rule == "quantity"]
    asked = {shelf for shelves in guessed for shelf in shelves}
    alike = Counter(shelf for o in orders if (shelf := (o.side, o.token_raw, o.wallet)) in asked) if asked else {}
    return all(sum(alike[shelf] for shelf in shelves) == 1 for shelves in guessed)


def _stands_at_any_slot(match: Match) -> bool:
    """Whether a match is the same whatever comes later: named, or, if no other order is alike, found by quantity."""
    order, crossing = match.order, match.crossing
    if order is None or match.refunds is not None:
        return False
    if match.rule in _BY_KEY:
        return order.signature is None or order.signature == crossing.signature
    return match.rule == "quantity" and order.token_raw is not None and order.created_at <= crossing.at


def _shelves(match: Match) -> set[tuple[str, int | None, str | None]]:
    """Return where an order would have to lie to be taken for the match's: side, quantity, wallet."""
    assert match.order is not None, "what stands at any slot has an order"
    return {(match.order.side, match.order.token_raw, wallet) for wallet in (match.crossing.counterparty, None)}


def _owed_changes(crossings: Sequence[Crossing], matching: Matching) -> Iterator[_Totals]:
    """Yield what each return adds to what is owed, and what its order's settlement takes off."""
    short = {m.order.request_id: m.order for m in matching.mismatches}
    rest = {request_id: order.raw for request_id, order in short.items()}
    # of what went out nothing is owed, whatever is behind it
    behind = {m.crossing.key: m for m in matching.matches if not m.crossing.outward}
    for crossing in crossings:
        if crossing.outward:
            continue
        match = behind.get(crossing.key)
        if not is_owed_when_unsettled(crossing) and (match is None or not redeems_by_burning(match)):
            continue
        forced = crossing.kind in _FORCED
        came = _place(crossing)
        yield _owed(came, crossing.raw, forced=forced)
        order = None if match is None else match.order
        settled = None if order is None or order.side != "redeem" else order.completed_at
        if match is None or match.order is None or settled is None:
            continue
        left = rest.get(match.order.request_id)
        done = match.raw if left is None else min(match.raw, left)
        if left is not None:
            rest[match.order.request_id] = left - done
        yield _owed(max(came, (micros(settled), 0)), -done, forced=forced)


def _completions(orders: Iterable[Order]) -> Iterator[_Totals]:
    for order in orders:
        if order.side != "inventory" and (at := order.completed_at) is not None:
            yield (done := micros(at)), 0, 0, 0, 0, 0, done


def _moved(marks: Iterable[tuple[datetime, int, int, int]]) -> Iterator[_Totals]:
    supply = outside = 0
    for at, slot, supply_now, outside_now in marks:
        yield micros(at), slot, supply_now - supply, outside_now - outside, 0, 0, 0
        supply, outside = supply_now, outside_now


def _place(crossing: Crossing) -> tuple[int, int]:
    return micros(crossing.at), crossing.position.slot if crossing.position is not None else 0


def _owed(place: tuple[int, int], raw: int, *, forced: bool) -> _Totals:
    return *place, 0, 0, 0 if forced else raw, raw if forced else 0, 0


def _summed(changes: list[_Totals]) -> list[_Totals] | None:
    """Return the steps that changes lead through, one a place; None where a quantity falls below zero."""
    changes.sort(key=_PLACE_OF)
    found: list[_Totals] = []
    supply = outside = returned = forced = ordered = 0
    reached, reached_slot = changes[0][:2] if changes else (0, 0)
    for at, slot, more, out, back, taken, done in changes:
        # of a place the last total alone holds
        if at != reached or slot != reached_slot:
            found.append((reached, reached_slot, supply, outside, returned, forced, ordered))
            reached, reached_slot = at, slot
        supply += more
        outside += out
        returned += back
        forced += taken
        ordered = max(ordered, done)
    if changes:
        found.append((reached, reached_slot, supply, outside, returned, forced, ordered))
    return None if any(step[2] < 0 or step[3] < 0 or step[4] < 0 or step[5] < 0 for step in found) else found
