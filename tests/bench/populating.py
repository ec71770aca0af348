"""What reconciling a whole population costs: many instruments, orders by the hundred thousand.

Printed: the matching core alone over a million orders, named by memo and found by quantity; a whole run (not
stored) and the headroom of one instrument over a database of many mints, at growing sizes. ``--events`` sets
the largest size; 10,000,000 takes long to fill.
"""

import argparse
import asyncio
import resource
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta
from fractions import Fraction
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import tieout_reconcile
from bench.reconciling import timed
from reconcile.builders import MINT, ONE, T0, Book, address, at, memo
from support.database import fresh_database, make_template, running_server
from tieout_idl import base58
from tieout_reconcile.chain import read_chains
from tieout_reconcile.crossings import Crossing, Kind
from tieout_reconcile.facts import Position
from tieout_reconcile.matching import match
from tieout_reconcile.orders import Order

ORDERS = (10_000, 100_000, 1_000_000)
MINTS = 1_000
CROSSINGS, TREASURY_MINTS = 100, 10
EVENTS_PER_SLOT = 1_000
WALLETS = 500


def orders_and_crossings(count: int, *, named: bool) -> tuple[list[Order], list[Crossing]]:
    """As many orders as crossings, of 977 quantities and 500 wallets."""
    wallets = [address(f"wallet {n}") for n in range(WALLETS)]
    unit = Fraction(1, ONE)
    crossings, orders = [], []
    for n in range(count):
        raw, wallet, when = ONE + n % 977 * 1000, wallets[n % WALLETS], at(n)
        words = memo("issue", f"REQ-{n}") if named else None
        place = (when, Position(n // 10, n % 10, 0, -1), f"s{n}", "treasury")
        crossings.append(Crossing(f"tx/s{n}", Kind.RELEASE, True, raw, unit, *place, None, wallet, None, words))
        orders.append(
            Order(1, f"REQ-{n}", "issue", MINT, None, raw, "completed", wallet, None, when - timedelta(hours=1), None)
        )
    return orders, crossings


def measure_matching() -> None:
    """Print what matching costs at each size, one run each: the rows are made anew."""
    for named in (True, False):
        for count in ORDERS:
            orders, crossings = orders_and_crossings(count, named=named)
            started = time.perf_counter()
            found = match(orders, crossings, at(10**8))
            taken = time.perf_counter() - started
            assert len(found.matches) == count, "every order has its crossing"
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
            how = "named by memo" if named else "found by quantity"
            print(f"{count:>10,} orders {how:<20} {taken:8.2f} s {peak:6,} MB at most so far")


FILL = """
create temp table planned on commit drop as
select 2 + n / {per_slot} as slot, (n % {per_slot})::integer as tx, 'mint ' || n % {mints} as name, n / {mints} as k
from generate_series(0, {events} - 1) as n;
insert into ledger.event_row
select slot, {t0}::timestamptz + slot * interval '1 second', tx, 0, -1, '0', rpad('s' || slot || '.' || tx, 88, 'x'),
       'Tokenz', case when k < {own} then 'mint' else 'transfer' end, m.mint,
       case when k < {own} then 'issuance' when k < {own} + {crossings} then m.treasury else m.outsider end,
       case when k < {own} then null when k < {own} + {crossings} then {treasury} else {owner} end,
       case when k < {own} then m.treasury else m.outsider end,
       case when k < {own} then {treasury} else {owner} end,
       null, 'owner', case when k < {own} then 100000000000 else 100000000 end, 0,
       case when k >= {own} and k < {own} + {crossings} then 'tieout/1 issue ' || name || '/' || k end, 1
from planned p join made m using (name);
insert into ledger.touch_row
select slot, tx, m.mint, m.treasury, 8, 0,
       100000000000::numeric * least(k + 1, {own}) - 100000000::numeric * greatest(k - {own} + 1, 0),
       {treasury}, {treasury}, 1
from planned p join made m using (name) where k < {own} + {crossings};
insert into ledger.touch_row
select slot, tx, m.mint, m.outsider, 8, 0, 100000000::numeric * least(k - {own} + 1, {crossings}), {owner}, {owner}, 1
from planned p join made m using (name) where k >= {own};
insert into ledger.control_row
select 1, {t0}, row_number() over (), 0, -1, '0', 'open ' || name, 'mint_open', mint, null, null, '{{"decimals": 8}}', 1
from made;
insert into ledger.coverage_row select mint, 0, {last}, 1 from made;
insert into recon.order_row
    (load, line, request_id, side, mint, shares, raw, status, wallet, signature, created_at, settled_at)
select 2, 10 + row_number() over (), replace(name, ' ', '-') || '/' || k, 'issue', m.mint, null, 100000000, 'completed',
       null, null, {t0}::timestamptz + slot * interval '1 second', null
from planned p join made m using (name) where k >= {own} and k < {own} + {crossings};
"""


async def fill(book: Book, events: int, mints: int) -> int:
    """Fill a database with so many events over so many mints; return the last slot."""
    last = 2 + events // EVENTS_PER_SLOT
    named = [(f"mint {n}", address(f"mint {n}"), address(f"treasury of {n}"), address(f"outsider of {n}"))
             for n in range(mints)]  # fmt: skip
    await book.commit()
    text = "".join(
        f'[[instruments]]\nsymbol = "S{n}"\nmint = "{mint}"\nisin = "{_isin(n)}"\ndecimals = 8\n'
        for n, (_, mint, _, _) in enumerate(named)
    )
    text += f'[[wallets]]\nowner = "{address("treasury")}"\nrole = "treasury"\nvalid_from = 2026-01-01T00:00:00Z\n'
    text += 'source = "s"\n[[custodians]]\nid = "alpaca"\nname = "A"\n[[custodians.accounts]]\nid = "ITN-1"\n'
    await book.registry(text)
    await book.orders({"request_id": "FIRST", "side": "issue", "symbol": "S0", "raw": 1, "status": "pending"})
    quoted = {name: f"'{value}'" for name, value in (
        ("t0", T0.isoformat()), ("treasury", address("treasury")), ("owner", address("owner")))}  # fmt: skip
    sql = FILL.format(
        per_slot=EVENTS_PER_SLOT,
        mints=mints,
        events=events,
        own=TREASURY_MINTS,
        crossings=CROSSINGS,
        last=last,
        **quoted,
    )
    async with book.db.transaction():
        await book.db.execute(
            "create temp table made (name text, mint text, treasury text, outsider text) on commit drop"
        )
        await book.db.copy_records_to_table("made", records=named)
        await book.db.execute("select ledger.ensure_partition(1)")
        await book.db.execute(f"select ledger.ensure_partition({last})")
        await book.db.execute(
            sql.replace("'tieout/1 issue ' || name", "'tieout/1 issue ' || replace(name, ' ', '-')"), timeout=3600
        )
        await book.db.execute(
            "insert into ledger.slot_row select s, s - 1, 'h' || s, 'h' || s - 1, "
            f"'{T0.isoformat()}'::timestamptz + s * interval '1 second', 1, 1 from generate_series(0, {last}) s"
        )
    rows = [f"alpaca,ITN-1,{_isin(n)},{CROSSINGS},settled,{at(last).isoformat()}" for n in range(mints)]
    path = book.file("positions.csv", "\n".join(["custodian,account,isin,quantity,basis,as_of", *rows]))
    await tieout_reconcile.import_statement(book.dsn, path)
    await book.db.execute("vacuum analyze", timeout=3600)
    return last


def _isin(number: int) -> str:
    from stdnum import isin

    body = f"US{number:09d}"
    return body + str(isin.calc_check_digit(body))


async def measure(dsn: str, folder: Path, events: int) -> None:
    """Fill one database and print what reading, a whole run, and one instrument's headroom cost."""
    book = await Book.open(dsn, folder)
    started = time.perf_counter()
    last = await fill(book, events, MINTS)
    print(f"\n{events:,} events of {MINTS:,} mints, filled in {time.perf_counter() - started:.0f} s", flush=True)
    registry = await tieout_reconcile.show_registry(book.db)
    first = await tieout_reconcile.run(book.db, last, keep=False)
    assert first.clean, (first.verdict, first.findings[:3])
    works: dict[str, Callable[[], Awaitable[Any]]] = {
        "reading the chain's rows as values": lambda: read_chains(book.db, registry, last, 1),
        "a whole run, not stored": lambda: tieout_reconcile.run(book.db, last, keep=False),
        "a whole run as of the middle slot": lambda: tieout_reconcile.run(book.db, last // 2, keep=False),
        "headroom of one instrument": lambda: tieout_reconcile.headroom(book.db, "S7"),
    }
    for name, seconds in (await timed(works)).items():
        print(f"{name:<40} {seconds * 1000:9.0f} ms")
    await book.close()


async def main(events: int) -> None:
    """Measure each size in a database of its own."""
    assert base58.public_key(MINT)
    measure_matching()
    with running_server() as server, tempfile.TemporaryDirectory() as folder:
        template = await asyncio.to_thread(make_template, server)
        for size in sorted({max(events // 10, MINTS * (TREASURY_MINTS + CROSSINGS)), events}):
            async with fresh_database(server, template) as dsn:
                await measure(dsn, Path(folder), size)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--events", type=int, default=110_000)
    asyncio.run(main(parser.parse_args().events))
