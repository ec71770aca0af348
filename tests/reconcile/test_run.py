"""The run, end to end on a real database: verdicts, findings, as-of on two axes, byte identity."""

import json
from datetime import timedelta
from fractions import Fraction
from typing import Any

import asyncpg
import pytest

import tieout_database
import tieout_reconcile
from reconcile.builders import (
    ISIN,
    MINT,
    ONE,
    OTHER_ISIN,
    REGISTRY,
    Book,
    address,
    at,
    codes,
    instrument,
    iso,
    issue,
    memo,
    redeem,
    signature,
    step,
    wallet,
)
from reconcile.controlling import take_back
from tieout_reconcile import NoRegistry, NotFound, NotReady, Verdict
from tieout_reconcile.canonical import Raw


async def day(book: Book, *, to_slot: int = 100) -> None:
    """1000 pre-minted, 250.5 issued to the participant against REQ-1."""
    await book.commit()
    await book.open_mint()
    await book.mint(10, "treasury", 1000 * ONE)
    await book.transfer(20, "treasury", "ap", 25_050_000_000, memo=memo("issue", "REQ-1"))
    await book.transfer(25, "ap", "alice", 50 * ONE)
    await book.track(to_slot)
    await book.registry()
    await book.orders(issue("REQ-1", "250.5"))


async def test_ties_out_when_custody_equals_what_left_the_treasury(book: Book) -> None:
    await day(book)
    await book.statement("250.5", 90)
    run = await book.run()
    aapl = run.instrument("AAPLx")
    assert aapl is not None
    assert run.verdict is Verdict.TIES_OUT
    assert run.clean
    assert run.findings == ()
    assert (aapl.supply, aapl.inventory, aapl.in_transit, aapl.circulating) == (
        1000 * ONE,
        74_950_000_000,
        0,
        25_050_000_000,
    )
    assert aapl.liability == aapl.custody == Fraction("250.5")
    assert aapl.difference == 0
    assert [(c.cause, c.matches[0].request_id, c.matches[0].rule) for c in aapl.crossings] == [
        ("order", "REQ-1", "memo")
    ]
    assert run.inputs.as_of_slot == 100
    assert run.inputs.as_of_time == at(100)


async def test_a_short_custody_file_is_under_backed_by_the_named_shares(book: Book) -> None:
    await day(book)
    await book.statement("250.25", 90)
    run = await book.run()
    assert run.verdict is Verdict.DOES_NOT_TIE_OUT
    assert codes(run) == ["B1"]
    assert "0.25 shares of AAPLx are not backed" in run.findings[0].summary
    assert run.findings[0].shares == Fraction("-0.25")


@pytest.mark.parametrize(
    ("custody", "verdict"),
    [
        ("250.5", "ties_out"),
        ("250.499999995", "ties_out"),
        ("250.49999999", "does_not_tie_out"),
        ("250.500000009", "ties_out"),
        ("250.50000001", "does_not_tie_out"),
        ("0", "does_not_tie_out"),
    ],
)
async def test_the_verdict_turns_at_one_whole_raw_unit(book: Book, custody: str, verdict: str) -> None:
    await day(book)
    await book.statement(custody, 90)
    assert (await book.run()).verdict == verdict


async def test_a_declared_buffer_and_a_whole_share_custodian_are_no_surplus(book: Book) -> None:
    await day(book)
    await book.registry(
        REGISTRY.replace("decimals = 8", 'decimals = 8\nbuffer_shares = "10"').replace("0.000000001", "1")
    )
    await book.statement("261", 90)
    run = await book.run()
    assert run.verdict is Verdict.TIES_OUT
    assert run.instruments[0].tolerance_over == 11
    assert "declared buffer 10" in run.instruments[0].tolerance_derivation
    await book.statement("261.5", 91)
    assert codes(await book.run()) == ["B2"]


async def test_a_mint_into_treasury_is_no_break(book: Book) -> None:
    await day(book)
    await book.mint(30, "treasury", 5000 * ONE)
    await book.statement("250.5", 90)
    assert (await book.run()).clean


async def test_a_release_without_an_order_is_named(book: Book) -> None:
    await day(book)
    sign = await book.transfer(40, "treasury", "mallory", 5 * ONE)
    await book.statement("255.5", 90)
    run = await book.run()
    assert run.verdict is Verdict.TIES_OUT
    assert not run.clean
    (found,) = run.breaks
    assert (found.code, found.name, found.signature) == ("C1", "MINT_NO_DEPOSIT", sign)
    assert (found.shares, found.raw) == (Fraction(5), 5 * ONE)
    assert sign in found.summary
    assert "5 shares of AAPLx (500000000 raw) released from treasury" in found.summary
    assert address("mallory") in found.summary


