"""JSON-RPC over HTTP: one call, retried by the error table, failed over from node to node."""

import asyncio
import os
import random
import socket
import time
from collections.abc import Collection, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar

import aiohttp
import msgspec

from tieout_rpc.endpoint import Endpoint, Standing
from tieout_rpc.envelope import opened
from tieout_rpc.errors import Action, MalformedAnswer, NodeRefused, NodeUnreachable, RpcError
from tieout_rpc.limits import RpcLimits

T = TypeVar("T")
_HTTP_TOO_MANY = 429
_HTTP_SERVER_ERROR = 500
_SILENCE_MIN_S = 0.1
_HISTORY_REFUSALS = frozenset({"BlockCleanedUp", "TransactionHistoryNotAvailable", "NoSlotHistory"})


def _told(failures: Sequence[RpcError]) -> RpcError:
    """What to tell of a round without an answer: the last failure, but that nodes lack a method before one's silence.

    Else a dead node beside living ones that do not offer something would look like an outage for ever.
    """
    if all(isinstance(f, NodeUnreachable | _Throttled) or _lacks_method(f) for f in failures):
        lacking = next((f for f in failures if _lacks_method(f)), None)
        if lacking is not None:
            return lacking
    last = failures[-1]
    return NodeUnreachable(str(last)) if isinstance(last, _Throttled) else last


def _lacks_method(failure: RpcError) -> bool:
    return isinstance(failure, NodeRefused) and failure.rule.name == "MethodNotFound"


class _Throttled(RpcError):
    """HTTP 429 or 5xx: the node or a proxy before it asks for patience."""

    def __init__(self, message: str, wait_s: float | None) -> None:
        self.wait_s = wait_s
        super().__init__(message)


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

    async def call_raw(self, method: str, params: Sequence[Any] = (), avoid: Collection[str] = ()) -> tuple[bytes, str]:
        """Return ``(exact result bytes, endpoint name)``, retrying until ``give_up_after_s``.

        ``avoid`` names endpoints that are not to be asked; a lying one is asked only where all are.
        """
        asked = [e for e in self.endpoints if e.name not in avoid]
        if not asked:
            raise NodeUnreachable(f"no endpoint is left to ask for {method}: name another with --rpc-url")
        asked = [e for e in asked if e.standing is not Standing.LYING] or asked
        give_up_at = time.monotonic() + self.limits.give_up_after_s
        patience_ends_at = give_up_at + self.limits.retry_after_max_s
        wait_s = self.limits.backoff_initial_s
        while True:
            failures: list[RpcError] = []
            for endpoint in sorted(asked, key=lambda e: e.rank):
                # A silent node may use up its share of the time, not that of the nodes after it.
                share_s = (give_up_at - time.monotonic()) / (len(asked) - len(failures))
                try:
                    return await self._call_once(endpoint, method, params, max(share_s, _SILENCE_MIN_S)), endpoint.name
                except NodeRefused as refused:
                    if refused.rule.action is Action.STOP:
                        raise
                    failures.append(refused)
                except RpcError as failed:
                    failures.append(failed)
            last = failures[-1]
            # Another node may have what one says was skipped; none settles it, and asking again does not either.
            hopeless = all(
                isinstance(f, NodeRefused) and f.rule.action in {Action.FAIL_OVER, Action.PARK} for f in failures
            )
            pause_s = wait_s * random.uniform(0.5, 1.0)  # noqa: S311  jitter, no secret
            if isinstance(last, _Throttled) and last.wait_s is not None:
                # who says when to come again is not silent: that wait is on top of the time for giving up
                pause_s = max(last.wait_s, pause_s)
                if last.wait_s <= self.limits.retry_after_max_s:
                    give_up_at = min(max(give_up_at, time.monotonic() + pause_s + wait_s), patience_ends_at)
            if hopeless or time.monotonic() + pause_s > give_up_at:
                raise _told(failures) from last
            await asyncio.sleep(pause_s)
            wait_s = min(wait_s * 2, self.limits.backoff_max_s)

    async def ask_each(self, method: str, params: Sequence[Any] = ()) -> dict[str, bytes | RpcError]:
        """Ask every endpoint once, at the same time: name → exact result bytes, or why there are none."""

        async def ask(endpoint: Endpoint) -> bytes | RpcError:
            try:
                return await self._call_once(endpoint, method, params, self.limits.give_up_after_s)
            except RpcError as failed:
                return failed

        answers = await asyncio.gather(*map(ask, self.endpoints))
        return {endpoint.name: answer for endpoint, answer in zip(self.endpoints, answers, strict=True)}

    async def probe(self) -> None:
        """Ask every endpoint for its finalized slot and oldest block, and judge who lags behind."""
        tips = await self.ask_each("getSlot", [{"commitment": "finalized"}])
        firsts = await self.ask_each("getFirstAvailableBlock")
        for endpoint in self.endpoints:
            endpoint.finalized_slot = _slot(tips[endpoint.name])
            endpoint.first_slot = _slot(firsts[endpoint.name])
        best = max((e.finalized_slot for e in self.endpoints if e.finalized_slot is not None), default=0)
        for endpoint in self.endpoints:
            known = endpoint.finalized_slot
            endpoint.lag_slots = None if known is None else best - known
            endpoint.lagging = known is not None and best - known > self.limits.lag_slots_max

    def endpoint(self, name: str) -> Endpoint:
        """The endpoint of that name. Raises KeyError."""
        return next(e for e in self.endpoints if e.name == name)

    async def _call_once(self, endpoint: Endpoint, method: str, params: Sequence[Any], silence_s: float) -> bytes:
        self._ids += 1
        request = msgspec.json.encode({"jsonrpc": "2.0", "id": self._ids, "method": method, "params": list(params)})
        started = time.monotonic()
        try:
            status, body = await self._post(endpoint, method, request, silence_s)
            result, error = opened(body)
            if error is None and not result:
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
        if error is not None:
            refused = NodeRefused(method, error.code, error.message, error.data, endpoint.name)
            if refused.rule.name == "TooManyRequests":
                endpoint.throttled()
            elif refused.rule.name in _HISTORY_REFUSALS:
                endpoint.refused_history()
            raise refused
        return result

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
                wait_s = float(wait) if wait.isdecimal() else None
                if answer.status == _HTTP_TOO_MANY:
                    endpoint.throttled()
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


def _slot(answer: bytes | RpcError) -> int | None:
    if isinstance(answer, RpcError):
        return None
    try:
        slot: int = msgspec.json.decode(answer, type=int)
    except _UNREADABLE:
        return None
    return slot


def _reason(down: Exception) -> str:
    # aiohttp's own words for these name the whole address, key included, or speak of its insides
    match down:
        case aiohttp.ClientConnectorCertificateError():
            return f"its certificate is not accepted: {down.certificate_error}"
        case aiohttp.ClientConnectorError():
            cause = down.os_error
            known = isinstance(cause, socket.gaierror) or not cause.errno
            return (cause.strerror or type(cause).__name__) if known else os.strerror(cause.errno or 0)
        case aiohttp.ConnectionTimeoutError():
            return "no connection within the time allowed"
        case aiohttp.ClientResponseError() | aiohttp.InvalidURL():
            return type(down).__name__
    return str(down) or type(down).__name__
