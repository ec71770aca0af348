"""What nodes tell of themselves: finalized blocks where one offers blockSubscribe, else that there is something new.

A notification never proves anything and none is needed: what does not come is asked for, at the latest when the
next poll is due. One endpoint is listened to at a time, the first of the list that does well: when its connection
drops, it falls behind, or what it sends is of no use, the next one that offers the subscription is; it is tried again
after a rest, which grows each time that it fails. A subscription that every endpoint refuses is given up for the next.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass
from typing import Any, cast

from tieout_indexer.backfilling import Say
from tieout_indexer.limits import IndexerLimits
from tieout_indexer.pushed import BlockNotification, PushedBlocks
from tieout_indexer.source import TRANSACTION_VERSION_MAX
from tieout_rpc import Endpoint, NodeRefused, RpcLimits, Standing, subscribe, websocket_url

_BLOCKS = "blockSubscribe"
_WANTED = (
    "all",
    {
        "commitment": "finalized",
        "encoding": "json",
        "transactionDetails": "full",
        "showRewards": False,
        "maxSupportedTransactionVersion": TRANSACTION_VERSION_MAX,
    },
)
_HINTS = ("rootSubscribe", "slotsUpdatesSubscribe", "slotSubscribe")
"""Who tells that a slot is final, the most to the point first. A slot notification means that a bank was made."""
_SPOILED_MAX = 3
"""Blocks of no use in one sitting, after which an endpoint is left."""


@dataclass(frozen=True, slots=True)
class Rest:
    """An endpoint is not listened to until ``until_s`` (monotonic), which was ``for_s`` seconds ahead."""

    until_s: float
    for_s: float


def best(endpoints: Sequence[Endpoint], rests: Mapping[str, Rest], now_s: float) -> Endpoint:
    """Return whom to listen to: the first that is not lying, resting, silent or behind; else the least bad. Pure."""

    def badness(endpoint: Endpoint) -> tuple[bool, bool, bool]:
        standing, rest = endpoint.standing, rests.get(endpoint.name)
        resting = rest is not None and rest.until_s > now_s
        return standing is Standing.LYING, resting, standing in (Standing.SILENT, Standing.LAGGING)

    return min(endpoints, key=badness)


class _Sitting:
    """One endpoint while it is listened to: what may be held against it. Pure."""

    def __init__(self, tip_slot: int | None, spoiled: int, began_s: float) -> None:
        self.began_s = began_s
        self._heard_slot, self._spoiled, self._turns = tip_slot, spoiled, 0

    def turned(self) -> None:
        """The connection was made, or lost: once is the beginning."""
        self._turns += 1

    def heard(self, slot: int) -> None:
        """Something came, of a slot."""
        self._heard_slot = max(self._heard_slot or 0, slot)

    def fault(self, tip_slot: int | None, spoiled: int, lag_slots_max: int) -> str | None:
        """Say what is wrong with it; None: nothing. ``tip_slot`` None: nobody knows how far the chain is."""
        if self._turns > 1:
            return "lost the connection"
        if self._heard_slot is None:
            self._heard_slot = tip_slot
        if tip_slot is not None and self._heard_slot is not None and tip_slot - self._heard_slot > lag_slots_max:
            return f"has told nothing of the last {tip_slot - self._heard_slot} slots"
        if spoiled - self._spoiled >= _SPOILED_MAX:
            return f"sent {spoiled - self._spoiled} blocks of no use"
        return None


class Listener:
    """Listens to one of several endpoints, for as long as it is left to."""

    def __init__(
        self,
        endpoints: Sequence[Endpoint],
        pushed: PushedBlocks,
        wake: Callable[[], None],
        limits: IndexerLimits,
        rpc_limits: RpcLimits,
        say: Say,
    ) -> None:
        self._endpoints = endpoints
        self._pushed = pushed
        self._wake = wake
        self._limits = limits
        self._rpc_limits = rpc_limits
        self._say = say
        self._offering: list[Endpoint] = []
        self._rests: dict[str, Rest] = {}
        self._told_of: Endpoint | None = None

    async def run(self) -> None:
        """Try each source of news in turn; returns where no node offers any, and polling is left."""
        for method in (*([_BLOCKS] if self._limits.block_subscribe else []), *_HINTS):
            await self._follow(method)
        self._say("no subscription is offered: polling", event="polling")

    async def _follow(self, method: str) -> None:
        """Listen to whoever does best of those that offer a subscription; returns once all have refused it."""
        self._offering, self._rests = list(self._endpoints), {}
        while self._offering:
            endpoint = self._best()
            try:
                why = await self._sit(endpoint, method)
            except NodeRefused as refused:
                self._offering.remove(endpoint)
                if method != _BLOCKS:  # few nodes offer it, those that were started so: nothing to tell
                    self._say(f"{refused}; another way is taken", event="subscription_refused", method=method)
            else:
                self._told_of = None
                text = f"{endpoint.name} {why}: {self._best().name} is listened to"
                self._say(text, event="subscription_moved", method=method, endpoint=endpoint.name)

    async def _sit(self, endpoint: Endpoint, method: str) -> str:
        """Listen to an endpoint until another one does better; returns why. Raises NodeRefused."""
        why, sitting = None, self._sitting(endpoint)
        coming: asyncio.Future[Any] | None = None
        async with aclosing(self._subscribed(endpoint, method)) as stream:
            try:
                while self._best() is endpoint:
                    coming = coming or asyncio.ensure_future(anext(stream))
                    # no time-out of its own: to cancel what comes would end the subscription
                    done, _ = await asyncio.wait({coming}, timeout=self._limits.endpoint_report_interval_s)
                    if done:
                        came, coming = coming, None
                        self._hear(endpoint, method, came.result(), sitting)
                    spoiled = self._pushed.spoiled[endpoint.name]
                    if why := sitting.fault(self._tip(), spoiled, self._limits.lag_slots_max):
                        self._rest(endpoint, sitting)
                        sitting = self._sitting(endpoint)
            finally:
                if coming is not None:
                    coming.cancel()
                    with suppress(asyncio.CancelledError, NodeRefused):
                        await coming
        return why or ("gives way" if endpoint.standing is Standing.GOOD else f"is {endpoint.standing.value}")

    def _best(self) -> Endpoint:
        return best(self._offering, self._rests, time.monotonic())

    def _tip(self) -> int | None:
        """The newest finalized slot that an endpoint told when it was last asked, liars aside; None: none did."""
        honest = (e.finalized_slot for e in self._endpoints if e.standing is not Standing.LYING)
        return max((slot for slot in honest if slot is not None), default=None)

    def _sitting(self, endpoint: Endpoint) -> _Sitting:
        return _Sitting(self._tip(), self._pushed.spoiled[endpoint.name], time.monotonic())

    def _rest(self, endpoint: Endpoint, sitting: _Sitting) -> None:
        """Leave an endpoint alone for a while: twice as long as before, unless it did well for longer than that."""
        now_s, before = time.monotonic(), self._rests.get(endpoint.name)
        longest_s = self._limits.listen_rest_max_s
        for_s = self._limits.listen_rest_s
        if before is not None and now_s - sitting.began_s <= before.for_s:
            for_s = min(2 * before.for_s, longest_s)
        self._rests[endpoint.name] = Rest(now_s + for_s, for_s)

    def _hear(self, endpoint: Endpoint, method: str, news: Any, sitting: _Sitting) -> None:
        if news is None:
            sitting.turned()
        elif isinstance(news, BlockNotification):
            self._take(endpoint, news)
            sitting.heard(news.value.slot)
            if self._told_of is not endpoint:
                self._say(f"{endpoint.name} sends its finalized blocks", event="block_subscribed")
            self._told_of = endpoint
        else:
            sitting.heard(self._tip() or 0)
        if not (isinstance(news, Mapping) and method == "slotsUpdatesSubscribe" and news.get("type") != "root"):
            self._wake()

    def _take(self, endpoint: Endpoint, news: BlockNotification) -> None:
        """Keep the block; where none came (null, an error, another slot than it is said to be) it will be asked for."""
        body = news.body
        if body is not None and news.value.slot == news.context.slot:
            self._pushed.put(news.value.slot, body, endpoint.name)
        else:
            self._pushed.spoiled[endpoint.name] += 1

    def _subscribed(self, endpoint: Endpoint, method: str) -> AsyncGenerator[Any, None]:
        params, result_type = (_WANTED, BlockNotification) if method == _BLOCKS else ((), Any)
        found = subscribe(
            websocket_url(endpoint.url), method, params, self._rpc_limits, result_type=result_type, may_refuse=True
        )
        return cast("AsyncGenerator[Any, None]", found)


async def wake_on_confirmations(endpoints: Sequence[Endpoint], wake: Callable[[], None], rpc_limits: RpcLimits) -> None:
    """Wake as soon as a node says that a block is confirmed; returns where none offers to (slotsUpdatesSubscribe)."""
    for endpoint in endpoints:
        url = websocket_url(endpoint.url)
        stream = subscribe(url, "slotsUpdatesSubscribe", (), rpc_limits, result_type=Any, may_refuse=True)
        with suppress(NodeRefused):
            async with aclosing(cast("AsyncGenerator[Any, None]", stream)) as updates:
                async for update in updates:
                    if isinstance(update, Mapping) and update.get("type") == "optimisticConfirmation":
                        wake()
