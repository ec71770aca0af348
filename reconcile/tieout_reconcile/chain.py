"""What the ledger says about the registered mints, read in one consistent snapshot into facts."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from operator import itemgetter
from typing import Any, TypeVar

import asyncpg

from tieout_reconcile.facts import (
    AuthorityChange,
    Chain,
    ControlAct,
    Doubted,
    FrozenHolding,
    Holder,
    Holders,
    Holding,
    Movement,
    MultiplierStep,
    OpenFinding,
    OwnerChange,
    Position,
    VenueHolding,
)
from tieout_reconcile.inputs import Business
from tieout_reconcile.registry import ISSUER_ROLES, Instrument, Registry, Role, Wallet
from tieout_reconcile.split import large_from, ledgers, wallets_of
from tieout_reconcile.store import SQL
from tieout_reconcile.token_payments import TokenChain, named_signatures, token_chain, tokens_named

Item = TypeVar("Item")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_of_movement = itemgetter(
    "mint", "slot", "tx_index", "step", "child", "block_time", "signature", "kind", "source", "source_owner",
    "destination", "destination_owner", "authority", "authority_role", "amount", "fee", "memo",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Each mint's facts up to a slot, as known at a batch, with the block that gives the cut-off its instant.

    ``states``: each mint's row of what is proven.
    """

    chains: dict[str, Chain]
    at: datetime | None
    blockhash: str | None
    states: dict[str, Any]


async def read_chains(
    db: asyncpg.Connection, registry: Registry, slot: int, batch: int, business: Business | None = None
) -> Snapshot:
    """Read all registered mints. A handful of queries whatever the number of mints; run it in one snapshot."""
    return await read_movements(
        db, registry, slot, batch, business or Business(), await read_standing(db, registry, slot, batch)
    )


async def read_movements(
    db: asyncpg.Connection, registry: Registry, slot: int, batch: int, business: Business, standing: Snapshot
) -> Snapshot:
    """Add to what stands how it came about, for the registry's instruments."""
    mints = [i.mint for i in registry.instruments]
    owners, accounts = issuer_addresses(registry)
    moved = movements_by_mint(await db.fetch(SQL["movements"], mints, slot, batch, owners, accounts))
    handed = owner_changes_by_mint(await db.fetch(SQL["owner_changes"], mints, slot, batch))
    authorities = authority_changes_by_mint(await db.fetch(SQL["authority_changes"], mints, slot, batch))
    acts = control_acts_by_mint(await db.fetch(SQL["control_acts"], mints, slot, batch))
    orphans = await orphan_slots(db, (m for rows in moved.values() for m in rows), batch)
    chains = {}
    for mint in (m for m in mints if m in standing.chains):
        chain, state = standing.chains[mint], standing.states[mint]
        gap = chain.gap is not None
        more = (None, ()) if gap else await read_more(db, registry, business, state, slot, batch, standing.at)
        chains[mint] = replace(
            chain,
            movements=tuple(moved.get(mint, ())),
            owner_changes=tuple(handed.get(mint, ())),
            authority_changes=tuple(authorities.get(mint, ())),
            control_acts=tuple(acts.get(mint, ())),
            orphans=orphans,
            holders=more[0],
            venue_holdings=more[1],
        )
    return replace(standing, chains=chains)


async def read_standing(db: asyncpg.Connection, registry: Registry, slot: int, batch: int) -> Snapshot:
    """Read what stands at a slot, without how it came about: no movement, owner change or change of authority."""
    mints = [i.mint for i in registry.instruments]
    states = await db.fetch(SQL["chain_states"], mints, slot, batch)
    holdings = await db.fetch(SQL["holdings"], mints, slot, batch, *_addresses(registry.wallets))
    steps = multipliers_by_mint(await db.fetch(SQL["multipliers"], mints, batch))
    doubtful = findings_by_mint(await db.fetch(SQL["open_findings"], mints, batch))
    doubted = doubted_by_mint(await db.fetch(SQL["quarantined"], mints, slot, batch))
    held = _grouped((r["mint"], _holding(r)) for r in holdings)
    frozen = frozen_by_mint(await db.fetch(SQL["frozen"], mints, slot, batch))
    proven_from = [row["known_from"] for row in states if _gap(row, slot) is None]
    block = await db.fetchrow(SQL["slot_time"], min(proven_from), slot, batch) if proven_from else None
    chains = {
        row["mint"]: Chain(
            _gap(row, slot),
            row["decimals"],
            None if row["supply"] is None else int(row["supply"]),
            tuple(held.get(row["mint"], ())),
            (),
            (),
            tuple(steps.get(row["mint"], ())),
            tuple(doubtful.get(row["mint"], ())),
            tuple(doubted.get(row["mint"], ())),
            frozen=tuple(frozen.get(row["mint"], ())),
        )
        for row in states
    }
    at, blockhash = (block["block_time"], block["blockhash"]) if block else (None, None)
    return Snapshot(chains, at, blockhash, {row["mint"]: dict(row) for row in states})


