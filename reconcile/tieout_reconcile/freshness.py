"""Whether a figure may be relied on: its age is that of the oldest input, and past its limit it is unknown. Pure.

The one place of these rules: pages, API, ``headroom`` and the control daemon's ripcord all ask here.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from tieout_reconcile.registry import Registry
from tieout_reconcile.results import InstrumentResult, Run, Verdict
from tieout_reconcile.sources import ORDERS

ORDER_SOURCE = "the order source"


@dataclass(frozen=True, slots=True)
class AgeLimits:
    """How old an input may be before what rests on it is unknown, in seconds."""

    chain_age_max_s: int = 900
    statement_age_max_s: int = 432_000
    order_age_max_s: int = 900


@dataclass(frozen=True, slots=True)
class InputAge:
    """One dated input: its name, its instant (None: there is none), and how old it may be in seconds.

    ``expected`` says what should have come, and by when, where somebody declared it.
    """

    name: str
    at: datetime | None
    age_max_s: int
    expected: str | None = None

    def is_fresh(self, now: datetime) -> bool:
        """Whether it still counts."""
        return self.at is not None and now < self.at + timedelta(seconds=self.age_max_s)

    def age_s(self, now: datetime) -> int | None:
        """Its age in seconds, never below zero; None where there is none."""
        return None if self.at is None else max(0, int((now - self.at).total_seconds()))

    def problem(self, now: datetime) -> str | None:
        """Say what keeps it from counting; None when it counts."""
        if self.at is None:
            return f"{self.name} was never read" + ("" if self.expected is None else f": {self.expected}")
        if self.is_fresh(now):
            return None
        if self.expected is not None:
            since = _instant(self.at + timedelta(seconds=self.age_max_s))
            return f"{self.name}, last read {_instant(self.at)}, is stale since {since}: {self.expected}"
        return f"{self.name}, of {_instant(self.at)}, is {self.age_s(now)} s old: at most {self.age_max_s} s count"


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


def order_source(registry: Registry, seen_at: datetime | None, order_age_max_s: int) -> InputAge:
    """Return how old the order source is: by the cadence that the registry declares, else by the limit."""
    source = registry.source(ORDERS)
    if source is None:
        return InputAge(ORDER_SOURCE, seen_at, order_age_max_s)
    name = f"{ORDER_SOURCE} {source.name}"
    if seen_at is None:
        return InputAge(name, None, order_age_max_s, f"a file is due {source.cadence}")
    due = source.due_after(seen_at, registry.calendar(source.calendar))
    grace = f", with {source.grace_minutes} minutes of grace" if source.grace_minutes else ""
    expected = f"a file was due at {_instant(due.at)}{grace} ({source.cadence})"
    return InputAge(name, seen_at, int((due.until - seen_at).total_seconds()), expected)


def ages_of(
    chain_at: datetime | None, result: InstrumentResult, chain_age_max_s: int, statement_age_max_s: int
) -> list[InputAge]:
    """Return the dated inputs of one instrument's figures: the chain's cut-off block and each account's statement."""
    return [
        InputAge("the chain's cut-off block", chain_at, chain_age_max_s),
        *(
            InputAge(f"the statement of {line.custodian}", line.as_of, statement_age_max_s)
            for line in result.accounts
            if line.is_hard
        ),
    ]  # fmt: skip


def freshness_of(run: Run, result: InstrumentResult, chain_age_max_s: int, statement_age_max_s: int) -> Freshness:
    """Return the freshness of one instrument's figures in a run."""
    inputs = ages_of(run.inputs.as_of_time, result, chain_age_max_s, statement_age_max_s)
    dated = [(i.at, i.at + timedelta(seconds=i.age_max_s), i.name) for i in inputs if i.at is not None]
    if not dated or run.inputs.as_of_time is None:
        return Freshness(None, None, "nothing is dated")
    oldest = min(dated)
    return Freshness(oldest[0], min(stale for _, stale, _ in dated), oldest[2])


def problems_of(inputs: Iterable[InputAge], now: datetime) -> list[str]:
    """Return what keeps any of the inputs from counting, each once."""
    return list(dict.fromkeys(text for i in inputs if (text := i.problem(now)) is not None))


def verdict_now(result: InstrumentResult, fresh: bool) -> str:
    """Return the verdict as it may be shown: one of a run, or ``unknown`` once its inputs are too old."""
    return str(result.verdict) if fresh else "unknown"


def ripcord_reasons(result: InstrumentResult, freshness: Freshness, now: datetime) -> list[str]:
    """Return why the figures must not be relied on; empty when they may."""
    reasons = list(result.reasons)
    if not freshness.is_fresh(now):
        since = "ever" if freshness.stale_at is None else _instant(freshness.stale_at)
        reasons.append(f"{result.symbol}: the figures are too old since {since} ({freshness.oldest_input})")
    if result.verdict is Verdict.DOES_NOT_TIE_OUT:
        reasons.append(f"{result.symbol}: custody and liability do not tie out")
    return reasons


def _instant(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"
