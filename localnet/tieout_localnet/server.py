"""HTTP and WebSocket around the method table. Nothing that a client sends ends the process.

HTTP: POST / with one request or an array of them, GET /health. WebSocket: subscriptions, on its own port.
"""

import asyncio
import json
import logging
import socket
import struct
from collections.abc import Callable, Mapping
from functools import partial
from typing import Final

from aiohttp import WSMsgType, web

from tieout_localnet.chain import Commitment
from tieout_localnet.chaos import Rule, transport
from tieout_localnet.chaos.answers import Moment
from tieout_localnet.chaos.answers import answer as chaos_answer
from tieout_localnet.chaos.rules import SOCKET_KINDS
from tieout_localnet.errors import (
    INTERNAL_ERROR,
    INVALID_PARAMS,
    INVALID_REQUEST,
    PARSE_ERROR,
    RpcError,
    invalid_params,
    method_not_found,
)
from tieout_localnet.rpc import METHODS, Context, Method
from tieout_localnet.subscriptions import TOPICS, Hub

BODY_BYTES_MAX: Final = 50 * 1024
BATCH_REQUESTS_MAX: Final = 1_000
WEBSOCKET_MESSAGE_BYTES_MAX: Final = 4 * 1024 * 1024
OUTBOX_MESSAGES_MAX: Final = 50_000
OUTBOX_BYTES_MAX: Final = 64 * 1024 * 1024
"""What a client that does not read may leave waiting before it is dropped."""

NOTIFICATION: Final = '{"jsonrpc":"2.0","method":"'
"""How a notification begins; the name of the subscription follows."""

NOT_HANDLED: Final = frozenset({"rate_limit", "http_error"})
"""Faults of something in front of the node: the request never reaches it."""

RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)

log = logging.getLogger(__name__)


def encode(value: object) -> bytes:
    """JSON as it goes over the wire; half of a surrogate pair, which a client may have sent, becomes `?`."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "replace")


def failure(error: RpcError, request_id: object) -> dict[str, object]:
    """A response that is an error."""
    return {"jsonrpc": "2.0", "error": error.to_json(), "id": request_id}


def parse(body: bytes | str) -> object:
    """A JSON text; deep nesting and bad UTF-8 are parse errors like any other."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise RpcError(PARSE_ERROR, "Parse error") from error


def checked(request: Mapping[str, object]) -> tuple[str, list[object]]:
    """Method name and parameters of a well-formed request."""
    method = request.get("method")
    if not isinstance(method, str):
        raise RpcError(INVALID_REQUEST, "Invalid request")
    params = request.get("params")
    if params is None:
        return method, []
    if not isinstance(params, list):
        raise RpcError(INVALID_PARAMS, "Invalid params: expected an array.")
    return method, params


def defect(error: BaseException, request: object) -> RpcError:
    """The answer to an error that a handler must not raise: -32603, and a traceback in the log.

    A panic in native code arrives as a BaseException of its own; real ends of the process go on.
    """
    if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
        raise error
    log.error("a request failed in a way that it must not: %.2000s", request, exc_info=error)
    return RpcError(INTERNAL_ERROR, "Internal error")