async def test_a_mint_straight_to_an_outsider_is_named(book: Book) -> None:
    await day(book)
    sign = await book.mint(40, "mallory", 7 * ONE)
    await book.statement("250.5", 90)
    run = await book.run()
    assert codes(run) == ["B1", "C1"]
    found = next(f for f in run.breaks if f.code == "C1")
    assert found.signature == sign
    assert "7 shares of AAPLx (700000000 raw) minted straight to" in found.summary


async def test_a_mint_to_an_outsider_against_an_order_is_no_break(book: Book) -> None:
    await day(book)
    await book.mint(40, "ap", 7 * ONE, memo="something else\nREQ-2")
    await book.orders(issue("REQ-2", "7"))
    await book.statement("257.5", 90)
    assert (await book.run()).clean


async def test_a_release_naming_an_unknown_request_says_so(book: Book) -> None:
    await day(book)
    await book.transfer(40, "treasury", "ap", ONE, memo=memo("issue", "REQ-404"))
    await book.orders(issue("REQ-2", "1", status="pending"))
    await book.statement("251.5", 90)
    (found,) = (await book.run()).breaks
    assert found.code == "C1"
    assert 'its memo names "REQ-404", which is no order of this instrument' in found.summary


async def test_a_hostile_memo_does_no_harm(book: Book) -> None:
    await day(book)
    await book.transfer(40, "treasury", "ap", ONE, memo="tieout/1 issue \x1b[2J\u202eevil\ufffd" + "x" * 500)
    await book.statement("251.5", 90)
    run = await book.run()
    (found,) = run.breaks
    assert found.code == "C1"
    assert found.summary.isprintable()
    assert await tieout_reconcile.latest_run(book.dsn) == run


async def test_tokens_in_the_redemption_wallet_stay_owed_until_the_journal_is_booked(book: Book) -> None:
    await day(book)
    await book.transfer(30, "alice", "redemption", 20 * ONE, memo=memo("redeem", "RED-1"))
    await book.orders(redeem("RED-1", "20", status="pending"))
    await book.statement("250.5", 90)
    run = await book.run()
    aapl = run.instruments[0]
    assert run.clean
    assert (aapl.in_transit, aapl.owed_returns, aapl.liability) == (20 * ONE, 20 * ONE, Fraction("250.5"))
    assert aapl.circulating == 23_050_000_000

    await book.orders(redeem("RED-1", "20", status="completed"))
    await book.statement("230.5", 95)
    run = await book.run()
    aapl = run.instruments[0]
    assert run.clean
    assert (aapl.in_transit, aapl.owed_returns, aapl.liability) == (20 * ONE, 0, Fraction("230.5"))


async def test_a_sweep_to_treasury_changes_nothing(book: Book) -> None:
    await day(book)
    await book.transfer(30, "alice", "redemption", 20 * ONE, memo=memo("redeem", "RED-1"))
    await book.transfer(35, "redemption", "treasury", 20 * ONE)
    await book.orders(redeem("RED-1", "20", status="pending"))
    await book.statement("250.5", 90)
    run = await book.run()
    assert run.clean
    assert (run.instruments[0].in_transit, run.instruments[0].owed_returns) == (0, 20 * ONE)


async def test_an_order_settled_after_the_cut_off_was_still_pending(book: Book) -> None:
    await day(book)
    await book.transfer(30, "alice", "redemption", 20 * ONE, memo="RED-1")
    await book.orders(redeem("RED-1", "20", settled_at=at(80).isoformat()))
    await book.statement("250.5", 30)
    assert (await book.run(79)).clean
    assert codes(await book.run(80)) == ["B2"]


async def test_a_return_without_an_order_is_named_and_stays_owed(book: Book) -> None:
    await day(book)
    await book.transfer(30, "alice", "redemption", 20 * ONE)
    await book.statement("250.5", 90)
    run = await book.run()
    assert run.verdict is Verdict.TIES_OUT
    assert codes(run) == ["C3"]
    assert "returned by" in run.breaks[0].summary


async def test_a_rejected_redemption_is_owed_until_given_back(book: Book) -> None:
    await day(book)
    await book.transfer(30, "alice", "redemption", 20 * ONE, memo="RED-1")
    await book.orders(redeem("RED-1", "20", status="rejected"))
    await book.statement("250.5", 90)
    run = await book.run()
    assert run.clean
    assert run.instruments[0].owed_returns == 20 * ONE
    await book.transfer(40, "redemption", "alice", 20 * ONE)
    run = await book.run()
    assert run.clean
    assert run.instruments[0].owed_returns == 0
    assert [c.cause for c in run.instruments[0].crossings] == ["order", "order", "refund"]


