"""Business days of the books: New York's days, weekends, and the depository's holidays of 2026, written down here."""

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

NEW_YORK = ZoneInfo("America/New_York")
HOLIDAYS = tuple(
    date(2026, month, day)
    for month, day in (
        (1, 1), (1, 19), (2, 16), (4, 3), (5, 25), (6, 19), (7, 3), (9, 7), (10, 12), (11, 11), (11, 26), (12, 25),
    )
)  # fmt: skip
DAY = timedelta(days=1)


def works(day: date) -> bool:
    """Whether shares settle on a day."""
    return day.weekday() < 5 and day not in HOLIDAYS


def on(at: datetime) -> date:
    """The depository's day of an instant."""
    return at.astimezone(NEW_YORK).date()


def later(day: date, count: int) -> date:
    """The day that lies so many business days after another; before it, when the count is below zero."""
    step = DAY if count > 0 else -DAY
    for _ in range(abs(count)):
        day += step
        while not works(day):
            day += step
    return day


def waited(start: date, end: date) -> int:
    """How many business days lie after one day, up to another."""
    return sum(works(start + DAY * n) for n in range(1, (end - start).days + 1))


def moment(day: date, hour: int, minute: int = 0, second: int = 0) -> datetime:
    """An instant of a day, in UTC; the hours that books use are the same day in New York."""
    return datetime.combine(day, time(hour, minute, second), UTC)
