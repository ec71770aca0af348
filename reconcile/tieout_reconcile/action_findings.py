"""What is told about corporate actions: a window while it is open, and what does not agree three ways. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime
from fractions import Fraction
from typing import Any

from tieout_reconcile.calendars import day_begins
from tieout_reconcile.corporate import CorporateAction
from tieout_reconcile.exact import decimal_text, rounded_text
from tieout_reconcile.facts import MultiplierStep
from tieout_reconcile.findings import finding, shares_text
from tieout_reconcile.movements import CustodyMovement
from tieout_reconcile.registry import Instrument, instant_text
from tieout_reconcile.results import Finding
from tieout_reconcile.three_way import PAIR_WINDOW, Paired, Receivable, Step, is_due, is_wrong_rate

_PLACES = 12
_CENT = Fraction(1, 100)


def action_findings(
    instrument: Instrument, paired: Sequence[Paired], overridden: Sequence[MultiplierStep], at: datetime
) -> Iterator[Finding]:
    """Yield the steps that no record announced, that came late, replaced, wrong or never."""
    for one in paired:
        action, step = one.action, one.step
        if step is None:
            if action is not None and is_due(action, at):
                yield _never(instrument, action)
            continue
        if action is None or action.status != "announced":
            yield _unannounced(instrument, step, action)
        else:
            yield from _compared(instrument, action, step)
        if step.is_backdated:
            said = instant_text(step.announced.announced_at)
            text = f"was made at {said}, after the instant that it names"
            yield _about("B14", instrument, step, text, action)
    for announced in overridden:
        text = (
            f"{instrument.symbol}: the multiplier announced at slot {announced.position.slot} for "
            f"{instant_text(announced.effective_at)} was replaced at slot {announced.superseded_slot}, before its time"
        )
        yield finding(
            "B15", instrument, f"step/{_place(announced)}", text, at=announced.announced_at,
            signature=announced.signature, details={"superseded_slot": announced.superseded_slot},
        )  # fmt: skip


def _compared(instrument: Instrument, action: CorporateAction, step: Step) -> Iterator[Finding]:
    if is_wrong_rate(action, step) and action.ratio is not None:
        text = f"has the ratio {_ratio(step.ratio)}, {_name(action)} says {action.factor}"
        yield _about("B17", instrument, step, text, action, declared=action.factor)
    if action.announced_at > step.at:
        text = f"took effect before {_name(action)} was announced at {instant_text(action.announced_at)}"
        yield _about("B14", instrument, step, text, action, anchor=f"action/{action.action_id}")


def _unannounced(instrument: Instrument, step: Step, action: CorporateAction | None) -> Finding:
    why = "no corporate action was declared for it" if action is None else f"{_name(action)} was cancelled"
    return _about("B13", instrument, step, f"of the ratio {_ratio(step.ratio)}: {why}", action)


def _never(instrument: Instrument, action: CorporateAction) -> Finding:
    hours = int(PAIR_WINDOW.total_seconds() // 3600)
    text = (
        f"{instrument.symbol}: {_name(action)} was to take effect at {instant_text(action.effective_at)}, and no "
        f"step of the multiplier lies within {hours} hours of it"
    )
    return finding(
        "B16", instrument, f"action/{action.action_id}", text, at=action.effective_at, request_id=None,
        details={"action_id": action.action_id, "factor": action.factor},
    )  # fmt: skip


def _about(
    code: str,
    instrument: Instrument,
    step: Step,
    text: str,
    action: CorporateAction | None,
    *,
    anchor: str | None = None,
    **details: Any,
) -> Finding:
    head = f"{instrument.symbol}: the multiplier's step {_ratio(step.before)} → {_ratio(step.after)} at "
    known = {"action_id": None if action is None else action.action_id, "ratio": _ratio(step.ratio),
             "slot": step.announced.position.slot, **details}  # fmt: skip
    anchor = anchor or f"step/{_place(step.announced)}"
    return finding(
        code, instrument, anchor, f"{head}{instant_text(step.at)} {text}", at=step.at,
        signature=step.announced.signature, details=known,
    )  # fmt: skip


def receivable_findings(instrument: Instrument, receivables: Sequence[Receivable], in_gap: bool) -> Iterator[Finding]:
    """Yield a notice for each window that is open and stands in the gap, a break for each that is over."""
    for one in receivables:
        what = f"{shares_text(abs(one.shares), instrument)} of {_name(one.action)}"
        details = {"action_id": one.action.action_id, "expires_on": one.expires_at.isoformat(),
                   "pay_date": None if one.action.pay_date is None else one.action.pay_date.isoformat()}  # fmt: skip
        anchor = f"action/{one.action.action_id}"
        moment = one.action.effective_at or one.action.announced_at
        if one.expired and one.sure:
            side = "are not booked in custody" if one.shares > 0 else "are booked and stand for no step"
            yield finding(
                "B18", instrument, anchor, f"{what} {side}, which was due by {one.expires_at}", shares=-one.shares,
                at=moment, details=details,
            )  # fmt: skip
        elif not one.expired and (one.sure or in_gap):
            side = "are to be booked" if one.shares > 0 else "were booked before the step"
            pays = f", pay date {one.action.pay_date}" if one.action.pay_date else ""
            text = f"{what} {side}{pays}: until {one.expires_at} a receivable, never settled"
            yield finding(
                "B4", instrument, anchor, text, severity="notice", shares=one.shares, at=moment, details=details
            )


def cash_findings(
    instrument: Instrument,
    actions: Sequence[CorporateAction],
    movements: Sequence[CustodyMovement],
    on_record: dict[str, Fraction],
    overdue: Mapping[str, date],
    at: datetime,
) -> Iterator[Finding]:
    """Yield the dividends whose cash is not rate × settled position on the record date × (1 − withholding).

    ``on_record`` has that position by action id, where it is known; nothing is said where it is not. ``overdue`` has
    the last day on which cash could come, of the actions for which it is certain that none did.
    """
    for action in actions:
        held = on_record.get(action.action_id)
        received = [m for m in movements if m.action_id == action.action_id and m.kind == "dividend"]
        got = [m for m in received if m.settled_by(at) and m.cash is not None]
        if action.kind != "dividend" or action.cash_rate is None or held is None:
            continue
        due = held * action.cash_rate * (1 - (action.withholding or Fraction(0)))
        if not got:
            last = overdue.get(action.action_id)
            if last is not None and due >= _CENT / 2:
                yield _never_paid(instrument, action, held, due, last, received)
            continue
        cash = sum((m.cash or Fraction(0) for m in got), Fraction(0))
        currencies = sorted({m.currency or "" for m in got})
        # money has cents: what is paid is rounded once an account
        if currencies == [action.currency] and abs(cash - due) <= len(got) * _CENT / 2:
            continue
        text = (
            f"{instrument.symbol}: {_name(action)} paid {rounded_text(cash, 2)} {'/'.join(currencies)}; "
            f"{_due_text(action, held, due)}"
        )
        yield finding(
            "B19", instrument, f"action/{action.action_id}", text, at=max(m.settled_at or at for m in got),
            details={"action_id": action.action_id, "references": sorted(m.reference for m in got)},
        )  # fmt: skip


def _never_paid(
    instrument: Instrument, action: CorporateAction, held: Fraction, due: Fraction, last: date,
    pending: Sequence[CustodyMovement],
) -> Finding:  # fmt: skip
    assert action.pay_date is not None, "no cash is overdue without a day on which it was to come"
    text = (
        f"{instrument.symbol}: {_name(action)}, pay date {action.pay_date}, has paid no cash by {last}; "
        f"{_due_text(action, held, due)}"
    )
    return finding(
        "B19", instrument, f"action/{action.action_id}", text, at=day_begins(action.pay_date),
        details={
            "action_id": action.action_id, "references": sorted(m.reference for m in pending),
            "due": rounded_text(due, 2), "currency": action.currency, "pay_date": action.pay_date.isoformat(),
            "expires_on": last.isoformat(),
        },
    )  # fmt: skip


def _due_text(action: CorporateAction, held: Fraction, due: Fraction) -> str:
    rate = decimal_text(action.cash_rate or Fraction(0))
    return (
        f"{rounded_text(held, 9)} shares on {action.record_date} × {rate} less withholding are "
        f"{rounded_text(due, 2)} {action.currency or 'of a currency that nobody named'}"
    )


def _name(action: CorporateAction) -> str:
    return f"the {action.kind.replace('_', ' ')} {action.action_id}"


def _place(announced: MultiplierStep) -> str:
    return ".".join(map(str, announced.position))


def _ratio(value: Fraction) -> str:
    return rounded_text(value, _PLACES)
