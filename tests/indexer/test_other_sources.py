"""Other ways in than blocks from the beginning: a snapshot of all accounts, and signatures without blocks."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from solders.keypair import Keypair

from indexer.test_audits import SHARE, FeeNode
from indexer.test_properties import Market as FeeMarket
from indexer.test_withheld import MarketNode
from support.command import tieout_here
from support.database import query, value
from support.replay import Answer
from support.transactions import ALICE, BOB, KEYS, MINT
from tieout_client import Authorities, Issuer, connect
from tieout_indexer import IndexerLimits, backfill, listing, take_snapshot
from tieout_indexer.listing import Listed
from tieout_rpc import RpcClient


@dataclass
class Market:
    """A mint that is traded: what happened before some point, and what after."""

    url: str
    issuer: Issuer
    rpc: RpcClient
    payer: Keypair
    mint: str
    first: int
    holders: list[Keypair] = field(default_factory=lambda: [Keypair(), Keypair(), Keypair()])

    async def final(self) -> int:
        """Wait until everything up to now is final; return that slot."""
        now: int = await self.rpc.call("getSlot", [{"commitment": "confirmed"}], int)
        while await self.rpc.call("getSlot", [{"commitment": "finalized"}], int) < now:
            await asyncio.sleep(0.05)
        return now

    async def move(self, holder: int, amount: int) -> None:
        await self.issuer.transfer(self.mint, amount, self.payer, self.holders[holder].pubkey())

    async def index(self, *command: str) -> Any:
        return await tieout_here(
            "index", command[0], "--rpc-url", self.url, "--mint", self.mint, *command[1:], "--json"
        )


@pytest.fixture
async def market(chain: str) -> AsyncIterator[Market]:
    payer = Keypair()
    async with connect(chain, payer, Authorities.of(payer)) as issuer, RpcClient([chain]) as rpc:
        await issuer.airdrop(payer.pubkey(), 10**11)
        first: int = await rpc.call("getSlot", [{"commitment": "finalized"}], int)
        key = Keypair()
        await issuer.create_instrument("AAPLx", "Apple", "https://x.example", mint=key)
        made = Market(chain, issuer, rpc, payer, str(key.pubkey()), first)
        await issuer.open_account(made.mint, payer.pubkey())
        await issuer.mint_to_treasury(made.mint, 100 * SHARE, "PRE")
        await made.move(0, 3 * SHARE)
        kept = await issuer.open_account(made.mint, made.holders[1].pubkey())
        await made.move(1, 2 * SHARE)
        await issuer.freeze(made.mint, kept.account)
        yield made


async def test_from_a_snapshot_on_balances_and_supply_are_known_and_proven(market: Market, dsn: str) -> None:
    await market.final()
    opened = await market.index("snapshot", "--dsn", dsn)
    assert opened.code == 0, opened.err
    assert (opened.json["supply"], opened.json["accounts"], opened.json["hidden"]) == (str(100 * SHARE), 3, "0")
    slot = opened.json["slot"]
    await market.move(0, SHARE)
    await market.move(2, 5)
    last = await market.final()
    read = await market.index("backfill", "--dsn", dsn, "--from-slot", str(slot + 1), "--to-slot", str(last))
    assert read.code == 0, read.out + read.err
    status = await tieout_here("index", "status", "--dsn", dsn, "--json")
    assert status.json["tracked"][0]["opening"] == "snapshot"
    assert status.json["tracked"][0]["supply"] == str(100 * SHARE)
    assert sum(r["amount"] for r in await query(dsn, "select amount from ledger.balances")) == 100 * SHARE
    sums = await query(dsn, "select sum(delta) as total from ledger.postings_known($1, $2)", market.mint, last)
    assert sums == [{"total": 0}]
    assert await value(dsn, "select ledger.supply_at($1, $2)", market.mint, slot) == 100 * SHARE
    assert await value(dsn, "select ledger.supply_at($1, $2)", market.mint, slot - 1) is None, "not before"
    then = {r["amount"] for r in await query(dsn, "select amount from ledger.balances_at($1, $2)", market.mint, slot)}
    assert then == {95 * SHARE, 3 * SHARE, 2 * SHARE}
    assert await value(dsn, "select count(*) from ledger.frozen where how = 'freeze' and to_slot is null") == 1
    permanent = "select authority from ledger.authorities where type = 'permanent_delegate'"
    assert await value(dsn, permanent) == str(market.payer.pubkey())
    assert await value(dsn, "select count(*) from ledger.multipliers") > 0
    audited = await market.index("verify", "--dsn", dsn)
    assert audited.json["findings"] == [], "every balance is the node's"
    roles = await query(dsn, "select distinct authority_role from ledger.events")
    assert roles == [{"authority_role": "owner"}], "the mint's state is known from the snapshot"
    assert (await tieout_here("index", "redecode", "--dsn", dsn, "--json")).json["retracted"] == 0
    repaired = await market.index("repair", "--dsn", dsn, "--from", str(slot), "--to", str(last))
    assert (repaired.code, repaired.json["retracted"]) == (0, 0)


async def test_what_ended_while_nobody_read_ends_at_the_snapshot(market: Market, dsn: str) -> None:
    kept = market.holders[1].pubkey()
    await market.issuer.pause(market.mint)
    first, last = market.first, await market.final()
    read = await market.index("backfill", "--dsn", dsn, "--from-slot", str(first), "--to-slot", str(last))
    assert read.code == 0, read.err
    standing = (
        "select (select frozen from ledger.balances where owner = '{}'), "
        "exists (select from ledger.paused where to_slot is null)"
    )
    assert [[*row.values()] for row in await query(dsn, standing.format(kept))] == [[True, True]]
    account = await value(dsn, f"select account from ledger.balances where owner = '{kept}'")
    await market.issuer.resume(market.mint)
    await market.issuer.thaw(market.mint, account)
    await market.final()
    taken = await market.index("snapshot", "--dsn", dsn)
    assert taken.code == 0, taken.err
    assert [[*row.values()] for row in await query(dsn, standing.format(kept))] == [[False, False]]
    again = await market.index("snapshot", "--dsn", dsn)
    assert again.code == 0, again.err


async def test_an_account_that_was_closed_while_nobody_read_is_gone_at_the_snapshot(dsn: str) -> None:
    class Closed(MarketNode):
        def _getProgramAccounts(self, *_: Any) -> Answer:  # noqa: N802
            answer: dict[str, Any] = dict(super()._getProgramAccounts())
            answer["result"]["value"] = [a for a in answer["result"]["value"] if a["pubkey"] != BOB]
            return answer

    traded = FeeMarket()
    traded.open()
    traded.act("mint", "treasury", "treasury", 100_000)
    limits = IndexerLimits(poll_interval_s=0.01)
    async with MarketNode(traded) as node:
        assert (await backfill([node.url], dsn, [MINT], 0, 2, limits=limits)).complete
    traded.act("mint", "treasury", "treasury", 1)  # nobody reads slot 3, in which Bob's account is closed
    async with Closed(traded) as node:
        opened = await take_snapshot([node.url], dsn, MINT, limits=limits)
        assert await take_snapshot([node.url], dsn, MINT, limits=limits) == opened, "once is enough"
        traded.act("mint", "treasury", "treasury", 1)
        node.blocks = traded.blocks()
        meta = node.blocks[4]["transactions"][0]["meta"]
        for side in ("preTokenBalances", "postTokenBalances"):
            meta[side] = [row for row in meta[side] if row["accountIndex"] != KEYS.index(BOB)]
        assert (await backfill([node.url], dsn, [MINT], 4, 4, limits=limits)).complete
    rows = await query(dsn, "select account, closed_slot from ledger.balances order by account")
    assert {row["account"]: row["closed_slot"] for row in rows}[BOB] == opened.slot == 3
    assert BOB not in {
        row["account"] for row in await query(dsn, f"select account from ledger.balances_at('{MINT}', 4)")
    }
    assert [row["account"] for row in await query(dsn, "select account from ledger.owners where to_slot = 3")] == [BOB]


async def test_a_transaction_missing_after_the_snapshot_is_found_by_continuity(market: Market, dsn: str) -> None:
    await market.final()
    slot = (await market.index("snapshot", "--dsn", dsn)).json["slot"]
    await market.move(0, SHARE)
    missed = await market.final()
    await market.move(0, SHARE)
    last = await market.final()
    read = await market.index("backfill", "--dsn", dsn, "--from-slot", str(missed + 1), "--to-slot", str(last))
    assert read.code == 0, "what came before is not known: nothing contradicts it"
    closed = await market.index("backfill", "--dsn", dsn, "--from-slot", str(slot + 1), "--to-slot", str(last))
    assert closed.code == 0, closed.out
    assert await value(dsn, "select supply from ledger.supply") == 100 * SHARE


async def test_a_snapshot_that_does_not_add_up_is_refused_with_its_figures(dsn: str) -> None:
    async with FeeNode() as node:
        node.withheld = 499
        refused = await tieout_here("index", "snapshot", "--rpc-url", node.url, "--dsn", dsn, "--mint", MINT)
        assert refused.code == 2
        assert "supply 100000, but balances 99500 and withheld fees 499" in refused.err
        node.withheld = 500
        taken = await tieout_here("index", "snapshot", "--rpc-url", node.url, "--dsn", dsn, "--mint", MINT, "--json")
        assert (taken.code, taken.json["withheld"]) == (0, "500")
    assert {ALICE, BOB} == {r["account"] for r in await query(dsn, "select account from ledger.touches")}


async def test_by_signatures_events_are_the_same_but_nothing_is_called_proven(market: Market, dsn: str) -> None:
    last = await market.final()
    span = ("--from-slot", str(market.first), "--to-slot", str(last))
    done = await market.index("list", "--dsn", dsn, *span)
    assert done.code == 0, done.err
    assert (done.json["proven"], done.json["events"]) == (False, 3)
    events = (
        "select slot, tx_index, step, kind, source, destination, amount, signature from ledger.events order by 1, 2, 3"
    )
    weak = await query(dsn, events)
    assert await query(dsn, "select * from ledger.coverage") == []
    assert await value(dsn, "select supply from ledger.supply") is None
    status = await tieout_here("index", "status", "--dsn", dsn, "--json")
    assert status.json["tracked"][0]["proven"] == []
    assert status.json["tracked"][0]["listed"] == [[market.first, last]]
    again = await market.index("list", "--dsn", dsn, *span)
    assert (again.code, again.json["listed"]) == (0, 0), "nothing is read twice"

    read = await market.index("backfill", "--dsn", dsn, *span)
    assert read.code == 0, read.out + read.err
    assert await query(dsn, events) == weak, "blocks say the same, and it is not written twice"
    assert await value(dsn, "select supply from ledger.supply") == 100 * SHARE
    assert await query(dsn, "select * from ledger.listed") == [], "proven now, no longer weaker"
    assert (await tieout_here("db", "verify", "--dsn", dsn)).code == 0


async def test_what_blocks_say_otherwise_replaces_what_was_listed(market: Market, dsn: str) -> None:
    last = await market.final()
    span = ("--from-slot", str(market.first), "--to-slot", str(last))
    await market.index("list", "--dsn", dsn, *span)
    from tieout_database import connect as connect_database

    connection = await connect_database(dsn)
    await connection.execute(
        "set session_replication_role = replica; update ledger.event_row set amount = 1 where kind = 'mint'"
    )
    await connection.close()
    assert (await market.index("backfill", "--dsn", dsn, *span)).code == 0
    assert await value(dsn, "select supply from ledger.supply") == 100 * SHARE
    assert await value(dsn, "select count(*) from ledger.retractions") == 1


@given(st.lists(st.integers(5, 40), max_size=60).map(sorted), st.integers(0, 5), st.integers(40, 45), st.integers(1, 7))
def test_a_listing_is_committed_in_parts_that_meet_and_split_no_slot(
    slots: list[int], first: int, last: int, at_once: int
) -> None:
    entries = [Listed(f"s{number}", slot, failed=False) for number, slot in enumerate(slots)]
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(listing, "_COMMITTED_AT_ONCE", at_once)
        parts = list(listing._parts(entries, first, last))
    assert [entry for _, _, part in parts for entry in part] == entries
    assert [parts[0][0], *(start for start, _, _ in parts[1:])] == [first, *(end + 1 for _, end, _ in parts[:-1])]
    assert parts[-1][1] == last
    assert all(start <= entry.slot <= end for start, end, part in parts for entry in part)


async def test_a_listing_that_is_cut_claims_nothing_up_to_the_cut(market: Market, dsn: str) -> None:
    first, last = str(market.first), str(await market.final())
    ask = ("index", "list", "--rpc-url", market.url, "--mint", market.mint, "--dsn", dsn, "--json")
    cut = await tieout_here(*ask, "--from-slot", first, "--to-slot", last, TIEOUT_AUDIT_SIGNATURES_MAX="2")
    assert cut.code == 1, cut
    slot = cut.json["cut_at"]
    assert market.first < slot
    assert await value(dsn, "select coalesce(min(from_slot), 0) from ledger.listed") in (0, slot + 1)
    whole = await tieout_here(*ask, "--from-slot", first, "--to-slot", last)
    assert (whole.code, whole.json["cut_at"]) == (0, None), whole
    assert await value(dsn, "select min(from_slot) from ledger.listed") == market.first
    assert await value(dsn, "select count(*) from ledger.events where kind = 'mint'") == 1
