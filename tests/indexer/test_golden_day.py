"""A whole day recorded from a real validator, indexed by the command a user runs."""

import pytest

from support.command import tieout_here
from support.database import query, value
from support.ledger import ledger
from support.replay import GoldenDay, ReplayNode
from tieout_database import clean_text
from tieout_database.text import CUT
from tieout_indexer import IndexerLimits, backfill, decode, redecode


def mint_options(day: GoldenDay) -> list[str]:
    return [part for mint in day.mints.values() for part in ("--mint", mint)]


async def backfilled(day: GoldenDay, dsn: str) -> None:
    async with ReplayNode(day.blocks()) as node:
        done = await backfill([node.url], dsn, list(day.mints.values()), day.first, day.last)
    assert done.complete, done


async def test_the_command_exits_0_and_every_balance_and_supply_equals_the_manifest(day: GoldenDay, dsn: str) -> None:
    async with ReplayNode(day.blocks()) as node:
        done = await tieout_here(
            "index", "backfill", "--rpc-url", node.url, "--dsn", dsn, *mint_options(day),
            "--from-slot", str(day.first), "--to-slot", str(day.last), "--json",
        )  # fmt: skip
    assert done.code == 0, done.err
    assert done.json["complete"] is True
    balances = {
        (r["mint"], r["account"]): r["amount"]
        for r in await query(dsn, "select mint, account, amount from ledger.balances")
    }
    for name, amount in day.manifest["final_raw_balances"].items():
        mint = day.mints[name.split(":")[1]]
        assert balances[mint, day.address[name]] == int(amount), name
    supplies = {r["mint"]: r["supply"] for r in await query(dsn, "select mint, supply from ledger.supply")}
    assert supplies == {day.mints[s]: int(v) for s, v in day.manifest["final_raw_supply"].items()}


async def test_a_failed_transaction_yields_no_row_and_each_successful_one_is_proven(day: GoldenDay, dsn: str) -> None:
    await backfilled(day, dsn)
    failed = [s["signature"] for s in day.manifest["steps"] if s.get("err")]
    assert len(failed) >= 9
    for view in ("events", "controls", "quarantine"):
        assert await value(dsn, f"select count(*) from ledger.{view} where signature = any($1)", failed) == 0
    proofs = {(r["slot"], r["tx_index"]): r["status"] for r in await query(dsn, "select * from ledger.proofs")}
    blocks = day.blocks()
    for step in day.manifest["steps"]:
        if "slot" not in step or step["err"]:
            continue
        transactions = blocks[step["slot"]]["transactions"]
        index = next(i for i, t in enumerate(transactions) if step["signature"] in t["transaction"]["signatures"])
        keys = transactions[index]["transaction"]["message"]["accountKeys"]
        rows = transactions[index]["meta"]["postTokenBalances"] + transactions[index]["meta"]["preTokenBalances"]
        if rows or any(mint in keys for mint in day.mints.values()):
            assert proofs[step["slot"], index] == "exact", step["label"]


@pytest.mark.parametrize(
    ("label", "expected"),
    [
        ("bob spends alice by delegation to venue", [("transfer", 400_000_000, "delegate")]),
        ("seize: thaw, delegate moves, freeze", [("transfer", 1_000_000_000, "permanent_delegate")]),
        ("forced burn: thaw, delegate burns, freeze", [("burn", 200_000_000, "permanent_delegate")]),
        ("self transfer", None),
        ("zero transfer", [("transfer", 0, "owner")]),
        ("burn from treasury", None),
    ],
)
async def test_events_say_who_did_what(
    day: GoldenDay, dsn: str, label: str, expected: list[tuple[str, int, str]] | None
) -> None:
    await backfilled(day, dsn)
    signature = next(s["signature"] for s in day.manifest["steps"] if s["label"] == label)
    rows = await query(dsn, "select * from ledger.events where signature = $1 order by step, child", signature)
    assert rows
    if expected is not None:
        assert [(r["kind"], int(r["amount"]), r["authority_role"]) for r in rows] == expected
    if label == "self transfer":
        assert rows[0]["source"] == rows[0]["destination"]
    if label == "burn from treasury":
        assert rows[0]["destination"] is None


