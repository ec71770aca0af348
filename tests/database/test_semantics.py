"""What the views say of rows: multipliers, corrections, coverage, parked slots, and unknown that is never zero."""

import struct
from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest

from database.rows import MINT, T0, Rows, at
from tieout_database import Queries


def bits(value: float) -> bytes:
    return struct.pack("<d", value)


async def multiplier(
    rows: Rows, slot: int, value: float, effective: datetime | int, *, step: int = 0, batch: int = 1, tx: int = 0
) -> None:
    seconds = effective if isinstance(effective, int) else int(effective.timestamp())
    details = {"bits": bits(value).hex(), "effective_timestamp": seconds}
    await rows.add("control_row", kind="multiplier", slot=slot, step=step, tx_index=tx, batch=batch, details=details)


async def in_force(rows: Rows, when: datetime, known_batch: int | None = None) -> float | None:
    found = await rows.value("select ledger.multiplier_at($1, $2, $3)", MINT, when, known_batch)
    return None if found is None else float(struct.unpack("<d", found)[0])


async def test_a_multiplier_counts_from_its_hour_on(rows: Rows) -> None:
    await multiplier(rows, 1, 1.0, 0)
    await multiplier(rows, 10, 2.0, at(50))
    assert [await in_force(rows, at(s)) for s in (0, 1, 49, 50, 51)] == [None, 1.0, 1.0, 2.0, 2.0]
    shown = await rows.fetch(
        "select effective_at, announced_slot, bits, value, superseded_slot from ledger.multipliers order by 2"
    )
    assert shown == [
        {"effective_at": at(1), "announced_slot": 1, "bits": bits(1.0), "value": Decimal(1), "superseded_slot": None},
        {"effective_at": at(50), "announced_slot": 10, "bits": bits(2.0), "value": Decimal(2), "superseded_slot": None},
    ]


async def test_one_replaced_before_its_hour_never_counted(rows: Rows) -> None:
    await multiplier(rows, 1, 1.0, 0)
    await multiplier(rows, 10, 2.0, at(50))
    await multiplier(rows, 20, 3.0, at(60))
    assert [await in_force(rows, at(s)) for s in (49, 50, 59, 60)] == [1.0, 1.0, 1.0, 3.0]
    shown = await rows.fetch("select announced_slot, superseded_slot from ledger.multipliers order by 1")
    assert [r["superseded_slot"] for r in shown] == [None, 20, None]


async def test_one_replaced_after_its_hour_counted_until_then(rows: Rows) -> None:
    await multiplier(rows, 1, 1.0, 0)
    await multiplier(rows, 10, 2.0, at(20))
    await multiplier(rows, 30, 3.0, at(40))
    assert [await in_force(rows, at(s)) for s in (19, 20, 39, 40)] == [1.0, 2.0, 2.0, 3.0]


async def test_an_update_at_the_very_second_of_the_hour_comes_after_it(rows: Rows) -> None:
    """The program takes the scheduled one over first (t ≥ ts), then notes the new one."""
    await multiplier(rows, 1, 1.0, 0)
    await multiplier(rows, 10, 2.0, at(20))
    await multiplier(rows, 20, 3.0, at(40))
    assert [await in_force(rows, at(s)) for s in (19, 20, 39, 40)] == [1.0, 2.0, 2.0, 3.0]


async def test_two_updates_in_one_transaction_re_assert_and_schedule(rows: Rows) -> None:
    """As the live xStocks do: the value in force again at once, then the next one at its hour."""
    await multiplier(rows, 1, 1.5, 0)
    await multiplier(rows, 10, 1.5, 0, step=2)
    await multiplier(rows, 10, 2.0, at(50), step=3)
    assert [await in_force(rows, at(s)) for s in (9, 10, 49, 50)] == [1.5, 1.5, 1.5, 2.0]


async def test_of_two_at_once_in_one_second_the_later_step_counts(rows: Rows) -> None:
    await multiplier(rows, 10, 1.5, at(10), step=0)
    await multiplier(rows, 10, 2.5, at(10), step=1)
    assert await in_force(rows, at(10)) == 2.5


