"""The small pure parts: amounts, memos, key files, addresses."""

import json
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from solders.keypair import Keypair

from tieout_client import (
    Authorities,
    BadInput,
    check_raw,
    load_keypair,
    multiplier_bits_for,
    parse_memo,
    parse_raw,
    parse_shares,
    request_memo,
    shares_to_raw,
    show_shares,
    write_keypair,
)
from tieout_client.keys import address
from tieout_client.memo import memo_instruction

AAPLX_BITS = bytes.fromhex("052edfce630df03f")
REQUEST_IDS = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=64)


def test_shares_at_a_multiplier_of_one():
    assert shares_to_raw("250.5", 8).raw == 25_050_000_000
    assert shares_to_raw("0.00000001", 8, exact=True).raw == 1
    assert show_shares(25_050_000_000, 8) == "250.50000000"


def test_shares_at_a_live_multiplier_round_down_and_keep_the_rest():
    amount = shares_to_raw("250.5", 8, AAPLX_BITS)
    assert amount.raw == 24_968_378_059
    assert amount.shares + amount.rest == Fraction("250.5")
    assert 0 < amount.rest < Fraction(2, 10**8)
    assert show_shares(amount.raw, 8, AAPLX_BITS, places=4) == "250.5000"


def test_exact_refuses_what_does_not_come_out_whole():
    with pytest.raises(BadInput, match="no whole number of raw units"):
        shares_to_raw("250.5", 8, AAPLX_BITS, exact=True)
    with pytest.raises(BadInput, match="no whole number of raw units"):
        shares_to_raw("0.000000001", 8, exact=True)
    assert shares_to_raw("1", 8, multiplier_bits_for("10/1")[0], exact=True).raw == 10**7


def test_half_a_digit_rounds_to_even_once():
    assert show_shares(25, 2, places=1) == "0.2"
    assert show_shares(35, 2, places=1) == "0.4"
    assert show_shares(2**64 - 1, 0) == "18446744073709551615"


@pytest.mark.parametrize(
    "text", ["", "-1", "+1", "1e3", "1,5", "1_000", ".5", "5.", "nan", "1/3", " 1", "١", "9" * 41, "1.2.3"]
)
def test_what_is_no_number_of_shares_is_refused(text):
    with pytest.raises(BadInput, match="no number of shares"):
        parse_shares(text)


@pytest.mark.parametrize("text", ["", "-1", "1.0", "1e3", "x", "9" * 21])
def test_what_is_no_raw_amount_is_refused(text):
    with pytest.raises(BadInput):
        parse_raw(text)


@pytest.mark.parametrize("raw", [-1, 2**64, 1.0, True, "1", None])
def test_a_raw_amount_is_a_u64(raw):
    with pytest.raises(BadInput, match="raw amount"):
        check_raw(raw)


def test_zero_is_an_amount_where_it_is_allowed():
    assert check_raw(0) == 0
    with pytest.raises(BadInput, match="is 1 to"):
        check_raw(0, zero=False)


def test_more_shares_than_fit_are_refused():
    with pytest.raises(BadInput, match="18446744073709551615"):
        shares_to_raw("184467440737.09551616", 8)


@given(raw=st.integers(0, 2**64 - 1), decimals=st.integers(0, 12))
def test_shown_shares_read_back_as_the_same_raw(raw, decimals):
    assert shares_to_raw(show_shares(raw, decimals), decimals, exact=True).raw == raw


def test_a_multiplier_says_how_far_the_chain_s_number_is_off():
    assert multiplier_bits_for("1.0032690125398187")[0] == AAPLX_BITS
    _, error = multiplier_bits_for("1.0032690125398187")
    assert abs(error) < Fraction(1, 2**52)
    assert multiplier_bits_for(10) == (multiplier_bits_for("10/1")[0], 0)
    assert multiplier_bits_for(0.5)[1] == 0


