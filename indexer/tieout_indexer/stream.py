"""The ledger as a stream: every final event once, in order of commit, resumable from any position.

NOTIFY only wakes the reader early; it polls as well, so a lost notification costs a moment.
"""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

import asyncpg

from tieout_database import DatabaseUnreachable, Queries, connect
from tieout_indexer.writer import DATABASE_OUTAGES

_SQL = Queries("tieout_indexer", "stream.sql")
_BATCHES_AT_ONCE = 64


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """A place in the stream: the batch, and the ordinal within it. Start: ``Position(0, 0)``."""

    batch: int
    ordinal: int


START = Position(0, 0)


@dataclass(frozen=True, slots=True)
class LedgerEvent:
    """A row of ``ledger.events``; amounts raw."""

    slot: int
    block_time: datetime | None
    tx_index: int
    step: int
    child: int
    path: str
    signature: str
    program: str
    kind: str
    mint: str
    source: str | None
    source_owner: str | None
    destination: str | None
    destination_owner: str | None
    authority: str | None
    authority_role: str | None
    amount: int
    fee: int
    memo: str | None


@dataclass(frozen=True, slots=True)
class Final:
    """An event of the ledger; ``position`` resumes after it."""

    event: LedgerEvent
    position: Position


@dataclass(frozen=True, slots=True)
class Retracted:
    """An event told before that a correction has taken back."""

    slot: int
    tx_index: int
    step: int
    child: int
    mint: str
    position: Position


@dataclass(frozen=True, slots=True)
class Provisional:
    """A confirmed event that is not final yet."""

    event: LedgerEvent
    blockhash: str


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """A provisional event that is gone: its block became final, or lost."""

    event: LedgerEvent
    blockhash: str


Item = Final | Retracted | Provisional | Withdrawn


async def events(
    dsn: str,
    *,
    mint: str | None = None,
    after: Position = START,
    provisional: bool = False,
    poll_interval_s: float = 1.0,
) -> AsyncIterator[Item]:
    """Yield what the ledger gains after a position, for ever; stop by leaving the loop.

    Finals come exactly once per position. Raises DatabaseUnreachable.
    """
    connection = await connect(dsn)
    wake = asyncio.Event()
    shown: dict[tuple[str, int, int, int, int], Provisional] = {}
    try:
        for channel in ("tieout_ledger", *(["tieout_provisional"] if provisional else [])):
            await connection.add_listener(channel, lambda *_: wake.set())
        while True:
            wake.clear()
            async for item in _finals(connection, after):
                after = item.position
                if mint is None or _mint(item) == mint:
                    yield item
            if provisional:
                for change in await _provisional_changes(connection, mint, shown):
                    yield change
            try:
                async with asyncio.timeout(poll_interval_s):
                    await wake.wait()
            except TimeoutError:
                continue
    except DATABASE_OUTAGES as lost:
        raise DatabaseUnreachable(f"the connection to the database was lost: {lost}") from lost
    finally:
        await connection.close()


def _mint(item: Final | Retracted) -> str:
    return item.event.mint if isinstance(item, Final) else item.mint


async def _finals(connection: asyncpg.Connection, after: Position) -> AsyncIterator[Final | Retracted]:
    # Of all mints: ordinals count them all, so that a position means the same to every reader.
    while True:
        batches = await connection.fetch(_SQL["batches_after"], after.batch, _BATCHES_AT_ONCE)
        for row in batches:
            for item in await _batch_items(connection, row["batch"]):
                if item.position > after:
                    yield item
        if len(batches) < _BATCHES_AT_ONCE:
            return
        after = Position(batches[-1]["batch"] + 1, 0)


async def _batch_items(connection: asyncpg.Connection, batch: int) -> list[Final | Retracted]:
    items: list[Final | Retracted] = []
    for row in await connection.fetch(_SQL["retractions_of_batch"], batch):
        position = Position(batch, len(items) + 1)
        items.append(Retracted(row["slot"], row["tx_index"], row["step"], row["child"], row["mint"], position))
    for row in await connection.fetch(_SQL["events_of_batch"], batch):
        items.append(Final(_event(row), Position(batch, len(items) + 1)))
    return items


def _event(row: Any) -> LedgerEvent:
    values: dict[str, Any] = {f.name: row[f.name] for f in fields(LedgerEvent)}
    return LedgerEvent(**{**values, "amount": int(values["amount"]), "fee": int(values["fee"])})


async def _provisional_changes(
    connection: asyncpg.Connection, mint: str | None, shown: dict[tuple[str, int, int, int, int], Provisional]
) -> list[Provisional | Withdrawn]:
    now = {}
    for row in await connection.fetch(_SQL["provisional"], mint):
        key = (row["blockhash"], row["slot"], row["tx_index"], row["step"], row["child"])
        now[key] = Provisional(_event(row), row["blockhash"])
    gone = [Withdrawn(p.event, p.blockhash) for key, p in shown.items() if key not in now]
    come = [p for key, p in now.items() if key not in shown]
    shown.clear()
    shown.update(now)
    return [*gone, *come]
