"""Corporate actions three ways: the declared record, the multiplier's step on chain, the custodian's booking. Pure.

A record and a step belong together when their instants lie within ``PAIR_WINDOW`` and no other pair lies
nearer. What the step adds to the liability and custody has not booked is a receivable: named, with quantity,
pay date and expiry, never settled, and no longer counted once it expired. It is below zero where custody
booked first. A movement or trade names its action; where none does, a statement before the step shows the
shares as they were, and one after it may show either: then the figures say which.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from fractions import Fraction

from tieout_reconcile.calendars import Calendar, day_of
from tieout_reconcile.corporate import STEPPING, CorporateAction
from tieout_reconcile.exact import f64
from tieout_reconcile.facts import MultiplierStep
from tieout_reconcile.movements import CustodyMovement
from tieout_reconcile.trades import Trade

PAIR_WINDOW = timedelta(hours=36)
GRACE = timedelta(minutes=5)
"""How far a block's clock may lie from the instant that an instruction names."""
BOOKING_DAYS = 2
"""Business days after the pay date (or the step) within which custody must have booked."""
PAY_DAYS_MAX = timedelta(days=92)
"""How long after it took effect an action may still be to pay."""
RATE_ERROR_MAX = Fraction(1, 2**51)
"""A multiplier is a double: the ratio of two of them differs from the declared one by this part at most."""


@dataclass(frozen=True, slots=True)
class Step:
    """A change of the multiplier: from what to what, in force from when. ``announced`` is its place in the ledger."""

    announced: MultiplierStep
    before: Fraction
    after: Fraction

    @property
    def at(self) -> datetime:
        """When it takes effect, by the chain's clock."""
        return self.announced.effective_at

    @property
    def ratio(self) -> Fraction:
        """New multiplier divided by old."""
        return self.after / self.before

    @property
    def is_backdated(self) -> bool:
        """Whether it was made after the instant that it names."""
        asked, made = self.announced.asked, self.announced.announced_at
        return bool(asked and made is not None and asked < (made - GRACE).timestamp())


@dataclass(frozen=True, slots=True)
class Paired:
    """A record and its step; one of them may be missing."""

    action: CorporateAction | None
    step: Step | None


@dataclass(frozen=True, slots=True)
class Receivable:
    """Shares that an action brings and custody has yet to book, or (below zero) booked before the step.

    ``sure``: evidence says so; else the statement may show either, and the figures decide.
    """

    action: CorporateAction
    shares: Fraction
    expires_at: date
    sure: bool
    expired: bool


def steps_of(announced: Sequence[MultiplierStep], at: datetime) -> tuple[list[Step], list[MultiplierStep]]:
    """Return the steps in force by an instant, in order, and the announcements that were replaced before theirs.

    What set the multiplier first, and a repetition of the same number, are no steps.
    """
    standing = sorted((m for m in announced if m.superseded_slot is None), key=lambda m: m.position)
    steps: list[Step] = []
    last: Fraction | None = None
    for one in standing:
        value = f64(one.bits)
        if one.effective_at > at or value is None or value <= 0:
            continue
        if last is not None and value != last:
            steps.append(Step(one, last, value))
        last = value
    return steps, [m for m in announced if m.superseded_slot is not None and m.announced_at is not None]


def pair(actions: Sequence[CorporateAction], steps: Sequence[Step]) -> list[Paired]:
    """Pair records that change the multiplier with steps, the nearest in time first; each is used once."""
    stepping = [a for a in actions if a.kind in STEPPING and a.effective_at is not None]
    distances = sorted(
        (abs(s.at - a.effective_at), a.status != "announced", not _fits(a, s), n, k)
        for n, a in enumerate(stepping)
        for k, s in enumerate(steps)
        if a.effective_at is not None and abs(s.at - a.effective_at) <= PAIR_WINDOW
    )
    of_action: dict[int, int] = {}
    for *_, n, k in distances:
        if n not in of_action and k not in of_action.values():
            of_action[n] = k
    paired = [Paired(a, steps[of_action[n]] if n in of_action else None) for n, a in enumerate(stepping)]
    return paired + [Paired(None, s) for k, s in enumerate(steps) if k not in of_action.values()]


def _fits(action: CorporateAction, step: Step) -> bool:
    return action.ratio is None or not is_wrong_rate(action, step)


def is_wrong_rate(action: CorporateAction, step: Step) -> bool:
    """Whether the step's ratio is another than the declared one, beyond what doubles make of it."""
    if action.ratio is None:
        return False
    return abs(step.ratio - action.ratio) > action.ratio * RATE_ERROR_MAX


def is_due(action: CorporateAction, at: datetime) -> bool:
    """Whether the step should have been made."""
    return action.status == "announced" and action.effective_at is not None and action.effective_at + PAIR_WINDOW < at


