"""Subscriptions over a real socket."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from solders.keypair import Keypair
from support.node import SOL, Node
from support.recording import GOLDEN, needs_recording, shape

SILENCE_S = 0.15


class Socket:
    """A client that keeps replies and notifications apart."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket
        self.notifications: list[dict[str, Any]] = []
        self._id = 0

    async def ask(self, method: str, *params: object) -> dict[str, Any]:
        """Send a request; its response."""
        self._id += 1
        await self.socket.send_json(
            {"jsonrpc": "2.0", "id": self._id, "method": method, "params": list(params)}
        )
        while True:
            message = await asyncio.wait_for(self.socket.receive_json(), 5)
            if "method" not in message:
                return dict(message)
            self.notifications.append(message)

    async def subscribe(self, method: str, *params: object) -> int:
        """Subscribe; the id."""
        return int((await self.ask(f"{method}Subscribe", *params))["result"])

    async def drain(self) -> list[dict[str, Any]]:
        """All notifications until there is silence."""
        while True:
            try:
                self.notifications.append(await self.socket.receive_json(timeout=SILENCE_S))
            except TimeoutError:
                taken, self.notifications = self.notifications, []
                return taken

    async def results(self, number: int) -> list[Any]:
        """The results of one subscription's notifications."""
        return [n["params"]["result"] for n in await self.drain() if n["params"]["subscription"] == number]


@asynccontextmanager
async def connected(node: Node) -> AsyncIterator[Socket]:
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(f"ws://127.0.0.1:{node.port + 1}/") as client,
    ):
        yield Socket(client)


def in_thread(function: Callable[..., Any], *arguments: object) -> Awaitable[Any]:
    return asyncio.to_thread(function, *arguments)


async def test_slots_and_roots_are_told_as_they_are_made(node: Node) -> None:
    async with connected(node) as client:
        slots, roots = await client.subscribe("slot"), await client.subscribe("root")
        opened = await in_thread(node.advance, 5)
        told = await client.drain()
        by_id = {
            number: [n["params"]["result"] for n in told if n["params"]["subscription"] == number]
            for number in (slots, roots)
        }
        root = await in_thread(node.call, "getSlot")
        assert by_id[slots][-1] == {"slot": opened, "parent": opened - 1, "root": root}
        assert [update["slot"] for update in by_id[slots]] == list(range(opened - 4, opened + 1))
        assert by_id[roots][-1] == root


@pytest.mark.parametrize(("level", "after"), [("processed", 1), ("confirmed", 1), ("finalized", 4)])
async def test_a_signature_is_told_once_at_its_level(node: Node, level: str, after: int) -> None:
    async with connected(node) as client:
        signature = await in_thread(node.call, "requestAirdrop", str(Keypair().pubkey()), SOL)
        number = await client.subscribe("signature", signature, {"commitment": level})
        if after > 1:
            await in_thread(node.advance, after - 1)
            assert await client.results(number) == []
        await in_thread(node.advance)
        assert [r["value"] for r in await client.results(number)] == [{"err": None}]
        await in_thread(node.advance)
        assert await client.results(number) == []
        assert "error" in await client.ask("signatureUnsubscribe", number)


async def test_an_outcome_that_is_already_there_is_told_at_once(node: Node) -> None:
    signature = await in_thread(node.call, "requestAirdrop", str(Keypair().pubkey()), SOL)
    await in_thread(node.advance, 4)
    async with connected(node) as client:
        number = await client.subscribe("signature", signature)
        assert [r["value"] for r in await client.results(number)] == [{"err": None}]


async def test_logs_of_a_mentioned_address_only(node: Node) -> None:
    wanted, other = str(Keypair().pubkey()), str(Keypair().pubkey())
    async with connected(node) as client:
        mine = await client.subscribe("logs", {"mentions": [wanted]}, {"commitment": "confirmed"})
        every = await client.subscribe("logs", "all", {"commitment": "processed"})
        first = await in_thread(node.call, "requestAirdrop", wanted, SOL)
        second = await in_thread(node.call, "requestAirdrop", other, SOL)
        await in_thread(node.advance)
        told = await client.drain()
        seen = {
            number: [
                n["params"]["result"]["value"]["signature"]
                for n in told
                if n["params"]["subscription"] == number
            ]
            for number in (mine, every)
        }
        assert seen == {mine: [first], every: [first, second]}


async def test_an_account_is_told_once_a_slot_at_its_level(node: Node) -> None:
    key = str(Keypair().pubkey())
    async with connected(node) as client:
        final = await client.subscribe("account", key, {"encoding": "base64", "commitment": "finalized"})
        await in_thread(node.call, "requestAirdrop", key, SOL)
        await in_thread(node.call, "requestAirdrop", key, SOL)
        slot = await in_thread(node.advance)
        await in_thread(node.call, "requestAirdrop", key, SOL)
        assert await client.results(final) == []
        await in_thread(node.advance, 3)
        told = await client.results(final)
        assert [(r["context"]["slot"], r["value"]["lamports"]) for r in told] == [(slot - 1, 2 * SOL)]


