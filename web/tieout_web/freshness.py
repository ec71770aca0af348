"""Whether a figure may be shown as one: its age is that of the oldest input, and past its limit it is unknown. Pure."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from fractions import Fraction

from tieout_reconcile import InstrumentResult, Run, Verdict, rounded_text

RATIO_PLACES = 6


@dataclass(frozen=True, slots=True)
class Freshness:
    """The oldest input of an instrument's figures, and when they stop counting. None: no input is dated."""

    oldest_at: datetime | None
    stale_at: datetime | None
    oldest_input: str

    def is_fresh(self, now: datetime) -> bool:
        """Whether the figures still count."""
        return self.stale_at is not None and now < self.stale_at

    def age_s(self, now: datetime) -> int | None:
        """The age of the oldest input, in seconds; never below zero."""
        return None if self.oldest_at is None else max(0, int((now - self.oldest_at).total_seconds()))


def freshness_of(run: Run, result: InstrumentResult, chain_age_max_s: int, statement_age_max_s: int) -> Freshness:
    """Return the freshness of one instrument's figures in a run."""
    inputs = [("the chain's cut-off block", run.inputs.as_of_time, timedelta(seconds=chain_age_max_s))]
    inputs += [
        (f"the statement of {line.custodian}", line.as_of, timedelta(seconds=statement_age_max_s))
        for line in result.accounts
    ]
    dated = [(at, at + limit, name) for name, at, limit in inputs if at is not None]
    if not dated or run.inputs.as_of_time is None:
        return Freshness(None, None, "nothing is dated")
    oldest = min(dated)
    return Freshness(oldest[0], min(stale for _, stale, _ in dated), oldest[2])


def verdict_now(result: InstrumentResult, fresh: bool) -> str:
    """Return the verdict as it may be shown: one of a run, or ``unknown`` once its inputs are too old."""
    return str(result.verdict) if fresh else "unknown"


def ripcord_reasons(result: InstrumentResult, freshness: Freshness, now: datetime) -> list[str]:
    """Return why the figures must not be relied on; empty when they may."""
    reasons = list(result.reasons)
    if not freshness.is_fresh(now):
        since = "ever" if freshness.stale_at is None else f"{freshness.stale_at:%Y-%m-%d %H:%M:%S} UTC"
        reasons.append(f"{result.symbol}: the figures are too old since {since} ({freshness.oldest_input})")
    if result.verdict is Verdict.DOES_NOT_TIE_OUT:
        reasons.append(f"{result.symbol}: custody and liability do not tie out")
    return reasons


def coverage_ratio(result: InstrumentResult) -> str | None:
    """Return custody ÷ liability, rounded half to even for people; None when unknown or nothing is owed."""
    if result.custody is None or not result.liability:
        return None
    ratio = Fraction(round(result.custody / result.liability * 10**RATIO_PLACES), 10**RATIO_PLACES)
    return rounded_text(ratio, RATIO_PLACES)
