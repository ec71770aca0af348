"""What control reads of ledger and files: the new rows and the papers that they name, by indexed queries."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction
from typing import Any

import asyncpg

from tieout_database import Queries
from tieout_reconcile import store
from tieout_reconcile.bridge import BridgeMessage
from tieout_reconcile.canonical import Raw
from tieout_reconcile.chain import movements_by_mint, multipliers_by_mint, owner_changes_by_mint
from tieout_reconcile.control.acts import CONTROLS, INVENTORY_MINT, ON_ACCOUNTS, Act
from tieout_reconcile.control.judging import Papers
from tieout_reconcile.crossings import Crossing, Kind, RoleBook, UnitAt, crossings_of_transaction
from tieout_reconcile.facts import Movement, MultiplierStep, OwnerChange, Position, multiplier_in_force
from tieout_reconcile.inventory import INVENTORY_ROLES
from tieout_reconcile.liability import unit_of
from tieout_reconcile.matching import memo_references
from tieout_reconcile.registry import Instrument, Registry, Role
from tieout_reconcile.registry_rows import registry_at
from tieout_reconcile.store import SQL as RECON_SQL

SQL = Queries("tieout_reconcile.control", "control.sql")
_ALWAYS = frozenset({"mint", "burn"})
_EVERY_LOAD = 2**62


@dataclass(frozen=True, slots=True)
class Book:
    """The registry in force with each mint's instrument and roles: made once a registry."""

    load: int
    registry: Registry
    instruments: Mapping[str, Instrument]
    roles: Mapping[str, RoleBook]

    def is_inventory(self, mint: str, account: str | None, owner: str | None, at: datetime) -> bool:
        """Whether a mint into an account wants an inventory authorisation."""
        instrument = self.instruments.get(mint)
        if instrument is None or not instrument.inventory_authorised:
            return False
        return self.roles[mint].role(account, owner, at) in INVENTORY_ROLES

    @classmethod
    def of(cls, load: int, registry: Registry) -> "Book":
        """Return the book of a registry."""
        instruments = {i.mint: i for i in registry.instruments}
        return cls(load, registry, instruments, {m: RoleBook(registry, i.symbol) for m, i in instruments.items()})


@dataclass(frozen=True, slots=True)
class Found:
    """A crossing of a batch, with its mint and its place in the stream of that batch."""

    mint: str
    crossing: Crossing
    batch: int
    ordinal: int


@dataclass(frozen=True, slots=True)
class Checked:
    """A crossing as stored."""

    number: int
    mint: str
    crossing: Crossing


@dataclass(frozen=True, slots=True)
class Named:
    """Crossings that belong together, and the papers that they name.

    ``names`` is what each names, ``loaded`` what was looked for: of these, every crossing is here. ``over`` are
    those that come after so many others which name the same order that they are not looked at with it.
    """

    crossings: Mapping[int, Checked]
    papers: Papers
    names: Mapping[int, frozenset[str]]
    loaded: frozenset[str]
    over: frozenset[int] = frozenset()

    def is_whole(self, number: int) -> bool:
        """Whether all that names the same orders as a crossing is here."""
        return self.names[number] <= self.loaded


async def book_known(db: asyncpg.Connection, known: Book | None) -> Book | None:
    """Return the book of the newest registry, ``known`` where it is that; None where there is none."""
    load = await db.fetchval(SQL["last_registry"])
    if load is None or (known is not None and known.load == load):
        return known if load is not None else None
    found = await registry_at(db, _EVERY_LOAD)
    return None if found is None else Book.of(*found)


