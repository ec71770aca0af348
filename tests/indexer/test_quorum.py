"""Several endpoints: the one that lies is out-voted and named, the one that cannot answer is passed over."""

from typing import Any

import pytest

from support.command import tieout_here
from support.database import query, value
from support.replay import Answer, GoldenDay, ReplayNode, error
from tieout_indexer import BackfillResult, IndexerLimits, backfill
from tieout_indexer.source import outcome
from tieout_rpc import RpcLimits

LIE = "2" * 32


async def read(day: GoldenDay, dsn: str, *nodes: ReplayNode, every: int = 1) -> BackfillResult:
    return await backfill(
        [node.url for node in nodes], dsn, [day.mints["AAPLx"]], day.first, day.last,
        limits=IndexerLimits(poll_interval_s=0.05, quorum_every_slots=every),
        rpc_limits=RpcLimits(give_up_after_s=2.0, backoff_initial_s=0.02),
    )  # fmt: skip


def another_chain_from(day: GoldenDay, slot: int) -> dict[int, Any]:
    """The day with one block's hash another one, linked as if it were the truth."""
    blocks = day.blocks()
    blocks[slot]["blockhash"] = blocks[slot + 1]["previousBlockhash"] = LIE
    return blocks


def test_more_than_half_of_the_votes_decide() -> None:
    assert outcome({"a": "x", "b": "x", "c": "y"}) == "x"
    assert outcome({"a": "x", "b": "y"}) is None
    assert outcome({"a": "x"}) == "x"


@pytest.mark.parametrize("liar", [0, 1, 2])
async def test_a_lying_node_is_outvoted_named_and_its_word_never_stored(day: GoldenDay, dsn: str, liar: int) -> None:
    truth = day.blocks()[100]["blockhash"]
    worlds = [another_chain_from(day, 100) if n == liar else day.blocks() for n in range(3)]
    async with ReplayNode(worlds[0]) as a, ReplayNode(worlds[1]) as b, ReplayNode(worlds[2]) as c:
        done = await read(day, dsn, a, b, c)
        name = (a, b, c)[liar].url
    assert done.complete
    assert await value(dsn, "select blockhash from ledger.slots where slot = 100") == truth
    rows = await query(dsn, "select audit, subject, slot, expected, found, closed_at from ledger.findings")
    assert [(r["audit"], r["subject"], r["closed_at"]) for r in rows] == [("quorum", name, None)]
    assert rows[0]["slot"] in {100, 101}
    assert truth in rows[0]["expected"]
    assert LIE in rows[0]["found"]
    assert (await tieout_here("index", "status", "--dsn", dsn)).code == 1


async def test_a_lie_between_the_sampled_slots_is_found_by_its_broken_link(day: GoldenDay, dsn: str) -> None:
    lied = day.blocks()
    lied[101]["previousBlockhash"] = LIE
    async with ReplayNode(lied) as a, ReplayNode(day.blocks()) as b, ReplayNode(day.blocks()) as c:
        done = await read(day, dsn, a, b, c, every=0)
        name = a.url
    assert done.complete
    assert await value(dsn, "select subject from ledger.findings where audit = 'quorum'") == name


async def test_two_endpoints_that_disagree_park_the_slot_with_both_their_words(day: GoldenDay, dsn: str) -> None:
    async with ReplayNode(day.blocks()) as a, ReplayNode(another_chain_from(day, 100)) as b:
        done = await read(day, dsn, a, b)
    assert done.parked is not None
    assert done.parked.slot == 100
    assert a.url in done.parked.reason
    assert b.url in done.parked.reason
    assert LIE in done.parked.reason


@pytest.mark.parametrize("why", ["meta", "innerInstructions", "null", "-32009", "-32001"])
async def test_what_one_endpoint_did_not_keep_another_is_asked_for(day: GoldenDay, dsn: str, why: str) -> None:
    poor = day.blocks()
    for transaction in poor[70]["transactions"]:
        if why == "meta":
            transaction["meta"] = None
        elif why == "innerInstructions":
            transaction["meta"]["innerInstructions"] = None

    def refuse(method: str, params: list[Any]) -> Answer | None:
        if method != "getBlock" or params[0] != 70 or why in {"meta", "innerInstructions"}:
            return None
        return {"result": None} if why == "null" else error(int(why), "not here")

    async with ReplayNode(poor) as a, ReplayNode(day.blocks()) as b:
        a.override = refuse
        done = await read(day, dsn, a, b, every=0)
    assert done.complete
    supply = await value(dsn, "select supply from ledger.supply")
    assert supply == int(day.manifest["final_raw_supply"]["AAPLx"])
