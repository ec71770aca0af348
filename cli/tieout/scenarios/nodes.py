"""Stories of nodes and processes that fail: the ledger ends as the chain is."""

import asyncio
import os
from collections import Counter
from collections.abc import Callable
from typing import Any

from tieout.scenarios.liar import repeater
from tieout.scenarios.stage import ONE, SYMBOL, Stage, Stuck, command, killed
from tieout.scenarios.telling import Fact, Moment, Scenario, Telling, told
from tieout.stack import copied, indexer

_WAIT_S = 20.0
_VIEWS = (
    "events", "controls", "balances", "supply", "multipliers", "tracked", "coverage", "slots", "proofs", "quarantine",
    "touches",
)  # fmt: skip


async def _until(what: str, holds: Callable[[], Any]) -> None:
    """Wait for something; raises Stuck with its name where it does not come."""
    try:
        async with asyncio.timeout(_WAIT_S):
            while not await holds():  # noqa: ASYNC110  neither node nor database has such an event
                await asyncio.sleep(0.02)
    except TimeoutError:
        raise Stuck(f"this did not happen within {_WAIT_S:.0f} s: {what}") from None


async def _issued_by_hand(stage: Stage, request: str, shares: int, to: str) -> Any:
    """Release tokens while slots are made by hand, as many as it takes: few, so that none of them is final yet."""
    stage.ask(request, shares, to, await stage.now())
    asked = asyncio.create_task(stage.issuer.issue(stage.mint, shares * ONE, stage.owner(to), request))
    while not asked.done():
        await asyncio.sleep(0.1)
        await stage.rpc("localnet_advance", {"slots": 1})
    return await asked


async def _forked_chain(stage: Stage) -> None:
    await stage.list_instrument(1_000)
    await stage.final()
    log = stage.folder / "indexer.log"
    async with indexer(stage.url, stage.dsn, [stage.mint], log, stage.from_slot):
        await _until("the indexer follows", lambda: stage.query("select 1 from ledger.coverage"))
        await stage.tell("an indexer follows the chain")
        await stage.rpc("localnet_pause")
        lost = await _issued_by_hand(stage, "REQ-1", 100, "participant")
        await stage.tell("REQ-1: 100 tokens are released; a node says that it is confirmed")

        async def shown() -> bool:
            sql = "select 1 from ledger.provisional_events where signature = $1"
            return bool(await stage.query(sql, lost.signature))

        async def hidden() -> bool:
            return not await shown()

        await _until("the release stands in the provisional rows", shown)
        stage.fact("the release was shown as provisional", await shown())
        tip: int = await stage.rpc("getSlot", {"commitment": "confirmed"})
        fork = {"depth": tip - lost.slot + 1, "when": "now", "rollback": True, "transactions": "lost"}
        await stage.rpc("localnet_fork", fork)
        await stage.rpc("localnet_advance", {"slots": 2})
        await stage.tell("the chain forks behind it: what was confirmed has never been")
        await stage.rpc("localnet_resume")
        await _until("the release is withdrawn", hidden)
        stage.fact("and withdrawn", not await shown())
        await stage.release("REQ-1", 100, "participant")
        stage.slot = await stage.final()
        proven = "select 1 from ledger.coverage where to_slot >= $1"
        await _until("the indexer reaches the close", lambda: stage.query(proven, stage.slot))
    await stage.closed()
    await stage.desk()
    await stage.statement(100)
    await stage.reconcile("the close")
    events = "select signature from ledger.events where kind = 'transfer' and mint = $1"
    final = [row["signature"] for row in await stage.query(events, stage.mint)]
    stage.fact("releases in the final ledger", len(final))
    stage.fact("of them lost by the fork", final.count(lost.signature))


FORKED_CHAIN = Scenario(
    "forked-chain",
    "A confirmed release is lost by a fork: it was provisional, is withdrawn, and the final ledger never had it",
    "exchange, issuer",
    "confirmed is not final, and there are indexers that store confirmed blocks and know no way back (photon)",
    Telling(
        (Moment("the close", "ties_out"),),
        (
            Fact("the release was shown as provisional", True),
            Fact("and withdrawn", True),
            Fact("releases in the final ledger", 1),
            Fact("of them lost by the fork", 0),
        ),
    ),
    _forked_chain,
)