async def test_an_owner_change_without_a_transfer_moves_the_balance_to_the_new_owner(day: GoldenDay, dsn: str) -> None:
    await backfilled(day, dsn)
    loose = day.address["loose-account"]
    changes = await query(dsn, "select details from ledger.controls where account = $1 and kind = 'owner'", loose)
    assert [(c["details"]["old"], c["details"]["new"]) for c in changes] == [(day.address["alice"], day.address["bob"])]
    owner = await value(dsn, "select owner from ledger.balances where account = $1", loose)
    assert owner == day.address["bob"]


async def test_an_account_opened_used_and_closed_in_one_transaction_leaves_a_closed_life(
    day: GoldenDay, dsn: str
) -> None:
    await backfilled(day, dsn)
    account = day.address["ata:AAPLx:transient"]
    rows = await query(dsn, "select * from ledger.balances where account = $1", account)
    assert [(r["amount"], r["opened_slot"], r["closed_slot"]) for r in rows] == [(0, 103, 103)]


async def test_the_multiplier_timeline_has_the_bits_the_hour_and_what_was_superseded(day: GoldenDay, dsn: str) -> None:
    await backfilled(day, dsn)
    mint = day.mints["AAPLx"]
    steps = await query(
        dsn,
        "select announced_slot, bits, superseded_slot from ledger.multipliers where mint = $1 order by 1, effective_at",
        mint,
    )
    assert [s["announced_slot"] for s in steps][:2] == [60, 82]
    assert steps[1]["bits"].hex() == "052edfce630df03f"
    in_force = await value(
        dsn, "select ledger.multiplier_at($1, (select block_time from ledger.slots where slot = 82))", mint
    )
    assert in_force.hex() == "052edfce630df03f"


async def test_figures_at_a_slot_are_those_of_that_slot_and_unknown_outside_the_proven_range(
    day: GoldenDay, dsn: str
) -> None:
    await backfilled(day, dsn)
    mint = day.mints["AAPLx"]
    assert await value(dsn, "select ledger.supply_at($1, 66)", mint) == 100_000_000_000
    assert await value(dsn, "select ledger.supply_at($1, 59)", mint) == 0
    assert await value(dsn, "select ledger.supply_at($1, 153)", mint) is None
    treasury = day.address["ata:AAPLx:treasury"]
    at_66 = await query(dsn, "select amount from ledger.balances_at($1, 66) where account = $2", mint, treasury)
    assert [r["amount"] for r in at_66] == [100_000_000_000]


async def test_reading_it_again_writes_nothing(day: GoldenDay, dsn: str) -> None:
    await backfilled(day, dsn)
    before = await ledger(dsn, batches=True)
    batches = await value(dsn, "select max(batch) from ledger.batches")
    await backfilled(day, dsn)
    assert await ledger(dsn, batches=True) == before
    assert await value(dsn, "select max(batch) from ledger.batches") == batches


async def test_a_redecode_that_changes_nothing_appends_nothing(day: GoldenDay, dsn: str) -> None:
    await backfilled(day, dsn)
    before = await ledger(dsn, batches=True)
    done = await tieout_here("index", "redecode", "--dsn", dsn, "--json")
    assert (done.code, done.json["appended"], done.json["retracted"]) == (0, 0, 0), done.err
    assert await ledger(dsn, batches=True) == before


