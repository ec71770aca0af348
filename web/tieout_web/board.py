"""What the pages and the API show: the last run and the ledger's tip, kept up to date in the background.

A request never waits for the database to learn that nothing changed. When the database is gone the board
keeps what it last saw, and says since when.
"""

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from tieout_database import DatabaseUnreachable
from tieout_reconcile import InstrumentResult, NotFound, Run, get_run
from tieout_web.freshness import Freshness, freshness_of
from tieout_web.reading import Reader
from tieout_web.settings import WebSettings


def utc_now() -> datetime:
    """The time by this machine's clock."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Tip:
    """How far the ledger is, and what stands in the way."""

    slot: int
    block_time: datetime | None
    parked: int
    quarantined: int
    findings: int


@dataclass(frozen=True, slots=True)
class Seen:
    """One look at the database."""

    run: Run | None
    tip: Tip | None
    at: datetime


class Board:
    """The state of what is shown. ``seen`` is the last look that succeeded; ``gone`` why the newest one did not."""

    def __init__(self, settings: WebSettings, reader: Reader) -> None:
        self.settings = settings
        self.reader = reader
        self.seen: Seen | None = None
        self.gone: str | None = None
        self._runs: dict[int, Run] = {}
        self._looked = asyncio.Event()

    async def keep_looking(self) -> None:
        """Look for ever, once an interval."""
        while True:
            await self.look()
            await asyncio.sleep(self.settings.refresh_interval_s)

    async def look(self) -> None:
        """Look once; a failure is remembered, not raised."""
        try:
            number = await self.reader.value("latest_run")
            tip = await self.reader.row("tip")
            run = None if number is None else await self.run(number)
            self.seen = Seen(run, None if tip is None else Tip(**tip), utc_now())
            self.gone = None
        except (DatabaseUnreachable, NotFound) as gone:
            self.gone = str(gone)
        self._looked.set()

    async def run(self, number: int) -> Run:
        """Return a stored run; they never change, so the last few are kept."""
        found = self._runs.get(number)
        if found is None:
            async with self.reader.session() as connection:
                found = await get_run(connection, number)
            self._runs[number] = found
            while len(self._runs) > _RUNS_KEPT:
                del self._runs[next(iter(self._runs))]
        return found

    async def first_look(self) -> None:
        """Wait until the database was looked at once, whatever came of it."""
        await self._looked.wait()

    def freshness(self, run: Run, result: InstrumentResult) -> Freshness:
        """Return the freshness of an instrument's figures."""
        return freshness_of(run, result, self.settings.chain_age_max_s, self.settings.statement_age_max_s)

    def mints(self) -> dict[str, str]:
        """Return the symbol of each mint of the last run."""
        run = self.seen.run if self.seen else None
        return {i.mint: i.symbol for i in run.instruments} if run else {}

    def status(self) -> dict[str, Any]:
        """Return what a health check says."""
        seen = self.seen
        return {
            "database": "gone" if self.gone else "there",
            "run": None if seen is None or seen.run is None else seen.run.run,
            "slot": None if seen is None or seen.tip is None else seen.tip.slot,
            "looked_at": None if seen is None else seen.at.isoformat(),
        }


_RUNS_KEPT = 32
