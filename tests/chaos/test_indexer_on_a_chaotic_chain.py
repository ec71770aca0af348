"""The daemon on a chain that forks, skips, lies and drops, itself killed on the way: the ledger ends as the true chain.

Each seed replays the same misbehaviour. A few seeds run with the other tests; ``make chaos`` runs
many (TIEOUT_CHAOS_SEEDS says how many).
"""

import asyncio
import os
import random
import signal
from pathlib import Path
from typing import Any

import pytest
from solders.keypair import Keypair

from support.chains import free_ports, running_chain
from support.command import start_tieout, tieout
from support.database import query, value
from tieout_client import Authorities, ClientError, connect
from tieout_rpc import RpcClient, RpcError

SEEDS = range(int(os.environ.get("TIEOUT_CHAOS_SEEDS", "4")))
HTTP = '["getBlock", "getBlocks", "getBlocksWithLimit", "getSlot"]'
RULES = f"""
[[rule]]
kind = "skip"
length = 3
probability = 0.05
[[rule]]
kind = "fork"
depth = 2
transactions = "mixed"
probability = 0.04
[[rule]]
kind = "duplicate"
transactions = "mixed"
probability = 0.04
[[rule]]
kind = "not_available"
methods = ["getBlock"]
probability = 0.08
attempts = 2
[[rule]]
kind = "skipped"
methods = ["getBlock"]
probability = 0.05
attempts = 2
[[rule]]
kind = "null_block"
methods = ["getBlock"]
probability = 0.04
attempts = 2
[[rule]]
kind = "meta_null"
methods = ["getBlock"]
probability = 0.04
attempts = 2
[[rule]]
kind = "inner_null"
methods = ["getBlock"]
probability = 0.04
attempts = 2
[[rule]]
kind = "rate_limit"
methods = {HTTP}
probability = 0.04
[[rule]]
kind = "http_error"
methods = {HTTP}
probability = 0.04
[[rule]]
kind = "truncate"
methods = {HTTP}
probability = 0.03
[[rule]]
kind = "garbage"
methods = {HTTP}
probability = 0.03
[[rule]]
kind = "ws_drop"
probability = 0.05
[[rule]]
kind = "ws_miss"
probability = 0.2
"""
SHARE = 10**8


@pytest.mark.e2e
@pytest.mark.parametrize("seed", SEEDS)
async def test_the_ledger_ends_as_the_true_chain(seed: int, dsn: str, tmp_path: Path) -> None:
    rules, twin = tmp_path / "chaos.toml", free_ports() + 5_000
    rules.write_text(f"seed = {seed}\n{RULES}\n[twin]\nport = {twin}\nbehind = 4\n")
    dice = random.Random(seed)
    with running_chain("embedded", tmp_path, "--chaos", str(rules), finalized_depth=6) as url:
        urls = ["--rpc-url", url, "--rpc-url", f"http://127.0.0.1:{twin}"]
        mint, moves = await trade_under_a_watchful_daemon(url, urls, dsn, dice)
        async with RpcClient([url]) as rpc:
            await rpc.call("localnet_chaos", [{"clear": True}])
            last = await settled(rpc)
            done = await tieout(
                "index",
                "backfill",
                *urls,
                "--dsn",
                dsn,
                "--mint",
                mint,
                "--from-slot",
                "0",
                "--to-slot",
                str(last),
                "--json",
            )
            assert done.code == 0, done.out + done.err
            await assert_equals_the_truth(rpc, dsn, mint, last)
    assert moves > 5


