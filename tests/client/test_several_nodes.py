"""Several nodes: one that takes transactions and loses them, one that is slow, many statuses in one question."""

import asyncio
import contextlib
import json
from collections import Counter

import aiohttp
import pytest
from aiohttp import web
from solders.keypair import Keypair

from client.desks import QUICK, house_on, raw_of
from tieout_client import PayoutRow, Sender, connect
from tieout_client.statuses import Statuses
from tieout_rpc import NodeUnreachable, RpcLimits


@contextlib.asynccontextmanager
async def node_before(target, asked, *, loses=False, slow_s=0.0, broken=()):
    """A node that answers as ``target`` does, but for what it loses, delays or breaks."""

    async def handle(request):
        call = json.loads(await request.read())
        asked[call["method"]] += 1
        if call["method"] in broken:
            return web.Response(status=503)
        if call["method"] == "sendTransaction":
            await asyncio.sleep(slow_s)
            if loses:
                return web.json_response({"jsonrpc": "2.0", "id": call["id"], "result": "1" * 64})
        async with session.post(target, json=call) as answer:
            return web.Response(body=await answer.read(), content_type="application/json")

    app = web.Application()
    app.router.add_post("/", handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    async with aiohttp.ClientSession() as session:
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        try:
            yield f"http://127.0.0.1:{runner.addresses[0][1]}"
        finally:
            await runner.cleanup()


async def test_a_node_that_loses_what_it_takes_is_made_good_by_the_others(chain, tmp_path):
    asked, alice = Counter(), Keypair().pubkey()
    async with (
        house_on(chain, inventory=100) as house,
        node_before(chain, asked, loses=True) as hole,
        node_before(chain, asked, loses=True, slow_s=30) as slow,
        connect([hole, slow, chain], house.payer, house.roles, options=QUICK, journal=tmp_path / "j") as desk,
    ):
        await desk.issue(house.mint, 7, alice, "o-1")
        assert await raw_of(desk, house.mint, alice) == 7
        # Not journaled: the first copy goes to one node, and is lost there; the next go to all.
        await desk.transfer(house.mint, 5, house.roles.treasury, alice)
        assert await raw_of(desk, house.mint, alice) == 12
    assert asked["sendTransaction"] >= 3


async def test_a_payout_asks_for_many_statuses_at_once(chain, tmp_path):
    asked = Counter()
    rows = [PayoutRow(n, str(Keypair().pubkey()), 1) for n in range(7 * 40)]
    async with house_on(chain, inventory=1000) as house, node_before(chain, asked) as counted:
        options = {"options": QUICK, "journal": tmp_path / "j"}
        async with connect(counted, house.payer, house.roles, **options) as desk:
            lines = await desk.payout(house.mint, rows, house.roles.treasury, "p")
    assert all(line.paid for line in lines)
    assert asked["sendTransaction"] >= 40
    assert asked["getSignatureStatuses"] < 30


async def test_a_failed_question_fails_all_who_asked_it_and_the_next_is_asked_again(chain):
    asked = Counter()
    broken = ["getSignatureStatuses"]
    async with node_before(chain, asked, broken=broken) as node:
        limits = RpcLimits(give_up_after_s=0.2, backoff_initial_s=0.05)
        async with connect(node, Keypair(), limits=limits) as desk:
            statuses = Statuses(desk.rpc)
            wanted = ["1" * 64, "1" * 64, "2" * 64]
            outcomes = await asyncio.gather(
                *(statuses.of(s, search_history=False) for s in wanted), return_exceptions=True
            )
            assert {type(o) for o in outcomes} == {NodeUnreachable}
            waiter = asyncio.create_task(statuses.of(wanted[0], search_history=False))
            other = asyncio.create_task(statuses.of(wanted[0], search_history=False))
            await asyncio.sleep(0)
            waiter.cancel()
            with pytest.raises(NodeUnreachable):
                await other
            broken.clear()
            assert await statuses.of(wanted[0], search_history=True) is None
            assert Sender(desk.rpc, Keypair()).using(QUICK)._statuses is not statuses
