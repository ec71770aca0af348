"""Instructions → events and controls, held against the node's own balances; nothing is guessed."""

import gzip
import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.paths import load_shared, shared_file
from support.transactions import (
    ALICE,
    BOB,
    ISSUER,
    MEMO,
    MINT,
    OTHER_PROGRAM,
    OWNERS,
    TREASURY,
    balances,
    instruction,
    transaction,
)
from tieout_database.text import CUT
from tieout_idl import encode
from tieout_indexer.decode import Scope, decode_transaction
from tieout_indexer.limits import IndexerLimits
from tieout_indexer.mint_state import MintState, TransferFee
from tieout_indexer.model import TransactionResult
from tieout_indexer.wire import TransactionHead, judge, parse_block, parse_heads
from tieout_reconcile.matching import memo_references


def decode(
    body: bytes, state: MintState | None = None, tracked: frozenset[str] | None = frozenset({MINT})
) -> TransactionResult | None:
    scope = Scope(tracked, {MINT: state or MintState(known=True)}, lambda slot: slot, IndexerLimits())
    return decode_transaction(scope, 10, 0, body)


OWNERS_KEY = ISSUER


def read(body: bytes, state: MintState | None = None) -> TransactionResult:
    result = decode(body, state)
    assert result is not None
    return result


def transfer(amount: int, source: str = ALICE, destination: str = BOB, authority: str = ISSUER) -> dict[str, Any]:
    data = encode("transfer_checked", {"amount": amount, "decimals": 8})
    return instruction(data, source, MINT, destination, authority)


def test_the_mainnet_block_is_decoded_whole_and_each_token_transaction_is_proven_or_its_exception_named() -> None:
    answer = json.loads(gzip.decompress(shared_file("ledger/photon/blocks/mainnet-254170887.json.gz").read_bytes()))
    body = json.dumps(answer["result"]).encode()
    block, heads = parse_block(body), parse_heads(body)
    assert block is not None
    assert heads is not None
    assert heads.transactions is not None
    assert block.transactions is not None
    assert len(block.transactions) == 602
    scope = Scope(None, {}, lambda slot: 0, IndexerLimits())
    moves, exceptions, moving = 0, [], 0
    for index, raw in enumerate(block.transactions):
        verdict = judge(heads.transactions[index])
        assert verdict.problem is None
        result = decode_transaction(scope, 254_170_887, index, bytes(raw))
        assert not (verdict.failed and result is not None)
        if result is None:
            continue
        moves += len(result.events)
        moving += bool(result.events) or bool(result.doubts)
        exceptions += result.doubts
        unproven = {mint for mint, status in result.status.items() if status == "unproven"}
        assert unproven == {doubt.mint for doubt in result.doubts}
    # 224 moves, 8 of them through wrapped-SOL accounts without balance rows: those are named, not guessed.
    assert (moves, moving, len(exceptions)) == (216, 58, 8)
    assert all(
        d.mint == "So11111111111111111111111111111111111111112" and "wrapped SOL" in d.reason for d in exceptions
    )


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("xstocks-redeem-1-deposit", [("transfer", 879185100, "3")]),
        ("xstocks-redeem-2-sweep-to-treasury", [("transfer", 879185100, "3")]),
        ("xstocks-redeem-3-usdc-payout", [("transfer", 6598936608, "2")]),
        (
            "xstocks-dex-swap-nested-cpi-v0-alt",
            [
                ("transfer", 1172120, "2.0.0"),
                ("transfer", 8863062, "2.0.1"),
                ("transfer", 250000, "3"),
                ("transfer", 0, "4"),
            ],
        ),
        (
            "ondo-redeem-mint-and-burn-cpi",
            [
                ("mint", 385066699257, "1.3"),
                ("transfer", 385066699000, "1.4"),
                ("transfer", 385066699, "1.5"),
                ("burn", 1707764558, "1.6"),
            ],
        ),
        ("bullish-permanent-delegate-forced-burn", [("burn", 25100500000, "2")]),
        ("tessera-freeze-account", []),
        ("xstocks-set-mint-authority-x10-via-squads-cpi", []),
    ],
)
def test_real_transactions_say_what_they_are_known_to_have_done(
    name: str, expected: list[tuple[str, int, str]]
) -> None:
    answer = load_shared(f"ledger/token2022-real-txs/json/{name}.json")
    scope = Scope(None, {}, lambda slot: 0, IndexerLimits())
    result = decode_transaction(scope, 1, 0, json.dumps(answer.get("result", answer)).encode())
    assert result is not None
    assert [(e.kind, e.amount, e.place.path) for e in result.events] == expected
    assert result.doubts == []
    assert set(result.status.values()) == {"exact"}
    if name.startswith("xstocks-set"):
        assert [c.details["type"] for c in result.controls] == ["mint_tokens"] * 10
        assert len({c.mint for c in result.controls}) == 10


