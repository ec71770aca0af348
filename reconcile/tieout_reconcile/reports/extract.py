"""What a report is computed from, read out of the database in one snapshot."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import asyncpg
import zstandard

from tieout_database import Queries
from tieout_database.content import Wanted, content_of
from tieout_reconcile.chain import (
    authority_changes_by_mint,
    control_acts_by_mint,
    doubted_by_mint,
    findings_by_mint,
    gap_of,
    movements_by_mint,
    multipliers_by_mint,
    orphan_slots,
    owner_changes_by_mint,
    slot_at,
)
from tieout_reconcile.facts import Holding, Movement, Position
from tieout_reconcile.inputs import Business
from tieout_reconcile.loads import Load, Replay
from tieout_reconcile.registry import PaymentToken, Registry
from tieout_reconcile.reports.build import AuthorityHeld, Batch, Material
from tieout_reconcile.reports.mint_rows import SNAPSHOT_INDEX, FrozenState, MintRows, Opening, VenueAccounts
from tieout_reconcile.results import Inputs
from tieout_reconcile.split import ledgers, wallets_of
from tieout_reconcile.store import SQL as RECON_SQL
from tieout_reconcile.token_payments import tokens_named, transactions_asked

SQL = Queries("tieout_reconcile.reports", "report.sql")
_EVIDENCE_BYTES_MAX = 64 * 1024 * 1024


async def read_material(db: asyncpg.Connection, inputs: Inputs, *, in_part: bool = True) -> Material:
    """Return the material of a run but for its evidence, which only the sample needs.

    ``in_part``: payment tokens may be told in part.
    """
    replay = Replay([_load(row) for row in await db.fetch(SQL["loads"], inputs.known_load)])
    registry = replay.registries[-1][1]
    mints = [i.mint for i in registry.instruments]
    paying = tokens_named(registry, replay.business())
    covered = await db.fetch(SQL["coverage"], inputs.known_batch)
    holding = await db.fetch(SQL["authorities"], mints, inputs.as_of_slot, inputs.known_batch)
    told = await _in_part(db, paying, replay.business(), covered, inputs) if in_part else {}
    whole = [*mints, *(token.mint for token in paying if token.mint not in told)]
    return Material(
        inputs,
        replay,
        await _mint_rows(db, whole, covered, inputs, registry, replay.business()) | told,
        tuple(sorted({row["mint"] for row in covered})),
        tuple([Batch(**row) for row in await db.fetch(SQL["batches"], inputs.known_batch)]),
        {},
        authorities=tuple(AuthorityHeld(**row) for row in holding),
        in_part={t.mint: _asked(t, replay.business(), inputs) for t in paying if t.mint in told},
    )


def _load(row: Any) -> Load:
    # where somebody kept the file is nobody's business, and would make the same report differ
    return Load(**{**row, "name": row["name"].replace("\\", "/").rpartition("/")[2]})


def _asked(token: PaymentToken, business: Business, inputs: Inputs) -> frozenset[str]:
    return transactions_asked(token, business, inputs.as_of_time)


async def _in_part(
    db: asyncpg.Connection, paying: Sequence[PaymentToken], business: Business, covered: Sequence[Any], inputs: Inputs
) -> dict[str, MintRows]:
    """The payment tokens that are told in part.

    Each was picked up in mid-life, so that its events add up to nobody's balance, and moved in every transaction that
    payments name: that something is nowhere can only be seen from all there is.
    """
    slot, batch = inputs.as_of_slot, inputs.known_batch
    mints = [token.mint for token in paying]
    opened = {row["mint"] for row in await db.fetch(SQL["openings"], mints, batch)}
    doubtful = findings_by_mint(await db.fetch(RECON_SQL["open_findings"], mints, batch))
    doubted = doubted_by_mint(await db.fetch(RECON_SQL["quarantined"], mints, slot, batch))
    found = {}
    for token in paying:
        named = _asked(token, business, inputs)
        rows = await db.fetch(RECON_SQL["token_movements"], [token.mint], slot, batch, sorted(named))
        rows = [row for row in rows if row["signature"] in named]
        # a block without a time has the last known one, which is of another transaction
        timed = all(row["block_time"] is not None for row in rows)
        if token.mint in opened or not timed or {row["signature"] for row in rows} != named:
            continue
        moved = movements_by_mint(rows).get(token.mint, [])
        coverage = tuple([(c["from_slot"], c["to_slot"]) for c in covered if c["mint"] == token.mint])
        found[token.mint] = MintRows(
            token.mint, coverage, (), tuple(moved), (), (), (), tuple(doubtful.get(token.mint, ())),
            tuple(doubted.get(token.mint, ())), tuple(sorted(await orphan_slots(db, moved, batch))),
        )  # fmt: skip
    return found


async def _mint_rows(
    db: asyncpg.Connection,
    mints: Sequence[str],
    covered: Sequence[Any],
    inputs: Inputs,
    registry: Registry,
    business: Business,
) -> dict[str, MintRows]:
    slot, batch = inputs.as_of_slot, inputs.known_batch
    openings = await db.fetch(SQL["openings"], mints, batch)
    events = movements_by_mint(await db.fetch(SQL["events"], mints, slot, batch))
    changes = owner_changes_by_mint(await db.fetch(RECON_SQL["owner_changes"], mints, slot, batch))
    multipliers = multipliers_by_mint(await db.fetch(RECON_SQL["multipliers"], mints, batch))
    doubtful = findings_by_mint(await db.fetch(RECON_SQL["open_findings"], mints, batch))
    doubted = doubted_by_mint(await db.fetch(RECON_SQL["quarantined"], mints, slot, batch))
    authorities = authority_changes_by_mint(await db.fetch(RECON_SQL["authority_changes"], mints, slot, batch))
    acts = control_acts_by_mint(await db.fetch(RECON_SQL["control_acts"], mints, slot, batch))
    frozen: dict[str, list[FrozenState]] = {}
    for row in await db.fetch(RECON_SQL["frozen"], mints, slot, batch):
        frozen.setdefault(row["mint"], []).append(FrozenState(row["account"], row["frozen"]))
    states = {row["mint"]: row for row in await db.fetch(RECON_SQL["chain_states"], mints, slot, batch)}
    owners = {w.address for w in registry.wallets if w.kind == "owner"}
    accounts = {w.address for w in registry.wallets if w.kind == "account"}
    instruments = {i.mint for i in registry.instruments}
    found = {}
    for mint in mints:
        moved = events.get(mint, [])
        named = accounts | {a for e in moved for a in (e.source, e.destination) if a is not None}
        # every owner that the node named, so that what no event explains is there too
        holders = {row["owner"] for row in await db.fetch(RECON_SQL["holders"], mint, slot, batch)} - {None}
        held = await db.fetch(RECON_SQL["holdings"], [mint], slot, batch, sorted(owners | holders), sorted(named))
        found[mint] = MintRows(
            mint,
            tuple((c["from_slot"], c["to_slot"]) for c in covered if c["mint"] == mint),
            tuple(
                Opening(Position(o["slot"], o["tx_index"], o["step"], o["child"]), o["decimals"])
                for o in openings
                if o["mint"] == mint
            ),
            tuple(moved),
            tuple(changes.get(mint, ())),
            tuple(multipliers.get(mint, ())),
            _holdings(held),
            tuple(doubtful.get(mint, ())),
            tuple(doubted.get(mint, ())),
            tuple(sorted(await orphan_slots(db, moved, batch))),
            (),
            tuple(authorities.get(mint, ())),
            tuple(acts.get(mint, ())),
            tuple(frozen.get(mint, ())),
        )
        state = states[mint]
        # a payment token is no instrument: no venue's ledger is of it
        if mint not in instruments:
            continue
        if gap_of(state["known_from"], state["known_to"], state["covered_to"], slot) is None:
            venues = await _venues(db, registry, business, state, batch, inputs.as_of_time)
            found[mint] = replace(found[mint], venues=venues)
    return found


def _holdings(rows: Sequence[Any]) -> tuple[Holding, ...]:
    return tuple(Holding(row["account"], row["owner"], int(row["amount"])) for row in rows)


async def _venues(
    db: asyncpg.Connection, registry: Registry, business: Business, state: Any, batch: int, at: datetime | None
) -> tuple[VenueAccounts, ...]:
    """The accounts of each venue's wallets at the instant of its ledger."""
    mint, found = state["mint"], []
    symbol = next(i.symbol for i in registry.instruments if i.mint == mint)
    for ledger in ledgers(business.venue, mint, at) if at is not None else ():
        slot = await slot_at(db, ledger.as_of, state["known_to"], batch)
        if slot is None or slot < state["known_from"]:
            found.append(VenueAccounts(ledger.venue, ledger.as_of, None, ()))
            continue
        wallets = wallets_of(registry, ledger.venue, symbol, ledger.as_of)
        by_kind = [sorted({w.address for w in wallets if w.kind == kind}) for kind in ("owner", "account")]
        held = await db.fetch(RECON_SQL["holdings"], [mint], slot, batch, *by_kind)
        found.append(VenueAccounts(ledger.venue, ledger.as_of, slot, _holdings(held)))
    return tuple(found)


