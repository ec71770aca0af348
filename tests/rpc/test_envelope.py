"""However an answer is opened, quickly or in full, it says the same; what is no answer is never taken for one."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tieout_rpc import envelope
from tieout_rpc.envelope import opened

LARGE = envelope._LARGE_BYTES
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.sampled_from(['","id":1}', '"result":', "}"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
)
BLANKS = st.sampled_from(["", " ", "\n\t "])
ABOUT = st.sampled_from([("jsonrpc", "2.0"), ("id", 7), ("id", "a"), ("id", None)])


def read(body: bytes) -> Any:
    """What a caller makes of an answer: the error, the decoded result, or that it is unreadable."""
    try:
        result, error = opened(body)
        return error or msgspec.json.decode(result)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return "unreadable"


def read_in_full(body: bytes) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(envelope, "_LARGE_BYTES", LARGE)
        return read(body)


@pytest.fixture(autouse=True, scope="module")
def _any_size() -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(envelope, "_LARGE_BYTES", 0)
        yield


@given(value=VALUES, before=st.lists(ABOUT, max_size=2), after=st.lists(ABOUT, max_size=2), blank=BLANKS)
def test_an_answer_says_the_same_however_it_is_opened(
    value: Any, before: list[Any], after: list[Any], blank: str
) -> None:
    parts = [f"{json.dumps(k)}{blank}:{blank}{json.dumps(v)}" for k, v in [*before, ("result", value), *after]]
    body = f"{blank}{{{blank}{f'{blank},{blank}'.join(parts)}{blank}}}{blank}".encode()
    assert read(body) == read_in_full(body) == value


@given(
    value=VALUES, cut=st.integers(0, 200), put=st.sampled_from([b"", b",", b'"', b"}", b"null", b',"error":{"code":1}'])
)
def test_a_damaged_answer_is_unreadable_or_says_what_reading_it_in_full_says(value: Any, cut: int, put: bytes) -> None:
    whole = json.dumps({"jsonrpc": "2.0", "result": value, "id": 1}).encode()
    at = cut % (len(whole) + 1)
    for body in (whole[:at] + put + whole[at:], whole[:at] + put, whole[:at] + whole[at + 1 :]):
        assert read(body) in ("unreadable", read_in_full(body))


@pytest.mark.parametrize(
    "body",
    [
        b'{"jsonrpc":"2.0","error":{"code":-32007,"message":"skipped"},"id":1}',
        b'{"jsonrpc":"2.0","result":null,"error":{"code":-32007,"message":"skipped"},"id":1}',
        b'{"jsonrpc":"2.0","result":1,"result":2,"id":1}',
    ],
)
def test_an_error_is_never_taken_for_a_result(body: bytes) -> None:
    assert read(body) in ("unreadable", read_in_full(body))
