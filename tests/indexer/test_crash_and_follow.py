"""Killed anywhere, run twice at once, followed live: nothing lost, nothing twice."""

import asyncio
import random
import signal

import pytest

from indexer.test_block_subscribe import PushingNode
from support.command import start_tieout, tieout, tieout_here
from support.database import query, value
from support.ledger import ledger
from support.replay import GoldenDay, ReplayNode
from tieout_database import DatabaseUnreachable
from tieout_indexer import Fenced, Final, IndexerLimits, Position, Provisional, Withdrawn, backfill, events, follow
from tieout_indexer.rows import RowSet
from tieout_indexer.writer import LedgerWriter

SEED = 20261123
BATCHES = "select count(*) from ledger.batch_row"


def command(day: GoldenDay, node: ReplayNode, dsn: str) -> list[str]:
    mints = [part for mint in day.mints.values() for part in ("--mint", mint)]
    return [
        "index", "backfill", "--rpc-url", node.url, "--dsn", dsn, *mints,
        "--from-slot", str(day.first), "--to-slot", str(day.last),
    ]  # fmt: skip


async def test_killed_anywhere_and_started_again_the_tables_equal_an_undisturbed_runs(
    day: GoldenDay, dsn: str, empty_dsn: str
) -> None:
    dice = random.Random(SEED)
    assert (await tieout_here("db", "migrate", "--dsn", empty_dsn)).code == 0
    async with ReplayNode(day.blocks()) as node:
        assert (await tieout_here(*command(day, node, dsn), TIEOUT_WINDOW_SLOTS_MAX="3")).code == 0
        kills = 0
        node.delay_s = 0.02
        for _ in range(10):
            before = await value(empty_dsn, BATCHES)
            process = await start_tieout(*command(day, node, empty_dsn), TIEOUT_WINDOW_SLOTS_MAX="3")
            if dice.random() < 0.8:
                # in the midst of its work; the others before it began
                while process.returncode is None and await value(empty_dsn, BATCHES) == before:
                    await asyncio.sleep(0.01)
            try:
                await asyncio.wait_for(process.wait(), dice.uniform(0, 0.2))
                break
            except TimeoutError:
                process.send_signal(signal.SIGKILL)
                await process.wait()
                kills += 1
        assert (await tieout_here(*command(day, node, empty_dsn), TIEOUT_WINDOW_SLOTS_MAX="3")).code == 0
    assert kills >= 3
    assert await ledger(empty_dsn, batches=True) == await ledger(dsn, batches=True)
    for database in (dsn, empty_dsn):
        assert (await tieout_here("db", "verify", "--dsn", database)).code == 0


async def test_a_second_indexer_waits_for_the_first_and_then_says_who_holds_the_lock(day: GoldenDay, dsn: str) -> None:
    async with ReplayNode(day.blocks()) as node:
        node.tip = 100
        first = await start_tieout(*command(day, node, dsn))
        try:
            async with asyncio.timeout(20):
                while await value(dsn, "select epoch from ledger.writer") == 0:
                    await asyncio.sleep(0.05)
            second = await tieout(*command(day, node, dsn))
        finally:
            first.kill()
            await first.wait()
    assert second.code == 3
    assert "another indexer writes to this database" in second.err


async def test_a_writer_that_lost_its_epoch_commits_nothing(dsn: str) -> None:
    async with await LedgerWriter.open(dsn, IndexerLimits()) as writer:
        await query(dsn, "update ledger.writer set epoch = epoch + 1")
        rows = RowSet()
        rows["tracked_row"].append(("some mint", 0))
        with pytest.raises(Fenced):
            await writer.commit(rows)
    assert await query(dsn, "select * from ledger.tracked") == []
    assert await query(dsn, "select * from ledger.batches") == []


async def test_the_daemon_follows_the_chain_and_sigterm_ends_it_with_0(day: GoldenDay, dsn: str) -> None:
    async with ReplayNode(day.blocks()) as node:
        node.tip = 70
        process = await start_tieout(
            "index", "run", "--rpc-url", node.url, "--dsn", dsn, "--from-slot", str(day.first),
            *[part for mint in day.mints.values() for part in ("--mint", mint)],
        )  # fmt: skip
        for tip in (70, 71, 90, 130, 152):
            node.tip = tip
            async with asyncio.timeout(30):
                while await value(dsn, "select coalesce(min(to_slot), 0) from ledger.coverage") < tip:
                    await asyncio.sleep(0.05)
        process.terminate()
        _, err = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode == 0, err
    assert await value(dsn, "select count(*) from ledger.parked") == 0
    supplies = {r["mint"]: r["supply"] for r in await query(dsn, "select mint, supply from ledger.supply")}
    assert supplies[day.mints["AAPLx"]] == int(day.manifest["final_raw_supply"]["AAPLx"])


