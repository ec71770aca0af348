"""The run: fix the inputs, read one snapshot, reconcile each instrument, store what was found."""

from dataclasses import dataclass, replace
from datetime import datetime
from fractions import Fraction
from math import floor
from typing import Any, TypeAlias

import asyncpg

from tieout_reconcile import store
from tieout_reconcile.chain import default_slot, read_chains, slot_at
from tieout_reconcile.errors import NoRegistry, NotFound, NotReady
from tieout_reconcile.exact import decimal_text
from tieout_reconcile.instrument import Book
from tieout_reconcile.intake import show_registry
from tieout_reconcile.liability import unit_of
from tieout_reconcile.registry import Registry, instant_text
from tieout_reconcile.results import Finding, Inputs, Run, TradeLine, Verdict
from tieout_reconcile.store import SQL, Database, RunSummary
from tieout_reconcile.whole import reconcile_all

AsOf: TypeAlias = int | datetime | None
"""A slot, an instant (its last slot counts), or None: the highest slot that all tracked mints cover."""


async def run(
    database: Database,
    as_of: AsOf = None,
    *,
    known_batch: int | None = None,
    known_load: int | None = None,
    keep: bool = True,
) -> Run:
    """Reconcile all registered instruments as of a slot, as known at a batch and a load; the latest by default.

    Stores the run unless ``keep`` is False. The same slot, batch and load give the same bytes.
    Raises NoRegistry, NotReady (nothing proven yet, or the instant lies ahead of the ledger),
    ValueError for an instant without a zone.
    """
    async with store.session(database) as db:
        async with db.transaction(isolation="repeatable_read"):
            result = await _reconcile(db, as_of, known_batch, known_load)
        return await store.insert_run(db, result) if keep else result


async def _reconcile(
    db: asyncpg.Connection, as_of: AsOf, known_batch: int | None, known_load: int | None, only: str | None = None
) -> Run:
    batch = _bounded("batch", known_batch, await db.fetchval(SQL["max_batch"]))
    load = _bounded("load", known_load, await db.fetchval(SQL["max_load"]))
    known = await store.registry_at(db, load)
    if known is None:
        raise NoRegistry(f"no registry is known at load {load}: tieout registry apply FILE")
    registry_load, registry = known
    slot = await slot_of(db, as_of, registry, batch)
    if only is not None:
        # nothing of the others is read; the slot is still that which all of them cover
        registry = replace(registry, instruments=tuple(i for i in registry.instruments if i.symbol == only))
    business = await store.business_known(db, load)
    snapshot = await read_chains(db, registry, slot, batch, business)
    statements, later = await store.statements_known(db, load, snapshot.at)
    mint = None if only is None else registry.instruments[0].mint
    orders, trades = await store.orders_known(db, load, mint), await store.trades_known(db, load)
    book = Book(registry, orders, statements, later, trades, business)
    batch_hash = await db.fetchval(SQL["batch_hash"], batch)
    inputs = Inputs(
        genesis_hash=await db.fetchval(SQL["genesis_hash"]),
        as_of_slot=slot,
        as_of_time=snapshot.at,
        blockhash=snapshot.blockhash,
        known_batch=batch,
        batch_hash=None if batch_hash is None else batch_hash.hex(),
        known_load=load,
        loads_sha256=await store.loads_digest(db, load),
        registry_load=registry_load,
        registry_sha256=registry.content_sha256.hex(),
    )
    return reconcile_all(book, snapshot.chains, inputs)


def _bounded(name: str, wanted: int | None, last: int) -> int:
    if wanted is not None and not 0 <= wanted <= last:
        raise NotReady(f"{name} {wanted} is not there: the last {name} is {last}")
    return last if wanted is None else wanted


async def slot_of(db: asyncpg.Connection, as_of: AsOf, registry: Registry, batch: int) -> int:
    """Return the slot that somebody asks for. Raises NotReady where the ledger does not reach it."""
    if isinstance(as_of, int):
        if as_of < 0:
            raise NotReady(f"slot {as_of} is not there: slots begin at 0")
        return as_of
    covered = await default_slot(db, [i.mint for i in registry.instruments], batch)
    if covered is None:
        raise NotReady("no slot of a registered mint is proven yet: tieout index backfill --mint … for each of them")
    if as_of is None:
        return covered
    if as_of.tzinfo is None:
        raise ValueError(f"the instant {as_of} has no time zone")
    slot = await slot_at(db, as_of, covered)
    if slot is None:
        raise NotReady(
            f"the ledger, proven to slot {covered}, does not reach past {instant_text(as_of)}: "
            "index on, or choose an earlier instant or a slot"
        )
    return slot


