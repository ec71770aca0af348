"""AnchorPy's bytes and accounts for the token program, against real transactions and the table."""

import pytest
from anchorpy import NamedInstruction
from anchorpy.program.namespace.methods import MethodsBuilder
from pyheck import snake as pyheck_snake
from solders.instruction import AccountMeta
from solders.pubkey import Pubkey

import tieout_client
from tieout_client import BadInput, build, token_program
from tieout_idl import INSTRUCTIONS, TOKEN_2022_PROGRAM, ShortData, UnknownInstruction, base58, decode
from tieout_idl.table import TYPES, snake

A, B, C, D = (Pubkey.from_bytes(bytes([n]) * 32) for n in range(1, 5))
NEW_MINT_AUTHORITY = Pubkey.from_string("7pt9tkctJPK7PPNQJ77GKg8ZffSF6QxoMiCFYHxrtaCj")

REAL = [
    ("mint_to", [24242424242424], {"mint": A, "token": B, "mint_authority": C}, "6tN3jgAcNp3R"),
    (
        "transfer_checked",
        [879185100, 8],
        {"source": A, "mint": B, "destination": C, "authority": D},
        "ihmsx4Y4KLCUf",
    ),
    ("burn_checked", [1707764558, 9], {"account": A, "mint": B, "authority": C}, "rsq8ivKxBavLY"),
    ("burn", [25100500000], {"account": A, "mint": B, "authority": C}, "6zwtEeSEqGAj"),
    (
        "set_authority",
        ["mint_tokens", NEW_MINT_AUTHORITY],
        {"owned": A, "owner": B},
        "bixy1SwhHcr2nUfPfRxngt7PonrFFrgyGMgXs1PBLxZ6TtP",
    ),
    (
        "update_multiplier_scaled_ui_mint",
        [1.0032690125398187, 1786149000],
        {"mint": A, "authority": B},
        "2nTHqKJU2EuqwCLAYR5iDLYB9",
    ),
    ("set_transfer_fee", [50, 2**64 - 1], {"mint": A, "transfer_fee_config_authority": B}, "VUowYtikhwi57j8r"),
    (
        "transfer_checked_with_fee",
        [4273882, 9, 21370],
        {"source": A, "mint": B, "destination": C, "authority": D},
        "5m9aVrL7vVFfcjRS6nnnrzpiXh",
    ),
    ("pause", [], {"mint": A, "authority": B}, "4ME"),
    ("resume", [], {"mint": A, "authority": B}, "4MF"),
]


@pytest.mark.parametrize(("name", "args", "accounts", "real"), REAL)
def test_anchorpy_builds_the_bytes_of_real_transactions(name, args, accounts, real):
    built = token_program().methods[name].args(args).accounts(accounts).instruction()
    assert base58.encode(bytes(built.data)) == real
    assert str(built.program_id) == TOKEN_2022_PROGRAM


@pytest.mark.parametrize(("name", "args", "accounts", "real"), REAL)
def test_accounts_stand_in_the_program_s_order_with_its_flags(name, args, accounts, real):
    layout = INSTRUCTIONS[name]
    built = token_program().methods[name].args(args).accounts(dict(reversed(accounts.items()))).instruction()
    assert list(built.accounts) == [AccountMeta(accounts[a.name], a.is_signer, a.is_writable) for a in layout.accounts]


def test_transfer_checked_by_hand():
    names = {"source": A, "mint": B, "destination": C, "authority": D}
    built = build("transfer_checked", names, {"amount": 1, "decimals": 8})
    flags = [(m.pubkey, m.is_signer, m.is_writable) for m in built.accounts]
    assert flags == [(A, False, True), (B, False, False), (C, False, True), (D, True, False)]


def test_pyheck_names_everything_as_the_table_does():
    raw = token_program().idl
    assert len(raw.instructions) == len(INSTRUCTIONS) == 100
    for instruction in raw.instructions:
        names = [instruction.name, *(a.name for a in instruction.accounts), *(a.name for a in instruction.args)]
        assert [pyheck_snake(n) for n in names] == [snake(n) for n in names]
        layout = INSTRUCTIONS[snake(instruction.name)]
        assert [a.name for a in layout.accounts] == [pyheck_snake(a.name) for a in instruction.accounts]
        assert [f.name for f in layout.fields] == [pyheck_snake(a.name) for a in instruction.args]


def test_every_instruction_is_a_method():
    program = token_program()
    assert set(program.methods) == set(program.instruction) == set(INSTRUCTIONS)
    assert all(isinstance(method, MethodsBuilder) for method in program.methods.values())
    assert token_program() is program


def sample(kind, zeroable):
    if zeroable:
        return None
    if isinstance(kind, str):
        return {"publicKey": A, "string": "text", "bool": True, "f64": 1.5}.get(kind, 7)
    if "option" in kind:
        return sample(kind["option"], False)
    if "array" in kind:
        return bytes(kind["array"][1])
    if "vec" in kind:
        return ()
    return snake(TYPES[kind["defined"]]["variants"][0]["name"])


