"""The cash side of orders: what is owed for each, what was paid, and by when the rest is due. Pure.

A redemption is owed once its shares were journalled or sold (until then its tokens stay in the liability in shares), an
issue once it is completed or its tokens are out; a rejected order owes nothing. It is due ``PAYMENT_DAYS`` business
days later. Only payments that name the order, in its currency, count for it, and nothing is netted: neither orders nor
currencies, nor what is owed to us and by us. What came back of a payment takes it off what was paid.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction

from tieout_reconcile.calendars import Calendar, day_of
from tieout_reconcile.matching import Matching
from tieout_reconcile.orders import CASH, Order
from tieout_reconcile.payments import Payment
from tieout_reconcile.results import CashLine, CashTotal

PAYMENT_DAYS = 5
"""Business days from the share journal or the sale's fill to the payment (T+5)."""
ZERO = Fraction(0)
_KINDS = {"issue": "receivable", "redeem": "payable"}
_WAYS = {"receivable": "in", "payable": "out"}


@dataclass(frozen=True, slots=True)
class CashLeg:
    """An order with its line, and the payments that name it by the cut-off.

    ``payments`` are those of the line's currency, ``others`` those of any other where the order has a cash leg.
    """

    order: Order
    line: CashLine
    payments: tuple[Payment, ...]
    others: tuple[Payment, ...] = ()

    @property
    def net(self) -> Fraction:
        """What was paid less what came back; below zero where more came back than was paid."""
        return self.line.paid - self.line.returned


@dataclass(frozen=True, slots=True)
class Delivery:
    """The other side of the orders: when tokens moved, and which redemptions' shares custody has delivered.

    ``tokens`` has, by request id, the first release of an issue and the last return of a redemption, ``shares`` the
    instant of a redemption's last custody leg. ``whole``: all of the chain is known, so tokens that are not in it
    did not move.
    """

    tokens: Mapping[str, datetime]
    shares: Mapping[str, datetime]
    whole: bool


def tokens_moved(matching: Matching) -> dict[str, datetime]:
    """Return, by request id, the first release of each issue and the last return of each redemption."""
    moved: dict[str, datetime] = {}
    for found in matching.matches:
        if found.order is None or found.refunds is not None:
            continue
        pick: Callable[[datetime, datetime], datetime] = min if found.order.side == "issue" else max
        key, at = found.order.request_id, found.crossing.at
        moved[key] = pick(moved.get(key, at), at)
    return moved


def cash_legs(
    orders: Iterable[Order], payments: Iterable[Payment], delivery: Delivery, calendar: Calendar, at: datetime
) -> list[CashLeg]:
    """Return the cash side of one instrument's orders at a cut-off, by request id and currency.

    An order without a cash leg has a line for each currency in which somebody paid it all the same.
    """
    by_order: dict[str, list[Payment]] = {}
    for payment in sorted(payments, key=lambda p: (p.paid_at, p.reference)):
        if payment.request_id is not None and payment.paid_at <= at:
            by_order.setdefault(payment.request_id, []).append(payment)
    found: list[CashLeg] = []
    for order in sorted(orders, key=lambda o: o.request_id):
        mine = by_order.get(order.request_id, [])
        if mine or (order.settlement == CASH and order.created_at <= at):
            found += _legs(order, mine, delivery, calendar, at)
    return found


def cash_totals(lines: Iterable[CashLine]) -> list[CashTotal]:
    """Return the sums by kind and currency; paid is what counts towards what is owed, so owed - paid = outstanding."""
    groups: dict[tuple[str, str], list[CashLine]] = {}
    for line in lines:
        groups.setdefault((line.kind, line.currency), []).append(line)
    return [_total(*key, group) for key, group in sorted(groups.items())]


def _total(kind: str, currency: str, lines: Sequence[CashLine]) -> CashTotal:
    owed, outstanding = _sum(x.owed for x in lines), _sum(x.outstanding for x in lines)
    return CashTotal(
        kind, currency, sum(1 for x in lines if x.outstanding), owed, owed - outstanding, outstanding,
        _sum(x.overdue for x in lines), _sum(x.overpaid for x in lines),
    )  # fmt: skip


