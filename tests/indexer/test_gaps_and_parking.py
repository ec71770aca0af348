"""Slots without blocks are skipped only by proof; doubt about a block parks its slot and stops the frontier."""

from typing import Any

import pytest

from support.command import tieout_here
from support.database import query, value
from support.ledger import ledger
from support.replay import Answer, GoldenDay, ReplayNode, error
from tieout_indexer import BackfillResult, ChangedBlock, IndexerLimits, backfill
from tieout_rpc import NodeRefused, RpcLimits

FAST = RpcLimits(give_up_after_s=2.0, backoff_initial_s=0.02)


async def read(
    day: GoldenDay, dsn: str, node: ReplayNode, first: int | None = None, last: int | None = None
) -> BackfillResult:
    return await backfill(
        [node.url], dsn, list(day.mints.values()), first or day.first, last or day.last,
        limits=IndexerLimits(poll_interval_s=0.05), rpc_limits=FAST,
    )  # fmt: skip


async def proven(dsn: str) -> set[tuple[int, int]]:
    return {(r["from_slot"], r["to_slot"]) for r in await query(dsn, "select * from ledger.coverage")}


async def test_gaps_are_proven_by_the_links_across_them(day: GoldenDay, dsn: str) -> None:
    gone = [s for s in day.idle_slots() if s not in (day.first, day.last)]
    assert len(gone) > 30
    async with ReplayNode(day.without(gone)) as node:
        done = await read(day, dsn, node)
    assert done.complete
    assert await proven(dsn) == {(day.first, day.last)}
    for name, amount in day.manifest["final_raw_balances"].items():
        assert await value(dsn, "select amount from ledger.balances where account = $1", day.address[name]) == int(
            amount
        )


@pytest.mark.parametrize("field", ["parentSlot", "previousBlockhash"])
async def test_with_a_broken_link_the_slot_is_parked_the_frontier_waits_and_exit_is_1(
    day: GoldenDay, dsn: str, field: str
) -> None:
    gone = [s for s in day.idle_slots() if 110 <= s <= 140]
    blocks = day.without(gone)
    successor = min(s for s in blocks if s > max(gone))
    blocks[successor][field] = max(gone) if field == "parentSlot" else "1" * 32
    async with ReplayNode(blocks) as node:
        done = await tieout_here(
            "index", "backfill", "--rpc-url", node.url, "--dsn", dsn, "--mint", day.mints["AAPLx"],
            "--from-slot", str(day.first), "--to-slot", str(day.last), "--json",
        )  # fmt: skip
    assert done.code == 1, done.err
    assert done.json["parked"]["slot"] == successor
    assert [r["slot"] for r in await query(dsn, "select slot from ledger.parked")] == [successor]
    last_good = max(s for s in blocks if s < successor)
    assert await proven(dsn) == {(day.first, last_good)}
    assert await value(dsn, "select max(slot) from ledger.slots") == last_good
    assert await value(dsn, "select max(slot) from ledger.events") <= last_good
    assert (await tieout_here("index", "parked", "--dsn", dsn)).code == 1


async def test_a_parked_slot_is_read_and_cleared_once_the_node_tells_the_truth(day: GoldenDay, dsn: str) -> None:
    blocks = day.blocks()
    truth = blocks[100]["previousBlockhash"]
    blocks[100]["previousBlockhash"] = "1" * 32
    async with ReplayNode(blocks) as node:
        assert (await read(day, dsn, node)).parked is not None
        node.blocks[100]["previousBlockhash"] = truth
        assert (await read(day, dsn, node)).complete
    assert await query(dsn, "select * from ledger.parked") == []
    assert await proven(dsn) == {(day.first, day.last)}


async def test_a_block_that_getblocks_forgot_is_fetched_because_its_successor_names_it(
    day: GoldenDay, dsn: str
) -> None:
    def forgetful(method: str, params: list[Any]) -> Answer | None:
        if method == "getBlocks":
            return {"result": [s for s in range(params[0], params[1] + 1) if s not in (66, 67, 152)]}
        return None

    async with ReplayNode(day.blocks()) as node:
        node.override = forgetful
        done = await read(day, dsn, node, last=151)
    assert done.complete
    assert await value(dsn, "select count(*) from ledger.slots where slot in (66, 67)") == 2


@pytest.mark.parametrize(
    "answer",
    [
        error(-32007, "Slot 66 was skipped, or missing due to ledger jump to recent snapshot"),
        error(-32009, "Slot 66 was skipped, or missing in long-term storage"),
        error(-32004, "Block not available for slot 66"),
        error(-32001, "Block 66 cleaned up, does not exist on node. First available block: 100"),
        error(-32014, "Block status not yet available for slot 66"),
        {"result": None},
    ],
    ids=["-32007", "-32009", "-32004", "-32001", "-32014", "null"],
)
async def test_no_answer_of_a_node_is_proof_of_a_skipped_slot(day: GoldenDay, dsn: str, answer: Answer) -> None:
    async with ReplayNode(day.blocks()) as node:
        node.override = lambda method, params: answer if method == "getBlock" and params[0] == 66 else None
        done = await read(day, dsn, node)
    assert done.parked is not None
    assert done.parked.slot == 66
    assert await proven(dsn) == {(day.first, 65)}