async def test_one_set_for_a_past_hour_counts_from_its_own_block(rows: Rows) -> None:
    await multiplier(rows, 10, 2.0, at(3))
    assert [await in_force(rows, at(s)) for s in (3, 9, 10)] == [None, None, 2.0]


@pytest.mark.parametrize("seconds", [2**63 - 1, 10**15])
async def test_one_set_for_beyond_the_calendar_never_counts(rows: Rows, seconds: int) -> None:
    await multiplier(rows, 1, 1.0, 0)
    await multiplier(rows, 10, 2.0, seconds)
    assert await in_force(rows, datetime(9999, 1, 1, tzinfo=T0.tzinfo)) == 1.0
    assert await rows.value("select count(*) from ledger.multipliers where effective_at = 'infinity'") == 1


async def test_a_negative_hour_is_the_beginning_of_time(rows: Rows) -> None:
    await multiplier(rows, 10, 2.0, -(2**63))
    assert await in_force(rows, at(10)) == 2.0


async def test_a_multiplier_is_as_it_was_known_at_a_batch(rows: Rows) -> None:
    await multiplier(rows, 1, 1.0, 0, batch=1)
    await multiplier(rows, 10, 2.0, at(10), batch=2)
    await rows.add("retraction_row", relation="control", slot=10, row_batch=2, batch=3)
    assert [await in_force(rows, at(20), known) for known in (1, 2, 3, None)] == [1.0, 2.0, 1.0, 1.0]


async def genesis(rows: Rows, to_slot: int = 9) -> None:
    """A mint known from its creation in slot 1, a hundred issued to account a, thirty moved to b, ten burned."""
    await rows.batches(4)
    await rows.add("tracked_row")
    await rows.add("coverage_row", to_slot=to_slot)
    await rows.add("control_row", kind="mint_open", details={"decimals": 8})
    await rows.add("control_row", kind="open", step=1, account="a", details={"owner": "oa"})
    await rows.add("event_row", slot=2, kind="mint", source="issuance", source_owner=None, destination="a", amount=100)
    await rows.add("touch_row", slot=2, account="a", pre_amount=0, post_amount=100)
    await rows.add("event_row", slot=3, amount=30)
    await rows.add("touch_row", slot=3, account="a", pre_amount=100, post_amount=70)
    await rows.add("touch_row", slot=3, account="b", pre_amount=0, post_amount=30, pre_owner="ob", post_owner="ob")
    await rows.add(
        "event_row", slot=4, kind="burn", source="b", destination="issuance", destination_owner=None, amount=10
    )
    await rows.add("touch_row", slot=4, account="b", pre_amount=30, post_amount=20, pre_owner="ob", post_owner="ob")


async def balances(rows: Rows, slot: int, known_batch: int | None = None) -> dict[str, Any]:
    found = await rows.fetch("select account, amount from ledger.balances_at($1, $2, $3)", MINT, slot, known_batch)
    return {r["account"]: int(r["amount"]) for r in found}


async def supply(rows: Rows, slot: int, known_batch: int | None = None) -> int | None:
    found = await rows.value("select ledger.supply_at($1, $2, $3)", MINT, slot, known_batch)
    return None if found is None else int(found)


async def test_balances_and_supply_are_as_of_a_slot(rows: Rows) -> None:
    await genesis(rows)
    assert [await supply(rows, slot) for slot in (0, 1, 2, 3, 4, 9)] == [0, 0, 100, 100, 90, 90]
    assert [await balances(rows, slot) for slot in (1, 2, 3, 4)] == [
        {},
        {"a": 100},
        {"a": 70, "b": 30},
        {"a": 70, "b": 20},
    ]
    assert await rows.fetch(
        "select account, amount, owner, opened_slot, last_slot from ledger.balances order by 1"
    ) == [
        {"account": "a", "amount": 70, "owner": "oa", "opened_slot": 1, "last_slot": 3},
        {"account": "b", "amount": 20, "owner": "ob", "opened_slot": None, "last_slot": 4},
    ]
    assert await rows.fetch("select * from ledger.supply") == [
        {"mint": MINT, "decimals": 8, "supply": 90, "last_slot": 4}
    ]


