"""What is told about orders and the custody legs behind them, lateness and inventory. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from fractions import Fraction

from tieout_reconcile.calendars import Calendar, day_of
from tieout_reconcile.canonical import Raw
from tieout_reconcile.exact import decimal_text
from tieout_reconcile.facts import Movement
from tieout_reconcile.findings import finding, order_text, shares_text
from tieout_reconcile.legs import Leg, Legs
from tieout_reconcile.matching import Match, Matching
from tieout_reconcile.movements import CustodyMovement
from tieout_reconcile.orders import Order
from tieout_reconcile.registry import Instrument, instant_text
from tieout_reconcile.results import Finding


def leg_findings(
    instrument: Instrument,
    legs: Legs,
    matching: Matching,
    wanted: Mapping[str, Fraction],
    quanta: Mapping[str, Fraction],
) -> Iterator[Finding]:
    """Yield legs that repeat, differ from their order, or are not there though tokens moved."""
    served = {m.order.request_id: m for m in matching.matches if m.order is not None and m.refunds is None}
    for order in legs.missing:
        if order.request_id in served:
            yield _missing(instrument, order, served[order.request_id])
        elif not order.is_here:
            yield _missing_elsewhere(instrument, order)
    for movement, order in legs.repeated:
        what = f"the custody movement {movement.reference} repeats the leg of {order_text(order, instrument)}"
        yield _about("C7", instrument, movement, f"{_moved(movement, instrument)}: {what}", order)
    for request_id, leg in sorted(legs.by_order.items()):
        yield from _leg(instrument, leg, wanted.get(request_id), quanta)


def _missing(instrument: Instrument, order: Order, served: Match) -> Finding:
    code = "C1" if order.side == "issue" else "C3"
    text = f"{order_text(order, instrument)} is completed and its tokens moved, but no custody movement is behind it"
    return finding(
        code, instrument, f"leg/{order.request_id}", text, shares=served.crossing.shares, raw=Raw(served.crossing.raw),
        at=order.settled_at or order.created_at, request_id=order.request_id, signature=served.crossing.signature,
        details={"leg": "missing"},
    )  # fmt: skip


def _missing_elsewhere(instrument: Instrument, order: Order) -> Finding:
    """Its own word is all that is known of its tokens."""
    text = f"{order_text(order, instrument)} is completed on {order.network}, but no custody movement is behind it"
    return finding(
        "C1" if order.side == "issue" else "C3", instrument, f"leg/{order.request_id}", text, shares=order.shares,
        at=order.settled_at or order.created_at, request_id=order.request_id, signature=order.signature,
        details={"leg": "missing", "network": order.network},
    )  # fmt: skip


def _leg(
    instrument: Instrument, leg: Leg, wanted: Fraction | None, quanta: Mapping[str, Fraction]
) -> Iterator[Finding]:
    order, fees = leg.order, -sum((m.quantity for m in leg.fees), Fraction(0))
    said = order.fee if order.shares is not None and order.fee is not None else Fraction(0)
    if leg.fees and fees != said:
        text = (
            f"{order_text(order, instrument)} declares a fee of {decimal_text(said)}, custody took {decimal_text(fees)}"
        )
        yield finding(
            "C6", instrument, f"leg/{order.request_id}", text, shares=fees - said, at=leg.fees[0].settled_at,
            request_id=order.request_id, details={"references": [m.reference for m in leg.fees]},
        )  # fmt: skip
    if wanted is None or not leg.movements:
        return
    difference = leg.shares - wanted
    # a custodian of whole shares rounds a leg to them
    if not difference or abs(difference) < max(quanta.get(m.custodian, Fraction(0)) for m in leg.movements):
        return
    is_fee = bool(said) and abs(difference) == said
    text = f"{order_text(order, instrument)}: custody moved {shares_text(leg.shares, instrument)}"
    yield finding(
        "C6" if is_fee else "C5", instrument, f"leg/{order.request_id}", text, shares=difference,
        at=leg.settled_at, request_id=order.request_id, details={"references": [m.reference for m in leg.movements]},
    )  # fmt: skip


def loose_findings(
    instrument: Instrument, loose: Sequence[CustodyMovement], calendar: Calendar, at: datetime
) -> Iterator[Finding]:
    """Yield movements of shares that no order stands for; the tokens of a deposit have their time to come."""
    for movement in loose:
        waited = calendar.between(day_of(movement.settled_at or at), day_of(at))
        if movement.quantity > 0 and waited > instrument.late_days_max:
            text = f"{_moved(movement, instrument)}, and no order or release of tokens stands for it"
            yield _about("C2", instrument, movement, text, None)
        elif movement.quantity < 0:
            text = f"{_moved(movement, instrument)}, and no order or return of tokens stands for it"
            yield _about("C4", instrument, movement, text, None)


def unreleased_findings(
    instrument: Instrument, legs: Legs, released: Mapping[str, Fraction], calendar: Calendar, at: datetime
) -> Iterator[Finding]:
    """Yield pending orders whose shares came, or went, and whose tokens did not move within the time allowed."""
    for request_id, leg in sorted(legs.by_order.items()):
        order, settled = leg.order, leg.settled_at
        if settled is None or request_id in released or order.status_at(at) == "completed":
            continue
        waited = calendar.between(day_of(settled), day_of(at))
        if not order.is_here and waited <= instrument.late_days_max:
            # whether its tokens moved is not known: only that it should be ended by now
            continue
        if not order.is_here:
            code, came = ("C2", "came") if order.side == "issue" else ("C4", "went")
            text = f"shares {came} at {instant_text(settled)} and it is still pending on {order.network}"
        elif order.side == "issue" and waited > instrument.late_days_max:
            code, text = "C2", f"shares came at {instant_text(settled)} and no tokens were released"
        elif order.side == "redeem":
            code, text = "C4", f"shares went at {instant_text(settled)} and no tokens came back"
        else:
            continue
        yield finding(
            code, instrument, f"leg/{request_id}", f"{order_text(order, instrument)}: {text}", shares=leg.shares,
            at=settled, request_id=request_id, details={"references": [m.reference for m in leg.movements]},
        )  # fmt: skip


def late_findings(
    instrument: Instrument, matching: Matching, legs: Legs, calendar: Calendar, at: datetime
) -> Iterator[Finding]:
    """Yield orders whose tokens, or whose settlement, came later than the instrument allows."""
    told: set[str] = set()
    allowed = {"issue": instrument.late_days_max, "redeem": instrument.redemption_days_max}
    days_of = {side: timedelta(days=limit) for side, limit in allowed.items()}
    for match in matching.matches:
        order, crossing = match.order, match.crossing
        if order is None or match.refunds is not None or order.request_id in told:
            continue
        leg = legs.by_order.get(order.request_id)
        settled = leg.settled_at if leg is not None else None
        if order.side == "issue":
            start, end = max(settled or order.created_at, order.created_at), crossing.at
        else:
            done = settled or (order.settled_at if order.status_at(at) == "completed" else at)
            start, end = crossing.at, done or crossing.at
        if end - start < days_of[order.side]:
            # as many days of any kind, or one more by their dates, are no more business days than allowed
            continue
        days, limit = calendar.between(day_of(start), day_of(end)), allowed[order.side]
        if days <= limit:
            continue
        told.add(order.request_id)
        what = (
            "its tokens were released"
            if order.side == "issue"
            else (
                "its shares were delivered" if settled or order.status_at(at) == "completed" else "it is still pending"
            )
        )
        text = f"{order_text(order, instrument)}: {what} {days} business days on, {limit} are allowed"
        yield finding(
            "C8", instrument, f"order/{order.request_id}", text, shares=crossing.shares, raw=Raw(crossing.raw),
            at=crossing.at, signature=crossing.signature, request_id=order.request_id, details={"business_days": days},
        )  # fmt: skip


def late_elsewhere(
    instrument: Instrument, orders: Sequence[Order], legs: Legs, calendar: Calendar, at: datetime
) -> Iterator[Finding]:
    """Yield orders of other networks that ended, by their own word, later than the instrument allows."""
    for order in orders:
        status, leg = order.status_at(at), legs.by_order.get(order.request_id)
        settled = leg.settled_at if leg is not None else None
        if order.created_at > at or status == "rejected" or (status == "pending" and settled is not None):
            continue
        if order.side == "issue":
            start, end, limit = max(settled or order.created_at, order.created_at), None, instrument.late_days_max
        else:
            start, end, limit = order.created_at, settled, instrument.redemption_days_max
        end = end or (order.settled_at or order.created_at if status == "completed" else at)
        days = calendar.between(day_of(start), day_of(end))
        if days <= limit or (order.side == "issue" and status == "pending"):
            continue
        what = "it is still pending" if status == "pending" else "it was completed"
        text = (
            f"{order_text(order, instrument)} on {order.network}: {what} {days} business days on, {limit} are allowed"
        )
        yield finding(
            "C8", instrument, f"order/{order.request_id}", text, shares=order.shares, at=end,
            signature=order.signature, request_id=order.request_id,
            details={"business_days": days, "network": order.network},
        )  # fmt: skip


def inventory_findings(
    instrument: Instrument, unmatched: Sequence[Movement], repeated: Sequence[tuple[Movement, Order]],
    wrong: Sequence[tuple[Movement, Order]],
) -> Iterator[Finding]:  # fmt: skip
    """Yield mints into the issuer's own wallets that no authorisation covers."""
    groups: list[tuple[str, str, Movement, Order | None]] = [
        *(("C1", "which no inventory order authorises", m, None) for m in unmatched),
        *(("C7", "under an inventory order that is used up", m, o) for m, o in repeated),
        *(("C5", "under an inventory order of another quantity", m, o) for m, o in wrong),
    ]
    for code, why, movement, order in groups:
        place = f"{movement.position.step}.{movement.position.child}"
        named = "" if order is None else f" ({order.request_id})"
        text = f"{movement.amount} raw of {instrument.symbol} minted into {movement.destination}, {why}{named}"
        yield finding(
            code, instrument, f"inventory/{movement.signature}/{place}", text, raw=Raw(movement.amount), at=movement.at,
            signature=movement.signature, request_id=None if order is None else order.request_id,
            details={"kind": "inventory_mint", "slot": movement.position.slot},
        )  # fmt: skip


def _about(code: str, instrument: Instrument, movement: CustodyMovement, text: str, order: Order | None) -> Finding:
    return finding(
        code, instrument, f"custody/{movement.custodian}/{movement.reference}", text, shares=movement.quantity,
        at=movement.settled_at, request_id=movement.request_id or (order.request_id if order else None),
        details={"reference": movement.reference, "kind": movement.kind},
    )  # fmt: skip


def _moved(movement: CustodyMovement, instrument: Instrument) -> str:
    way = "into" if movement.quantity > 0 else "out of"
    shares = shares_text(abs(movement.quantity), instrument)
    return f"{shares} went {way} {movement.custodian}/{movement.account} ({movement.kind} {movement.reference})"
