"""How the shown figures' freshness is told; the rules are those of ``tieout_reconcile.freshness``. Pure."""

from fractions import Fraction
from math import floor

from tieout_reconcile import InstrumentResult, decimal_text
from tieout_reconcile.freshness import Freshness, freshness_of, ripcord_reasons, verdict_now

RATIO_PLACES = 6

__all__ = ["Freshness", "coverage_ratio", "freshness_of", "ripcord_reasons", "verdict_now"]


def coverage_ratio(result: InstrumentResult) -> str | None:
    """Return custody ÷ liability, rounded down: what falls short of 1 never reads as 1. None: unknown, nothing owed."""
    if result.custody is None or not result.liability:
        return None
    return decimal_text(Fraction(floor(result.custody / result.liability * 10**RATIO_PLACES), 10**RATIO_PLACES))
