"""Whom the indexer listens to: the first endpoint that does well, the next one when it does not, and back again."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from indexer.test_block_subscribe import FIRST, PushingNode, until
from support.database import value
from support.replay import GoldenDay
from tieout_indexer import IndexerLimits, follow
from tieout_indexer.listening import Rest, _Sitting, best
from tieout_rpc import Endpoint

# an endpoint that failed stays away for good, unless a test says otherwise
LIMITS = IndexerLimits(
    poll_interval_s=0.02, endpoint_report_interval_s=0.05, listen_rest_s=300, listen_rest_max_s=300, lag_slots_max=20,
    quorum_every_slots=0, wake_on_confirmations=False,
)  # fmt: skip


def endpoint(name: str, **known: Any) -> Endpoint:
    return Endpoint(f"http://{name}", **known)


NOW = 100.0
RESTING, RESTED = Rest(NOW + 1, 5), Rest(NOW - 1, 5)


@pytest.mark.parametrize(
    ("first", "second", "rests", "chosen"),
    [
        ({}, {}, {}, "a"),
        ({"disagreements": 1}, {}, {}, "b"),
        ({"silences_in_a_row": 3}, {}, {}, "b"),
        ({"lagging": True}, {}, {}, "b"),
        ({}, {}, {"http://a": RESTING}, "b"),
        ({}, {}, {"http://a": RESTED}, "a"),
        ({}, {}, {"http://a": RESTING, "http://b": RESTING}, "a"),
        ({"lagging": True}, {}, {"http://b": RESTING}, "a"),
        ({}, {"disagreements": 1}, {"http://a": RESTING}, "a"),
        ({"disagreements": 1}, {"disagreements": 1}, {}, "a"),
        ({"rate_limited": 9, "silences_in_a_row": 2}, {}, {}, "a"),
    ],
)
def test_the_first_that_does_well_is_chosen_else_the_least_bad(
    first: dict[str, Any], second: dict[str, Any], rests: dict[str, Rest], chosen: str
) -> None:
    assert best([endpoint("a", **first), endpoint("b", **second)], rests, NOW).name == f"http://{chosen}"


def test_what_is_held_against_a_sitting() -> None:
    fresh = _Sitting(None, 7, NOW)
    assert fresh.fault(None, 7, 20) is None
    assert fresh.fault(400_000_000, 7, 20) is None, "how far the chain is was learned just now"
    assert fresh.fault(400_000_020, 7, 20) is None
    assert fresh.fault(400_000_021, 7, 20) == "has told nothing of the last 21 slots"
    fresh.heard(400_000_021)
    fresh.heard(399_999_000)
    assert fresh.fault(400_000_021, 9, 20) is None
    assert fresh.fault(400_000_021, 10, 20) == "sent 3 blocks of no use"
    fresh.turned()
    assert fresh.fault(400_000_021, 7, 20) is None
    fresh.turned()
    assert fresh.fault(400_000_021, 7, 20) == "lost the connection"


@asynccontextmanager
async def following(
    dsn: str, day: GoldenDay, *nodes: PushingNode, limits: IndexerLimits = LIMITS
) -> AsyncIterator[list[str]]:
    """A daemon over all mints of the day that has read up to FIRST and listens; what it says, as it says it."""
    said: list[str] = []
    stop = asyncio.Event()
    urls, mints = [node.url for node in nodes], list(day.mints.values())
    for node in nodes:
        node.tip = FIRST
    daemon = asyncio.create_task(
        follow(urls, dsn, mints, stop, from_slot=day.first, limits=limits, say=lambda text, **_: said.append(text))
    )
    try:
        await until(dsn, FIRST)
        yield said
    finally:
        stop.set()
        await asyncio.wait_for(daemon, 30)


async def sends(node: PushingNode, day: GoldenDay, *others: PushingNode) -> None:
    """A node sends what is left of the day, block by block, and every node's chain goes on to there."""
    blocks = day.blocks()
    for each in (node, *others):
        each.asked.clear()
    for slot in sorted(s for s in blocks if s > FIRST):
        await node.push(slot, blocks[slot])
        await asyncio.sleep(0.03)
        for each in (node, *others):
            each.tip = slot