async def _unlike_the_chain(stage: Stage) -> int:
    """How many blocks of the ledger are not the chain's own, or the other way round."""
    span = {"from": stage.from_slot, "to": stage.slot}
    blocks = (await stage.rpc("localnet_canonical", span))["blocks"]
    truth = {(b["slot"], b["blockhash"]) for b in blocks if stage.from_slot <= b["slot"] <= stage.slot}
    sql = "select slot, blockhash from ledger.slots where slot between $1 and $2"
    ours = {(r["slot"], r["blockhash"]) for r in await stage.query(sql, stage.from_slot, stage.slot)}
    return len(truth ^ ours)


async def _lying_node(stage: Stage) -> None:
    from tieout_indexer import IndexerLimits, backfill

    await stage.list_instrument(1_000)
    await stage.release("REQ-1", 100, "participant")
    await stage.pay(30, "participant", "alice")
    stage.slot = await stage.final()
    async with repeater(stage.url, stage.from_slot + 2) as (liar, who), repeater(stage.url) as (second, _):
        await stage.tell("three endpoints: the first one halves every balance, and its blocks do not link")
        limits = IndexerLimits(quorum_every_slots=8)
        urls = [liar, stage.url, second]
        done = await backfill(urls, stage.dsn, [stage.mint], stage.from_slot, stage.slot, limits=limits)
        stage.fact("it lied to the indexer", who.lies > 0)
    stage.fact("all slots are proven", done.complete)
    await stage.closed()
    named = await stage.query("select subject from ledger.findings where audit = 'quorum' and closed_at is null")
    stage.fact("who is named as out-voted", "the liar" if [r["subject"] for r in named] == [liar] else str(named))
    stage.fact("blocks unlike the chain's", await _unlike_the_chain(stage))
    await stage.desk()
    await stage.statement(100)
    result = (await stage.reconcile("the close")).instruments[0]
    stage.fact("shares owed and held", f"{result.liability} and {result.custody}")


LYING_NODE = Scenario(
    "lying-node",
    "One of three endpoints lies: it is out-voted and named, nothing of it is stored, and nobody calls that day good",
    "whoever runs an indexer",
    "nodes err in good faith too: an old bug (15760) left token balances of inner instructions out of blocks",
    Telling(
        (Moment("the close", "incomplete", (told("A7", None, SYMBOL),)),),
        (
            Fact("it lied to the indexer", True),
            Fact("all slots are proven", True),
            Fact("who is named as out-voted", "the liar"),
            Fact("blocks unlike the chain's", 0),
            Fact("shares owed and held", "100 and 100"),
        ),
    ),
    _lying_node,
)


async def _missed_slots(stage: Stage) -> None:
    await stage.list_instrument(1_000)
    await stage.release("REQ-1", 100, "participant")
    await stage.rpc("localnet_pause")
    first: int = (await stage.rpc("localnet_info"))["slots"]["processed"]
    await stage.rpc("localnet_skip", {"slots": 5})
    await stage.rpc("localnet_resume")
    await stage.tell("a leader misses its turn: five slots in a row have no block")
    await stage.pay(40, "participant", "alice")
    await stage.close()
    missed = (first, first + 4)
    stored = await stage.query("select slot from ledger.slots where slot between $1 and $2", *missed)
    stage.fact("blocks stored in the missed slots", len(stored))
    coverage = await stage.query("select from_slot, to_slot from ledger.coverage where mint = $1", stage.mint)
    across = [c for c in coverage if c["from_slot"] < missed[0] and missed[1] < c["to_slot"]]
    stage.fact("ranges proven", len(coverage))
    stage.fact("of them across the missed slots", len(across))
    sql = "select parent_slot from ledger.slots where slot > $1 order by slot limit 1"
    stage.fact("the next block's parent lies before them", await _parent(stage, sql, missed) < first)
    stage.fact("blocks unlike the chain's", await _unlike_the_chain(stage))
    await stage.desk()
    await stage.statement(100)
    await stage.reconcile("the close")


