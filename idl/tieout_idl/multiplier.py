"""ScaledUiAmount arithmetic, exact.

The chain keeps a multiplier as a binary64 number; every finite one is an exact rational, so
shares are computed with ``Fraction`` and rounded once, by whoever prints them.
State rule: ``token-2022`` processor, ScaledUiAmount (the rule since June 2025).
"""

import math
import struct
from dataclasses import dataclass
from fractions import Fraction

from tieout_idl.errors import BadValue

_MIN_NORMAL = struct.unpack("<d", (1 << 52).to_bytes(8, "little"))[0]


def exact_multiplier(bits: bytes) -> Fraction:
    """Return the exact value of eight little-endian bytes. Raises BadValue when not positive and normal."""
    if len(bits) != 8:
        raise BadValue(f"a multiplier has 8 bytes, not {len(bits)}")
    value: float = struct.unpack("<d", bits)[0]
    if not math.isfinite(value) or value < _MIN_NORMAL:
        raise BadValue(f"a multiplier is a positive, normal number, not {value!r}")
    return Fraction(value)


def multiplier_bits(value: float) -> bytes:
    """Return the eight bytes that the chain keeps for a float."""
    return struct.pack("<d", value)


def nearest_multiplier(wanted: Fraction) -> tuple[bytes, Fraction]:
    """Return ``(bits, error)``: the closest number the chain can keep, and kept minus wanted."""
    try:
        bits = multiplier_bits(float(wanted))
    except OverflowError as too_big:
        raise BadValue(f"the multiplier {wanted} is too large for the chain") from too_big
    return bits, exact_multiplier(bits) - wanted


def shares_from_raw(raw: int, decimals: int, bits: bytes) -> Fraction:
    """Return the shares that a raw amount stands for: raw x multiplier / 10^decimals, exact."""
    return exact_multiplier(bits) * Fraction(raw, 10**decimals)


def raw_from_shares(shares: Fraction, decimals: int, bits: bytes) -> tuple[int, Fraction]:
    """Return ``(raw, rest)``: the largest raw amount worth at most ``shares``, and the shares left over."""
    raw = math.floor(shares * 10**decimals / exact_multiplier(bits))
    return raw, shares - shares_from_raw(raw, decimals, bits)


@dataclass(frozen=True, slots=True)
class ScaledUiAmount:
    """A mint's multiplier state: ``multiplier`` until ``effective_timestamp`` (unix s), ``new`` from then on."""

    multiplier: bytes
    effective_timestamp: int
    new: bytes

    def at(self, timestamp: int) -> bytes:
        """The bits in force at a unix time. ``multiplier`` alone is stale once the time has passed."""
        return self.new if timestamp >= self.effective_timestamp else self.multiplier

    def updated(self, new: bytes, effective_timestamp: int, now: int) -> "ScaledUiAmount":
        """The state after UpdateMultiplier(new, effective_timestamp) in a block of time ``now``."""
        exact_multiplier(new)
        current = new if now >= effective_timestamp else self.at(now)
        return ScaledUiAmount(current, max(0, effective_timestamp), new)
