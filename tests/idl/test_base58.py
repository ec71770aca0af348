"""Base58 as Solana writes it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tieout_idl import TOKEN_2022_PROGRAM, base58


@given(raw=st.binary(max_size=100))
def test_round_trip(raw):
    assert base58.decode(base58.encode(raw)) == raw


@given(zeros=st.integers(0, 40), raw=st.binary(max_size=40))
def test_leading_zeros_are_kept(zeros, raw):
    assert base58.decode(base58.encode(bytes(zeros) + raw)) == bytes(zeros) + raw


@pytest.mark.parametrize(
    ("raw", "text"),
    [(b"", ""), (b"\0", "1"), (bytes(32), "1" * 32), (b"Hello World!", "2NEpo7TZRRrLZSi2U"), (b"\0\0a", "112g")],
)
def test_known_values(raw, text):
    assert base58.encode(raw) == text
    assert base58.decode(text) == raw


def test_a_public_key_has_32_bytes():
    assert len(base58.public_key(TOKEN_2022_PROGRAM)) == 32
    with pytest.raises(ValueError, match="is 1 bytes in base 58, an address has 32"):
        base58.public_key("2")


@pytest.mark.parametrize("text", ["0", "O", "I", "l", "ab c", "é", "\ud800"])
def test_what_is_no_base58_is_refused(text):
    with pytest.raises(ValueError, match=r"base-58 letter|surrogates"):
        base58.decode(text)
