"""The commands of the desk, as processes, against a running chain."""

import json

from solders.keypair import Keypair

from client.desks import house_on
from support.command import tieout_here
from tieout_client import write_keypair


async def test_a_command_run_twice_issues_once_and_the_journal_shows_it(chain, tmp_path):
    keys = tmp_path / "keys"
    keys.mkdir()
    owner = str(Keypair().pubkey())
    async with house_on(chain, inventory=10**12) as house, house.desk() as issuer:
        write_keypair(tmp_path / "payer.json", house.payer)
        for role in ("treasury", "mint_authority"):
            write_keypair(keys / f"{role}.json", getattr(house.roles, role))
        common = ("--keypair", str(tmp_path / "payer.json"), "--keys", str(keys), "--rpc-url", chain, "--json")
        home = {"TIEOUT_HOME": str(tmp_path / "home"), "TIEOUT_GUARD": "account"}

        async def issue(amount, **more):
            return await tieout_here(
                "issue", house.mint, amount, "--to", owner, "--request", "R-1", *common, **home | more
            )

        first, second = await issue("2.5"), await issue("2.5")
        assert (first.code, second.code) == (0, 0), first.err + second.err
        assert first.json["signature"] == second.json["signature"]
        assert first.json["guard"]["lamports"] == 897_840
        assert (await issuer.balance_of(house.mint, owner)).raw == 250_000_000

        other = await issue("3")
        assert other.code == 2
        assert "raw 250000000" in other.err
        assert "raw 300000000" in other.err
        elsewhere = await issue("2.5", TIEOUT_HOME=str(tmp_path / "elsewhere"))
        assert (elsewhere.code, "carried out before" in elsewhere.err) == (1, True)
        greedy = await issue("2.5", TIEOUT_OPERATION_SHARES_MAX="2", TIEOUT_HOME=str(tmp_path / "elsewhere"))
        assert (greedy.code, "the limit of 2 shares" in greedy.err) == (2, True)

        listed = await tieout_here("journal", "list", "--json", **home)
        assert [(e["request"], e["state"]) for e in listed.json["entries"]] == [("R-1", "landed")]
        resumed = await tieout_here("journal", "resume", "--rpc-url", chain, "--json", **home)
        assert (resumed.code, resumed.json["settled"]) == (0, [])


async def test_a_wrong_setting_of_the_desk_is_named(tmp_path):
    done = await tieout_here("journal", "list", "--json", TIEOUT_GUARD="perhaps", TIEOUT_HOME=str(tmp_path))
    assert (done.code, "guard" in done.err) == (2, True)
    done = await tieout_here("journal", "list", "--json", TIEOUT_HOME=str(tmp_path))
    assert (done.code, json.loads(done.out)["error"]["exit_code"]) == (2, 2)
    assert "there is no journal" in done.err
