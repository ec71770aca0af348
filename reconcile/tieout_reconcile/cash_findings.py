"""What is told about the cash of orders: unpaid, overpaid, paid in another currency, paid for no order. Pure."""

from collections.abc import Collection, Iterable, Iterator
from datetime import datetime
from fractions import Fraction

from tieout_reconcile.canonical import Raw
from tieout_reconcile.cash import CashLeg
from tieout_reconcile.exact import decimal_text
from tieout_reconcile.files import shown
from tieout_reconcile.findings import EVERY, NAMES, finding, order_text
from tieout_reconcile.orders import CASH
from tieout_reconcile.payments import Payment
from tieout_reconcile.registry import Instrument, instant_text
from tieout_reconcile.results import Finding

_SHOWN = 10
_UNPAID = {"payable": "are not paid out", "receivable": "did not come in"}
_DID = {"in": "came in", "out": "went out"}


def cash_findings(instrument: Instrument, legs: Iterable[CashLeg], at: datetime) -> Iterator[Finding]:
    """Yield what is wrong with the cash of an instrument's orders at a cut-off."""
    for leg in legs:
        if leg.line.overdue:
            yield _unpaid(instrument, leg)
        if leg.line.overpaid:
            yield _overpaid(instrument, leg, at)
        yield from (_other_currency(instrument, leg, payment) for payment in leg.others)


def unlinked_findings(payments: Iterable[Payment], ordered: Collection[str], at: datetime | None) -> Iterator[Finding]:
    """Yield the payments by a cut-off that name no order, or one that nobody knows; ``ordered`` are known request ids.

    An amount that fits an order is no link: which of several it pays, or whether any, is not guessed.
    """
    for payment in payments:
        if at is None or payment.paid_at > at or payment.request_id in ordered:
            continue
        why = (
            "names no order" if payment.request_id is None else f"names {shown(payment.request_id)}, which is no order"
        )
        to = "" if payment.counterparty is None else f" ({'to' if payment.direction == 'out' else 'from'} "
        party = to and f"{to}{shown(payment.counterparty)})"
        yield Finding(
            f"C15/payment/{payment.reference}", "C15", NAMES["C15"], "break", EVERY,
            f"{_money(payment.amount, payment.currency)} {_DID[payment.direction]} by payment {payment.reference} at "
            f"{instant_text(payment.paid_at)}{party}, and it {why}",
            at=payment.paid_at, signature=payment.signature, request_id=payment.request_id, details=_details(payment),
        )  # fmt: skip


def _unpaid(instrument: Instrument, leg: CashLeg) -> Finding:
    line, order = leg.line, leg.order
    part = "" if line.outstanding == line.owed else f" of {_money(line.owed, line.currency)}"
    assert line.due_on is not None, "what is overdue had a day"
    return finding(
        "C13", instrument, f"order/{order.request_id}",
        f"{order_text(order, instrument)}: {_money(line.outstanding, line.currency)}{part} {_UNPAID[line.kind]}, due "
        f"on {line.due_on.isoformat()}",
        shares=order.shares, raw=None if order.raw is None else Raw(order.raw), at=line.owed_since,
        signature=order.signature, request_id=order.request_id,
        details={"amount": decimal_text(line.outstanding), "currency": line.currency, "kind": line.kind,
                 "owed": decimal_text(line.owed), "paid": decimal_text(leg.net), "due_on": line.due_on.isoformat(),
                 "references": list(line.payments)},
    )  # fmt: skip


def _overpaid(instrument: Instrument, leg: CashLeg, at: datetime) -> Finding:
    line, order = leg.line, leg.order
    over = _money(line.overpaid, line.currency)
    rejected = order.status_at(at) == "rejected"
    if leg.net < 0:
        why = f"{over} more came back than was paid"
    elif order.settlement != CASH:
        why = f"{over} was paid, and it is settled in kind"
    elif rejected:
        why = f"{over} was paid, and it was rejected"
    else:
        why = f"{_money(leg.net, line.currency)} was paid, {over} more than agreed"
    named = ", ".join(line.payments[:_SHOWN]) + (" …" if len(line.payments) > _SHOWN else "")
    return finding(
        "C14", instrument, f"order/{order.request_id}/{line.currency}",
        f"{order_text(order, instrument)}: {why} (payments {named})",
        shares=order.shares, raw=None if order.raw is None else Raw(order.raw), at=line.paid_at,
        signature=order.signature, request_id=order.request_id,
        details={"amount": decimal_text(line.overpaid), "currency": line.currency, "kind": line.kind,
                 "agreed": decimal_text(Fraction(0) if rejected else line.agreed), "paid": decimal_text(leg.net),
                 "references": list(line.payments)},
    )  # fmt: skip


def _other_currency(instrument: Instrument, leg: CashLeg, payment: Payment) -> Finding:
    order = leg.order
    text = f"{_money(payment.amount, payment.currency)} {_DID[payment.direction]} by payment {payment.reference}"
    return finding(
        "C16", instrument, f"payment/{payment.reference}",
        f"{order_text(order, instrument)} is paid in {leg.line.currency}, and {text}: it counts for nothing",
        shares=order.shares, raw=None if order.raw is None else Raw(order.raw), at=payment.paid_at,
        signature=payment.signature, request_id=order.request_id, details=_details(payment),
    )  # fmt: skip


def _details(payment: Payment) -> dict[str, str | None]:
    return {"reference": payment.reference, "direction": payment.direction, "amount": decimal_text(payment.amount),
            "currency": payment.currency, "counterparty": payment.counterparty}  # fmt: skip


def _money(amount: Fraction, currency: str) -> str:
    return f"{decimal_text(amount)} {currency}"
