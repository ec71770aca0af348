"""What reconciling a whole population costs: a thousand instruments, orders by the hundred thousand.

Printed: the matching core alone, named by memo and found by quantity; then over databases of 0.1, 1 and 10 times
a million events, of which one in ten has an order: coverage as of three slots by look-up and in a process that
knows nothing yet, a whole run on two cores, stored and not, its memory, one instrument's headroom, the ripcord's
looks, the breaks and the last run.
``--events N`` sets the largest size (10,000,000: some 13 GB, ten minutes).
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
from bench.machine import machine
from bench.population import Population, fill
from bench.reconciling import timed
from reconcile.builders import MINT, ONE, Book, address, at, memo
from support.database import fresh_database, make_template, running_server
from tieout_reconcile import AgeLimits
from tieout_reconcile.control import ControlLimits, Ripcord
from tieout_reconcile.crossings import Crossing, Kind
from tieout_reconcile.facts import Position
from tieout_reconcile.matching import match
from tieout_reconcile.orders import Order

AGES = AgeLimits(10**9, 10**9, 10**9)

ORDERS = (10_000, 100_000, 1_000_000)
MINTS = 1_000
EVENTS_PER_ORDER = 10
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


async def measure(dsn: str, folder: Path, population: Population) -> None:
    """Fill one database and print what its figures, a whole run and one instrument's headroom cost."""
    book = await Book.open(dsn, folder)
    started = time.perf_counter()
    last = await fill(book, population)
    filled = time.perf_counter() - started
    print(
        f"\n{population.events:,} events, {MINTS:,} instruments, {population.orders:,} orders, {filled:.0f} s to fill",
        flush=True,
    )

    async def run(*, keep: bool) -> None:
        done = await tieout_reconcile.run(dsn, last, keep=keep)
        assert done.clean, (done.verdict, done.findings[:3])
        assert sum(len(i.crossings) for i in done.instruments) == population.orders

    async def cover(slot: int) -> None:
        found = await tieout_reconcile.coverage(dsn, slot)
        assert not found.walked, found.walked[:3]

    async def look(ripcord: Ripcord) -> None:
        found = await ripcord.look(book.db)
        assert len(found.reasons) == MINTS

    works: dict[str, Callable[[], Awaitable[Any]]] = {
        "a whole run, stored": lambda: run(keep=True),
        "a whole run, not stored": lambda: run(keep=False),
    }
    for name, work in works.items():
        print(f"{name:<44} {(await timed({name: work}, 1))[name]:9.2f} s")
    looks: dict[str, Callable[[], Awaitable[Any]]] = {
        f"coverage of all instruments, slot {slot:,}": lambda slot=slot: cover(slot)  # type: ignore[misc]
        for slot in (2, last // 2, last)
    }
    looks |= {
        "headroom of one instrument": lambda: tieout_reconcile.headroom(dsn, "S7", ages=AGES),
        "the ripcord's first look": lambda: look(Ripcord(ControlLimits(ages=AGES))),
        "breaks list": lambda: tieout_reconcile.worked_breaks(dsn),
        "reconcile show": lambda: tieout_reconcile.latest_run(dsn, lines=False),
        "reconcile history": lambda: tieout_reconcile.run_history(dsn),
    }
    ripcord = Ripcord(ControlLimits(ages=AGES))
    await look(ripcord)
    looks["the ripcord's next look"] = lambda: look(ripcord)
    for name, seconds in (await timed(looks)).items():
        print(f"{name:<44} {seconds * 1000:9.0f} ms")
    own, theirs = (
        resource.getrusage(who).ru_maxrss // 1024 for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    print(f"{'memory at most so far, here and in a worker':<44} {own:,} and {theirs:,} MB", flush=True)
    await measure_breaks(dsn, folder, last, look)
    await book.close()


async def measure_breaks(dsn: str, folder: Path, last: int, look: Callable[[Ripcord], Awaitable[None]]) -> None:
    """Print what reading costs when every mint into the treasuries is a break: no order authorises any."""
    watched = folder / "watched.toml"
    text = (folder / "registry.toml").read_text("utf-8")
    watched.write_text(text.replace("decimals = 8", "decimals = 8\ninventory_authorised = true"), "utf-8")
    await tieout_reconcile.apply_registry(dsn, watched)
    broken = await tieout_reconcile.run(dsn, last)
    ripcord = Ripcord(ControlLimits(ages=AGES))
    looks: dict[str, Callable[[], Awaitable[Any]]] = {
        "breaks list": lambda: tieout_reconcile.worked_breaks(dsn),
        "breaks show": lambda: tieout_reconcile.worked_break(dsn, broken.breaks[0].key),
        "reconcile show": lambda: tieout_reconcile.latest_run(dsn, lines=False),
        "the ripcord's look": lambda: look(ripcord),
    }
    for name, seconds in (await timed(looks)).items():
        print(f"{f'{name}, {len(broken.breaks):,} breaks':<44} {seconds * 1000:9.0f} ms", flush=True)


async def main(events: int, *, only: bool) -> None:
    """Measure each size in a database of its own, the smallest first: memory only grows."""
    print(machine())
    with running_server() as server, tempfile.TemporaryDirectory() as folder:
        template = await asyncio.to_thread(make_template, server)
        for size in [events] if only else [events // 100, events // 10, events]:
            async with fresh_database(server, template) as dsn:
                await measure(dsn, Path(folder), Population(size, MINTS, size // MINTS // EVENTS_PER_ORDER))
    if not only:
        measure_matching()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--events", type=int, default=10_000_000)
    parser.add_argument("--only", action="store_true", help="this size alone")
    given = parser.parse_args()
    asyncio.run(main(given.events, only=given.only))