async def found_in_batch(db: asyncpg.Connection, batch: int, book: Book) -> tuple[list[Found], list[Act], int]:
    """Return the crossings of a batch and the issuer's other acts, in ledger order, and how many events it has."""
    rows = await db.fetch(SQL["events_of_batch"], batch)
    mints = sorted(book.instruments)
    changes = await db.fetch(SQL["owner_changes_of_batch"], batch, mints)
    ours = [(n, row) for n, row in enumerate(rows, 1) if row["mint"] in book.instruments]
    held, owners = await _held(db, batch, changes)
    moved = movements_by_mint(row for _, row in ours)
    handed = owner_changes_by_mint([_with_owner(row, owners) for row in changes])
    ordinals: dict[Any, int] = {(row["mint"], place_of(row)): n for n, row in ours}
    busy = [m for m in mints if m in moved or m in handed]
    units = await _units(db, batch, [book.instruments[m] for m in busy])
    found = [
        Found(mint, crossing, batch, ordinals.get((mint, crossing.position), len(rows)))
        for mint in busy
        for crossing in _crossings(mint, moved.get(mint, ()), handed.get(mint, ()), held, book, units[mint])
    ]
    found.sort(key=lambda f: (f.crossing.position or Position(0, 0, 0, 0), f.mint))
    acts = [a for m in busy for a in inventory_mints(m, moved.get(m, ()), book, units[m])]
    controls = await db.fetch(SQL["controls_of_batch"], batch, mints, list(CONTROLS))
    acts += [control_act(row) for row in controls if _is_act(row)]
    acts.sort(key=lambda a: (a.position, a.mint))
    gone = await _taken_back(db, batch, [*((f.crossing.position, f.mint) for f in found), *places_of(acts)])
    return (
        [f for f in found if (f.crossing.position, f.mint) not in gone],
        [a for a, place in zip(acts, places_of(acts), strict=True) if place not in gone],
        len(rows),
    )


def places_of(acts: Iterable[Act]) -> list[tuple[Position, str]]:
    """Return where acts stand, each with its mint."""
    return [(a.position, a.mint) for a in acts]


async def _taken_back(
    db: asyncpg.Connection, batch: int, places: Iterable[tuple[Position | None, str]]
) -> set[tuple[Position | None, str]]:
    """Return the rows of a batch that a later one took back, read here or not yet."""
    asked = [(*position, mint) for position, mint in places if position is not None]
    if not asked:
        return set()
    rows = await db.fetch(SQL["taken_back"], *map(list, zip(*asked, strict=True)), batch)
    return {(place_of(row), row["mint"]) for row in rows}


def inventory_mints(mint: str, movements: Iterable[Movement], book: Book, unit_at: UnitAt) -> Iterator[Act]:
    """Yield the mints into treasury and inventory, where the registry wants them authorised."""
    for m in movements:
        if m.kind == "mint" and book.is_inventory(mint, m.destination, m.destination_owner, m.at):
            yield Act(
                act_key(INVENTORY_MINT, m.position), mint, INVENTORY_MINT, m.position, m.signature, m.at, m.amount,
                unit_at(m.position.slot, m.at), m.destination, m.destination_owner, m.memo,
            )  # fmt: skip


def _is_act(row: Any) -> bool:
    """Whether a control is one that somebody decided on: not what a mint was created with."""
    if row["kind"] in ON_ACCOUNTS or row["account"] is not None:
        return row["kind"] in ON_ACCOUNTS
    return row["kind"] not in ("hook", "default_state") or row["authority"] is not None


def control_act(row: Any) -> Act:
    """Return the act that a row of the ledger's controls is."""
    place = place_of(row)
    return Act(
        act_key(row["kind"], place), row["mint"], row["kind"], place, row["signature"], row["block_time"],
        account=row["account"], authority=row["authority"], details=row["details"],
    )  # fmt: skip


def act_key(kind: str, place: Position) -> str:
    """Return what names an act, the same in every run."""
    return f"{kind}/{'.'.join(map(str, place))}"


def place_of(row: Any) -> Position:
    """Return where a row of the ledger stands."""
    return Position(row["slot"], row["tx_index"], row["step"], row["child"])


_Held = dict[tuple[int, int, str], dict[str, tuple[str | None, int]]]


async def _held(db: asyncpg.Connection, batch: int, changes: Sequence[Any]) -> tuple[_Held, dict[Any, str | None]]:
    """Return what accounts held before each transaction of an owner change, and who owned them after it."""
    held: _Held = {}
    owners: dict[Any, str | None] = {}
    wanted = {(c["slot"], c["tx_index"], c["mint"]) for c in changes}
    rows = await db.fetch(SQL["touches_of_batch"], batch, sorted({c["mint"] for c in changes})) if changes else []
    for row in rows:
        key = (row["slot"], row["tx_index"], row["mint"])
        if key in wanted:
            held.setdefault(key, {})[row["account"]] = (row["pre_owner"], int(row["pre_amount"] or 0))
            owners[(*key, row["account"])] = row["post_owner"]
    return held, owners


