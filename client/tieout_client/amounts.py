"""Amounts: shares as people write them, raw units as the chain keeps them.

A share is what the holder is entitled to: ``shares = raw x multiplier / 10^decimals``, with the
multiplier in force at the time meant. Raw is a u64. Everything here is exact (``Fraction``);
what does not come out whole is rounded down once, and the rest is returned, not lost.
"""

import re
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from tieout_client.errors import BadInput
from tieout_idl import TokenFormatError, nearest_multiplier, raw_from_shares, shares_from_raw

RAW_MAX = 2**64 - 1
UNIT_MULTIPLIER = bytes.fromhex("000000000000f03f")
"""The eight bytes of 1.0, the multiplier of a mint without the ScaledUiAmount extension."""

MultiplierValue = str | Decimal | Fraction | float
"""A multiplier as a person or a calculation gives it; text may be a ratio, ``10/1``."""

_DECIMAL = re.compile(r"[0-9]{1,40}(\.[0-9]{1,40})?")
_WHOLE = re.compile(r"[0-9]{1,20}")


@dataclass(frozen=True, slots=True)
class RawAmount:
    """``raw`` units, the ``shares`` that they stand for, and the ``rest`` of the shares asked for (0 when exact)."""

    raw: int
    shares: Fraction
    rest: Fraction


def parse_shares(text: str) -> Fraction:
    """Return a decimal number of shares, ``250.5``, exactly. Raises BadInput."""
    if not _DECIMAL.fullmatch(text):
        raise BadInput(f"{text[:60]!r} is no number of shares: write digits, with a point if need be, such as 250.5")
    return Fraction(text)


def parse_raw(text: str) -> int:
    """Return a raw amount written in digits. Raises BadInput."""
    if not _WHOLE.fullmatch(text):
        raise BadInput(f"{text[:60]!r} is no raw amount: write whole units, digits alone, such as 25050000000")
    return check_raw(int(text))


def check_raw(raw: int, *, zero: bool = True) -> int:
    """Return ``raw`` when it is a u64 (and above zero unless ``zero``). Raises BadInput."""
    if isinstance(raw, bool) or not isinstance(raw, int):
        raise BadInput(f"a raw amount is a whole number, not {raw!r}: turn shares into raw units with shares_to_raw")
    if not (0 if zero else 1) <= raw <= RAW_MAX:
        raise BadInput(f"a raw amount is {0 if zero else 1} to {RAW_MAX}, not {raw}")
    return raw


def shares_to_raw(
    shares: str | Fraction, decimals: int, bits: bytes = UNIT_MULTIPLIER, *, exact: bool = False
) -> RawAmount:
    """Return the largest raw amount worth at most ``shares`` at the multiplier of these eight bytes.

    With ``exact``, shares that are no whole number of raw units are refused instead of rounded
    down. Raises BadInput.
    """
    wanted = parse_shares(shares) if isinstance(shares, str) else shares
    raw, rest = raw_from_shares(wanted, decimals, bits)
    if exact and rest:
        raise BadInput(
            f"{shares} shares are no whole number of raw units at this multiplier: "
            f"{raw} raw are {show_shares(raw, decimals, bits, places=decimals + 4)} shares"
        )
    return RawAmount(check_raw(raw), wanted - rest, rest)


def show_shares(raw: int, decimals: int, bits: bytes = UNIT_MULTIPLIER, *, places: int | None = None) -> str:
    """Return a raw amount in shares with ``places`` decimals (the mint's by default), rounded half to even."""
    digits = decimals if places is None else places
    scaled = round(shares_from_raw(raw, decimals, bits) * 10**digits)
    return f"{Decimal(scaled).scaleb(-digits):f}"


def multiplier_bits_for(value: MultiplierValue) -> tuple[bytes, Fraction]:
    """Return ``(bits, error)``: what the chain will keep for a multiplier, and kept minus wanted.

    A text is a decimal or a ratio, ``1.0032690125398187`` or ``10/1``. Raises BadInput.
    """
    try:
        return nearest_multiplier(Fraction(value))
    except (TokenFormatError, ValueError, TypeError, ArithmeticError) as bad:
        raise BadInput(f"{value!r} is no multiplier: a positive number or ratio is needed, such as 1.0051") from bad
