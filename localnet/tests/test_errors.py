"""Bad input: the code and the words of a real node, and a server that lives on."""

import base64
import json
import urllib.error
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from solders.instruction import AccountMeta, Instruction
from solders.keypair import Keypair
from solders.pubkey import Pubkey
from support.chain import make_context, make_validator, signed
from support.node import Node

from tieout_localnet import programs
from tieout_localnet.rpc import METHODS
from tieout_localnet.server import BODY_BYTES_MAX, HttpApi
from tieout_localnet.subscriptions import Hub

KEY = "77L8h1yhh9sJkqzaUfXC3tyfRUhtrrCkMVKBFL3E995d"
NOWHERE = 10_000_000

CASES: list[tuple[str, list[Any], int, str]] = [
    ("noSuchMethod", [], -32601, "Method not found"),
    ("getBlock", [], -32602, "`params` should have at least 1 argument(s)"),
    ("getBlock", ["x"], -32602, 'Invalid params: invalid type: string "x", expected u64.'),
    (
        "getBlock",
        [0, {"commitment": "processed"}],
        -32602,
        "Method does not support commitment below `confirmed`",
    ),
    ("getBlock", [NOWHERE], -32004, f"Block not available for slot {NOWHERE}"),
    (
        "getBlock",
        [0, {"encoding": "nonsense"}],
        -32602,
        "Invalid params: data did not match any variant of untagged enum RpcEncodingConfigWrapper.",
    ),
    (
        "getBlock",
        [0, {"maxSupportedTransactionVersion": 256}],
        -32602,
        "Invalid params: data did not match any variant of untagged enum RpcEncodingConfigWrapper.",
    ),
    ("getBlockTime", [NOWHERE], -32004, f"Block not available for slot {NOWHERE}"),
    ("getBlocksWithLimit", [0, 500_001], -32602, "Limit too large; max 500000"),
    ("getMultipleAccounts", [[KEY] * 101], -32602, "Too many inputs provided; max 100"),
    ("getSignatureStatuses", [["1" * 64] * 257], -32602, "Too many inputs provided; max 256"),
    ("getSignaturesForAddress", [KEY, {"limit": 1001}], -32602, "Invalid limit; max 1000"),
    ("getTokenSupply", [KEY], -32602, "Invalid param: could not find mint"),
    ("requestAirdrop", ["bad", 1], -32602, "Invalid param: WrongSize"),
    ("getBalance", ["0OIl"], -32602, "Invalid param: Invalid"),
    ("getHighestSnapshotSlot", [], -32008, "No snapshot"),
    (
        "sendTransaction",
        ["O", {"encoding": "base58"}],
        -32602,
        "invalid base58 encoding: InvalidCharacter { character: 'O', index: 0 }",
    ),
]


@pytest.mark.parametrize(("method", "params", "code", "message"), CASES, ids=lambda value: str(value)[:40])
def test_bad_calls_are_answered_as_a_node_does(
    node: Node, method: str, params: list[Any], code: int, message: str
) -> None:
    error = node.response(method, *params)["error"]
    assert (error["code"], error["message"]) == (code, message)


def test_an_unknown_cursor_is_named(node: Node) -> None:
    unknown = "34ejzZhuvf6Z9rse44hCpznuXroxdXCdCxFFmpErTUcZu2PBZKCkbjJpYFEVFp8nUnK6iF88bjRZBc6knzAL1111"
    error = node.response("getSignaturesForAddress", KEY, {"before": unknown})["error"]
    assert error == {"code": -32020, "message": f"Transaction {unknown} not found"}


def test_unknown_commitments_and_members_are_taken_as_finalized(node: Node) -> None:
    finalized = node.call("getSlot")
    for config in ({"commitment": "nonsense"}, {"commitment": 5}, {"commitment": "max"}, {"what": 1}):
        assert node.call("getSlot", config) == finalized


def test_batches_answer_each_request_and_a_broken_one_answers_once(node: Node) -> None:
    call = {"jsonrpc": "2.0", "method": "getHealth"}
    answers = node.raw([{**call, "id": 1}, {**call, "id": "two"}, {**call}])
    assert [(answer["id"], answer["result"]) for answer in answers] == [(1, "ok"), ("two", "ok")]
    assert node.raw([{**call, "id": 1}, 7])["error"]["code"] == -32700
    assert node.raw([]) is None
    assert node.raw(call) is None


def test_a_missing_version_is_an_invalid_request_without_one(node: Node) -> None:
    answer = node.raw({"id": 1, "method": "getHealth"})
    assert answer["error"]["code"] == -32600
    assert "jsonrpc" not in answer