@pytest.mark.parametrize("name", INSTRUCTIONS)
def test_each_of_the_hundred_builds_and_parses_back(name):
    layout = INSTRUCTIONS[name]
    args = {f.name: sample(f.type, f.zeroable) for f in layout.fields}
    names = {a.name: A for a in layout.accounts if not a.is_optional}
    built = build(name, names, args)
    assert len(built.accounts) == len(names)
    assert len(build(name, {a.name: A for a in layout.accounts}, args).accounts) == len(layout.accounts)
    coder = token_program().coder.instruction
    parsed = coder.parse(bytes(built.data))
    assert (parsed.name, parsed.data) == (name, args)
    assert coder.build(parsed) == coder.encode(name, args) == bytes(built.data)


def test_keys_may_be_absent_given_as_text_or_as_keys():
    program = token_program()
    for none in (None, Pubkey.default()):
        built = program.methods["initialize_transfer_hook"].args([A, none]).accounts({"mint": B}).instruction()
        assert bytes(built.data) == bytes([36, 0]) + bytes(A) + bytes(32)
    as_text = program.methods["initialize_permanent_delegate"].args([str(A)]).accounts({"mint": B}).instruction()
    assert bytes(as_text.data) == bytes([35]) + bytes(A)
    no_one = program.methods["set_authority"].args(["pause", None]).accounts({"owned": A, "owner": B}).instruction()
    assert bytes(no_one.data) == bytes([6, 16, 0])


def test_enums_may_be_our_names_or_anchorpy_s_objects():
    program = token_program()
    types = program.type["AuthorityType"]
    method = program.methods["set_authority"].accounts({"owned": A, "owner": B})
    for value in ("account_owner", "AccountOwner", types.AccountOwner()):
        assert bytes(method.args([value, C]).instruction().data) == bytes([6, 2, 1]) + bytes(C)
    field = program.type["TokenMetadataField"]
    update = program.methods["update_token_metadata_field"].accounts({"metadata": A, "update_authority": B})
    expected = bytes(update.args([("key", "isin"), "CH1"]).instruction().data)
    for value in (field.Key("isin"), field.Key(("isin",))):
        assert bytes(update.args([value, "CH1"]).instruction().data) == expected
    assert decode(expected).args == {"field": ("key", "isin"), "value": "CH1"}


def test_a_multisig_does_not_sign_its_signers_do():
    names = {"mint": A, "token": B, "mint_authority": C}
    built = build("mint_to", names, {"amount": 1}, multisig_signers=[D, A])
    assert list(built.accounts)[2:] == [
        AccountMeta(C, False, False),
        AccountMeta(D, True, False),
        AccountMeta(A, True, False),
    ]


def test_an_optional_account_left_out_is_not_in_the_list():
    """As the official description says: ``optionalAccountStrategy`` is ``omitted``."""
    assert [m.pubkey for m in build("sync_native", {"account": A}).accounts] == [A]
    args = {"amount": 1, "decimals": 8, "new_decryptable_available_balance": bytes(36)}
    args |= {"equality_proof_instruction_offset": 1, "range_proof_instruction_offset": 2}
    names = {"token": A, "mint": B, "instructions_sysvar": C, "authority": D}
    assert [m.pubkey for m in build("confidential_withdraw", names, args).accounts] == [A, B, C, D]


def test_hook_accounts_follow_last():
    extra = AccountMeta(D, False, False)
    names = {"source": A, "mint": B, "destination": C, "authority": D}
    built = build("transfer_checked", names, {"amount": 1, "decimals": 8}, remaining=[extra])
    assert list(built.accounts)[-1] == extra


def test_parsing_an_unknown_tag_gives_a_value_and_short_data_an_error():
    coder = token_program().coder.instruction
    assert coder.parse(b"\xc8") == UnknownInstruction(b"\xc8")
    with pytest.raises(ShortData, match="mint_to: field amount"):
        coder.parse(b"\x07\x01")
    parsed = coder.parse(bytes([6, 0, 1]) + bytes(C))
    assert parsed == NamedInstruction({"authority_type": "mint_tokens", "new_authority": C}, "set_authority")


@pytest.mark.parametrize(
    ("name", "accounts", "args", "words"),
    [
        ("mint_money", {}, {}, "no instruction 'mint_money'"),
        ("pause", {"mint": A}, {}, "authority not provided"),
        ("mint_to", {"mint": A, "token": B, "mint_authority": C}, {}, "amount"),
        ("mint_to", {"mint": A, "token": B, "mint_authority": C}, {"amount": -1}, "amount"),
        ("mint_to", {"mint": A, "token": B, "mint_authority": C}, {"amount": 1, "x": 1}, "'x'"),
    ],
)
def test_what_cannot_be_built_is_refused_in_words(name, accounts, args, words):
    with pytest.raises(BadInput, match=words):
        build(name, accounts, args)


async def test_the_program_sends_nothing_itself():
    provider = token_program().provider
    for send in (provider.send, provider.simulate):
        with pytest.raises(BadInput, match="Sender"):
            await send(None)


def test_the_coder_is_public():
    assert isinstance(token_program().coder.instruction, tieout_client.TokenInstructionCoder)
