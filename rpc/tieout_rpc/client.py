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
_SILENCE_MIN_S = 0.1


class _ErrorBody(msgspec.Struct):
    code: int
    message: str = ""
    data: Any = None


class _Envelope(msgspec.Struct):
    # Empty: there was none. A node's null is the four letters.
    result: msgspec.Raw = msgspec.Raw(b"")
    error: _ErrorBody | None = None


class _Throttled(RpcError):
    """HTTP 429 or 5xx: the node or a proxy before it asks for patience."""

    def __init__(self, message: str, wait_s: float | None) -> None:
        self.wait_s = wait_s
        super().__init__(message)


_DECODER = msgspec.json.Decoder(_Envelope)
_UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""What decoding raises for bytes that are no JSON, no UTF-8, or nested without end."""


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
        self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=self.limits.connections_max))
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
        except _UNREADABLE as bad:
            raise MalformedAnswer(f"{endpoint} answered {method} in an unexpected form: {bad}") from bad
        return decoded

    async def call_raw(self, method: str, params: Sequence[Any] = ()) -> tuple[bytes, str]:
        """Return ``(exact result bytes, endpoint name)``, retrying until ``give_up_after_s``."""
        give_up_at = time.monotonic() + self.limits.give_up_after_s
        wait_s = self.limits.backoff_initial_s
        while True:
            failures: list[RpcError] = []
            for endpoint in sorted(self.endpoints, key=lambda e: e.failures_in_a_row):
                # A silent node may use up its share of the time, not that of the nodes after it.
                share_s = (give_up_at - time.monotonic()) / (len(self.endpoints) - len(failures))
                try:
                    return await self._call_once(endpoint, method, params, max(share_s, _SILENCE_MIN_S)), endpoint.name
                except NodeRefused as refused:
                    if refused.rule.action in {Action.STOP, Action.PARK}:
                        raise
                    failures.append(refused)
                except RpcError as failed:
                    failures.append(failed)
            last = failures[-1]
            hopeless = all(isinstance(f, NodeRefused) and f.rule.action is Action.FAIL_OVER for f in failures)
            pause_s = wait_s * random.uniform(0.5, 1.0)  # noqa: S311  jitter, no secret
            if isinstance(last, _Throttled) and last.wait_s is not None:
                pause_s = max(last.wait_s, pause_s)
            if hopeless or time.monotonic() + pause_s > give_up_at:
                raise last if not isinstance(last, _Throttled) else NodeUnreachable(str(last)) from last
            await asyncio.sleep(pause_s)
            wait_s = min(wait_s * 2, self.limits.backoff_max_s)

    async def _call_once(self, endpoint: Endpoint, method: str, params: Sequence[Any], silence_s: float) -> bytes:
        self._ids += 1
        request = msgspec.json.encode({"jsonrpc": "2.0", "id": self._ids, "method": method, "params": list(params)})
        started = time.monotonic()
        try:
            status, body = await self._post(endpoint, method, request, silence_s)
            envelope = _DECODER.decode(body)
            if envelope.error is None and not envelope.result:
                raise MalformedAnswer(f"{endpoint.name} answered {method} with neither a result nor an error")
        except _UNREADABLE as bad:
            endpoint.failed()
            raise MalformedAnswer(
                f"{endpoint.name} answered {method} with HTTP {status} and no JSON-RPC: {bad}"
            ) from bad
        except (aiohttp.ClientError, TimeoutError, OSError) as down:
            endpoint.failed()
            raise NodeUnreachable(f"{endpoint.name} did not answer {method}: {_reason(down)}") from down
        except RpcError:
            endpoint.failed()
            raise
        endpoint.succeeded(time.monotonic() - started)
        if envelope.error is not None:
            error = envelope.error
            raise NodeRefused(method, error.code, error.message, error.data, endpoint.name)
        return bytes(envelope.result)

    async def _post(self, endpoint: Endpoint, method: str, request: bytes, silence_s: float) -> tuple[int, bytes]:
        assert self._session is not None, "use the client as an async context manager"
        headers = {"Content-Type": "application/json"}
        limits = aiohttp.ClientTimeout(
            total=self.limits.request_timeout_s,
            connect=min(self.limits.connect_timeout_s, silence_s),
            sock_read=silence_s,
        )
        async with self._session.post(endpoint.url, data=request, headers=headers, timeout=limits) as answer:
            if answer.status == _HTTP_TOO_MANY or answer.status >= _HTTP_SERVER_ERROR:
                wait = answer.headers.get("Retry-After", "")
                wait_s = min(float(wait), self.limits.retry_after_max_s) if wait.isdecimal() else None
                raise _Throttled(f"{endpoint.name} answered {method} with HTTP {answer.status}", wait_s)
            chunks, size = [], 0
            async for chunk in answer.content.iter_any():
                size += len(chunk)
                if size > self.limits.body_bytes_max:
                    raise MalformedAnswer(
                        f"{endpoint.name} answered {method} with over {self.limits.body_bytes_max} bytes"
                    )
                chunks.append(chunk)
            return answer.status, b"".join(chunks)


def _reason(down: Exception) -> str:
    # These name the whole address, key included.
    if isinstance(down, aiohttp.ClientResponseError | aiohttp.InvalidURL):
        return type(down).__name__
    return str(down) or type(down).__name__
