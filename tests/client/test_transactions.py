"""Transactions through files: prepared without keys, signed apart, sent once; dead when their nonce has advanced."""

import base64
import json
from dataclasses import fields, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from solders.hash import Hash
from solders.instruction import Instruction
from solders.keypair import Keypair
from solders.message import Message, MessageV0
from solders.pubkey import Pubkey

from client.desks import QUICK, SOL, house_on, raw_of
from support.command import tieout_here
from tieout_client import (
    AddressOnly,
    AlreadyIssued,
    Authorities,
    BadInput,
    Captured,
    Expired,
    Journal,
    OutcomeUnknown,
    OverLimit,
    ProgramRefused,
    Sender,
    build,
    connect,
    parse_transaction,
    read_transaction,
    token_account,
    write_keypair,
)
from tieout_client.checks import AmountLimits
from tieout_client.guard import guard_instructions
from tieout_client.instructions import open_account, transfer
from tieout_client.memo import memo_instruction
from tieout_client.nonce import advance_nonce
from tieout_client.request_of import guard_of, request_of
from tieout_client.settling import instructions_of
from tieout_client.transaction_file import make_transaction
from tieout_client.words import describe, parse_message


def away(roles):
    """The same authorities as addresses alone: the keys are elsewhere."""
    return Authorities(**{f.name: AddressOnly(getattr(roles, f.name).pubkey()) for f in fields(roles)})


def watching(house, **more):
    """A desk that holds no key at all."""
    return connect(house.chain, AddressOnly(house.payer.pubkey()), away(house.roles), options=QUICK, **more)


async def signed(file, *keys):
    for key in keys:
        file = await parse_transaction(file.to_json()).signed_by(key)
    return file


async def test_a_transaction_is_prepared_without_keys_signed_apart_and_sent_once(chain, tmp_path):
    alice = Keypair().pubkey()
    async with house_on(chain, inventory=100) as house, house.desk(tmp_path / "j") as desk:
        nonce, _ = await desk.create_nonce()
        async with watching(house) as prepared_by:
            with pytest.raises(BadInput, match="only the address of"):
                await prepared_by.issue(house.mint, 7, alice, "ord-1")
            file = await prepared_by.prepare(lambda d: d.issue(house.mint, 7, alice, "ord-1"), nonce=nonce.address)
        words = file.words
        assert words.nonce == (nonce.address, nonce.value)
        assert words.warnings == ()
        assert words.lines[0] == f"System: advance the nonce {nonce.address}, by {nonce.authority}"
        assert words.lines[1] == "Memo: 'tieout/1 issue ord-1'"
        moving = next(line for line in words.lines if "transfer checked" in line)
        assert "amount 7 raw (0.00000007 before the multiplier), decimals 8; source " in moving
        assert f"; mint {house.mint}; destination {desk.account_address(house.mint, alice)}; authority " in moving
        one, two = await signed(file, house.payer), await signed(file, house.roles.treasury)
        with pytest.raises(BadInput, match=f"these have not signed yet: {house.roles.treasury.pubkey()}"):
            await desk.submit(one)
        whole = one.with_signatures_of([two])
        done = await desk.submit(whole)
        assert await raw_of(desk, house.mint, alice) == 7
        assert await desk.submit(whole) == done
        # Asked for directly it is the same request.
        assert await desk.issue(house.mint, 7, alice, "ord-1") == done
        with pytest.raises(BadInput, match="was signed before with"):
            await desk.issue(house.mint, 8, alice, "ord-1")
        assert [(e.kind, e.state) for e in Journal(tmp_path / "j").entries()] == [("issue", "landed")]
        # What landed by one desk's hand is only noted by another's.
        async with house.desk(tmp_path / "elsewhere") as other:
            assert (await other.submit(whole)).signature == done.signature
        assert await raw_of(desk, house.mint, alice) == 7
        # What became of it is told whatever stands in the way of doing it now.
        await desk.pause(house.mint)
        assert await desk.submit(whole) == done


