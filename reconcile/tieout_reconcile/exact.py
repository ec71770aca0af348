"""Exact numbers: share quantities as fractions, and their decimal text without rounding.

A token's multiplier is a binary double and a custodian's quantity a decimal number, so every
quantity here has a finite decimal expansion: ``decimal_text`` never rounds.
"""

import re
import struct
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction

U64_MAX = 2**64 - 1
INTEGER_DIGITS_MAX = 20
FRACTION_DIGITS_MAX = 18
_PLAIN = re.compile(rf"\d{{1,{INTEGER_DIGITS_MAX}}}(\.\d{{1,{FRACTION_DIGITS_MAX}}})?", re.ASCII)
_INTEGER = re.compile(rf"\d{{1,{INTEGER_DIGITS_MAX}}}", re.ASCII)
_COMMA_NUMBER = re.compile(r"[\d.,'’  ]*[,'’  ][\d.,'’  ]*")


def parse_quantity(text: str) -> Fraction:
    """Return a plain non-negative decimal number, exact. Raises ValueError saying what is wrong with it."""
    if _PLAIN.fullmatch(text):
        return Fraction(text)
    raise ValueError(_what_is_wrong(text))


def parse_signed(text: str, parse: Callable[[str], Fraction] = parse_quantity) -> Fraction:
    """Return a number that may stand below zero, as ``-5`` or in an accountant's brackets, ``(5)``."""
    if text.startswith(("-", "−")):
        return -parse(text[1:])
    if text.startswith("(") and text.endswith(")"):
        return -parse(text[1:-1])
    return parse(text)


def parse_raw(text: str) -> int:
    """Return a raw amount, a whole number up to 2**64 - 1. Raises ValueError saying what is wrong with it."""
    if _INTEGER.fullmatch(text):
        if int(text) > U64_MAX:
            raise ValueError(f"is more than the largest raw amount {U64_MAX}")
        return int(text)
    if _PLAIN.fullmatch(text):
        raise ValueError("is a fraction, but a raw amount is a whole number: give shares in the column quantity")
    raise ValueError(_what_is_wrong(text))


def _what_is_wrong(text: str) -> str:
    if not text:
        return "is empty"
    if text.startswith(("-", "−", "(")):
        return "is negative"
    if text.lower().lstrip("+") in {"nan", "inf", "infinity", "snan"}:
        return "is not a finite number"
    if _COMMA_NUMBER.fullmatch(text):
        return "has separators: write 1234.5, with no thousands separator and a point before the decimals"
    return (
        f"is not a plain decimal number of at most {INTEGER_DIGITS_MAX} digits before the point "
        f"and {FRACTION_DIGITS_MAX} after it"
    )


def f64(bits: bytes) -> Fraction | None:
    """Return the exact value of eight little-endian bytes, or None when they are no finite number."""
    (value,) = struct.unpack("<d", bits)
    return Fraction(value) if value - value == 0 else None


def decimals_of(value: Fraction) -> tuple[int, int]:
    """Return a value as an integer and its number of decimal places. Raises ValueError where there is none (1/3)."""
    twos = (value.denominator & -value.denominator).bit_length() - 1
    rest, fives = value.denominator >> twos, 0
    while rest % 5 == 0:
        rest, fives = rest // 5, fives + 1
    if rest != 1:
        raise ValueError(f"{value} has no finite decimal expansion")
    places = max(twos, fives)
    return int(value.numerator * 2 ** (places - twos) * 5 ** (places - fives)), places


def decimal_text(value: Fraction) -> str:
    """Return the finite decimal expansion, all of it. Raises ValueError where there is none (1/3)."""
    scaled, places = decimals_of(value)
    digits = str(abs(scaled)).rjust(places + 1, "0")
    text = f"{digits[:-places]}.{digits[-places:]}" if places else digits
    return f"-{text}" if value < 0 else text


def exact_decimal(value: Fraction) -> Decimal:
    """Return the value for a ``numeric`` column; Decimal(text) keeps every digit, whatever the context."""
    return Decimal(decimal_text(value))


def rounded_text(value: Fraction, places: int) -> str:
    """Return the value rounded half to even at ``places`` decimals, trailing zeros cut: for people only."""
    rounded = Fraction(round(value * 10**places), 10**places)
    text = decimal_text(rounded)
    return text if rounded == value else f"≈{text}"


def numeric(value: Fraction | None) -> Decimal | None:
    """Return a value as Postgres keeps it; None stays None. Raises as ``decimal_text``."""
    return None if value is None else exact_decimal(value)


def fraction(value: Decimal | None) -> Fraction | None:
    """Return a ``numeric`` of Postgres as a value; None stays None."""
    return None if value is None else Fraction(value)