class HttpApi:
    """The HTTP side."""

    def __init__(self, context: Context, hub: Hub) -> None:
        self.context = context
        self._hub = hub
        self._spoiled: set[asyncio.Task[object] | None] = set()

    def application(self) -> web.Application:
        """The routes."""
        app = web.Application(client_max_size=BODY_BYTES_MAX)
        app.router.add_post("/", self.post)
        app.router.add_get("/health", self.health)
        app.on_shutdown.append(self._let_go)
        return app

    async def _let_go(self, _: web.Application) -> None:
        """End the answers that are being withheld: the process would wait for them."""
        for task in self._spoiled:
            if task is not None:
                task.cancel()

    async def health(self, _: web.Request) -> web.Response:
        """What load balancers ask."""
        return web.Response(text="ok")

    async def post(self, request: web.Request) -> web.StreamResponse:
        """One request, or a batch."""
        try:
            body = await request.read()
        except web.HTTPRequestEntityTooLarge:
            return web.Response(status=413, text=f"Payload too large; max {BODY_BYTES_MAX} bytes")
        rule = transport.rule_for(self.context.book, body, self.context.validator.open.slot)
        if rule is not None and rule.kind in NOT_HANDLED:
            return await self._spoil(rule, request, b"")
        answer = self.answer(body)
        text = b"" if answer is None else encode(answer)
        if rule is not None:
            return await self._spoil(rule, request, text)
        return web.Response(body=text, content_type="application/json", charset="utf-8")

    async def _spoil(self, rule: Rule, request: web.Request, text: bytes) -> web.StreamResponse:
        task = asyncio.current_task()
        self._spoiled.add(task)
        try:
            return await transport.spoil(rule, request, text)
        finally:
            self._spoiled.discard(task)

    def answer(self, body: bytes) -> object:
        """The response to a body; None when there is nothing to say."""
        try:
            parsed = parse(body)
        except RpcError as error:
            return failure(error, None)
        if not isinstance(parsed, list):
            return self.one(parsed)
        if any(not isinstance(item, dict) for item in parsed):
            return failure(RpcError(PARSE_ERROR, "Parse error"), None)
        if len(parsed) > BATCH_REQUESTS_MAX:
            return failure(RpcError(INVALID_REQUEST, f"Batch too large; max {BATCH_REQUESTS_MAX}"), None)
        answers = [answer for answer in map(self.one, parsed) if answer is not None]
        return answers or None

    def one(self, request: object) -> object:
        """The response to one request; a notification gets none."""
        if not isinstance(request, dict):
            return failure(RpcError(PARSE_ERROR, "Parse error"), None)
        if request.get("jsonrpc") != "2.0":
            error = RpcError(INVALID_REQUEST, "Unsupported JSON-RPC protocol version")
            return {"error": error.to_json(), "id": request.get("id")}
        if "id" not in request:
            return None
        request_id = request["id"]
        try:
            method, params = checked(request)
            result = self._call(method, params)
        except RpcError as error:
            return failure(error, request_id)
        except BaseException as error:
            return failure(defect(error, request), request_id)
        return {"jsonrpc": "2.0", "result": result, "id": request_id}

    def _call(self, name: str, params: list[object]) -> object:
        method = METHODS.get(name)
        if method is None:
            raise method_not_found()
        result = self._told(name, method, params)
        if name == "sendTransaction" and isinstance(result, str):
            self._hub.received(result)  # type: ignore[arg-type]
        return result

    def _told(self, name: str, method: Method, params: list[object]) -> object:
        book, validator = self.context.book, self.context.validator
        if not book or name.startswith("localnet_"):
            return method.call(self.context, params)
        moment = Moment(validator.open.slot, validator.position(Commitment.FINALIZED))
        return chaos_answer(book, moment, name, params, partial(method.call, self.context))


