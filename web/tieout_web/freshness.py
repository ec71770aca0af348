"""How the shown figures' freshness is told; the rules are those of ``tieout_reconcile.freshness``. Pure."""

from fractions import Fraction

from tieout_reconcile import InstrumentResult, rounded_text
from tieout_reconcile.freshness import Freshness, freshness_of, ripcord_reasons, verdict_now

RATIO_PLACES = 6

__all__ = ["Freshness", "coverage_ratio", "freshness_of", "ripcord_reasons", "verdict_now"]


def coverage_ratio(result: InstrumentResult) -> str | None:
    """Return custody ÷ liability, rounded half to even for people; None when unknown or nothing is owed."""
    if result.custody is None or not result.liability:
        return None
    ratio = Fraction(round(result.custody / result.liability * 10**RATIO_PLACES), 10**RATIO_PLACES)
    return rounded_text(ratio, RATIO_PLACES)
