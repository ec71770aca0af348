"""Every known bug by which a peer lost data, made to happen and survived.

The table names each by its issue and the tests that reproduce it; those tests must exist. What no other
module has is here.
"""

import ast
import asyncio
from collections import Counter
from typing import Any

import pytest

from support.command import start_tieout
from support.database import query, value
from support.ledger import ledger
from support.paths import ROOT
from support.replay import Answer, GoldenDay, ReplayNode, error
from tieout_indexer import IndexerLimits, backfill
from tieout_rpc import RpcLimits

BUGS = {
    "private-channels 129: a slot marked complete before its transactions": (
        "indexer/test_peers_bugs.py::test_a_slot_is_seen_whole_or_not_at_all",
        "indexer/test_crash_and_follow.py::test_killed_anywhere_and_started_again_the_tables_equal_an_undisturbed_runs",
    ),
    "private-channels 145: checkpoint = max(slot) while earlier ones drain": (
        "indexer/test_peers_bugs.py::test_progress_is_ranges_not_the_highest_slot_seen",
    ),
    "private-channels 183: meta null taken for success": (
        "indexer/test_gaps_and_parking.py::test_a_transaction_that_cannot_be_verified_parks_its_slot",
    ),
    "private-channels 199: going on though the gap was not filled": (
        "indexer/test_peers_bugs.py::test_the_daemon_does_not_pass_a_gap_that_it_cannot_fill",
    ),
    "private-channels 208, 219: the window between asking for the tip and listening": (
        "indexer/test_peers_bugs.py::test_a_tip_that_moves_between_any_two_questions_loses_no_slot",
    ),
    "private-channels 224: a retention floor taken for a skipped slot": (
        "indexer/test_peers_bugs.py::test_what_a_node_has_pruned_is_not_skipped",
        "indexer/test_gaps_and_parking.py::test_gaps_are_proven_by_the_links_across_them",
    ),
    "private-channels 258: no checkpoint and a checkpoint at 0": (
        "indexer/test_peers_bugs.py::test_nothing_read_and_slot_zero_read_are_two_things",
    ),
    "private-channels 276: a node behind the checkpoint": (
        "indexer/test_peers_bugs.py::test_a_node_that_is_behind_is_waited_for_and_nothing_is_read_again",
    ),
    "private-channels 196: a breach that was seen and had no effect": (
        "indexer/test_daemon.py::test_it_audits_at_its_interval_and_a_difference_opens_a_finding_that_agreement_closes",
    ),
    "mpc 1157: a block told once per transaction": (
        "indexer/test_peers_bugs.py::test_a_slot_is_seen_whole_or_not_at_all",
    ),
    "mpc 844, agave 8536: a new shape of a failed transaction's error": (
        "indexer/test_peers_bugs.py::test_an_error_of_a_shape_that_nobody_knows_is_a_failed_transaction",
    ),
    "dev-portal 691, photon 345, private-channels 303: version 1 transactions": (
        "indexer/test_peers_bugs.py::test_a_version_1_transaction_is_read_like_any_other",
        "indexer/test_gaps_and_parking.py::test_an_unsupported_transaction_version_stops_with_the_nodes_words",
    ),
    "Carbon 276, 336, 368, 568: slots missing after a reconnect": (
        "indexer/test_crash_and_follow.py::test_the_daemon_outlives_its_node_and_goes_on_when_it_answers_again",
        "chaos/test_indexer_on_a_chaotic_chain.py::test_the_ledger_ends_as_the_true_chain",
    ),
    "Carbon: sibling transfers at one depth overwrite each other": (
        "indexer/test_decode.py::test_steps_count_every_instruction_and_paths_follow_the_stack",
        "indexer/test_decode.py::test_each_child_of_a_batch_is_an_event_of_its_own",
    ),
    "Carbon, solana-etl: an error code taken for a skipped slot": (
        "indexer/test_gaps_and_parking.py::test_no_answer_of_a_node_is_proof_of_a_skipped_slot",
    ),
    "sqd-network 164: the instruction tree read from logs": ("indexer/test_peers_bugs.py::test_logs_change_nothing",),
    "Vixen, Substreams: one unknown instruction fails the block": (
        "indexer/test_decode.py::test_an_unknown_instruction_is_quarantined_even_where_the_balances_agree",
    ),
    "solana 25880, 26736, 30979, 21350: null where a list was not kept, blocks lost from storage": (
        "indexer/test_quorum.py::test_what_one_endpoint_did_not_keep_another_is_asked_for",
        "indexer/test_gaps_and_parking.py::test_a_transaction_that_cannot_be_verified_parks_its_slot",
    ),
    "accountsdb-postgres: amounts as floats": (
        "indexer/test_peers_bugs.py::test_amounts_beyond_a_doubles_digits_are_stored_to_the_unit",
    ),
    "services 4802: a storm of requests after a reconnect": (
        "indexer/test_peers_bugs.py::test_after_an_outage_requests_stay_few_at_a_time",
    ),
    "Ponder, DipDup, SQD: resume, repair a range, re-index without downtime, lag per stage": (
        "indexer/test_repair_and_holes.py::test_rows_lost_altered_and_invented_come_right_by_appended_rows",
        "indexer/test_peers_bugs.py::test_decoding_again_needs_no_downtime",
        "indexer/test_daemon.py::test_it_serves_metrics_and_health_and_logs_json",
    ),
}
FAST = RpcLimits(give_up_after_s=3.0, backoff_initial_s=0.02)


