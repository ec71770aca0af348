"""A second address of a node: it passes everything on, and lies about blocks where it is told to.

From ``lies_from`` on each block claims another parent hash, and half of every amount that moved in it.
"""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

_NO_BLOCK = "4uhcVJyU9pJkvQyUS88uRDiswHXSCKY3zQawwpdk2NsY"


class Repeater:
    """Passes calls on to a node; ``lies_from`` None: honest. ``lies`` counts what it lied about."""

    def __init__(self, target: str, session: Any, lies_from: int | None) -> None:
        self._target, self._session, self._lies_from = target, session, lies_from
        self.lies = 0

    async def handle(self, request: Any) -> Any:
        """Answer one call."""
        from aiohttp import web

        body = await request.read()
        async with self._session.post(self._target, data=body, headers={"Content-Type": "application/json"}) as answer:
            said = await answer.read()
        call = json.loads(body)
        if self._lies_from is not None and isinstance(call, dict) and call.get("method") == "getBlock":
            said = self._lie(call["params"][0], said)
        return web.Response(body=said, content_type="application/json")

    def _lie(self, slot: int, said: bytes) -> bytes:
        answer = json.loads(said)
        block = answer.get("result")
        if self._lies_from is None or slot < self._lies_from or not block:
            return said
        self.lies += 1
        block["previousBlockhash"] = _NO_BLOCK
        for transaction in block.get("transactions") or ():
            for balance in transaction["meta"]["postTokenBalances"] or ():
                amount = balance["uiTokenAmount"]
                amount["amount"] = str(int(amount["amount"]) // 2)
        return json.dumps(answer).encode()


@asynccontextmanager
async def repeater(target: str, lies_from: int | None = None) -> AsyncIterator[tuple[str, Repeater]]:
    """Serve a second address of the node at ``target``; gives the address and who answers there."""
    import aiohttp
    from aiohttp import web

    async with aiohttp.ClientSession() as session:
        made = Repeater(target, session, lies_from)
        app = web.Application()
        app.router.add_post("/", made.handle)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        try:
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            host, port = runner.addresses[0][:2]
            yield f"http://{host}:{port}", made
        finally:
            await runner.cleanup()