async def test_a_redemption_by_burning_is_owed_until_its_shares_are_delivered(book: Book) -> None:
    await book.commit()
    await book.open_mint()
    await book.mint(10, "treasury", 1000 * ONE)
    await book.transfer(20, "treasury", "ap", 100 * ONE, memo=memo("issue", "REQ-1"))
    await book.burn(30, "ap", 40 * ONE, memo=memo("redeem", "RED-1"))
    await book.track(100)
    await book.registry()
    await book.orders(issue("REQ-1", "100"), redeem("RED-1", "40", status="pending"))
    await book.statement("100", 90)
    pending = await book.run()
    assert pending.clean
    assert (pending.instruments[0].liability, pending.instruments[0].owed_returns) == (Fraction(100), Raw(40 * ONE))
    assert (await tieout_reconcile.coverage(book.dsn)).instruments[0].liability == 100
    await book.orders(redeem("RED-1", "40", settled_at=iso(95)))
    await book.statement("60", 96)
    assert (await book.run()).clean


async def test_a_holder_burn_lowers_the_liability_and_a_seizure_does_not(book: Book) -> None:
    await day(book)
    await book.burn(30, "alice", 3)
    await book.transfer(40, "alice", "treasury", 5 * ONE, role="permanent_delegate")
    await book.burn(50, "alice", 2 * ONE, role="permanent_delegate")
    await book.statement("250.49999997", 90)
    run = await book.run()
    aapl = run.instruments[0]
    assert run.clean
    assert codes(run, notices=True) == ["A9", "A9", "C3"]
    assert sorted(c.cause for c in aapl.crossings) == ["dust", "forced", "forced", "order"]
    assert aapl.owed_forced == 7 * ONE
    assert aapl.liability == Fraction("250.49999997")


async def test_a_completed_order_without_a_movement_is_named(book: Book) -> None:
    await day(book)
    await book.orders(issue("REQ-2", "10"), redeem("RED-2", "4"), issue("REQ-3", "1", status="pending"))
    await book.statement("250.5", 90)
    run = await book.run()
    assert {f.code: f.request_id for f in run.breaks} == {"C2": "REQ-2", "C4": "RED-2"}
    assert "order REQ-2 to issue 10 shares of AAPLx is completed, but no movement of tokens" in run.findings[0].summary


async def test_quantity_mismatch_duplicate_wrong_party_and_rejected_are_named(book: Book) -> None:
    await day(book)
    await book.transfer(30, "treasury", "ap", 11 * ONE, memo=memo("issue", "REQ-2"))
    await book.transfer(31, "treasury", "ap", 25_050_000_000, memo=memo("issue", "REQ-1"))
    await book.transfer(32, "treasury", "mallory", 3 * ONE, memo=memo("issue", "REQ-3"))
    await book.transfer(33, "treasury", "ap", 2 * ONE, memo=memo("issue", "REQ-4"))
    await book.orders(
        issue("REQ-2", "10"),
        issue("REQ-3", "3", wallet=address("ap")),
        issue("REQ-4", "2", status="rejected"),
    )
    await book.statement("517", 90)
    run = await book.run()
    assert {f.code: f.request_id for f in run.breaks} == {"C5": "REQ-2", "C7": "REQ-1", "C9": "REQ-3", "C12": "REQ-4"}


async def test_two_orders_naming_one_transaction_are_a_duplicate_reference(book: Book) -> None:
    await day(book)
    sign = await book.transfer(30, "treasury", "ap", 10 * ONE)
    await book.orders(issue("REQ-2", "10", signature=sign), issue("REQ-3", "10", signature=sign))
    await book.statement("260.5", 90)
    (found,) = (await book.run()).breaks
    assert (found.code, found.request_id) == ("C7", "REQ-3")


async def test_an_order_may_be_filled_by_several_releases(book: Book) -> None:
    await day(book)
    await book.transfer(30, "treasury", "ap", 4 * ONE, memo="REQ-2")
    await book.transfer(31, "treasury", "ap", 6 * ONE, memo="REQ-2")
    await book.orders(issue("REQ-2", "10"))
    await book.statement("260.5", 90)
    assert (await book.run()).clean


async def test_quantity_matches_within_the_window_only_and_is_derived(book: Book) -> None:
    await day(book)
    await book.transfer(30, "treasury", "ap", 10 * ONE)
    await book.orders(issue("REQ-2", "10", created_at=(at(30) - timedelta(days=8)).isoformat()))
    await book.statement("260.5", 90)
    assert codes(await book.run()) == ["C1", "C2"]
    await book.orders(issue("REQ-2", "10", created_at=(at(30) - timedelta(days=6)).isoformat()))
    run = await book.run()
    assert codes(run) == ["C8"]
    assert "4 business days on, 2 are allowed" in run.breaks[0].summary
    assert run.instruments[0].crossings[1].matches[0].status == "derived"
    await book.orders(issue("REQ-2", "10", created_at=(at(30) - timedelta(days=4)).isoformat()))
    assert (await book.run()).clean


