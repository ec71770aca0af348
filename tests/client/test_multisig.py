"""Token multisigs as authorities and holders: so many members sign, directly or through files."""

from dataclasses import replace

import pytest
from solders.keypair import Keypair
from solders.pubkey import Pubkey

from client.desks import QUICK, house_on, raw_of
from support.command import tieout_here
from tieout_client import AddressOnly, BadInput, Multisig, MultisigSigner, PayoutRow, build, connect, write_keypair
from tieout_client.multisig import create_multisig, parse_multisig, resolve, signer_for

A, B, C, D = (Keypair.from_seed(bytes([n]) * 32) for n in (1, 2, 3, 4))
KEYS = tuple(str(k.pubkey()) for k in (A, B, C))
AT = Pubkey.from_bytes(bytes([9] * 32))


def test_a_multisig_that_could_never_sign_is_refused_though_the_program_would_take_it():
    members = [k.pubkey() for k in (A, B)]
    for keys, needed, words in (
        (members, 3, "3 of 2 members can never sign"),
        (members, 0, "can never sign"),
        ([], 1, "1 to 11 different members, not 0"),
        ([A.pubkey(), A.pubkey()], 1, "different"),
        ([Pubkey.from_bytes(bytes([n] * 32)) for n in range(1, 13)], 1, "not 12"),
    ):
        with pytest.raises(BadInput, match=words):
            create_multisig(D.pubkey(), AT, keys, needed, 1)


def test_members_are_chosen_in_the_multisig_s_order_and_too_few_are_named():
    multisig = Multisig(str(AT), 2, KEYS)
    assert signer_for(multisig, [D, C, B, A]).members == (A, B)
    assert signer_for(multisig, [C, A]).members == (A, C)
    with pytest.raises(BadInput, match=f"2 of 3, and only 1 of its members are named: add --signer .*{KEYS[2]}"):
        signer_for(multisig, [D, A])
    for data in (bytes(355), bytes([2, 12, 1]) + bytes(352), b"\x01"):
        assert parse_multisig(str(AT), ("TokenzQdBNbLqP5VEhdkAS6EPFLC1PHnBqCXEpPxuEb", data)) is None


def test_the_members_follow_the_named_accounts_and_the_multisig_does_not_sign():
    freezing = build("freeze_account", {"account": D.pubkey(), "mint": C.pubkey(), "owner": AT})
    by = MultisigSigner(AT, (A, B))
    (step,), keys = resolve([freezing], [by])
    assert keys == [A, B]
    assert [(m.pubkey, m.is_signer) for m in step.accounts][2:] == [(AT, False), (A.pubkey(), True), (B.pubkey(), True)]
    assert resolve([step], keys) == ([step], keys)
    assert step == build(
        "freeze_account",
        {"account": D.pubkey(), "mint": C.pubkey(), "owner": AT},
        multisig_signers=[A.pubkey(), B.pubkey()],
    )
    naming = build(
        "update_token_metadata_field", {"metadata": C.pubkey(), "update_authority": AT}, {"field": "name", "value": "x"}
    )
    with pytest.raises(BadInput, match="takes a single key as its update_authority"):
        resolve([naming], [by])
    with pytest.raises(BadInput, match="signs nothing itself"):
        by.sign_message(b"x")


