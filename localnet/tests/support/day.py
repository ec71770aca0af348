"""The recorded day, lived again: the same transactions, in the same slots, at the same times."""

import base64
from collections.abc import Callable
from typing import Any

from solders.hash import Hash
from solders.pubkey import Pubkey
from solders.transaction import VersionedTransaction

from support import recording
from tieout_localnet import programs
from tieout_localnet.accounts import AccountState
from tieout_localnet.transaction import with_blockhash
from tieout_localnet.validator import Validator

VOTE_PROGRAM = "Vote111111111111111111111111111111111111111"

BATCH_SLOT = 102
"""Its transaction uses the Batch instruction: unknown to Token-2022 10 of the recording, known to 11."""

Told = Callable[[dict[str, Any], int], None]


def nobody(recorded: dict[str, Any], slot: int) -> None:
    """For a replay that nobody watches."""


def replay(validator: Validator, each: Told = nobody) -> int:
    """Run the recorded day: each transaction in its slot, then empty slots until the day is final.

    `each` is told after every transaction; how many there were.
    """
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
            each(recorded, slot)
            replayed += 1
    while validator.chain.root < recording.final_slot():
        validator.close_slot()
    return replayed


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