async def test_the_other_side_of_a_mint_and_a_burn_is_null(rows: Rows) -> None:
    await genesis(rows)
    shown = await rows.fetch("select kind, source, destination from ledger.events order by slot")
    assert [tuple(r.values()) for r in shown] == [("mint", None, "a"), ("transfer", "a", "b"), ("burn", "b", None)]


async def test_a_correction_changes_the_present_and_no_past_knowledge(rows: Rows) -> None:
    await genesis(rows)
    await rows.add("retraction_row", slot=4, row_batch=1, batch=2)
    await rows.add(
        "event_row", slot=4, kind="burn", source="b", destination="issuance", destination_owner=None, amount=15, batch=3
    )
    assert [await supply(rows, 9, known) for known in (1, 2, 3, None)] == [90, 100, 85, 85]
    assert [(await balances(rows, 9, known))["b"] for known in (1, 2, 3, None)] == [20, 30, 15, 15]
    assert await rows.value("select supply from ledger.supply") == 85
    assert await rows.value("select count(*) from ledger.events where slot = 4") == 1
    assert await rows.value("select count(*) from ledger.events_known(1) where slot = 4 and amount = 10") == 1


async def test_before_anything_was_known_everything_is_unknown(rows: Rows) -> None:
    await genesis(rows)
    assert await supply(rows, 4, 0) is None
    assert await balances(rows, 4, 0) == {}


async def test_beyond_what_is_proven_everything_is_unknown(rows: Rows) -> None:
    await genesis(rows)
    assert await supply(rows, 10) is None
    assert await balances(rows, 10) == {}


async def test_a_mint_picked_up_in_mid_life_is_unknown_not_zero(rows: Rows) -> None:
    await rows.batches(1)
    await rows.add("tracked_row", from_slot=5)
    await rows.add("coverage_row", from_slot=5)
    await rows.add("event_row", slot=6)
    await rows.add("touch_row", slot=6)
    assert await rows.value("select opening from ledger.tracked") == "unknown"
    assert await rows.value("select supply from ledger.supply") is None
    assert {r["amount"] for r in await rows.fetch("select amount from ledger.balances")} == {None}
    assert await supply(rows, 6) is None


async def coverage(rows: Rows, known_batch: int | None = None) -> list[tuple[int, int]]:
    found = await rows.fetch(
        "select * from ledger.coverage_known($1) where mint = $2 order by from_slot", known_batch, MINT
    )
    return [(r["from_slot"], r["to_slot"]) for r in found]


async def test_coverage_merges_what_touches_or_overlaps(rows: Rows) -> None:
    for batch, (first, last) in enumerate([(0, 4), (5, 9), (20, 30), (25, 40), (60, 60), (12, 12)], 1):
        await rows.add("coverage_row", from_slot=first, to_slot=last, batch=batch)
    await rows.add("coverage_row", mint="N", from_slot=0, to_slot=100)
    assert await coverage(rows) == [(0, 9), (12, 12), (20, 40), (60, 60)]
    assert await coverage(rows, 3) == [(0, 9), (20, 30)]
    shown = await rows.fetch("select from_slot, to_slot from ledger.coverage where mint = $1 order by 1", MINT)
    assert [tuple(r.values()) for r in shown] == await coverage(rows)


async def test_coverage_ends_before_a_quarantine_and_is_restored_by_its_retraction(rows: Rows) -> None:
    await rows.add("coverage_row", from_slot=0, to_slot=9, batch=1)
    await rows.add("coverage_row", from_slot=20, to_slot=30, batch=1)
    await rows.add("quarantine_row", slot=5, batch=2)
    assert await coverage(rows) == [(0, 4)]
    await rows.add("quarantine_row", slot=0, batch=3)
    assert await coverage(rows) == []
    await rows.add("retraction_row", relation="quarantine", slot=0, row_batch=3, batch=4)
    assert await coverage(rows) == [(0, 4)]
    await rows.add("retraction_row", relation="quarantine", slot=5, row_batch=2, batch=5)
    assert await coverage(rows) == [(0, 9), (20, 30)]
    assert await rows.value("select count(*) from ledger.quarantine") == 0
    assert [await coverage(rows, known) for known in (1, 2, 3, 4)] == [[(0, 9), (20, 30)], [(0, 4)], [], [(0, 4)]]


