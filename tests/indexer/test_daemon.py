"""The daemon beside its loop: mints added while it runs, audits at their interval, metrics, JSON logs."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest

from support.chains import free_ports
from support.command import start_tieout, tieout_here
from support.database import query, value
from support.replay import Answer, GoldenDay, ReplayNode, error
from tieout_database import connect, migrate
from tieout_indexer import IndexerLimits, follow
from tieout_rpc import RpcLimits

REACHED = "select coalesce(max(to_slot), 0) from ledger.coverage"


@asynccontextmanager
async def running(
    node: ReplayNode, dsn: str, mint: str, **environment: str
) -> AsyncIterator[asyncio.subprocess.Process]:
    """``index run`` from the day's beginning, ended by SIGTERM with 0."""
    process = await start_tieout(
        "index", "run", "--rpc-url", node.url, "--dsn", dsn, "--mint", mint, "--from-slot", "58", **environment
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
    await asyncio.wait_for(process.wait(), 30)
    assert process.returncode == 0, (await process.communicate())[1].decode()


async def until(dsn: str, sql: str, wanted: Any) -> None:
    async with asyncio.timeout(60):
        while await value(dsn, sql) != wanted:
            await asyncio.sleep(0.05)


async def test_a_mint_added_while_it_runs_is_read_up_and_the_others_do_not_wait(day: GoldenDay, dsn: str) -> None:
    apple, tesla = day.mints["AAPLx"], day.mints["TSLAx"]
    reached = "select coalesce(max(to_slot), 0) from ledger.coverage where mint = '{}'"
    async with ReplayNode(day.blocks()) as node:
        node.tip = 140
        async with running(node, dsn, apple, TIEOUT_WINDOW_SLOTS_MAX="4"):
            await until(dsn, reached.format(apple), 140)
            node.delay_s = 0.05
            added = await tieout_here(
                "index", "track", "--rpc-url", node.url, "--dsn", dsn, "--mint", tesla, "--from-slot", "58", "--json"
            )
            assert added.code == 0, added.err
            assert added.json["added"] == [{"mint": tesla, "from_slot": 58}]
            node.tip = 152
            await until(dsn, reached.format(apple), 152)
            behind = await value(dsn, reached.format(tesla))
            await until(dsn, reached.format(tesla), 152)
    assert behind < 152, "the mint that was there before did not wait for the new one"
    supplies = {r["mint"]: r["supply"] for r in await query(dsn, "select mint, supply from ledger.supply")}
    assert supplies[apple] == int(day.manifest["final_raw_supply"]["AAPLx"])
    assert supplies[tesla] == int(day.manifest["final_raw_supply"]["TSLAx"])
    again = await tieout_here("index", "track", "--rpc-url", node.url, "--dsn", dsn, "--mint", tesla)
    assert again.code == 3, "the node is gone"


@pytest.mark.parametrize(
    ("method", "code"),
    [("getSlot", -32005), ("getSlot", -32603), ("getSlot", 429), ("getBlocks", -32005), ("getBlocks", -32011)],
)
async def test_it_outlives_a_node_that_refuses_for_longer_than_one_call_is_tried(
    day: GoldenDay, dsn: str, method: str, code: int
) -> None:
    bad, apple, said = False, day.mints["AAPLx"], list[str]()
    stop, limits = asyncio.Event(), IndexerLimits(poll_interval_s=0.02, parked_retry_interval_s=0.05)
    async with ReplayNode(day.blocks()) as node:
        node.override = lambda asked, _: error(code, "no") if bad and asked == method else None
        node.tip = 100
        daemon = asyncio.create_task(
            follow(
                [node.url], dsn, [apple], stop, from_slot=58, limits=limits,
                rpc_limits=RpcLimits(give_up_after_s=1.0, backoff_initial_s=0.02),
                say=lambda text, **_: said.append(text),
            )
        )  # fmt: skip
        await until(dsn, REACHED, 100)
        bad, node.tip = True, 152
        async with asyncio.timeout(60):
            while not any("waiting" in text for text in said):
                assert not daemon.done(), daemon
                await asyncio.sleep(0.02)
        bad = False
        await until(dsn, REACHED, 152)
        stop.set()
        await daemon


async def test_what_a_node_has_pruned_is_asked_of_another_or_parked_and_never_waited_for(
    day: GoldenDay, dsn: str, empty_dsn: str
) -> None:
    whole, apple = day.blocks(), day.mints["AAPLx"]
    limits = IndexerLimits(poll_interval_s=0.02, parked_retry_interval_s=0.05, window_slots_max=16)
    connection = await connect(empty_dsn)
    await migrate(connection)
    await connection.close()
    async with ReplayNode({s: b for s, b in whole.items() if s >= 130}) as pruned, ReplayNode(whole) as archive:
        pruned.override = lambda method, params: (
            error(-32001, "cleaned up") if method == "getBlock" and params[0] < 130 else None
        )
        for urls, where, sql, wanted in (
            ([pruned.url, archive.url], dsn, REACHED, 152),
            ([pruned.url], empty_dsn, "select count(*) from ledger.parked", 1),
        ):
            stop = asyncio.Event()
            daemon = asyncio.create_task(follow(urls, where, [apple], stop, from_slot=58, limits=limits))
            await until(where, sql, wanted)
            stop.set()
            await daemon


async def test_what_is_new_is_shown_however_far_a_parked_slot_holds_the_ledger_back(day: GoldenDay, dsn: str) -> None:
    apple, stop = day.mints["AAPLx"], asyncio.Event()
    limits = IndexerLimits(poll_interval_s=0.02, parked_retry_interval_s=0.05, provisional_slots_max=40)
    async with ReplayNode(day.blocks()) as node:
        # finalized blocks alone: the same slot is readable as confirmed
        node.override = lambda method, params: (
            error(-32009, "gone") if method == "getBlock" and params[0] == 70
            and params[1]["commitment"] == "finalized" else None
        )  # fmt: skip
        daemon = asyncio.create_task(follow([node.url], dsn, [apple], stop, from_slot=58, limits=limits))
        newest = max(s for s, b in day.blocks().items() if s <= 152 and apple in json.dumps(b))
        await until(dsn, f"select count(*) > 0 from ledger.provisional_events where slot > {newest - 20}", True)
        node.override = lambda *_: None
        await until(dsn, REACHED, 152)
        twice = (
            "select count(*) from ledger.provisional_events p join ledger.events e using (slot, tx_index, step, child)"
        )
        assert await value(dsn, twice) == 0
        stop.set()
        await daemon


async def test_it_audits_at_its_interval_and_a_difference_opens_a_finding_that_agreement_closes(
    day: GoldenDay, dsn: str
) -> None:
    apple = day.mints["AAPLx"]
    truth = day.manifest["final_raw_supply"]["AAPLx"]
    told = str(int(truth) + 7)

    def supply(method: str, params: list[Any]) -> Answer | None:
        del params
        if method != "getTokenSupply":
            return None
        return {"result": {"context": {"slot": node._finalized_tip()}, "value": {"amount": told, "decimals": 8}}}

    async with ReplayNode(day.blocks()) as node:
        node.override = supply
        async with running(node, dsn, apple, TIEOUT_AUDIT_INTERVAL_S="0.3"):
            await until(dsn, "select count(*) from ledger.findings where closed_at is null", 1)
            rows = await query(dsn, "select audit, subject, expected, found, slot from ledger.findings")
            assert rows == [{"audit": "supply", "subject": apple, "expected": told, "found": truth, "slot": 152}]
            status = await tieout_here("index", "status", "--dsn", dsn, "--json")
            assert (status.code, len(status.json["findings"])) == (1, 1)
            told = truth
            await until(dsn, "select count(*) from ledger.findings where closed_at is null", 0)
    assert await value(dsn, "select closed_batch > opened_batch from ledger.findings")
    assert (await tieout_here("index", "status", "--dsn", dsn)).code == 0


async def test_it_serves_metrics_and_health_and_logs_json(day: GoldenDay, dsn: str) -> None:
    port, apple = free_ports(), day.mints["AAPLx"]
    async with ReplayNode(day.blocks()) as node, aiohttp.ClientSession() as client:
        async with running(node, dsn, apple, TIEOUT_METRICS_PORT=str(port), TIEOUT_LOG_FORMAT="json") as process:
            await until(dsn, "select coalesce(max(to_slot), 0) from ledger.coverage", 152)
            async with asyncio.timeout(20):
                text = ""
                while (
                    "tieout_rpc_requests_total" not in text
                    or f'tieout_indexed_slot{{mint="{apple}"}} 152.0' not in text
                ):
                    async with client.get(f"http://127.0.0.1:{port}/metrics") as answer:
                        text = await answer.text()
            async with client.get(f"http://127.0.0.1:{port}/healthz") as answer:
                assert answer.status == 200
                assert (await answer.json())["ok"] is True
        assert process.stderr is not None
        lines = [json.loads(line) for line in (await process.stderr.read()).decode().splitlines()]
    minted = await value(dsn, "select count(*) from ledger.events where kind = 'mint'")
    assert f'tieout_events_total{{kind="mint",mint="{apple}"}} {float(minted)}' in text
    for name in (
        "tieout_finalized_slot 152.0", f'tieout_index_lag_slots{{mint="{apple}"}} 0.0', "tieout_parked_slots 0.0",
        "tieout_db_write_batch_seconds_count", "tieout_build_info", 'standing="good"} 1.0',
    ):  # fmt: skip
        assert name in text, name
    events = [line["event"] for line in lines]
    assert events[0] == "following"
    assert events[-1] == "stopped"
    assert sum(line["events"] for line in lines if line["event"] == "committed") == await value(
        dsn, "select count(*) from ledger.events"
    )
    assert all({"timestamp", "level", "message"} <= line.keys() for line in lines)


async def test_status_shows_tip_lag_and_how_the_endpoints_do(day: GoldenDay, dsn: str) -> None:
    async with ReplayNode(day.blocks()) as node:
        async with running(node, dsn, day.mints["AAPLx"]):
            await until(dsn, "select coalesce(max(to_slot), 0) from ledger.coverage", 152)
            await until(dsn, "select count(*) from ledger.endpoints where finalized_slot = 152", 1)
        status = await tieout_here("index", "status", "--dsn", dsn, "--json")
    assert status.code == 0
    assert (status.json["tip"], status.json["tracked"][0]["lag_slots"]) == (152, 0)
    assert status.json["tracked"][0]["slots_per_s"] > 0
    endpoint = status.json["endpoints"][0]
    assert (endpoint["endpoint"], endpoint["standing"], endpoint["lag_slots"]) == (node.url, "good", 0)
    assert endpoint["requests"] > 90