async def test_operations_without_a_request_go_through_files_too(chain, tmp_path):
    async with house_on(chain) as house, house.desk(tmp_path / "j") as desk, watching(house) as away_desk:
        file = await away_desk.prepare(lambda d: d.pause(house.mint))
        done = await desk.submit(await signed(file, house.payer, house.roles.pause_authority))
        assert (await desk.show(house.mint)).paused
        assert await desk.submit(await signed(file, house.payer, house.roles.pause_authority)) == done
        (entry,) = Journal(tmp_path / "j").entries()
        assert (entry.kind, entry.request_id) == ("transaction", done.signature[:64])
        file = await away_desk.prepare(lambda d: d.set_authority(house.mint, "pause", None))
        assert "authority type pause, new authority none" in file.words.lines[0]
        with pytest.raises(BadInput, match="signs nothing"):
            await away_desk.prepare(lambda d: d.show(house.mint))
        with pytest.raises(BadInput, match="is not asked to sign this"):
            await file.signed_by(Keypair())


async def test_the_bytes_alone_tell_the_request_that_an_operation_would_journal(chain):
    alice, who = Keypair(), str(Keypair().pubkey())
    async with house_on(chain, inventory=1000) as house, house.desk(guard="account") as desk:
        await desk.issue(house.mint, 100, alice.pubkey(), "opening")
        account = desk.account_address(house.mint, alice.pubkey())
        await desk.issue(house.mint, 10, house.roles.redemption_wallet.pubkey(), "stock")
        for operation in (
            lambda d: d.mint_to(house.mint, 5, who, "r"),
            lambda d: d.issue(house.mint, 5, who, "r"),
            lambda d: d.issue(house.mint, 5, who, "r", mint_first=True),
            lambda d: d.redeem(house.mint, 5, alice, "r"),
            lambda d: d.sweep(house.mint, 5, "r"),
            lambda d: d.burn(house.mint, 5, "r"),
            lambda d: d.forced_burn(house.mint, account, 5, "r"),
            lambda d: d.seize(house.mint, account, 5, "r"),
            lambda d: d.seize(house.mint, account, 5, "r", leave_frozen=False),
        ):
            with pytest.raises(Captured) as caught:
                await operation(desk.preparing())
            ready, request = caught.value.ready, caught.value.request
            assert request_of(ready.steps) == request
            assert guard_of(ready.steps) == ready.guard
            assert (ready.guard is None) == (request.kind not in {"issue", "mint"})
            # A second movement beside it is not what the memo stands for.
            with pytest.raises(BadInput, match="the memo names the request"):
                request_of(
                    [*ready.steps, ready.steps[-1] if request.kind != "seize" else ready.steps[-2], *ready.steps[1:]]
                )


async def test_a_seizure_thaws_moves_and_freezes_in_one_transaction_under_its_case(chain):
    async with house_on(chain) as house, house.desk() as desk:
        alice = Keypair().pubkey()
        await desk.issue(house.mint, 100, alice, "o", mint_first=True)
        account = desk.account_address(house.mint, alice)
        await desk.freeze(house.mint, account)
        for operation, moves in (
            (
                lambda d: d.seize(house.mint, account, None, "case-7"),
                ["Associated Token", "thaw", "transfer", "freeze"],
            ),
            (lambda d: d.forced_burn(house.mint, account, 5, "case-7"), ["thaw", "burn", "freeze"]),
        ):
            words = (await desk.prepare(operation)).words
            steps = [line.removeprefix("Token-2022: ").split(":")[0].split(" account")[0] for line in words.lines]
            kinds = [step.removesuffix(" checked") for step in steps if step != "Compute Budget"]
            assert kinds == ["Memo", *moves]
            assert "case-7" in words.lines[0]


async def test_the_guard_and_the_limits_hold_for_files(chain, tmp_path):
    alice = Keypair().pubkey()
    async with house_on(chain, inventory=100) as house:
        nonces = []
        async with house.desk(tmp_path / "a", guard="account") as desk:
            for _ in range(2):
                nonces.append((await desk.create_nonce())[0].address)
            asked = [await desk.prepare(lambda d: d.issue(house.mint, 7, alice, "o"), nonce=n) for n in nonces]
            files = [await signed(file, house.payer, house.roles.treasury) for file in asked]
            done = await desk.submit(files[0])
            assert done.guard is not None
        async with house.desk(tmp_path / "b", guard="account") as other:
            with pytest.raises(AlreadyIssued, match=done.signature):
                await other.submit(files[1])
            with pytest.raises(AlreadyIssued):
                await other.prepare(lambda d: d.issue(house.mint, 7, alice, "o"))
        limits = AmountLimits(day_shares_max=0.000_000_01)
        async with house.desk(tmp_path / "c", amounts=limits) as small:
            file = await other_issue(house, alice)
            with pytest.raises(OverLimit):
                await small.submit(file)
        assert not Journal(tmp_path / "c").entries()


