"""Requests against a running chain: once, however often, from however many desks they are asked for."""

import asyncio
from dataclasses import replace
from fractions import Fraction

import pytest
from solders.keypair import Keypair

from client.desks import QUICK, SOL, house_on, raw_of
from tieout_client import (
    AccountFrozen,
    AccountMissing,
    AlreadyIssued,
    AmountLimits,
    BadInput,
    Expired,
    InstrumentPaused,
    InsufficientInventory,
    Journal,
    OutcomeUnknown,
    OverLimit,
    ProgramRefused,
    Sender,
    WrongAuthority,
    WrongDecimals,
    guard_address,
    token_account,
)
from tieout_client.keys import address


def states(path):
    return [(e.kind, e.request_id, e.state) for e in Journal(path).entries()]


async def test_a_request_is_done_once_however_often_it_is_asked_for(chain, tmp_path):
    alice = Keypair().pubkey()
    async with house_on(chain, inventory=100) as house:
        async with house.desk(tmp_path / "j") as issuer:
            first = await issuer.issue(house.mint, 7, alice, "ord-1")
            assert await issuer.issue(house.mint, 7, alice, "ord-1") == first
        async with house.desk(tmp_path / "j") as later:
            assert await later.issue(house.mint, 7, alice, "ord-1") == first
            assert await raw_of(later, house.mint, alice) == 7
            with pytest.raises(BadInput, match=r"raw 7, to .* and now comes with .* raw 8"):
                await later.issue(house.mint, 8, alice, "ord-1")
            await later.redeem(house.mint, 3, house.roles.treasury, "ord-1")
            await later.sweep(house.mint, 3, "ord-1")
            await later.burn(house.mint, 3, "ord-1")
            await later.burn(house.mint, 3, "ord-1")
            assert (await later.show(house.mint)).supply == 97
        kinds = ["issue", "redeem", "sweep", "burn"]
        assert states(tmp_path / "j") == [(kind, "ord-1", "landed") for kind in kinds]


async def test_desks_that_race_over_one_journal_make_one_transaction(chain, tmp_path):
    alice = Keypair().pubkey()
    async with house_on(chain) as house, house.desk(tmp_path / "j") as one, house.desk(tmp_path / "j") as two:
        asked = [d.issue(house.mint, 9, alice, "ord-1", mint_first=True) for d in (one, two, one)]
        receipts = await asyncio.gather(*asked)
        assert len({r.signature for r in receipts}) == 1
        assert (await one.show(house.mint)).supply == await raw_of(one, house.mint, alice) == 9


async def test_what_was_signed_and_never_sent_is_sent_after_a_restart(chain, tmp_path, monkeypatch):
    alice = Keypair().pubkey()

    async def die(self, signed, **_):
        raise asyncio.CancelledError

    async with house_on(chain, inventory=10) as house:
        with monkeypatch.context() as patch:
            patch.setattr(Sender, "submit", die)
            async with house.desk(tmp_path / "j") as killed:
                with pytest.raises(asyncio.CancelledError):
                    await killed.issue(house.mint, 4, alice, "ord-1")
        assert states(tmp_path / "j") == [("issue", "ord-1", "sent")]
        async with house.desk(tmp_path / "j") as restarted:
            ((entry, receipt),) = await restarted.settle_open()
            assert (entry.request_id, receipt.signature) == ("ord-1", entry.signature)
            assert await raw_of(restarted, house.mint, alice) == 4
            assert await restarted.settle_open() == []