def test_a_failed_transaction_with_inner_token_instructions_yields_nothing() -> None:
    answer = load_shared("ledger/coinbase-chainstorage/block_241043141_v2.json")
    found = [
        t
        for t in answer.get("result", answer)["transactions"]
        if t["meta"]["err"] is not None and t["meta"]["innerInstructions"]
    ]
    assert found
    for body in found:
        assert judge(msgspec.json.decode(json.dumps(body), type=TransactionHead)).failed


def test_each_child_of_a_batch_is_an_event_of_its_own() -> None:
    children = (
        {"number_of_accounts": 4, "data": encode("transfer_checked", {"amount": 5, "decimals": 8})},
        {"number_of_accounts": 3, "data": encode("mint_to", {"amount": 7})},
    )
    batch = instruction(encode("batch", {"data": children}), ALICE, MINT, BOB, ISSUER, MINT, BOB, ISSUER)
    result = read(transaction(batch, pre=balances(alice=10, bob=0), post=balances(alice=5, bob=12)))
    assert [(e.kind, e.amount, e.place.step, e.place.child, e.place.path) for e in result.events] == [
        ("transfer", 5, 0, 0, "0#0"),
        ("mint", 7, 0, 1, "0#1"),
    ]
    assert result.status == {MINT: "exact"}


def test_a_batch_inside_a_batch_is_quarantined() -> None:
    nested = encode("batch", {"data": ({"number_of_accounts": 0, "data": encode("pause")},)})
    outer = encode("batch", {"data": ({"number_of_accounts": 1, "data": nested},)})
    result = read(transaction(instruction(outer, ALICE), pre=balances(alice=1), post=balances(alice=1)))
    assert result.status == {MINT: "unproven"}
    assert result.doubts[0].place.path == "0#0"


def test_steps_count_every_instruction_and_paths_follow_the_stack() -> None:
    other = instruction(b"\x00", ALICE, program=OTHER_PROGRAM)
    inner = [
        {
            "index": 1,
            "instructions": [
                instruction(b"\x01", ALICE, program=OTHER_PROGRAM, height=2),
                {**transfer(1), "stackHeight": 3},
                {**transfer(2), "stackHeight": 3},
                {**transfer(3), "stackHeight": 2},
            ],
        }
    ]
    result = read(
        transaction(
            other, other, transfer(4), pre=balances(alice=10, bob=0), post=balances(alice=0, bob=10), inner=inner
        )
    )
    assert [(e.amount, e.place.step, e.place.path) for e in result.events] == [
        (1, 3, "1.0.0"),
        (2, 4, "1.0.1"),
        (3, 5, "1.1"),
        (4, 6, "2"),
    ]


def test_an_unknown_instruction_is_quarantined_even_where_the_balances_agree() -> None:
    result = read(
        transaction(
            instruction(b"\x63\x01", ALICE), transfer(1), pre=balances(alice=1, bob=0), post=balances(alice=0, bob=1)
        )
    )
    assert result.events == []
    assert result.status == {MINT: "unproven"}
    assert "unknown instruction" in result.doubts[0].reason
    assert result.doubts[0].data == "6301"