async def test_a_redecode_marks_what_was_cut_and_leaves_all_other_rows(
    day: GoldenDay, dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = IndexerLimits(memo_characters_max=8)
    with monkeypatch.context() as older:
        older.setattr(decode, "marked_text", lambda raw, limit: clean_text(raw, limit)[0])
        async with ReplayNode(day.blocks()) as node:
            mints = list(day.mints.values())
            assert (await backfill([node.url], dsn, mints, day.first, day.last, limits=limits)).complete
    memos = "select signature, step, child, memo from ledger.events order by slot, tx_index, step, child"
    before = await query(dsn, memos)
    cut = [r for r in before if r["memo"] is not None and len(r["memo"]) == 8]
    assert 0 < len(cut) < len(before)
    appended, retracted = await redecode(dsn, day.first, day.last, limits=limits)
    assert appended == retracted == len(cut)
    assert await query(dsn, memos) == [{**r, "memo": r["memo"] + CUT} if r in cut else r for r in before]
    assert await redecode(dsn, day.first, day.last, limits=limits) == (0, 0)


async def test_one_mint_first_and_the_other_later_gives_the_rows_of_both_at_once(
    day: GoldenDay, dsn: str, empty_dsn: str
) -> None:
    assert (await tieout_here("db", "migrate", "--dsn", empty_dsn)).code == 0
    await backfilled(day, dsn)
    async with ReplayNode(day.blocks()) as node:
        for symbol in ("AAPLx", "TSLAx"):
            done = await backfill([node.url], empty_dsn, [day.mints[symbol]], day.first, day.last)
            assert done.complete
    assert await ledger(empty_dsn) == await ledger(dsn)


async def test_ranges_read_out_of_order_end_in_the_same_ledger(day: GoldenDay, dsn: str, empty_dsn: str) -> None:
    assert (await tieout_here("db", "migrate", "--dsn", empty_dsn)).code == 0
    await backfilled(day, dsn)
    mints = list(day.mints.values())
    async with ReplayNode(day.blocks()) as node:
        for first, last in ((110, 152), (58, 80), (90, 109), (81, 89)):
            assert (await backfill([node.url], empty_dsn, mints, first, last)).complete
        # Read in mid-life, the first ranges could not know the permanent delegate: evidence can now.
        assert (await tieout_here("index", "redecode", "--dsn", empty_dsn)).code == 0
    assert await ledger(empty_dsn) == await ledger(dsn)


async def test_a_node_of_another_chain_is_refused_with_both_hashes(day: GoldenDay, dsn: str) -> None:
    await backfilled(day, dsn)
    other = "9WzDXwBbmkg8ZTbNMqUxvQRAyrZzDsGYdLVL9zYtAWWM"
    async with ReplayNode(day.blocks(), genesis_hash=other) as node:
        done = await tieout_here(
            "index",
            "backfill",
            "--rpc-url",
            node.url,
            "--dsn",
            dsn,
            *mint_options(day),
            "--from-slot",
            "58",
            "--to-slot",
            "60",
        )
    assert done.code == 2
    assert other in done.err
    assert "1" * 32 in done.err


async def test_the_hash_chain_and_the_evidence_verify_and_tampering_is_found(day: GoldenDay, dsn: str) -> None:
    await backfilled(day, dsn)
    assert (await tieout_here("db", "verify", "--dsn", dsn)).code == 0
    await query(dsn, "alter table ledger.event_row disable trigger all")
    await query(dsn, "alter table ledger.event_row_000000 disable trigger all")
    await query(dsn, "update ledger.event_row set amount = amount + 1 where slot = 66")
    done = await tieout_here("db", "verify", "--dsn", dsn, "--json")
    assert done.code == 1
    assert [f["check"] for f in done.json["findings"]] == ["content"]


async def test_the_digests_kept_beside_a_batch_are_audited_like_its_rows(day: GoldenDay, dsn: str) -> None:
    await backfilled(day, dsn)
    await query(dsn, "alter table ledger.content_row disable trigger all")
    last = await value(dsn, "select max(batch) from ledger.content_row")
    changed = "update ledger.content_row set parts = translate(parts, '0123456789', '1234567890') where batch = $1"
    await query(dsn, changed, last)
    done = await tieout_here("db", "verify", "--dsn", dsn, "--json")
    assert (done.code, [(f["check"], f["subject"]) for f in done.json["findings"]]) == (
        1,
        [("content", f"batch {last}")],
    )
    await query(dsn, "delete from ledger.content_row where batch = $1", last)
    done = await tieout_here("db", "verify", "--dsn", dsn, "--json")
    assert (done.code, [f["check"] for f in done.json["findings"]]) == (1, ["content"])