async def test_programs_slot_updates_and_unsubscribing(node: Node) -> None:
    async with connected(node) as client:
        program = await client.subscribe(
            "program",
            "1" * 32,
            {"encoding": "base64", "commitment": "confirmed", "filters": [{"dataSize": 0}]},
        )
        updates = await client.subscribe("slotsUpdates")
        key = str(Keypair().pubkey())
        await in_thread(node.call, "requestAirdrop", key, SOL)
        await in_thread(node.advance)
        told = await client.drain()
        owned = [
            n["params"]["result"]["value"]["pubkey"] for n in told if n["params"]["subscription"] == program
        ]
        kinds = [n["params"]["result"]["type"] for n in told if n["params"]["subscription"] == updates]
        assert key in owned
        assert {"frozen", "completed", "optimisticConfirmation", "createdBank", "root"} == set(kinds)
        assert (await client.ask("programUnsubscribe", program))["result"] is True
        assert (await client.ask("slotsUpdatesUnsubscribe", updates))["result"] is True
        await in_thread(node.advance)
        assert await client.drain() == []


async def test_bad_subscriptions_are_answered_as_a_node_does(node: Node) -> None:
    cases: list[tuple[str, list[object], int, str]] = [
        ("blockSubscribe", [{"mentionsAccountOrProgram": "1" * 32}], -32601, "Method not found"),
        ("voteSubscribe", [], -32601, "Method not found"),
        ("nosuchSubscribe", [], -32601, "Method not found"),
        ("slotUnsubscribe", [999_999], -32602, "Invalid subscription id."),
        ("accountSubscribe", ["nonsense"], -32602, "Invalid Request: Invalid pubkey provided"),
        ("accountSubscribe", [], -32602, "`params` should have at least 1 argument(s)"),
        (
            "logsSubscribe",
            [{"mentions": ["1" * 32, "1" * 32]}],
            -32602,
            "Invalid Request: Only 1 address supported",
        ),
    ]
    async with connected(node) as client:
        for method, params, code, message in cases:
            error = (await client.ask(method, *params))["error"]
            assert (error["code"], error["message"]) == (code, message), method


async def test_a_ping_without_id_is_tolerated_and_bad_text_answered(node: Node) -> None:
    async with connected(node) as client:
        await client.socket.send_str('{"jsonrpc":"2.0","method":"ping"}')
        await client.socket.send_str("{not json")
        answer = await client.socket.receive_json(timeout=5)
        assert answer == {"jsonrpc": "2.0", "error": {"code": -32700, "message": "Parse error"}, "id": None}
        assert await client.subscribe("slot") >= 0


@needs_recording
async def test_notifications_have_the_recorded_shapes(node: Node) -> None:
    recorded: dict[str, object] = {}
    for name in ("ws-subscriptions.jsonl", "day-1/ws.jsonl"):
        for line in (GOLDEN / name).read_text().splitlines():
            message = json.loads(line).get("recv")
            if isinstance(message, dict) and "method" in message:
                recorded.setdefault(_kind(message), shape(message))
    key = str(Keypair().pubkey())
    base64 = {"encoding": "base64", "commitment": "confirmed"}
    async with connected(node) as client:
        await client.subscribe("slot")
        await client.subscribe("root")
        await client.subscribe("slotsUpdates")
        await client.subscribe("logs", "all", {"commitment": "confirmed"})
        await client.subscribe("account", key, base64)
        await client.subscribe("program", "1" * 32, base64)
        signature = await in_thread(node.call, "requestAirdrop", key, SOL)
        await client.subscribe("signature", signature, {"commitment": "confirmed"})
        await in_thread(node.advance)
        told = {_kind(message): shape(message) for message in await client.drain()}
    assert len(told) >= 10
    # The first recorded account notification is jsonParsed; its members but `data` are compared.
    for kind, ours in told.items():
        theirs = recorded[kind]
        if kind == "logsNotification":
            ours, theirs = _without_error(ours), _without_error(theirs)
        if kind == "accountNotification":
            ours, theirs = _without_data(ours), _without_data(theirs)
        assert ours == theirs, kind


def _kind(message: dict[str, Any]) -> str:
    result = message["params"]["result"]
    return str(message["method"]) + (result.get("type", "") if isinstance(result, dict) else "")


def _without_error(value: Any) -> Any:
    return {**value["params"]["result"]["value"], "err": "differs by transaction"}


def _without_data(value: Any) -> Any:
    account = dict(value["params"]["result"]["value"])
    del account["data"]
    return account


async def test_a_client_that_does_not_read_is_cut_off_and_the_others_go_on(node: Node) -> None:
    with socket.socket() as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        slow.connect(("127.0.0.1", node.port + 1))
        slow.sendall(HANDSHAKE + masked(b'{"jsonrpc":"2.0","id":1,"method":"slotsUpdatesSubscribe"}'))
        for _ in range(60):
            await in_thread(node.advance, 1_000)
            if is_cut(slow):
                break
        assert is_cut(slow)
    async with connected(node) as client:
        number = await client.subscribe("slot")
        await in_thread(node.advance)
        assert len(await client.results(number)) == 1


HANDSHAKE = (
    b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


def masked(text: bytes) -> bytes:
    """A text frame as a client sends it, masked with zeros."""
    return b"\x81" + bytes([0x80 | len(text)]) + b"\0\0\0\0" + text


def is_cut(connection: socket.socket) -> bool:
    """Whether the other side has reset the connection; takes nothing of what waits to be read."""
    try:
        connection.send(b"")
        connection.getpeername()
    except OSError:
        return True
    return connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) != 0