async def _parent(stage: Stage, sql: str, missed: tuple[int, int]) -> int:
    return int((await stage.query(sql, missed[1]))[0]["parent_slot"])


MISSED_SLOTS = Scenario(
    "missed-slots",
    "Five slots without a block are skipped because the next block links across them, not because a node says so",
    "whoever runs an indexer, auditor",
    "no error code proves a skip: Wormhole was told -32004 of a finalized block that came up to a minute later",
    Telling(
        (Moment("the close", "ties_out"),),
        (
            Fact("blocks stored in the missed slots", 0),
            Fact("ranges proven", 1),
            Fact("of them across the missed slots", 1),
            Fact("the next block's parent lies before them", True),
            Fact("blocks unlike the chain's", 0),
        ),
    ),
    _missed_slots,
)


async def _crashed_indexer(stage: Stage) -> None:
    from tieout_indexer import backfill

    await stage.list_instrument(1_000)
    await stage.release("REQ-1", 100, "participant")
    await stage.rpc("localnet_advance", {"slots": 500})
    for number in range(4):
        await stage.pay(1 + number, "participant", "alice")
    stage.slot = await stage.final()
    for _ in range(2):
        await _killed_midway(stage)
    await stage.close()
    other = await copied(stage.dsn, f"{SYMBOL}-uninterrupted")
    done = await backfill([stage.url], other, [stage.mint], stage.from_slot, stage.slot)
    stage.fact("an indexer that nobody killed proved all of it", done.complete)
    stage.fact("rows that differ between the two", await _rows_unlike(stage, other))
    await stage.desk()
    await stage.statement(100)
    await stage.reconcile("the close")


async def _killed_midway(stage: Stage) -> None:
    """Start a backfill with small commits, and kill it once it has gone further and is not done."""
    sql = "select coalesce(max(to_slot), 0) as slot from ledger.coverage"
    before: int = (await stage.query(sql))[0]["slot"]
    arguments = (
        "index", "backfill", "--rpc-url", stage.url, "--mint", stage.mint, "--from-slot", str(stage.from_slot),
        "--to-slot", str(stage.slot),
    )  # fmt: skip
    small = {"TIEOUT_WINDOW_SLOTS_MAX": "4", "TIEOUT_DSN": stage.dsn}
    process = await command(*arguments, log=stage.folder / "indexer.log", environment={**os.environ, **small})
    try:
        await _until("the indexer commits", lambda: _further(stage, sql, before))
    finally:
        await killed(process)
    reached: int = (await stage.query(sql))[0]["slot"]
    await stage.tell("the indexer is killed (SIGKILL)")
    stage.fact("killed midway", before < reached < stage.slot)


async def _further(stage: Stage, sql: str, before: int) -> bool:
    return bool((await stage.query(sql))[0]["slot"] > before)


async def _rows_unlike(stage: Stage, other: str) -> int:
    """Rows of the ledger's views that only one of two databases has; who wrote them when does not count."""
    unlike = 0
    for view in _VIEWS:
        first, second = await _rows(stage, view, stage.dsn), await _rows(stage, view, other)
        unlike += (first - second).total() + (second - first).total()
    return unlike


async def _rows(stage: Stage, view: str, dsn: str) -> Counter[str]:
    found = await stage.query(f"select * from ledger.{view}", dsn=dsn)
    return Counter(repr({name: value for name, value in row.items() if name != "batch"}) for row in found)


CRASHED_INDEXER = Scenario(
    "crashed-indexer",
    "An indexer killed twice at its work ends with the same rows as one that was left alone",
    "whoever runs an indexer",
    "solana-private-channels, 145: the highest slot was taken for its progress, and a hole stayed for good",
    Telling(
        (Moment("the close", "ties_out"),),
        (
            Fact("killed midway", True),
            Fact("killed midway", True),
            Fact("an indexer that nobody killed proved all of it", True),
            Fact("rows that differ between the two", 0),
        ),
    ),
    _crashed_indexer,
)