async def other_issue(house, owner):
    async with house.desk() as desk:
        file = await desk.prepare(lambda d: d.issue(house.mint, 3, owner, "another"))
        return await signed(file, house.payer, house.roles.treasury)


async def test_an_advanced_nonce_kills_what_was_signed_over_it(chain, tmp_path, monkeypatch):
    alice = Keypair().pubkey()

    async def swallow(self, signed, *, first):
        return None

    async with house_on(chain, inventory=100) as house, house.desk(tmp_path / "j") as desk:
        nonce, _ = await desk.create_nonce()

        async def made():
            file = await desk.prepare(lambda d: d.issue(house.mint, 7, alice, "o"), nonce=nonce.address)
            return await signed(file, house.payer, house.roles.treasury)

        with monkeypatch.context() as patch:
            patch.setattr(Sender, "_broadcast", swallow)
            impatient = desk.using(options=replace(QUICK, give_up_after_s=1.5))
            with pytest.raises(OutcomeUnknown):
                await impatient.submit(await made())
        assert [e.state for e in Journal(tmp_path / "j").entries()] == ["sent"]
        await desk.advance_nonce(nonce.address)
        assert (await desk.show_nonce(nonce.address)).value != nonce.value
        ((entry, outcome),) = await desk.settle_open()
        assert isinstance(outcome, Expired)
        assert (Journal(tmp_path / "j").entries()[0].state, entry.request_id) == ("dead", "o")
        with pytest.raises(Expired):
            await desk.submit(parse_transaction(rebuilt(entry)))
        again = await made()
        await desk.submit(again)
        assert await raw_of(desk, house.mint, alice) == 7
        late = await desk.prepare(lambda d: d.burn(house.mint, 1, "b"), nonce=nonce.address)
        await desk.advance_nonce(nonce.address)
        with pytest.raises(ProgramRefused, match=r"BlockhashNotFound.*the nonce has advanced"):
            await desk.submit(await signed(late, house.payer, house.roles.treasury))


def rebuilt(entry):
    from solders.transaction import VersionedTransaction

    transaction = VersionedTransaction.from_bytes(entry.transaction_bytes)
    file = make_transaction(transaction.message, entry.chain, entry.fetched_slot)
    names = file.words.signers
    signatures = {name: str(s) for name, s in zip(names, transaction.signatures, strict=True)}
    return replace(file, signatures=signatures).to_json()


async def test_a_file_for_another_chain_or_changed_on_its_way_is_refused(chain, tmp_path):
    async with house_on(chain) as house, house.desk(tmp_path / "j") as desk:
        file = await desk.prepare(lambda d: d.pause(house.mint))
        whole = await signed(file, house.payer, house.roles.pause_authority)
        with pytest.raises(BadInput, match="is for the chain"):
            await desk.submit(replace(whole, chain="another"))
        plain = json.loads(whole.to_json())
        pause, resume = b"\x02\x2c\x01", b"\x02\x2c\x02"  # their data with its length
        assert whole.message.count(pause) == 1
        changed = replace(whole, message=whole.message.replace(pause, resume))
        assert changed.words.lines[0].startswith("Token-2022: resume")
        for edit, words in (
            ({"summary": ["Token-2022: resume"]}, "the file says 'Token-2022: resume', and its bytes say"),
            ({"summary": []}, "the file says ''"),
            ({"signers": [*plain["signers"], "x"]}, "the file says 'x'"),
            ({"message": json.loads(changed.to_json())["message"]}, "the file says"),
            (json.loads(changed.to_json()), "does not belong to these bytes"),
            ({"signatures": {plain["signers"][0]: "abc"}}, "does not belong to these bytes"),
            ({"signatures": {"abc": "abc"}}, "is not asked to sign"),
            ({"schema": "tieout/transaction/2"}, "of the form 'tieout/transaction/2'"),
            ({"extra": 1}, "unknown field"),
            ({"message": "!!"}, "no transaction file"),
            ({"message": plain["message"][:40]}, "no transaction"),
            ({"message": base64.b64encode(whole.message + bytes(3)).decode()}, "no transaction message"),
        ):
            with pytest.raises(BadInput, match=words):
                parse_transaction(json.dumps({**plain, **edit}))
        other = await desk.prepare(lambda d: d.resume(house.mint))
        with pytest.raises(BadInput, match="different transactions"):
            whole.with_signatures_of([other])


