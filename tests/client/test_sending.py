"""Sending against a scripted node: what is sent again, what counts as landed, and what as dead."""

import base64

import pytest
from solders.hash import Hash
from solders.keypair import Keypair
from solders.pubkey import Pubkey
from solders.transaction import VersionedTransaction

from tieout_client import (
    LAND_FAILURES,
    BadInput,
    Expired,
    OutcomeUnknown,
    ProgramRefused,
    Sender,
    SendOptions,
    build,
    sign,
)
from tieout_rpc import NodeRefused, NodeUnreachable

PAYER, OWNER = Keypair.from_seed(bytes([1]) * 32), Keypair.from_seed(bytes([2]) * 32)
A = Pubkey.from_bytes(bytes([9]) * 32)
PAUSE = build("pause", {"mint": A, "authority": OWNER.pubkey()})
QUICK = {"resend_every_s": 0.0, "poll_first_s": 0.001, "poll_max_s": 0.002}
LANDED = {"slot": 7, "err": None, "confirmationStatus": "confirmed"}
FAILED = {"slot": 8, "err": {"InstructionError": [0, {"Custom": 4}]}, "confirmationStatus": "confirmed"}


def epoch(height):
    return {"absoluteSlot": height + 10, "blockHeight": height}


class ScriptedNode:
    """Answers each method with the next of its script, the last one for ever; an exception is raised."""

    endpoints = ("the one node",)

    def __init__(self, **script):
        self.script = {
            "getLatestBlockhash": [{"value": {"blockhash": str(Hash.default()), "lastValidBlockHeight": 150}}],
            "getEpochInfo": [epoch(100)],
            "getFirstAvailableBlock": [0],
            "sendTransaction": ["ignored"],
            "getSignatureStatuses": [{"value": [LANDED]}],
        } | script
        self.calls = []

    async def call(self, method, params=(), result_type=None):
        import msgspec

        self.calls.append((method, params))
        answers = self.script[method]
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(answer, Exception):
            raise answer
        return msgspec.convert(answer, result_type) if result_type else answer

    async def call_raw(self, method, params=()):
        import msgspec

        return msgspec.json.encode(await self.call(method, params)), "node"

    def sent(self):
        return [params for method, params in self.calls if method == "sendTransaction"]


def statuses(*found):
    return [{"value": [status], "context": {"slot": 1000}} for status in found]


def preflight(err, logs=("Program log: whatever",)):
    return NodeRefused("sendTransaction", -32002, "simulation failed", {"err": err, "logs": list(logs)}, "node")


def sender(node, **options):
    return Sender(node, PAYER, SendOptions(**(QUICK | options)))


async def test_it_lands_at_the_commitment_asked_for():
    processed = LANDED | {"confirmationStatus": "processed"}
    node = ScriptedNode(getSignatureStatuses=statuses(None, processed, LANDED))
    receipt = await sender(node).send([PAUSE], [OWNER])
    assert (receipt.slot, receipt.succeeded, receipt.refusal) == (7, True, None)
    final = LANDED | {"confirmationStatus": "finalized", "slot": 9}
    node = ScriptedNode(getSignatureStatuses=statuses(LANDED, LANDED, final))
    assert (await sender(node, commitment="finalized").send([PAUSE], [OWNER])).slot == 9


async def test_the_same_bytes_are_sent_again_and_only_the_first_are_simulated():
    node = ScriptedNode(getSignatureStatuses=statuses(None, None, None, None, LANDED))
    receipt = await sender(node).send([PAUSE], [OWNER])
    sent = node.sent()
    assert len(sent) >= 3
    assert len({raw for raw, _ in sent}) == 1
    assert [config["skipPreflight"] for _, config in sent][:2] == [False, True]
    transaction = VersionedTransaction.from_bytes(base64.b64decode(sent[0][0]))
    assert str(transaction.signatures[0]) == receipt.signature
    transaction.verify_and_hash_message()


async def test_a_preflight_refusal_is_named_with_its_logs():
    node = ScriptedNode(sendTransaction=[preflight({"InstructionError": [0, {"Custom": 4}]})])
    with pytest.raises(ProgramRefused, match=r"instruction 0 \(pause of Token-2022\) was refused: OwnerMismatch") as no:
        await sender(node).send([PAUSE], [OWNER])
    assert not no.value.landed
    assert no.value.logs == ("Program log: whatever",)
    assert no.value.error == {"InstructionError": [0, {"Custom": 4}]}


async def test_a_preflight_refusal_without_data_keeps_the_node_s_words():
    bare = NodeRefused("sendTransaction", -32002, "simulation failed: odd", None, "node")
    with pytest.raises(ProgramRefused, match="simulation failed: odd"):
        await sender(ScriptedNode(sendTransaction=[bare])).send([PAUSE], [OWNER])


@pytest.mark.parametrize("err", ["AlreadyProcessed", "BlockhashNotFound"])
async def test_what_preflight_cannot_know_is_left_to_the_status(err):
    node = ScriptedNode(sendTransaction=[preflight(err), "ignored"])
    assert (await sender(node).send([PAUSE], [OWNER])).slot == 7


