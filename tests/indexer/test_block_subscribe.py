"""Blocks that the node sends by itself spare asking and prove nothing; whatever is wrong with them is asked for."""

import asyncio
import copy
import json
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Self

import pytest
from aiohttp import WSMsgType, web
from hypothesis import given
from hypothesis import strategies as st
from solders.keypair import Keypair

from support.chains import free_ports, free_twin, running_chain
from support.command import start_tieout, tieout_here
from support.database import value
from support.ledger import ledger
from support.replay import Answer, GoldenDay, ReplayNode
from tieout_client import Authorities, connect
from tieout_indexer import IndexerLimits, follow
from tieout_indexer.pushed import PushedBlocks
from tieout_indexer.source import BlockSource, Fetched
from tieout_rpc import RpcClient

FIRST = 70
QUICK = IndexerLimits(poll_interval_s=0.02, wake_on_confirmations=False)
REACHED = "select coalesce(min(to_slot), 0) from (select max(to_slot) as to_slot from ledger.coverage group by mint) c"


class PushingNode(ReplayNode):
    """A replay node with a WebSocket on the next port; ``asked`` are the finalized blocks that it was asked for."""

    def __init__(self, blocks: dict[int, Any], *offered: str) -> None:
        super().__init__(blocks)
        self.offered = offered
        self.subscribed: list[str] = []
        self.asked: list[int] = []
        self.away = False
        self._sockets: list[web.WebSocketResponse] = []
        self._pings = 0
        self.override = self._note

    async def __aenter__(self) -> Self:
        port = free_ports()
        app = web.Application(client_max_size=1024 * 1024)
        app.router.add_post("/", self._handle)
        app.router.add_get("/", self._listen)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        for each in (port, port + 1):
            await web.TCPSite(self._runner, "127.0.0.1", each).start()
        self.url = f"http://127.0.0.1:{port}"
        return self

    def _note(self, method: str, params: list[Any]) -> Answer | None:
        if method == "getBlock" and params[1]["commitment"] == "finalized":
            self.asked.append(params[0])
        return None

    async def _listen(self, request: web.Request) -> web.WebSocketResponse:
        if self.away:
            raise web.HTTPServiceUnavailable
        socket = web.WebSocketResponse(autoping=False)
        await socket.prepare(request)
        async for message in socket:
            if message.type is WSMsgType.PONG:
                self._pings -= 1
                continue
            call = json.loads(message.data)
            self.subscribed.append(call["method"])
            if call["method"] in self.offered:
                await socket.send_json({"jsonrpc": "2.0", "result": 0, "id": call["id"]})
                self._sockets.append(socket)
            else:
                refused = {"code": -32601, "message": "Method not found"}
                await socket.send_json({"jsonrpc": "2.0", "error": refused, "id": call["id"]})
        return socket

    async def listened_to(self, method: str) -> None:
        async with asyncio.timeout(30):
            while not (self._sockets and self.subscribed[-1:] == [method]):
                await asyncio.sleep(0.01)

    async def all_was_read(self) -> None:
        """Return when the listeners have taken all that was sent: a ping is answered in its turn."""
        for socket in self._sockets:
            self._pings += 1
            await socket.ping()
        async with asyncio.timeout(60):
            while self._pings:
                await asyncio.sleep(0.001)

    async def hang_up(self) -> None:
        """Close every connection, and take no new one while ``away``."""
        self.away = True
        for socket in self._sockets:
            await socket.close()
        self._sockets.clear()

    async def tell(self, kind: str, result: Any) -> None:
        params = {"result": result, "subscription": 0}
        for socket in self._sockets:
            await socket.send_json({"jsonrpc": "2.0", "method": f"{kind}Notification", "params": params})

    async def push(self, slot: int, block: Any, err: Any = None, context: int | None = None) -> None:
        found = {"slot": slot, "err": err, "block": block}
        await self.tell("block", {"context": {"slot": slot if context is None else context}, "value": found})


