"""Against the recordings of a real validator: the same transactions have the same effects, to the last field,
and the answers to the same requests have the same shapes. What may differ is listed here, with the reason."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from solders.hash import Hash
from solders.pubkey import Pubkey
from solders.transaction import VersionedTransaction
from support import recording, tokens
from support.chain import make_validator
from support.node import Node
from support.recording import needs_recording, shape

from tieout_localnet import encoding, programs
from tieout_localnet.accounts import AccountState
from tieout_localnet.transaction import from_stored, with_blockhash
from tieout_localnet.validator import Validator

pytestmark = needs_recording

VOTE_PROGRAM = "Vote111111111111111111111111111111111111111"

BATCH_SLOT = 102
"""Its transaction uses the Batch instruction: unknown to Token-2022 10 of the recording, known to 11."""

ACCEPTED = {
    "computeUnitsConsumed": "another version of Token-2022 consumes other amounts",
    "costUnits": "follows computeUnitsConsumed and the size of the programs",
    "logMessages": "name the compute units; compared by the programs that they name",
    "rewards": "set when a block is shown",
}
"""Members of meta that are not compared."""


def programs_in(logs: list[str]) -> list[str]:
    """The calls and outcomes that logs tell, without amounts."""
    return [line for line in logs if " invoke [" in line or line.endswith(" success") or " failed: " in line]


def seed(validator: Validator, recorded: dict[str, Any], known: set[str]) -> None:
    """Give accounts that appear for the first time the lamports that they had."""
    meta, message = recorded["meta"], recorded["transaction"]["message"]
    loaded = meta["loadedAddresses"]
    keys = message["accountKeys"] + loaded["writable"] + loaded["readonly"]
    for key, lamports in zip(keys, meta["preBalances"], strict=True):
        address = Pubkey.from_string(key)
        if key not in known and lamports and validator.accounts.get(address) is None:
            changes = {address: AccountState(lamports, b"", programs.SYSTEM)}
            validator.engine.restore(changes)
            validator.accounts.apply(changes)
        known.add(key)


def with_memo_balance(balances: list[int], keys: list[str]) -> list[int]:
    """Lamports without those of the memo program: its file is smaller here, and so is its rent."""
    return [b for b, key in zip(balances, keys, strict=True) if key != str(tokens.MEMO)]


def test_every_recorded_transaction_has_the_recorded_outcome(tmp_path: Path) -> None:
    validator = make_validator(tmp_path)
    known: set[str] = set()
    replayed = 0
    for slot in recording.slots():
        block = recording.block(slot, "json")
        validator.clock.move_to(block["blockTime"])
        while validator.open.slot < slot:
            validator.close_slot()
        wires = [item["transaction"][0] for item in recording.block(slot, "base64")["transactions"]]
        for recorded, wire in zip(block["transactions"], wires, strict=True):
            if VOTE_PROGRAM in recorded["transaction"]["message"]["accountKeys"] or slot == BATCH_SLOT:
                continue
            seed(validator, recorded, known)
            transaction = VersionedTransaction.from_bytes(base64.b64decode(wire))
            newest = Hash.from_string(validator.chain.tip.block.blockhash)
            validator.submit(with_blockhash(transaction, newest))
            compare(validator, recorded, slot)
            replayed += 1
    assert replayed > 90


def compare(validator: Validator, recorded: dict[str, Any], slot: int) -> None:
    """The newest transaction of the open slot against a recorded one."""
    record = validator.open.records[-1]
    resolved = from_stored(record.wire, record.loaded, record.loaded_writable)
    ours: dict[str, Any] = dict(record.meta)
    theirs: dict[str, Any] = dict(recorded["meta"])
    keys = [str(key) for key in resolved.keys]
    assert ours.keys() == theirs.keys()
    assert programs_in(ours["logMessages"]) == programs_in(theirs["logMessages"])
    for meta in (ours, theirs):
        for member in ACCEPTED:
            meta.pop(member)
        for member in ("preBalances", "postBalances"):
            meta[member] = with_memo_balance(meta[member], keys)
    if slot > BATCH_SLOT:
        drop_payer(ours, theirs)
    assert ours == theirs, (slot, record.signature)
    message = json.loads(json.dumps(encoding.message_json(resolved)))
    expected = {**recorded["transaction"]["message"], "recentBlockhash": message["recentBlockhash"]}
    assert message == expected


def drop_payer(ours: dict[str, Any], theirs: dict[str, Any]) -> None:
    """After the step that is left out, one payer has that step's fee more: compare what it pays instead."""
    for meta in (ours, theirs):
        paid = meta["preBalances"].pop(0) - meta["postBalances"].pop(0)
        meta["paid"] = paid


SHAPES_ACCEPTED = {
    "getTokenLargestAccounts": "amounts",
    "getSupply": "the real genesis lists non-circulating accounts; ours has none",
    "getVoteAccounts": "no votes are counted here, so that there are no credits",
    "getClusterNodes": "there is no gossip and no transaction port here",
    "getHighestSnapshotSlot": "no snapshots are made: -32008",
    "getBlockCommitment": "null once the slot is final",
    "getRecentPerformanceSamples": "none are taken",
    "getLeaderSchedule": "compared by its single key",
    "requestAirdrop": "recorded with a bad address only",
}
"""Methods whose answer is not compared member by member, and why."""


def test_answers_have_the_recorded_shapes(tmp_path_factory: pytest.TempPathFactory, node: Node) -> None:
    """Methods without keys of the recorded chain: the same request, the same keys and types."""
    node.advance(8)
    compared = 0
    for request, response in recording.calls():
        method = request["method"]
        if method in SHAPES_ACCEPTED or method in KEYED or _names_a_slot(request, response):
            continue
        ours = node.raw(request)
        assert ours.keys() == response.keys(), (request, ours)
        assert shape(ours) == shape(response), (request, ours)
        compared += 1
    assert compared >= 20


KEYED = {
    "getTransaction",
    "getAccountInfo",
    "getMultipleAccounts",
    "getTokenSupply",
    "getTokenAccountBalance",
    "getTokenAccountsByOwner",
    "getTokenAccountsByDelegate",
    "getProgramAccounts",
    "getSignaturesForAddress",
    "getSignatureStatuses",
    "sendTransaction",
    "simulateTransaction",
    "getBlock",
    "getBlocks",
    "getBlocksWithLimit",
}
"""Methods that ask for accounts, transactions or slots of the recorded chain: other tests compare them."""


def _names_a_slot(request: dict[str, Any], response: dict[str, Any]) -> bool:
    params = request.get("params") or [None]
    return isinstance(params[0], int) and "error" not in response