async def test_a_missing_statement_is_incomplete_never_zero(book: Book) -> None:
    await day(book)
    run = await book.run()
    assert run.verdict is Verdict.INCOMPLETE
    assert codes(run) == ["B6"]
    assert run.instruments[0].custody is None
    assert run.instruments[0].difference is None
    assert run.instruments[0].liability == Fraction("250.5")
    assert (await tieout_reconcile.headroom(book.dsn, "AAPLx", now=at(100))).shares is None


async def test_a_position_that_the_statement_lacks_is_unknown(book: Book) -> None:
    await day(book)
    await book.registry(REGISTRY + instrument("TSLAx", address("m2"), OTHER_ISIN))
    await book.statement("250.5", 90)
    run = await book.run()
    assert run.instrument("AAPLx").verdict is Verdict.TIES_OUT  # type: ignore[union-attr]
    tesla = run.instrument("TSLAx")
    assert tesla is not None
    assert tesla.verdict is Verdict.INCOMPLETE
    assert any("not indexed" in reason for reason in tesla.reasons)
    assert any(f"no position in {OTHER_ISIN}" in reason for reason in tesla.reasons)
    assert run.verdict is Verdict.INCOMPLETE


async def test_statements_of_the_future_and_of_long_ago_do_not_count(book: Book) -> None:
    await day(book)
    await book.statement("250.5", 150)
    run = await book.run()
    assert codes(run) == ["B6"]
    assert "after it" in run.instruments[0].reasons[0]
    await book.statement("250.5", -121 * 3600)
    assert codes(await book.run()) == ["B5"]


async def test_an_account_that_is_no_collateral_does_not_count(book: Book) -> None:
    await day(book)
    await book.registry(REGISTRY + "valid_from = 2027-01-01T00:00:00Z\n")
    await book.statement("250.5", 90)
    run = await book.run()
    assert run.verdict is Verdict.INCOMPLETE
    assert "no custody account" in run.instruments[0].reasons[0]


async def test_a_later_file_supersedes_a_statement_and_the_older_one_stays(book: Book) -> None:
    await day(book)
    await book.statement("200", 90)
    before = await book.run()
    await book.statement("250.5", 90)
    assert before.verdict is Verdict.DOES_NOT_TIE_OUT
    assert (await book.run()).clean
    again = await book.run(before.inputs.as_of_slot, known_load=before.inputs.known_load)
    assert again.canonical_json() == before.canonical_json()
    listed = await tieout_reconcile.list_statements(book.dsn)
    assert [s.superseded for s in listed] == [True, False]


async def test_a_mint_picked_up_in_mid_life_is_incomplete(book: Book) -> None:
    await book.commit()
    await book.mint(60, "mallory", ONE)
    await book.track(100, from_slot=50)
    await book.registry()
    await book.statement("0", 90)
    run = await book.run()
    assert run.verdict is Verdict.INCOMPLETE
    assert run.instruments[0].supply is None
    assert "mid-life" in run.instruments[0].reasons[0]
    # what is proven to have happened is named all the same
    assert "C1" in codes(run)


async def test_a_slot_beyond_the_proven_range_is_incomplete(book: Book) -> None:
    await day(book)
    await book.statement("250.5", 90)
    run = await book.run(101)
    assert run.verdict is Verdict.INCOMPLETE
    assert run.instruments[0].supply is None
    assert "proven to slot 100 only" in run.instruments[0].reasons[0]


async def test_a_quarantined_mint_is_incomplete_and_does_not_hold_the_others_back(book: Book) -> None:
    await day(book)
    other = address("m2")
    await book.open_mint(mint=other)
    await book.track(100, mint=other)
    await book.registry(REGISTRY + instrument("TSLAx", other, OTHER_ISIN))
    await book.db.execute(
        "insert into ledger.quarantine_row values (50, 0, 0, -1, 's', '0', $1, 'unknown instruction', '', $2)",
        other,
        book.batch,
    )
    await book.statement("250.5", 90)
    run = await book.run()
    assert run.inputs.as_of_slot == 100
    assert run.instrument("AAPLx").verdict is Verdict.TIES_OUT  # type: ignore[union-attr]
    assert run.instrument("TSLAx").verdict is Verdict.INCOMPLETE  # type: ignore[union-attr]


async def test_decimals_that_disagree_and_an_unknown_multiplier_are_incomplete(book: Book) -> None:
    await book.commit()
    await book.open_mint(decimals=6, multiplier=None)
    await book.multiplier(50, 2.0, 0)
    await book.track(100)
    await book.registry()
    await book.statement("0", 90, name="p.csv")
    run = await book.run()
    assert codes(run) == ["A7"]
    assert run.instruments[0].liability is None
    await book.statement("0", 40)
    assert codes(await book.run(49)) == ["A7", "B12"]


