"""Business days and settlement days, by dated calendars. Pure.

A day is the depository's (America/New_York). US shares settled two business days after the trade before
2024-05-28 and settle one business day after it from then on (SEC release 34-96930, rule 15c6-1).
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

SETTLEMENT_ZONE = ZoneInfo("America/New_York")
"""Whose days settlement days are: those of the depository of the shares."""
T_PLUS_ONE_FROM = date(2024, 5, 28)
WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
WEEKEND = ("saturday", "sunday")
_DAYS_MAX = 4000


@dataclass(frozen=True, slots=True)
class Calendar:
    """Days without settlement: each week's ``weekend``, and the ``closed`` ones, both sorted."""

    calendar: str
    closed: tuple[date, ...] = ()
    weekend: tuple[str, ...] = WEEKEND

    def is_business(self, day: date) -> bool:
        """Whether shares settle on a day."""
        return WEEKDAYS[day.weekday()] not in self.weekend and day not in self.closed

    def add(self, day: date, business_days: int) -> date:
        """Return the day that lies so many business days after ``day``; for 0 the day itself, or the next one."""
        left = business_days
        for _ in range(_DAYS_MAX):
            if left <= 0 and self.is_business(day):
                return day
            day += timedelta(days=1)
            left -= self.is_business(day)
        raise ValueError(f"the calendar {self.calendar} has no business day within {_DAYS_MAX} days")

    def between(self, start: date, end: date) -> int:
        """Count the business days after ``start``, up to and including ``end``; below zero when it lies before."""
        if end < start:
            return -self.between(end, start)
        weeks, rest = divmod((end - start).days, 7)
        count = weeks * (len(WEEKDAYS) - len(self.weekend))
        tail = (start + timedelta(days=weeks * 7 + n) for n in range(1, rest + 1))
        count += sum(WEEKDAYS[day.weekday()] not in self.weekend for day in tail)
        shut = (day for day in self.closed if start < day <= end)
        return count - sum(WEEKDAYS[day.weekday()] not in self.weekend for day in shut)

    def settles_on(self, traded_on: date) -> date:
        """Return the settlement day of a trade by the US cycle in force on its day."""
        return self.add(traded_on, 1 if traded_on >= T_PLUS_ONE_FROM else 2)


_ZONE_AHEAD_MAX = timedelta(hours=14)
"""The zone furthest ahead of UTC."""

PLAIN = Calendar("monday to friday")
"""Where no calendar is named."""


def day_begins(day: date) -> datetime:
    """Return the instant at which a depository's day begins."""
    return datetime.combine(day, time(), SETTLEMENT_ZONE).astimezone(UTC)


def day_of(at: datetime) -> date:
    """Return the depository's day of an instant."""
    return at.astimezone(SETTLEMENT_ZONE).date()


def last_day_begun(at: datetime) -> date:
    """Return the latest day that has begun anywhere at an instant: no file may tell of one after it."""
    return (at.astimezone(UTC) + _ZONE_AHEAD_MAX).date()