ODD = Instruction(Pubkey.from_bytes(bytes([9] * 32)), b"\x01\x02", [])
TOKEN = Pubkey.from_string("TokenzQdBNbLqP5VEhdkAS6EPFLC1PHnBqCXEpPxuEb")


@pytest.mark.parametrize(
    ("step", "why"),
    [
        (ODD, "the program .* is none that these transactions need"),
        (Instruction(TOKEN, b"\x63", []), "no instruction begins with 63"),
        (Instruction(TOKEN, b"\x0c\x01", []), "transfer_checked: field amount"),
        (Instruction(TOKEN, b"\x0b", []), "0 accounts, and 3 are needed"),
        (Instruction(TOKEN, b"\xff\x00\x01\x63", []), "no instruction begins with 63"),
        (Instruction(Pubkey.default(), b"\x63\x00\x00\x00", []), "System: the instruction 99"),
        (Instruction(Pubkey.default(), b"\x02\x00\x00\x00", []), "System: the instruction 2 cannot be read"),
        (Instruction(Pubkey.default(), b"", []), "System: the instruction None"),
    ],
)
async def test_what_is_not_understood_is_shown_and_not_signed_unless_forced(step, why):
    payer = Keypair()
    message = MessageV0.try_compile(payer.pubkey(), [step], [], Hash.default())
    file = make_transaction(message, "chain", 1)
    assert len(file.words.warnings) == 1
    assert file.words.lines[0].startswith("NOT UNDERSTOOD: ")
    with pytest.raises(BadInput, match=f"{why}.*--force"):
        await file.signed_by(payer)
    assert (await file.signed_by(payer, forced=True)).missing == ()


async def test_accounts_behind_an_address_table_are_not_signed_unless_forced():
    from solders.address_lookup_table_account import AddressLookupTableAccount
    from solders.instruction import AccountMeta

    payer, hidden = Keypair(), Pubkey.from_bytes(bytes([7] * 32))
    table = AddressLookupTableAccount(Pubkey.from_bytes(bytes([8] * 32)), [hidden])
    step = Instruction(TOKEN, b"\x2c\x01", [AccountMeta(hidden, False, True), AccountMeta(payer.pubkey(), True, False)])
    message = MessageV0.try_compile(payer.pubkey(), [step], [table], Hash.default())
    file = make_transaction(message, "chain", 1)
    assert "address tables" in file.words.warnings[0]
    with pytest.raises(BadInput, match="do not say which"):
        await file.signed_by(payer)


def whole_message():
    key, mint, owner = (Keypair.from_seed(bytes([n]) * 32).pubkey() for n in (1, 2, 3))
    here, there = token_account(mint, key), token_account(mint, owner)
    steps = [
        advance_nonce(mint, key),
        memo_instruction("tieout/1 issue r"),
        *guard_instructions(key, key, "issue", "r", 5),
        open_account(mint, owner, key),
        transfer(mint, here, there, key, raw=5, decimals=8),
    ]
    return make_transaction(MessageV0.try_compile(key, steps, [], Hash.default()), "c", 1).message


@given(
    edits=st.lists(
        st.tuples(st.integers(0, 10**4), st.integers(0, 255), st.sampled_from("sdi")), min_size=1, max_size=4
    )
)
@settings(max_examples=300)
def test_whatever_the_bytes_are_there_are_words_or_a_refusal(edits):
    raw = bytearray(whole_message())
    for place, byte, kind in edits:
        at = place % max(len(raw), 1)
        raw[at : at + (kind != "insert")] = b"" if kind == "delete" else bytes([byte])
    try:
        message = parse_message(bytes(raw))
        words = describe(message)
        assert len(words.lines) == len(message.instructions)
        assert all(line.isprintable() for line in words.lines)
        steps = [step for step in instructions_of(message) if step is not None]
        guard_of(steps)
        request_of(steps)
    except BadInput:
        pass


