"""WebSocket subscriptions: notifications as they come, the connection made again when it drops.

A notification is a hint to look, never data: a dropped one costs a little time, not a row.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import aiohttp
import msgspec

from tieout_rpc.endpoint import redact_url
from tieout_rpc.errors import NodeRefused
from tieout_rpc.limits import RpcLimits


class _Params(msgspec.Struct):
    result: msgspec.Raw = msgspec.Raw(b"null")


class _Error(msgspec.Struct):
    code: int = 0
    message: str = ""


class _Message(msgspec.Struct):
    method: str | None = None
    params: _Params | None = None
    error: _Error | None = None


async def subscribe(
    url: str,
    method: str,
    params: Sequence[Any] = (),
    limits: RpcLimits | None = None,
    *,
    result_type: Any = Any,
    may_refuse: bool = False,
) -> AsyncIterator[Any]:
    """Yield the ``result`` of each notification of one subscription; None after each (re)connection.

    ``method`` is the subscribing one, ``rootSubscribe``. Ends only when the caller stops reading. ``result_type``
    is what msgspec decodes to. ``may_refuse``: raise NodeRefused where the node does not offer the subscription.
    """
    limits = limits or RpcLimits()
    wait_s = limits.backoff_initial_s
    handshake = aiohttp.ClientTimeout(total=limits.request_timeout_s, connect=limits.connect_timeout_s)
    while True:
        try:
            async with (
                aiohttp.ClientSession(timeout=handshake) as session,
                session.ws_connect(
                    url,
                    timeout=aiohttp.ClientWSTimeout(ws_receive=limits.websocket_silence_max_s),
                    max_msg_size=limits.websocket_message_bytes_max,
                ) as socket,
            ):
                await socket.send_json({"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)})
                yield None
                wait_s = limits.backoff_initial_s
                async for message in socket:
                    if message.type is not aiohttp.WSMsgType.TEXT:
                        continue
                    parsed = msgspec.json.decode(message.data, type=_Message)
                    if parsed.error is not None and may_refuse:
                        raise NodeRefused(method, parsed.error.code, parsed.error.message, None, redact_url(url))
                    if parsed.params is not None:
                        yield msgspec.json.decode(parsed.params.result, type=result_type)
        except (aiohttp.ClientError, TimeoutError, OSError, msgspec.MsgspecError, RecursionError):
            yield None  # the reader polls while the socket is away
        await asyncio.sleep(wait_s)
        wait_s = min(wait_s * 2, limits.backoff_max_s)
