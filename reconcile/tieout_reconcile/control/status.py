"""How control does: how far it is, what it waits with, what it told whom. Reads views alone."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import asyncpg

from tieout_reconcile import store
from tieout_reconcile.control.alerts import Notice
from tieout_reconcile.control.reading import SQL
from tieout_reconcile.freshness import AgeLimits, order_source
from tieout_reconcile.registry import instant_text
from tieout_reconcile.registry_rows import registry_at
from tieout_reconcile.store import SQL as RECON_SQL
from tieout_reconcile.store import Database


@dataclass(frozen=True, slots=True)
class ReceiverStatus:
    """One receiver: how many notices it was not told, since when the oldest waits, and its last failure."""

    receiver: str
    depth: int
    oldest_at: datetime | None
    oldest_s: float | None
    failures: int
    last_error: str | None
    tried_at: datetime | None
    known: bool = True

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        plain = {name: getattr(self, name) for name in ("receiver", "depth", "oldest_s", "failures", "last_error")}
        return plain | {"oldest_at": instant_text(self.oldest_at), "tried_at": instant_text(self.tried_at),
                        "known": self.known}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Firing:
    """How many alerts of a name fire for an instrument."""

    alertname: str
    symbol: str
    alerts: int

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {"alertname": self.alertname, "symbol": self.symbol, "alerts": self.alerts}


@dataclass(frozen=True, slots=True)
class Status:
    """Position, lag (age of the oldest batch not checked, 0 where all are), outbox and what fires.

    ``stale`` says why the order source speaks for nothing, where that was asked for; None: it does speak.
    """

    batch: int
    ordinal: int
    load: int
    last_batch: int
    lag_s: float
    advanced_at: datetime
    receivers: tuple[ReceiverStatus, ...]
    firing: tuple[Firing, ...]
    stale: str | None = None

    def late(self, undelivered_max_s: float) -> list[str]:
        """Say what waits for too long, and who was never told anything; empty: nothing does."""
        said = [
            f"receiver {r.receiver}: {r.depth} undelivered, the oldest for {r.oldest_s:.0f} s"
            for r in self.receivers
            if r.oldest_s is not None and r.oldest_s > undelivered_max_s
        ]
        said += [
            f"receiver {r.receiver} is in the settings and was never taken up: tieout control run"
            for r in self.receivers
            if not r.known
        ]
        if self.lag_s > undelivered_max_s:
            said.append(f"batch {self.batch + 1} waits to be checked for {self.lag_s:.0f} s: tieout control run")
        if self.stale is not None:
            said.append(f"{self.stale}; until it is read again every crossing is unmatched: tieout order import FILE")
        return said

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        plain = {name: getattr(self, name) for name in ("batch", "ordinal", "load", "last_batch", "lag_s")}
        return plain | {"advanced_at": instant_text(self.advanced_at), "receivers": list(self.receivers),
                        "stale": self.stale, "firing": list(self.firing)}  # fmt: skip


async def control_status(
    database: Database, receivers: Sequence[str] | None = None, ages: AgeLimits | None = None
) -> Status:
    """Return how control does, for the receivers of these names (None: all ever told).

    With ``ages`` it is said whether the order source is stale. Raises DatabaseUnreachable.
    """
    async with store.session(database) as db:
        position: Any = await db.fetchrow(SQL["position"])
        frontier: Any = await db.fetchrow(SQL["frontier"], position["batch"])
        now = await db.fetchval(SQL["now"])
        rows = {row["receiver"]: row for row in await db.fetch(SQL["outbox"])}
        firing = tuple(Firing(**dict(row)) for row in await db.fetch(SQL["counts"]))
        stale = None if ages is None else await _stale(db, ages, now)
    names = sorted(rows) if receivers is None else sorted(receivers)
    since = frontier["waiting_since"]
    return Status(
        position["batch"],
        position["ordinal"],
        position["load"],
        frontier["last_batch"] or 0,
        0.0 if since is None else max(0.0, (now - since).total_seconds()),
        position["advanced_at"],
        tuple(_receiver(name, rows.get(name), now) for name in names),
        firing,
        stale,
    )


async def _stale(db: asyncpg.Connection, ages: AgeLimits, now: datetime) -> str | None:
    known = await registry_at(db, await db.fetchval(RECON_SQL["max_load"]))
    if known is None:
        return None
    row = await db.fetchrow(SQL["source"])
    return order_source(known[1], row["seen_at"] if row else None, ages.order_age_max_s).problem(now)


def _receiver(name: str, row: Any, now: datetime) -> ReceiverStatus:
    if row is None:
        return ReceiverStatus(name, 0, None, None, 0, None, None, known=False)
    oldest = row["oldest"]
    age_s = None if oldest is None else max(0.0, (now - oldest).total_seconds())
    return ReceiverStatus(
        name, row["depth"], oldest, age_s, row["failures"], row["last_error"], row["tried_at"]
    )  # fmt: skip


async def list_alerts(database: Database, *, resolved: bool = False, limit: int = 200) -> list[Notice]:
    """Return the alerts that fire, the newest first; those that ended too on request."""
    async with store.session(database) as db:
        return [Notice(**dict(row)) for row in await db.fetch(SQL["listed"], resolved, limit)]
