"""All holders of a mint at a record time, and the supply split by venue and role: raw, in shares, adding up.

For dividends, votes and wind-down lists. An owner off the curve is a program's address (a pool, a vault, an
escrow): who stands behind it must be looked through. An owner on it may still be a custodian for others.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction
from typing import Any

import asyncpg

from tieout_idl import base58
from tieout_reconcile import store
from tieout_reconcile.canonical import Raw, to_plain
from tieout_reconcile.chain import multipliers_by_mint
from tieout_reconcile.crossings import RoleBook
from tieout_reconcile.curve import is_on_curve
from tieout_reconcile.errors import NoRegistry, NotFound, NotReady
from tieout_reconcile.facts import multiplier_in_force
from tieout_reconcile.liability import unit_of
from tieout_reconcile.registry import Instrument, Registry, Wallet
from tieout_reconcile.registry_rows import registry_at
from tieout_reconcile.runner import AsOf, slot_of
from tieout_reconcile.store import SQL, Database

UNLABELLED = "unlabelled"
UNSEEN = "withheld or hidden"


@dataclass(frozen=True, slots=True)
class HolderLine:
    """What an owner holds over all accounts. ``label`` is its role in the registry, its venue's name before it.

    ``frozen`` is what of it cannot move; None where nobody knows of one of the accounts whether it is frozen.
    """

    owner: str | None
    raw: Raw
    shares: Fraction
    accounts: int
    frozen: Raw | None
    program_owned: bool
    label: str | None


@dataclass(frozen=True, slots=True)
class Entitlement:
    """The holders of an instrument as of a slot, the largest first; ``unseen`` is withheld or hidden.

    ``adds_up``: holders + unseen = supply, to the raw unit.
    """

    symbol: str
    mint: str
    slot: int
    at: datetime | None
    known_batch: int
    multiplier: Fraction
    supply: Raw
    unseen: Raw
    adds_up: bool
    holders: tuple[HolderLine, ...]

    def to_json(self) -> dict[str, Any]:
        """Return plain values; quantities as text."""
        return to_plain(self)


@dataclass(frozen=True, slots=True)
class SplitLine:
    """What all owners of one label hold together."""

    label: str
    raw: Raw
    shares: Fraction
    owners: int


@dataclass(frozen=True, slots=True)
class VenueSplit:
    """The supply of an instrument by label. The lines always sum to the supply where ``adds_up``."""

    symbol: str
    slot: int
    at: datetime | None
    supply: Raw
    adds_up: bool
    lines: tuple[SplitLine, ...]

    def to_json(self) -> dict[str, Any]:
        """Return plain values; quantities as text."""
        return to_plain(self)


async def entitlement(
    database: Database,
    symbol: str,
    as_of: AsOf = None,
    *,
    known_batch: int | None = None,
    registry: Registry | None = None,
) -> Entitlement:
    """Return all holders of an instrument as of a slot or an instant, as known at a batch (the latest by default).

    ``registry`` labels them, for a login that may read published views only; the newest one by default.
    Raises NotFound, NoRegistry, NotReady.
    """
    async with store.session(database) as db, db.transaction(isolation="repeatable_read", readonly=True):
        registry = registry or await _registry(db)
        instrument = registry.instrument(symbol)
        if instrument is None:
            known = ", ".join(i.symbol for i in registry.instruments)
            raise NotFound(f"{symbol!r} is no registered instrument: there are {known}")
        return await _entitlement(db, registry, instrument, as_of, known_batch)


async def venue_splits(database: Database, as_of: AsOf = None) -> list[VenueSplit]:
    """Return the supply of each instrument by venue and role. Raises NoRegistry, NotReady."""
    async with store.session(database) as db, db.transaction(isolation="repeatable_read", readonly=True):
        registry = await _registry(db)
        return [split_of(await _entitlement(db, registry, i, as_of)) for i in registry.instruments]


async def _registry(db: asyncpg.Connection) -> Registry:
    known = await registry_at(db, 2**62)
    if known is None:
        raise NoRegistry("no registry was applied yet: tieout registry apply FILE")
    return known[1]


async def _entitlement(
    db: asyncpg.Connection, registry: Registry, instrument: Instrument, as_of: AsOf, known_batch: int | None = None
) -> Entitlement:
    mint = instrument.mint
    batch: int = await db.fetchval(SQL["max_batch"]) if known_batch is None else known_batch
    slot = await slot_of(db, as_of, registry, batch)
    (state,) = await db.fetch(SQL["chain_states"], [mint], slot, batch)
    if state["supply"] is None:
        raise NotReady(
            f"the supply of {instrument.symbol} at slot {slot} is unknown: is it proven? tieout index status"
        )
    block = await db.fetchrow(SQL["slot_time"], state["known_from"], slot, batch)
    at = block["block_time"] if block else None
    steps = multipliers_by_mint(await db.fetch(SQL["multipliers"], [mint], batch)).get(mint, [])
    found = None if at is None else multiplier_in_force(tuple(steps), slot, at)
    if found is None or at is None:
        raise NotReady(f"the multiplier of {instrument.symbol} at slot {slot} is unknown")
    rows = await db.fetch(SQL["accounts_at"], mint, slot, batch)
    unseen = int(await db.fetchval(SQL["unseen"], mint, slot, batch))
    unit = unit_of(found.value, instrument.decimals)
    holders = tuple(_holders(rows, RoleBook(registry, instrument.symbol), registry, instrument.symbol, at, unit))
    supply = int(state["supply"])
    held = sum(int(h.raw) for h in holders)
    return Entitlement(
        instrument.symbol,
        mint,
        slot,
        at,
        batch,
        found.value,
        Raw(supply),
        Raw(unseen),
        held + unseen == supply,
        holders,
    )


def _holders(
    rows: Sequence[Any], book: RoleBook, registry: Registry, symbol: str, at: datetime, unit: Fraction
) -> list[HolderLine]:
    by_owner: dict[tuple[str | None, str | None], list[Any]] = {}
    for row in rows:
        if row["amount"]:
            label = _label(book, registry, symbol, row, at)
            by_owner.setdefault((row["owner"], label), []).append(row)
    lines = [_holder(owner, label, found, unit) for (owner, label), found in by_owner.items()]
    return sorted(lines, key=lambda h: (-int(h.raw), h.owner or "", h.label or ""))


def _label(book: RoleBook, registry: Registry, symbol: str, row: Any, at: datetime) -> str | None:
    role = book.role(row["account"], row["owner"], at)
    if role is None:
        return None
    entry = next((w for w in registry.wallets if _is_of(w, row, symbol, at)), None)
    return str(role) if entry is None or entry.venue is None else f"{entry.venue} {role}"


def _is_of(wallet: Wallet, row: Any, symbol: str, at: datetime) -> bool:
    return wallet.covers(symbol) and wallet.holds_at(at) and wallet.address in (row["account"], row["owner"])


def _holder(owner: str | None, label: str | None, rows: Sequence[Any], unit: Fraction) -> HolderLine:
    raw = sum(int(row["amount"]) for row in rows)
    known = all(row["frozen"] is not None for row in rows)
    frozen = Raw(sum(int(row["amount"]) for row in rows if row["frozen"])) if known else None
    off = owner is not None and not is_on_curve(base58.public_key(owner))
    return HolderLine(owner, Raw(raw), raw * unit, len(rows), frozen, off, label)


def split_of(found: Entitlement) -> VenueSplit:
    """Return the supply by label: those of the registry, the unlabelled, and what no account shows."""
    unit = unit_of(found.multiplier, 0) if not found.holders else found.holders[0].shares / int(found.holders[0].raw)
    labels: dict[str, list[HolderLine]] = {}
    for holder in found.holders:
        labels.setdefault(holder.label or UNLABELLED, []).append(holder)
    lines = [_line(label, holders) for label, holders in labels.items()]
    if int(found.unseen):
        lines.append(SplitLine(UNSEEN, found.unseen, int(found.unseen) * unit, 0))
    ordered = sorted(lines, key=lambda x: (-int(x.raw), x.label))
    return VenueSplit(found.symbol, found.slot, found.at, found.supply, found.adds_up, tuple(ordered))


def _line(label: str, holders: Iterable[HolderLine]) -> SplitLine:
    of_it = list(holders)
    raw = sum(int(h.raw) for h in of_it)
    return SplitLine(label, Raw(raw), sum((h.shares for h in of_it), Fraction(0)), len(of_it))