@asynccontextmanager
async def following(
    node: PushingNode, dsn: str, day: GoldenDay, limits: IndexerLimits = QUICK
) -> AsyncIterator[list[str]]:
    """A daemon over all mints of the day; what it says, as it says it."""
    said: list[str] = []
    stop = asyncio.Event()
    daemon = asyncio.create_task(
        follow(
            [node.url], dsn, list(day.mints.values()), stop, from_slot=day.first, limits=limits,
            say=lambda text, **_: said.append(text),
        )
    )  # fmt: skip
    try:
        yield said
    finally:
        stop.set()
        await asyncio.wait_for(daemon, 30)


async def until(dsn: str, slot: int) -> None:
    async with asyncio.timeout(60):
        while await value(dsn, REACHED) < slot:
            await asyncio.sleep(0.02)


async def the_same_as_a_backfill(day: GoldenDay, dsn: str, other: str) -> None:
    """Every view is that of a database which read the day by asking."""
    assert (await tieout_here("db", "migrate", "--dsn", other)).code == 0
    mints = [part for mint in day.mints.values() for part in ("--mint", mint)]
    async with ReplayNode(day.blocks()) as node:
        span = ("--from-slot", str(day.first), "--to-slot", str(day.last))
        done = await tieout_here("index", "backfill", "--rpc-url", node.url, "--dsn", other, *mints, *span)
    assert done.code == 0, done.err
    assert await ledger(dsn) == await ledger(other)


async def test_what_is_sent_is_not_asked_for_and_the_ledger_is_the_same(
    day: GoldenDay, dsn: str, empty_dsn: str
) -> None:
    blocks = day.blocks()
    async with PushingNode(blocks, "blockSubscribe") as node:
        node.tip = FIRST
        async with following(node, dsn, day) as said:
            await node.listened_to("blockSubscribe")
            await until(dsn, FIRST)
            node.asked.clear()
            for slot in sorted(s for s in blocks if s > FIRST):
                await node.push(slot, blocks[slot])
                await node.all_was_read()
                node.tip = slot
            await until(dsn, day.last)
    assert node.asked == [], "each block came by itself"
    assert any("sends its finalized blocks" in line for line in said)
    await the_same_as_a_backfill(day, dsn, empty_dsn)


def other_hash(block: dict[str, Any]) -> dict[str, Any]:
    return {**block, "previousBlockhash": "4uhcVJyU9pJkvQyUS88uRDiswHXSCKY3zQawwpdk2NsY"}


def another_parent(block: dict[str, Any]) -> dict[str, Any]:
    return {**block, "parentSlot": block["parentSlot"] - 1}


def without_meta(block: dict[str, Any]) -> dict[str, Any]:
    spoiled = copy.deepcopy(block)
    spoiled["transactions"][0]["meta"] = None
    return spoiled


SPOILED: dict[str, Callable[[dict[str, Any]], Any]] = {
    "null": lambda block: None,
    "no block": lambda block: {"rubbish": True},
    "no transactions": lambda block: {k: v for k, v in block.items() if k != "transactions"},
    "another fork's hash": other_hash,
    "another parent": another_parent,
    "meta null": without_meta,
}