async def test_a_mint_without_scaling_counts_one_to_one(book: Book) -> None:
    await book.commit()
    await book.open_mint(multiplier=None)
    await book.track(100)
    await book.registry()
    await book.statement("0", 90)
    run = await book.run()
    assert run.clean
    assert run.instruments[0].multiplier == Fraction(1)
    assert run.instruments[0].multiplier_bits is None


async def test_the_multiplier_in_force_at_each_movement_compares_orders_in_shares(book: Book) -> None:
    await day(book)
    await book.multiplier(30, 2.0, 60)
    await book.transfer(40, "treasury", "ap", 10 * ONE, memo="REQ-2")
    await book.transfer(70, "treasury", "ap", 10 * ONE, memo="REQ-3")
    await book.orders(issue("REQ-2", "10"), issue("REQ-3", "20"))
    await book.records("actions", step("SPLIT-1", 60, "2"))
    await book.statement("541", 95)
    run = await book.run()
    assert run.clean
    assert run.instruments[0].liability == 541
    assert [c.shares for c in run.instruments[0].crossings] == [Fraction("250.5"), 10, 20]
    await book.statement("260.5", 50)
    before = await book.run(59)
    assert before.verdict is Verdict.TIES_OUT


async def test_an_odd_multiplier_fits_within_one_raw_unit(book: Book) -> None:
    await day(book)
    await book.multiplier(30, 1.0032690125398187, 0)
    value = Fraction(1.0032690125398187)
    raw = int(10 * 10**8 / value)
    await book.transfer(40, "treasury", "ap", raw, memo="REQ-2")
    await book.transfer(41, "treasury", "ap", raw - 1, memo="REQ-3")
    await book.orders(issue("REQ-2", "10"), issue("REQ-3", "10"))
    await book.statement("1", 95)
    run = await book.run()
    assert [f.request_id for f in run.breaks if f.code == "C5"] == ["REQ-3"]
    assert run.instruments[0].liability == (25_050_000_000 + 2 * raw - 1) * value / 10**8


async def test_a_wallet_whose_role_begins_or_ends_with_tokens_in_it_is_named(book: Book) -> None:
    await day(book)
    until = f"valid_to = {at(80).isoformat()}"
    await book.registry(REGISTRY + wallet("owner", address("alice"), "inventory", at(50).isoformat(), until))
    await book.statement("200.5", 45)
    within = await book.run(60)
    assert within.verdict is Verdict.TIES_OUT
    assert codes(within) == ["D3"]
    assert "entered the boundary because the registry changed the role" in within.breaks[0].summary
    after = await book.run(90)
    assert codes(after) == ["B1", "D3", "D3"]
    before = await book.run(49)
    assert codes(before) == ["B1"]


async def test_an_owner_change_without_a_transfer_crosses_the_boundary(book: Book) -> None:
    await day(book)
    sign = await book.hand_over(40, "treasury", "mallory")
    await book.statement("250.5", 90)
    run = await book.run()
    assert codes(run) == ["B1", "C1"]
    found = next(f for f in run.breaks if f.code == "C1")
    assert (found.signature, found.raw) == (sign, 74_950_000_000)
    assert "without a transfer" in found.summary
    assert run.instruments[0].inventory == 0


async def test_an_owner_change_is_seen_though_nobody_announced_it(book: Book) -> None:
    await day(book)
    await book.hand_over(40, "alice", "treasury", announced=False)
    await book.transfer(50, "alice", "ap", 50 * ONE, owners=("treasury", "ap"))
    await book.statement("300.5", 90)
    run = await book.run()
    # in with the account, out again by the transfer that the new owner signed
    assert codes(run) == ["C1", "C3"]
    assert run.verdict is Verdict.TIES_OUT


async def test_balances_that_the_crossings_do_not_explain_are_incomplete(book: Book) -> None:
    await day(book)
    await book.touch(60, 9999, book.ata("alice"), address("alice"), address("treasury"), 0)
    await book.statement("250.5", 90)
    run = await book.run()
    assert run.verdict is Verdict.INCOMPLETE
    assert codes(run) == ["A6"]


async def test_a_bridge_wallet_is_outside_and_its_release_is_unpaired(book: Book) -> None:
    await day(book)
    await book.registry(REGISTRY + wallet("account", book.ata("bridge"), "bridge"))
    await book.transfer(40, "treasury", "bridge", ONE)
    await book.statement("251.5", 90)
    run = await book.run()
    assert run.verdict is Verdict.TIES_OUT
    assert codes(run) == ["C10"]
    assert {r.role: r.raw for r in run.instruments[0].roles}["bridge"] == ONE


