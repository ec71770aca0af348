"""Whether a crossing has its order: by request id or signature alone, nothing guessed. Pure.

The orders' own rules (``matching``, ``fitting``) decide; what they derive from quantities does not count here.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from fractions import Fraction

from tieout_reconcile.bridge import BridgeMessage
from tieout_reconcile.bridging import bridge_instrument
from tieout_reconcile.crossings import Crossing, Kind
from tieout_reconcile.exact import rounded_text
from tieout_reconcile.files import shown
from tieout_reconcile.findings import crossing_text, order_text
from tieout_reconcile.fitting import falls_short, fits
from tieout_reconcile.matching import Match, Matching, Mismatch, match, memo_references
from tieout_reconcile.orders import Order
from tieout_reconcile.registry import Instrument, Role

_FORCED = (Kind.SEIZURE, Kind.FORCED_BURN)
_KEY_CHARACTERS_MAX = 128
_SHOWN_PLACES = 9


class Alarm(StrEnum):
    """What an alert is called."""

    UNMATCHED = "CrossingUnmatched"
    OVERSIZED = "CrossingOversized"
    DUPLICATE = "CrossingDuplicate"
    WRONG_PARTY = "CrossingWrongParty"
    FORCED = "CrossingForced"
    INVENTORY = "InventoryUnauthorised"
    AUTHORITY = "AuthorityChanged"
    MULTIPLIER = "MultiplierUnannounced"
    CONTROL = "ControlUnannounced"
    RIPCORD = "Ripcord"


@dataclass(frozen=True, slots=True)
class Judgement:
    """What is said of a crossing; ``alarm`` None: it has its order. ``reason`` is of a closed list."""

    alarm: Alarm | None
    reason: str
    text: str
    request_id: str | None = None


@dataclass(frozen=True, slots=True)
class Papers:
    """The orders and bridge messages that crossings name, in their newest versions."""

    orders: Sequence[Order]
    messages: Sequence[BridgeMessage] = ()


def references_of(memo: str | None, count_max: int) -> tuple[str, ...]:
    """Return what a memo may name: the ids of its tagged lines, and each word of the others."""
    tagged = memo_references(memo)
    loose = [line for line in (memo or "").split("\n") if not memo_references(line)]
    found = dict.fromkeys([*tagged, *(word for line in loose for word in line.split(" "))])
    return tuple(r for r in found if 0 < len(r) <= _KEY_CHARACTERS_MAX and r.isprintable())[:count_max]


def unread(crossing: Crossing, instrument: Instrument, problem: str) -> Judgement:
    """Judge a crossing while the order source cannot be relied on: it is unmatched, whatever it names."""
    if crossing.kind in _FORCED:
        return _forced(crossing, instrument)
    text = f"{crossing_text(crossing, instrument)}, and no fresh order speaks for it: {problem}"
    return Judgement(Alarm.UNMATCHED, "stale_source", text)


def crowded(crossing: Crossing, instrument: Instrument) -> Judgement:
    """Judge a crossing that names an order after more movements than are looked at together."""
    text = f"{crossing_text(crossing, instrument)}, naming an order that too many movements name already"
    return Judgement(Alarm.UNMATCHED, "too_many_claims", text)


def judge(
    instrument: Instrument, crossings: Sequence[Crossing], papers: Papers, now: datetime, ours: Collection[str]
) -> dict[str, Judgement]:
    """Return, by key, the judgement of those crossings of an instrument whose keys are ``ours``.

    ``crossings`` holds all that name the same orders, so that what they move together is judged together.
    """
    ordered = sorted(crossings, key=lambda c: (c.position is None, c.position or (), c.key))
    bridged = bridge_instrument(papers.messages, ordered, [], {}, instrument.bridge_hours_max, now)
    messages = {c.key: m for c in ordered if (m := bridged.crossings.get(c.key)) is not None and _names(c, m)}
    free = [c for c in ordered if c.key not in messages]
    orders = [o for o in papers.orders if o.mint == instrument.mint and o.is_here]
    case = _Case(instrument, match(orders, free, now), messages, {o.request_id: o for o in orders}, now)
    return {c.key: case.judge(c) for c in ordered if c.key in ours}


class _Case:
    """One instrument's matching, asked crossing by crossing."""

    def __init__(
        self,
        instrument: Instrument,
        matching: Matching,
        messages: Mapping[str, BridgeMessage],
        orders: Mapping[str, Order],
        now: datetime,
    ) -> None:
        self.instrument, self.messages, self.orders, self.now = instrument, messages, orders, now
        self.matched = {m.crossing.key: m for m in matching.matches if m.status == "exact"}
        self.repeated = {crossing.key: order for crossing, order in matching.duplicates}
        self.mismatched: dict[str, Mismatch] = {c.key: m for m in matching.mismatches for c in m.crossings}

    def judge(self, crossing: Crossing) -> Judgement:
        if crossing.key in self.messages:
            return self._bridged(crossing, self.messages[crossing.key])
        if crossing.key in self.repeated:
            order = self.repeated[crossing.key]
            why = f"naming {self._order(order)}, which earlier movements already filled"
            return self._alarm(Alarm.DUPLICATE, "order_filled", crossing, why, order)
        if crossing.key in self.mismatched:
            return self._in_part(crossing, self.mismatched[crossing.key])
        found = self.matched.get(crossing.key)
        if found is None or found.order is None:
            return self._nothing(crossing) if found is None else Judgement(None, "refund", "")
        return self._filled(crossing, found, found.order)

    def _bridged(self, crossing: Crossing, message: BridgeMessage) -> Judgement:
        if crossing.raw > message.raw:
            why = f"against bridge message {message.message_id} over {message.raw} raw"
            return self._alarm(Alarm.OVERSIZED, "bridge_message_exceeded", crossing, why)
        return Judgement(None, "bridge", "", message.message_id)

    def _filled(self, crossing: Crossing, found: Match, order: Order) -> Judgement:
        if found.refunds is not None:
            return Judgement(None, "refund", "", order.request_id)
        if order.side == "issue" and order.status_at(self.now) == "rejected":
            why = f"though {self._order(order)} was rejected"
            return self._alarm(Alarm.UNMATCHED, "order_rejected", crossing, why, order)
        if order.wallet is not None and order.wallet != crossing.counterparty:
            why = f"while {self._order(order)} is for {order.wallet}"
            return self._alarm(Alarm.WRONG_PARTY, "other_wallet", crossing, why, order)
        return Judgement(None, "order", "", order.request_id)

    def _in_part(self, crossing: Crossing, mismatch: Mismatch) -> Judgement:
        """A part of an order: fine as long as all of them up to this one do not exceed it."""
        order, parts = mismatch.order, mismatch.crossings
        upto = parts[: [c.key for c in parts].index(crossing.key) + 1]
        if order.token_raw is None and any(c.unit is None for c in upto):
            why = f"and {self._order(order)} is in shares: no multiplier is known to be in force"
            return self._alarm(Alarm.UNMATCHED, "multiplier_unknown", crossing, why, order)
        if falls_short(order, upto) or fits(order, upto):
            return self._filled(crossing, Match(crossing, order, "part", "exact", crossing.raw), order)
        moved = sum((c.shares or Fraction(0) for c in upto), Fraction(0))
        total = f"{rounded_text(moved, _SHOWN_PLACES)} shares ({sum(c.raw for c in upto)} raw)"
        why = f"against {self._order(order)}: with it {total} moved for that order"
        return self._alarm(Alarm.OVERSIZED, "order_exceeded", crossing, why, order)

    def _nothing(self, crossing: Crossing) -> Judgement:
        if crossing.kind in _FORCED:
            return _forced(crossing, self.instrument)
        named = memo_references(crossing.memo)
        side = "issue" if crossing.outward else "redeem"
        other = "bridge message" if crossing.counterparty_role is Role.BRIDGE else f"{side} order"
        why = f"without an order: no {other} names it by request id or signature"
        if named and (order := self.orders.get(named[0])) is not None:
            why += f" (its memo names {shown(named[0])}, an order to {order.side})"
        elif named:
            why += f" (its memo names {shown(named[0])})"
        return self._alarm(Alarm.UNMATCHED, "no_order", crossing, why)

    def _order(self, order: Order) -> str:
        return order_text(order, self.instrument)

    def _alarm(self, alarm: Alarm, reason: str, crossing: Crossing, why: str, order: Order | None = None) -> Judgement:
        text = f"{crossing_text(crossing, self.instrument)}, {why}"
        return Judgement(alarm, reason, text, None if order is None else order.request_id)


def _forced(crossing: Crossing, instrument: Instrument) -> Judgement:
    return Judgement(Alarm.FORCED, "forced", f"{crossing_text(crossing, instrument)} (cause: forced; it stays owed)")


def _names(crossing: Crossing, message: BridgeMessage) -> bool:
    """Whether a message and a movement name each other, and were not paired by their quantity alone."""
    return message.signature == crossing.signature or message.message_id in (crossing.memo or "").split()
