"""Mint and token account state: the base layouts and the TLV extensions behind them.

A mint's base is 82 bytes, an account's 165; with extensions both are padded to 165, byte 165
tells which (1 mint, 2 account), and entries ``type u16 | length u16 | value`` follow from 166.
"""

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tieout_idl import base58
from tieout_idl.codec import compile_fields, decode_fields
from tieout_idl.errors import BadValue, ShortData
from tieout_idl.table import EXTENSIONS

MINT_BASE = 82
ACCOUNT_BASE = 165
MULTISIG_LENGTH = 355
_TYPE_MINT = 1
_TYPE_ACCOUNT = 2
_STATES = ("uninitialized", "initialized", "frozen")
_TLV_HEADER = 4
_EXTENSIONS = {kind: (name, compile_fields(fields)) for kind, (name, fields) in EXTENSIONS.items()}


@dataclass(frozen=True, slots=True)
class Extension:
    """One TLV entry; ``name`` is ``unknown`` and ``fields`` hold only ``value`` where the type is not in the table."""

    type: int
    name: str
    fields: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Mint:
    """A mint account. Keys are base58, None where not set; ``supply`` is raw."""

    mint_authority: str | None
    supply: int
    decimals: int
    is_initialized: bool
    freeze_authority: str | None
    extensions: tuple[Extension, ...]

    def extension(self, name: str) -> Extension | None:
        """Return the extension of that name, or None."""
        return next((e for e in self.extensions if e.name == name), None)


@dataclass(frozen=True, slots=True)
class TokenAccount:
    """A token account. ``amount`` is raw; ``state`` is uninitialized, initialized or frozen."""

    mint: str
    owner: str
    amount: int
    delegate: str | None
    state: str
    is_native: int | None
    delegated_amount: int
    close_authority: str | None
    extensions: tuple[Extension, ...]


def _coption_key(data: bytes, offset: int) -> str | None:
    tag = struct.unpack_from("<I", data, offset)[0]
    return base58.encode(data[offset + 4 : offset + 36]) if tag else None


def parse_extensions(data: bytes) -> tuple[Extension, ...]:
    """Parse TLV entries. Raises ShortData when an entry runs past the end."""
    found, offset = [], 0
    while offset + _TLV_HEADER <= len(data):
        kind, length = struct.unpack_from("<HH", data, offset)
        if kind == 0:
            break
        value = data[offset + _TLV_HEADER : offset + _TLV_HEADER + length]
        if len(value) < length:
            raise ShortData(f"extension {kind} at byte {offset} has {len(value)} of its {length} bytes")
        name, fields = _EXTENSIONS.get(kind, ("unknown", None))
        parsed = {"value": value} if fields is None else decode_fields(name, fields, value, 0)
        found.append(Extension(kind, name, parsed))
        offset += _TLV_HEADER + length
    return tuple(found)


def _tlv(what: str, data: bytes, base: int, expected_type: int) -> tuple[Extension, ...]:
    if len(data) < base:
        raise ShortData(f"a {what} has at least {base} bytes, not {len(data)}")
    if len(data) == base:
        return ()
    if len(data) <= ACCOUNT_BASE or data[ACCOUNT_BASE] != expected_type or len(data) == MULTISIG_LENGTH:
        raise BadValue(f"these {len(data)} bytes are no {what}")
    return parse_extensions(data[ACCOUNT_BASE + 1 :])


def parse_mint(data: bytes) -> Mint:
    """Parse a mint of either token program. Raises ShortData or BadValue."""
    extensions = _tlv("mint", data, MINT_BASE, _TYPE_MINT)
    supply, decimals, initialized = struct.unpack_from("<QBB", data, 36)
    return Mint(_coption_key(data, 0), supply, decimals, bool(initialized), _coption_key(data, 46), extensions)


def parse_account(data: bytes) -> TokenAccount:
    """Parse a token account of either token program. Raises ShortData or BadValue."""
    extensions = _tlv("token account", data, ACCOUNT_BASE, _TYPE_ACCOUNT)
    native_tag, native, delegated = struct.unpack_from("<IQQ", data, 109)
    if data[108] >= len(_STATES):
        raise BadValue(f"a token account's state is 0, 1 or 2, not {data[108]}")
    return TokenAccount(
        mint=base58.encode(data[0:32]),
        owner=base58.encode(data[32:64]),
        amount=struct.unpack_from("<Q", data, 64)[0],
        delegate=_coption_key(data, 72),
        state=_STATES[data[108]],
        is_native=native if native_tag else None,
        delegated_amount=delegated,
        close_authority=_coption_key(data, 129),
        extensions=extensions,
    )


_FIXED_LENGTHS = {
    "u8": 1, "bool": 1, "u16": 2, "i16": 2, "u32": 4, "u64": 8, "i64": 8, "f64": 8, "publicKey": 32,
}  # fmt: skip


def mint_space(extension_names: list[str]) -> int:
    """Return the bytes of a mint with these fixed-length extensions (metadata grows it afterwards)."""
    by_name = dict(EXTENSIONS.values())
    total = ACCOUNT_BASE + 1
    for name in extension_names:
        total += _TLV_HEADER + sum(_length(f.type) for f in by_name[name])
    return total if extension_names else MINT_BASE


def _length(kind: Any) -> int:
    if isinstance(kind, str):
        return _FIXED_LENGTHS[kind]
    if "array" in kind:
        return int(kind["array"][1])
    if kind.get("defined") == "AccountState":
        return 1
    if kind.get("defined") == "TransferFee":
        return 18
    raise BadValue(f"{kind} has no fixed length")