async def test_a_dead_transaction_is_signed_again_and_a_living_one_never(localnet, tmp_path, monkeypatch):
    alice = Keypair().pubkey()

    async def swallow(self, signed, *, first):
        return None

    async with house_on(localnet, inventory=10) as house, house.desk(tmp_path / "j") as issuer:
        with monkeypatch.context() as patch:
            patch.setattr(Sender, "_broadcast", swallow)
            impatient = issuer.using(options=replace(QUICK, give_up_after_s=0.5))
            with pytest.raises(OutcomeUnknown, match="look up its status"):
                await impatient.issue(house.mint, 4, alice, "ord-1")
            with pytest.raises(OutcomeUnknown):
                await impatient.issue(house.mint, 4, alice, "ord-1")
            assert len(states(tmp_path / "j")) == 1
            await issuer.rpc.call("localnet_advance", [{"slots": 200}])
            with pytest.raises(Expired):
                await issuer.requests.settle(Journal(tmp_path / "j").entries()[0])
        await issuer.issue(house.mint, 4, alice, "ord-1")
        assert await raw_of(issuer, house.mint, alice) == 4
    assert [s for _, _, s in states(tmp_path / "j")] == ["dead", "landed"]


async def test_a_failure_on_the_chain_is_kept_and_can_be_asked_for_again(chain, tmp_path, monkeypatch):
    alice = Keypair().pubkey()
    async with house_on(chain) as house, house.desk(tmp_path / "j") as issuer:
        blind = issuer.using(options=replace(QUICK, skip_preflight=True))
        await issuer.open_account(house.mint, house.roles.treasury.pubkey())
        with pytest.raises(ProgramRefused, match="InsufficientFunds"):
            await blind.issue(house.mint, 4, alice, "ord-1")
        assert states(tmp_path / "j") == [("issue", "ord-1", "failed")]
        await issuer.mint_to_treasury(house.mint, 10, "pre")
        await issuer.issue(house.mint, 4, alice, "ord-1")
        assert await raw_of(issuer, house.mint, alice) == 4


async def test_the_guard_has_the_chain_refuse_a_second_desk(chain, tmp_path):
    alice = Keypair().pubkey()
    async with house_on(chain, inventory=100) as house:
        base = house.roles.treasury.pubkey()
        async with house.desk(tmp_path / "here", guard="account") as here:
            done = await here.issue(house.mint, 7, alice, "ord-1")
            assert done.guard.address == str(guard_address(base, "issue", "ord-1"))
            account = await here.rpc.call(
                "getAccountInfo", [done.guard.address, {"encoding": "base64", "commitment": "confirmed"}]
            )
            assert account["value"]["lamports"] == done.guard.lamports == 897_840
            assert await here.issue(house.mint, 7, alice, "ord-1") == done
        for journal in (tmp_path / "elsewhere", None):
            async with house.desk(journal, guard="account") as elsewhere:
                with pytest.raises(AlreadyIssued, match=f"carried out before, by transaction {done.signature}") as no:
                    await elsewhere.issue(house.mint, 7, alice, "ord-1")
                assert (no.value.signature, no.value.slot) == (done.signature, done.slot)
                assert no.value.address == done.guard.address
                assert await raw_of(elsewhere, house.mint, alice) == 7
        assert states(tmp_path / "elsewhere") == []


async def test_the_longest_request_fits_a_transaction_with_guard_and_mint(chain, tmp_path):
    async with house_on(chain) as house, house.desk(tmp_path / "j", guard="account") as issuer:
        done = await issuer.issue(house.mint, 2**63, Keypair().pubkey(), "R" * 64, mint_first=True)
        assert (done.succeeded, len(Journal(tmp_path / "j").entries()[0].transaction_bytes) <= 1232) == (True, True)


async def test_two_desks_that_send_at_once_are_told_apart_by_the_guard(chain, tmp_path):
    alice = Keypair().pubkey()
    async with house_on(chain) as house:
        # With one fee payer and one blockhash they would sign the very same transaction.
        other = replace(house, payer=Keypair())
        one, two = house.desk(tmp_path / "one", guard="account"), other.desk(tmp_path / "two", guard="account")
        async with one as first, two as second:
            await first.airdrop(other.payer.pubkey(), SOL)
            asked = [d.issue(house.mint, 5, alice, "ord-1", mint_first=True) for d in (first, second)]
            outcomes = await asyncio.gather(*asked, return_exceptions=True)
            refused = [o for o in outcomes if isinstance(o, AlreadyIssued)]
            (done,) = [o for o in outcomes if not isinstance(o, AlreadyIssued)]
            assert [r.signature for r in refused] == [done.signature]
            assert (await first.show(house.mint)).supply == 5