async def test_hidden_balances_of_the_treasury_count_as_outside(book: Book) -> None:
    await day(book)
    await book.event("confidential_deposit", 40, "treasury", "confidential", 5 * ONE)
    await book.statement("255.5", 90)
    run = await book.run()
    assert run.verdict is Verdict.TIES_OUT
    assert codes(run) == ["A8"]


async def test_a_withheld_fee_stays_outside(book: Book) -> None:
    await day(book)
    await book.transfer(30, "alice", "redemption", 10 * ONE, fee=ONE, memo="RED-1")
    await book.orders(redeem("RED-1", "9"))
    await book.statement("241.5", 90)
    assert (await book.run()).clean


async def test_the_same_inputs_give_the_same_bytes_for_ever(book: Book) -> None:
    await day(book)
    await book.transfer(40, "treasury", "mallory", 5 * ONE)
    await book.statement("250.5", 90)
    first = await book.run()
    await book.commit()
    await book.transfer(45, "treasury", "ap", ONE)
    await book.track(200)
    await book.statement("99", 90)
    await book.orders(issue("REQ-9", "5"))
    await book.registry(REGISTRY.replace("decimals = 8", 'decimals = 8\nname = "Apple"'))
    again = await book.run(
        first.inputs.as_of_slot, known_batch=first.inputs.known_batch, known_load=first.inputs.known_load
    )
    assert again.canonical_json() == first.canonical_json()
    assert again.digest == first.digest
    assert (again.run, first.run) == (2, 1)
    assert await book.db.fetchval("select count(*) from recon.result_row") == 1
    assert (await book.run(100)).canonical_json() != first.canonical_json()


async def test_finding_keys_stay_the_same_across_runs(book: Book) -> None:
    await day(book)
    await book.transfer(40, "treasury", "mallory", 5 * ONE)
    await book.statement("255.5", 50)
    keys = [{f.id for f in (await book.run(slot)).breaks} for slot in (50, 60, 100)]
    assert keys[0] == keys[1] == keys[2]


async def test_a_run_is_stored_and_read_back(book: Book) -> None:
    await day(book)
    await book.transfer(40, "treasury", "mallory", 5 * ONE)
    await book.statement("250.5", 90)
    run = await book.run()
    assert await tieout_reconcile.latest_run(book.dsn) == run
    assert await tieout_reconcile.get_run(book.dsn, 1) == run
    (line,) = await tieout_reconcile.run_history(book.dsn)
    assert (line.run, line.verdict, line.breaks, line.digest) == (1, "does_not_tie_out", 2, run.digest)
    breaks = await tieout_reconcile.list_breaks(book.dsn)
    assert [f.code for f in breaks] == ["B1", "C1"]
    assert await tieout_reconcile.get_break(book.dsn, breaks[1].id[:6]) == breaks[1]
    rows = await book.db.fetch("select id, code, shares from recon.breaks order by code")
    assert [(r["id"], r["code"]) for r in rows] == [(f.id, f.code) for f in breaks]
    matched = await book.db.fetchrow("select request_id, rule, signature from recon.matches")
    assert matched is not None
    assert matched["request_id"] == "REQ-1"
    with pytest.raises(NotFound, match="no run 7"):
        await tieout_reconcile.get_run(book.dsn, 7)
    with pytest.raises(NotFound):
        await tieout_reconcile.get_break(book.dsn, "nothing")


async def test_stored_rows_are_append_only(book: Book) -> None:
    await day(book)
    await book.statement("250.5", 90)
    await book.run()
    tables = await book.db.fetch(
        "select c.oid::regclass::text as name from pg_class c "
        "where relnamespace = 'recon'::regnamespace and relkind = 'r' and relname like '%\\_row'"
    )
    assert len(tables) >= 37
    for table in tables:
        for change in ("delete from {}", "truncate {} cascade"):
            empty = not await book.db.fetchval(f"select count(*) from {table['name']}")
            if change.startswith("delete") and empty:
                continue
            with pytest.raises(asyncpg.RestrictViolationError, match="append-only"):
                await book.db.execute(change.format(table["name"]))


async def test_as_of_an_instant_takes_the_last_slot_and_refuses_what_lies_ahead(book: Book) -> None:
    await day(book)
    await book.statement("250.5", 30)
    run = await book.run(at(70) + timedelta(milliseconds=500))
    assert run.inputs.as_of_slot == 70
    with pytest.raises(NotReady, match="proven to slot 100"):
        await book.run(at(100))
    with pytest.raises(ValueError, match="no time zone"):
        await book.run(at(70).replace(tzinfo=None))
    with pytest.raises(NotReady, match="batch 99"):
        await book.run(known_batch=99)


