"""Withheld fees account by account: the replay is the program's own state, and a difference is a stored finding."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from indexer.test_audits import fee_mint, token_account, vandalise
from indexer.test_properties import ACCOUNTS, ANY, Market, operations
from support.command import tieout_here
from support.database import fresh_database, query, value
from support.replay import Answer, ReplayNode
from support.transactions import ALICE, BOB, ISSUER, MINT, OWNERS, TREASURY, balances, instruction, transaction
from tieout_database import connect
from tieout_idl import TOKEN_2022_PROGRAM, encode
from tieout_indexer import IndexerLimits, backfill
from tieout_indexer.withheld import Fee, Sweep, replay, sweeps_of, withheld_by_account


class MarketNode(ReplayNode):
    """A node with a market's blocks and its state at the end; ``lie`` changes what it says of one account."""

    def __init__(self, market: Market) -> None:
        super().__init__(market.blocks())
        self.market = market
        self.lie: dict[str, int] = {}

    def _context(self, result: Any) -> Answer:
        return {"result": {"context": {"slot": len(self.market.bodies)}, "value": result}}

    def _getAccountInfo(self, address: str, *_: Any) -> Answer:  # noqa: N802
        mint = fee_mint(self.market.supply, self.lie.get(MINT, self.market.on_mint))
        return self._context({"owner": TOKEN_2022_PROGRAM, "data": [mint, "base64"], "lamports": 1})

    def _getTokenSupply(self, *_: Any) -> Answer:  # noqa: N802
        return self._context({"amount": str(self.market.supply), "decimals": 8})

    def _getProgramAccounts(self, *_: Any) -> Answer:  # noqa: N802
        found = []
        for name, address in ACCOUNTS.items():
            held = self.lie.get(address, self.market.withheld[name])
            data = token_account(OWNERS[address], self.market.held[name], held)
            found.append({"pubkey": address, "account": {"data": [data, "base64"]}})
        return self._context(found)


def traded() -> Market:
    """Fees in Bob's and Alice's accounts, and some that were harvested to the mint."""
    market = Market()
    market.open()
    market.act("mint", "treasury", "treasury", 100_000)
    market.act("transfer", "treasury", "alice", 50)
    market.act("harvest", "alice", "treasury", 0)
    market.act("transfer", "treasury", "bob", 50)
    market.act("transfer", "bob", "alice", 10)
    return market


async def read(node: ReplayNode, dsn: str, last: int) -> None:
    done = await backfill([node.url], dsn, [MINT], 0, last, limits=IndexerLimits(poll_interval_s=0.01))
    assert done.complete, done


async def test_each_account_and_the_mint_are_compared_and_what_differs_is_named(dsn: str) -> None:
    market = traded()
    async with MarketNode(market) as node:
        await read(node, dsn, len(market.bodies))
        verify = ("index", "verify", "--rpc-url", node.url, "--dsn", dsn, "--json")
        sound = await tieout_here(*verify)
        assert (sound.code, sound.json["findings"]) == (0, [])
        assert market.on_mint == 500
        # what one account has too little another has too much: the sum alone would not tell
        node.lie = {BOB: market.withheld["bob"] - 7, MINT: market.on_mint + 7}
        done = await tieout_here(*verify)
        assert done.code == 1
        rows = await query(dsn, "select audit, subject, expected, found from ledger.findings order by subject")
        assert sorted((r["audit"], r["subject"], r["expected"], r["found"]) for r in rows) == sorted([
            ("withheld_account", BOB, str(market.withheld["bob"] - 7), str(market.withheld["bob"])),
            ("withheld_account", MINT, "507", "500"),
        ])  # fmt: skip
        node.lie = {}
        assert (await tieout_here(*verify)).code == 0
    assert await value(dsn, "select count(*) from ledger.findings where closed_at is null") == 0


async def test_without_the_evidence_of_a_sweep_nothing_is_claimed_of_single_accounts(dsn: str) -> None:
    market = traded()
    async with MarketNode(market) as node:
        await read(node, dsn, len(market.bodies))
        await vandalise(dsn, "update ledger.evidence_row set body = '' where slot = 4")
        done = await tieout_here("index", "verify", "--rpc-url", node.url, "--dsn", dsn, "--json")
    assert (done.code, done.json["findings"]) == (0, []), done.out
    assert any("account by account" in why for why in done.json["skipped"])


