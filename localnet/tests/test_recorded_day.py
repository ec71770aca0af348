"""Against the recordings of a real validator: the same transactions have the same effects, to the last field.
What may differ is in `support.accepted`, with the reason."""

import json
from pathlib import Path
from typing import Any

from support import tokens
from support.accepted import META_NOT_COMPARED
from support.chain import make_validator
from support.day import BATCH_SLOT, replay
from support.recording import needs_recording

from tieout_localnet import encoding
from tieout_localnet.transaction import from_stored
from tieout_localnet.validator import Validator

pytestmark = needs_recording


def programs_in(logs: list[str]) -> list[str]:
    """The calls and outcomes that logs tell, without amounts."""
    return [line for line in logs if " invoke [" in line or line.endswith(" success") or " failed: " in line]


def with_memo_balance(balances: list[int], keys: list[str]) -> list[int]:
    """Lamports without those of the memo program: its file is smaller here, and so is its rent."""
    return [b for b, key in zip(balances, keys, strict=True) if key != str(tokens.MEMO)]


def test_every_recorded_transaction_has_the_recorded_outcome(tmp_path: Path) -> None:
    validator = make_validator(tmp_path)
    assert replay(validator, lambda recorded, slot: compare(validator, recorded, slot)) > 90
    validator.store.close()


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
        for member in META_NOT_COMPARED:
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