async def read_content(db: asyncpg.Connection, material: Material, drawn: Sequence[Movement]) -> bytes:
    """Return the ledger's rows that the material follows from, as the batches known to the run were hashed."""
    every = material.mints.values()
    moved = {e.position.slot for rows in every for e in rows.events}
    block = await db.fetchrow(RECON_SQL["slot_time"], 0, material.inputs.as_of_slot, material.inputs.known_batch)
    opened = {(o.position.slot, SNAPSHOT_INDEX) for rows in every for o in rows.openings}
    # an owner that the instruction does not name is told by the node's balances
    handed = {(c.position.slot, c.position.tx_index) for rows in every for c in rows.owner_changes}
    wanted = Wanted(
        sorted(material.mints.keys() - material.in_part.keys()),
        sorted(moved if block is None else moved | {block["slot"]}),
        sorted({(m.position.slot, m.position.tx_index) for m in drawn}),
        sorted(opened | handed),
        material.slots_in_part,
    )
    return await content_of(db, material.inputs.known_batch, wanted)


async def read_evidence(db: asyncpg.Connection, drawn: Sequence[Movement], batch: int) -> dict[tuple[int, int], bytes]:
    """Return the node's answers for the sampled movements, as far as the database still holds them."""
    unpacker = zstandard.ZstdDecompressor()
    found = {}
    for place in sorted({(m.position.slot, m.position.tx_index) for m in drawn}):
        row = await db.fetchrow(SQL["evidence"], *place, batch)
        if row is not None and row["body"]:
            found[place] = unpacker.decompress(row["body"], max_output_size=_EVIDENCE_BYTES_MAX)
    return found
