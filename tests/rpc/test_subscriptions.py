"""A subscription outlives its connection, and ends only when its reader does."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import WSMsgType, web

from rpc.nodes import closed_port, silence, tcp
from tieout_rpc import NodeRefused, RpcLimits, subscribe

FAST = RpcLimits(backoff_initial_s=0.005, backoff_max_s=0.02, websocket_silence_max_s=5.0)
Script = Callable[[web.WebSocketResponse, int], Awaitable[None]]


class Socket:
    """What a WebSocket node saw."""

    def __init__(self) -> None:
        self.url = ""
        self.asked: list[Any] = []
        self.closed = asyncio.Event()


@asynccontextmanager
async def socket_node(script: Script) -> AsyncIterator[Socket]:
    """``script(socket, n)`` is run on the n-th connection, counted from 1, after its subscription came."""
    seen = Socket()

    async def handle(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        seen.asked.append(await socket.receive_json())
        await script(socket, len(seen.asked))
        async for message in socket:
            assert message.type is not WSMsgType.ERROR
        seen.closed.set()
        return socket

    app = web.Application()
    app.router.add_get("/", handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    seen.url = f"ws://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield seen
    finally:
        await runner.cleanup()


def notification(value: Any) -> str:
    return json.dumps({"jsonrpc": "2.0", "method": "rootNotification", "params": {"result": value, "subscription": 0}})


async def first_values(url: str, count: int, limits: RpcLimits = FAST) -> list[Any]:
    """The first values, without the Nones that tell of a (re)connection."""
    values: list[Any] = []
    stream = subscribe(url, "rootSubscribe", limits=limits)
    async with asyncio.timeout(20):
        async for value in stream:
            if value is not None:
                values.append(value)
            if len(values) == count:
                break
    await stream.aclose()  # type: ignore[attr-defined]
    return values


async def test_notifications_come_in_order_after_one_subscription() -> None:
    async def script(socket: web.WebSocketResponse, _: int) -> None:
        await socket.send_str('{"jsonrpc":"2.0","result":0,"id":1}')
        for slot in (5, 6, 7):
            await socket.send_str(notification(slot))

    async with socket_node(script) as node:
        assert await first_values(node.url, 3) == [5, 6, 7]
    assert node.asked == [{"jsonrpc": "2.0", "id": 1, "method": "rootSubscribe", "params": []}]


async def test_the_reader_is_told_of_each_connection_so_that_it_may_look() -> None:
    async def script(socket: web.WebSocketResponse, _: int) -> None:
        await socket.send_str(notification(5))

    async with socket_node(script) as node:
        stream = subscribe(node.url, "rootSubscribe", limits=FAST)
        async with asyncio.timeout(20):
            assert [await anext(stream), await anext(stream)] == [None, 5]
        await stream.aclose()  # type: ignore[attr-defined]


async def test_a_dropped_connection_is_made_again() -> None:
    async def script(socket: web.WebSocketResponse, number: int) -> None:
        await socket.send_str(notification(number))
        await socket.close()

    async with socket_node(script) as node:
        assert await first_values(node.url, 3) == [1, 2, 3]


async def test_an_aborted_connection_is_made_again() -> None:
    async def script(socket: web.WebSocketResponse, number: int) -> None:
        await socket.send_str(notification(number))
        if number == 1:
            assert socket._req is not None
            assert socket._req.transport is not None
            socket._req.transport.abort()

    async with socket_node(script) as node:
        values = await first_values(node.url, 1)
        assert values[0] in (1, 2)  # an abort may overtake what was sent


@pytest.mark.parametrize("rubbish", ["{", "[]", "7", "", '{"params":7}', "[" * 200_000])
async def test_bad_json_costs_a_connection_and_no_more(rubbish: str) -> None:
    async def script(socket: web.WebSocketResponse, number: int) -> None:
        await socket.send_str(rubbish if number == 1 else notification(number))

    async with socket_node(script) as node:
        assert await first_values(node.url, 1) == [2]


async def test_a_refusal_is_told_to_who_wants_to_know_it_and_waited_out_by_who_does_not() -> None:
    async def script(socket: web.WebSocketResponse, number: int) -> None:
        await socket.send_str('{"jsonrpc":"2.0","error":{"code":-32601,"message":"Method not found"},"id":1}')
        await socket.send_str(notification(number))

    async with socket_node(script) as node:
        assert await first_values(node.url, 1) == [1]
        stream = subscribe(node.url, "blockSubscribe", limits=FAST, may_refuse=True)
        assert await anext(stream) is None
        with pytest.raises(NodeRefused, match="blockSubscribe with -32601 MethodNotFound"):
            await anext(stream)


async def test_a_notification_of_another_shape_than_was_asked_for_costs_a_connection_and_no_more() -> None:
    async def script(socket: web.WebSocketResponse, number: int) -> None:
        await socket.send_str(notification("seven" if number == 1 else 7))

    async with socket_node(script) as node, asyncio.timeout(20):
        stream = subscribe(node.url, "rootSubscribe", limits=FAST, result_type=int)
        assert [v async for v in _until_value(stream)][-1] == 7
    assert len(node.asked) == 2


async def _until_value(stream: AsyncIterator[Any]) -> AsyncIterator[Any]:
    async for value in stream:
        yield value
        if value is not None:
            return


async def test_a_ping_is_answered_and_a_binary_message_is_passed_over() -> None:
    async def script(socket: web.WebSocketResponse, _: int) -> None:
        await socket.ping(b"there?")
        await socket.send_bytes(b"\x00\x01")
        await socket.send_str(notification(5))

    async with socket_node(script) as node:
        assert await first_values(node.url, 1) == [5]
    assert len(node.asked) == 1


async def test_a_message_over_the_limit_costs_a_connection_and_no_more() -> None:
    async def script(socket: web.WebSocketResponse, number: int) -> None:
        await socket.send_str(notification("x" * 5000 if number == 1 else number))

    limits = RpcLimits(backoff_initial_s=0.005, websocket_message_bytes_max=1000, websocket_silence_max_s=5.0)
    async with socket_node(script) as node:
        assert await first_values(node.url, 1, limits) == [2]


async def test_a_silent_connection_is_made_again() -> None:
    async def script(socket: web.WebSocketResponse, number: int) -> None:
        if number > 1:
            await socket.send_str(notification(number))

    async with socket_node(script) as node:
        assert await first_values(node.url, 1, RpcLimits(backoff_initial_s=0.005, websocket_silence_max_s=0.2)) == [2]


async def test_while_no_node_is_there_the_reader_is_told_to_look_by_itself() -> None:
    async with closed_port() as url, asyncio.timeout(20):
        stream = subscribe(url.replace("http", "ws"), "rootSubscribe", limits=FAST)
        assert [await anext(stream), await anext(stream)] == [None, None]
        await stream.aclose()  # type: ignore[attr-defined]


async def test_a_node_that_never_shakes_hands_is_left() -> None:
    async with tcp(silence) as url, asyncio.timeout(20):
        limits = RpcLimits(backoff_initial_s=0.005, request_timeout_s=0.2)
        stream = subscribe(url.replace("http", "ws"), "rootSubscribe", limits=limits)
        assert await anext(stream) is None
        await stream.aclose()  # type: ignore[attr-defined]


async def test_a_connection_outlives_the_time_for_the_handshake() -> None:
    async def script(socket: web.WebSocketResponse, _: int) -> None:
        await asyncio.sleep(0.6)
        await socket.send_str(notification(5))

    limits = RpcLimits(request_timeout_s=0.3, websocket_silence_max_s=10.0)
    async with socket_node(script) as node:
        assert await first_values(node.url, 1, limits) == [5]
    assert len(node.asked) == 1


async def test_a_cancelled_reader_closes_the_connection() -> None:
    reading = asyncio.Event()

    async def read(url: str) -> None:
        async for _ in subscribe(url, "rootSubscribe", limits=FAST):
            reading.set()

    async def script(_: web.WebSocketResponse, __: int) -> None:
        return

    async with socket_node(script) as node, asyncio.timeout(20):
        task = asyncio.create_task(read(node.url))
        await reading.wait()
        while not node.asked:
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await node.closed.wait()
    assert task.cancelled()
