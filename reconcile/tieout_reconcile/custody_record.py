"""What custody's movements tell of corporate actions: what was held on a record date, what came, what did not. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from fractions import Fraction

from tieout_reconcile.calendars import Calendar, day_begins, day_of
from tieout_reconcile.corporate import CorporateAction
from tieout_reconcile.movements import CustodyMovement, Span, covered_to
from tieout_reconcile.results import CustodyLine
from tieout_reconcile.three_way import Step, expiry
from tieout_reconcile.trades import Trade

_BOOKINGS = frozenset({"split", "reinvest", "receive", "buy"})
"""Movements that may book an action; one that does not name its action leaves it open whether it does."""


@dataclass(frozen=True, slots=True)
class CustodyRecord:
    """The custody lines that count, with the movements and trades of their accounts, as known at ``at``.

    ``trades`` name the action that their own file names. ``spans`` say, by account, for which times every movement is
    known.
    """

    counted: Sequence[CustodyLine]
    moved: Sequence[CustodyMovement]
    trades: Sequence[Trade]
    spans: Mapping[tuple[str, str], Sequence[Span]]
    calendar: Calendar
    at: datetime

    def has_not_booked(self, step: Step) -> bool:
        """Whether custody cannot have booked a step: stated before it, or all that moved since is something else."""
        # a statement that does not count, being too old or missing, shows nothing
        if any(line.shares is None for line in self.counted):
            return False
        stated = min((line.as_of for line in self.counted if line.as_of is not None), default=None)
        return stated is not None and (stated < step.at or self._is_something_else(step))

    def _is_something_else(self, step: Step) -> bool:
        told = all(
            line.as_of is not None and any(s.start <= step.at and line.as_of <= s.end for s in self._spans_of(line))
            for line in self.counted
        )
        unnamed = any(
            m.kind in _BOOKINGS and m.action_id is None and m.request_id is None
            and (m.settled_at is None or m.settled_at >= step.at)
            for m in self.moved
        )  # fmt: skip
        return told and not unnamed

    def _spans_of(self, line: CustodyLine) -> Sequence[Span]:
        return self.spans.get((line.custodian, line.account), ())

    def on_record(self, action: CorporateAction) -> Fraction | None:
        """The settled position on an action's record date: the statements of today less what settled since.

        What the action itself brought was not there. None where the movements back to that day are not all known.
        """
        if action.record_date is None or not self.counted:
            return None
        held = [self._held_on(action.record_date, line, action.action_id) for line in self.counted]
        return sum((shares for shares in held if shares is not None), Fraction(0)) if None not in held else None

    def _held_on(self, record_date: date, line: CustodyLine, action_id: str) -> Fraction | None:
        if line.aggregate is None or line.as_of is None or day_of(line.as_of) < record_date:
            return None
        since = (
            m.quantity for m in self.moved
            if m.place == (line.custodian, line.account) and m.settled_at is not None and m.settled_at <= line.as_of
            and (day_of(m.settled_at) > record_date or m.action_id == action_id)
        )  # fmt: skip
        first = min((s.start for s in self._spans_of(line)), default=None)
        stated_later = day_of(line.stated_at or line.as_of) > record_date
        if stated_later and (first is None or day_of(first) > record_date):
            return None
        return line.aggregate - sum(since, Fraction(0))

    def unpaid_since(self, action: CorporateAction, step: Step | None) -> date | None:
        """The last day on which a dividend's cash was to come, where it is certain that none did; else None.

        It is certain where every movement is known from the pay date to past that day, none of them is cash that
        may be it, and no reinvestment of the custodian's own stands in its place. ``step`` is the action's, if any.
        """
        if action.pay_date is None or action.status != "announced" or not self.counted:
            return None
        last, begins = expiry(action, step, self.calendar), day_begins(action.pay_date)
        seen = all(day_of(covered_to(self._spans_of(line), begins, self.at)) > last for line in self.counted)
        unnamed = any(
            m.action_id is None and m.kind == "dividend" and m.settled_by(self.at)
            and m.settled_at is not None and day_of(m.settled_at) >= (action.record_date or action.pay_date)
            for m in self.moved
        )  # fmt: skip
        return None if unnamed or not seen or self._reinvested(action) else last

    def _reinvested(self, action: CorporateAction) -> bool:
        """Whether the custodian reinvested by itself: shares came that no trade bought."""
        traded = any(t.action_id == action.action_id for t in self.trades)
        return not traded and any(
            m.kind == "reinvest" and m.action_id == action.action_id and m.settled_by(self.at) for m in self.moved
        )
