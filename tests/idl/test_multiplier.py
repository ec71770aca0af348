"""The multiplier: bits, exact value, and the chain's state rule replayed over AAPLx's real history."""

import struct
from fractions import Fraction

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tieout_idl import (
    BadValue,
    ScaledUiAmount,
    exact_multiplier,
    multiplier_bits,
    nearest_multiplier,
    raw_from_shares,
    shares_from_raw,
)

HISTORY = "ledger/xstocks-state/aaplx-scaled-ui-multiplier-history.json"
ONE = multiplier_bits(1.0)
NORMAL = st.floats(min_value=1e-6, max_value=1e6)


def test_live_bits_and_values_agree(shared_json):
    for event in shared_json(HISTORY)["events"]:
        bits = bytes.fromhex(event["multiplierBitsHex"])
        assert nearest_multiplier(Fraction(event["multiplier"]))[0] == bits
        assert multiplier_bits(float(exact_multiplier(bits))) == bits


def test_replaying_the_history_gives_the_state_on_chain(shared_json):
    history = shared_json(HISTORY)
    first, *updates = history["events"]
    state = ScaledUiAmount(bytes.fromhex(first["multiplierBitsHex"]), 0, bytes.fromhex(first["multiplierBitsHex"]))
    for event in updates:
        new = bytes.fromhex(event["multiplierBitsHex"])
        state = state.updated(new, event["effectiveTimestampSec"], event["blockTimeSec"])
    end = history["oracle_triplet"]
    assert state.multiplier.hex() == end["multiplierBitsHex"]
    assert state.new.hex() == end["newMultiplierBitsHex"]
    assert state.effective_timestamp == end["effectiveTimestampSec"]


def test_the_stored_multiplier_is_stale_once_its_successor_applies(shared_json):
    end = shared_json(HISTORY)["oracle_triplet"]
    old, new = bytes.fromhex(end["multiplierBitsHex"]), bytes.fromhex(end["newMultiplierBitsHex"])
    state = ScaledUiAmount(old, end["effectiveTimestampSec"], new)
    assert state.at(end["effectiveTimestampSec"] - 1) == old
    assert state.at(end["effectiveTimestampSec"]) == new


@pytest.mark.parametrize(
    ("effective", "now", "current", "since"),
    [(100, 99, 1.0, 100), (100, 100, 2.0, 100), (100, 101, 2.0, 100), (-5, 0, 2.0, 0), (0, 0, 2.0, 0)],
)
def test_the_state_rule(effective, now, current, since):
    state = ScaledUiAmount(ONE, 0, ONE).updated(multiplier_bits(2.0), effective, now)
    assert state == ScaledUiAmount(multiplier_bits(current), since, multiplier_bits(2.0))


def test_an_update_keeps_the_value_that_took_effect_meanwhile():
    pending = ScaledUiAmount(ONE, 100, multiplier_bits(2.0))
    assert pending.updated(multiplier_bits(3.0), 300, 200).multiplier == multiplier_bits(2.0)
    assert pending.updated(multiplier_bits(3.0), 300, 50).multiplier == ONE


@pytest.mark.parametrize("value", [0.0, -1.0, float("inf"), float("nan"), 5e-324, 2.2250738585072009e-308])
def test_what_the_program_refuses_is_refused(value):
    with pytest.raises(BadValue):
        exact_multiplier(struct.pack("<d", value))


@pytest.mark.parametrize("bits", [b"", bytes(7), bytes(9)])
def test_a_multiplier_has_eight_bytes(bits):
    with pytest.raises(BadValue, match="8 bytes"):
        exact_multiplier(bits)


def test_the_smallest_normal_number_is_a_multiplier():
    assert exact_multiplier(struct.pack("<d", 2.2250738585072014e-308)) == Fraction(1, 2**1022)


@given(value=st.fractions(min_value=Fraction(1, 1000), max_value=1000))
def test_the_nearest_multiplier_is_off_by_half_a_step_at_most(value):
    bits, error = nearest_multiplier(value)
    assert exact_multiplier(bits) - value == error
    assert abs(error) <= value / 2**52


@given(raw=st.integers(0, 2**64 - 1), decimals=st.integers(0, 12), value=NORMAL)
def test_raw_to_shares_and_back_loses_nothing(raw, decimals, value):
    bits = multiplier_bits(value)
    assert raw_from_shares(shares_from_raw(raw, decimals, bits), decimals, bits) == (raw, 0)


@given(shares=st.fractions(min_value=0, max_value=10**9), decimals=st.integers(0, 12), value=NORMAL)
def test_shares_to_raw_rounds_down_and_returns_the_rest(shares, decimals, value):
    bits = multiplier_bits(value)
    raw, rest = raw_from_shares(shares, decimals, bits)
    assert rest >= 0
    assert shares_from_raw(raw, decimals, bits) + rest == shares
    assume(rest)
    assert shares_from_raw(raw + 1, decimals, bits) > shares


def test_a_dividend_and_a_split_by_hand():
    assert shares_from_raw(10**8, 8, multiplier_bits(10.0)) == 10
    assert shares_from_raw(8999959010, 8, ONE) == Fraction(8999959010, 10**8)
    with pytest.raises(BadValue, match="too large"):
        nearest_multiplier(Fraction(10) ** 400)
