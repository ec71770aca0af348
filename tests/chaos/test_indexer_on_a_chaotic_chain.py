"""The daemon on a chain that forks, skips, lies and drops, itself killed on the way: the ledger ends as the true chain.

Each seed replays the same misbehaviour. A few seeds run with the other tests; ``make chaos`` runs
many (TIEOUT_CHAOS_SEEDS says how many).
"""

import asyncio
import os
import random
import signal
import tomllib
from collections.abc import Iterator
from contextlib import aclosing, suppress
from pathlib import Path
from typing import Any

import pytest
from solders.keypair import Keypair

from support.chains import free_ports, free_twin, running_chain
from support.command import start_tieout, tieout_here
from support.database import RestartableServer, fresh_database, make_template, query, value
from tieout_client import Authorities, ClientError, SendOptions, connect
from tieout_rpc import RpcClient, RpcError, RpcLimits

SEEDS = range(int(os.environ.get("TIEOUT_CHAOS_SEEDS", "20")))
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
OPTIONS = SendOptions(resend_every_s=0.3, give_up_after_s=5)
LIMITS = RpcLimits(give_up_after_s=2, backoff_initial_s=0.02, backoff_max_s=0.2)
"""The client's: a desk that gives up soon keeps a run short; what really happened, the chain tells."""


@pytest.fixture(scope="module")
def postgres() -> Iterator[RestartableServer]:
    """A server of this module's own: it is killed under the daemons' feet."""
    with RestartableServer() as server:
        yield server


@pytest.fixture(scope="module")
def chaos_template(postgres: RestartableServer) -> str:
    return make_template(postgres.dsn)


@pytest.mark.e2e
@pytest.mark.parametrize("seed", SEEDS)
async def test_the_ledger_ends_as_the_true_chain(
    seed: int, postgres: RestartableServer, chaos_template: str, tmp_path: Path
) -> None:
    rules, twin = tmp_path / "chaos.toml", free_twin(free_ports() + 5_000)
    rules.write_text(f"seed = {seed}\n[twin]\nport = {twin}\nbehind = 4\n")
    dice = random.Random(seed)
    async with fresh_database(postgres.dsn, chaos_template) as dsn:
        with running_chain(
            "embedded", tmp_path, "--slot-ms", "25", "--block-subscribe", "--chaos", str(rules), finalized_depth=6
        ) as url:
            urls = ["--rpc-url", url, "--rpc-url", f"http://127.0.0.1:{twin}"]
            herd = Herd(urls, dsn, dice, postgres)
            async with aclosing(herd), RpcClient([url]) as rpc:
                # Not before it is up: who starts it asks it questions too.
                await rpc.call("localnet_chaos", [{"add": tomllib.loads(RULES)["rule"]}])
                mint, moves = await trade_under_watchful_daemons(url, herd)
                await rpc.call("localnet_chaos", [{"clear": True}])
                await assert_provisional_rows_converge(rpc, url, herd, mint)
                await herd.disband()
                last = await settled(rpc)
                span = ("--from-slot", "0", "--to-slot", str(last))
                done = await tieout_here("index", "backfill", *urls, "--dsn", dsn, "--mint", mint, *span, "--json")
                assert done.code == 0, done.out + done.err
                await assert_equals_the_truth(rpc, dsn, mint, last)
            assert (await tieout_here("db", "verify", "--dsn", dsn)).code == 0
    assert moves > 5


