"""What single fields of a file may hold, as parsers for ``Row.parsed``: each raises ValueError saying what is wrong."""

import re
from collections.abc import Mapping
from datetime import date
from fractions import Fraction

from stdnum import isin as isin_number

from tieout_idl import base58
from tieout_reconcile.exact import decimal_text, parse_quantity, parse_raw, parse_signed
from tieout_reconcile.files import Row, shown
from tieout_reconcile.registry import Instrument, Registry

# A request id is a word of a memo line: no spaces, nothing that a memo's cleaning could have changed.
_KEY = re.compile(r"[\x21-\x7e]{1,128}")
_RATIO = re.compile(r"([0-9]{1,18})/([0-9]{1,18})")
_SIGNATURE_BYTES = 64
_CURRENCY = re.compile(r"[A-Z]{3,5}")
_MONEY = re.compile(r"[A-Z][A-Z0-9]{2,9}")


def key(text: str) -> str:
    """Return a reference or an id: visible ASCII, no spaces."""
    if not _KEY.fullmatch(text):
        raise ValueError("is no id or reference: 1 to 128 visible ASCII characters, no spaces")
    return text


def request_id(text: str) -> str:
    """Return a request id."""
    if not _KEY.fullmatch(text):
        raise ValueError("is no request id: 1 to 128 visible ASCII characters, no spaces")
    return text


def address(text: str) -> str:
    """Return a base58 address of 32 bytes."""
    try:
        base58.public_key(text)
    except ValueError as bad:
        raise ValueError(f"is no address: {bad}") from None
    return text


def signature(text: str) -> str:
    """Return a base58 transaction signature."""
    if len(base58.decode(text)) != _SIGNATURE_BYTES:
        raise ValueError("is no transaction signature: 64 bytes in base 58 are wanted")
    return text


def network(text: str) -> str:
    """Return a network's name in small letters, as custodians write it."""
    return key(text).lower()


def day(text: str) -> date:
    """Return an ISO 8601 day."""
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ValueError("is no day like 2026-11-24") from None


def isin(text: str) -> str:
    """Return an ISIN, its check digit right."""
    if not isin_number.is_valid(text) or isin_number.compact(text) != text:
        raise ValueError("is no ISIN: two letters, nine letters or digits, and the check digit")
    return text


def signed(text: str) -> Fraction:
    """Return a decimal number that may stand below zero."""
    return parse_signed(text)


def ratio(text: str) -> str:
    """Return a positive ratio as text, in one form: ``10``, ``1.0025`` or ``1/3``."""
    if (parts := _RATIO.fullmatch(text)) is not None:
        if int(parts[2]) == 0 or int(parts[1]) == 0:
            raise ValueError("is no ratio above zero")
        found = Fraction(int(parts[1]), int(parts[2]))
        return f"{found.numerator}/{found.denominator}"
    found = parse_quantity(text)
    if not found:
        raise ValueError("is no ratio above zero")
    return decimal_text(found)


def part(text: str) -> Fraction:
    """Return a part of a whole, from 0 to 1."""
    found = parse_quantity(text)
    if found > 1:
        raise ValueError("is more than 1: a part of 1 is wanted, like 0.30")
    return found


def currency(text: str) -> str:
    """Return a currency's code, or a stablecoin's."""
    if not _CURRENCY.fullmatch(text):
        raise ValueError("is no currency like USD")
    return text


def money(text: str) -> str:
    """Return the code of a currency (ISO 4217) or the name of a stablecoin, as payments and cash legs give it."""
    if not _MONEY.fullmatch(text):
        raise ValueError("is no currency: write its code, or a stablecoin's name, in capital letters, like USD or USDC")
    return text


def positive(text: str) -> Fraction:
    """Return a decimal number above zero."""
    found = parse_quantity(text)
    if not found:
        raise ValueError("is 0: an amount above zero is wanted")
    return found


def positive_raw(text: str) -> int:
    """Return a raw amount above zero."""
    found = parse_raw(text)
    if not found:
        raise ValueError("is 0: nothing would be moved")
    return found


def instrument_of(row: Row, symbols: Mapping[str, Instrument]) -> Instrument | None:
    """Return the instrument that the column ``symbol`` names; a fault of the row when there is none."""
    found = symbols.get(row.get("symbol"))
    if found is None:
        row.fault(f"symbol {shown(row.get('symbol'))} is no instrument of the registry (B7 UNMAPPED_IDENTIFIER)")
    return found


def account_of(row: Row, registry: Registry) -> tuple[str, str] | None:
    """Return (custodian, account) of a row; a fault of it when the registry has no such account."""
    place = row.get("custodian"), row.get("account")
    if place not in {(c.custodian, a.account) for c in registry.custodians for a in c.accounts}:
        row.fault(f"account {shown(place[1])} at custodian {shown(place[0])} is not in the registry")
        return None
    return place


class Seen:
    """Keys that must not stand twice in one file."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._lines: dict[object, str] = {}

    def check(self, found: object, row: Row) -> None:
        """Record the key of a row; a second one is a fault of that row."""
        if found in self._lines:
            row.fault(f"{self._what} is that of {self._lines[found]} again")
        self._lines.setdefault(found, row.place)
