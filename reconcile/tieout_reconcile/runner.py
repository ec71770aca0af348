"""The run: fix the inputs, read one snapshot, reconcile each instrument, store what was found."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from fractions import Fraction
from math import floor
from typing import Any, TypeAlias

import asyncpg

from tieout_reconcile import store
from tieout_reconcile.chain import Snapshot, default_slot, read_standing, read_token_chains, slot_at
from tieout_reconcile.errors import NoRegistry, NotFound, NotReady
from tieout_reconcile.exact import decimal_text, parse_quantity
from tieout_reconcile.freshness import AgeLimits, InputAge, ages_of, order_source, problems_of
from tieout_reconcile.intake import show_registry
from tieout_reconcile.liability import unit_of
from tieout_reconcile.registry import Instrument, Registry, instant_text
from tieout_reconcile.registry_rows import registry_at
from tieout_reconcile.results import Finding, Inputs, Run, TradeLine, Verdict
from tieout_reconcile.spreading import SPREAD_ORDERS_MIN, Progress, Spread, cores, walk_spread
from tieout_reconcile.store import SQL, Database, RunSummary
from tieout_reconcile.walking import KnownInputs, in_shares, read_common, walk
from tieout_reconcile.whole import assemble

AsOf: TypeAlias = int | datetime | None
"""A slot, an instant (its last slot counts), or None: the highest slot that all tracked mints cover."""


async def run(
    database: Database,
    as_of: AsOf = None,
    *,
    known_batch: int | None = None,
    known_load: int | None = None,
    keep: bool = True,
    workers: int | None = None,
    on_progress: Progress | None = None,
) -> Run:
    """Reconcile all registered instruments as of a slot, as known at a batch and a load; the latest by default.

    Stores the run unless ``keep`` is False. The same slot, batch and load give the same bytes, however many
    processes share the work: ``workers``, by default one a core where there is enough of it. They need a DSN;
    with a connection of the caller's the run stays in this process. ``on_progress`` is told (orders done, all).
    Raises NoRegistry, NotReady (nothing proven yet, or the instant lies ahead of the ledger),
    ValueError for an instant without a zone.
    """
    async with store.session(database) as db:
        async with db.transaction(isolation="repeatable_read"):
            spread = None if not isinstance(database, str) else Spread(database, workers or cores(), on_progress, keep)
            result = await _reconcile(db, as_of, known_batch, known_load, spread=spread)
        return await store.insert_run(db, result) if keep else result


async def _reconcile(
    db: asyncpg.Connection,
    as_of: AsOf,
    known_batch: int | None,
    known_load: int | None,
    only: str | None = None,
    spread: Spread | None = None,
) -> Run:
    known = await known_now(db, as_of, known_batch, known_load)
    # nothing of the others is read; the slot is still that which all of them cover
    chosen = known.registry.instruments if only is None else [i for i in known.registry.instruments if i.symbol == only]
    return await reconcile_some(db, known, chosen, spread)


async def known_now(
    db: asyncpg.Connection, as_of: AsOf, known_batch: int | None, known_load: int | None
) -> KnownInputs:
    """Return what a run asked for is about. Raises NoRegistry, NotReady, ValueError as ``run`` does."""
    batch = _bounded("batch", known_batch, await db.fetchval(SQL["max_batch"]))
    load = _bounded("load", known_load, await db.fetchval(SQL["max_load"]))
    found = await registry_at(db, load)
    if found is None:
        raise NoRegistry(f"no registry is known at load {load}: tieout registry apply FILE")
    registry_load, registry = found
    return KnownInputs(registry_load, registry, await slot_of(db, as_of, registry, batch), batch, load)


async def reconcile_some(
    db: asyncpg.Connection, known: KnownInputs, chosen: Sequence[Instrument], spread: Spread | None = None
) -> Run:
    """Read and reconcile some of the registry's instruments, share by share; ``spread``: over several processes."""
    registry = replace(known.registry, instruments=tuple(chosen))
    standing = await read_standing(db, registry, known.slot, known.batch)
    common = await read_common(db, known, standing)
    shares = in_shares(chosen, await store.order_counts(db, known.load, [i.mint for i in chosen]))
    book = replace(common.book, registry=registry)
    if spread is None or spread.workers == 1 or sum(share.orders for share in shares) < SPREAD_ORDERS_MIN:
        parts = [part for share in shares for part in await walk(db, common, standing, share)]
    else:
        parts = await walk_spread(db, spread, common, standing, shares)
    tokens = await read_token_chains(db, known.registry, book.business, known.slot, known.batch)
    return assemble(book, parts, tokens, await inputs_of(db, known, standing))


async def inputs_of(db: asyncpg.Connection, known: KnownInputs, snapshot: Snapshot) -> Inputs:
    """Return all that a run of what is known depends on."""
    batch_hash = await db.fetchval(SQL["batch_hash"], known.batch)
    return Inputs(
        genesis_hash=await db.fetchval(SQL["genesis_hash"]),
        as_of_slot=known.slot,
        as_of_time=snapshot.at,
        blockhash=snapshot.blockhash,
        known_batch=known.batch,
        batch_hash=None if batch_hash is None else batch_hash.hex(),
        known_load=known.load,
        loads_sha256=await store.loads_digest(db, known.load),
        registry_load=known.registry_load,
        registry_sha256=known.registry.content_sha256.hex(),
    )


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
    slot = await slot_at(db, as_of, covered, batch)
    if slot is None:
        raise NotReady(
            f"the ledger, proven to slot {covered}, does not reach past {instant_text(as_of)}: "
            "index on, or choose an earlier instant or a slot"
        )
    return slot


