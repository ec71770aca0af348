"""Nodes that misbehave to order: one scripted over HTTP, one over bare TCP, one over WebSocket."""

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

Call = dict[str, Any]
Reply = Callable[[Call], Awaitable[web.StreamResponse]]
Connected = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Node:
    """A node's address and the calls that reached it."""

    url: str = ""
    calls: list[Call] = field(default_factory=list)


@asynccontextmanager
async def node(*replies: Reply) -> AsyncIterator[Node]:
    """Answers the first call by the first reply and so on; the last one goes on for ever."""
    made = Node()

    async def handle(request: web.Request) -> web.StreamResponse:
        made.calls.append(json.loads(await request.read()))
        return await replies[min(len(made.calls), len(replies)) - 1](made.calls[-1])

    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", handle)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield made
    finally:
        await runner.cleanup()


def result(value: Any) -> Reply:
    async def reply(call: Call) -> web.StreamResponse:
        return web.json_response({"jsonrpc": "2.0", "id": call["id"], "result": value})

    return reply


def refusal(code: int, message: str = "no", data: Any = None) -> Reply:
    async def reply(call: Call) -> web.StreamResponse:
        error = {"code": code, "message": message, "data": data}
        return web.json_response({"jsonrpc": "2.0", "id": call["id"], "error": error})

    return reply


def body(raw: bytes, status: int = 200, headers: dict[str, str] | None = None) -> Reply:
    async def reply(_: Call) -> web.StreamResponse:
        return web.Response(body=raw, status=status, headers=headers)

    return reply


@asynccontextmanager
async def tcp(connected: Connected) -> AsyncIterator[str]:
    """The URL of a server that does with each connection what ``connected`` says."""
    open_ones: set[asyncio.StreamWriter] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        open_ones.add(writer)
        await connected(reader, writer)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for writer in open_ones:
            writer.close()
        await server.wait_closed()


async def silence(_reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    """Accepts, never answers."""


@asynccontextmanager
async def full_queue() -> AsyncIterator[str]:
    """The URL of a host that takes no more connections, and does not say so: packets to it are dropped."""
    with contextlib.ExitStack() as stack:
        door = stack.enter_context(socket.socket())
        door.bind(("127.0.0.1", 0))
        door.listen(0)
        for _ in range(8):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(door.getsockname())
        yield f"http://127.0.0.1:{door.getsockname()[1]}"


@asynccontextmanager
async def closed_port() -> AsyncIterator[str]:
    """The URL of a port on which nobody listens."""
    async with tcp(silence) as url:
        pass
    yield url