def _with_owner(row: Any, owners: Mapping[Any, str | None]) -> dict[str, Any]:
    key = (row["slot"], row["tx_index"], row["mint"], row["account"])
    return {**row, "new_owner": row["new_owner"] or owners.get(key)}


def _crossings(
    mint: str,
    movements: Sequence[Movement],
    changes: Sequence[OwnerChange],
    held: _Held,
    book: Book,
    unit_at: UnitAt,
) -> Iterable[Crossing]:
    """Walk each transaction by itself: one without a change of owner needs only what touches the boundary."""
    roles = book.roles[mint]
    handed = {(c.position.slot, c.position.tx_index) for c in changes}
    by_place: dict[tuple[int, int], list[Movement | OwnerChange]] = {}
    rows: list[Movement | OwnerChange] = [*movements, *changes]
    for row in rows:
        place = (row.position.slot, row.position.tx_index)
        if place in handed or isinstance(row, OwnerChange) or _at_boundary(row, roles):
            by_place.setdefault(place, []).append(row)
    for place in sorted(by_place):
        yield from crossings_of_transaction(by_place[place], held.get((*place, mint), {}), roles, unit_at)


def _at_boundary(row: Movement, roles: RoleBook) -> bool:
    return (
        row.kind in _ALWAYS
        or roles.is_issuer(row.source, row.source_owner, row.at)
        or roles.is_issuer(row.destination, row.destination_owner, row.at)
    )


async def _units(db: asyncpg.Connection, batch: int, instruments: Sequence[Instrument]) -> dict[str, UnitAt]:
    """Return each instrument's shares per raw unit at any instant; None where no multiplier is known."""
    if not instruments:
        return {}
    mints = [i.mint for i in instruments]
    steps = multipliers_by_mint(await db.fetch(RECON_SQL["multipliers"], mints, batch))
    created = {row["mint"] for row in await db.fetch(SQL["created"], mints)}
    return {i.mint: _unit(tuple(steps.get(i.mint, ())), i, i.mint in created) for i in instruments}


def _unit(steps: tuple[MultiplierStep, ...], instrument: Instrument, created: bool) -> UnitAt:
    def unit_at(slot: int, when: datetime) -> Fraction | None:
        found = multiplier_in_force(steps, slot, when) if steps or created else None
        return None if found is None else unit_of(found.value, instrument.decimals)

    return unit_at


async def still_crosses(db: asyncpg.Connection, checked: Checked, book: Book) -> bool:
    """Whether a stored crossing is one by the roles of a registry; a change of owner is taken to be."""
    crossing, roles = checked.crossing, book.roles.get(checked.mint)
    if roles is None:
        return False
    if crossing.kind is Kind.OWNER_CHANGE or crossing.position is None:
        return True
    rows = await db.fetch(SQL["event_at"], *crossing.position, checked.mint)
    moved = movements_by_mint(rows).get(checked.mint, [])
    return bool(crossings_of_transaction(moved, {}, roles, lambda *_: None))


async def named_together(db: asyncpg.Connection, numbers: Collection[int], claims_max: int) -> Named:
    """Return the crossings of these numbers, all that name the same orders, and the papers that any of them names."""
    first, names = await stored(db, numbers)
    loaded = await _request_ids(db, first, names)
    siblings = await _siblings(db, loaded, first, claims_max)
    more, more_names = await stored(db, siblings - first.keys())
    crossings, names = first | more, {**names, **more_names}
    papers = await _papers(db, crossings, names, loaded)
    return Named(crossings, papers, names, loaded, _over(crossings, names, papers, claims_max))