async def test_two_of_three_freeze_mint_and_move(chain, tmp_path):
    async with house_on(chain, inventory=100) as house, house.desk(tmp_path / "j") as desk:
        made, _ = await desk.create_multisig([k.pubkey() for k in (A, B, C)], 2)
        assert (made.needed, made.members) == (2, KEYS)
        assert await desk.show_multisig(made.address) == made
        assert await desk.show_multisig(house.mint) is None
        alice = Keypair()
        await desk.issue(house.mint, 50, alice.pubkey(), "o")
        await desk.issue(house.mint, 10, made.address, "to-the-multisig")
        account = desk.account_address(house.mint, alice.pubkey())
        for kind in ("freeze_account", "mint_tokens"):
            await desk.set_authority(house.mint, kind, made.address)
        holders = await desk.holders(await desk.show(house.mint))
        assert (holders["freeze_account"].kind, holders["freeze_account"].detail) == (
            "multisig",
            "a multisig, 2 of 3 keys",
        )
        watched = AddressOnly(Pubkey.from_string(made.address))
        roles = replace(house.roles, freeze_authority=watched, mint_authority=watched)
        async with connect(
            chain, house.payer, roles, options=QUICK, journal=tmp_path / "k", members=[D, C, A]
        ) as opened:
            several = await opened.with_multisigs()
            await several.freeze(house.mint, account)
            assert (await desk.balance(account)).frozen
            await several.thaw(house.mint, account)
            done = await several.mint_to_treasury(house.mint, 5, "pre-1")
            assert await several.mint_to_treasury(house.mint, 5, "pre-1") == done
            moving = await several.acting(watched)
            await several.transfer(house.mint, 4, moving, alice.pubkey())
            assert await raw_of(desk, house.mint, made.address) == 6
            await desk.issue(house.mint, 20, made.address, "more-for-the-multisig")
            rows = [PayoutRow(n, str(Keypair().pubkey()), 1) for n in range(12)]
            lines = await several.payout(house.mint, rows, moving, "p" * 56)
            assert all(line.paid for line in lines), lines[0]
            assert len({line.signature for line in lines}) == 3
            assert await raw_of(desk, house.mint, made.address) == 14
            assert await raw_of(desk, house.mint, alice.pubkey()) == 54
        async with connect(chain, house.payer, roles, options=QUICK, members=[A]) as one:
            with pytest.raises(BadInput, match="only 1 of its members"):
                await one.with_multisigs()
        guarded = connect(chain, house.payer, roles, options=QUICK, members=[A, B], guard="account")
        async with guarded as strict:
            with pytest.raises(BadInput, match="hangs on one key that always signs"):
                await (await strict.with_multisigs()).mint_to_treasury(house.mint, 5, "pre-2")
        absent = [AddressOnly(k.pubkey()) for k in (B, C)]
        async with connect(chain, AddressOnly(house.payer.pubkey()), roles, options=QUICK, members=absent) as nobody:
            file = await (await nobody.with_multisigs()).prepare(lambda d: d.freeze(house.mint, account))
        assert file.words.warnings == ()
        assert f"owner {made.address}; with {KEYS[1]}, {KEYS[2]}" in file.words.lines[0]
        for key in (house.payer, C, B):
            file = await file.signed_by(key)
        await desk.submit(file)
        assert (await desk.balance(account)).frozen


async def test_the_commands_make_and_use_a_multisig(chain, tmp_path):
    home = {"TIEOUT_HOME": str(tmp_path / "home"), "TIEOUT_RPC_URL": chain}
    async with house_on(chain, inventory=10) as house, house.desk() as desk:
        write_keypair(tmp_path / "payer.json", house.payer)
        for name, key in (("a", A), ("b", B)):
            write_keypair(tmp_path / f"{name}.json", key)
        payer = ("--keypair", str(tmp_path / "payer.json"), "--json")
        members = [part for key in KEYS for part in ("--member", key)]
        made = await tieout_here("key", "multisig", *members, "--needed", "2", *payer, **home)
        assert made.code == 0, made.err
        await desk.set_authority(house.mint, "pause", made.json["address"])
        keys = tmp_path / "keys"
        keys.mkdir()
        (keys / "pause_authority.pub").write_text(made.json["address"])
        signers = [part for name in "ab" for part in ("--signer", str(tmp_path / f"{name}.json"))]
        few = await tieout_here("instrument", "pause", house.mint, "--keys", str(keys), *signers[:2], *payer, **home)
        assert (few.code, "add --signer" in few.err) == (2, True)
        done = await tieout_here("instrument", "pause", house.mint, "--keys", str(keys), *signers, *payer, **home)
        assert done.code == 0, done.err
        shown = await tieout_here("instrument", "show", house.mint, "--json", **home)
        assert (shown.json["paused"], shown.json["holders"]["pause"]) == (True, "a multisig, 2 of 3 keys")