@pytest.mark.parametrize("how", [*SPOILED, "error", "another slot's", "nothing came", "twice"])
async def test_whatever_is_wrong_with_what_was_sent_it_is_asked_for(day: GoldenDay, dsn: str, how: str) -> None:
    blocks = day.blocks()
    after = sorted(s for s in blocks if s > FIRST)
    spoiled = set(after[1::5])
    if how == "meta null":
        spoiled = {s for s in spoiled if blocks[s]["transactions"]}
    async with PushingNode(blocks, "blockSubscribe") as node:
        node.tip = FIRST
        async with following(node, dsn, day) as said:
            await node.listened_to("blockSubscribe")
            await until(dsn, FIRST)
            node.asked.clear()
            for slot in after:
                if slot not in spoiled:
                    await node.push(slot, blocks[slot])
                elif how == "error":
                    await node.push(slot, None, "BlockStoreError")
                elif how == "another slot's":
                    await node.push(slot, blocks[slot], context=slot + 1)
                elif how == "twice":
                    await node.push(slot, blocks[slot])
                    await node.push(slot, blocks[slot])
                elif how != "nothing came":
                    await node.push(slot, SPOILED[how](blocks[slot]))
            await node.all_was_read()
            node.tip = day.last
            await until(dsn, day.last)
    assert sorted(node.asked) == ([] if how == "twice" else sorted(spoiled))
    assert not any("parked" in line for line in said)
    assert await value(dsn, "select count(*) from ledger.park_row") == 0
    minted = {"AAPLx": day.mints["AAPLx"], "TSLAx": day.mints["TSLAx"]}
    for symbol, mint in minted.items():
        supply = await value(dsn, f"select supply from ledger.supply where mint = '{mint}'")
        assert supply == int(day.manifest["final_raw_supply"][symbol])


@pytest.mark.parametrize(
    ("offered", "tried", "news"),
    [
        ("rootSubscribe", 2, ("root", 152)),
        ("slotsUpdatesSubscribe", 3, ("slotsUpdates", {"type": "root", "slot": 152, "timestamp": 1})),
        ("slotSubscribe", 4, ("slot", {"slot": 184, "parent": 183, "root": 152})),
    ],
)
async def test_what_is_refused_is_given_up_for_the_next_way_of_being_told(
    day: GoldenDay, dsn: str, offered: str, tried: int, news: tuple[str, Any]
) -> None:
    ways = ["blockSubscribe", "rootSubscribe", "slotsUpdatesSubscribe", "slotSubscribe"]
    async with PushingNode(day.blocks(), offered) as node:
        node.tip = FIRST
        # it would not look by itself before this test has given up waiting
        async with following(node, dsn, day, IndexerLimits(poll_interval_s=300.0, wake_on_confirmations=False)) as said:
            await node.listened_to(offered)
            await until(dsn, FIRST)
            assert node.subscribed == ways[:tried]
            node.tip = day.last
            async with asyncio.timeout(60):
                while await value(dsn, REACHED) < day.last:
                    await node.tell(*news)
                    await asyncio.sleep(0.05)
    assert sum("-32601" in line for line in said) == tried - 2, "what few nodes offer is not worth a word"


async def test_where_none_is_offered_the_node_is_polled(day: GoldenDay, dsn: str) -> None:
    async with PushingNode(day.blocks()) as node:
        node.tip = FIRST
        async with following(node, dsn, day) as said:
            await until(dsn, FIRST)
            node.tip = day.last
            await until(dsn, day.last)
    assert "no subscription is offered: polling" in said


async def test_it_is_not_asked_for_where_the_setting_says_no(day: GoldenDay, dsn: str) -> None:
    async with PushingNode(day.blocks(), "blockSubscribe", "rootSubscribe") as node:
        process = await start_tieout(
            "index", "run", "--rpc-url", node.url, "--dsn", dsn, "--mint", day.mints["AAPLx"], "--from-slot", "58",
            TIEOUT_BLOCK_SUBSCRIBE="false", TIEOUT_WAKE_ON_CONFIRMATIONS="false",
        )  # fmt: skip
        await node.listened_to("rootSubscribe")
        await until(dsn, day.last)
        process.terminate()
        await asyncio.wait_for(process.wait(), 30)
    assert node.subscribed == ["rootSubscribe"]


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 40), st.booleans()), max_size=60))
def test_what_is_kept_stays_within_its_bytes_and_is_handed_out_once(steps: list[tuple[int, int, bool]]) -> None:
    kept, model = PushedBlocks(64), dict[int, bytes]()
    for slot, size, put in steps:
        body = bytes([slot]) * size
        if put:
            kept.put(slot, body, "node")
            model.pop(slot, None)
            model[slot] = body
            while sum(map(len, model.values())) > 64:
                model.pop(next(iter(model)))
        else:
            found = model.pop(slot, None)
            model = {s: b for s, b in model.items() if s > slot}
            assert kept.take(slot) == (None if found is None else (found, "node"))
        assert len(kept) == len(model)
    assert kept.take(21) is None
    assert len(kept) == 0