async def test_a_quarantine_of_one_mint_leaves_the_others_proven(rows: Rows) -> None:
    await rows.add("coverage_row")
    await rows.add("quarantine_row", mint="N")
    assert await coverage(rows) == [(0, 9)]


async def parked(rows: Rows) -> list[dict[str, Any]]:
    return await rows.fetch("select slot, reason, since from ledger.parked order by slot")


async def test_a_slot_is_parked_since_it_was_last_parked_anew(rows: Rows) -> None:
    await rows.add("park_row", slot=7, reason="first", at=at(0), batch=1)
    await rows.add("park_row", slot=7, reason="still", at=at(10), batch=2)
    assert await parked(rows) == [{"slot": 7, "reason": "still", "since": at(0)}]
    await rows.add("park_row", slot=7, action="clear", reason="", at=at(20), batch=3)
    assert await parked(rows) == []
    await rows.add("park_row", slot=7, reason="again", at=at(30), batch=4)
    await rows.add("park_row", slot=9, reason="other", at=at(30), batch=4)
    assert await parked(rows) == [
        {"slot": 7, "reason": "again", "since": at(30)}, {"slot": 9, "reason": "other", "since": at(30)},
    ]  # fmt: skip
    await rows.add("park_row", slot=7, action="accept", reason="lost for good", at=at(40), batch=5)
    assert [p["slot"] for p in await parked(rows)] == [9]


async def test_a_transaction_is_as_well_proven_as_its_weakest_mint(rows: Rows) -> None:
    await rows.add("proof_row", status="exact", mint="A")
    await rows.add("proof_row", status="unproven", mint="B", batch=2)
    await rows.add("proof_row", status="derived", mint="C")
    assert await rows.fetch("select * from ledger.proofs") == [
        {"slot": 1, "tx_index": 0, "status": "unproven", "batch": 2}
    ]
    await rows.add("retraction_row", relation="proof", step=0, child=0, mint="B", row_batch=2, batch=3)
    assert [r["status"] for r in await rows.fetch("select status from ledger.proofs")] == ["derived"]


async def test_an_account_frozen_thawed_and_closed_says_so(rows: Rows) -> None:
    await genesis(rows)
    await rows.add("control_row", kind="freeze", slot=5, account="a")
    assert await rows.value("select frozen from ledger.balances where account = 'a'") is True
    assert await rows.value("select frozen from ledger.balances_at('M', 4) where account = 'a'") is False
    assert await rows.value("select frozen from ledger.balances_at('M', 5) where account = 'a'") is True
    await rows.add("control_row", kind="thaw", slot=6, account="a")
    await rows.add("control_row", kind="close", slot=7, account="a")
    assert await rows.fetch("select frozen, closed_slot from ledger.balances where account = 'a'") == [
        {"frozen": False, "closed_slot": 7}
    ]
    await rows.add("control_row", kind="open", slot=8, account="a", details={"owner": "oz", "frozen": True})
    assert await rows.fetch("select frozen, opened_slot, closed_slot from ledger.balances where account = 'a'") == [
        {"frozen": True, "opened_slot": 8, "closed_slot": None}
    ]


async def test_the_writers_look_at_the_last_touches_uses_its_index(rows: Rows) -> None:
    await rows.db.execute("select ledger.ensure_partition(0), ledger.ensure_partition(10000000)")
    await rows.db.execute(
        "insert into ledger.touch_row select n, 0, 'M', 'account ' || n % 500, 8, 0, 0, 'o', 'o', 1 "
        "from generate_series(1, 20000) n"
    )
    await rows.db.execute("analyze ledger.touch_row")
    plan = await rows.fetch(
        "explain (costs off) " + Queries("tieout_indexer", "writer.sql")["last_touches"],
        ["M"] * 5, [f"account {n}" for n in range(5)], [0] * 5, 20_000,
    )  # fmt: skip
    text = "\n".join(r["QUERY PLAN"] for r in plan)
    assert "mint_account_slot_tx_index_idx" in text
    assert "Seq Scan on touch_row" not in text
