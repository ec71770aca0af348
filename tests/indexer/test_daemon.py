"""The daemon beside its loop: mints added while it runs, audits at their interval, metrics, JSON logs."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

from support.chains import free_ports
from support.command import start_tieout, tieout
from support.database import query, value
from support.replay import Answer, GoldenDay, ReplayNode


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
            added = await tieout(
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
    again = await tieout("index", "track", "--rpc-url", node.url, "--dsn", dsn, "--mint", tesla)
    assert again.code == 3, "the node is gone"


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
            status = await tieout("index", "status", "--dsn", dsn, "--json")
            assert (status.code, len(status.json["findings"])) == (1, 1)
            told = truth
            await until(dsn, "select count(*) from ledger.findings where closed_at is null", 0)
    assert await value(dsn, "select closed_batch > opened_batch from ledger.findings")
    assert (await tieout("index", "status", "--dsn", dsn)).code == 0


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
        status = await tieout("index", "status", "--dsn", dsn, "--json")
    assert status.code == 0
    assert (status.json["tip"], status.json["tracked"][0]["lag_slots"]) == (152, 0)
    assert status.json["tracked"][0]["slots_per_s"] > 0
    endpoint = status.json["endpoints"][0]
    assert (endpoint["endpoint"], endpoint["standing"], endpoint["lag_slots"]) == (node.url, "good", 0)
    assert endpoint["requests"] > 90