async def test_the_daemon_outlives_its_node_and_goes_on_when_it_answers_again(day: GoldenDay, dsn: str) -> None:
    async with ReplayNode(day.blocks()) as node:
        node.tip = 70
        process = await start_tieout(
            "index", "run", "--rpc-url", node.url, "--dsn", dsn, "--from-slot", "58", "--mint", day.mints["AAPLx"]
        )
        async with asyncio.timeout(60):
            while await value(dsn, "select coalesce(min(to_slot), 0) from ledger.coverage") < 70:
                await asyncio.sleep(0.05)
            node.override = lambda method, params: {"garbage": True}
            asked = node.requests.get("getSlot", 0)
            while node.requests.get("getSlot", 0) < asked + 3:
                await asyncio.sleep(0.05)
            node.tip = 152
            node.override = lambda method, params: None
            while await value(dsn, "select min(to_slot) from ledger.coverage") < 152:
                await asyncio.sleep(0.05)
        process.terminate()
        _, err = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode == 0, err


async def test_the_stream_gives_each_final_event_once_and_resumes_at_any_position(day: GoldenDay, dsn: str) -> None:
    async with ReplayNode(day.blocks()) as node:
        await backfill(
            [node.url], dsn, list(day.mints.values()), day.first, day.last, limits=IndexerLimits(window_slots_max=7)
        )
    total = await value(dsn, "select count(*) from ledger.events")
    seen: list[Final] = []
    after = Position(0, 0)
    while len(seen) < total:
        async with asyncio.timeout(20):
            taken = 0
            async for item in events(dsn, after=after):
                assert isinstance(item, Final)
                seen.append(item)
                after, taken = item.position, taken + 1
                if taken == 10 or len(seen) == total:
                    break
    assert len({item.position for item in seen}) == total
    keys = [(i.event.slot, i.event.tx_index, i.event.step, i.event.child) for i in seen]
    assert keys == sorted(set(keys))
    expected = await value(dsn, "select sum(amount) from ledger.events")
    assert sum(i.event.amount for i in seen) == expected


class Confirmed(PushingNode):
    """Confirmed up to its last block, finalized up to its tip."""

    def _getBlocks(self, start: int, end: int, *config: dict[str, str]) -> dict[str, object]:  # noqa: N802
        listed = sorted(self.blocks) if config and config[0].get("commitment") == "confirmed" else self._listed()
        return {"result": [s for s in listed if start <= s <= end]}

    def _getBlock(self, slot: int, *config: dict[str, str]) -> dict[str, object]:  # noqa: N802
        if config and config[0].get("commitment") == "confirmed" and slot in self.blocks:
            return {"result": self.blocks[slot]}
        return super()._getBlock(slot)


async def test_a_confirmed_event_is_told_when_a_node_says_so_and_waits_for_no_poll(day: GoldenDay, dsn: str) -> None:
    whole, stop = day.blocks(), asyncio.Event()
    async with Confirmed({s: b for s, b in whole.items() if s <= 68}, "slotsUpdatesSubscribe") as node:
        node.tip = 68
        limits = IndexerLimits(poll_interval_s=300.0)
        daemon = asyncio.create_task(follow([node.url], dsn, [day.mints["AAPLx"]], stop, from_slot=58, limits=limits))

        async def first() -> Provisional:
            async for item in events(dsn, provisional=True, poll_interval_s=300.0):
                if isinstance(item, Provisional):
                    return item
            raise AssertionError("a stream has no end")

        waiting = asyncio.create_task(first())
        await node.listened_to("slotsUpdatesSubscribe")
        async with asyncio.timeout(60):
            while await value(dsn, "select coalesce(max(to_slot), 0) from ledger.coverage") < 68:
                await asyncio.sleep(0.02)
            node.blocks |= {s: b for s, b in whole.items() if s <= 72}
            while not waiting.done():
                await node.tell("slotsUpdates", {"type": "optimisticConfirmation", "slot": 72, "timestamp": 1})
                await asyncio.sleep(0.05)
        stop.set()
        await daemon
    assert (await waiting).event.slot > 68


async def test_a_stream_whose_connection_ends_says_so(dsn: str) -> None:
    async def read() -> None:
        async for _ in events(dsn, poll_interval_s=0.05):
            pass

    reading = asyncio.create_task(read())
    others = "from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()"
    async with asyncio.timeout(30):
        while not reading.done():
            await query(dsn, f"select pg_terminate_backend(pid) {others}")
            await asyncio.sleep(0.05)
    with pytest.raises(DatabaseUnreachable, match="connection to the database was lost"):
        await reading


async def test_provisional_events_come_before_finality_and_are_withdrawn_when_they_are_final(
    day: GoldenDay, dsn: str
) -> None:
    blocks = {s: b for s, b in day.blocks().items() if s <= 72}
    async with Confirmed(blocks) as node:
        node.tip = 68
        process = await start_tieout(
            "index", "run", "--rpc-url", node.url, "--dsn", dsn, "--from-slot", "58", "--mint", day.mints["AAPLx"]
        )
        provisional = withdrawn = 0
        async with asyncio.timeout(40):
            async for item in events(dsn, provisional=True, poll_interval_s=0.05):
                provisional += isinstance(item, Provisional)
                withdrawn += isinstance(item, Withdrawn)
                if provisional and node.tip == 68:
                    assert await value(dsn, "select max(slot) from ledger.events") <= 68
                    assert await value(dsn, "select min(slot) from ledger.provisional_events") > 68
                    node.tip = 72
                if withdrawn and withdrawn == provisional:
                    break
        process.terminate()
        await process.wait()
    assert provisional >= 3
    assert await query(dsn, "select * from ledger.provisional_events") == []
    assert await value(dsn, "select count(*) from ledger.events where slot between 69 and 72") == provisional