async def test_from_a_snapshot_on_the_replay_begins_with_what_the_snapshot_found(dsn: str) -> None:
    market = traded()
    opened = len(market.bodies)
    async with MarketNode(market) as node:
        taken = await tieout_here("index", "snapshot", "--rpc-url", node.url, "--dsn", dsn, "--mint", MINT, "--json")
        assert taken.code == 0, taken.err
        market.act("transfer", "alice", "treasury", 10)
        market.act("harvest", "bob", "bob", 0)
        node.blocks = market.blocks()
        last = len(market.bodies)
        done = await backfill([node.url], dsn, [MINT], opened + 1, last, limits=IndexerLimits(poll_interval_s=0.01))
        assert done.complete, done
        audited = await tieout_here("index", "verify", "--rpc-url", node.url, "--dsn", dsn, "--json")
        assert (audited.code, audited.json["findings"]) == (0, []), audited.out
        assert not any("withheld" in why for why in audited.json["skipped"])
        node.lie = {ALICE: market.withheld["alice"] + 1}
        assert (await tieout_here("index", "verify", "--rpc-url", node.url, "--dsn", dsn)).code == 1


async def test_more_paid_out_than_was_withheld_is_no_proof(dsn: str) -> None:
    market = traded()
    # Bob's account holds some back; a node shows that Alice got more of it than that
    data = encode("withdraw_withheld_tokens_from_accounts", {"num_token_accounts": 1})
    before, due = market.held["alice"], market.withheld["bob"]
    assert due > 0
    rows = {n: balances(alice=n)[0] for n in (before, before + due, before + due + 1)}
    paid = instruction(data, MINT, ALICE, ISSUER, BOB)
    market.bodies.append(transaction(paid, pre=[rows[before]], post=[rows[before + due + 1]]))
    last = len(market.bodies)
    async with MarketNode(market) as node:
        done = await backfill([node.url], dsn, [MINT], 0, last, limits=IndexerLimits(poll_interval_s=0.01))
        assert not done.complete
        reason = await value(dsn, "select reason from ledger.quarantine")
        assert reason == f"{due + 1} are paid out of withheld fees, {due} were withheld where it takes them from"
        again = ("index", "repair", "--rpc-url", node.url, "--dsn", dsn, "--from", str(last), "--to", str(last))
        assert "nothing differs" in (await tieout_here(*again)).out, "read again it is no better"
        assert await value(dsn, "select count(*) from ledger.events where kind = 'fee_withdrawal'") == 0
        market.bodies[-1] = transaction(paid, pre=[rows[before]], post=[rows[before + due]])
        node.blocks = market.blocks()
        mended = await tieout_here(*again)
        assert mended.code == 0, mended
    assert await value(dsn, "select amount from ledger.events where kind = 'fee_withdrawal'") == due


@settings(ANY, max_examples=8)
@given(operations)
async def test_whatever_happens_the_replay_is_what_the_program_holds_back(
    server_dsn: str, template: str, done: list[tuple[str, str, str, int]]
) -> None:
    market = traded()
    for number, (verb, source, target, part) in enumerate(done):
        market.act("harvest" if verb == "hide" and number % 2 else verb, source, target, part)
    async with fresh_database(server_dsn, template) as dsn, MarketNode(market) as node:
        await read(node, dsn, len(market.bodies))
        connection = await connect(dsn)
        try:
            held = await withheld_by_account(connection, MINT, len(market.bodies))
        finally:
            await connection.close()
    wanted = {ACCOUNTS[name]: amount for name, amount in market.withheld.items()} | {MINT: market.on_mint}
    assert held == {address: amount for address, amount in wanted.items() if amount}


@given(
    st.lists(
        st.builds(Fee, st.sampled_from("abc"), st.integers(0, 9))
        | st.builds(Sweep, st.lists(st.sampled_from("abcm"), max_size=4).map(tuple), st.just(False))
        | st.builds(Sweep, st.lists(st.sampled_from("abc"), max_size=4).map(tuple), st.just(True))
    )
)
def test_a_harvest_loses_nothing_and_nothing_is_ever_owed(steps: list[Fee | Sweep]) -> None:
    harvested = [s for s in steps if isinstance(s, Fee) or s.to_mint]
    assert sum(replay({}, harvested, "m").values()) == sum(s.amount for s in steps if isinstance(s, Fee))
    assert all(amount > 0 for amount in replay({"a": 3}, steps, "m").values())


@pytest.mark.parametrize("in_batch", [False, True])
def test_the_swept_accounts_are_read_from_the_instruction_signers_left_out(in_batch: bool) -> None:
    data = encode("withdraw_withheld_tokens_from_accounts", {"num_token_accounts": 2})
    accounts = (MINT, TREASURY, ISSUER, TREASURY, ALICE, BOB)  # paid to, multisig, its signer, swept
    if in_batch:
        children = b"".join([
            bytes([3, 9]), encode("transfer", {"amount": 1}), bytes([len(accounts), len(data)]), data,
        ])  # fmt: skip
        body = transaction(instruction(b"\xff" + children, ALICE, BOB, ISSUER, *accounts), pre=[], post=[])
        place = (0, 1)
    else:
        body = transaction(instruction(data, *accounts), pre=[], post=[])
        place = (0, -1)
    assert sweeps_of(body, MINT) == {place: Sweep((ALICE, BOB), to_mint=False)}
    assert sweeps_of(body, BOB) == {}
