"""A node that replays recorded blocks over JSON-RPC: enough of one for an indexer, and able to lie."""

import asyncio
import copy
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from aiohttp import web

Answer = dict[str, Any]
Override = Callable[[str, list[Any]], Answer | None]
"""method, params → a JSON-RPC body part ({"result": …} or {"error": …}), or None to let the node answer."""


def error(code: int, message: str) -> Answer:
    return {"error": {"code": code, "message": message}}


class ReplayNode:
    """Serves ``blocks`` (slot → getBlock result) as finalized; ``requests`` counts calls by method."""

    def __init__(self, blocks: dict[int, Any], genesis_hash: str = "11111111111111111111111111111111") -> None:
        self.blocks = blocks
        self.genesis_hash = genesis_hash
        self.override: Override = lambda method, params: None
        self.tip: int | None = None
        self.delay_s = 0.0
        self.accounts: dict[str, Any] | None = None
        self.requests: dict[str, int] = {}
        self.url = ""

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=1024 * 1024)
        app.router.add_post("/", self._handle)
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        port = self._runner.addresses[0][1]
        self.url = f"http://127.0.0.1:{port}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._runner.cleanup()

    async def _handle(self, request: web.Request) -> web.Response:
        call = json.loads(await request.read())
        method, params = call["method"], call.get("params", [])
        self.requests[method] = self.requests.get(method, 0) + 1
        await asyncio.sleep(self.delay_s)
        answer = self.override(method, params) or self.answer(method, params)
        return web.json_response({"jsonrpc": "2.0", "id": call["id"], **answer})

    def answer(self, method: str, params: list[Any]) -> Answer:
        """What an honest node says, as a part of a JSON-RPC body."""
        handler = getattr(self, f"_{method}", None)
        return handler(*params) if handler else error(-32601, "Method not found")

    def _finalized_tip(self) -> int:
        return max(self.blocks) if self.tip is None else self.tip

    def _getGenesisHash(self) -> Answer:  # noqa: N802
        return {"result": self.genesis_hash}

    def _getSlot(self, *_: Any) -> Answer:  # noqa: N802
        return {"result": self._finalized_tip()}

    def _listed(self) -> list[int]:
        return sorted(s for s in self.blocks if s <= self._finalized_tip())

    def _getBlocks(self, start: int, end: int, *_: Any) -> Answer:  # noqa: N802
        return {"result": [s for s in self._listed() if start <= s <= end]}

    def _getBlocksWithLimit(self, start: int, limit: int, *_: Any) -> Answer:  # noqa: N802
        return {"result": [s for s in self._listed() if s >= start][:limit]}

    def _getBlock(self, slot: int, *_: Any) -> Answer:  # noqa: N802
        if slot in self.blocks and slot <= self._finalized_tip():
            return {"result": self.blocks[slot]}
        return error(-32007, f"Slot {slot} was skipped, or missing due to ledger jump to recent snapshot")

    def _getAccountInfo(self, address: str, *_: Any) -> Answer:  # noqa: N802
        if self.accounts is None:
            return error(-32601, "Method not found")
        return {"result": {"context": {"slot": self._finalized_tip()}, "value": self.accounts.get(address)}}

    def _getMultipleAccounts(self, addresses: list[str], *_: Any) -> Answer:  # noqa: N802
        answers = [self._getAccountInfo(address) for address in addresses]
        if refused := next((answer for answer in answers if "error" in answer), None):
            return refused
        context = {"slot": self._finalized_tip()}
        return {"result": {"context": context, "value": [answer["result"]["value"] for answer in answers]}}


class GoldenDay:
    """The recorded day: its blocks as a node answers them, and who is who."""

    def __init__(self, directory: Path) -> None:
        self.manifest = json.loads((directory / "manifest.json").read_text())
        self.names: dict[str, str] = self.manifest["names"]
        self.address = {name: address for address, name in self.names.items()}
        self.first, self.last = self.manifest["slots"]
        self._blocks = {
            slot: json.loads((directory / "blocks" / f"{slot}.json.json").read_text())
            for slot in self.manifest["blocks_present"]
        }

    @property
    def mints(self) -> dict[str, str]:
        """Symbol → mint address."""
        return {name.split(":")[1]: address for name, address in self.address.items() if name.startswith("mint:")}

    def blocks(self) -> dict[int, Any]:
        """A copy of all blocks, free to be changed."""
        return copy.deepcopy(self._blocks)

    def without(self, slots: Iterable[int]) -> dict[int, Any]:
        """The day with some slots skipped, their successors linked across."""
        gone = set(slots)
        blocks = {slot: block for slot, block in self.blocks().items() if slot not in gone}
        previous: int | None = None
        for slot in sorted(blocks):
            if previous is not None and blocks[slot]["parentSlot"] in gone:
                blocks[slot]["parentSlot"] = previous
                blocks[slot]["previousBlockhash"] = blocks[previous]["blockhash"]
            previous = slot
        return blocks

    def idle_slots(self) -> list[int]:
        """Slots in which no transaction names a tracked mint."""
        mints = set(self.mints.values())
        return [s for s, b in self._blocks.items() if not any(m in json.dumps(b["transactions"]) for m in mints)]
