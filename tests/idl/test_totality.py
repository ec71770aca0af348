"""Any bytes give a value or a TokenFormatError that names the place; nothing else comes out."""

import contextlib

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tieout_idl import (
    INSTRUCTIONS,
    BadValue,
    Instruction,
    ShortData,
    TokenFormatError,
    UnknownInstruction,
    UnknownName,
    decode,
    encode,
    parse_account,
    parse_mint,
)

TAGS = st.sampled_from([layout.discriminator for layout in INSTRUCTIONS.values()])

OPEN_ENDED = {n for n, layout in INSTRUCTIONS.items() if any(f.remainder for f in layout.fields)}


@settings(max_examples=2000, deadline=None)
@given(tag=TAGS | st.binary(max_size=2), rest=st.binary(max_size=120))
@example(tag=b"", rest=b"")
@example(tag=b"\x1a", rest=b"")
@example(tag=b"\xff", rest=b"\x01\xff\x00")
def test_any_instruction_data_gives_a_value_or_a_format_error(tag, rest):
    try:
        decoded = decode(tag + rest)
    except TokenFormatError:
        return
    assert isinstance(decoded, Instruction | UnknownInstruction)


@settings(max_examples=500, deadline=None)
@given(
    base=st.binary(min_size=0, max_size=200),
    padded=st.booleans(),
    entries=st.lists(st.tuples(st.integers(0, 40), st.binary(max_size=120)), max_size=4),
)
@pytest.mark.parametrize(("parse", "kind"), [(parse_mint, 1), (parse_account, 2)])
def test_any_account_data_gives_a_value_or_a_format_error(parse, kind, base, padded, entries):
    data = base
    if padded:
        tlv = b"".join(t.to_bytes(2, "little") + len(v).to_bytes(2, "little") + v for t, v in entries)
        data = base[:165].ljust(165, b"\0") + bytes([kind]) + tlv
    with contextlib.suppress(TokenFormatError):
        parse(data)


def test_an_unknown_tag_is_a_value():
    assert decode(b"\xc8\x01") == UnknownInstruction(b"\xc8\x01")
    assert decode(b"") == UnknownInstruction(b"")


def test_short_data_names_instruction_field_and_byte():
    with pytest.raises(ShortData, match=r"transfer_checked: field decimals starts at byte 9 of data that has only 9"):
        decode(bytes.fromhex("0c" + "01" + "00" * 7))


@pytest.mark.parametrize("name", [n for n, layout in INSTRUCTIONS.items() if layout.fields and n not in OPEN_ENDED])
def test_an_instruction_cut_before_its_first_field_is_short(name):
    layout = INSTRUCTIONS[name]
    with pytest.raises(ShortData, match=f"{name}: field {layout.fields[0].name} starts at byte"):
        decode(layout.discriminator)


@pytest.mark.parametrize(
    ("name", "args", "error"),
    [
        ("mint_to", {"amount": 2**64}, BadValue),
        ("mint_to", {"amount": -1}, BadValue),
        ("mint_to", {"amount": 1.5}, BadValue),
        ("mint_to", {"amount": True}, BadValue),
        ("mint_to", {"amount": "1"}, BadValue),
        ("mint_to", {}, UnknownName),
        ("mint_to", {"amount": 1, "memo": ""}, UnknownName),
        ("mint_money", {}, UnknownName),
        ("set_authority", {"authority_type": "king", "new_authority": None}, BadValue),
        ("set_authority", {"authority_type": "pause", "new_authority": "abc"}, BadValue),
        ("set_authority", {"authority_type": "pause", "new_authority": "0OIl"}, BadValue),
        ("initialize_account2", {"owner": None}, BadValue),
        ("initialize_token_metadata", {"name": "\ud800", "symbol": "", "uri": ""}, BadValue),
        ("batch", {"data": [{"number_of_accounts": 1, "data": bytes(256)}]}, BadValue),
    ],
)
def test_a_value_outside_its_type_is_refused_by_name(name, args, error):
    with pytest.raises(error, match=name):
        encode(name, args)
