"""Orders of tokens on other networks, against what those networks held from reading to reading. Pure.

No movement of another network is known here, so no order of it is matched with one: its shares are matched with
custody, its tokens with the network's figures. Between two readings what lies outside the issuer's wallets changes
by what orders issued, less what they redeemed, and by bridge messages. An order moves its tokens between its making
and its end, so two readings speak of it only where neither lies between; whatever they cannot speak of is unknown.
A difference that one of the orders accounts for alone names that order.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from fractions import Fraction
from itertools import pairwise

from tieout_reconcile.bridge import BridgeMessage
from tieout_reconcile.calendars import day_of
from tieout_reconcile.elsewhere import MultiplierAt, NetworkShares, is_same_number
from tieout_reconcile.findings import finding, order_text, shares_text
from tieout_reconcile.legs import Leg
from tieout_reconcile.orders import Order
from tieout_reconcile.other_chains import ChainReading
from tieout_reconcile.registry import Instrument, instant_text
from tieout_reconcile.results import Finding, HeldLine

_SIGNS = {"issue": 1, "redeem": -1}
_SHOWN = 20


@dataclass(frozen=True, slots=True)
class Stretch:
    """A network between two readings: ``gap`` is what it holds beyond what orders and messages explain, in shares.

    ``absent`` is the one order whose tokens the gap is, as if it had moved none. ``ties``: no more than rounding.
    """

    network: str
    start: ChainReading
    end: ChainReading
    orders: tuple[Order, ...]
    gap: Fraction
    ties: bool
    absent: Order | None


@dataclass(frozen=True, slots=True)
class NetworkOrders:
    """The outcome: what was compared, and by network the completed orders that no two readings speak of."""

    stretches: tuple[Stretch, ...] = ()
    unknown: tuple[tuple[str, tuple[Order, ...]], ...] = ()


def check_networks(
    instrument: Instrument,
    orders: Sequence[Order],
    readings: Sequence[ChainReading],
    messages: Sequence[BridgeMessage],
    multiplier_at: MultiplierAt,
    at: datetime,
) -> NetworkOrders:
    """Compare one instrument's orders of other networks, made by ``at``, with the readings of those networks."""
    stretches: list[Stretch] = []
    unknown: list[tuple[str, tuple[Order, ...]]] = []
    for network in sorted({o.network for o in orders}):
        mine = [o for o in orders if o.network == network and o.created_at <= at]
        read = [r for r in readings if r.network.lower() == network and r.is_of_network and r.as_of <= at]
        sent = [m for m in messages if m.network.lower() == network]
        found = list(_stretches(_Network(instrument, network, mine, sent, multiplier_at, at), read))
        stretches += found
        seen = {o.request_id for stretch in found for o in stretch.orders}
        rest = tuple(o for o in mine if o.status_at(at) == "completed" and o.request_id not in seen)
        unknown += [(network, rest)] if rest else []
    return NetworkOrders(tuple(stretches), tuple(unknown))


@dataclass(frozen=True, slots=True)
class _Network:
    """What is known of one network beside its readings."""

    instrument: Instrument
    network: str
    orders: Sequence[Order]
    messages: Sequence[BridgeMessage]
    multiplier_at: MultiplierAt
    at: datetime

    def end(self, order: Order) -> datetime | None:
        """When an order's tokens have moved; None: by the cut-off it is not known that they have."""
        return None if order.status_at(self.at) == "pending" else order.settled_at

    def moves(self, order: Order) -> bool:
        """Whether an order may move tokens at all: one to issue that was rejected does not."""
        return not (order.side == "issue" and order.status_at(self.at) == "rejected")

    def tokens(self, order: Order) -> Fraction | None:
        """What an order adds outside the issuer's wallets, in tokens; None where the multiplier leaves it open."""
        if order.status_at(self.at) == "rejected":
            return Fraction(0)
        then, done = self.multiplier_at(order.created_at), self.multiplier_at(order.settled_at or order.created_at)
        if then is None or then != done or order.token_shares is None:
            return None
        return order.token_shares / then * _SIGNS[order.side]

    def outside(self, reading: ChainReading) -> Fraction | None:
        """What lies outside the issuer's wallets, in tokens; None where it cannot be told."""
        held = reading.quantity - reading.issuer_held
        if reading.unit == "raw":
            return held * Fraction(1, 10 ** (reading.decimals or 0))
        then = self.multiplier_at(reading.as_of)
        if not then or (reading.multiplier is not None and not is_same_number(reading.multiplier, then)):
            return None
        return held / then

    def rounding(self, reading: ChainReading) -> Fraction:
        """How far a reading's figure may lie off by its source's rounding, in tokens."""
        if reading.unit == "raw" or reading.decimals is None:
            return Fraction(0)
        return Fraction(1, 10**reading.decimals) / (self.multiplier_at(reading.as_of) or 1)

    def bridged(self, start: datetime, end: datetime) -> Fraction:
        """What messages brought to the network, less what they took, after one instant and up to another."""
        raw = 0
        for message in self.messages:
            if message.theirs_at is not None and start < message.theirs_at <= end:
                raw += message.raw if message.direction == "out" else -message.raw
        return Fraction(raw, 10**self.instrument.decimals)


def _stretches(network: _Network, readings: Sequence[ChainReading]) -> Iterator[Stretch]:
    """Yield what lies between readings that no order's tokens can have moved on either side of."""
    moving = [o for o in network.orders if network.moves(o)]
    if not moving:
        return
    begun = min(o.created_at for o in moving)
    cuts = [r for r in sorted(readings, key=lambda r: r.as_of) if not _is_within(network, moving, r.as_of)]
    for start, end in pairwise(cuts):
        if end.as_of > begun and (found := _stretch(network, moving, start, end)) is not None:
            yield found