async def latest_run(database: Database) -> Run | None:
    """Return the last stored run, or None."""
    async with store.session(database) as db:
        return await store.load_run(db, None)


async def get_run(database: Database, number: int) -> Run:
    """Return a stored run. Raises NotFound."""
    async with store.session(database) as db:
        found = await store.load_run(db, number)
    if found is None:
        raise NotFound(f"there is no run {number}: tieout reconcile history lists them")
    return found


async def run_history(database: Database, limit: int = 50) -> list[RunSummary]:
    """Return the last runs, the newest first."""
    async with store.session(database) as db:
        return await store.history(db, limit)


async def list_breaks(database: Database, number: int | None = None, *, notices: bool = False) -> list[Finding]:
    """Return the breaks of a run (the latest when no number is given), with notices on request. Raises NotFound."""
    async with store.session(database) as db:
        found = await store.load_run(db, number)
    if found is None:
        raise NotFound("nothing was reconciled yet: tieout reconcile run")
    return [f for f in found.findings if notices or f.is_break]


async def get_break(database: Database, identity: str, number: int | None = None) -> Finding:
    """Return a finding of a run by its id (a beginning is enough) or its key. Raises NotFound."""
    findings = await list_breaks(database, number, notices=True)
    found = [f for f in findings if f.key == identity or (identity and f.id.startswith(identity))]
    if len(found) != 1:
        raise NotFound(
            f"{identity!r} names {len(found)} breaks of that run, not one: tieout breaks list shows their ids"
        )
    return found[0]


@dataclass(frozen=True, slots=True)
class Headroom:
    """How much more may be released: settled custody minus liability. None is unknown; below zero, nothing may.

    ``raw`` is rounded down to whole raw units at the multiplier in force. ``ladder`` says what it becomes on
    each coming settlement day, should every trade pending now settle on its day and nothing else happen.
    """

    symbol: str
    shares: Fraction | None
    raw: int | None
    as_of_slot: int
    as_of_time: datetime | None
    reasons: tuple[str, ...]
    ladder: tuple[tuple[str, Fraction], ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return plain values; quantities as text."""
        return {
            "symbol": self.symbol,
            "shares": None if self.shares is None else decimal_text(self.shares),
            "raw": None if self.raw is None else str(self.raw),
            "as_of_slot": self.as_of_slot,
            "as_of_time": instant_text(self.as_of_time),
            "reasons": list(self.reasons),
            "ladder": [{"settles_on": day, "shares": decimal_text(shares)} for day, shares in self.ladder],
        }


async def headroom(database: Database, symbol: str) -> Headroom:
    """Return the headroom of an instrument by a fresh run that is not stored. Raises NotFound, NoRegistry, NotReady."""
    registered = [i.symbol for i in (await show_registry(database)).instruments]
    if symbol not in registered:
        raise NotFound(f"{symbol!r} is no registered instrument: there are {', '.join(registered)}")
    async with (
        store.session(database) as db,
        db.transaction(isolation="repeatable_read", readonly=True),
    ):
        result = await _reconcile(db, None, None, None, only=symbol)
    found = result.instrument(symbol)
    assert found is not None, "a run has every registered instrument"
    inputs = result.inputs
    if found.verdict is Verdict.INCOMPLETE or found.difference is None or found.multiplier is None:
        return Headroom(symbol, None, None, inputs.as_of_slot, inputs.as_of_time, found.reasons)
    # shares booked for a step to come are spoken for
    ahead = sum((r.shares for r in found.receivables if r.shares < 0), Fraction(0))
    shares = found.difference + ahead
    raw = floor(shares / unit_of(found.multiplier, found.decimals))
    ladder = _ladder(shares, found.trades)
    return Headroom(symbol, shares, raw, inputs.as_of_slot, inputs.as_of_time, (), ladder)


def _ladder(now: Fraction, trades: tuple[TradeLine, ...]) -> tuple[tuple[str, Fraction], ...]:
    """Return the headroom after each settlement day of the trades, in order of days."""
    rungs, level = [], now
    for day in sorted({trade.settles_on for trade in trades}):
        level += sum((trade.shares for trade in trades if trade.settles_on == day), Fraction(0))
        rungs.append((day, level))
    return tuple(rungs)