async def test_an_endpoint_that_does_not_offer_it_is_passed_over_for_one_that_does(day: GoldenDay, dsn: str) -> None:
    blocks = day.blocks()
    async with (
        PushingNode(blocks, "rootSubscribe") as a,
        PushingNode(blocks, "blockSubscribe") as b,
        following(dsn, day, a, b) as said,
    ):
        await b.listened_to("blockSubscribe")
        await sends(b, day, a)
        await until(dsn, day.last)
    assert (a.asked, b.asked) == ([], []), "each block came by itself"
    assert a.subscribed == ["blockSubscribe"], "it was asked once, and no lesser way was taken"
    assert f"{b.url} sends its finalized blocks" in said
    supply = await value(dsn, f"select supply from ledger.supply where mint = '{day.mints['AAPLx']}'")
    assert supply == int(day.manifest["final_raw_supply"]["AAPLx"])


async def test_when_the_connection_is_lost_the_next_one_sends_and_the_first_is_taken_back(
    day: GoldenDay, dsn: str
) -> None:
    limits = replace(LIMITS, listen_rest_s=0.5)
    blocks = day.blocks()
    async with (
        PushingNode(blocks, "blockSubscribe") as a,
        PushingNode(blocks, "blockSubscribe") as b,
        following(dsn, day, a, b, limits=limits) as said,
    ):
        await a.listened_to("blockSubscribe")
        assert b.subscribed == []
        await a.hang_up()
        await b.listened_to("blockSubscribe")
        assert f"{a.url} lost the connection: {b.url} is listened to" in said
        a.subscribed.clear()
        a.away = False
        await a.listened_to("blockSubscribe")
        assert f"{b.url} gives way: {a.url} is listened to" in said
        await sends(a, day, b)
        await until(dsn, day.last)
    assert (a.asked, b.asked) == ([], [])


async def test_an_endpoint_that_falls_silent_while_the_chain_goes_on_is_left(day: GoldenDay, dsn: str) -> None:
    blocks = day.blocks()
    async with (
        PushingNode(blocks, "blockSubscribe") as a,
        PushingNode(blocks, "blockSubscribe") as b,
        following(dsn, day, a, b) as said,
    ):
        await a.listened_to("blockSubscribe")
        a.tip = b.tip = FIRST + 30
        await b.listened_to("blockSubscribe")
        await until(dsn, FIRST + 30)
    assert any(line.startswith(f"{a.url} has told nothing of the last ") for line in said)


async def test_an_endpoint_whose_blocks_are_of_no_use_is_left(day: GoldenDay, dsn: str) -> None:
    blocks = day.blocks()
    async with (
        PushingNode(blocks, "blockSubscribe") as a,
        PushingNode(blocks, "blockSubscribe") as b,
        following(dsn, day, a, b) as said,
    ):
        await a.listened_to("blockSubscribe")
        for slot in sorted(s for s in blocks if s > FIRST)[:3]:
            unlinked = {**blocks[slot], "previousBlockhash": "4uhcVJyU9pJkvQyUS88uRDiswHXSCKY3zQawwpdk2NsY"}
            await a.push(slot, unlinked)
            await asyncio.sleep(0.05)
            a.tip = b.tip = slot
            await until(dsn, slot)
        await b.listened_to("blockSubscribe")
    assert any(line.startswith(f"{a.url} sent ") for line in said)
    assert await value(dsn, "select count(*) from ledger.park_row") == 0


async def test_an_endpoint_that_is_out_voted_is_left(day: GoldenDay, dsn: str) -> None:
    limits = replace(LIMITS, quorum_every_slots=1)
    blocks, lied = day.blocks(), day.blocks()
    slot = min(s for s in blocks if s > FIRST)
    lied[slot]["blockhash"] = "4uhcVJyU9pJkvQyUS88uRDiswHXSCKY3zQawwpdk2NsY"
    async with (
        PushingNode(lied, "blockSubscribe") as a,
        PushingNode(blocks, "blockSubscribe") as b,
        PushingNode(blocks) as c,
        following(dsn, day, a, b, c, limits=limits) as said,
    ):
        await a.listened_to("blockSubscribe")
        await a.push(slot, lied[slot])
        await asyncio.sleep(0.05)
        for each in (a, b, c):
            each.tip = slot
        await b.listened_to("blockSubscribe")
        await until(dsn, slot)
    assert f"{a.url} is lying: {b.url} is listened to" in said
    assert await value(dsn, f"select blockhash from ledger.slots where slot = {slot}") == blocks[slot]["blockhash"]
