"""Instruments of other kinds, and what is changed about one later: authorities, hook, allowlist, metadata, accounts."""

import csv

import pytest
from solders.keypair import Keypair
from solders.pubkey import Pubkey

from client.desks import QUICK, house_on, raw_of
from support.command import start_tieout, tieout, tieout_here
from tieout_client import (
    AccountFrozen,
    BadInput,
    BulkRow,
    InstrumentSpec,
    ProgramRefused,
    WrongAuthority,
    connect,
    parse_accounts,
    write_keypair,
)
from tieout_client.memo import memo_instruction

MEMO = str(memo_instruction("x").program_id)
TEXTS = {"symbol": "S", "name": "N", "uri": "https://s.example"}
TOKEN_FREE = ("metadata_pointer", "default_account_state", "token_metadata")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"fee_basis_points": 10_001, "confidential": False}, "0 to 10000 basis points"),
        ({"fee_basis_points": 5}, "takes no plain confidential transfers"),
        ({"hook_program": Pubkey.default(), "transfer_hook": False}, "needs the transfer hook extension"),
        ({"scaled": False, "multiplier": 2.0}, "needs the scaled amount extension"),
    ],
)
def test_combinations_that_cannot_be_made_are_refused(options, words):
    with pytest.raises(BadInput, match=words):
        InstrumentSpec(**TEXTS, **options).checked()


async def test_instruments_of_other_kinds(chain):
    async with house_on(chain) as house, house.desk() as desk:
        bare = {"permanent_delegate": False, "scaled": False, "pausable": False, "confidential": False}
        made = await desk.create_instrument(**TEXTS, decimals=0, **bare, transfer_hook=False)
        seen = await desk.show(made.mint)
        assert tuple(e.name for e in seen.mint.extensions) == TOKEN_FREE
        assert seen.decimals == 0
        assert set(seen.authorities) == {"mint_tokens", "freeze_account", "metadata_pointer", "metadata_update"}
        closed = await desk.create_instrument(**TEXTS, default_frozen=True)
        alice = Keypair().pubkey()
        opened = await desk.open_account(closed.mint, alice)
        with pytest.raises(AccountFrozen):
            await desk.mint_to(closed.mint, 5, alice, "r")
        await desk.thaw(closed.mint, opened.account)
        await desk.mint_to(closed.mint, 5, alice, "r")
        dear = await desk.create_instrument(**TEXTS, confidential=False, fee_basis_points=50, fee_raw_max=1000)
        seen = await desk.show(dear.mint)
        fee = seen.mint.extension("transfer_fee_config").fields["newer_transfer_fee"]
        assert (fee["transfer_fee_basis_points"], fee["maximum_fee"]) == (50, 1000)
        delegate = str(house.roles.permanent_delegate.pubkey())
        assert seen.authorities["transfer_fee_config"] == seen.authorities["withheld_withdraw"] == delegate


async def test_an_authority_goes_to_a_key_that_signs_the_hand_over(chain, tmp_path):
    async with house_on(chain) as house, house.desk(tmp_path / "j") as desk:
        new = Keypair()
        with pytest.raises(BadInput, match=r"nobody has shown that .* can sign"):
            await desk.rotate(house.mint, "pause", new.pubkey())
        await desk.rotate(house.mint, "pause", new)
        await desk.rotate(house.mint, "metadata_update", new)
        seen = await desk.show(house.mint)
        assert seen.authorities["pause"] == seen.authorities["metadata_update"] == str(new.pubkey())
        with pytest.raises(WrongAuthority, match=f"pause authority of .* is {new.pubkey()}, not"):
            await desk.rotate(house.mint, "pause", Keypair())
        with pytest.raises(BadInput, match="holds mint_tokens already"):
            await desk.rotate(house.mint, "mint_tokens", house.roles.mint_authority)
        with pytest.raises(BadInput, match="has no withheld_withdraw authority"):
            await desk.rotate(house.mint, "withheld_withdraw", new)
        with pytest.raises(BadInput, match="'king' is no authority"):
            await desk.rotate(house.mint, "king", new)
        multisig, _ = await desk.create_multisig([new.pubkey(), Keypair().pubkey()], 1)
        async with connect(chain, house.payer, house.roles, options=QUICK, members=[new]) as one:
            from tieout_client import AddressOnly

            held = await one.acting(AddressOnly(Pubkey.from_string(multisig.address)))
            await one.rotate(house.mint, "freeze_account", held)
        assert (await desk.show(house.mint)).authorities["freeze_account"] == multisig.address
        vault = Pubkey.find_program_address([b"vault"], Pubkey.default())[0]
        await desk.rotate(house.mint, "mint_tokens", vault, unproven=True)
        # The successor's signature is asked for in a file too, and nothing happens before it is there.
        file = await desk.prepare(lambda d: d.rotate(house.mint, "permanent_delegate", new))
        assert str(new.pubkey()) in file.words.signers
        assert f"Memo: '{new.pubkey()} takes permanent_delegate of {house.mint}'" in file.words.lines