class Herd:
    """One daemon or two racing, restarted whenever one is gone, as a supervisor does."""

    def __init__(self, urls: list[str], dsn: str, dice: random.Random, postgres: RestartableServer) -> None:
        self.urls, self.dsn, self.dice, self.postgres = urls, dsn, dice, postgres
        self.payer = Keypair()
        self.daemons: list[asyncio.subprocess.Process] = []
        self.mint = ""

    async def follow(self, mint: str) -> None:
        """Follow a mint from the chain's beginning."""
        self.mint = mint
        await self.start()

    async def start(self) -> None:
        """One daemon more."""
        arguments = ("index", "run", *self.urls, "--dsn", self.dsn, "--mint", self.mint, "--from-slot", "0")
        self.daemons.append(await start_tieout(*arguments))

    async def misfortune(self) -> None:
        """What the dice decide: a daemon killed, a rival started, the database crashed, or nothing."""
        fate = self.dice.random()
        if fate < 0.12:
            victim = self.dice.choice(self.daemons)
            with suppress(ProcessLookupError):
                victim.send_signal(signal.SIGKILL)
            await victim.wait()
        elif fate < 0.18 and len(self.daemons) == 1:
            await self.start()
        elif fate < 0.21:
            await asyncio.to_thread(self.postgres.crash)
        await self.replace()

    async def aclose(self) -> None:
        """Whatever happened, leave no daemon behind."""
        for daemon in self.daemons:
            with suppress(ProcessLookupError):
                daemon.kill()
            await daemon.wait()

    async def replace(self) -> None:
        """Start one again where none is left; one that lost the race, or its database, may have ended with 3."""
        await asyncio.sleep(0)
        for gone in [d for d in self.daemons if d.returncode is not None]:
            assert gone.returncode in {3, -signal.SIGKILL}, (await gone.communicate())[1].decode()
            self.daemons.remove(gone)
        if not self.daemons:
            await self.start()

    async def disband(self) -> None:
        """SIGTERM ends each of them with 0; a rival may have lost the race, or not have come up yet."""
        for daemon in self.daemons:
            with suppress(ProcessLookupError):
                daemon.terminate()
        ended = [await asyncio.wait_for(daemon.communicate(), 60) for daemon in self.daemons]
        codes = [daemon.returncode for daemon in self.daemons]
        assert 0 in codes, ended
        assert set(codes) <= {0, 3, 4, -signal.SIGTERM}, ended


async def trade_under_watchful_daemons(url: str, herd: Herd) -> tuple[str, int]:
    """Drive an instrument while daemons follow it through misfortune. Returns the mint and the moves."""
    payer, dice, holders = herd.payer, herd.dice, [Keypair() for _ in range(3)]
    moves = 0
    async with connect(url, payer, Authorities.of(payer), options=OPTIONS, limits=LIMITS) as issuer:
        await until_done(lambda: issuer.airdrop(payer.pubkey(), 10**12))
        mint_key = Keypair()
        mint = str(mint_key.pubkey())
        await until_done(lambda: issuer.create_instrument("AAPLx", "Apple", "https://x.example", mint=mint_key))
        await until_done(lambda: issuer.open_account(mint, payer.pubkey()))
        await until_done(lambda: issuer.mint_to_treasury(mint, 1_000 * SHARE, "PRE"))
        await herd.follow(mint)
        for number in range(24):
            await herd.misfortune()
            to = dice.choice(holders)
            try:
                await issuer.transfer(mint, dice.randrange(1, SHARE), payer, to.pubkey(), memo=f"move {number}")
                moves += 1
            except (ClientError, RpcError):
                continue  # dropped by a fork, or refused by a lie: the chain says what really happened
    return mint, moves


async def assert_provisional_rows_converge(rpc: RpcClient, url: str, herd: Herd, mint: str) -> None:
    """With the chain at peace, each provisional row is of a block of the true chain, and nothing new is missing."""
    payer = herd.payer
    async with (
        connect(url, payer, Authorities.of(payer), options=OPTIONS, limits=LIMITS) as issuer,
        asyncio.timeout(60),
    ):
        receipt = await issuer.transfer(mint, 1, payer, payer.pubkey(), memo="the last one")
        while True:
            await herd.replace()
            shown = await query(herd.dsn, SHOWN)
            now: int = await rpc.call("getSlot", [{"commitment": "processed"}], int)
            truth = {(block["slot"], block["blockhash"]) for block in await canonical(rpc, now)}
            strangers = [row for row in shown if row["blockhash"] and (row["slot"], row["blockhash"]) not in truth]
            if not strangers and any(row["signature"] == str(receipt.signature) for row in shown):
                return
            await asyncio.sleep(0.05)


SHOWN = """
select slot, signature, blockhash from ledger.provisional_events
union all select slot, signature, null from ledger.events
"""


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