async def read_token_chains(
    db: asyncpg.Connection, registry: Registry, business: Business, slot: int, batch: int
) -> dict[str, TokenChain]:
    """Read what the ledger knows of payment tokens of which payments name a transaction, by mint."""
    mints = [token.mint for token in tokens_named(registry, business)]
    if not mints:
        return {}
    named = named_signatures(business)
    spans = _grouped((r["mint"], (r["from_slot"], r["to_slot"]))
                     for r in await db.fetch(SQL["token_spans"], mints, slot, batch))  # fmt: skip
    births = _grouped((r["mint"], r["slot"]) for r in await db.fetch(SQL["token_births"], mints, slot, batch))
    moved = movements_by_mint(await db.fetch(SQL["token_movements"], mints, slot, batch, sorted(named)))
    return {m: token_chain(spans.get(m, ()), births.get(m, ()), moved.get(m, ()), named, slot) for m in mints}


def issuer_addresses(registry: Registry) -> tuple[list[str], list[str]]:
    """Return the owners and the token accounts that were ever the issuer's, or a bridge's, whose tokens are escrow.

    A wallet that was never the issuer's moves nothing across its boundary by itself.
    """
    return _addresses(w for w in registry.wallets if w.role in ISSUER_ROLES or w.role is Role.BRIDGE)


async def orphan_slots(db: asyncpg.Connection, movements: Iterable[Movement], batch: int) -> frozenset[int]:
    """Return the slots of movements of which the ledger had no block at a batch."""
    slots = sorted({m.position.slot for m in movements})
    return frozenset(row["slot"] for row in await db.fetch(SQL["orphans"], slots, batch))


async def read_more(
    db: asyncpg.Connection,
    registry: Registry,
    business: Business,
    state: Any,
    slot: int,
    batch: int,
    at: datetime | None,
) -> tuple[Holders | None, tuple[VenueHolding, ...]]:
    """Read what only some instruments ask for: all holders, and what venues held at the instants of their ledgers."""
    instrument = next(i for i in registry.instruments if i.mint == state["mint"])
    holders = None
    if instrument.large_share is not None and state["supply"] is not None:
        holders = await read_holders(db, instrument.mint, slot, batch, large_from(instrument, int(state["supply"])))
    held = []
    for ledger in ledgers(business.venue, instrument.mint, at) if at is not None else []:
        held.append(await _venue_holding(db, registry, instrument, ledger.venue, ledger.as_of, state, batch))
    return holders, tuple(held)


async def read_holders(db: asyncpg.Connection, mint: str, slot: int, batch: int, large: int | None) -> Holders:
    """Return all holders of a mint at a slot; those named hold at least ``large``, where it is given."""
    rows = [(row["owner"], int(row["amount"])) for row in await db.fetch(SQL["holders"], mint, slot, batch)]
    unseen = int(await db.fetchval(SQL["unseen"], mint, slot, batch))
    named = tuple(Holder(o or "unknown", n) for o, n in rows if large is None or n >= large)
    return Holders(sum(n for _, n in rows), unseen, named)


async def _venue_holding(
    db: asyncpg.Connection,
    registry: Registry,
    instrument: Instrument,
    venue: str,
    as_of: datetime,
    state: Any,
    batch: int,
) -> VenueHolding:
    covered = state["known_to"]
    slot = await slot_at(db, as_of, covered, batch) if covered is not None else None
    if slot is None or slot < state["known_from"]:
        return VenueHolding(venue, as_of, None, None)
    owners, accounts = _addresses(wallets_of(registry, venue, instrument.symbol, as_of))
    rows = await db.fetch(SQL["holdings"], [instrument.mint], slot, batch, owners, accounts)
    return VenueHolding(venue, as_of, slot, sum(int(row["amount"]) for row in rows))


def _addresses(wallets: Iterable[Wallet]) -> tuple[list[str], list[str]]:
    """Return the owners and the token accounts among wallets."""
    by_kind: dict[str, set[str]] = {"owner": set(), "account": set()}
    for wallet in wallets:
        by_kind[wallet.kind].add(wallet.address)
    return sorted(by_kind["owner"]), sorted(by_kind["account"])


def gap_of(known_from: int | None, known_to: int | None, covered_to: int | None, slot: int) -> str | None:
    """Say why a mint's figures at a slot are not known; None when they are."""
    if covered_to is None:
        return "its mint is not indexed: tieout index backfill --mint … from before its creation"
    if known_from is None:
        return (
            "it was picked up in mid-life, so its opening balances are unknown: index it from before its creation, "
            "or open it from a snapshot (tieout index snapshot)"
        )
    if slot < known_from:
        return f"it did not exist, or is not proven, at slot {slot}: its proven range begins at {known_from}"
    if known_to is None or slot > known_to:
        return (
            f"it is proven to slot {known_to} only, slot {slot} was asked for "
            "(not read yet, parked or quarantined beyond: see tieout index status)"
        )
    return None


def _gap(row: Any, slot: int) -> str | None:
    return gap_of(row["known_from"], row["known_to"], row["covered_to"], slot)


