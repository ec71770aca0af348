"""A proxy before a node that loses, delays, doubles and forgets, all decided by a seed."""

import asyncio
import contextlib
import json
from collections import Counter
from random import Random
from types import TracebackType
from typing import Any, Self

import aiohttp
from aiohttp import web

_EXPIRE_SLOTS = 160
_BROKEN = 0.08
_THROTTLED = 0.04
_BEHIND = 0.2


class LyingProxy:
    """Stands before ``target`` and misbehaves while ``lying``; ``told`` counts what it did.

    It says nothing false that a lagging node could not say: an absent status comes with an old slot.
    """

    def __init__(self, target: str, seed: int, *, expires: bool) -> None:
        self.target, self.expires, self.lying = target, expires, True
        self.told: Counter[str] = Counter()
        self.url = ""
        self._random = Random(seed)
        self._late: set[asyncio.Task[Any]] = set()

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession()
        app = web.Application()
        app.router.add_post("/", self._handle)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.gather(*self._late, return_exceptions=True)
        await self._runner.cleanup()
        await self._session.close()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        call = json.loads(await request.read())
        if not self.lying:
            return await self._honest(call)
        await asyncio.sleep(self._random.random() ** 4 * 0.3)
        if self._happens("throttled", _THROTTLED):
            return web.Response(status=self._random.choice([429, 503]))
        if self._happens("broken", _BROKEN):
            return self._hang_up(request)
        if call["method"] == "sendTransaction":
            return await self._send(request, call)
        if call["method"] == "getSignatureStatuses" and self._happens("behind", _BEHIND):
            return web.json_response(
                {"jsonrpc": "2.0", "id": call["id"], "result": {"context": {"slot": 1}, "value": [None]}}
            )
        return await self._honest(call)

    async def _send(self, request: web.Request, call: dict[str, Any]) -> web.StreamResponse:
        fate = self._random.choice(["honest", "swallowed", "swallowed", "unanswered", "doubled", "late"])
        self.told[fate] += 1
        if fate == "unanswered":
            await self._forward(call)
            return self._hang_up(request)
        if fate == "doubled":
            await self._forward(call)
        if fate == "late":
            self._later(call, self._random.uniform(0.2, 2))
        if fate in {"swallowed", "late"}:
            if self.expires and self._happens("expired", 0.5):
                await self._forward({"method": "localnet_advance", "params": [{"slots": _EXPIRE_SLOTS}]})
            return web.json_response({"jsonrpc": "2.0", "id": call["id"], "result": "as far as the client can tell"})
        return await self._honest(call)

    def _later(self, call: dict[str, Any], after_s: float) -> None:
        async def work() -> None:
            await asyncio.sleep(after_s)
            await self._forward(call)

        task = asyncio.create_task(work())
        self._late.add(task)
        task.add_done_callback(self._late.discard)

    def _happens(self, what: str, probability: float) -> bool:
        happens = self._random.random() < probability
        self.told[what] += happens
        return happens

    async def _honest(self, call: dict[str, Any]) -> web.Response:
        return web.Response(body=await self._forward(call), content_type="application/json")

    async def _forward(self, call: dict[str, Any]) -> bytes:
        async with self._session.post(self.target, json={"jsonrpc": "2.0", "id": 1, **call}) as answer:
            return await answer.read()

    @staticmethod
    def _hang_up(request: web.Request) -> web.StreamResponse:
        if request.transport is not None:
            with contextlib.suppress(OSError):
                request.transport.abort()
        return web.Response()
