"""What following costs: the time from a root notification to COMMIT and from a confirmation to a reader of its rows,
what is kept of what was read and how long reading it takes, and memory over a hundred times the work.
"""

import asyncio
import json
import multiprocessing
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from solders.keypair import Keypair

from support.chains import running_chain
from support.database import fresh_database, make_template, running_server
from support.replay import ReplayNode
from tieout_client import Authorities, connect
from tieout_database import connect as connect_database
from tieout_indexer import IndexerLimits, SegmentOutcome, backfill, follow
from tieout_indexer.rows import RowSet
from tieout_indexer.writer import LedgerWriter
from tieout_rpc import subscribe, websocket_url

SHARE = 10**8
SLOT_MS = 200
MOVES = 200
SIZES = (50, 500, 5_000)
FOLLOWED = (1, 100, 1_000)
COMMITS = 1_000
COMMITS_LATER = 100_000


async def trade(url: str, started: Any) -> None:
    """Transfers one after another, in a process of its own; tells the mint first."""
    payer = Keypair()
    async with connect(url, payer, Authorities.of(payer)) as issuer:
        await issuer.airdrop(payer.pubkey(), 10**11)
        key = Keypair()
        await issuer.create_instrument("AAPLx", "Apple", "https://x.example", mint=key)
        mint = str(key.pubkey())
        await issuer.open_account(mint, payer.pubkey())
        await issuer.mint_to_treasury(mint, 1_000 * SHARE, "PRE")
        holder = Keypair().pubkey()
        started.put(mint)
        for number in range(MOVES):
            await issuer.transfer(mint, number + 1, payer, holder)
        started.put("done")


def _trade(url: str, started: Any) -> None:
    asyncio.run(trade(url, started))


async def latency(dsn: str, url: str) -> tuple[list[float], list[float]]:
    """Milliseconds from this process's root notification of a slot to COMMIT of the segment that holds it, and from its
    confirmation to a reader's having the rows of it that are not final yet; each in ascending order.
    """
    told: Any = multiprocessing.Queue()
    trader = multiprocessing.Process(target=_trade, args=(url, told), daemon=True)
    trader.start()
    mint = await asyncio.to_thread(told.get)
    rooted: dict[int, float] = {}
    taken: list[float] = []
    shown: list[float] = []
    stop = asyncio.Event()

    async def listen() -> None:
        async for root in subscribe(websocket_url(url), "rootSubscribe"):
            if root is not None:
                rooted.setdefault(root, time.perf_counter())

    def committed(outcome: SegmentOutcome) -> None:
        now = time.perf_counter()
        for slot in range(outcome.segment.from_slot, (outcome.proven_to or -1) + 1):
            if slot in rooted:
                taken.append((now - rooted[slot]) * 1000)

    async def end() -> None:
        await asyncio.to_thread(told.get)
        stop.set()

    besides = [asyncio.create_task(work) for work in (listen(), _read_confirmed(dsn, url, shown))]
    ender = asyncio.create_task(end())
    await asyncio.sleep(1)
    await follow([url], dsn, [mint], stop, progress=committed, limits=IndexerLimits())
    for task in besides:
        task.cancel()
    await ender
    trader.join()
    return sorted(taken[5:]), sorted(shown[5:])


async def _read_confirmed(dsn: str, url: str, taken: list[float]) -> None:
    """Read the rows that are not final when told of some, and note how long after its confirmation a slot's came."""
    confirmed: dict[int, float] = {}

    async def listen() -> None:
        async for update in subscribe(websocket_url(url), "slotsUpdatesSubscribe"):
            if update is not None and update["type"] == "optimisticConfirmation":
                confirmed.setdefault(update["slot"], time.perf_counter())

    listener, wake, seen = asyncio.create_task(listen()), asyncio.Event(), set[int]()
    connection = await connect_database(dsn)
    await connection.add_listener("tieout_provisional", lambda *_: wake.set())
    try:
        while True:
            await wake.wait()
            wake.clear()
            rows = await connection.fetch("select distinct slot from ledger.provisional_events")
            now, new = time.perf_counter(), {row["slot"] for row in rows} - seen
            seen |= new
            taken += [(now - confirmed[slot]) * 1000 for slot in new if slot in confirmed]
    finally:
        listener.cancel()
        await connection.close()


def _tell(what: str, ordered: list[float], report: Any, budget: str | None) -> None:
    """The middle, the 99th percentile and the worst, of how many."""
    print(f"{what}: {len(ordered)} slots, the slowest {ordered[-1]:.1f} ms")
    report(f"{what}, p50", statistics.median(ordered), "ms", None)
    report(f"{what}, p99", ordered[int(len(ordered) * 0.99) - 1], "ms", budget)


def block(slot: int, transactions: list[Any]) -> Any:
    """A linked block of the given transactions."""
    return {
        "blockhash": f"hash{slot}", "previousBlockhash": f"hash{max(slot - 1, 0)}", "parentSlot": max(slot - 1, 0),
        "blockTime": 1_700_000_000 + slot, "transactions": transactions,
    }  # fmt: skip


