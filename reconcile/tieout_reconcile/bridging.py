"""Bridge messages against crossings: what is paired, what is in flight, what has no other side. Pure.

A message is paired with a movement of its own direction by our transaction's signature, else by a memo that
names it, else (it names no transaction) by quantity and time, where exactly one movement fits. What left
one chain and is not on the other yet is owed by neither chain's figures, so it is added: judged at the
cut-off here, and at the instant of its reading there.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from tieout_reconcile.bridge import BridgeMessage
from tieout_reconcile.crossings import Crossing, Kind
from tieout_reconcile.facts import Movement
from tieout_reconcile.registry import Role

QUANTITY_WINDOW = timedelta(days=2)
_BURNS = frozenset({Kind.HOLDER_BURN, Kind.FORCED_BURN})
_MINTS = frozenset({Kind.OUTSIDE_MINT, Kind.RELEASE})


@dataclass(frozen=True, slots=True)
class Paired:
    """A message and our side of it; ``escrowed``: it went into a bridge wallet, and lies there."""

    message: BridgeMessage
    crossing: Crossing | None
    escrowed: int = 0


@dataclass(frozen=True, slots=True)
class Bridged:
    """The outcome for one instrument. ``in_flight`` is raw, by message id; ``escrow`` is what a counterpart backs."""

    pairs: tuple[Paired, ...]
    in_flight: Mapping[str, int]
    late: tuple[BridgeMessage, ...]
    missing: tuple[BridgeMessage, ...]
    mismatched: tuple[Paired, ...]
    escrow: int

    @property
    def total_in_flight(self) -> int:
        """What is on its way, raw."""
        return sum(self.in_flight.values())

    @property
    def crossings(self) -> dict[str, BridgeMessage]:
        """The message behind a crossing, by its key."""
        return {p.crossing.key: p.message for p in self.pairs if p.crossing is not None}


NO_BRIDGE = Bridged((), {}, (), (), (), 0)
"""Where nothing was bridged."""


def bridge_instrument(
    messages: Sequence[BridgeMessage],
    crossings: Sequence[Crossing],
    escrows: Sequence[Movement],
    read_at: Mapping[str, datetime],
    hours_max: int,
    at: datetime,
) -> Bridged:
    """Pair one instrument's messages, known by ``at``. ``read_at``: when each other network (small letters) was read.

    ``escrows`` are transfers between strangers and bridge wallets, which cross no boundary.
    """
    known = [m for m in messages if m.sent_at <= at]
    if not known:
        return NO_BRIDGE
    pairs = _pairs(known, [c for c in crossings if c.kind in _BURNS | _MINTS], escrows, at)
    flying = {}
    for one in pairs:
        message, theirs = one.message, one.message.theirs_at
        arrived = theirs is not None and theirs <= min(at, read_at.get(message.network.lower(), at))
        gone = message.direction == "out" and one.crossing is not None and not arrived
        here = one.crossing is not None or one.escrowed or _is_done(message, at)
        if gone or (message.direction == "in" and arrived and not here):
            flying[message.message_id] = int(message.raw)
    limit = timedelta(hours=hours_max)
    late = [m for m in known if not _delivered(m, at) and at - m.sent_at > limit]
    missing = [p.message for p in pairs if p.crossing is None and not p.escrowed and _is_done(p.message, at)]
    wrong = [p for p in pairs if p.crossing is not None and p.crossing.raw != p.message.raw]
    return Bridged(tuple(pairs), flying, tuple(late), tuple(missing), tuple(wrong), _escrow(pairs, read_at, at))


def _delivered(message: BridgeMessage, at: datetime) -> bool:
    return message.delivered_at is not None and message.delivered_at <= at


def _is_done(message: BridgeMessage, at: datetime) -> bool:
    """Whether our side of it has happened, by its own word."""
    return message.ours_at is not None and message.ours_at <= at


def _escrow(pairs: Sequence[Paired], read_at: Mapping[str, datetime], at: datetime) -> int:
    """What lies in escrow here and is counted on a network that was read: it must not be owed twice."""
    total = 0
    for one in pairs:
        theirs, network = one.message.theirs_at, one.message.network.lower()
        if one.escrowed and theirs is not None and theirs <= min(at, read_at.get(network, theirs)):
            counted = network in read_at
            total += (one.escrowed if one.message.direction == "out" else -one.escrowed) if counted else 0
    return max(total, 0)


def _pairs(
    messages: Sequence[BridgeMessage], crossings: Sequence[Crossing], escrows: Sequence[Movement], at: datetime
) -> list[Paired]:
    found: dict[str, Crossing] = {}
    used: set[str] = set()

    def take(message: BridgeMessage, candidates: Sequence[Crossing]) -> None:
        if message.message_id not in found and candidates:
            found[message.message_id] = candidates[0]
            used.add(candidates[0].key)

    named = _index(crossings)
    for message in messages:
        by_key = named.get(message.signature or message.message_id, ())
        take(message, [c for c in by_key if c.key not in used and _same_way(message, c)])
    of_size: dict[int, list[Crossing]] = {}
    for crossing in crossings:
        of_size.setdefault(crossing.raw, []).append(crossing)
    loose = [m for m in messages if m.message_id not in found and m.signature is None and _is_done(m, at)]
    for message in loose:
        near = of_size.get(int(message.raw), ())
        fits = [c for c in near if c.key not in used and _same_way(message, c) and _alike(message, c)]
        take(message, fits if len(fits) == 1 else ())
    escrowed: dict[str | None, int] = {}
    for moved in escrows:
        escrowed[moved.signature] = escrowed.get(moved.signature, 0) + moved.amount - moved.fee
    return [Paired(m, found.get(m.message_id), escrowed.get(m.signature, 0)) for m in messages]


def _index(crossings: Sequence[Crossing]) -> dict[str, list[Crossing]]:
    """The crossings by their transaction's signature, and by each word of its memo."""
    named: dict[str, list[Crossing]] = {}
    for crossing in crossings:
        words = (crossing.memo or "").replace("\n", " ").split(" ")
        for word in {crossing.signature or "", *words} - {""}:
            named.setdefault(word, []).append(crossing)
    return named


def _same_way(message: BridgeMessage, crossing: Crossing) -> bool:
    return crossing.kind in (_MINTS if message.direction == "in" else _BURNS)


def _alike(message: BridgeMessage, crossing: Crossing) -> bool:
    ours = message.ours_at
    guessable = crossing.counterparty_role is Role.BRIDGE or crossing.kind in _BURNS
    return guessable and crossing.raw == message.raw and ours is not None and abs(crossing.at - ours) <= QUANTITY_WINDOW