async def test_without_registry_or_ledger_it_says_what_to_do(book: Book) -> None:
    with pytest.raises(NoRegistry, match="tieout registry apply"):
        await book.run()
    await book.registry()
    with pytest.raises(NotReady, match="tieout index backfill"):
        await book.run()


async def test_headroom_is_custody_minus_liability_in_whole_raw_units(book: Book) -> None:
    await day(book)
    await book.multiplier(30, 2.0, 0)
    await book.statement("501.500000009", 90)
    room = await tieout_reconcile.headroom(book.dsn, "AAPLx", now=at(100))
    assert (room.shares, room.raw) == (Fraction("0.500000009"), 25_000_000)
    assert room.to_json()["shares"] == "0.500000009"
    with pytest.raises(NotFound, match="AAPLx"):
        await tieout_reconcile.headroom(book.dsn, "NVDAx")
    assert await tieout_reconcile.run_history(book.dsn) == []


async def test_two_orders_in_one_transaction_are_told_apart_by_quantity(book: Book) -> None:
    await day(book)
    both = memo("issue", "REQ-2") + "\n" + memo("issue", "REQ-3")
    await book.transfer(40, "treasury", "ap", 3 * ONE, memo=both, tx=777)
    await book.transfer(40, "treasury", "bob", 2 * ONE, memo=both, tx=777, step=1)
    await book.orders(issue("REQ-2", "2"), issue("REQ-3", "3"))
    await book.statement("255.5", 90)
    run = await book.run()
    assert run.clean
    assert [c.matches[0].request_id for c in run.instruments[0].crossings] == ["REQ-1", "REQ-3", "REQ-2"]
    assert run.instruments[0].crossings[1].signature == signature(777)


async def test_the_registry_says_which_isin_belongs_to_the_mint(book: Book) -> None:
    await day(book)
    assert (await tieout_reconcile.show_registry(book.dsn)).instruments[0].mint == MINT
    assert (await tieout_reconcile.show_registry(book.dsn)).instruments[0].isin == ISIN


async def test_an_order_that_did_not_exist_yet_settles_nothing(book: Book) -> None:
    await day(book)
    await book.transfer(30, "alice", "redemption", 20 * ONE, memo="RED-1")
    await book.orders(redeem("RED-1", "20", created_at=at(80).isoformat()))
    await book.statement("250.5", 30)
    assert (await book.run(79)).clean
    assert codes(await book.run(80)) == ["B2"]


async def test_the_writers_role_can_do_all_of_it_and_the_readers_can_read_the_views(book: Book) -> None:
    await day(book)
    await tieout_database.create_roles(book.db)
    await book.db.execute("set role tieout_writer")
    statement = book.file(
        "p.csv", f"custodian,account,isin,quantity,basis,as_of\nalpaca,ITN-1,{ISIN},250.5,settled,{iso(90)}"
    )
    await tieout_reconcile.import_statement(book.db, statement)
    assert (await tieout_reconcile.run(book.db)).clean
    await tieout_reconcile.export_report(book.db, None, None)
    await tieout_database.append_audit(book.db, "w", "test", "s", {})
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await book.db.execute("insert into audit.entry_row select * from audit.entries")
    await book.db.execute("set role tieout_reader")
    views = await book.db.fetch(
        "select c.oid::regclass::text as name from pg_class c "
        "where relnamespace::regnamespace::text in ('recon', 'audit', 'access') and relkind = 'v'"
    )
    assert {"recon.load_bodies", "access.people", "audit.entries"} <= {view["name"] for view in views}
    views = [view for view in views if view["name"] != "recon.load_bodies"]
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await book.db.fetch("select body from recon.load_bodies")
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await tieout_database.append_audit(book.db, "r", "test", "s", {})
    for view in views:
        await book.db.fetch(f"select * from {view['name']}")
    await book.db.execute("reset role")


async def test_everything_has_a_json_form(book: Book) -> None:
    await day(book)
    await book.transfer(40, "treasury", "mallory", 5 * ONE)
    await book.statement("250.5", 90)
    run = await book.run()
    things: list[Any] = [run, *run.findings, *run.instruments, await tieout_reconcile.show_registry(book.dsn)]
    things += [*await tieout_reconcile.list_orders(book.dsn), *await tieout_reconcile.list_statements(book.dsn)]
    things += [
        *await tieout_reconcile.run_history(book.dsn),
        await tieout_reconcile.headroom(book.dsn, "AAPLx", now=at(100)),
    ]
    for thing in things:
        json.dumps(thing.to_json())
    assert run.to_json()["instruments"][0]["supply"] == str(1000 * ONE)
    assert run.to_json()["schema"] == "tieout/run/1"


