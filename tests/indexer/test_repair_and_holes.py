"""Damaged rows are put right by appending; a slot given up is a hole that is reported and never claimed."""

from typing import Any

from support.command import tieout_here
from support.database import query, value
from support.ledger import ledger
from support.replay import GoldenDay, ReplayNode, error
from tieout_indexer import IndexerLimits, backfill

VANDAL = "set session_replication_role = replica; "


async def index(day: GoldenDay, node: ReplayNode, dsn: str, *mints: str, **more: Any) -> Any:
    return await backfill(
        [node.url], dsn, list(mints or day.mints.values()), more.get("first", day.first), more.get("last", day.last),
        limits=IndexerLimits(poll_interval_s=0.05),
    )  # fmt: skip


async def vandalise(dsn: str, sql: str) -> None:
    """Change rows behind the triggers' back, as only a superuser could."""
    from tieout_database import connect

    connection = await connect(dsn)
    await connection.execute(VANDAL + sql)
    await connection.close()


def repair(node: ReplayNode, dsn: str, day: GoldenDay) -> tuple[str, ...]:
    return (
        "index", "repair", "--rpc-url", node.url, "--dsn", dsn,
        "--from", str(day.first), "--to", str(day.last), "--json",
    )  # fmt: skip


async def test_a_sound_range_is_compared_and_nothing_is_written(day: GoldenDay, dsn: str) -> None:
    async with ReplayNode(day.blocks()) as node:
        await index(day, node, dsn)
        before = await ledger(dsn, batches=True)
        done = await tieout_here(*repair(node, dsn, day))
    assert done.code == 0, done.err
    assert done.json["slots_compared"] == day.last - day.first + 1
    assert (done.json["appended"], done.json["retracted"], done.json["evidence_restored"]) == (0, 0, 0)
    assert await ledger(dsn, batches=True) == before


async def test_rows_lost_altered_and_invented_come_right_by_appended_rows(day: GoldenDay, dsn: str) -> None:
    async with ReplayNode(day.blocks()) as node:
        await index(day, node, dsn)
        truth = await ledger(dsn)
        stored = await value(dsn, "select count(*) from ledger.event_row")
        await vandalise(
            dsn,
            """
            delete from ledger.event_row where (slot, tx_index, step) in (
                select slot, tx_index, step from ledger.events order by slot desc limit 2);
            update ledger.event_row set amount = amount + 1 where (slot, tx_index, step) in (
                select slot, tx_index, step from ledger.events order by slot limit 1);
            insert into ledger.event_row select slot, block_time, tx_index, 999, child, path, signature, program, kind,
                mint, source, source_owner, destination, destination_owner, authority, authority_role, amount, fee,
                memo, batch from ledger.event_row order by slot limit 1;
            update ledger.evidence_row set body = '\\x00' where (slot, tx_index) in (
                select slot, tx_index from ledger.evidence_row order by slot limit 3);
            """,
        )
        assert await ledger(dsn) != truth
        done = await tieout_here(*repair(node, dsn, day))
        assert done.code == 0, done.err
        again = await tieout_here(*repair(node, dsn, day))
    assert (done.json["appended"], done.json["retracted"], done.json["evidence_restored"]) == (3, 2, 3)
    assert await ledger(dsn) == truth
    assert await value(dsn, "select count(*) from ledger.event_row") == stored - 2 + 1 + 3, "nothing was removed"
    assert (again.json["appended"], again.json["retracted"], again.json["evidence_restored"]) == (0, 0, 0)


async def test_a_block_that_changed_halts_the_repair_with_1_and_both_hashes(day: GoldenDay, dsn: str) -> None:
    blocks = day.blocks()
    async with ReplayNode(blocks) as node:
        await index(day, node, dsn)
        before = await ledger(dsn, batches=True)
        blocks[70]["blockhash"] = blocks[71]["previousBlockhash"] = "2" * 32
        done = await tieout_here(*repair(node, dsn, day))
    assert done.code == 1
    assert "2" * 32 in done.err
    assert await ledger(dsn, batches=True) == before


async def test_a_slot_that_no_node_has_any_more_is_told_and_nothing_changes(day: GoldenDay, dsn: str) -> None:
    async with ReplayNode(day.blocks()) as node:
        await index(day, node, dsn)
        before = await ledger(dsn, batches=True)
        node.override = lambda method, params: (
            error(-32007, "Slot 66 was skipped") if method == "getBlock" and params[0] == 66 else None
        )
        done = await tieout_here(*repair(node, dsn, day))
    assert done.code == 1
    assert done.json["parked"]["slot"] == 66
    assert await ledger(dsn, batches=True) == before


async def test_usage_of_repair_is_checked(day: GoldenDay, dsn: str) -> None:
    async with ReplayNode(day.blocks()) as node:
        wrong = await tieout_here("index", "repair", "--rpc-url", node.url, "--dsn", dsn, "--from", "9", "--to", "8")
        other = await tieout_here(*repair(node, dsn, day), "--mint", day.mints["AAPLx"])
    assert (wrong.code, other.code) == (2, 2)
    assert "is not tracked" in other.err