class Endless(ReplayNode):
    """A chain of any length, made as it is asked for: each block moves tokens to an account of its own."""

    def __init__(self, count: int, transactions: list[Any]) -> None:
        super().__init__(dict.fromkeys(range(count)))
        self._text = json.dumps(transactions)
        self._addresses = sorted(
            {
                t["transaction"]["message"]["accountKeys"][row["accountIndex"]]
                for t in transactions
                for row in t["meta"]["postTokenBalances"] + t["meta"]["preTokenBalances"]
                if row["accountIndex"] < len(t["transaction"]["message"]["accountKeys"])
            }
        )

    def _getBlock(self, slot: int, *_: Any) -> dict[str, Any]:  # noqa: N802
        text = self._text
        letters = "123456789ABCDEFGHJKLMNPQRSTUVWXYZ"
        suffix = "".join(letters[slot // 33**power % 33] for power in range(3))
        for address in self._addresses:
            text = text.replace(address, address[:-3] + suffix)
        return {"result": block(slot, json.loads(text))}


def _serve(count: int, transactions: list[Any], port: Any) -> None:
    async def forever() -> None:
        async with Endless(count, transactions) as node:
            port.put(node.url)
            await asyncio.Event().wait()

    asyncio.run(forever())


def _index(url: str, dsn: str, mints: list[str], count: int, answer: Any) -> None:
    done = asyncio.run(backfill([url], dsn, mints, 0, count - 1))
    # Not getrusage: its maximum is inherited from whoever started this process.
    status = Path("/proc/self/status").read_text("ascii")
    peak_kb = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))
    answer.put((done.events, peak_kb / 1024))


def memory(dsn: str, count: int, transactions: list[Any], mints: list[str]) -> dict[str, float]:
    """Peak resident memory, MB, of a process that backfills ``count`` blocks."""
    context = multiprocessing.get_context("spawn")
    port, answer = context.Queue(), context.Queue()
    node = context.Process(target=_serve, args=(count, transactions, port), daemon=True)
    node.start()
    url = port.get()
    started = time.perf_counter()
    worker = context.Process(target=_index, args=(url, dsn, mints, count, answer))
    worker.start()
    events, peak = answer.get()
    worker.join()
    node.kill()
    return {"blocks": count, "events": events, "peak_mb": peak, "seconds": time.perf_counter() - started}


async def covering(dsn: str, count: int, report: Any) -> None:
    """What commits of nothing but progress cost with so many mints, and how long their coverage takes to read."""
    mints = frozenset(f"mint{number:040}" for number in range(count))
    connection = await connect_database(dsn)
    size = """select sum(pg_total_relation_size(oid))::float8 from pg_class
        where relname in ('cohort_row', 'cohort_coverage_row', 'coverage_mark_row')"""
    async with await LedgerWriter.open(dsn, IndexerLimits()) as writer:
        empty, started = await connection.fetchval(size), time.perf_counter()
        for slot in range(COMMITS):
            rows = RowSet()
            rows.covered.append((mints, slot, slot))
            await writer.commit(rows)
        rate = COMMITS / (time.perf_counter() - started)
        kept = (await connection.fetchval(size) - empty) / COMMITS
        # As the writer would have gone on, with its marks.
        for batch in range(COMMITS // 256 * 256, COMMITS_LATER, 256):
            await connection.execute(
                """insert into ledger.cohort_coverage_row select 1, n, n, n from generate_series($1::int, $2::int) n
                on conflict do nothing""",
                batch + 1, min(batch + 256, COMMITS_LATER),
            )  # fmt: skip
            await connection.execute("select ledger.mark_coverage($1)", batch + 256)
        taken = []
        for _ in range(5):
            started = time.perf_counter()
            shown = await connection.fetch("select * from ledger.coverage")
            taken.append((time.perf_counter() - started) * 1000)
            assert len(shown) == count
    await connection.close()
    report(f"{count:,} mints: commits of progress", rate, "/s", None)
    report(f"{count:,} mints: kept of a commit's progress", kept, "bytes", None)
    report(f"{count:,} mints: all coverage read after {COMMITS_LATER:,} commits", statistics.median(taken), "ms", None)


def sample(result: dict[str, Any]) -> tuple[list[Any], list[str]]:
    """A few transactions of the mainnet block that move one mint between plain accounts, and that mint."""
    wanted: list[Any] = []
    mints: set[str] = set()
    for transaction in result["transactions"]:
        meta = transaction["meta"]
        rows = meta["preTokenBalances"] + meta["postTokenBalances"]
        keys = len(transaction["transaction"]["message"]["accountKeys"])
        plain = rows and meta["err"] is None and all(row["accountIndex"] < keys for row in rows)
        native = any(row["mint"].startswith("So1111") for row in rows)
        if plain and not native and len(wanted) < 10:
            wanted.append(transaction)
            mints |= {row["mint"] for row in rows}
    return wanted, sorted(mints)


async def run(result: dict[str, Any], report: Any) -> None:
    """Measure all three; ``report(name, value, unit, budget)`` takes each figure."""
    with running_server() as server, tempfile.TemporaryDirectory() as folder:
        template = await asyncio.to_thread(make_template, server)
        with running_chain("embedded", Path(folder), "--slot-ms", str(SLOT_MS)) as url:
            async with fresh_database(server, template) as dsn:
                final, confirmed = await latency(dsn, url)
        print(f"\nfollowing a local chain of {SLOT_MS} ms slots, a transfer a time")
        _tell("root notification to COMMIT", final, report, "at most 50")
        _tell("confirmation to a reader of its rows", confirmed, report, None)
        print(f"\ncommits of one slot's progress each, the first {COMMITS:,} of a ledger; its coverage when it is long")
        for count in FOLLOWED:
            async with fresh_database(server, template) as dsn:
                await covering(dsn, count, report)
        transactions, mints = sample(result)
        print(
            f"\npeak resident memory of a backfill, {len(transactions)} token transactions a block, {len(mints)} mints"
        )
        for count in SIZES:
            async with fresh_database(server, template) as dsn:
                used = await asyncio.to_thread(memory, dsn, count, transactions, mints)
            name = f"{count} blocks, {used['events']:,} events, {count / used['seconds']:.0f} blocks/s"
            report(name, used["peak_mb"], "MB", "at most 200")
