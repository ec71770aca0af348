"""Holders: transfers of fee-bearing and memo-requiring kinds, to owners and accounts; portfolios in shares."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from solders.keypair import Keypair
from solders.pubkey import Pubkey

from client.desks import SOL, house_on, raw_of
from support.command import tieout_here
from tieout_client import BadInput, PayoutRow, ProgramRefused, build, write_keypair
from tieout_client.fees import transfer_fee
from tieout_client.holding import multiplier_at
from tieout_client.reading import describe_mint
from tieout_idl import Mint
from tieout_idl.state import Extension

KINDS = {"symbol": "S", "name": "N", "uri": "https://s.example"}


NOBODY = {"transfer_fee_config_authority": None, "withdraw_withheld_authority": None}


def mint_with(name, **fields):
    return describe_mint("m", 1, 1000, 0, Mint(None, 0, 2, True, None, (Extension(0, name, fields),)))


def fee(epoch, points, most):
    return {"epoch": epoch, "transfer_fee_basis_points": points, "maximum_fee": most}


def fees_of(older, newer):
    return mint_with("transfer_fee_config", **NOBODY, older_transfer_fee=older, newer_transfer_fee=newer)


def test_the_fee_is_rounded_up_capped_and_that_of_the_epoch():
    mint = fees_of(fee(0, 50, 2**64 - 1), fee(7, 100, 9))
    # A real one: 50 basis points of 4,273,882 withhold 21,370.
    assert transfer_fee(mint, 4_273_882, 6) == 21_370
    assert [transfer_fee(mint, raw, 7) for raw in (0, 1, 100, 101, 900, 10_000)] == [0, 1, 1, 2, 9, 9]
    assert transfer_fee(mint_with("pausable_config", authority=None, paused=False), 5, 7) is None


@given(raw=st.integers(0, 2**64 - 1), points=st.integers(0, 10_000))
def test_a_fee_is_at_least_its_part_and_never_a_unit_more(raw, points):
    mint = fees_of(fee(0, 0, 0), fee(0, points, 2**64 - 1))
    assert 0 <= transfer_fee(mint, raw, 0) - Fraction(raw * points, 10_000) < 1


def scaled(since, old=1.0, new=2.0):
    fields = {"authority": None, "multiplier": old, "new_multiplier": new, "new_multiplier_effective_timestamp": since}
    return mint_with("scaled_ui_amount_config", **fields)


def test_an_instant_has_the_multiplier_that_is_in_force_then_or_none_that_the_chain_tells():
    in_force, announced = scaled(500), scaled(2000)
    assert [multiplier_at(in_force, at).value for at in (500, 1000, 5000)] == [2, 2, 2]
    assert [multiplier_at(announced, at).value for at in (1000, 1999, 2000)] == [1, 1, 2]
    for mint, at in ((in_force, 499), (announced, 999)):
        with pytest.raises(BadInput, match=f"not that of {at}: ask the ledger"):
            multiplier_at(mint, at)


async def test_a_portfolio_counts_shares_at_the_multiplier_then_in_force(chain):
    async with house_on(chain) as house, house.desk() as desk:
        alice = Keypair()
        await desk.issue(house.mint, 1_000_000_000, alice.pubkey(), "o", mint_first=True)
        plain = await desk.create_instrument(**KINDS, scaled=False, decimals=2)
        await desk.mint_to(plain.mint, 250, alice.pubkey(), "r")
        now = (await desk.show(house.mint)).chain_time
        await desk.schedule_multiplier(house.mint, "10/1", now + 3600)
        found = await desk.portfolio(alice.pubkey())
        assert [(h.instrument.symbol, h.shares, h.balance.raw) for h in found.holdings] == [
            ("S", Fraction(5, 2), 250),
            ("TSLAx", 10, 1_000_000_000),
        ]
        later = await desk.portfolio(alice.pubkey(), at=now + 3600)
        assert [h.shares for h in later.holdings] == [Fraction(5, 2), 100]
        assert (await desk.portfolio(Keypair().pubkey())).holdings == ()
        with pytest.raises(BadInput, match="ask the ledger"):
            await desk.portfolio(alice.pubkey(), at=now - 100)


async def wants_memos(desk, mint, owner):
    await desk.open_account(mint, owner.pubkey())
    account = Pubkey.from_string(desk.account_address(mint, owner.pubkey()))
    names = {
        "token": account, "payer": desk.signer.pubkey(), "owner": owner.pubkey(), "system_program": Pubkey.default(),
    }  # fmt: skip
    steps = [build("reallocate", names, {"new_extension_types": [8]})]
    steps.append(build("enable_memo_transfers", {"token": account, "owner": owner.pubkey()}))
    await desk.sender.send(steps, [owner])


async def test_a_memo_is_put_where_the_receiver_requires_one(chain, tmp_path):
    async with house_on(chain, inventory=100) as house, house.desk(tmp_path / "j", guard="account") as desk:
        alice, bob = Keypair(), Keypair()
        await wants_memos(desk, house.mint, alice)
        await desk.issue(house.mint, 50, alice.pubkey(), "o-1")
        await desk.issue(house.mint, 10, bob.pubkey(), "o-2", mint_first=True)
        await desk.transfer(house.mint, 3, bob, alice.pubkey())
        await desk.transfer(house.mint, 3, bob, alice.pubkey(), memo="with love")
        await desk.transfer(house.mint, 3, bob, destination=desk.account_address(house.mint, alice.pubkey()))
        assert await raw_of(desk, house.mint, alice.pubkey()) == 59
        rows = [
            PayoutRow(n, str(k), 1) for n, k in enumerate([alice.pubkey(), *(Keypair().pubkey() for _ in range(7))])
        ]
        lines = await desk.payout(house.mint, rows, house.roles.treasury, "p" * 56)
        assert all(line.paid for line in lines), lines[0]
        await desk.transfer(house.mint, 1, alice, bob.pubkey())
        file = await desk.prepare(lambda d: d.issue(house.mint, 1, alice.pubkey(), "o-3"))
        assert [line.split(":")[0] for line in file.words.lines][3] == "Memo"


async def test_a_fee_is_named_and_the_receiver_gets_the_rest(chain):
    async with house_on(chain) as house, house.desk() as desk:
        alice, bob = Keypair(), Keypair()
        made = await desk.create_instrument(**KINDS, confidential=False, fee_basis_points=100, fee_raw_max=50)
        await desk.mint_to(made.mint, 10_000, alice.pubkey(), "r")
        done = await desk.transfer(made.mint, 1001, alice, bob.pubkey())
        assert (done.fee, await raw_of(desk, made.mint, bob.pubkey())) == (11, 990)
        capped = await desk.transfer(made.mint, 8000, alice, bob.pubkey())
        assert (capped.fee, await raw_of(desk, made.mint, bob.pubkey())) == (50, 990 + 7950)
        with pytest.raises(ProgramRefused, match=r"AccountHasWithheldTransferFees|NonNativeHasBalance"):
            await desk.close_account(made.mint, bob)
        with pytest.raises(BadInput, match="and not both"):
            await desk.transfer(made.mint, 1, alice, bob.pubkey(), destination=bob.pubkey())
        with pytest.raises(BadInput, match="there is no token account"):
            await desk.transfer(made.mint, 1, alice, destination=Keypair().pubkey())


async def test_the_commands_of_a_holder(chain, tmp_path):
    async with house_on(chain) as house, house.desk() as desk:
        alice, bob = Keypair(), Keypair()
        await desk.airdrop(alice.pubkey(), SOL)
        await desk.issue(house.mint, 500_000_000, alice.pubkey(), "o", mint_first=True)
        write_keypair(tmp_path / "alice.json", alice)
        write_keypair(tmp_path / "bob.json", bob)

        async def run(*arguments, code=0, payer="alice"):
            signing = ("--keypair", str(tmp_path / f"{payer}.json")) if arguments[0] != "portfolio" else ()
            done = await tieout_here(*arguments, *signing, "--rpc-url", chain, "--json")
            assert done.code == code, done.err
            return done.json

        key = ("--holder", str(tmp_path / "alice.json"))
        await run("delegate", house.mint, "2.5", "--to", str(bob.pubkey()), *key)
        (holding,) = (await run("portfolio", str(alice.pubkey())))["holdings"]
        assert (holding["shares"], holding["delegate"], holding["delegated_raw"]) == (
            "5",
            str(bob.pubkey()),
            "250000000",
        )
        await run("revoke", house.mint, *key)
        moved = await run("transfer", house.mint, "1", "--to", str(bob.pubkey()), *key)
        assert (moved["raw"], moved["fee_raw"]) == ("100000000", "0")
        account = desk.account_address(house.mint, bob.pubkey())
        await run("transfer", house.mint, "4", "--to-account", account, *key)
        assert (await desk.balance(account)).raw == 500_000_000
        await run("close", house.mint, *key)
        assert (await run("portfolio", str(alice.pubkey())))["holdings"] == []
        await run("transfer", house.mint, "4", *key, code=2)