async def test_a_parked_slot_given_up_is_a_hole_that_is_passed_over_reported_and_never_claimed(
    day: GoldenDay, dsn: str
) -> None:
    mint = day.mints["AAPLx"]
    span = ("--from-slot", str(day.first), "--to-slot", str(day.last))
    async with ReplayNode(day.blocks()) as node:
        run = ("index", "backfill", "--rpc-url", node.url, "--dsn", dsn, "--mint", mint, *span, "--json")
        node.override = lambda method, params: (
            error(-32009, "Slot 100 was skipped, or missing in long-term storage")
            if method == "getBlock" and params[0] == 100
            else None
        )
        assert (await tieout_here(*run)).code == 1
        early = await tieout_here("index", "parked", "accept", "99", "--reason", "x", "--dsn", dsn)
        assert early.code == 2
        assert "99 is not parked" in early.err
        mute = await tieout_here("index", "parked", "accept", "100", "--reason", " ", "--dsn", dsn)
        assert mute.code == 2
        said = await tieout_here(
            "index",
            "parked",
            "accept",
            "100",
            "--reason",
            "lost by every archive",
            "--by",
            "Ada",
            "--dsn",
            dsn,
            "--json",
        )
        assert said.code == 0, said.err
        assert said.json["schema"] == "tieout/index-parked-accept/1"
        assert (said.json["from_slot"], said.json["to_slot"], said.json["accepted_by"]) == (100, 100, "Ada")
        after = await tieout_here(*run)
        assert after.code == 1, "a hole is no proof"
        assert after.json["unproven"] == {mint: [[100, 100]]}
        assert after.json["parked"] is None
        listed = await tieout_here("index", "parked", "--dsn", dsn, "--json")
        assert (listed.code, listed.json["parked"]) == (0, [])
        assert [(h["from_slot"], h["reason"], h["accepted_by"]) for h in listed.json["accepted"]] == [
            (100, "lost by every archive", "Ada")
        ]
        status = await tieout_here("index", "status", "--dsn", dsn, "--json")
        assert status.code == 1
        assert status.json["tracked"][0]["holes"] == [[100, 100]]
        assert status.json["tracked"][0]["proven"] == [[day.first, 99], [101, day.last]]
        assert status.json["tracked"][0]["supply"] is None, "what is beyond a hole is not known"
        assert (await tieout_here(*repair(node, dsn, day))).code == 1, "it still cannot be read"
        node.override = lambda method, params: None
        filled = await tieout_here(*repair(node, dsn, day))
        assert filled.code == 0, filled.err
        assert filled.json["filled"] == [[100, 100]]
        assert (await tieout_here(*run)).code == 0
    assert (await tieout_here("index", "status", "--dsn", dsn)).code == 0
    assert await value(dsn, "select count(*) from ledger.holes") == 1, "that it was given up once stays"
    assert (await tieout_here("db", "verify", "--dsn", dsn)).code == 0


async def test_the_slots_before_a_block_that_does_not_link_belong_to_the_hole(day: GoldenDay, dsn: str) -> None:
    blocks = day.blocks()
    for slot in (110, 111):
        del blocks[slot]
    async with ReplayNode(blocks) as node:
        done = await index(day, node, dsn)
        assert done.parked is not None
        assert done.parked.slot == 112
        assert (await tieout_here("index", "parked", "accept", "112", "--reason", "lost", "--dsn", dsn)).code == 0
        assert (await query(dsn, "select from_slot, to_slot from ledger.holes")) == [{"from_slot": 110, "to_slot": 112}]
        done = await index(day, node, dsn)
    assert done.parked is None
    assert set(map(tuple, done.unproven[day.mints["AAPLx"]])) == {(110, 112)}


async def test_a_daemon_that_waits_at_a_parked_slot_goes_on_when_it_is_given_up(day: GoldenDay, dsn: str) -> None:
    import asyncio

    from support.command import start_tieout

    async with ReplayNode(day.blocks()) as node:
        node.override = lambda method, params: {"result": None} if method == "getBlock" and params[0] == 100 else None
        process = await start_tieout(
            "index", "run", "--rpc-url", node.url, "--dsn", dsn, "--from-slot", "58", "--mint", day.mints["AAPLx"],
            TIEOUT_PARKED_RETRY_INTERVAL_S="0.2",
        )  # fmt: skip
        async with asyncio.timeout(60):
            while await value(dsn, "select count(*) from ledger.parked") == 0:
                await asyncio.sleep(0.05)
            done = await tieout_here("index", "parked", "accept", "100", "--reason", "lost", "--dsn", dsn)
            assert done.code == 0, done.err
            while await value(dsn, "select max(to_slot) from ledger.coverage") < 152:
                await asyncio.sleep(0.05)
        process.terminate()
        await process.communicate()
    assert process.returncode == 0
    assert await value(dsn, "select count(*) from ledger.coverage where 100 between from_slot and to_slot") == 0