def test_an_unknown_instruction_that_concerns_only_other_accounts_leaves_the_mint_alone() -> None:
    pre = [*balances(alice=1, bob=0), {**balances(treasury=5)[0], "mint": OTHER_PROGRAM}]
    post = [*balances(alice=0, bob=1), {**balances(treasury=5)[0], "mint": OTHER_PROGRAM}]
    result = read(transaction(instruction(b"\x63", TREASURY), transfer(1), pre=pre, post=post))
    assert result.status == {MINT: "exact"}


def test_short_data_in_a_successful_transaction_is_quarantined_by_name() -> None:
    result = read(
        transaction(instruction(b"\x07\x01", MINT, ALICE, ISSUER), pre=balances(alice=0), post=balances(alice=1))
    )
    assert "mint_to: field amount" in result.doubts[0].reason


def test_an_unchecked_transfer_takes_its_mint_from_the_accounts() -> None:
    data = encode("transfer", {"amount": 3})
    result = read(
        transaction(instruction(data, ALICE, BOB, ISSUER), pre=balances(alice=3, bob=0), post=balances(alice=0, bob=3))
    )
    assert [(e.mint, e.amount) for e in result.events] == [(MINT, 3)]


@pytest.mark.parametrize(
    ("authority", "state", "role"),
    [
        (OWNERS[TREASURY], MintState(known=True), "owner"),
        (BOB, MintState(known=True), "delegate"),
        (BOB, MintState(known=True, permanent_delegate=BOB), "permanent_delegate"),
        (BOB, MintState(known=False), None),
    ],
)
def test_the_role_of_the_authority_is_known_or_null_never_guessed(
    authority: str, state: MintState, role: str | None
) -> None:
    body = transaction(
        transfer(1, TREASURY, ALICE, authority), pre=balances(treasury=1, alice=0), post=balances(treasury=0, alice=1)
    )
    assert read(body, state).events[0].authority_role == role


def test_a_fee_bearing_mint_credits_the_amount_less_the_fee_of_the_epoch() -> None:
    # Real: PreStocks, 50 basis points, 4,273,882 sent, 4,252,512 arrived.
    fee = TransferFee(0, 2**64 - 1, 50)
    state = MintState(known=True, older_fee=TransferFee(0, 0, 0), newer_fee=fee)
    body = transaction(transfer(4_273_882), pre=balances(alice=4_273_882, bob=0), post=balances(alice=0, bob=4_252_512))
    result = read(body, state)
    assert (result.events[0].amount, result.events[0].fee) == (4_273_882, 21_370)
    assert result.status == {MINT: "exact"}


def test_a_fee_that_is_not_yet_in_force_is_not_taken() -> None:
    state = MintState(known=True, older_fee=TransferFee(0, 0, 0), newer_fee=TransferFee(11, 1000, 50))
    body = transaction(transfer(100), pre=balances(alice=100, bob=0), post=balances(alice=0, bob=100))
    assert read(body, state).status == {MINT: "exact"}


def test_withheld_fees_paid_out_are_solved_from_the_residual_and_marked_derived() -> None:
    out = instruction(encode("withdraw_withheld_tokens_from_mint"), MINT, TREASURY, ISSUER)
    result = read(transaction(out, pre=balances(treasury=5), post=balances(treasury=47)))
    assert [(e.kind, e.amount) for e in result.events] == [("fee_withdrawal", 42)]
    assert result.status == {MINT: "derived"}


def test_a_negative_residual_is_a_doubt_not_an_amount() -> None:
    out = instruction(encode("withdraw_withheld_tokens_from_mint"), MINT, TREASURY, ISSUER)
    assert read(transaction(out, pre=balances(treasury=5), post=balances(treasury=4))).status == {MINT: "unproven"}


def test_confidential_deposits_hide_and_withdrawals_show_without_touching_supply() -> None:
    deposit = instruction(encode("confidential_deposit", {"amount": 4, "decimals": 8}), ALICE, MINT, ISSUER)
    result = read(transaction(deposit, pre=balances(alice=10), post=balances(alice=6)))
    assert [(e.kind, e.source, e.destination, e.amount) for e in result.events] == [
        ("confidential_deposit", ALICE, "confidential", 4)
    ]
    assert result.status == {MINT: "exact"}