def _over(
    crossings: Mapping[int, Checked], names: Mapping[int, frozenset[str]], papers: Papers, claims_max: int
) -> frozenset[int]:
    """Anybody may write a memo: what is judged together is bounded, the first to name an order come first."""
    orders = {o.request_id for o in papers.orders}
    naming: dict[tuple[str, bool], list[int]] = {}
    for number in sorted(crossings):
        for reference in names[number] & orders:
            naming.setdefault((reference, crossings[number].crossing.outward), []).append(number)
    return frozenset(n for numbers in naming.values() for n in numbers[claims_max:])


async def stored(
    db: asyncpg.Connection, numbers: Collection[int]
) -> tuple[dict[int, Checked], dict[int, frozenset[str]]]:
    """Return the crossings of these numbers that stand, and what each names."""
    rows = await db.fetch(SQL["crossings"], sorted(numbers)) if numbers else []
    references: dict[int, set[str]] = {row["crossing"]: set() for row in rows}
    for row in await db.fetch(SQL["references"], sorted(references)) if references else []:
        references[row["crossing"]].add(row["reference"])
    found = {row["crossing"]: Checked(row["crossing"], row["mint"], _crossing(row)) for row in rows}
    return found, {number: frozenset(named) for number, named in references.items()}


async def _request_ids(
    db: asyncpg.Connection, crossings: Mapping[int, Checked], names: Mapping[int, frozenset[str]]
) -> frozenset[str]:
    signatures = _signatures(crossings)
    signed = await db.fetch(SQL["signed_orders"], signatures) if signatures else []
    return frozenset().union(*names.values(), (row["request_id"] for row in signed))


def _signatures(crossings: Mapping[int, Checked]) -> list[str]:
    return sorted({c.crossing.signature for c in crossings.values() if c.crossing.signature is not None})


async def _siblings(
    db: asyncpg.Connection, request_ids: frozenset[str], first: Mapping[int, Checked], claims_max: int
) -> set[int]:
    """Return the crossings that name orders of these ids, or that these orders name by transaction."""
    orders = await store.orders_of(db, request_ids) if request_ids else {}
    asked = {(o.request_id, o.side == "issue") for o in orders.values()}
    # a release may give back what came in under the same request, ordered or not; no more than once
    back = {r for c in first.values() if c.crossing.outward for r in memo_references(c.crossing.memo)}
    numbers = await claims(db, asked | {(r, out) for r in back for out in (False, True)}, claims_max)
    signatures = sorted({o.signature for o in orders.values() if o.signature is not None})
    signed = await db.fetch(SQL["signed_crossings"], signatures, claims_max) if signatures else []
    return numbers | {row["crossing"] for row in signed}


async def claims(db: asyncpg.Connection, asked: Collection[tuple[str, bool]], claims_max: int) -> set[int]:
    """Return the first crossings that name each request in a direction: out, or in."""
    if not asked:
        return set()
    ordered = sorted(asked)
    rows = await db.fetch(SQL["claims"], [r for r, _ in ordered], [out for _, out in ordered], claims_max)
    return {row["crossing"] for row in rows}


async def _papers(
    db: asyncpg.Connection,
    crossings: Mapping[int, Checked],
    names: Mapping[int, frozenset[str]],
    loaded: frozenset[str],
) -> Papers:
    named = sorted(frozenset().union(loaded, *names.values()))
    orders = await store.orders_of(db, [*named]) if named else {}
    signed = await _request_ids(db, crossings, {})
    if missing := signed - orders.keys():
        orders |= await store.orders_of(db, missing)
    rows = await db.fetch(SQL["messages"], named, _signatures(crossings))
    messages = [BridgeMessage(**{**dict(row), "raw": Raw(int(row["raw"]))}) for row in rows]
    return Papers(tuple(orders.values()), tuple(messages))


def _crossing(row: Any) -> Crossing:
    return Crossing(
        key=row["key"],
        kind=Kind(row["kind"]),
        outward=row["outward"],
        raw=int(row["raw"]),
        unit=None if row["unit"] is None else Fraction(row["unit"]),
        at=row["at"],
        position=place_of(row),
        signature=row["signature"],
        account=row["account"],
        issuer_role=None if row["issuer_role"] is None else Role(row["issuer_role"]),
        counterparty=row["counterparty"],
        counterparty_role=None if row["counterparty_role"] is None else Role(row["counterparty_role"]),
        memo=row["memo"],
    )