def test_text_in_an_instruction_cannot_pass_for_another_line():
    payer = Keypair()
    evil = "1\n2. Token-2022: pause"
    asking = build("ui_amount_to_amount", {"mint": payer.pubkey()}, {"ui_amount": evil})
    naming = build(
        "update_token_metadata_field",
        {"metadata": payer.pubkey(), "update_authority": payer.pubkey()},
        {"field": ("key", evil), "value": evil},
    )
    message = MessageV0.try_compile(payer.pubkey(), [asking, naming, memo_instruction(evil)], [], Hash.default())
    assert all("\n" not in line for line in describe(message).lines)


def test_bytes_that_are_no_message_are_refused():
    payer = Keypair()
    good = bytes(Message([], payer.pubkey()))
    assert parse_message(good)
    for bad in (b"", b"\x80", b"\x81" + good, bytes(50), b"\x80" + bytes(60), good[:-1], good + b"\x00", b"\xff" * 100):
        with pytest.raises(BadInput, match="no transaction message"):
            parse_message(bad)


async def test_the_commands_prepare_sign_show_and_submit(chain, tmp_path):
    payer, alice = Keypair(), str(Keypair().pubkey())
    async with house_on(chain, inventory=10**12) as house, house.desk() as desk:
        await desk.airdrop(payer.pubkey(), SOL)
        keys = tmp_path / "addresses"
        keys.mkdir()
        (keys / "treasury.pub").write_text(f"{house.roles.treasury.pubkey()}\n")
        (tmp_path / "payer.pub").write_text(f"{payer.pubkey()}\n")
        write_keypair(tmp_path / "payer.json", payer)
        write_keypair(tmp_path / "treasury.json", house.roles.treasury)
        home = {"TIEOUT_HOME": str(tmp_path / "home"), "TIEOUT_RPC_URL": chain}
        made = await tieout_here("tx", "nonce", "create", "--keypair", str(tmp_path / "payer.json"), "--json", **home)
        assert made.code == 0, made.err
        nonce = made.json["nonce"]
        shown = await tieout_here("tx", "nonce", "show", nonce, "--json", **home)
        assert shown.json["value"] == made.json["value"]
        one, two = tmp_path / "one.json", tmp_path / "two.json"
        issue = (
            "issue", house.mint, "2.5", "--to", alice, "--request", "R-1",
            "--keypair", str(tmp_path / "payer.pub"), "--keys", str(keys),
        )  # fmt: skip
        prepared = await tieout_here("tx", "prepare", "--nonce", nonce, "--json", str(one), *issue, **home)
        assert prepared.code == 0, prepared.err
        assert prepared.json["schema"] == "tieout/tx-prepare/1"
        assert prepared.json["missing"] == [str(payer.pubkey()), str(house.roles.treasury.pubkey())]
        again = await tieout_here("tx", "prepare", str(one), *issue, **home)
        assert (again.code, "never overwritten" in again.err) == (2, True)
        nothing = await tieout_here("tx", "prepare", str(two), "instrument", "show", house.mint, **home)
        assert (nothing.code, "signs nothing" in nothing.err) == (2, True)
        two.write_bytes(one.read_bytes())
        early = await tieout_here("tx", "submit", str(one), "--json", **home)
        assert (early.code, "have not signed yet" in early.err) == (2, True)
        first = await tieout_here("tx", "sign", str(one), "--keypair", str(tmp_path / "payer.json"), **home)
        assert (first.code, "250,000,000 raw (2.5 before the multiplier)" in first.out) == (0, True), first.err
        secret = str(house.roles.treasury)
        second = await tieout_here("tx", "sign", str(two), "--json", TIEOUT_KEY=secret, **home)
        assert (second.code, second.json["missing"]) == (0, [str(payer.pubkey())]), second.err
        assert secret not in two.read_text()
        done = await tieout_here("tx", "submit", str(one), str(two), "--json", **home)
        assert done.code == 0, done.err
        assert await raw_of(desk, house.mint, alice) == 250_000_000
        retried = await tieout_here("tx", "submit", str(two), str(one), "--json", **home)
        assert (retried.code, retried.json["signature"]) == (0, done.json["signature"])
        shown = await tieout_here("tx", "show", str(one), "--json", **home)
        assert (shown.code, shown.json["warnings"], shown.json["nonce"]["account"]) == (0, [], nonce)
        gone = await tieout_here(
            "tx", "nonce", "advance", nonce, "--keypair", str(tmp_path / "payer.json"), "--json", **home
        )
        assert gone.code == 0, gone.err


