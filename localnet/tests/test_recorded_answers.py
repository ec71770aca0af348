"""Every recorded question, put to a chain that lived the same day: the answers are equal, value by value,
but for the differences that are accepted in one place."""

import base64
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from solders.hash import Hash
from solders.transaction import VersionedTransaction
from support import recording
from support.accepted import DIFFERENCES, Accepted
from support.chain import make_context, make_validator
from support.day import BATCH_SLOT, VOTE_PROGRAM, replay
from support.recording import needs_recording

from tieout_localnet.server import HttpApi
from tieout_localnet.subscriptions import Hub
from tieout_localnet.transaction import with_blockhash
from tieout_localnet.validator import Validator

pytestmark = needs_recording

Difference = tuple[str, str]


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HttpApi]:
    """A node with the recorded day behind it."""
    validator = make_validator(tmp_path_factory.mktemp("day"), finalized_depth=31, slot_s=0.0)
    replay(validator)
    yield HttpApi(make_context(validator), Hub(validator))
    validator.store.close()


def left_out() -> set[str]:
    """Signatures that this chain has not: votes, and the step that this version of the program runs."""
    found: set[str] = set()
    for slot in recording.slots():
        for item in recording.block(slot, "json")["transactions"]:
            if slot == BATCH_SLOT or VOTE_PROGRAM in item["transaction"]["message"]["accountKeys"]:
                found.update(item["transaction"]["signatures"])
    return found


def adapted(request: dict[str, Any], validator: Validator) -> dict[str, Any]:
    """The same request; a transaction to simulate gets a blockhash of this chain."""
    if request["method"] != "simulateTransaction":
        return request
    wire, options = request["params"]
    transaction = VersionedTransaction.from_bytes(base64.b64decode(wire))
    newest = Hash.from_string(validator.chain.recent_blocks(40)[-1].blockhash)
    text = base64.b64encode(bytes(with_blockhash(transaction, newest))).decode()
    return {**request, "params": [text, options]}


def comparable(request: dict[str, Any], ours: Any, theirs: Any, absent: set[str]) -> tuple[Any, Any]:
    """Both answers without what concerns transactions that this chain has not."""
    method, result = request["method"], theirs.get("result")
    if method == "getBlock" and isinstance(result, dict):
        result = dict(result)
        if "transactions" in result:
            result["transactions"] = [
                item for item in result["transactions"] if not absent & set(first_signature(item))
            ]
        if "signatures" in result:
            result["signatures"] = [item for item in result["signatures"] if item not in absent]
        return ours, {**theirs, "result": result}
    if method == "getSignaturesForAddress" and isinstance(result, list):
        result = [row for row in result if row["signature"] not in absent]
        return {**ours, "result": ours["result"][: len(result)]}, {**theirs, "result": result}
    if method == "getSignatureStatuses" and isinstance(result, dict):
        kept = [i for i, signature in enumerate(request["params"][0]) if signature not in absent]
        for answer in (ours, theirs):
            values = answer["result"]["value"]
            answer["result"]["value"] = [values[i] for i in kept]
    return ours, theirs


def first_signature(item: dict[str, Any]) -> list[str]:
    transaction = item["transaction"]
    if isinstance(transaction, list):
        return [str(VersionedTransaction.from_bytes(base64.b64decode(transaction[0])).signatures[0])]
    return list(transaction["signatures"][:1])


def differences(ours: Any, theirs: Any, path: str = "") -> Iterator[Difference]:
    """Where two answers differ: a missing key, a length, a value."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        for key in sorted(ours.keys() | theirs.keys()):
            inner = f"{path}.{key}" if path else key
            if key not in ours or key not in theirs:
                yield inner, "only in ours" if key in ours else "only in theirs"
            else:
                yield from differences(ours[key], theirs[key], inner)
    elif isinstance(ours, list) and isinstance(theirs, list):
        if len(ours) != len(theirs):
            yield f"{path}[]", f"{len(ours)} items, not {len(theirs)}"
        for index, (one, other) in enumerate(zip(ours, theirs, strict=False)):
            yield from differences(one, other, f"{path}[{index}]")
    elif ours != theirs or type(ours) is not type(theirs):
        yield path, f"{str(ours)[:80]} is not {str(theirs)[:80]}"


def api_validator(api: HttpApi) -> Validator:
    return api.context.validator


def accepted_by(method: str, path: str) -> Accepted | None:
    return next(
        (a for a in DIFFERENCES if re.fullmatch(a.methods, method) and re.fullmatch(a.path, path)), None
    )


def test_every_answer_is_as_recorded_but_for_what_is_accepted(api: HttpApi) -> None:
    absent, used, compared = left_out(), set(), 0
    unexpected: list[str] = []
    for request, theirs in recording.calls():
        if request["method"] == "getTransaction" and request["params"][0] in absent:
            continue
        ours = json.loads(json.dumps(api.one(adapted(request, api.context.validator))))
        # Error or not, and which error, is never a matter of taste.
        if request["method"] != "getHighestSnapshotSlot":
            assert ours.get("error", {}).get("code") == theirs.get("error", {}).get("code"), request
        for path, what in differences(*comparable(request, ours, theirs, absent)):
            entry = accepted_by(request["method"], path)
            if entry is None:
                unexpected.append(f"{request['method']} {path}: {what}")
            used.add(entry)
        compared += 1
    assert unexpected == [], "\n".join(unexpected)
    assert compared > 260
    assert [entry.reason for entry in DIFFERENCES if entry not in used] == []
