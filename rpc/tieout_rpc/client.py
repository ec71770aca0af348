"""JSON-RPC over HTTP: one call, retried by the error table, failed over from node to node."""

import asyncio
import random
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self, TypeVar

import aiohttp
import msgspec

from tieout_rpc.endpoint import Endpoint
from tieout_rpc.errors import Action, MalformedAnswer, NodeRefused, NodeUnreachable, RpcError
from tieout_rpc.limits import RpcLimits

T = TypeVar("T")
_HTTP_TOO_MANY = 429
_HTTP_SERVER_ERROR = 500


class _ErrorBody(msgspec.Struct):
    code: int
    message: str = ""
    data: Any = None


class _Envelope(msgspec.Struct):
    result: msgspec.Raw = msgspec.Raw(b"null")
    error: _ErrorBody | None = None


class _Throttled(RpcError):
    """HTTP 429 or 5xx: the node or a proxy before it asks for patience."""

    def __init__(self, message: str, wait_s: float | None) -> None:
        self.wait_s = wait_s
        super().__init__(message)


_DECODER = msgspec.json.Decoder(_Envelope)


class RpcClient:
    """Calls any of several endpoints of one cluster. Use as an async context manager."""

    def __init__(self, urls: Sequence[str], limits: RpcLimits | None = None) -> None:
        if not urls:
            raise ValueError("no node address given: name one with --rpc-url")
        self.limits = limits or RpcLimits()
        self.endpoints = [Endpoint(url) for url in urls]
        self._ids = 0
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=self.limits.request_timeout_s, connect=self.limits.connect_timeout_s),
            connector=aiohttp.TCPConnector(limit=self.limits.connections_max),
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def call(self, method: str, params: Sequence[Any] = (), result_type: type[T] | Any = Any) -> T:
        """Return the decoded result. Raises NodeRefused, NodeUnreachable or MalformedAnswer."""
        raw, endpoint = await self.call_raw(method, params)
        try:
            decoded: T = msgspec.json.decode(raw, type=result_type)
        except msgspec.MsgspecError as bad:
            raise MalformedAnswer(f"{endpoint} answered {method} in an unexpected form: {bad}") from bad
        return decoded

    async def call_raw(self, method: str, params: Sequence[Any] = ()) -> tuple[bytes, str]:
        """Return ``(exact result bytes, endpoint name)``, retrying until ``give_up_after_s``."""
        give_up_at = time.monotonic() + self.limits.give_up_after_s
        wait_s = self.limits.backoff_initial_s
        while True:
            last: RpcError | None = None
            for endpoint in sorted(self.endpoints, key=lambda e: e.failures_in_a_row):
                try:
                    return await self._call_once(endpoint, method, params), endpoint.name
                except NodeRefused as refused:
                    if refused.rule.action in {Action.STOP, Action.PARK}:
                        raise
                    last = refused
                except RpcError as failed:
                    last = failed
            assert last is not None
            hopeless = isinstance(last, NodeRefused) and last.rule.action is Action.FAIL_OVER
            pause_s = wait_s * random.uniform(0.5, 1.0)  # noqa: S311  jitter, no secret
            if isinstance(last, _Throttled) and last.wait_s is not None:
                pause_s = last.wait_s
            if hopeless or time.monotonic() + pause_s > give_up_at:
                raise last if not isinstance(last, _Throttled) else NodeUnreachable(str(last)) from last
            await asyncio.sleep(pause_s)
            wait_s = min(wait_s * 2, self.limits.backoff_max_s)

    async def _call_once(self, endpoint: Endpoint, method: str, params: Sequence[Any]) -> bytes:
        self._ids += 1
        request = msgspec.json.encode({"jsonrpc": "2.0", "id": self._ids, "method": method, "params": list(params)})
        started = time.monotonic()
        try:
            body = await self._post(endpoint, method, request)
            envelope = _DECODER.decode(body)
        except msgspec.MsgspecError as bad:
            endpoint.failed()
            raise MalformedAnswer(f"{endpoint.name} answered {method} with no JSON-RPC: {bad}") from bad
        except (aiohttp.ClientError, TimeoutError, OSError) as down:
            endpoint.failed()
            why = str(down) or type(down).__name__
            raise NodeUnreachable(f"{endpoint.name} did not answer {method}: {why}") from down
        except RpcError:
            endpoint.failed()
            raise
        endpoint.succeeded(time.monotonic() - started)
        if envelope.error is not None:
            error = envelope.error
            raise NodeRefused(method, error.code, error.message, error.data, endpoint.name)
        return bytes(envelope.result)

    async def _post(self, endpoint: Endpoint, method: str, request: bytes) -> bytes:
        assert self._session is not None, "use the client as an async context manager"
        headers = {"Content-Type": "application/json"}
        async with self._session.post(endpoint.url, data=request, headers=headers) as answer:
            if answer.status == _HTTP_TOO_MANY or answer.status >= _HTTP_SERVER_ERROR:
                wait = answer.headers.get("Retry-After", "")
                wait_s = min(float(wait), self.limits.retry_after_max_s) if wait.isdigit() else None
                raise _Throttled(f"{endpoint.name} answered {method} with HTTP {answer.status}", wait_s)
            chunks, size = [], 0
            async for chunk in answer.content.iter_any():
                size += len(chunk)
                if size > self.limits.body_bytes_max:
                    raise MalformedAnswer(
                        f"{endpoint.name} answered {method} with over {self.limits.body_bytes_max} bytes"
                    )
                chunks.append(chunk)
            return b"".join(chunks)
