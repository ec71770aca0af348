"""What a node tells of itself: finalized blocks where it offers blockSubscribe, else that there is something new.

A notification never proves anything and none is needed: what does not come is asked for, at the latest when the
next poll is due. A subscription that the node refuses is given up for the next of the list.
"""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress
from typing import Any

from tieout_indexer.backfilling import Say
from tieout_indexer.limits import IndexerLimits
from tieout_indexer.pushed import BlockNotification, PushedBlocks
from tieout_indexer.source import TRANSACTION_VERSION_MAX
from tieout_rpc import Endpoint, NodeRefused, RpcLimits, subscribe, websocket_url

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


class Listener:
    """Listens to one endpoint, for as long as it is left to."""

    def __init__(
        self,
        endpoint: Endpoint,
        pushed: PushedBlocks,
        wake: Callable[[], None],
        limits: IndexerLimits,
        rpc_limits: RpcLimits,
        say: Say,
    ) -> None:
        self._endpoint = endpoint
        self._url = websocket_url(endpoint.url)
        self._pushed = pushed
        self._wake = wake
        self._limits = limits
        self._rpc_limits = rpc_limits
        self._say = say

    async def run(self) -> None:
        """Try each source of news in turn; returns where the node offers none, and polling is left."""
        if self._limits.block_subscribe:
            with suppress(NodeRefused):  # nodes offer it only where they were started so: nothing to tell
                await self._blocks()
        for method in _HINTS:
            try:
                await self._hints(method)
            except NodeRefused as refused:
                self._say(f"{refused}; another way is taken", event="subscription_refused", method=method)
        self._say("no subscription is offered: polling", event="polling")

    async def _blocks(self) -> None:
        first = True
        async for news in self._subscribed("blockSubscribe", _WANTED, BlockNotification):
            if isinstance(news, BlockNotification):
                self._take(news)
                if first:
                    self._say(f"{self._endpoint.name} sends its finalized blocks", event="block_subscribed")
                first = False
            self._wake()

    def _take(self, news: BlockNotification) -> None:
        """Keep the block; where none came (null, an error, another slot than it is said to be) it will be asked for."""
        body = news.body
        if body is not None and news.value.slot == news.context.slot:
            self._pushed.put(news.value.slot, body, self._endpoint.name)

    async def _hints(self, method: str) -> None:
        async for news in self._subscribed(method, (), Any):
            if not (isinstance(news, Mapping) and method == "slotsUpdatesSubscribe" and news.get("type") != "root"):
                self._wake()

    def _subscribed(self, method: str, params: tuple[Any, ...], result_type: Any) -> AsyncIterator[Any]:
        return subscribe(self._url, method, params, self._rpc_limits, result_type=result_type, may_refuse=True)