def _sum(values: Iterable[Fraction]) -> Fraction:
    return sum(values, ZERO)


def _legs(
    order: Order, mine: Sequence[Payment], delivery: Delivery, calendar: Calendar, at: datetime
) -> Iterator[CashLeg]:
    currencies = sorted({p.currency for p in mine})
    if order.cash_currency is not None:
        currencies = [order.cash_currency]
    for currency in currencies:
        counted = tuple(p for p in mine if p.currency == currency)
        others = tuple(p for p in mine if p.currency != currency) if order.settlement == CASH else ()
        yield CashLeg(order, _line(order, currency, counted, delivery, calendar, at), counted, others)


def _line(
    order: Order, currency: str, counted: Sequence[Payment], delivery: Delivery, calendar: Calendar, at: datetime
) -> CashLine:
    kind = _KINDS.get(order.side, "receivable")
    paid = _sum(p.amount for p in counted if p.direction == _WAYS[kind])
    returned = _sum(p.amount for p in counted if p.direction != _WAYS[kind])
    net = paid - returned
    agreed = order.cash_amount or ZERO
    standing = ZERO if order.status_at(at) == "rejected" else agreed
    since = _owed_since(order, delivery, at) if standing else None
    owed = ZERO if since is None else standing
    due_on = None if since is None else calendar.add(day_of(since), PAYMENT_DAYS)
    outstanding = owed - min(max(net, ZERO), owed)
    overdue = outstanding if due_on is not None and day_of(at) > due_on else ZERO
    overpaid = -net if net < 0 else max(net - standing, ZERO)
    state = _state(order, at, net=net, owed=owed, outstanding=outstanding, overdue=overdue, overpaid=overpaid)
    tokens_at = delivery.tokens.get(order.request_id)
    return CashLine(
        order.request_id, kind, currency, agreed, owed, paid, returned, outstanding, overdue, overpaid, state, since,
        due_on, tokens_at, max((p.paid_at for p in counted), default=None), _ahead(order, counted, standing, delivery),
        tuple(p.reference for p in counted),
    )  # fmt: skip


def _owed_since(order: Order, delivery: Delivery, at: datetime) -> datetime | None:
    """Since when the cash of an order that was not rejected is owed; None: not yet."""
    if order.status_at(at) == "completed":
        return order.settled_at or order.created_at
    # where the order lags behind, the tokens of an issue or the shares of a redemption speak for it
    return (delivery.tokens if order.side == "issue" else delivery.shares).get(order.request_id)


def _state(
    order: Order, at: datetime, *, net: Fraction, owed: Fraction, outstanding: Fraction, overdue: Fraction,
    overpaid: Fraction,
) -> str:  # fmt: skip
    if overpaid:
        return "overpaid"
    if order.settlement != CASH or order.status_at(at) == "rejected":
        return "void"
    if outstanding:
        return "overdue" if overdue else "open"
    return "paid" if owed else "prepaid" if net else "pending"


def _ahead(order: Order, counted: Sequence[Payment], standing: Fraction, delivery: Delivery) -> str | None:
    """What went out before its counterpart was there: ``tokens`` of an issue not paid yet, ``cash`` of a redemption.

    None where neither did, or nobody can know: tokens on another network, or on a chain with a gap.
    """
    tokens_at = delivery.tokens.get(order.request_id)
    if not order.is_here or not standing:
        return None
    if order.side == "issue":
        if tokens_at is None:
            return None
        by_then = _sum(p.amount if p.direction == "in" else -p.amount for p in counted if p.paid_at <= tokens_at)
        return "tokens" if by_then < standing else None
    first = min((p.paid_at for p in counted if p.direction == "out"), default=None)
    if first is None or (tokens_at is None and not delivery.whole):
        return None
    return "cash" if tokens_at is None or first < tokens_at else None
