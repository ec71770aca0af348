"""Mint and account state, from real bytes and from bytes laid out by hand."""

import base64
import struct

import pytest

from tieout_idl import TOKEN_2022_PROGRAM, BadValue, ShortData, base58, mint_space, parse_account, parse_mint
from tieout_idl.codec import compile_fields, decode_fields, encode_fields
from tieout_idl.table import EXTENSIONS, snake

XSTOCKS = [
    "metadata_pointer", "permanent_delegate", "default_account_state", "scaled_ui_amount_config", "pausable_config",
    "confidential_transfer_mint", "transfer_hook",
]  # fmt: skip
BY_NAME = {name: (number, fields) for number, (name, fields) in EXTENSIONS.items()}
KEY = base58.encode(bytes(range(32)))


def account_bytes(fixture):
    account = fixture["account"]
    assert account["owner"] == TOKEN_2022_PROGRAM
    return base64.b64decode(account["data"][0])


def test_a_real_mint_parses_whole(shared_json):
    data = account_bytes(shared_json("ledger/kit-token2022-accounts/spl-token-22-mint-account.json"))
    mint = parse_mint(data)
    assert mint.is_initialized
    assert data[166:].startswith(re_laid(mint.extensions))


@pytest.mark.parametrize(("name", "old"), [("mega-token", "token_group"), ("mega-token-member", "token_group_member")])
def test_real_mints_of_an_older_build_parse_but_for_its_32_bit_group_sizes(shared_json, name, old):
    """Recorded when group sizes were u32; they are u64 in the program's description and source now."""
    data = account_bytes(shared_json(f"ledger/kit-token2022-accounts/spl-token-22-mint-{name}.json"))
    with pytest.raises(ShortData, match=f"{old}: field"):
        parse_mint(data)
    tlv = without(data[166:], BY_NAME[old][0])
    mint = parse_mint(data[:166] + tlv)
    assert mint.is_initialized
    assert "unknown" not in {e.name for e in mint.extensions}
    assert re_laid(mint.extensions) == tlv


def without(tlv, dropped):
    """TLV entries but for those of one type."""
    out, offset = b"", 0
    while offset + 4 <= len(tlv):
        number, length = struct.unpack_from("<HH", tlv, offset)
        if number != dropped:
            out += tlv[offset : offset + 4 + length]
        offset += 4 + length
    return out


def test_a_real_account_with_many_extensions(shared_json):
    data = account_bytes(shared_json("ledger/kit-token2022-accounts/spl-token-22-account-mega-token.json"))
    account = parse_account(data)
    assert account.state == "initialized"
    assert [e.name for e in account.extensions][:5] == [
        "immutable_owner",
        "non_transferable_account",
        "transfer_fee_amount",
        "transfer_hook_account",
        "memo_transfer",
    ]
    assert data[166:].startswith(re_laid(account.extensions))


def test_a_fee_bearing_mint_by_its_values(shared_json):
    mint = parse_mint(account_bytes(shared_json("ledger/kit-token2022-accounts/spl-token-22-mint-account.json")))
    fee = mint.extension("transfer_fee_config").fields
    assert fee["newer_transfer_fee"]["transfer_fee_basis_points"] == 690
    assert fee["newer_transfer_fee"]["epoch"] > fee["older_transfer_fee"]["epoch"]
    assert mint.decimals == 5
    assert mint.extension("no_such_extension") is None


def re_laid(extensions):
    """The TLV bytes of parsed extensions, made again from their values."""
    out = b""
    for e in extensions:
        value = encode_fields(e.name, BY_NAME[e.name][1], e.fields)
        out += struct.pack("<HH", e.type, len(value)) + value
    return out


def live_extension(extension):
    """A jsonParsed extension of a live mint as (name, values) of ours."""
    state = {snake(k): v for k, v in extension["state"].items()}
    name = {"scaledUiAmountConfig": "scaled_ui_amount_config"}.get(
        extension["extension"], snake(extension["extension"])
    )
    if name == "default_account_state":
        state = {"state": state["account_state"]}
    if name == "scaled_ui_amount_config":
        state["multiplier"], state["new_multiplier"] = float(state["multiplier"]), float(state["new_multiplier"])
    if name == "token_metadata":
        pairs = [{"key": k, "value": v} for k, v in state["additional_metadata"]]
        state["additional_metadata"] = tuple(pairs)
    return name, state


