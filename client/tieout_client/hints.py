"""A WebSocket's hint that a transaction has settled: it says when to look, never what is true."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager

from tieout_rpc import RpcClient, subscribe, websocket_url


@asynccontextmanager
async def settled_hint(rpc: RpcClient, signature: str, commitment: str, after_s: float) -> AsyncIterator[asyncio.Event]:
    """Give an event that is set when a node tells that the signature reached the commitment.

    The node is asked after ``after_s``: what settles sooner is found by polling, without a
    connection of its own. Where there is no WebSocket the event is never set, and polling goes on.
    """
    told = asyncio.Event()
    watching = asyncio.create_task(_watch(rpc, signature, commitment, after_s, told))
    try:
        yield told
    finally:
        watching.cancel()
        # Whatever became of it: it was only a hint.
        await asyncio.gather(watching, return_exceptions=True)


async def pause(told: asyncio.Event, pause_s: float) -> None:
    """Wait for the hint, at most ``pause_s``."""
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(told.wait(), pause_s)
        told.clear()


async def _watch(rpc: RpcClient, signature: str, commitment: str, after_s: float, told: asyncio.Event) -> None:
    await asyncio.sleep(after_s)
    best = min(rpc.endpoints, key=lambda e: e.failures_in_a_row)
    notes = subscribe(
        websocket_url(best.url), "signatureSubscribe", [signature, {"commitment": commitment}], rpc.limits
    )
    async with aclosing(notes) as open_notes:  # type: ignore[type-var]  # an iterator by its type, a generator in fact
        async for note in open_notes:
            if note is not None:
                told.set()
                return
