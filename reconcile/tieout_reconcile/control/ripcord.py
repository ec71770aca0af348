"""The ripcord: whether figures may be relied on at all, told only when it stands so for a while.

A condition pulls the ripcord after it was seen in a number of looks in a row, over a number of seconds, and
lets go in the same way. One that flaps in between changes nothing and is told to nobody. The rules of age and
the words are those of ``freshness``, which pages and API use.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import asyncpg

from tieout_reconcile import store
from tieout_reconcile.control.alerts import RUNBOOK, TEXT_CHARACTERS_MAX, Alert, Notice
from tieout_reconcile.control.judging import Alarm
from tieout_reconcile.control.limits import ControlLimits
from tieout_reconcile.control.notices import ended, write_notices
from tieout_reconcile.control.reading import SQL, Book, book_known
from tieout_reconcile.freshness import InputAge, freshness_of, order_source, problems_of, ripcord_reasons
from tieout_reconcile.liability import collateral
from tieout_reconcile.registry import Instrument
from tieout_reconcile.results import Run

_HOLES_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Standing:
    """How a condition stands: whether it alarms, and since when and in how many looks it was as it was last seen."""

    pulled: bool = False
    bad: bool = False
    since: datetime | None = None
    observations: int = 0
    reasons: tuple[str, ...] = ()


def looked(before: Standing, reasons: Sequence[str], now: datetime, after_s: float, observations_min: int) -> Standing:
    """Return how a condition stands after one more look at it; no reasons: it is gone."""
    bad = bool(reasons)
    if before.since is None or bad is not before.bad:
        before = replace(before, bad=bad, since=now, observations=0)
    assert before.since is not None
    seen = before.observations + 1
    stood = seen >= observations_min and now - before.since >= timedelta(seconds=after_s)
    return Standing(bad if stood else before.pulled, bad, before.since, seen, tuple(reasons))


@dataclass(frozen=True, slots=True)
class Looked:
    """One look at all conditions: the reasons by symbol, those that are pulled, and what was told."""

    reasons: Mapping[str, tuple[str, ...]]
    pulled: frozenset[str]
    notices: tuple[Notice, ...]


class Ripcord:
    """Looks at the conditions; the last run is read once, however often it is asked about."""

    def __init__(self, limits: ControlLimits) -> None:
        self._limits = limits
        self._book: Book | None = None
        self._run: Run | None = None

    async def look(self, db: asyncpg.Connection) -> Looked:
        """Look once, remember how each condition stands, and write what changed of its alert."""
        self._book = await book_known(db, self._book)
        if self._book is None:
            return Looked({}, frozenset(), ())
        now = await db.fetchval(SQL["now"])
        reasons = await self.reasons(db, self._book, now)
        # looking may take a while, and nobody waits for it: the lock is for writing alone
        async with db.transaction():
            await db.execute(SQL["lock"])
            return await self._remember(db, self._book, reasons, now)

    async def reasons(self, db: asyncpg.Connection, book: Book, now: datetime) -> dict[str, tuple[str, ...]]:
        """Return, by symbol, why the figures must not be relied on now; empty where they may."""
        ages = self._limits.ages
        mints = sorted(book.instruments)
        tips = {row["mint"]: row for row in await db.fetch(SQL["tips"], mints)}
        stands = await _obstacles(db, mints)
        source = await db.fetchrow(SQL["source"])
        orders = order_source(book.registry, source["seen_at"] if source else None, ages.order_age_max_s)
        statements = {
            (row["custodian"], row["account"]): row["as_of"] for row in await db.fetch(SQL["statement_times"])
        }
        run = await self._last_run(db)
        found = {}
        for mint, instrument in book.instruments.items():
            tip = tips.get(mint)
            inputs = [InputAge("the chain's newest proven block", tip["at"] if tip else None, ages.chain_age_max_s)]
            inputs += _statements(book, instrument, statements, ages.statement_age_max_s, now)
            said = problems_of([*inputs, orders], now)
            if tip is not None and tip["quarantined"]:
                said.append(f"{tip['quarantined']} transactions are in quarantine")
            said += stands.get(mint, [])
            found[instrument.symbol] = tuple([f"{instrument.symbol}: {text}" for text in said])
            found[instrument.symbol] += tuple(self._of_run(run, instrument, now))
        return found

    async def _last_run(self, db: asyncpg.Connection) -> Run | None:
        number = await db.fetchval(SQL["last_run"])
        if number is not None and (self._run is None or self._run.run != number):
            self._run = await store.load_run(db, number, lines=False)
        return self._run

    def _of_run(self, run: Run | None, instrument: Instrument, now: datetime) -> list[str]:
        result = None if run is None else run.instrument(instrument.symbol)
        if run is None or result is None:
            return [f"{instrument.symbol}: it was not reconciled yet"]
        ages = self._limits.ages
        freshness = freshness_of(run, result, ages.chain_age_max_s, ages.statement_age_max_s)
        return ripcord_reasons(result, freshness, now)

    async def _remember(
        self, db: asyncpg.Connection, book: Book, reasons: Mapping[str, tuple[str, ...]], now: datetime
    ) -> Looked:
        limits = self._limits
        rows = await db.fetch(SQL["conditions"], [_subject(m) for m in book.instruments])
        known = {row["subject"]: _standing(row) for row in rows}
        pulled, changes = set(), []
        for mint, instrument in sorted(book.instruments.items()):
            before = known.get(_subject(mint), Standing())
            after = looked(
                before, reasons[instrument.symbol], now, limits.ripcord_after_s, limits.ripcord_observations_min
            )
            if not _settled(before, after):
                await db.execute(
                    SQL["keep_condition"], _subject(mint), after.pulled, after.bad, after.since, after.observations,
                    list(after.reasons), now,
                )  # fmt: skip
            if after.pulled:
                pulled.add(instrument.symbol)
            if after.pulled != before.pulled:
                changes.append(await self._change(db, _alert(instrument, after), after.pulled))
        notices = await write_notices(db, [c for c in changes if c is not None], now)
        return Looked(reasons, frozenset(pulled), notices)

    async def _change(self, db: asyncpg.Connection, alert: Alert, pulled: bool) -> tuple[Alert, datetime | None] | None:
        row = await db.fetchrow(SQL["notice_of_fingerprint"], alert.fingerprint)
        firing = row is not None and row["status"] == "firing"
        if pulled:
            return None if firing else (alert, None)
        return (ended(row), row["starts_at"]) if row is not None and firing else None


def _statements(
    book: Book,
    instrument: Instrument,
    statements: Mapping[tuple[str, str], datetime],
    age_max_s: int,
    now: datetime,
) -> list[InputAge]:
    return [
        InputAge(f"the statement of {custodian}", statements.get((custodian, account)), age_max_s)
        for custodian, account in sorted(collateral(instrument, book.registry, now))
    ]


async def _obstacles(db: asyncpg.Connection, mints: list[str]) -> dict[str, list[str]]:
    """Return, by mint, what of the ledger is in doubt or missing."""
    parked = await db.fetch(SQL["ledger_holes"], _HOLES_SHOWN)
    every = [f"slot {row['slot']} is parked: {row['reason']}" for row in parked]
    found = {mint: [*every] for mint in mints}
    for row in await db.fetch(SQL["given_up"], mints):
        found[row["mint"]].append(f"slots {row['from_slot']} to {row['to_slot']} of the ledger were given up")
    for row in await db.fetch(SQL["open_findings"], mints):
        found[row["mint"]].append(f"an audit of the ledger ({row['audit']}) differs on {row['subject']}")
    return found


def _subject(mint: str) -> str:
    return f"ripcord/{mint}"


def _standing(row: Any) -> Standing:
    return Standing(row["pulled"], row["bad"], row["since"], row["observations"], tuple(row["reasons"]))


def _settled(before: Standing, after: Standing) -> bool:
    """Whether nothing is worth writing: it stands as it did, and waits for nothing."""
    same = (before.pulled, before.bad, before.reasons) == (after.pulled, after.bad, after.reasons)
    return same and after.pulled is after.bad and before.since is not None


def _alert(instrument: Instrument, standing: Standing) -> Alert:
    labels = {
        "alertname": str(Alarm.RIPCORD),
        "severity": "critical",
        "symbol": instrument.symbol,
        "mint": instrument.mint,
    }
    text = f"{instrument.symbol}: its figures must not be relied on: {'; '.join(standing.reasons)}"
    annotations = {
        "summary": text[:TEXT_CHARACTERS_MAX],
        "verdict": "unknown",
        "reasons": "\n".join(standing.reasons)[:TEXT_CHARACTERS_MAX],
        "runbook": f"{RUNBOOK}#ripcordpulled",
    }
    return Alert(labels, annotations, "ripcord", instrument.mint)
