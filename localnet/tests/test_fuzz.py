"""No request, however malformed, kills or hangs a running node: over HTTP, and over WebSocket."""

import asyncio
import json
import socket
from typing import Any

import aiohttp
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.chain import make_context, make_validator
from support.node import Node

from tieout_localnet.rpc import METHODS
from tieout_localnet.server import BODY_BYTES_MAX, HttpApi
from tieout_localnet.subscriptions import TOPICS, Hub

KEY = "77L8h1yhh9sJkqzaUfXC3tyfRUhtrrCkMVKBFL3E995d"
SIGNATURE = "5" * 88
PACES = {"localnet_pause", "localnet_resume", "localnet_advance"}
"""They do what they are asked to: other tests ask them."""

NASTY: list[Any] = [
    None,
    True,
    "",
    "\u0000",
    "\ud800",
    "x" * 5_000,
    KEY,
    SIGNATURE,
    0,
    -1,
    1.5,
    1e308,
    2**63,
    2**64 - 1,
    2**64,
    10**300,
    [],
    {},
    [[]],
    [KEY] * 101,
    {"commitment": {}, "encoding": [], "filters": {}, "dataSlice": 1},
    {"filters": [{"memcmp": {"offset": 2**64 - 1, "bytes": [256]}}] * 4},
    {"dataSlice": {"offset": 2**64 - 1, "length": 2**64 - 1}, "encoding": "base64"},
    {"from": 2**64 - 1, "to": 2**64 - 1, "slots": 2**64 - 1, "seconds": 2**64 - 1, "depth": 2**64},
    {"limit": 2**64 - 1, "before": KEY, "until": 1, "minContextSlot": 2**64 - 1},
    {"add": [{"kind": "skip", "slots": [2**65]}], "clear": [], "seed": -1},
    {"identity": KEY, "range": {"firstSlot": 2**64 - 1, "lastSlot": 2**64 - 1}, "epoch": 2**64 - 1},
]

BODIES: list[bytes] = [
    b"",
    b"null",
    b"{",
    b"[" * 20_000,
    b'{"a":' * 8_000,
    b"[" * 500 + b"]" * 500,
    b'{"jsonrpc":"2.0","id":' + b"9" * 5_000 + b',"method":"getSlot"}',
    b'{"jsonrpc":"2.0","id":1,"method":"getBlock","params":[' + b"9" * 5_000 + b"]}",
    b'{"jsonrpc":"2.0","id":1,"method":"getSlot","params":[NaN,Infinity,-Infinity]}',
    b'{"jsonrpc":"2.0","id":{"a":[]},"method":"getSlot","params":{}}',
    b'{"jsonrpc":"2.0","id":1,"method":"getSlot","params":"x"}',
    b'{"jsonrpc":"2.0","id":1,"method":["getSlot"]}',
    b"\xff\xfe\x00",
    b"\x00" * 100,
    b'"\\ud800"',
    json.dumps({"jsonrpc": "2.0", "id": 1, **{f"k{n}": n for n in range(3_000)}}).encode(),
    json.dumps([{"jsonrpc": "2.0", "id": n, "method": "getHealth"} for n in range(900)]).encode(),
    b"[" + b",".join([b"1"] * 10_000) + b"]",
    b" " * (BODY_BYTES_MAX + 1),
    json.dumps(
        {"jsonrpc": "2.0", "id": 1, "method": "getMultipleAccounts", "params": [[KEY] * 10_000]}
    ).encode(),
]


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> HttpApi:
    """A node in this process, where an internal error is seen at once."""
    validator = make_validator(tmp_path_factory.mktemp("fuzz"))
    for _ in range(5):
        validator.close_slot()
    return HttpApi(make_context(validator), Hub(validator))