class _Times:
    """Block times in order of slots; a block without one takes the last known."""

    def __init__(self) -> None:
        self._last = _EPOCH

    def of(self, at: datetime | None) -> datetime:
        if at is not None:
            self._last = at
        return self._last


def _grouped(pairs: Iterable[tuple[str, Item]]) -> dict[str, list[Item]]:
    groups: dict[str, list[Item]] = {}
    for mint, item in pairs:
        groups.setdefault(mint, []).append(item)
    return groups


def movements_by_mint(rows: Iterable[Any]) -> dict[str, list[Movement]]:
    """Return the movements of event rows, which come in order of slots."""
    times = _Times()
    groups: dict[str, list[Movement]] = {}
    for row in rows:
        (mint, slot, tx_index, step, child, at, signature, kind, source, source_owner, destination, destination_owner,
         authority, authority_role, amount, fee, memo) = _of_movement(row)  # fmt: skip
        movement = Movement(
            Position(slot, tx_index, step, child), times.of(at), signature, kind, source, source_owner, destination,
            destination_owner, authority, authority_role, int(amount), int(fee), memo,
        )  # fmt: skip
        groups.setdefault(mint, []).append(movement)
    return groups


def owner_changes_by_mint(rows: Iterable[Any]) -> dict[str, list[OwnerChange]]:
    """Return the owner changes of control rows, which come in order of slots."""
    times = _Times()
    return _grouped((row["mint"], _owner_change(row, times)) for row in rows)


def authority_changes_by_mint(rows: Iterable[Any]) -> dict[str, list[AuthorityChange]]:
    """Return the changes of authority of control rows, which come in order of slots."""
    times = _Times()
    return _grouped((row["mint"], _authority_change(row, times)) for row in rows)


def control_acts_by_mint(rows: Iterable[Any]) -> dict[str, list[ControlAct]]:
    """Return the acts of control of their rows, which come in order of slots."""
    times = _Times()
    return _grouped((row["mint"], _control_act(row, times)) for row in rows)


def frozen_by_mint(rows: Iterable[Any]) -> dict[str, list[FrozenHolding]]:
    """Return the accounts with something in them that are frozen, or may be."""
    return _grouped(
        (row["mint"], FrozenHolding(row["account"], row["owner"], int(row["amount"]), row["frozen"]))
        for row in rows
        if row["amount"]
    )


def multipliers_by_mint(rows: Iterable[Any]) -> dict[str, list[MultiplierStep]]:
    """Return the multiplier steps of their rows."""
    return _grouped((row["mint"], _multiplier(row)) for row in rows)


def findings_by_mint(rows: Iterable[Any]) -> dict[str, list[OpenFinding]]:
    """Return the open findings of audits of the ledger."""
    return _grouped((r["mint"], OpenFinding(r["audit"], r["subject"], r["expected"], r["found"])) for r in rows)


def doubted_by_mint(rows: Iterable[Any]) -> dict[str, list[Doubted]]:
    """Return the transactions in quarantine of their rows."""
    return _grouped((r["mint"], Doubted(r["slot"], r["signature"], r["path"], r["reason"])) for r in rows)


def _position(row: Any) -> Position:
    return Position(row["slot"], row["tx_index"], row["step"], row["child"])


def _holding(row: Any) -> Holding:
    return Holding(row["account"], row["owner"], int(row["amount"]))


def _owner_change(row: Any, times: _Times) -> OwnerChange:
    return OwnerChange(
        _position(row),
        times.of(row["block_time"]),
        row["signature"],
        row["account"],
        row["new_owner"],
        row["authority"],
    )


def _authority_change(row: Any, times: _Times) -> AuthorityChange:
    return AuthorityChange(
        _position(row), times.of(row["block_time"]), row["signature"], row["authority_type"] or "unknown",
        row["authority"], row["new_authority"],
    )  # fmt: skip


def _control_act(row: Any, times: _Times) -> ControlAct:
    return ControlAct(
        _position(row),
        times.of(row["block_time"]),
        row["signature"],
        row["kind"],
        row["account"],
        row["authority"],
        row["value"],
    )


def _multiplier(row: Any) -> MultiplierStep:
    position = Position(row["announced_slot"], row["tx_index"], row["step"], row["child"])
    return MultiplierStep(
        position,
        row["effective_at"],
        bytes(row["bits"]),
        row["superseded_slot"],
        row["announced_at"],
        int(row["effective_seconds"]),
        row["signature"] or None,
    )


async def default_slot(db: asyncpg.Connection, mints: Sequence[str], batch: int) -> int | None:
    """Return the highest slot that all tracked registered mints cover; None when none is covered."""
    slot: int | None = await db.fetchval(SQL["default_slot"], list(mints), batch)
    return slot


async def slot_at(db: asyncpg.Connection, at: datetime, covered_to: int, batch: int) -> int | None:
    """Return the last slot at or before an instant, of the blocks known at a batch.

    None while no later proven block shows that it is the last.
    """
    row = await db.fetchrow(SQL["slot_at"], at, covered_to, batch)
    return row["slot"] if row is not None and row["passed"] else None