@pytest.mark.parametrize("bug", BUGS)
def test_each_bug_has_its_tests(bug: str) -> None:
    for name in BUGS[bug]:
        path, _, function = name.partition("::")
        tree = ast.parse((ROOT / "tests" / path).read_text("utf-8"))
        found = {n.name for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)}
        assert function in found, name


async def read(day: GoldenDay, dsn: str, node: ReplayNode, first: int, last: int, **limits: Any) -> Any:
    return await backfill(
        [node.url], dsn, [day.mints["AAPLx"]], first, last,
        limits=IndexerLimits(poll_interval_s=0.02, **limits), rpc_limits=FAST,
    )  # fmt: skip


async def start(node: ReplayNode, dsn: str, day: GoldenDay, **environment: str) -> asyncio.subprocess.Process:
    return await start_tieout(
        "index", "run", "--rpc-url", node.url, "--dsn", dsn, "--mint", day.mints["AAPLx"], "--from-slot", "58",
        **environment,
    )  # fmt: skip


async def until(dsn: str, sql: str, wanted: Any) -> None:
    async with asyncio.timeout(60):
        while await value(dsn, sql) != wanted:
            await asyncio.sleep(0.05)


REACHED = "select coalesce(max(to_slot), 0) from ledger.coverage"


async def test_a_slot_is_seen_whole_or_not_at_all(day: GoldenDay, dsn: str) -> None:
    async with ReplayNode(day.blocks()) as node:
        process = await start(node, dsn, day, TIEOUT_WINDOW_SLOTS_MAX="2")
        seen: list[dict[int, int]] = []
        async with asyncio.timeout(60):
            while await value(dsn, REACHED) < day.last:
                rows = await query(dsn, "select slot, count(*) as events from ledger.events group by slot")
                seen.append({r["slot"]: r["events"] for r in rows})
        process.terminate()
        await process.communicate()
    final = {
        r["slot"]: r["events"] for r in await query(dsn, "select slot, count(*) events from ledger.events group by 1")
    }
    assert any(0 < len(rows) < len(final) for rows in seen), "it was looked at on the way"
    assert all(final[slot] == events for rows in seen for slot, events in rows.items())


async def test_progress_is_ranges_not_the_highest_slot_seen(day: GoldenDay, dsn: str) -> None:
    async with ReplayNode(day.blocks()) as node:
        assert (await read(day, dsn, node, 120, 152)).complete
        rows = await query(dsn, "select from_slot, to_slot from ledger.coverage")
        assert rows == [{"from_slot": 120, "to_slot": 152}], "the slots before are not claimed"
        assert await value(dsn, "select supply from ledger.supply") is None
        assert (await read(day, dsn, node, 58, 152)).complete
    assert await query(dsn, "select from_slot, to_slot from ledger.coverage") == [{"from_slot": 58, "to_slot": 152}]
    assert await value(dsn, "select supply from ledger.supply") == int(day.manifest["final_raw_supply"]["AAPLx"])


async def test_the_daemon_does_not_pass_a_gap_that_it_cannot_fill(day: GoldenDay, dsn: str) -> None:
    async with ReplayNode(day.blocks()) as node:
        gone = False

        def lost(method: str, params: list[Any]) -> Answer | None:
            return error(-32009, "missing") if method == "getBlock" and params[0] == 90 and not gone else None

        node.override = lost
        process = await start(node, dsn, day, TIEOUT_PARKED_RETRY_INTERVAL_S="0.1")
        await until(dsn, "select count(*) from ledger.parked where slot = 90", 1)
        asked = node.requests["getSlot"]
        while node.requests["getSlot"] < asked + 5:
            await asyncio.sleep(0.05)
        assert await value(dsn, REACHED) == 89
        assert await value(dsn, "select max(slot) from ledger.slots") == 89
        gone = True
        await until(dsn, REACHED, 152)
        process.terminate()
        await process.communicate()
    assert await query(dsn, "select from_slot, to_slot from ledger.coverage") == [{"from_slot": 58, "to_slot": 152}]