async def test_a_failure_on_chain_raises_or_is_reported():
    node = ScriptedNode(getSignatureStatuses=statuses(FAILED))
    with pytest.raises(ProgramRefused, match="on chain") as no:
        await sender(node).send([PAUSE], [OWNER])
    assert no.value.landed
    node = ScriptedNode(getSignatureStatuses=statuses(FAILED))
    receipt = await sender(node).using(LAND_FAILURES).send([PAUSE], [OWNER])
    assert (receipt.succeeded, receipt.refusal.name, receipt.slot) == (False, "OwnerMismatch", 8)
    assert node.sent()[0][1]["skipPreflight"] is True


async def test_it_is_dead_only_past_its_height_and_without_a_status():
    node = ScriptedNode(getSignatureStatuses=statuses(None), getEpochInfo=[epoch(149), epoch(150), epoch(151)])
    with pytest.raises(Expired, match="did not land by block height 150"):
        await sender(node).send([PAUSE], [OWNER])
    asked = [params for method, params in node.calls if method == "getEpochInfo"]
    assert len(asked) == 3
    assert asked[0] == [{"commitment": "finalized"}]
    assert node.calls[-1][1][1] == {"searchTransactionHistory": True}


async def test_a_node_that_lags_behind_its_own_final_slot_proves_nothing():
    behind = {"value": [None], "context": {"slot": 160}}
    ahead = {"value": [None], "context": {"slot": 161}}
    node = ScriptedNode(getSignatureStatuses=[behind, behind, behind, behind, ahead], getEpochInfo=[epoch(151)])
    with pytest.raises(Expired):
        await sender(node).send([PAUSE], [OWNER])
    assert len([m for m, _ in node.calls if m == "getEpochInfo"]) > 1


async def test_a_node_whose_history_begins_too_late_proves_nothing():
    node = ScriptedNode(getSignatureStatuses=statuses(None), getEpochInfo=[epoch(151)], getFirstAvailableBlock=[1])
    with pytest.raises(OutcomeUnknown, match="keeps blocks from slot 1 only, it was signed at slot 0"):
        await sender(node).send([PAUSE], [OWNER])


async def test_a_late_status_saves_it_from_being_called_dead():
    node = ScriptedNode(getSignatureStatuses=statuses(None, LANDED), getEpochInfo=[epoch(151)])
    assert (await sender(node).send([PAUSE], [OWNER])).slot == 7


async def test_a_lost_answer_to_sending_is_no_failure():
    node = ScriptedNode(sendTransaction=[NodeUnreachable("node did not answer")])
    assert (await sender(node).send([PAUSE], [OWNER])).slot == 7


async def test_a_node_that_goes_silent_leaves_the_outcome_unknown():
    node = ScriptedNode(getSignatureStatuses=[NodeUnreachable("node did not answer")])
    with pytest.raises(OutcomeUnknown, match="outcome is unknown: node did not answer") as unknown:
        await sender(node).send([PAUSE], [OWNER])
    assert unknown.value.last_valid_block_height == 150
    assert isinstance(unknown.value.__cause__, NodeUnreachable)


async def test_a_chain_that_stands_still_is_not_waited_for_for_ever():
    node = ScriptedNode(getSignatureStatuses=statuses(None))
    with pytest.raises(OutcomeUnknown, match="has not settled it in 0 s"):
        await sender(node, give_up_after_s=0.02).send([PAUSE], [OWNER])


async def test_other_refusals_of_the_node_come_through_as_they_are():
    node = ScriptedNode(sendTransaction=[NodeRefused("sendTransaction", -32602, "bad", None, "node")])
    with pytest.raises(NodeRefused):
        await sender(node).send([PAUSE], [OWNER])


async def test_two_equal_transactions_are_two():
    hashes = [Hash.default(), Hash.default(), Hash.new_unique()]
    answers = [{"value": {"blockhash": str(h), "lastValidBlockHeight": 150}} for h in hashes]
    node = ScriptedNode(getLatestBlockhash=answers)
    one = sender(node)
    first, second = await one.send([PAUSE], [OWNER]), await one.using(SendOptions(**QUICK)).send([PAUSE], [OWNER])
    assert first.signature != second.signature


def test_signing_needs_every_key_and_puts_the_payer_first():
    with pytest.raises(BadInput, match=f"signatures of {OWNER.pubkey()}"):
        sign([PAUSE], [PAYER], str(Hash.default()), 1)
    for legacy in (True, False):
        signed = sign([PAUSE], [PAYER, OWNER, OWNER], str(Hash.default()), 1, legacy=legacy)
        transaction = VersionedTransaction.from_bytes(signed.raw)
        assert transaction.message.account_keys[:2] == [PAYER.pubkey(), OWNER.pubkey()]
        assert len(transaction.signatures) == 2
        assert transaction.version() == ("legacy" if legacy else 0) or str(transaction.version()) == "Legacy.Legacy"
        transaction.verify_and_hash_message()


def test_whatever_signs_is_a_signer():
    class Vault:
        def pubkey(self):
            return OWNER.pubkey()

        def sign_message(self, message):
            return OWNER.sign_message(message)

    by_key = sign([PAUSE], [PAYER, OWNER], str(Hash.default()), 1)
    assert sign([PAUSE], [PAYER, Vault()], str(Hash.default()), 1).raw == by_key.raw
