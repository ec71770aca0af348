"""How old a break is, by the calendar of its instrument. Pure.

The clock runs from the event and nobody stops it. Days are the depository's (``calendars.day_of``).
"""

from dataclasses import dataclass
from datetime import datetime

from tieout_reconcile.calendars import PLAIN, Calendar, day_of

BUSINESS_MARK = 7
CALENDAR_MARKS = (30, 40)


@dataclass(frozen=True, slots=True)
class Age:
    """Calendar days, business days by the calendar that is named, and the marks that the break passed.

    ``calendar_registered`` False: the registry names none for it, and Monday to Friday were counted.
    """

    days: int
    business_days: int
    marks: tuple[str, ...]
    calendar: str
    calendar_registered: bool


def age_of(event_at: datetime | None, at: datetime | None, calendar: Calendar | None = None) -> Age | None:
    """Return the age of a break from its event to an instant; None where one of them is unknown.

    ``calendar`` is the one that the registry names for the instrument, None for none.
    """
    if event_at is None or at is None:
        return None
    counted = calendar or PLAIN
    start, end = day_of(event_at), day_of(max(event_at, at))
    days, business = (end - start).days, counted.between(start, end)
    marks = [f"{BUSINESS_MARK} business days"] if business >= BUSINESS_MARK else []
    marks += [f"{mark} days" for mark in CALENDAR_MARKS if days >= mark]
    return Age(days, business, tuple(marks), counted.calendar, calendar is not None)