@pytest.mark.parametrize("value", ["", "x", "0", "-1", "1/0", float("nan"), float("inf"), None, "1e400", "1e-400"])
def test_what_is_no_multiplier_is_refused(value):
    with pytest.raises(BadInput, match="no multiplier"):
        multiplier_bits_for(value)


@given(request_id=REQUEST_IDS)
def test_memos_read_back(request_id):
    memo = request_memo("issue", request_id)
    assert str(memo) == f"tieout/1 issue {request_id}"
    assert parse_memo(str(memo)) == memo


@pytest.mark.parametrize("request_id", ["", "a b", "a" * 65, "a\n", "é", "\0", "\x1b[2J", "\ud800", "a\u202eb"])
def test_what_is_no_request_id_is_refused(request_id):
    with pytest.raises(BadInput, match="no request id"):
        request_memo("issue", request_id)


@pytest.mark.parametrize(
    "text",
    ["", "itn:req-1", "tieout/1 issue", "tieout/2 issue a", "tieout/1 gift a", "tieout/1 issue a b", "tieout/1  a",
     "tieout/1 issue a\0", "\ud800", "tieout/1 issue " + "a" * 65],
)  # fmt: skip
def test_other_memos_are_none_of_ours(text):
    assert parse_memo(text) is None


def test_a_memo_is_one_instruction_without_accounts():
    built = memo_instruction(request_memo("redeem", "r-1"))
    assert bytes(built.data) == b"tieout/1 redeem r-1"
    assert list(built.accounts) == []
    for text in ("", "x" * 567, "\ud800"):
        with pytest.raises(BadInput, match="a memo"):
            memo_instruction(text)


def test_key_files_are_those_of_solana_keygen(tmp_path):
    key, file = Keypair(), tmp_path / "id.json"
    file.write_text(json.dumps(list(bytes(key))))
    file.chmod(0o604)
    with pytest.raises(BadInput, match=r"can be read by everybody on this machine: chmod 600 .*id\.json"):
        load_keypair(file)
    file.chmod(0o600)
    assert load_keypair(file) == key
    again = tmp_path / "again.json"
    write_keypair(again, key)
    assert again.stat().st_mode & 0o777 == 0o600
    assert load_keypair(str(again)) == key
    with pytest.raises(BadInput, match=r"again\.json"):
        write_keypair(again, Keypair())
    assert load_keypair(again) == key


BROKEN = {
    "empty": "",
    "text": "not json 5",
    "short": json.dumps([7] * 63),
    "large": json.dumps([256] + [7] * 63),
    "floats": json.dumps([7.5] * 64),
    "booleans": json.dumps([True] * 64),
    "object": json.dumps({"key": [7] * 64}),
    "deep": "[" * 3000,
    "mismatch": json.dumps([7] * 64),
    "binary": "\udcff",
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_key_file_is_named_and_never_shown(tmp_path, kind):
    file = tmp_path / "broken.json"
    file.write_text(BROKEN[kind], errors="surrogateescape")
    file.chmod(0o600)
    with pytest.raises(BadInput, match=r"broken\.json") as refused:
        load_keypair(file)
    assert "7, 7" not in str(refused.value)
    assert refused.value.__cause__ is None


def test_a_missing_key_file_is_named(tmp_path):
    with pytest.raises(BadInput, match=r"none\.json: No such file"):
        load_keypair(tmp_path / "none.json")
    with pytest.raises(BadInput, match="cannot read"):
        load_keypair(tmp_path)


@pytest.mark.parametrize("value", ["", "abc", "0" * 44, "1" * 31, "é", "\ud800", "1" * 100, None, 5])
def test_what_is_no_address_is_refused(value):
    with pytest.raises(BadInput, match="is no mint"):
        address(value, "mint")


def test_authorities_default_to_one_key():
    one, two = Keypair(), Keypair()
    assert Authorities.of(one).treasury is one
    roles = Authorities.of(one, freeze_authority=two)
    assert (roles.pause_authority, roles.freeze_authority, roles.permanent_delegate) == (two, two, one)