async def test_a_hook_is_armed_with_a_program_and_disarmed(chain):
    async with house_on(chain) as house, house.desk() as desk:
        alice = Keypair()
        await desk.issue(house.mint, 10, alice.pubkey(), "o", mint_first=True)
        with pytest.raises(BadInput, match="is no program on this chain"):
            await desk.set_hook(house.mint, Keypair().pubkey())
        await desk.set_hook(house.mint, MEMO)
        assert (await desk.show(house.mint)).mint.extension("transfer_hook").fields["program_id"] == MEMO
        with pytest.raises(ProgramRefused, match=r"MissingAccount.*hook"):
            await desk.transfer(house.mint, 1, alice, Keypair().pubkey())
        await desk.set_hook(house.mint, None)
        await desk.transfer(house.mint, 1, alice, Keypair().pubkey())
        plain = await desk.create_instrument(**TEXTS, transfer_hook=False)
        with pytest.raises(BadInput, match="was made without transfer_hook"):
            await desk.set_hook(plain.mint, None)


async def test_metadata_grows_and_shrinks_and_its_rent_is_paid(chain):
    async with house_on(chain) as house, house.desk() as desk:
        changes = {
            "symbol": "TSLA2x",
            "uri": "https://a-much-longer.example/" + "x" * 90,
            "isin": "CH1436219252",
        }
        await desk.update_metadata(house.mint, changes)
        seen = await desk.show(house.mint)
        assert (seen.symbol, seen.uri, seen.name) == ("TSLA2x", changes["uri"], "Tesla xStock")
        own = seen.mint.extension("token_metadata").fields["additional_metadata"]
        assert [(p["key"], p["value"]) for p in own] == [("isin", "CH1436219252")]
        await desk.update_metadata(house.mint, {"name": "T"}, ["isin"])
        seen = await desk.show(house.mint)
        assert (seen.name, seen.mint.extension("token_metadata").fields["additional_metadata"]) == ("T", ())
        for given, words in (
            (({},), "name what to change"),
            (({"name": "T"},), "the name is 'T' already"),
            (({"symbol": "x" * 33},), "1 to 32 bytes"),
            (({"k" * 65: "v"},), "a field's name is 1 to 64"),
            (({}, ["symbol"]), "no field that can be removed"),
            (({}, ["isin"]), "those of one's own are none"),
        ):
            with pytest.raises(BadInput, match=words):
                await desk.update_metadata(house.mint, *given)


def test_a_file_of_accounts_is_read_whole_or_refused():
    mint, a = str(Keypair().pubkey()), str(Keypair().pubkey())
    assert parse_accounts(f"account\n{a}\n{a}\n", mint) == [BulkRow(2, a, None)]
    (row,) = parse_accounts(f"owner,note\n{a},x\n", mint)
    assert (row.owner, row.account != a) == (a, True)
    for text, words in (
        ("", "first line: account, or owner"),
        ("name\nx\n", "first line: account, or owner"),
        ("owner\n", "1 to 100000 rows, not 0"),
        (f"owner\nx\n{a}\ny\n", "line 2: 'x' is no owner.*; line 4: 'y'"),
    ):
        with pytest.raises(BadInput, match=words):
            parse_accounts(text, mint)


async def test_accounts_are_frozen_and_thawed_from_a_file_again_only_what_is_missing(chain, tmp_path):
    owners = [Keypair().pubkey() for _ in range(40)]
    async with house_on(chain) as house, house.desk() as desk:
        mint = (await desk.create_instrument(**TEXTS, default_frozen=True)).mint
        other = await desk.open_account(house.mint, owners[0])
        rows = parse_accounts("owner\n" + "\n".join(map(str, owners)), mint)
        missing = await desk.set_frozen(mint, rows, True)
        assert {line.error for line in missing} == {"there is no such token account"}
        # Killed on the way: a part is done.
        await desk.set_frozen(mint, rows[:9], False, open_missing=True)
        told = []
        lines = await desk.set_frozen(mint, rows, False, open_missing=True, progress=told.append)
        assert [line.state for line in lines] == ["already"] * 9 + ["done"] * 31
        assert sum(told) == 40
        assert len({line.signature for line in lines[9:]}) == 5
        await desk.mint_to(mint, 5, owners[3], "r")
        strange = [
            BulkRow(50, other.account, None),
            BulkRow(51, str(Keypair().pubkey()), None),
            BulkRow(52, mint, None),
        ]
        mixed = await desk.set_frozen(mint, [*rows, *strange], True)
        assert [line.state for line in mixed] == ["done"] * 40 + ["failed"] * 3
        assert f"it is of the mint {house.mint}" in str(mixed[40].error)
        again = await desk.set_frozen(mint, rows, True, open_missing=True)
        assert {line.state for line in again} == {"already"}
        async with connect(chain, house.payer, options=QUICK) as outsider:
            with pytest.raises(WrongAuthority):
                await outsider.set_frozen(mint, rows, False)