def test_text_that_is_not_json_is_a_parse_error(node: Node) -> None:
    assert node.raw(b"{not json")["error"] == {"code": -32700, "message": "Parse error"}
    assert node.raw(b"[" * 40_000)["error"]["code"] == -32700
    assert node.raw(b"\xff\xfe")["error"]["code"] == -32700


def test_a_body_that_is_too_long_is_http_413(node: Node) -> None:
    with pytest.raises(urllib.error.HTTPError) as refused:
        node.raw(b" " * (BODY_BYTES_MAX + 1))
    with refused.value as answer:
        assert answer.code == 413
    assert node.call("getHealth") == "ok"


MEMBERS = (
    *("encoding", "commitment", "filters", "memcmp", "dataSize", "bytes", "offset", "limit", "mint"),
    *("dataSlice", "length", "programId", "accounts", "addresses", "before", "until", "slots", "seconds"),
    *("unixTimestamp", "minContextSlot", "transactionDetails", "rewards"),
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12) | st.just(KEY),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(MEMBERS), inner, max_size=4),
    max_leaves=10,
)
KEY_LISTS = st.lists(st.tuples(st.integers(0, 30), st.booleans()), max_size=5)
FUZZED = sorted(set(METHODS) - {"localnet_advance", "localnet_pause", "localnet_resume"})


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> HttpApi:
    validator = make_validator(tmp_path_factory.mktemp("fuzz"))
    for _ in range(5):
        validator.close_slot()
    return HttpApi(make_context(validator), Hub(validator))


@settings(max_examples=600, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(method=st.sampled_from(FUZZED), params=st.lists(JSON, max_size=3))
def test_no_parameters_make_a_defect(api: HttpApi, method: str, params: list[Any]) -> None:
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()
    answer = api.answer(body)
    assert isinstance(answer, dict)
    error = answer.get("error")
    assert error is None or error["message"] != "Internal error", (method, params)


@settings(max_examples=300, deadline=None)
@given(body=st.binary(max_size=80) | JSON.map(lambda value: json.dumps(value).encode()))
def test_no_body_makes_a_defect(api: HttpApi, body: bytes) -> None:
    answer = api.answer(body)
    assert answer is None or isinstance(answer, dict | list)


KNOWN = [*programs.MEMO_PROGRAMS, *programs.TOKEN_PROGRAMS, programs.SYSTEM, programs.COMPUTE_BUDGET]
PROGRAMS = [*KNOWN, programs.LOOKUP_TABLE, programs.UPGRADEABLE_LOADER, Keypair().pubkey()]
SOME_KEYS = [*PROGRAMS, *programs.SYSVARS, *(Keypair().pubkey() for _ in range(3))]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(PROGRAMS), st.binary(max_size=60), KEY_LISTS), max_size=3))
def test_no_signed_transaction_makes_a_defect(
    api: HttpApi, parts: list[tuple[Pubkey, bytes, list[tuple[int, bool]]]]
) -> None:
    validator = api.context.validator
    payer = validator.identity.faucet
    instructions = [
        Instruction(
            program,
            data,
            [AccountMeta(SOME_KEYS[i % len(SOME_KEYS)], False, writable) for i, writable in keys],
        )
        for program, data, keys in parts
    ]
    wire = base64.b64encode(bytes(signed(validator, instructions, payer))).decode()
    options = {"encoding": "base64", "skipPreflight": True}
    for method, config in (("simulateTransaction", {"encoding": "base64"}), ("sendTransaction", options)):
        call = {"jsonrpc": "2.0", "id": 1, "method": method, "params": [wire, config]}
        answer = api.answer(json.dumps(call).encode())
        assert isinstance(answer, dict)
        assert "result" in answer or answer["error"]["message"] != "Internal error", answer
    validator.close_slot()


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=400))
def test_no_bytes_for_a_transaction_make_a_defect(api: HttpApi, raw: bytes) -> None:
    call = {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "sendTransaction",
        "params": [base64.b64encode(raw).decode(), {"encoding": "base64"}],
    }
    answer = api.answer(json.dumps(call).encode())
    assert isinstance(answer, dict)
    assert answer["error"]["message"] != "Internal error"


def test_the_fuzzed_server_leaves_no_trace(api: HttpApi, tmp_path: Path) -> None:
    assert api.answer(b'{"jsonrpc":"2.0","id":1,"method":"getHealth"}') == {
        "jsonrpc": "2.0",
        "result": "ok",
        "id": 1,
    }
