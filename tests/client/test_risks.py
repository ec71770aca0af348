"""Who holds what, what follows from it, and where a mint differs from its profile."""

import json

from solders.keypair import Keypair
from solders.pubkey import Pubkey

from client.desks import house_on
from support.command import tieout_here
from tieout_client import Holder, differences, risks
from tieout_client.risks import describe_holder
from tieout_idl import SYSTEM_PROGRAM, TOKEN_2022_PROGRAM

KEY = str(Keypair.from_seed(bytes([5]) * 32).pubkey())


def test_a_holder_is_a_key_a_multisig_a_program_or_unknown():
    derived = str(Pubkey.find_program_address([b"vault"], Pubkey.from_string(TOKEN_2022_PROGRAM))[0])
    assert describe_holder(KEY, None).kind == "key"
    assert describe_holder(KEY, (SYSTEM_PROGRAM, b"")).kind == "key"
    multisig = describe_holder(KEY, (TOKEN_2022_PROGRAM, bytes([2, 3, 1]) + bytes(352)))
    assert (multisig.kind, multisig.detail) == ("multisig", "a multisig, 2 of 3 keys")
    assert describe_holder(derived, (SYSTEM_PROGRAM, b"")).kind == "program"
    assert "account of the program Sq" in describe_holder(KEY, ("Sq", b"")).detail


def test_a_profile_is_compared_field_by_field_and_no_further():
    found = {"decimals": 8, "authorities": {"a": "x", "b": "y"}, "list": [1, 2]}
    assert differences({"decimals": 8, "authorities": {"a": "x"}}, found) == []
    assert differences({"decimals": 6, "authorities": {"b": "z"}, "list": [2, 1], "gone": 1}, found) == [
        ("decimals", 6, 8),
        ("authorities.b", "z", "y"),
        ("list", [2, 1], [1, 2]),
        ("gone", 1, None),
    ]


async def test_one_hot_key_is_named_for_all_that_it_can_do(chain):
    async with house_on(chain) as house, house.desk() as issuer:
        found = await issuer.show(house.mint)
        holders = await issuer.holders(found)
        told = {r.code: r for r in risks(found, holders)}
        key = str(house.roles.mint_authority.pubkey())
        assert told["one-key-mint-tokens"].sentence == f"one key can mint without limit: {key}"
        assert {"one-key-permanent-delegate", "one-key-pause", "one-key-scaled-ui-amount"} <= set(told)
        assert "paused" not in told
        one = dict.fromkeys(holders, Holder("key", key, "a single key"))
        assert "one-key-many-roles" in {r.code for r in risks(found, one)}
        none = dict.fromkeys(holders, Holder("nobody", None, "given up for good"))
        assert risks(found, none) == []
        await issuer.pause(house.mint)
        await issuer.schedule_multiplier(house.mint, 2, found.chain_time + 3600)
        paused = await issuer.show(house.mint)
        assert {r.code for r in risks(paused, none)} == {"paused", "multiplier-pending"}


async def test_show_compares_with_a_profile(chain, tmp_path):
    async with house_on(chain) as house:
        good, bad = tmp_path / "good.json", tmp_path / "bad.toml"
        shown = await tieout_here("instrument", "show", house.mint, "--rpc-url", chain, "--json")
        assert "one-key-mint-tokens" in shown.json["risks"]
        good.write_text(json.dumps({k: v for k, v in shown.json.items() if k != "multiplier"}))
        bad.write_text('decimals = 6\n[authorities]\nmint_tokens = "X"\n')
        same = await tieout_here("instrument", "show", house.mint, "--profile", str(good), "--rpc-url", chain, "--json")
        assert (same.code, same.json["differences"]) == (0, []), same.err
        other = await tieout_here("instrument", "show", house.mint, "--profile", str(bad), "--rpc-url", chain, "--json")
        assert other.code == 1
        assert [d["field"] for d in other.json["differences"]] == ["decimals", "authorities.mint_tokens"]
        absent = await tieout_here("instrument", "show", house.mint, "--profile", "nowhere", "--rpc-url", chain)
        assert (absent.code, "cannot read the profile" in absent.err) == (2, True)
