"""Reading fields off instruction data and account data, little-endian, as Solana programs lay them out."""

import struct
from decimal import Decimal

from solders.pubkey import Pubkey


class Unreadable(Exception):
    """The bytes are not what they should be: a node shows them unparsed."""


class Reader:
    """A place in some bytes; each call takes the next field."""

    def __init__(self, data: bytes, at: int = 0) -> None:
        self.data = data
        self.at = at

    def take(self, count: int) -> bytes:
        """So many bytes."""
        if count < 0 or self.at + count > len(self.data):
            raise Unreadable
        self.at += count
        return self.data[self.at - count : self.at]

    def rest(self) -> bytes:
        """All that is left."""
        return self.take(len(self.data) - self.at)

    def number(self, size: int, *, signed: bool = False) -> int:
        """An integer of so many bytes."""
        return int.from_bytes(self.take(size), "little", signed=signed)

    def u8(self) -> int:
        """One byte."""
        return self.number(1)

    def u64(self) -> int:
        """Eight bytes."""
        return self.number(8)

    def f64(self) -> float:
        """A double."""
        return float(struct.unpack("<d", self.take(8))[0])

    def flag(self) -> bool:
        """A byte that is 0 or 1."""
        return self.u8() != 0

    def key(self) -> str:
        """An address."""
        return str(Pubkey.from_bytes(self.take(32)))

    def key_or_zero(self) -> str | None:
        """An address; all zeros stand for none."""
        raw = self.take(32)
        return None if raw == bytes(32) else str(Pubkey.from_bytes(raw))

    def tagged_key(self, tag_bytes: int = 1) -> str | None:
        """An address behind a tag: 0 none, 1 some. Instructions leave the address out when there is none."""
        tag = self.number(tag_bytes)
        if tag > 1:
            raise Unreadable
        return self.key() if tag else None

    def padded_key(self) -> str | None:
        """An address behind a four-byte tag, present in either case, as accounts have it."""
        tag, raw = self.number(4), self.take(32)
        return str(Pubkey.from_bytes(raw)) if tag == 1 else None

    def text(self, length_bytes: int = 4) -> str:
        """A length and so many bytes of UTF-8."""
        try:
            return self.take(self.number(length_bytes)).decode()
        except UnicodeDecodeError as error:
            raise Unreadable from error


def float_text(value: float) -> str:
    """A double in the shortest form that gives it back, without an exponent and without `.0`."""
    if value != value:
        return "NaN"
    if value in (float("inf"), float("-inf")):
        return "inf" if value > 0 else "-inf"
    text = f"{Decimal(repr(value)):f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