async def trade_under_a_watchful_daemon(url: str, urls: list[str], dsn: str, dice: random.Random) -> tuple[str, int]:
    """Drive an instrument while the daemon follows it and is killed now and then. Returns the mint and the moves."""
    payer, holders = Keypair(), [Keypair() for _ in range(3)]
    moves = 0
    async with connect(url, payer, Authorities.of(payer)) as issuer:
        await until_done(lambda: issuer.airdrop(payer.pubkey(), 10**12))
        mint_key = Keypair()
        mint = str(mint_key.pubkey())
        await until_done(lambda: issuer.create_instrument("AAPLx", "Apple", "https://x.example", mint=mint_key))
        await until_done(lambda: issuer.open_account(mint, payer.pubkey()))
        await until_done(lambda: issuer.mint_to_treasury(mint, 1_000 * SHARE, "PRE"))
        arguments = ("index", "run", *urls, "--dsn", dsn, "--mint", mint, "--from-slot", "0")
        epoch, daemon = 0, await start_tieout(*arguments)
        for number in range(24):
            if dice.random() < 0.15:
                daemon.send_signal(signal.SIGKILL)
                await daemon.wait()
                epoch = await value(dsn, "select epoch from ledger.writer")
                daemon = await start_tieout(*arguments)
            to = dice.choice(holders)
            try:
                await issuer.transfer(mint, dice.randrange(1, SHARE), payer, to.pubkey(), memo=f"move {number}")
                moves += 1
            except (ClientError, RpcError):
                continue  # dropped by a fork, or refused by a lie: the chain says what really happened
        async with asyncio.timeout(60):
            while await value(dsn, "select epoch from ledger.writer") == epoch:
                await asyncio.sleep(0.1)
        daemon.terminate()
        _, err = await asyncio.wait_for(daemon.communicate(), 60)
        assert daemon.returncode == 0, err
    return mint, moves


async def until_done(act: Any) -> None:
    """Do what must succeed, over again when a fork took it away."""
    for _ in range(20):
        try:
            await act()
            return
        except (ClientError, RpcError):
            await asyncio.sleep(0.2)
    raise AssertionError("the chain took it away twenty times")


async def settled(rpc: RpcClient) -> int:
    """Wait until everything up to now is finalized; return that slot."""
    now: int = await rpc.call("getSlot", [{"commitment": "processed"}], int)
    while await rpc.call("getSlot", [{"commitment": "finalized"}], int) < now:
        await asyncio.sleep(0.1)
    blocks = await canonical(rpc, now)
    return int(blocks[-1]["slot"])


async def canonical(rpc: RpcClient, last: int) -> list[Any]:
    """The blocks of the true chain up to a slot."""
    answer: Any = await rpc.call("localnet_canonical", [{"from": 0, "to": last}])
    return [block for block in answer["blocks"] if block["slot"] <= last]


async def assert_equals_the_truth(rpc: RpcClient, dsn: str, mint: str, last: int) -> None:
    """Compare the ledger with the oracle, block by block, and with the node's balances."""
    truth = await canonical(rpc, last)
    ours = await query(
        dsn, "select slot, parent_slot, blockhash from ledger.slots where slot <= $1 order by slot", last
    )
    assert [(b["slot"], b["parentSlot"], b["blockhash"]) for b in truth] == [
        (r["slot"], r["parent_slot"], r["blockhash"]) for r in ours
    ]
    landed = [t["signature"] for b in truth for t in b["transactions"] if t["err"] is None]
    signatures = [
        r["signature"]
        for r in await query(
            dsn, "select signature from ledger.events where mint = $1 order by slot, tx_index, step", mint
        )
    ]
    assert len(signatures) == len(set(signatures)), "nothing twice"
    assert set(signatures) <= set(landed), "nothing that did not happen"
    assert await query(dsn, "select * from ledger.parked") == []
    assert await query(dsn, "select * from ledger.quarantine") == []
    supply: Any = await rpc.call("getTokenSupply", [mint, {"commitment": "finalized"}])
    assert await value(dsn, "select supply from ledger.supply where mint = $1", mint) == int(supply["value"]["amount"])
    for row in await query(dsn, "select account, amount from ledger.balances where mint = $1", mint):
        answer: Any = await rpc.call("getTokenAccountBalance", [row["account"], {"commitment": "finalized"}])
        assert int(answer["value"]["amount"]) == row["amount"], row["account"]