class Client:
    """One WebSocket connection: an outbox that never makes the chain wait."""

    def __init__(
        self,
        socket: web.WebSocketResponse,
        transport: asyncio.Transport | None,
        fault: Callable[[str], Rule | None],
    ) -> None:
        self.socket = socket
        self._transport = transport
        self._fault = fault
        self._waiting: asyncio.Queue[str | float] = asyncio.Queue()
        self._bytes = 0
        self.overflowed = asyncio.Event()
        # One bound method for the life of the client: subscriptions are recognised by its identity.
        self.outbox = self._put

    def _put(self, message: str) -> None:
        if self.overflowed.is_set():
            return
        if self._waiting.qsize() >= OUTBOX_MESSAGES_MAX or self._bytes + len(message) > OUTBOX_BYTES_MAX:
            self.overflowed.set()
            return
        rule = self._fault(message)
        if rule is not None and not self._spoiled(rule, message):
            return
        self._bytes += len(message)
        self._waiting.put_nowait(message)

    def _spoiled(self, rule: Rule, message: str) -> bool:
        """Do what a rule has for a notification; whether it is sent all the same."""
        if rule.kind == "ws_drop" and self._transport is not None:
            self._transport.abort()
        if rule.kind == "ws_stall":
            self._waiting.put_nowait(rule.delay_ms / 1000)
        if rule.kind == "ws_duplicate":
            self._bytes += len(message)
            self._waiting.put_nowait(message)
        return rule.kind in ("ws_stall", "ws_duplicate")

    async def write(self) -> None:
        """Send what waits, until the client has gone."""
        while True:
            message = await self._waiting.get()
            if isinstance(message, float):
                await asyncio.sleep(message)
                continue
            self._bytes -= len(message)
            await self.socket.send_str(message)

    async def drop_when_slow(self) -> None:
        """Cut the connection of a client that does not read."""
        await self.overflowed.wait()
        log.warning("dropped a client that does not read its notifications")
        if self._transport is not None:
            # Reset rather than close: what the client never read would otherwise stay in the kernel.
            connection = self._transport.get_extra_info("socket")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
            self._transport.abort()


class WebSocketApi:
    """The WebSocket side."""

    def __init__(self, context: Context, hub: Hub) -> None:
        self._context = context
        self._hub = hub

    def _fault(self, message: str) -> Rule | None:
        """The rule for what goes to a client; replies are not spoiled."""
        if not self._context.book or not message.startswith(NOTIFICATION):
            return None
        name = message[len(NOTIFICATION) : message.index("Notification")]
        return self._context.book.on_request(SOCKET_KINDS, name, self._context.validator.open.slot)

    def application(self) -> web.Application:
        """The routes: any path is a subscription socket."""
        app = web.Application()
        app.router.add_get("/{path:.*}", self.connect)
        return app

    async def connect(self, request: web.Request) -> web.WebSocketResponse:
        """One client, until it goes or stops reading."""
        socket = web.WebSocketResponse(max_msg_size=WEBSOCKET_MESSAGE_BYTES_MAX, compress=False)
        await socket.prepare(request)
        client = Client(socket, request.transport, self._fault)
        tasks = [asyncio.create_task(client.write()), asyncio.create_task(client.drop_when_slow())]
        try:
            async for message in socket:
                if message.type is WSMsgType.TEXT:
                    self._receive(client, message.data)
        finally:
            self._hub.forget(client.outbox)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        return socket

    def _receive(self, client: Client, text: str) -> None:
        try:
            request = parse(text)
        except RpcError as error:
            client.outbox(encode(failure(error, None)).decode())
            return
        for item in request if isinstance(request, list) else [request]:
            self._one(client, item)

    def _one(self, client: Client, request: object) -> None:
        if not isinstance(request, dict):
            error = RpcError(INVALID_REQUEST, "Invalid request")
            client.outbox(encode(failure(error, None)).decode())
            return
        if "id" not in request:
            return
        request_id, number = request["id"], None
        try:
            method, params = checked(request)
            result = self._call(client, method, params)
            number = result if method.endswith("Subscribe") else None
            answer: object = {"jsonrpc": "2.0", "result": result, "id": request_id}
        except RpcError as error:
            answer = failure(error, request_id)
        except BaseException as error:
            answer = failure(defect(error, request), request_id)
        client.outbox(encode(answer).decode())
        if isinstance(number, int):
            self._hub.answered(number)

    def _call(self, client: Client, method: str, params: list[object]) -> object:
        name, verb = _split(method)
        if verb == "Subscribe":
            return self._hub.subscribe(name, params, client.outbox)
        if verb == "Unsubscribe":
            if not params:
                raise invalid_params("`params` should have at least 1 argument(s)")
            return self._hub.unsubscribe(name, params, client.outbox)
        raise method_not_found()


def _split(method: str) -> tuple[str, str]:
    for verb in ("Unsubscribe", "Subscribe"):
        if method.endswith(verb) and method.removesuffix(verb) in TOPICS:
            return method.removesuffix(verb), verb
    return method, ""