async def test_a_tip_that_moves_between_any_two_questions_loses_no_slot(day: GoldenDay, dsn: str) -> None:
    async with ReplayNode(day.blocks()) as node:
        node.tip = 60

        def moving(method: str, params: list[Any]) -> Answer | None:
            del method, params
            node.tip = min((node.tip or 0) + 1, day.last)
            return None

        node.override = moving
        process = await start(node, dsn, day)
        await until(dsn, REACHED, 152)
        process.terminate()
        await process.communicate()
    assert await query(dsn, "select from_slot, to_slot from ledger.coverage") == [{"from_slot": 58, "to_slot": 152}]
    assert await value(dsn, "select count(*) from ledger.slots") == len(day.blocks())


async def test_what_a_node_has_pruned_is_not_skipped(day: GoldenDay, dsn: str) -> None:
    kept = {slot: block for slot, block in day.blocks().items() if slot >= 100}
    async with ReplayNode(kept) as node:
        node.override = lambda method, params: (
            error(-32001, f"Block {params[0]} cleaned up, does not exist on node. First available block: 100")
            if method == "getBlock" and params[0] < 100
            else None
        )
        done = await read(day, dsn, node, 58, 152)
    assert done.parked is not None
    assert await query(dsn, "select * from ledger.coverage") == []


async def test_nothing_read_and_slot_zero_read_are_two_things(day: GoldenDay, dsn: str) -> None:
    blocks = day.blocks()
    moved = {slot - day.first: block for slot, block in blocks.items()}
    for slot, block in moved.items():
        block["parentSlot"] = max(slot - 1, 0)
    moved[0]["previousBlockhash"] = "1" * 32
    async with ReplayNode(moved) as node:
        assert await query(dsn, "select * from ledger.coverage") == []
        assert (await read(day, dsn, node, 0, 0)).complete
        assert await query(dsn, "select from_slot, to_slot from ledger.coverage") == [{"from_slot": 0, "to_slot": 0}]
        asked = node.requests["getBlock"]
        assert (await read(day, dsn, node, 0, 0)).complete
        assert node.requests["getBlock"] == asked, "slot 0 was read"
        assert (await read(day, dsn, node, 0, 94)).complete


async def test_a_node_that_is_behind_is_waited_for_and_nothing_is_read_again(day: GoldenDay, dsn: str) -> None:
    async with ReplayNode(day.blocks()) as node:
        assert (await read(day, dsn, node, 58, 120)).complete
        before = await ledger(dsn, batches=True)
        node.tip, node.requests["getBlock"] = 80, 0
        process = await start(node, dsn, day)
        while node.requests.get("getSlot", 0) < 6:
            await asyncio.sleep(0.05)
        assert await ledger(dsn, batches=True) == before
        assert node.requests["getBlock"] == 0
        node.tip = 152
        await until(dsn, REACHED, 152)
        process.terminate()
        await process.communicate()
    assert process.returncode == 0


async def test_an_error_of_a_shape_that_nobody_knows_is_a_failed_transaction(day: GoldenDay, dsn: str) -> None:
    blocks = day.blocks()
    failed = [t for b in blocks.values() for t in b["transactions"] if t["meta"]["err"] is not None]
    assert failed
    shapes: list[Any] = [
        {"New": [{"deep": {"er": 1}}, None]},
        "Plain",
        7,
        ["list"],
        {"InstructionError": [0, {"X": {}}]},
    ]
    for number, transaction in enumerate(failed):
        transaction["meta"]["err"] = shapes[number % len(shapes)]
        transaction["meta"]["status"] = {"Err": shapes[number % len(shapes)]}
    async with ReplayNode(blocks) as node:
        assert (await read(day, dsn, node, 58, 152)).complete
    signatures = [t["transaction"]["signatures"][0] for t in failed]
    assert await value(dsn, "select count(*) from ledger.events where signature = any($1)", signatures) == 0