async def test_lamports_sent_to_a_guard_beforehand_block_nothing(chain, tmp_path):
    alice = Keypair().pubkey()
    async with house_on(chain, inventory=9) as house, house.desk(tmp_path / "j", guard="account") as issuer:
        at = guard_address(house.roles.treasury.pubkey(), "issue", "ord-1")
        await issuer.airdrop(at, 1_000_000)
        await issuer.issue(house.mint, 5, alice, "ord-1")
        assert await raw_of(issuer, house.mint, alice) == 5


async def test_a_localnet_needs_no_guard_unless_it_is_asked_for(chain):
    async with house_on(chain, inventory=9) as house, house.desk() as issuer:
        assert (await issuer.issue(house.mint, 5, Keypair().pubkey(), "ord-1")).guard is None


async def test_what_stands_in_the_way_is_named_before_anything_is_signed(chain, tmp_path):
    alice, bob = Keypair(), Keypair()
    limits = AmountLimits(operation_shares_max=Fraction(1, 10**6), day_shares_max=Fraction(15, 10**7))
    async with house_on(chain, inventory=1000) as house, house.desk(tmp_path / "j", amounts=limits) as issuer:
        mint, who = house.mint, alice.pubkey()
        wrong = issuer.using(authorities=replace(house.roles, mint_authority=bob))
        account = token_account(address(mint), who)
        for act, error, words in (
            (
                issuer.issue(mint, 101, who, "a"),
                OverLimit,
                "101 raw are more than 100 raw, the limit",
            ),
            (issuer.issue(mint, 5, who, "a", decimals=6), WrongDecimals, "counts in 8 decimals, not in 6"),
            (wrong.mint_to_treasury(mint, 5, "a"), WrongAuthority, "mint_tokens authority"),
            (issuer.redeem(mint, 5, alice, "a"), AccountMissing, f"no token account {account}"),
        ):
            with pytest.raises(error, match=words):
                await act
        await issuer.issue(mint, 80, who, "a")
        with pytest.raises(InsufficientInventory, match="holds 80 raw, 90 are asked for: 10 raw are missing"):
            await issuer.redeem(mint, 90, alice, "b")
        with pytest.raises(OverLimit, match=r"80 raw of .* went out by issue in the last 24 hours, 71 more"):
            await issuer.issue(mint, 71, who, "b")
        await issuer.freeze(mint, account)
        with pytest.raises(AccountFrozen, match=f"{account} of {who} is frozen"):
            await issuer.issue(mint, 5, who, "b")
        await issuer.pause(mint)
        with pytest.raises(InstrumentPaused, match=r"TSLAx .* is paused"):
            await issuer.issue(mint, 5, bob.pubkey(), "b")
        assert states(tmp_path / "j") == [("issue", "a", "landed")]


async def test_a_day_s_limit_needs_a_journal(chain):
    async with house_on(chain) as house, house.desk(amounts=AmountLimits(day_shares_max=Fraction(1))) as issuer:
        with pytest.raises(BadInput, match="name a journal"):
            await issuer.issue(house.mint, 5, Keypair().pubkey(), "ord-1")


async def test_simulation_refuses_before_signing_by_name(chain, tmp_path):
    poor = Keypair()
    async with house_on(chain, inventory=9) as house, house.desk(tmp_path / "j") as issuer:
        issuer.sender.payer = poor
        with pytest.raises(ProgramRefused, match="nothing was signed or sent"):
            await issuer.issue(house.mint, 5, Keypair().pubkey(), "ord-1")
    assert states(tmp_path / "j") == []