def _is_within(network: _Network, orders: Sequence[Order], when: datetime) -> bool:
    return any(o.created_at < when and ((end := network.end(o)) is None or when < end) for o in orders)


def _stretch(network: _Network, orders: Sequence[Order], start: ChainReading, end: ChainReading) -> Stretch | None:
    inside = [o for o in orders if start.as_of <= o.created_at < end.as_of]
    tokens = {o.request_id: network.tokens(o) for o in inside}
    before, after = network.outside(start), network.outside(end)
    scale = network.multiplier_at(end.as_of)
    if before is None or after is None or scale is None or None in tokens.values():
        return None
    expected = sum((t for t in tokens.values() if t is not None), network.bridged(start.as_of, end.as_of))
    gap = after - before - expected
    unit = Fraction(1, 10 ** next((d for d in (end.decimals, start.decimals) if d), network.instrument.decimals))
    bound = unit * len(inside) + network.rounding(start) + network.rounding(end)
    alone = [o for o in inside if tokens[o.request_id] and abs(gap + (tokens[o.request_id] or 0)) <= bound]
    ties = abs(gap) <= bound
    absent = alone[0] if len(alone) == 1 and not ties else None
    return Stretch(network.network, start, end, tuple(inside), gap * scale, ties, absent)


def network_findings(instrument: Instrument, found: NetworkOrders, at: datetime) -> Iterator[Finding]:
    """Yield what a network's figures say against the orders there, and how many orders they cannot speak of."""
    for stretch in found.stretches:
        if not stretch.ties:
            yield _absent(instrument, stretch, stretch.absent) if stretch.absent else _gap(instrument, stretch)
    for network, orders in found.unknown:
        shares = sum((o.shares for o in orders if o.shares is not None), Fraction(0))
        what = f"{len(orders)} completed order{'' if len(orders) == 1 else 's'} over {shares_text(shares, instrument)}"
        text = (
            f"{what} on {network} cannot be told from its figures: no two readings by {instant_text(at)} enclose them"
        )
        yield finding(
            "B8", instrument, f"network/{network}/orders", text, severity="notice", shares=shares,
            details={"network": network, "orders": len(orders), "request_ids": [o.request_id for o in orders][:_SHOWN]},
        )  # fmt: skip


def _absent(instrument: Instrument, stretch: Stretch, order: Order) -> Finding:
    code, never = ("C2", "came out") if order.side == "issue" else ("C4", "came back")
    text = f"{order_text(order, instrument)} is completed, but by the figures of {stretch.network} no tokens {never}"
    return finding(
        code, instrument, f"order/{order.request_id}", f"{text} {_between(stretch)}", shares=order.shares,
        at=order.settled_at or order.created_at, signature=order.signature, request_id=order.request_id,
        details=_details(stretch),
    )  # fmt: skip


def _gap(instrument: Instrument, stretch: Stretch) -> Finding:
    code, way = ("C1", "more") if stretch.gap > 0 else ("C3", "fewer")
    text = (
        f"{shares_text(abs(stretch.gap), instrument)} {way} lie on {stretch.network} than its {len(stretch.orders)} "
        f"orders and its bridge messages explain, {_between(stretch)}"
    )
    anchor = f"network/{stretch.network}/{instant_text(stretch.start.as_of)}/{instant_text(stretch.end.as_of)}"
    return finding(
        code, instrument, anchor, text, shares=stretch.gap, at=stretch.end.as_of, details=_details(stretch)
    )  # fmt: skip


def _between(stretch: Stretch) -> str:
    return f"between its readings of {instant_text(stretch.start.as_of)} and {instant_text(stretch.end.as_of)}"


def _details(stretch: Stretch) -> dict[str, object]:
    return {
        "network": stretch.network,
        "from": instant_text(stretch.start.as_of),
        "to": instant_text(stretch.end.as_of),
        "orders": len(stretch.orders),
    }


def held_elsewhere(
    orders: Sequence[Order],
    legs: Mapping[str, Leg],
    networks: Sequence[NetworkShares],
    seen: Callable[[Leg], bool],
    until: Callable[[datetime], date],
    at: datetime,
) -> Iterator[HeldLine]:
    """Yield what custody and a network's last reading may show differently, for orders that ended after the reading.

    Above zero: shares in custody for tokens that the reading lacks; below: delivered for tokens that it still
    has. ``seen``: whether the custody figures contain a leg. Tokens come back before their order is made, and go
    out after it: so only an issue made after the reading is sure.
    """
    read_at = {n.network.lower(): n.reading.as_of for n in networks if n.reading is not None}
    for order in sorted(orders, key=lambda o: o.request_id):
        read = read_at.get(order.network)
        if read is None or order.created_at > at or order.status_at(at) == "rejected":
            continue
        if order.status_at(at) == "completed" and (order.settled_at or order.created_at) <= read:
            continue
        leg = legs.get(order.request_id)
        booked = leg is not None and bool(leg.movements)
        if leg is not None and booked and leg.settled_at is not None and seen(leg):
            sign, shares, since = _SIGNS[order.side], leg.shares, leg.settled_at
        elif order.side == "redeem" and not booked and order.shares is not None:
            # its tokens may have come back, and its shares are still to go
            sign, shares, since = 1, order.shares - (order.fee or 0), order.created_at
        else:
            continue
        if day_of(at) <= until(since):
            sure = order.side == "issue" and order.created_at >= read
            yield HeldLine(order.request_id, sign * shares, since, until(since), order.network, sure)
