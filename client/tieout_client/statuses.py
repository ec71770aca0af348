"""Statuses of many signatures with few questions: who asks while an answer is on its way shares the next one."""

import asyncio
from typing import Final

from tieout_client.settling import SignatureStatus, StatusAnswer
from tieout_rpc import RpcClient

SIGNATURES_MAX: Final = 256
"""What one getSignatureStatuses takes (agave ``MAX_GET_SIGNATURE_STATUSES_QUERY_ITEMS``)."""

_Waiting = dict[str, asyncio.Future[SignatureStatus | None]]


class Statuses:
    """Asks one cluster for statuses, of one event loop; through the history and without it apart."""

    def __init__(self, rpc: RpcClient) -> None:
        self._rpc = rpc
        self._waiting: dict[bool, _Waiting] = {True: {}, False: {}}
        self._asking: dict[bool, asyncio.Task[None]] = {}

    async def of(self, signature: str, *, search_history: bool) -> SignatureStatus | None:
        """Return a node's status of a signature, None when it knows none. Raises RpcError."""
        waiting = self._waiting[search_history]
        if signature not in waiting:
            waiting[signature] = asyncio.get_running_loop().create_future()
        told = waiting[signature]
        asking = self._asking.get(search_history)
        if asking is None or asking.done():
            self._asking[search_history] = asyncio.create_task(self._ask(search_history))
        # Others may wait for the same answer: one who gives up does not take it from them.
        return await asyncio.shield(told)

    async def _ask(self, search_history: bool) -> None:
        waiting = self._waiting[search_history]
        while waiting:
            group = {signature: waiting.pop(signature) for signature in list(waiting)[:SIGNATURES_MAX]}
            try:
                query = [list(group), {"searchTransactionHistory": search_history}]
                answer: StatusAnswer = await self._rpc.call("getSignatureStatuses", query, StatusAnswer)
                found = dict(zip(group, answer.value, strict=True))
            except BaseException as failed:
                for told in group.values():
                    if isinstance(failed, Exception):
                        told.set_exception(failed)
                        # Whoever asked may be gone: then nobody fetches it, and that is no defect.
                        told.exception()
                    else:
                        told.cancel()
                if not isinstance(failed, Exception):
                    raise
                continue
            for signature, told in group.items():
                told.set_result(found[signature])