CHAOS = """
[[rule]]
kind = "ws_miss"
methods = ["block"]
probability = 0.2

[[rule]]
kind = "ws_duplicate"
methods = ["block"]
probability = 0.1

[[rule]]
kind = "ws_drop"
methods = ["block"]
probability = 0.03

[[rule]]
kind = "ws_stall"
methods = ["block"]
probability = 0.02
delay_ms = 400
"""

FELL_OVER = re.compile(rb"lost the connection: (\S+) is listened to\n(.*\n)*?\1 sends its finalized blocks")


async def test_over_real_block_subscriptions_that_miss_repeat_and_drop_nothing_is_lost(
    dsn: str, tmp_path: Path
) -> None:
    rules, twin = tmp_path / "chaos.toml", free_twin(free_ports() + 5_000)
    rules.write_text(f"{CHAOS}\n[twin]\nport = {twin}\nbehind = 4\n")
    with running_chain("embedded", tmp_path, "--block-subscribe", "--chaos", str(rules), "--seed", "7") as url:
        payer, key = Keypair(), Keypair()
        async with connect(url, payer, Authorities.of(payer)) as issuer, RpcClient([url]) as rpc:
            await issuer.airdrop(payer.pubkey(), 10**11)
            mint = str(key.pubkey())
            first: int = await rpc.call("getSlot", [{"commitment": "finalized"}], int)
            await issuer.create_instrument("AAPLx", "Apple", "https://x.example", mint=key)
            both = ("--rpc-url", url, "--rpc-url", f"http://127.0.0.1:{twin}")
            process = await start_tieout("index", "run", *both, "--dsn", dsn, "--mint", mint, "--from-slot", str(first))
            await issuer.open_account(mint, payer.pubkey())
            await issuer.mint_to_treasury(mint, 10**10, "PRE")
            for number in range(25):
                await issuer.transfer(mint, 1000 + number, payer, Keypair().pubkey())
                if number == 12:
                    await rpc.call("localnet_chaos", [{"add": {"kind": "ws_drop", "methods": ["block"], "count": 1}}])
            last: int = await rpc.call("getSlot", [{"commitment": "confirmed"}], int)
            await until(dsn, last)
            fired: dict[str, Any] = await rpc.call("localnet_chaos", [], dict[str, Any])
            assert process.stderr is not None
            said = b""
            async with asyncio.timeout(60):
                while not FELL_OVER.search(said):
                    line = await process.stderr.readline()
                    assert line, said
                    said += line
            process.terminate()
            _, err = await asyncio.wait_for(process.communicate(), 30)
            assert process.returncode == 0, said + err
            audited = await tieout_here("index", "verify", "--rpc-url", url, "--dsn", dsn, "--json")
    assert "ws_miss" in {rule["kind"] for rule in fired["rules"] if rule["fired"]}
    assert (audited.code, audited.json["findings"]) == (0, [])
    assert await value(dsn, "select count(*) from ledger.events where kind = 'transfer'") == 25


async def test_what_an_out_voted_node_sends_is_not_used(day: GoldenDay) -> None:
    async with ReplayNode(day.blocks()) as honest, RpcClient([honest.url]) as rpc:
        source = BlockSource(rpc, IndexerLimits(quorum_every_slots=0))
        body = json.dumps(day.blocks()[100]).encode()
        for lies in (False, True):
            source.pushed.put(100, body, honest.url)
            if lies:
                rpc.endpoints[0].outvoted()
            found = await source.fetch(100, lambda _: True)
            assert isinstance(found, Fetched)
            assert found.pushed is not lies
            assert found.header.blockhash == day.blocks()[100]["blockhash"]
