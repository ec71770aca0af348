"""A lagging, pruned, lying, rate-limiting or silent node is recognised, asked after the others, and shown."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

from indexer.test_quorum import another_chain_from
from rpc.nodes import Call, closed_port
from rpc.nodes import node as scripted
from support.command import tieout_here
from support.database import query, value
from support.replay import Answer, GoldenDay, ReplayNode, error
from tieout_indexer import IndexerLimits, follow
from tieout_rpc import Endpoint, RpcClient, RpcLimits, Standing

LIMITS = IndexerLimits(poll_interval_s=0.05, lag_slots_max=20, endpoint_report_interval_s=0.1, quorum_every_slots=1)
FIRST_KEPT = 120


@asynccontextmanager
async def lagging(day: GoldenDay) -> AsyncIterator[str]:
    async with ReplayNode(day.blocks()) as node:
        node.tip = day.last - 30
        yield node.url


@asynccontextmanager
async def pruned(day: GoldenDay) -> AsyncIterator[str]:
    """It has the end of the day only, and says so of every block before."""

    def refuse(method: str, params: list[Any]) -> Answer | None:
        if method == "getFirstAvailableBlock":
            return {"result": FIRST_KEPT}
        if method == "getBlock" and params[0] < FIRST_KEPT:
            return error(-32001, f"Block {params[0]} cleaned up, does not exist on node. First available block: 120")
        return None

    async with ReplayNode(day.blocks()) as node:
        node.override = refuse
        yield node.url


@asynccontextmanager
async def lying(day: GoldenDay) -> AsyncIterator[str]:
    async with ReplayNode(another_chain_from(day, 100)) as node:
        yield node.url


@asynccontextmanager
async def rate_limiting(day: GoldenDay) -> AsyncIterator[str]:
    """As a proxy does: HTTP 429 to three of four, now and then a real answer."""
    async with ReplayNode(day.blocks()) as honest:
        count = 0

        async def reply(call: Call) -> web.StreamResponse:
            nonlocal count
            count += 1
            if count % 4:
                return web.Response(status=429, headers={"Retry-After": "0"})
            answer = honest.answer(call["method"], call.get("params", []))
            return web.json_response({"jsonrpc": "2.0", "id": call["id"], **answer})

        async with scripted(reply) as node:
            yield node.url


@asynccontextmanager
async def limiting_by_code(day: GoldenDay) -> AsyncIterator[str]:
    """As some providers do: HTTP 200 with a JSON-RPC error of their own number."""
    async with ReplayNode(day.blocks()) as node:
        node.override = lambda method, params: error(-32429, "too many requests")
        yield node.url


@asynccontextmanager
async def silent(day: GoldenDay) -> AsyncIterator[str]:
    del day
    async with closed_port() as url:
        yield url


MISBEHAVIOURS: dict[str, tuple[Callable[[GoldenDay], Any], str]] = {
    "lagging": (lagging, "lagging"),
    "pruned": (pruned, "pruned"),
    "lying": (lying, "lying"),
    "HTTP 429": (rate_limiting, "rate_limited"),
    "-32429": (limiting_by_code, "rate_limited"),
    "silent": (silent, "silent"),
}


async def standing_of(dsn: str) -> dict[str, str]:
    return {r["endpoint"]: r["standing"] for r in await query(dsn, "select endpoint, standing from ledger.endpoints")}


@pytest.mark.parametrize("how", MISBEHAVIOURS)
async def test_a_misbehaving_node_is_told_by_its_standing_and_costs_nothing_but_time(
    day: GoldenDay, dsn: str, how: str
) -> None:
    misbehave, expected = MISBEHAVIOURS[how]
    stop = asyncio.Event()
    async with misbehave(day) as bad, ReplayNode(day.blocks()) as one, ReplayNode(day.blocks()) as two:
        # it is named first: without a standing it would be asked first for ever
        daemon = asyncio.create_task(
            follow(
                [bad, one.url, two.url], dsn, [day.mints["AAPLx"]], stop, from_slot=day.first, limits=LIMITS,
                rpc_limits=RpcLimits(give_up_after_s=2.0, backoff_initial_s=0.01, lag_slots_max=LIMITS.lag_slots_max),
            )
        )  # fmt: skip
        try:
            async with asyncio.timeout(60):
                while (
                    await value(dsn, "select coalesce(max(to_slot), 0) from ledger.coverage") < day.last
                    or (await standing_of(dsn)).get(bad) != expected
                ):
                    assert not daemon.done(), daemon.exception()
                    await asyncio.sleep(0.05)
            told = await standing_of(dsn)
        finally:
            stop.set()
            await asyncio.wait_for(daemon, 60)
        assert told == {bad: expected, one.url: "good", two.url: "good"}
        status = await tieout_here("index", "status", "--dsn", dsn, "--json")
        shown = {e["endpoint"]: e for e in status.json["endpoints"]}
        text = (await tieout_here("index", "status", "--dsn", dsn, COLUMNS="200")).out
    assert shown[bad]["standing"] == expected
    evidence = {
        "lagging": shown[bad]["lag_slots"] == 30 and shown[bad]["finalized_slot"] == day.last - 30,
        "pruned": shown[bad]["first_slot"] == FIRST_KEPT,
        "lying": shown[bad]["disagreements"] > 0,
        "rate_limited": shown[bad]["rate_limited"] > 0,
        "silent": shown[bad]["failures"] >= 3 and shown[bad]["finalized_slot"] is None,
    }
    assert evidence[expected], json.dumps(shown[bad])
    assert expected in text
    supply = await value(dsn, "select supply from ledger.supply")
    assert supply == int(day.manifest["final_raw_supply"]["AAPLx"])
    assert await value(dsn, "select count(*) from ledger.park_row") == 0, "the others had every block"


async def test_the_standing_orders_who_is_asked_and_recovers_when_the_node_does(day: GoldenDay) -> None:
    async with ReplayNode(day.blocks()) as slow, ReplayNode(day.blocks()) as good:
        slow.tip = day.last - 30
        limits = RpcLimits(give_up_after_s=2.0, lag_slots_max=20)
        async with RpcClient([slow.url, good.url], limits) as rpc:
            await rpc.probe()
            assert [e.standing for e in rpc.endpoints] == [Standing.LAGGING, Standing.GOOD]
            asked = slow.requests.copy()
            assert await rpc.call("getSlot", [{"commitment": "finalized"}], int) == day.last
            assert slow.requests == asked, "the one that lags was not asked"
            slow.tip = day.last
            await rpc.probe()
            assert [e.standing for e in rpc.endpoints] == [Standing.GOOD, Standing.GOOD]
            await rpc.call("getSlot", [{"commitment": "finalized"}], int)
            assert slow.requests["getSlot"] == asked["getSlot"] + 2, "probed, and asked first again"


async def test_a_node_that_only_ever_asks_for_patience_limits_and_is_not_silent() -> None:
    async def reply(call: Call) -> web.StreamResponse:
        return web.Response(status=429, headers={"Retry-After": "0"})

    async with scripted(reply) as node, RpcClient([node.url]) as rpc:
        for _ in range(4):
            await rpc.probe()
        (endpoint,) = rpc.endpoints
        assert (endpoint.failures_in_a_row, endpoint.rate_limited, told(endpoint)) == (8, 8, "rate_limited")


def told(endpoint: Endpoint) -> str:
    return endpoint.standing.value


def test_of_several_the_worst_standing_is_told_and_a_liar_ranks_last_of_all() -> None:
    endpoint, other = Endpoint("http://a.example"), Endpoint("http://b.example")
    endpoint.refused_history()
    assert told(endpoint) == "pruned"
    endpoint.lagging = True
    assert told(endpoint) == "lagging"
    endpoint.throttled()
    assert told(endpoint) == "rate_limited"
    for _ in range(3):
        assert told(endpoint) == "rate_limited"
        endpoint.failed()
    assert told(endpoint) == "silent"
    endpoint.outvoted()
    assert told(endpoint) == "lying"
    for _ in range(9):
        other.failed()
    other.lagging = True
    assert sorted([endpoint, other], key=lambda e: e.rank) == [other, endpoint]
    endpoint.succeeded(0.01)
    assert told(endpoint) == "lying", "a good answer does not make up for a lie"
    other.lagging = False
    other.succeeded(0.01)
    assert told(other) == "good"
