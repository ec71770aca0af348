"""processed, confirmed, finalized: each level reads the state of its own slot, and history up to it."""

import base64
from itertools import pairwise

import pytest
from solders.keypair import Keypair
from solders.pubkey import Pubkey
from support import tokens
from support.node import SOL, Node, RpcFailed

LEVELS = ("processed", "confirmed", "finalized")


def balances(node: Node, key: Pubkey) -> list[int]:
    return [node.value("getBalance", str(key), {"commitment": level}) for level in LEVELS]


def test_a_change_rises_through_the_levels(node: Node) -> None:
    to = Keypair().pubkey()
    node.call("requestAirdrop", str(to), SOL)
    assert balances(node, to) == [SOL, 0, 0]
    node.advance()
    assert balances(node, to) == [SOL, SOL, 0]
    node.call("requestAirdrop", str(to), SOL)
    node.advance(2)
    assert balances(node, to) == [2 * SOL, 2 * SOL, 0]
    node.advance()
    assert balances(node, to) == [2 * SOL, 2 * SOL, SOL]
    node.advance()
    assert balances(node, to) == [2 * SOL] * 3


def test_the_context_slot_is_the_slot_of_the_state(node: Node) -> None:
    slots = [node.call("getSlot", {"commitment": level}) for level in LEVELS]
    assert slots == [slots[0], slots[0] - 1, slots[0] - 4]
    for level, slot in zip(LEVELS, slots, strict=True):
        answer = node.call("getBalance", str(Keypair().pubkey()), {"commitment": level})
        assert answer["context"]["slot"] == slot


def test_program_accounts_are_those_of_the_level(node: Node) -> None:
    issuer, mint = node.funded(), Keypair()
    node.advance()
    rent = node.call("getMinimumBalanceForRentExemption", tokens.MINT_BYTES)
    node.send_instructions(
        tokens.create_mint(issuer.pubkey(), mint.pubkey(), issuer.pubkey(), rent), issuer, mint
    )

    def listed(level: str) -> bool:
        found = node.call(
            "getProgramAccounts", str(tokens.TOKEN_2022), {"commitment": level, "encoding": "base64"}
        )
        return str(mint.pubkey()) in {item["pubkey"] for item in found}

    assert [listed(level) for level in LEVELS] == [True, False, False]
    node.advance()
    assert [listed(level) for level in LEVELS] == [True, True, False]
    node.advance(3)
    assert [listed(level) for level in LEVELS] == [True, True, True]


def test_a_signature_climbs_from_processed_to_finalized(node: Node) -> None:
    signature = node.call("requestAirdrop", str(Keypair().pubkey()), SOL)

    def status() -> tuple[str, int | None]:
        found = node.value("getSignatureStatuses", [signature])[0]
        return found["confirmationStatus"], found["confirmations"]

    assert status() == ("processed", 0)
    assert node.call("getTransaction", signature, {"commitment": "confirmed"}) is None
    node.advance()
    assert status() == ("confirmed", 0)
    assert node.call("getTransaction", signature, {"commitment": "confirmed"}) is not None
    assert node.call("getTransaction", signature) is None
    node.advance(3)
    assert status() == ("finalized", None)
    assert node.call("getTransaction", signature) is not None


def test_an_old_signature_is_found_only_by_searching_history(node: Node) -> None:
    signature = node.call("requestAirdrop", str(Keypair().pubkey()), SOL)
    node.advance(310)
    assert node.value("getSignatureStatuses", [signature]) == [None]
    found = node.value("getSignatureStatuses", [signature], {"searchTransactionHistory": True})
    assert found[0]["confirmationStatus"] == "finalized"


def test_preflight_at_an_older_level_does_not_know_a_newer_blockhash(node: Node) -> None:
    payer = node.funded()
    node.advance(4)
    from solders.message import Message
    from solders.transaction import VersionedTransaction

    message = Message.new_with_blockhash([tokens.memo("x")], payer.pubkey(), node.blockhash())
    text = base64.b64encode(bytes(VersionedTransaction(message, [payer]))).decode()
    with pytest.raises(RpcFailed) as refused:
        node.call("sendTransaction", text, {"encoding": "base64"})
    assert refused.value.error["data"]["err"] == "BlockhashNotFound"
    confirmed = {"encoding": "base64", "preflightCommitment": "confirmed"}
    assert node.call("sendTransaction", text, confirmed)


def test_blocks_are_listed_up_to_the_level(node: Node) -> None:
    tip = node.call("getSlot", {"commitment": "confirmed"})
    assert node.call("getBlocks", tip - 1, {"commitment": "confirmed"}) == [tip - 1, tip]
    assert node.call("getBlocks", tip - 1) == []
    assert node.call("getBlocks", tip - 4, tip) == [tip - 4, tip - 3]
    assert node.call("getBlocksWithLimit", tip - 6, 2) == [tip - 6, tip - 5]


def test_blocks_are_linked_by_slot_and_hash(node: Node) -> None:
    root = node.call("getSlot")
    blocks = [node.call("getBlock", slot, {"rewards": False}) for slot in range(root - 3, root + 1)]
    for parent, child in pairwise(blocks):
        assert child["previousBlockhash"] == parent["blockhash"]
        assert child["blockHeight"] == parent["blockHeight"] + 1
        assert child["blockTime"] >= parent["blockTime"]


def test_min_context_slot_beyond_the_state_is_refused_with_the_slot(node: Node) -> None:
    root = node.call("getSlot")
    with pytest.raises(RpcFailed) as refused:
        node.call("getBalance", str(Keypair().pubkey()), {"minContextSlot": root + 1})
    assert refused.value.error == {
        "code": -32016,
        "message": "Minimum context slot has not been reached",
        "data": {"contextSlot": root},
    }
