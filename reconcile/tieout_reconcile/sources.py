"""How often a source hands in its files, as the registry says: every so many minutes, or at times of business days.

A file counts for the due instant up to whose end of grace it came, and after that of the instant before. The next
one is then due at the next instant. Pure.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from tieout_reconcile.calendars import Calendar

ORDERS = "orders"
KINDS = (ORDERS,)
MINUTES_MAX = 7 * 24 * 60
_DAYS_MAX = 400


@dataclass(frozen=True, slots=True)
class Due:
    """When the next file is due, and until when it may come: from then on what came before speaks for nothing."""

    at: datetime
    until: datetime


@dataclass(frozen=True, slots=True)
class Source:
    """Where files of a kind come from. Either ``every_minutes`` or ``due_at`` (HH:MM, in ``time_zone``) is given."""

    kind: str
    name: str
    every_minutes: int | None
    due_at: tuple[str, ...] = ()
    time_zone: str | None = None
    calendar: str | None = None
    grace_minutes: int = 15

    @property
    def cadence(self) -> str:
        """How often, as people read it."""
        if self.every_minutes is not None:
            return f"every {self.every_minutes} minutes"
        return f"at {', '.join(self.due_at)} {self.time_zone} on business days"

    def due_after(self, seen: datetime, calendar: Calendar) -> Due:
        """Return when the file after one that came at ``seen`` is due; ``calendar``: whose days are business days.

        Raises ValueError for a calendar without a business day in sight.
        """
        grace = timedelta(minutes=self.grace_minutes)
        if self.every_minutes is not None:
            due = seen + timedelta(minutes=self.every_minutes)
            return Due(due, due + grace)
        served = False
        for due in self._instants(seen, calendar):
            if served:
                return Due(due, due + grace)
            served = seen <= due + grace
        raise ValueError(f"the calendar {calendar.calendar} has no business day within {_DAYS_MAX} days")

    def _instants(self, seen: datetime, calendar: Calendar) -> Iterator[datetime]:
        """Yield the due instants in order, from some before ``seen`` on."""
        zone = ZoneInfo(self.time_zone or "UTC")
        start: date = seen.astimezone(zone).date() - timedelta(days=1 + self.grace_minutes // (24 * 60))
        for number in range(_DAYS_MAX):
            day = start + timedelta(days=number)
            if calendar.is_business(day):
                for text in self.due_at:
                    yield datetime.combine(day, time.fromisoformat(text), zone).astimezone(UTC)
