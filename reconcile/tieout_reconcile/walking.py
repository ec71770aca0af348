"""The work of a run, cut into shares: some instruments are read and reconciled, and all but the results let go."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import asyncpg

from tieout_reconcile import store
from tieout_reconcile.chain import Snapshot, read_movements
from tieout_reconcile.instrument import Book, CutOff
from tieout_reconcile.registry import Instrument, Registry
from tieout_reconcile.rolling import rolled
from tieout_reconcile.whole import Part, reconcile_parts

SHARE_ORDERS_MAX = 20_000
SHARE_INSTRUMENTS_MAX = 200
"""How much is reconciled at once: a share holds some ten kilobytes an order."""


@dataclass(frozen=True, slots=True)
class KnownInputs:
    """What a run is about: the registry and its load, the slot, and what was known."""

    registry_load: int
    registry: Registry
    slot: int
    batch: int
    load: int


@dataclass(frozen=True, slots=True)
class Common:
    """What all shares need: what the business says, with its statements rolled; of the orders those that were paid."""

    known: KnownInputs
    book: Book
    cut_off: CutOff


@dataclass(frozen=True, slots=True)
class Share:
    """Some instruments, and how many orders they have."""

    instruments: tuple[Instrument, ...]
    orders: int


async def read_common(db: asyncpg.Connection, known: KnownInputs, standing: Snapshot) -> Common:
    """Read what concerns all instruments."""
    business = await store.business_known(db, known.load)
    statements, later = await store.statements_known(db, known.load, standing.at)
    trades = await store.trades_known(db, known.load)
    named = {p.request_id for p in business.payments if p.request_id is not None}
    # whether a payment has its order does not depend on which instruments are asked about
    paid = await store.orders_named(db, known.load, named) if named else ()
    book = Book(known.registry, paid, rolled(statements, business, standing.at), later, trades, business)
    return Common(known, book, CutOff(known.slot, standing.at))


def in_shares(instruments: Sequence[Instrument], orders: Mapping[str, int]) -> list[Share]:
    """Cut instruments into shares, in their order; ``orders`` are how many each mint has."""
    shares: list[Share] = []
    held: list[Instrument] = []
    weight = 0
    for instrument in instruments:
        more = orders.get(instrument.mint, 0)
        if held and (weight + more > SHARE_ORDERS_MAX or len(held) == SHARE_INSTRUMENTS_MAX):
            shares.append(Share(tuple(held), weight))
            held, weight = [], 0
        held.append(instrument)
        weight += more
    return [*shares, Share(tuple(held), weight)]


async def walk(db: asyncpg.Connection, common: Common, standing: Snapshot, share: Share) -> list[Part]:
    """Read and reconcile the instruments of a share."""
    known = common.known
    registry = replace(known.registry, instruments=share.instruments)
    snapshot = await read_movements(db, registry, known.slot, known.batch, common.book.business, standing)
    orders = await store.orders_known(db, known.load, [i.mint for i in share.instruments])
    return reconcile_parts(replace(common.book, registry=registry, orders=orders), snapshot.chains, common.cut_off)
