"""What a run costs: reading the ledger and reconciling one mint, at two sizes of its history.

In one process, medians of interleaved rounds (the yardstick, which takes long, once). The yardstick is
the same rows fetched through the ledger's general functions (``events_known``, ``controls_known``,
``balances_at``, ``supply_at``), as runs did before there were functions that read by mint and wallet.
Most of a stock's events move tokens between outsiders, so that is what grows.
"""

import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import asyncpg

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import tieout_reconcile
from reconcile.builders import ISIN, MINT, ONE, REGISTRY, T0, Book, address, iso
from support.database import fresh_database, make_template, running_server
from tieout_reconcile.chain import read_chains

ROUNDS = 3
SIZES = ((200_000, 20_000, 1_000), (2_000_000, 20_000, 80_000))
"""(events, crossings among them, mints into treasury among them); the rest: transfers between outsiders."""
OUTSIDERS = 20_000
AMOUNT, MINTED = ONE, 100 * ONE
EVENTS_PER_SLOT = 10

# Events in a fixed cycle, and the touches on both sides; running sums give each touch its balance.
FILL = """
create temp table planned on commit drop as
select 2 + n / {per_slot} as slot, n as tx,
       case when n < {mints} then 'mint' else 'transfer' end as kind,
       case when n < {mints} then 'issuance' when n < {mints} + {crossings} then 'treasury'
            else 'outsider ' || (n::bigint * 7919) % {outsiders} end as source,
       case when n < {mints} then 'treasury' when n < {mints} + {crossings} then 'customer ' || n % 500
            else 'outsider ' || (n::bigint * 104729 + 1) % {outsiders} end as destination
from generate_series(0, {events} - 1) as n;
insert into ledger.event_row
select slot, $T0$::timestamptz + slot * interval '1 second', tx, 0, -1, '0', rpad('s' || tx, 88, 'x'), 'Tokenz', kind,
       $MINT$, case when source = 'issuance' then source else rpad(source, 44, 'a') end,
       case when source = 'issuance' then null when source = 'treasury' then $TREASURY$ else rpad(source, 44, 'o') end,
       rpad(destination, 44, 'a'),
       case when destination = 'treasury' then $TREASURY$ else rpad(destination, 44, 'o') end,
       null, 'owner', case when kind = 'mint' then {minted} else {amount} end, 0,
       case when tx >= {mints} and tx < {mints} + {crossings} then 'tieout/1 issue REQ-' || tx end, 1
from planned;
insert into ledger.touch_row
select slot, tx, $MINT$, rpad(name, 44, 'a'), 8, 0,
       case when name = 'treasury'
            then {minted} * least(tx + 1, {mints})::numeric - {amount}::numeric * greatest(tx - {mints} + 1, 0)
            else 0 end,
       case when name = 'treasury' then $TREASURY$ else rpad(name, 44, 'o') end,
       case when name = 'treasury' then $TREASURY$ else rpad(name, 44, 'o') end, 1
from (select slot, tx, source as name from planned where source <> 'issuance'
      union select slot, tx, destination from planned) sides;
"""

GENERAL_FUNCTIONS = {
    "supply": "select ledger.supply_at($1, $2, 1)",
    "holdings": "select * from ledger.balances_at($1, $2, 1) where owner = any($3)",
    "movements": """
with known as materialized (
    select * from ledger.events_known(1) e where e.mint = $1 and e.slot <= $2
), ours as (
    select source as account from known where source_owner = any($3)
    union select destination from known where destination_owner = any($3)
    union select account from ledger.controls_known(1) c where c.kind = 'owner' and c.mint = $1 and c.slot <= $2
)
select * from known k
where k.kind in ('mint', 'burn') or exists (select from ours o where o.account = k.source)
   or exists (select from ours o where o.account = k.destination)
order by slot, tx_index, step, child""",
}


async def fill(book: Book, events: int, crossings: int, mints: int) -> int:
    """Fill a database; return the last slot."""
    last = 2 + events // EVENTS_PER_SLOT
    await book.commit()
    await book.open_mint()
    sql = FILL.format(
        per_slot=EVENTS_PER_SLOT,
        mints=mints,
        crossings=crossings,
        outsiders=OUTSIDERS,
        events=events,
        amount=AMOUNT,
        minted=MINTED,
    )
    for name, text in (("T0", T0.isoformat()), ("MINT", MINT), ("TREASURY", address("treasury"))):
        sql = sql.replace(f"${name}$", f"'{text}'")
    async with book.db.transaction():
        await book.db.execute(sql, timeout=900)
    await book.track(last)
    await book.registry(REGISTRY)
    orders = [
        {"request_id": f"REQ-{n}", "side": "issue", "raw": AMOUNT, "status": "completed"}
        for n in range(mints, mints + crossings)
    ]
    await book.orders(*orders)
    await book.statement(str(AMOUNT * crossings // ONE), last)
    await book.db.execute("vacuum analyze", timeout=900)
    return last


async def timed(works: dict[str, Callable[[], Awaitable[Any]]], rounds: int = ROUNDS) -> dict[str, float]:
    """The median seconds of each work, taken in turn."""
    times: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(rounds):
        for name, work in works.items():
            started = time.perf_counter()
            await work()
            times[name].append(time.perf_counter() - started)
    return {name: statistics.median(taken) for name, taken in times.items()}


async def measure(dsn: str, folder: Path, events: int, crossings: int, mints: int) -> None:
    """Fill one database and print what reading and reconciling it costs."""
    book = await Book.open(dsn, folder)
    last = await fill(book, events, crossings, mints)
    db: asyncpg.Connection = book.db
    registry = await tieout_reconcile.show_registry(db)
    owners = [address("treasury"), address("redemption")]

    async def general(slot: int) -> None:
        for name, query in GENERAL_FUNCTIONS.items():
            await db.fetch(query, MINT, slot, *([] if name == "supply" else [owners]))

    async def run(slot: int, keep: bool) -> None:
        done = await tieout_reconcile.run(db, slot, keep=keep)
        assert done.instruments[0].supply is not None, done.findings

    first = await tieout_reconcile.run(db, last, keep=False)
    assert first.clean, first.findings[:3]
    before = await timed({"before: rows by the general functions": lambda: general(last)}, 1)
    after = await timed(
        {
            "after: rows by mint and wallet, as values": lambda: read_chains(db, registry, last, 1),
            "a whole run, not stored": lambda: run(last, keep=False),
            "a whole run as of the middle slot": lambda: run(last // 2, keep=False),
        }
    )
    print(f"\n{events:,} events of one mint, {crossings:,} crossings, {events - crossings - mints:,} between outsiders")
    for name, seconds in (before | after).items():
        print(f"{name:<48} {seconds * 1000:9.0f} ms")
    await book.close()


async def main() -> None:
    """Measure each size in a database of its own."""
    assert ISIN in REGISTRY
    assert iso(0)
    with running_server() as server, tempfile.TemporaryDirectory() as folder:
        template = await asyncio.to_thread(make_template, server)
        for events, crossings, mints in SIZES:
            async with fresh_database(server, template) as dsn:
                await measure(dsn, Path(folder), events, crossings, mints)


if __name__ == "__main__":
    asyncio.run(main())