async def test_a_version_1_transaction_is_read_like_any_other(day: GoldenDay, dsn: str) -> None:
    blocks = day.blocks()
    for block in blocks.values():
        for transaction in block["transactions"]:
            transaction["version"] = 1
    versions = []

    def asked(method: str, params: list[Any]) -> None:
        if method == "getBlock":
            versions.append(params[1].get("maxSupportedTransactionVersion"))

    async with ReplayNode(blocks) as node:
        node.override = asked
        assert (await read(day, dsn, node, 58, 152)).complete
    assert set(versions) == {255}
    assert await value(dsn, "select supply from ledger.supply") == int(day.manifest["final_raw_supply"]["AAPLx"])


async def test_logs_change_nothing(day: GoldenDay, dsn: str, empty_dsn: str) -> None:
    from tieout_database import connect, migrate

    connection = await connect(empty_dsn)
    await migrate(connection)
    await connection.close()
    blocks = day.blocks()
    for number, block in enumerate(blocks.values()):
        for transaction in block["transactions"]:
            logs: Any = [None, [], ["Program log: Instruction: MintTo", "Log truncated"]][number % 3]
            transaction["meta"]["logMessages"] = logs
    async with ReplayNode(day.blocks()) as node:
        assert (await read(day, dsn, node, 58, 152)).complete
    async with ReplayNode(blocks) as node:
        assert (await read(day, empty_dsn, node, 58, 152)).complete
    assert await ledger(dsn) == await ledger(empty_dsn)


async def test_amounts_beyond_a_doubles_digits_are_stored_to_the_unit(day: GoldenDay, dsn: str) -> None:
    huge = 2**53 + 1
    blocks = day.blocks()
    mint = day.mints["AAPLx"]
    for block in blocks.values():
        for transaction in block["transactions"]:
            for row in transaction["meta"]["preTokenBalances"] + transaction["meta"]["postTokenBalances"]:
                if row["mint"] == mint:
                    # Floats beside the raw amount are never looked at.
                    row["uiTokenAmount"].update(uiAmount=float(huge), uiAmountString=str(float(huge)))
    async with ReplayNode(blocks) as node:
        assert (await read(day, dsn, node, 58, 152)).complete
    for name, amount in day.manifest["final_raw_balances"].items():
        rows = await query(dsn, "select amount from ledger.balances where account = $1", day.address[name])
        assert all(int(row["amount"]) == int(amount) for row in rows)
    types = await query(
        dsn,
        "select distinct data_type from information_schema.columns where table_schema = 'ledger' "
        "and column_name in ('amount', 'fee', 'supply', 'pre_amount', 'post_amount')",
    )
    assert types == [{"data_type": "numeric"}]
    assert await value(dsn, "select $1::numeric::ledger.u64::text", 2**64 - 1) == str(2**64 - 1)


class Counting(ReplayNode):
    """Knows how many blocks it is asked for at the same time, and now and then asks for patience."""

    now = most = 0

    async def _handle(self, request: Any) -> Any:
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            return await super()._handle(request)
        finally:
            self.now -= 1


async def test_after_an_outage_requests_stay_few_at_a_time(day: GoldenDay, dsn: str) -> None:
    async with Counting(day.blocks()) as node:
        down, refused = True, Counter[str]()

        def outage(method: str, params: list[Any]) -> Answer | None:
            del params
            if method == "getBlock" and down:
                refused[method] += 1
                return error(-32429, "too many requests")
            return None

        node.override, node.delay_s = outage, 0.01
        done = await read(day, dsn, node, 58, 152, fetches_in_flight_max=3)
        assert done.parked is not None
        assert refused["getBlock"] < 40
        down, node.most = False, 0
        assert (await read(day, dsn, node, 58, 152, fetches_in_flight_max=3)).complete
    assert 1 < node.most <= 3


async def test_decoding_again_needs_no_downtime(day: GoldenDay, dsn: str) -> None:
    from support.command import tieout_here
    from tieout_database import connect

    async with ReplayNode(day.blocks()) as node:
        node.tip = 120
        process = await start(node, dsn, day)
        await until(dsn, REACHED, 120)
        connection = await connect(dsn)
        await connection.execute(
            "set session_replication_role = replica; update ledger.event_row set memo = 'wrong' where slot = "
            "(select min(slot) from ledger.events)"
        )
        await connection.close()
        again = await tieout_here("index", "redecode", "--dsn", dsn, "--json")
        assert again.code == 0, again.err
        assert again.json["retracted"] >= 1
        node.tip = 152
        await until(dsn, REACHED, 152)
        process.terminate()
        await process.communicate()
    assert process.returncode == 0
    assert await value(dsn, "select count(*) from ledger.events where memo = 'wrong'") == 0