def confidential_withdrawal(*offsets: int) -> bytes:
    return bytes.fromhex("1b06") + (5).to_bytes(8, "little") + b"\x08" + bytes(36) + bytes(offsets)


@pytest.mark.parametrize(
    ("offsets", "proofs"),
    [
        ((1, 2), [OTHER_PROGRAM]),  # both are instructions: the sysvar
        ((0, 0), [OTHER_PROGRAM, BOB]),  # each in an account of its own
        ((1, 0), [OTHER_PROGRAM, BOB]),  # the sysvar, and one account
    ],
)
def test_accounts_of_proofs_are_there_as_the_data_says_and_the_owner_after_them(
    offsets: tuple[int, int], proofs: list[str]
) -> None:
    # a multisig as owner: its signers come after it
    withdrawal = instruction(confidential_withdrawal(*offsets), ALICE, MINT, *proofs, OWNERS_KEY, TREASURY)
    result = read(transaction(withdrawal, pre=balances(alice=0), post=balances(alice=5)))
    assert [(e.kind, e.destination, e.amount, e.authority) for e in result.events] == [
        ("confidential_withdrawal", ALICE, 5, OWNERS_KEY)
    ]
    assert result.status == {MINT: "exact"}


def test_a_confidential_transfer_names_its_owner_after_its_proofs() -> None:
    data = bytes.fromhex("1b07") + bytes(36 + 128) + bytes([0, 0, 0])
    moved = instruction(data, ALICE, MINT, BOB, OTHER_PROGRAM, OTHER_PROGRAM, OTHER_PROGRAM, OWNERS_KEY, TREASURY)
    result = read(transaction(moved, pre=balances(alice=5, bob=5), post=balances(alice=5, bob=5)))
    assert [(c.kind, c.authority) for c in result.controls] == [("confidential", OWNERS_KEY)]


def test_an_owner_that_changes_without_an_instruction_is_doubted() -> None:
    said = balances(alice=9, bob=1)
    said[1]["owner"] = TREASURY
    body = transaction(transfer(1), pre=balances(alice=10, bob=0), post=said)
    (doubt,) = read(body).doubts
    assert f"{BOB} ends with owner {TREASURY}" in doubt.reason
    handed = instruction(
        encode("set_authority", {"authority_type": "account_owner", "new_authority": ALICE}), BOB, ISSUER
    )
    (doubt,) = read(transaction(handed, pre=balances(bob=1), post=balances(bob=1))).doubts
    assert f"its instructions leave it to {ALICE}" in doubt.reason
    given = balances(bob=1)
    given[0]["owner"] = ALICE
    assert read(transaction(handed, pre=balances(bob=1), post=given)).status == {MINT: "exact"}


def test_of_two_amounts_that_only_one_balance_tells_neither_is_guessed() -> None:
    withdrawn = encode("withdraw_withheld_tokens_from_mint", {})
    twice = [instruction(withdrawn, MINT, ALICE, ISSUER) for _ in range(2)]
    result = read(transaction(*twice, pre=balances(alice=0), post=balances(alice=70)))
    assert (result.status, result.events) == ({MINT: "unproven"}, [])


def test_an_account_opened_while_the_default_is_not_known_is_not_taken_for_thawed() -> None:
    opened = instruction(encode("initialize_account3", {"owner": ISSUER}), ALICE, MINT)
    body = transaction(opened, pre=[], post=[])
    for state, frozen in (
        (MintState(), None), (MintState(known=True), False), (MintState(known=True, default_frozen=True), True)
    ):  # fmt: skip
        assert [c.details["frozen"] for c in read(body, state).controls] == [frozen]