async def test_reading_by_wallet_gives_the_rows_of_the_general_functions(book: Book) -> None:
    await day(book)
    await book.transfer(30, "alice", "bob", ONE)
    await book.transfer(31, "bob", "carol", ONE)
    await book.hand_over(40, "alice", "treasury", announced=False)
    await book.transfer(50, "alice", "ap", ONE, owners=("treasury", "ap"))
    await book.transfer(60, "ap", "redemption", 2 * ONE)
    await book.burn(70, "ap", ONE)
    await book.flush()
    owners = [address("treasury"), address("redemption")]
    read = "select slot, tx_index, step, child, source, destination, amount from "
    narrow = await book.db.fetch(f"{read} ledger.boundary_events_known($1, 100, 1, $2, '{{}}')", [MINT], owners)
    general = await book.db.fetch(
        f"{read} ledger.events_known(1) where kind in ('mint', 'burn') or source = any($1) or destination = any($1) "
        "order by slot, tx_index, step, child",
        [book.ata(name) for name in ("treasury", "redemption", "alice")],
    )
    assert narrow == general
    assert [r["slot"] for r in narrow] == [10, 20, 25, 30, 50, 60, 70]
    held = await book.db.fetch("select * from ledger.wallet_balances_known($1, 100, 1, $2, '{}')", [MINT], owners)
    sums = await book.db.fetch("select * from ledger.balances_at($1, 100, 1) where owner = any($2)", MINT, owners)
    assert {(r["account"], r["amount"]) for r in held} == {(r["account"], r["amount"]) for r in sums}
    early = await book.db.fetch(f"{read} ledger.boundary_events_known($1, 24, 1, $2, '{{}}')", [MINT], owners)
    assert [r["slot"] for r in early] == [10, 20]
    assert await book.db.fetch(f"{read} ledger.boundary_events_known($1, 100, 0, $2, '{{}}')", [MINT], owners) == []


async def test_what_crosses_is_read_of_many_mints_at_once_by_owner_and_by_account_and_without_what_was_taken_back(
    book: Book,
) -> None:
    other = address("another mint")
    await day(book)
    for n, mint in enumerate((MINT, other)):
        await book.mint(30 + n, "alice", 5 * ONE, mint=mint)
        await book.transfer(40 + n, "alice", "treasury", ONE, mint=mint)
        await book.transfer(50 + n, "alice", "vault", ONE, mint=mint)
        await book.transfer(60 + n, "alice", "bob", ONE, mint=mint)
    await book.flush()
    before = book.batch
    taken = await book.db.fetchval("select signature from ledger.event_row where slot = 40")
    await take_back(book, 40, taken)
    read = "select mint, slot from ledger.boundary_events_known($1, 100, $2, $3, $4) where slot >= 30"
    owners, accounts = [address("treasury")], [book.ata("vault", other)]
    asked = ([MINT, other], owners, accounts)

    async def told(batch: int) -> list[tuple[str, int]]:
        mints, held_by, named = asked
        return [tuple(row) for row in await book.db.fetch(read, mints, batch, held_by, named)]

    everything = [(MINT, 30), (other, 31), (MINT, 40), (other, 41), (other, 51)]
    assert await told(before) == everything
    assert await told(book.batch) == [row for row in everything if row != (MINT, 40)]


async def test_a_later_batch_changes_nothing_of_what_was_known_before(book: Book) -> None:
    await book.commit()
    await book.open_mint()
    await book.mint(10, "treasury", 1000 * ONE)
    await book.transfer(20, "treasury", "ap", 10 * ONE)
    await book.track(100)
    await book.registry()
    insert = "insert into ledger.finding_row values ('supply', 'x', $1, 90, 'open', '100', $2, 'e', now(), $3)"
    await book.db.execute(insert, MINT, "99", book.batch)
    missing = "delete from ledger.slot_row where slot = any($1::bigint[])"
    async with book.db.transaction():
        await book.db.execute("set local session_replication_role = replica")
        await book.db.execute(missing, [20, 80, 99, 100])
    before = await book.run(100)
    assert "A4" in [f.code for f in before.findings]
    asked = await book.run(at(80), known_batch=before.inputs.known_batch)
    await book.commit()
    for slot in (20, 80, 99, 100):
        row = (slot, slot - 1, f"hash{slot}", f"hash{slot - 1}", at(slot), book.batch)
        await book.db.execute("insert into ledger.slot_row values ($1, $2, $3, $4, $5, 1, $6)", *row)
    await book.db.execute(insert, MINT, "98", book.batch)
    known = {"known_batch": before.inputs.known_batch, "known_load": before.inputs.known_load}
    assert (await book.run(100, **known)).digest == before.digest
    assert (await book.run(at(80), **known)).digest == asked.digest
    assert (await book.run(100)).digest != before.digest