@pytest.mark.parametrize("method", sorted(set(METHODS) - PACES))
def test_no_nasty_value_in_any_place_is_a_defect(api: HttpApi, method: str) -> None:
    fillers: list[list[Any]] = [[], [KEY], [[KEY]], [SIGNATURE], [[SIGNATURE]], [1], [KEY, {"mint": KEY}]]
    # The schedule of an epoch is an answer of 432,000 numbers.
    for value in NASTY[-4:] if method == "getLeaderSchedule" else NASTY:
        places = [*([*before, value] for before in fillers), *([value, *after] for after in fillers)]
        for params in places:
            request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
            answer: Any = api.one(request)
            error = answer.get("error")
            assert error is None or error["message"] != "Internal error", request


async def test_no_body_hangs_or_ends_the_server(node: Node) -> None:
    url = f"http://127.0.0.1:{node.port}/"
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(60)) as session:
        for body in BODIES:
            async with session.post(url, data=body) as response:
                assert response.status in (200, 413), body[:50]
                text = await response.read()
                assert response.status == 413 or text == b"" or json.loads(text) is not None
        for path in ("/x", "/../..", "/health?x=1", "/" + "a" * 7_000):
            async with session.get(f"http://127.0.0.1:{node.port}{path}") as response:
                assert response.status in (200, 400, 404, 405)
    assert node.call("getHealth") == "ok"


def test_what_is_not_even_http_does_not_matter(node: Node) -> None:
    for port in (node.port, node.port + 1):
        for text in (
            b"\x16\x03\x01" * 50,
            b"GET",
            b"POST / HTTP/1.1\r\nContent-Length: 10\r\n\r\n{",
            b"\r\n" * 999,
        ):
            with socket.create_connection(("127.0.0.1", port), timeout=10) as raw:
                raw.sendall(text)
    assert node.call("getHealth") == "ok"


MESSAGES: list[Any] = [
    *(body.decode("utf-8", "replace") for body in BODIES),
    *(
        json.dumps({"jsonrpc": "2.0", "id": 1, "method": f"{topic}{verb}", "params": [value, value]})
        for topic in sorted({*TOPICS, "noSuch"})
        for verb in ("Subscribe", "Unsubscribe")
        for value in NASTY
    ),
    *(
        json.dumps({"jsonrpc": "2.0", "id": 1, "method": "slotSubscribe", "params": [n]})
        for n in range(1_500)
    ),
]


async def test_no_message_hangs_or_ends_the_socket_of_another(node: Node) -> None:
    url = f"ws://127.0.0.1:{node.port + 1}/"
    async with aiohttp.ClientSession() as session, session.ws_connect(url) as bystander:
        async with session.ws_connect(url, max_msg_size=0) as client:
            for message in MESSAGES:
                await client.send_str(message)
            await client.send_bytes(b"\x00\x01")
            await client.send_str(json.dumps({"jsonrpc": "2.0", "id": "last", "method": "slotSubscribe"}))
            while True:
                answer = await client.receive(timeout=60)
                assert answer.type is aiohttp.WSMsgType.TEXT
                told = json.loads(answer.data)
                assert told.get("error", {}).get("message") != "Internal error", told
                if told.get("id") == "last":
                    break
        await bystander.send_str(json.dumps({"jsonrpc": "2.0", "id": 1, "method": "slotSubscribe"}))
        assert "result" in await bystander.receive_json(timeout=10)
        await asyncio.to_thread(node.advance)
        assert (await bystander.receive_json(timeout=10))["method"] == "slotNotification"
    assert node.call("getHealth") == "ok"


ANYTHING = st.recursive(
    st.sampled_from([value for value in NASTY if not isinstance(value, list | dict)]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["id", "params"]), inner),
    max_leaves=8,
)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.fixed_dictionaries(
        {}, optional=dict.fromkeys(("jsonrpc", "id", "method", "params", "result", "error"), ANYTHING)
    )
)
def test_no_envelope_is_a_defect(api: HttpApi, envelope: dict[str, Any]) -> None:
    answer: Any = api.answer(json.dumps(envelope).encode())
    assert answer is None or answer["error"]["message"] != "Internal error"