def test_a_mint_created_again_at_its_address_begins_anew() -> None:
    first = MintState(True, ISSUER, True, TransferFee(0, 10**9, 50), TransferFee(0, 10**9, 50))
    again = {"decimals": 8, "mint_authority": ISSUER, "freeze_authority": None}
    scope = Scope(frozenset({MINT}), {MINT: first}, lambda slot: 0, IndexerLimits())
    body = transaction(
        instruction(encode("close_account", {}), MINT, ISSUER, ISSUER),
        instruction(encode("initialize_mint2", again), MINT), pre=[], post=[],
    )  # fmt: skip
    decode_transaction(scope, 10, 0, body)
    assert scope.states[MINT] == MintState(known=True)


def test_inner_instructions_are_all_read_or_the_block_is_refused() -> None:
    group = {"index": 0, "instructions": [transfer(1)]}
    outer = instruction(b"", program=OTHER_PROGRAM)
    body = transaction(outer, inner=[group, group], pre=balances(alice=2, bob=0), post=balances(alice=0, bob=2))
    assert [e.place.path for e in read(body).events] == ["0.0", "0.1"]
    with pytest.raises(ValueError, match="instruction 7"):
        decode(transaction(outer, inner=[{**group, "index": 7}], pre=balances(alice=1), post=balances(alice=1)))


@pytest.mark.parametrize(
    ("memo", "stored"),
    [
        (b"tieout/1 issue REQ-1", "tieout/1 issue REQ-1"),
        (b"nul\x00inside", "nul�inside"),
        (b"\xed\xa0\x80lone surrogate", "���lone surrogate"),
        (b"\x1b[31mred\x1b[0m", "\x1b[31mred\x1b[0m"),
        (b"\xff\xfe", "��"),
    ],
)
def test_a_hostile_memo_is_stored_without_what_postgres_refuses(memo: bytes, stored: str) -> None:
    body = transaction(
        transfer(1), instruction(memo, program=MEMO), pre=balances(alice=1, bob=0), post=balances(alice=0, bob=1)
    )
    assert read(body).memo == stored


def test_a_memo_is_cut_at_its_limit_and_says_so() -> None:
    body = transaction(
        transfer(1), instruction(b"x" * 900, program=MEMO), pre=balances(alice=1, bob=0), post=balances(alice=0, bob=1)
    )
    scope = Scope(frozenset({MINT}), {}, lambda slot: 0, IndexerLimits(memo_characters_max=100))
    result = decode_transaction(scope, 1, 0, body)
    assert result is not None
    assert result.memo == "x" * 100 + CUT


def test_a_request_id_that_was_cut_is_no_other_requests() -> None:
    said = b"tieout/1 issue REQ-12"
    body = transaction(
        transfer(1), instruction(said, program=MEMO), pre=balances(alice=1, bob=0), post=balances(alice=0, bob=1)
    )
    for limit, named in ((len(said), ("REQ-12",)), (len(said) - 1, (f"REQ-1{CUT}",))):
        scope = Scope(frozenset({MINT}), {}, lambda slot: 0, IndexerLimits(memo_characters_max=limit))
        result = decode_transaction(scope, 1, 0, body)
        assert result is not None
        assert memo_references(result.memo) == named


@given(
    data=st.binary(max_size=40),
    accounts=st.lists(st.sampled_from([MINT, ALICE, BOB, ISSUER, TREASURY]), max_size=6),
    moved=st.integers(min_value=-5, max_value=5),
)
def test_any_instruction_is_proven_by_the_balances_or_quarantined(data: bytes, accounts: list[str], moved: int) -> None:
    body = transaction(
        instruction(data, *accounts), pre=balances(alice=10, bob=10), post=balances(alice=10 - moved, bob=10 + moved)
    )
    result = read(body)
    effects = {ALICE: 0, BOB: 0}
    for event in result.events:
        for account, change in ((event.source, -event.amount), (event.destination, event.amount - event.fee)):
            if account in effects:
                effects[account] += change
    if result.status[MINT] == "unproven":
        assert result.events == []
        assert result.doubts
    else:
        assert effects == {ALICE: -moved, BOB: moved}