def live_mints(shared_json):
    tslax = shared_json("ledger/xstocks-state/tslax-mint-slot448422507.json")["value"]
    several = shared_json("ledger/xstocks-state/mint-accounts-slot451966435.json")["accounts"]
    return [tslax, *several.values()]


def test_live_mints_have_the_length_and_values_that_our_layouts_give(shared_json):
    for account in live_mints(shared_json):
        info = account["data"]["parsed"]["info"]
        extensions = [live_extension(e) for e in info["extensions"]]
        tlv = b""
        for name, state in extensions:
            number, fields = BY_NAME[name]
            value = encode_fields(name, fields, state)
            tlv += struct.pack("<HH", number, len(value)) + value
            assert decode_fields(name, compile_fields(fields), value, 0) == state
        assert 166 + len(tlv) == account["space"]
        mint = parse_mint(mint_base(info) + bytes(83) + b"\x01" + tlv)
        assert [e.name for e in mint.extensions] == [name for name, _ in extensions]
        assert mint.supply == int(info["supply"])
        assert (mint.mint_authority, mint.freeze_authority) == (info["mintAuthority"], info["freezeAuthority"])


def mint_base(info):
    authority, freezer = base58.public_key(info["mintAuthority"]), base58.public_key(info["freezeAuthority"])
    tail = struct.pack("<QBB", int(info["supply"]), info["decimals"], 1)
    return struct.pack("<I", 1) + authority + tail + struct.pack("<I", 1) + freezer


def test_the_xstocks_extension_set_takes_509_bytes_at_creation():
    assert mint_space(XSTOCKS) == 509
    assert mint_space([]) == 82


@pytest.mark.parametrize(("symbol", "name", "space"), [("AAPLx", "Apple xStock", 678), ("TSLAx", "Tesla xStock", 678)])
def test_the_finished_mint_has_the_live_length(symbol, name, space):
    uri = f"https://xstocks-metadata.backed.fi/tokens/Solana/{symbol}/metadata.json"
    values = {
        "update_authority": KEY, "mint": KEY, "name": name, "symbol": symbol, "uri": uri, "additional_metadata": (),
    }  # fmt: skip
    metadata = encode_fields("token_metadata", BY_NAME["token_metadata"][1], values)
    assert mint_space(XSTOCKS) + 4 + len(metadata) == space


def classic_account(state=1, native=None):
    body = bytes(32) + bytes(range(32)) + struct.pack("<Q", 7) + bytes(36) + bytes([state])
    body += struct.pack("<IQ", native is not None, native or 0) + struct.pack("<Q", 3)
    return body + struct.pack("<I", 1) + bytes(range(32))


def test_a_classic_account_by_its_values():
    account = parse_account(classic_account(2, native=2039280))
    assert (account.owner, account.amount, account.state) == (KEY, 7, "frozen")
    assert (account.is_native, account.delegate, account.close_authority) == (2039280, None, KEY)
    assert (account.delegated_amount, account.extensions) == (3, ())


def test_an_unknown_extension_is_kept_as_bytes():
    data = bytes(165) + b"\x01" + struct.pack("<HH", 999, 3) + b"abc" + struct.pack("<HH", 9, 0)
    assert [(e.name, dict(e.fields)) for e in parse_mint(data).extensions] == [
        ("unknown", {"value": b"abc"}),
        ("non_transferable", {}),
    ]


@pytest.mark.parametrize(
    ("parse", "data", "error", "words"),
    [
        (parse_mint, bytes(81), ShortData, "at least 82 bytes, not 81"),
        (parse_account, bytes(164), ShortData, "at least 165 bytes, not 164"),
        (parse_mint, bytes(165), BadValue, "no mint"),
        (parse_mint, bytes(165) + b"\x02", BadValue, "no mint"),
        (parse_account, bytes(165) + b"\x01", BadValue, "no token account"),
        (parse_account, bytes(165) + b"\x02" + bytes(355 - 166), BadValue, "no token account"),
        (parse_mint, bytes(165) + b"\x01" + struct.pack("<HH", 12, 32) + b"x", ShortData, "1 of its 32 bytes"),
        (parse_account, classic_account(3), BadValue, "0, 1 or 2, not 3"),
    ],
)
def test_what_is_no_such_account_is_refused_in_words(parse, data, error, words):
    with pytest.raises(error, match=words):
        parse(data)
