"""How figures, times and addresses are written for people. Pure."""

from datetime import UTC, datetime
from fractions import Fraction

_PLACES = 8
_MINUTE_S, _HOUR_S, _DAY_S = 60, 3600, 86400


def quantity(text: str | None, places: int = _PLACES) -> str:
    """Return an exact decimal with thousands apart, rounded half to even at some places; ``unknown`` for None."""
    if text is None:
        return "unknown"
    scaled = round(Fraction(text) * 10**places)
    digits = str(abs(scaled)).rjust(places + 1, "0")
    whole, part = digits[: len(digits) - places], digits[len(digits) - places :].rstrip("0")
    shown = f"{int(whole):,}" + (f".{part}" if part else "")
    return f"−{shown}" if scaled < 0 else shown


def percent(ratio: str | None) -> str:
    """Return an exact ratio as a percentage, to the four places that a ratio of six has."""
    return "unknown" if ratio is None else f"{quantity(str(Fraction(ratio) * 100), 4)} %"


def instant(at: datetime | None) -> str:
    """Return an instant in UTC to the second."""
    return "unknown" if at is None else f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def machine_instant(at: datetime | None) -> str:
    """Return an instant as ``<time datetime>`` wants it."""
    return "" if at is None else at.astimezone(UTC).isoformat()


def age(seconds: int | None) -> str:
    """Return a duration in the two units that matter."""
    if seconds is None:
        return "of unknown age"
    if seconds < _MINUTE_S:
        return f"{seconds} s"
    if seconds < _HOUR_S:
        return f"{seconds // _MINUTE_S} min {seconds % _MINUTE_S} s"
    if seconds < _DAY_S:
        return f"{seconds // _HOUR_S} h {seconds % _HOUR_S // _MINUTE_S} min"
    return f"{seconds // _DAY_S} d {seconds % _DAY_S // _HOUR_S} h"


def words(name: str) -> str:
    """Return an identifier as words."""
    return name.replace("_", " ")