@pytest.mark.parametrize(
    ("name", "value_"),
    [("meta", None), ("innerInstructions", None), ("preTokenBalances", None), ("postTokenBalances", None)],
)
@pytest.mark.parametrize("how", ["null", "missing"])
async def test_a_transaction_that_cannot_be_verified_parks_its_slot(
    day: GoldenDay, dsn: str, name: str, value_: None, how: str
) -> None:
    blocks = day.blocks()
    transaction = blocks[70]["transactions"][-1]
    holder = transaction if name == "meta" else transaction["meta"]
    if how == "null":
        holder[name] = value_
    else:
        del holder[name]
    async with ReplayNode(blocks) as node:
        done = await read(day, dsn, node)
    assert done.parked is not None
    assert done.parked.slot == 70
    assert "cannot be verified" in done.parked.reason
    assert await proven(dsn) == {(day.first, 69)}


async def test_an_unsupported_transaction_version_stops_with_the_nodes_words(day: GoldenDay, dsn: str) -> None:
    async with ReplayNode(day.blocks()) as node:
        node.override = lambda method, params: (
            error(-32015, "Transaction version (2) is not supported") if method == "getBlock" else None
        )
        with pytest.raises(NodeRefused, match="-32015"):
            await read(day, dsn, node)
    assert await proven(dsn) == set()


async def test_a_changed_finalized_block_is_a_halt_with_both_hashes_and_no_rewrite(day: GoldenDay, dsn: str) -> None:
    async with ReplayNode(day.blocks()) as node:
        assert (await backfill([node.url], dsn, [day.mints["AAPLx"]], day.first, day.last)).complete
        before = await ledger(dsn, batches=True)
        truth = node.blocks[70]["blockhash"]
        node.blocks[70]["blockhash"] = node.blocks[71]["previousBlockhash"] = "2" * 32
        with pytest.raises(ChangedBlock) as halted:
            await backfill([node.url], dsn, [day.mints["TSLAx"]], day.first, day.last)
    assert truth in str(halted.value)
    assert "2" * 32 in str(halted.value)
    assert await ledger(dsn, batches=True) == before


async def test_the_tail_of_a_range_is_proven_by_the_first_block_beyond_it(day: GoldenDay, dsn: str) -> None:
    gone = [s for s in day.idle_slots() if 120 <= s <= 125]
    async with ReplayNode(day.without(gone)) as node:
        done = await read(day, dsn, node, last=123)
    assert done.complete
    assert await proven(dsn) == {(day.first, 123)}
    assert await value(dsn, "select max(slot) from ledger.slots") == 119


async def test_a_range_past_the_finalized_tip_waits_saying_so(day: GoldenDay, dsn: str) -> None:
    said: list[str] = []
    async with ReplayNode(day.blocks()) as node:
        node.tip = 100

        def say(text: str) -> None:
            said.append(text)
            node.tip = 152

        done = await backfill(
            [node.url], dsn, [day.mints["AAPLx"]], day.first, 120, say=say, limits=IndexerLimits(poll_interval_s=0.05)
        )
    assert done.complete
    assert said == ["slot 120 is not finalized yet (the finalized tip is 100): waiting"]


async def test_a_transaction_lost_by_the_node_is_found_by_continuity(day: GoldenDay, dsn: str) -> None:
    blocks = day.blocks()
    sale = next(s for s in day.manifest["steps"] if s["label"] == "AP sells to alice and venue in one tx")
    block = blocks[sale["slot"]]
    block["transactions"] = [
        t for t in block["transactions"] if sale["signature"] not in t["transaction"]["signatures"]
    ]
    async with ReplayNode(blocks) as node:
        done = await read(day, dsn, node)
    assert not done.complete
    assert any("continuity" in reason for _, _, _, reason in done.quarantined)
    mint = day.mints["AAPLx"]
    assert await value(dsn, "select supply from ledger.supply where mint = $1", mint) is None
    assert await value(dsn, "select max(to_slot) from ledger.coverage where mint = $1", mint) == sale["slot"]
    assert await value(dsn, "select supply from ledger.supply where mint = $1", day.mints["TSLAx"]) == 80_000_000_000


async def test_balances_that_do_not_add_up_quarantine_the_transaction_for_that_mint_and_the_slots_go_on(
    day: GoldenDay, dsn: str
) -> None:
    blocks = day.blocks()
    step = next(s for s in day.manifest["steps"] if s["label"] == "alice to bob dust")
    transaction = next(
        t for t in blocks[step["slot"]]["transactions"] if step["signature"] in t["transaction"]["signatures"]
    )
    row = transaction["meta"]["postTokenBalances"][0]["uiTokenAmount"]
    row["amount"] = str(int(row["amount"]) + 1)
    async with ReplayNode(blocks) as node:
        done = await read(day, dsn, node)
    assert done.parked is None
    assert done.quarantined[0][:2] == (step["slot"], step["signature"])
    assert "does not add up" in done.quarantined[0][3]
    assert await value(dsn, "select count(*) from ledger.events where signature = $1", step["signature"]) == 0
    assert await value(dsn, "select max(slot) from ledger.events") > step["slot"]


async def test_a_transaction_missing_where_two_ranges_join_is_one_doubt_however_many_accounts_show_it(
    day: GoldenDay, dsn: str
) -> None:
    apple, blocks = [day.mints["AAPLx"]], day.blocks()
    async with ReplayNode(blocks) as node:
        assert (await backfill([node.url], dsn, apple, 64, 152)).complete
        del blocks[63]["transactions"][1]
        await backfill([node.url], dsn, apple, 58, 63)
    places = await query(dsn, "select slot, signature, count(*) from ledger.quarantine group by slot, signature")
    assert places
    assert {row["count"] for row in places} == {1}