async def latest_run(database: Database, *, lines: bool = True) -> Run | None:
    """Return the last stored run, or None; without ``lines`` its instruments lack their crossings."""
    async with store.session(database) as db:
        return await store.load_run(db, None, lines=lines)


async def get_run(database: Database, number: int, *, lines: bool = True) -> Run:
    """Return a stored run; without ``lines`` its instruments lack their crossings. Raises NotFound."""
    async with store.session(database) as db:
        found = await store.load_run(db, number, lines=lines)
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
        found = await store.load_run(db, number, lines=False, figures=False)
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
class Margin:
    """What is kept back of the headroom: shares, or a percentage of settled custody."""

    shares: Fraction = Fraction(0)
    percent: Fraction = Fraction(0)

    def of(self, custody: Fraction) -> Fraction:
        """The shares kept back of so much custody."""
        return self.shares + custody * self.percent / 100

    @classmethod
    def parse(cls, text: str) -> "Margin":
        """Read ``100`` (shares) or ``2.5%``. Raises ValueError saying what is wrong with it."""
        quantity = parse_quantity(text.removesuffix("%"))
        if not text.endswith("%"):
            return cls(shares=quantity)
        if quantity > _PERCENT:
            raise ValueError("is over 100%")
        return cls(percent=quantity)


_PERCENT = 100


@dataclass(frozen=True, slots=True)
class Headroom:
    """How much more may be released: settled custody minus liability, less the margin, today and on each rung.

    None is unknown. Below zero, nothing may. Unknown wherever an input is too old: ``inputs`` says how old each
    is, as of ``now``.
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
    margin: Fraction | None = None
    now: datetime | None = None
    inputs: tuple[InputAge, ...] = ()

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
            "margin": None if self.margin is None else decimal_text(self.margin),
            "now": instant_text(self.now),
            "ages": [] if self.now is None else [_age_json(i, self.now) for i in self.inputs],
        }


def _age_json(age: InputAge, now: datetime) -> dict[str, Any]:
    return {
        "input": age.name,
        "at": instant_text(age.at),
        "age_s": age.age_s(now),
        "age_max_s": age.age_max_s,
        "fresh": age.is_fresh(now),
    }


async def headroom(
    database: Database,
    symbol: str,
    *,
    margin: Margin | None = None,
    ages: AgeLimits | None = None,
    now: datetime | None = None,
) -> Headroom:
    """Return the headroom of an instrument by a fresh run that is not stored, ``margin`` of it kept back.

    Figures older than ``ages`` at ``now`` (the database's clock) make it unknown. Raises NotFound, NoRegistry,
    NotReady.
    """
    limits, margin = ages or AgeLimits(), margin or Margin()
    registry = await show_registry(database)
    registered = [i.symbol for i in registry.instruments]
    if symbol not in registered:
        raise NotFound(f"{symbol!r} is no registered instrument: there are {', '.join(registered)}")
    async with (
        store.session(database) as db,
        db.transaction(isolation="repeatable_read", readonly=True),
    ):
        result = await _reconcile(db, None, None, None, only=symbol)
        source = await db.fetchval(SQL["orders_seen"])
        now = now or await db.fetchval(SQL["now"])
    assert now is not None, "a database has a clock"
    found = result.instrument(symbol)
    assert found is not None, "a run has every registered instrument"
    as_of_slot, as_of_time = result.inputs.as_of_slot, result.inputs.as_of_time
    inputs = ages_of(as_of_time, found, limits.chain_age_max_s, limits.statement_age_max_s)
    inputs.append(order_source(registry, source, limits.order_age_max_s))
    asked = Headroom(symbol, None, None, as_of_slot, as_of_time, (), now=now, inputs=tuple(inputs))
    reasons = [f"{symbol}: {problem}" for problem in problems_of(inputs, now)]
    unknown = found.verdict is Verdict.INCOMPLETE or found.difference is None or found.custody is None
    if unknown or reasons or found.multiplier is None:
        return replace(asked, reasons=(*found.reasons, *reasons))
    assert found.difference is not None
    assert found.custody is not None
    # shares booked for a step to come are spoken for
    ahead = sum((r.shares for r in found.receivables if r.shares < 0), Fraction(0))
    # what custody holds for tokens of another network is theirs
    ahead -= sum((h.shares for h in found.held if h.network is not None and h.shares > 0), Fraction(0))
    kept = margin.of(found.custody)
    now_free = found.difference + ahead - kept
    ladder = _ladder(now_free, found.trades)
    # what is sold and still to be delivered is not free today either
    shares = min([now_free, *(level for _, level in ladder)])
    raw = floor(shares / unit_of(found.multiplier, found.decimals))
    return replace(asked, shares=shares, raw=raw, ladder=ladder, margin=kept)


def _ladder(now: Fraction, trades: tuple[TradeLine, ...]) -> tuple[tuple[str, Fraction], ...]:
    """Return the headroom after each settlement day of the trades, in order of days."""
    rungs, level = [], now
    for day in sorted({trade.settles_on for trade in trades}):
        level += sum((trade.shares for trade in trades if trade.settles_on == day), Fraction(0))
        rungs.append((day, level))
    return tuple(rungs)