async def test_every_command_that_signs_can_be_prepared_with_addresses_alone(chain, tmp_path):
    alice, bob, other = Keypair(), Keypair(), Keypair()
    async with house_on(chain, inventory=10**10) as house, house.desk() as desk:
        await desk.issue(house.mint, 10**9, alice.pubkey(), "o")
        await desk.issue(house.mint, 10**9, bob.pubkey(), "p")
        held, frozen = (desk.account_address(house.mint, k.pubkey()) for k in (alice, bob))
        await desk.freeze(house.mint, frozen)
        await desk.open_account(house.mint, other.pubkey())
        keys = tmp_path / "addresses"
        keys.mkdir()
        for field in fields(house.roles):
            (keys / f"{field.name}.pub").write_text(str(getattr(house.roles, field.name).pubkey()))
        for name, key in (("payer", house.payer), ("alice", alice), ("other", other), ("new", Keypair())):
            (tmp_path / f"{name}.pub").write_text(str(key.pubkey()))
        holder, gross = (
            ("--holder", str(tmp_path / "alice.pub")),
            ("--gross", "1", "--withholding", "0", "--price", "100"),
        )
        to, new = ("--to", str(bob.pubkey())), ("--new-key", str(tmp_path / "new.pub"))
        commands = [
            ("issue", "1", "--to", str(other.pubkey()), "--request", "r-1"),
            ("redeem", "1", *holder, "--request", "r-2"),
            ("burn", "1", "--request", "r-3"),
            ("transfer", "1", "--to-account", held, *holder),
            ("delegate", "1", *to, *holder),
            ("revoke", *holder),
            ("close", "--holder", str(tmp_path / "other.pub")),
            ("instrument multiplier", "2"),
            ("instrument dividend", *gross, "--sign", "--from", "1"),
            ("instrument split", "2:1", "--sign", "--from", "1", "--at", "2100-01-01T00:00:00+00:00"),
            ("instrument pause",),
            ("instrument freeze", held),
            ("instrument thaw", frozen),
            ("instrument seize", frozen, "all", "--case", "c-1"),
            ("instrument forced-burn", held, "1", "--case", "c-2"),
            ("instrument authority", "mint_tokens", *new),
            ("instrument authority", "pause", "--give-up"),
            ("instrument hook", "--disarm"),
            ("instrument allowlist", "--on"),
            ("instrument metadata", "--symbol", "X"),
        ]
        signing = ("--keypair", str(tmp_path / "payer.pub"), "--rpc-url", chain)
        for number, (command, *more) in enumerate(commands):
            roles = () if command in {"delegate", "revoke", "close"} else ("--keys", str(keys))
            path = tmp_path / f"{number}.json"
            done = await tieout_here("tx", "prepare", str(path), *command.split(), house.mint, *more, *roles, *signing)
            assert done.code == 0, (command, done.err)
            file = read_transaction(path)
            assert file.words.warnings == ()
            assert file.missing == file.words.signers
        before = ("create", "AAPLx", "--name", "Apple", "--uri", "https://a.example", *signing, "--keys", str(keys))
        lost = await tieout_here("tx", "prepare", str(tmp_path / "c.json"), "instrument", *before)
        assert (lost.code, "would be lost" in lost.err) == (2, True)
        mint = ("--mint-key", str(tmp_path / "new.pub"))
        made = await tieout_here("tx", "prepare", str(tmp_path / "c.json"), "instrument", *before, *mint)
        assert made.code == 0, made.err
        nested = await tieout_here("tx", "prepare", str(tmp_path / "d.json"), "tx", "submit", "x")
        assert (nested.code, "run the command itself" in nested.err) == (2, True)
        payout = tmp_path / "rows.csv"
        payout.write_text(f"owner,amount\n{bob.pubkey()},1\n")
        many = await tieout_here(
            "tx",
            "prepare",
            str(tmp_path / "d.json"),
            "payout",
            house.mint,
            str(payout),
            *holder,
            "--request",
            "p",
            *signing,
        )
        assert many.code == 2
        assert not (tmp_path / "d.json").exists()
        # Nothing of all this has reached the chain.
        assert not (await desk.show(house.mint)).paused
