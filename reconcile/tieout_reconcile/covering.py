"""The figures of all instruments at any slot: from closed histories where they hold, else walked anew."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import asyncpg

from tieout_reconcile import store
from tieout_reconcile.chain import Snapshot, issuer_addresses, read_standing
from tieout_reconcile.coverage import Coverage, cover_instrument, in_order
from tieout_reconcile.errors import NotFound
from tieout_reconcile.history import NOTHING, Step, micros, step_at
from tieout_reconcile.inputs import KINDS, Business, business_of
from tieout_reconcile.instrument import Book, CutOff
from tieout_reconcile.registry import Instrument
from tieout_reconcile.results import RULES, InstrumentResult, worst
from tieout_reconcile.rolling import rolled
from tieout_reconcile.runner import AsOf, inputs_of, known_now, reconcile_some
from tieout_reconcile.spreading import Spread, cores
from tieout_reconcile.store import SQL, Database
from tieout_reconcile.walking import KnownInputs
from tieout_reconcile.whole import Shelves, valid_at


async def coverage(
    database: Database,
    as_of: AsOf = None,
    *,
    symbols: Collection[str] | None = None,
    known_batch: int | None = None,
    known_load: int | None = None,
) -> Coverage:
    """Return liability, custody, difference and verdict of each instrument as of a slot or an instant.

    What a run of the same inputs would say of them, without the single crossings. Instruments whose history
    the last run kept, and of which nothing is new since, are looked up; the others are walked. Raises as
    ``run`` does, and NotFound for a symbol that is not registered.
    """
    async with (
        store.session(database) as db,
        db.transaction(isolation="repeatable_read", readonly=True),
    ):
        known = await known_now(db, as_of, known_batch, known_load)
        spread = Spread(database, cores()) if isinstance(database, str) else None
        return await _coverage(db, known, _chosen(known.registry.instruments, symbols), spread)


def _chosen(registered: Sequence[Instrument], symbols: Collection[str] | None) -> list[Instrument]:
    unknown = sorted(set(symbols or ()) - {i.symbol for i in registered})
    if unknown:
        there = ", ".join(i.symbol for i in registered)
        raise NotFound(f"{', '.join(map(repr, unknown))} is no registered instrument: there are {there}")
    return [i for i in registered if symbols is None or i.symbol in symbols]


async def _coverage(
    db: asyncpg.Connection, known: KnownInputs, chosen: Sequence[Instrument], spread: Spread | None
) -> Coverage:
    registry = replace(known.registry, instruments=tuple(chosen))
    snapshot = await read_standing(db, registry, known.slot, known.batch)
    standing = await _standing(db, known, chosen, snapshot)
    found = await _looked_up(db, known, chosen, snapshot, standing)
    anew = [i for i in valid_at(chosen, snapshot.at) if i.symbol not in found]
    if anew:
        run = await reconcile_some(db, known, anew, spread)
        # what is looked up has no cash side: nothing here may be taken for nothing owed
        found |= {result.symbol: replace(result, cash=(), cash_legs=()) for result in run.instruments}
    results = in_order(chosen, found)
    verdict = worst([result.verdict for result in results])
    walked = tuple(i.symbol for i in anew)
    return Coverage(verdict, await inputs_of(db, known, snapshot), results, walked)


async def _looked_up(
    db: asyncpg.Connection,
    known: KnownInputs,
    chosen: Sequence[Instrument],
    snapshot: Snapshot,
    standing: Mapping[str, Step],
) -> dict[str, InstrumentResult]:
    if not standing or snapshot.at is None:
        return {}
    business = await _business(db, known.load)
    statements, later = await store.statements_known(db, known.load, snapshot.at)
    trades = await store.trades_known(db, known.load)
    cut_off = CutOff(known.slot, snapshot.at)
    book = Book(known.registry, (), rolled(statements, business, snapshot.at), later, trades, business)
    shelves = Shelves(book)
    results = {
        i.symbol: cover_instrument(i, shelves.of(i), snapshot.chains[i.mint], standing[i.symbol], cut_off, snapshot.at)
        for i in valid_at(chosen, snapshot.at)
        if i.symbol in standing
    }
    return {symbol: result for symbol, result in results.items() if result is not None}


async def _business(db: asyncpg.Connection, load: int) -> Business:
    """Other networks' readings, loans, and how far custody's movements are known: all else concerns what is walked."""
    records: dict[str, list[Any]] = {name: [] for name in KINDS}
    for name in ("chains", "loans"):
        records[name] = await store.records_known(db, KINDS[name], load)
    return business_of(records, await store.spans_known(db, load))


@dataclass(frozen=True, slots=True)
class _Head:
    """What a kept history of an instrument rests on."""

    symbol: str
    mint: str
    known_load: int
    known_batch: int
    until_at: datetime | None

    def holds(self, at: datetime) -> bool:
        """Whether no change of role lies between the run and an instant."""
        return self.until_at is None or at < self.until_at


async def _standing(
    db: asyncpg.Connection, known: KnownInputs, chosen: Sequence[Instrument], snapshot: Snapshot
) -> dict[str, Step]:
    """Return the step in force of each instrument whose kept history holds."""
    at = snapshot.at
    if at is None:
        return {}
    rows = await db.fetch(SQL["history_heads"], RULES, known.registry_load)
    wanted = {i.symbol: i.mint for i in chosen}
    heads = [head for row in rows if wanted.get(row["symbol"]) == row["mint"] and (head := _Head(**row)).holds(at)]
    heads = [head for head in heads if head.known_batch <= known.batch and head.known_load <= known.load]
    new = await _anew(db, known, heads)
    isins = {i.symbol: i.isin for i in chosen}
    worked = {row["isin"] for row in await db.fetch(SQL["worked_isins"], known.load)}
    symbols = [h.symbol for h in heads if h.mint not in new and isins[h.symbol] not in worked]
    found = dict.fromkeys(symbols, NOTHING)
    for row in await db.fetch(SQL["history_steps"], symbols, micros(at), known.slot):
        found[row["symbol"]] = step_at(row["steps"], known.slot, at)
    return found


async def _anew(db: asyncpg.Connection, known: KnownInputs, heads: Sequence[_Head]) -> set[str]:
    """Return the mints of which something is known that their history did not know."""
    new = {row["mint"] for row in await db.fetch(SQL["bridged_mints"], known.load)}
    owners, accounts = issuer_addresses(known.registry)
    for batch, load in {(h.known_batch, h.known_load) for h in heads}:
        mints = [h.mint for h in heads if (h.known_batch, h.known_load) == (batch, load)]
        found = await db.fetch(SQL["touched_since"], mints, known.slot, batch, known.batch, owners, accounts)
        found += await db.fetch(SQL["ordered_since"], load, known.load)
        new |= {row["mint"] for row in found}
    return new