def expiry(action: CorporateAction, step: Step | None, calendar: Calendar) -> date:
    """Return the last day on which custody may still be without the booking.

    A pay date far off, which anybody may write, keeps nothing open for longer than ``PAY_DAYS_MAX``.
    """
    at = step.at if step is not None else action.effective_at
    begins = day_of(action.announced_at if at is None else at)
    pays = min(action.pay_date or begins, begins + PAY_DAYS_MAX)
    return calendar.add(max(begins, pays), BOOKING_DAYS)


def one_event(actions: Sequence[CorporateAction]) -> tuple[list[CorporateAction], dict[str, str]]:
    """Return each event once, and of records that tell it again their action id → the id under which it is kept.

    Each custodian notifies an event under a reference of its own. Announced records of one ISIN, kind, ratio, rate
    and new ISIN that take effect within ``PAIR_WINDOW`` of each other, on the same days where both name them, are
    one event; the one announced first stands for it.
    """
    kept: list[CorporateAction] = []
    same: dict[str, str] = {}
    for action in sorted(actions, key=lambda a: (a.announced_at, a.action_id)):
        first = next((k for k in kept if _tells(action, k)), None)
        if first is None:
            kept.append(action)
        else:
            same[action.action_id] = first.action_id
    return [a for a in actions if a.action_id not in same], same


def _tells(action: CorporateAction, known: CorporateAction) -> bool:
    terms = [(a.isin, a.kind, a.status, a.ratio, a.cash_rate, a.currency, a.new_isin) for a in (action, known)]
    if (
        terms[0] != terms[1]
        or action.status != "announced"
        or action.effective_at is None
        or known.effective_at is None
    ):
        return False
    days = [(action.ex_date, known.ex_date), (action.record_date, known.record_date), (action.pay_date, known.pay_date)]
    agree = all(one is None or other is None or one == other for one, other in days)
    return agree and abs(action.effective_at - known.effective_at) <= PAIR_WINDOW


@dataclass(frozen=True, slots=True)
class Booked:
    """What custody has booked for each action, in how many bookings, and for which a movement or trade says so."""

    shares: Mapping[str, Fraction]
    named: frozenset[str]
    bookings: Mapping[str, int]


def booked(
    movements: Sequence[CustodyMovement],
    trades: Sequence[Trade],
    reflected: Mapping[tuple[str, str], datetime],
    at: datetime,
) -> Booked:
    """Sum what the custody figures contain, or a trade's own line does, by the action that it names.

    ``reflected`` says up to which instant the figures of an account (custodian, account) go. Of settled trades the
    movements tell; what is settled by trades beyond all that movements tell of is booked as well.
    """
    shares: dict[str, Fraction] = {}
    bookings: dict[str, int] = {}

    def add(action_id: str, quantity: Fraction, times: int = 1) -> None:
        shares[action_id] = shares.get(action_id, Fraction(0)) + quantity
        bookings[action_id] = bookings.get(action_id, 0) + times

    told = [m for m in movements if m.action_id is not None and (m.quantity or m.settled_at is None)]
    for movement in movements:
        if movement.action_id is not None and movement.settled_by(min(at, reflected.get(movement.place, at))):
            add(movement.action_id, movement.quantity)
    settled: dict[str, list[Fraction]] = {}
    for trade in trades:
        # an unsettled trade stands on its own line
        if trade.action_id is not None and trade.is_unsettled(at):
            add(trade.action_id, trade.signed)
        elif trade.action_id is not None and trade.status_as_of(at) == "settled":
            settled.setdefault(trade.action_id, []).append(trade.signed)
    for action_id, dealt in settled.items():
        moved = [m.quantity for m in told if m.action_id == action_id and m.settled_by(at)]
        rest = sum(dealt, Fraction(0)) - sum(moved, Fraction(0))
        if rest * sum(dealt, Fraction(0)) > 0:
            add(action_id, rest, max(1, len(dealt) - len(moved)))
    return Booked(shares, frozenset(m.action_id for m in told if m.action_id is not None), bookings)


def receivables(
    paired: Sequence[Paired],
    others: Sequence[CorporateAction],
    found: Booked,
    outside_at: Callable[[Step], Fraction],
    nothing_booked: Callable[[Step], bool],
    calendar: Calendar,
    at: datetime,
    quantum: Fraction = Fraction(0),
) -> list[Receivable]:
    """Return what is to be booked for each action, or was booked too early.

    ``outside_at`` gives the shares that a step added to the liability; ``nothing_booked`` says of which step it
    is certain that custody did not book it by itself; ``others`` are the actions that change no multiplier. What
    a booking leaves over because custody counts in ``quantum`` shares is rounding, and nothing to come.
    """
    result = []
    for one in [*paired, *(Paired(a, None) for a in others)]:
        action = one.action
        if action is None or action.status != "announced":
            continue
        owed = Fraction(0) if one.step is None else outside_at(one.step)
        rest = owed - found.shares.get(action.action_id, Fraction(0))
        sure = action.action_id in found.named or (one.step is not None and nothing_booked(one.step))
        last = expiry(action, one.step, calendar)
        rounding = quantum * found.bookings.get(action.action_id, 0)
        if abs(rest) > rounding:
            result.append(Receivable(action, rest, last, sure, day_of(at) > last))
    return result