async def test_the_commands_of_upkeep(chain, tmp_path):
    async with house_on(chain) as house, house.desk() as desk:
        keys = tmp_path / "keys"
        keys.mkdir()
        for role in ("mint_authority", "permanent_delegate", "freeze_authority"):
            write_keypair(keys / f"{role}.json", getattr(house.roles, role))
        write_keypair(tmp_path / "payer.json", house.payer)
        write_keypair(tmp_path / "new.json", Keypair())
        home = {"TIEOUT_HOME": str(tmp_path / "home"), "TIEOUT_RPC_URL": chain}

        async def run(*arguments, code=0):
            signing = ("--keypair", str(tmp_path / "payer.json"), "--keys", str(keys))
            wants = signing if arguments[0] not in {"profile", "compare"} else ()
            done = await tieout_here("instrument", *arguments, *wants, "--json", **home)
            assert done.code == code, done.err
            return done.json

        options = ("--default-frozen", "--no-confidential", "--transfer-fee", "25", "--transfer-fee-max", "100")
        made = await run("create", "AAPLx", "--name", "Apple", "--uri", "https://a.example", *options)
        mint, profile = made["mint"], str(tmp_path / "profile.json")
        await run("profile", mint, "--out", profile)
        assert (await run("compare", mint, "--profile", profile))["differences"] == []
        accounts, result = tmp_path / "owners.csv", tmp_path / "result.csv"
        accounts.write_text("owner\n" + "\n".join(str(Keypair().pubkey()) for _ in range(20)))
        treasury = tmp_path / "treasury.csv"
        treasury.write_text(f"owner\n{house.payer.pubkey()}\n")
        done = await run("bulk", mint, "thaw", str(accounts), "--open", "--result", str(result))
        assert (done["rows"], done["done"], done["failed"]) == (20, 20, 0)
        with result.open() as lines:
            assert {row["state"] for row in csv.DictReader(lines)} == {"done"}
        await run("bulk", mint, "freeze", str(accounts))
        assert (await run("bulk", mint, "freeze", str(accounts)))["already"] == 20
        account = parse_accounts(accounts.read_text(), mint)[0].account
        await run("thaw", mint, account)
        await desk.mint_to(mint, 500, parse_accounts(accounts.read_text(), mint)[0].owner, "r")
        await run("forced-burn", mint, account, "100", "--raw", "--case", "C-1")
        await run("freeze", mint, account)
        await run("bulk", mint, "thaw", str(treasury), "--open")
        await run("seize", mint, account, "all", "--case", "C-2")
        left = await desk.balance(account)
        assert (left.raw, left.frozen) == (0, True)
        await run("allowlist", mint, "--off")
        await run("metadata", mint, "--symbol", "AAPL2x", "--set", "isin=US0378331005")
        await run("authority", mint, "pause", "--to", str(Keypair().pubkey()), code=2)
        await run("authority", mint, "freeze_account", "--new-key", str(tmp_path / "new.json"))
        await run("hook", mint, "--arm", MEMO)
        differs = await run("compare", mint, "--profile", profile, code=1)
        assert {d["field"] for d in differs["differences"]} == {
            "authorities.freeze_account",
            "extension_fields.default_account_state.state",
            "extension_fields.transfer_hook.program_id",
        }
        seen = await desk.show(mint)
        assert (seen.symbol, seen.starts_frozen) == ("AAPL2x", False)
        assert await raw_of(desk, mint, parse_accounts(accounts.read_text(), mint)[0].owner) == 0


async def test_a_bulk_run_that_is_killed_is_simply_run_again(chain, tmp_path):
    async with house_on(chain) as house, house.desk() as desk:
        owners = [Keypair().pubkey() for _ in range(300)]
        accounts = tmp_path / "owners.csv"
        accounts.write_text("owner\n" + "\n".join(map(str, owners)))
        write_keypair(tmp_path / "payer.json", house.payer)
        keys = tmp_path / "keys"
        keys.mkdir()
        write_keypair(keys / "freeze_authority.json", house.roles.freeze_authority)
        command = (
            "instrument", "bulk", house.mint, "freeze", str(accounts), "--open", "--keypair",
            str(tmp_path / "payer.json"), "--keys", str(keys), "--rpc-url", chain, "--json",
        )  # fmt: skip
        running = await start_tieout(*command)
        first = desk.account_address(house.mint, owners[0])
        while running.returncode is None and not await exists(desk, first):
            pass
        running.kill()
        assert await running.wait() == -9
        done = await tieout(*command)
        assert (done.code, done.json["failed"]) == (0, 0), done.err
        assert done.json["done"] + done.json["already"] == 300
        lines = await desk.set_frozen(house.mint, parse_accounts(accounts.read_text(), house.mint), True)
        assert {line.state for line in lines} == {"already"}


async def exists(desk, account):
    found = await desk.rpc.call("getAccountInfo", [account, {"encoding": "base64", "commitment": "confirmed"}])
    return found["value"] is not None
