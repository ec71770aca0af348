"""Dataclasses to plain JSON values and back, by their annotations; canonical bytes by RFC 8785.

Raw amounts and shares are written as text (JSON numbers lose digits beyond 2**53), instants as
ISO 8601 in UTC, bytes in hexadecimal. A field marked ``metadata={"canonical": False}`` is left out.
"""

import dataclasses
import types
from collections.abc import Callable, Mapping
from datetime import datetime
from enum import StrEnum
from fractions import Fraction
from typing import Any, NewType, TypeVar, Union, get_args, get_origin, get_type_hints

import rfc8785

from tieout_reconcile.exact import decimal_text
from tieout_reconcile.registry import instant_text

Raw = NewType("Raw", int)
"""A raw amount: an integer that JSON writes as text."""

Record = TypeVar("Record")


_known_hints: dict[Any, dict[str, Any]] = {}


def _hints(kind: Any) -> dict[str, Any]:
    if kind not in _known_hints:
        _known_hints[kind] = get_type_hints(kind)
    return _known_hints[kind]


def to_plain(record: Any) -> dict[str, Any]:
    """Return the canonical fields of a dataclass as plain JSON values."""
    hints = _hints(type(record))
    return {
        field.name: _encode(getattr(record, field.name), hints[field.name])
        for field in dataclasses.fields(record)
        if field.metadata.get("canonical", True)
    }


def from_plain(kind: type[Record], plain: Mapping[str, Any]) -> Record:
    """Return the dataclass that ``to_plain`` wrote."""
    hints = _hints(kind)
    fields = [f for f in dataclasses.fields(kind) if f.metadata.get("canonical", True)]  # type: ignore[arg-type]
    return kind(**{field.name: _decode(plain[field.name], hints[field.name]) for field in fields})


def canonical_bytes(plain: Mapping[str, Any]) -> bytes:
    """Return the one byte string of a JSON object (RFC 8785)."""
    return rfc8785.dumps(dict(plain))


def _inner(hint: Any) -> Any:
    """Strip ``| None``: the fields here are never a union of anything else."""
    if get_origin(hint) in (Union, types.UnionType):
        (hint,) = (arg for arg in get_args(hint) if arg is not type(None))
    return hint


# How a field's type is written as JSON and read back; any other type is a JSON value itself.
_CODECS: dict[Any, tuple[Callable[[Any], Any], Callable[[Any], Any]]] = {
    Raw: (str, int),
    Fraction: (decimal_text, Fraction),
    datetime: (instant_text, datetime.fromisoformat),
    bytes: (bytes.hex, bytes.fromhex),
}


def _encode(value: Any, hint: Any) -> Any:
    hint = _inner(hint)
    if value is None:
        return None
    if hint in _CODECS:
        return _CODECS[hint][0](value)
    if get_origin(hint) is tuple:
        return [_encode(item, get_args(hint)[0]) for item in value]
    return to_plain(value) if dataclasses.is_dataclass(hint) else value


def _decode(value: Any, hint: Any) -> Any:
    hint = _inner(hint)
    if value is None:
        return None
    if hint in _CODECS:
        return _CODECS[hint][1](value)
    if get_origin(hint) is tuple:
        return tuple(_decode(item, get_args(hint)[0]) for item in value)
    if not isinstance(hint, type):
        return value
    if dataclasses.is_dataclass(hint):
        return from_plain(hint, value)
    return hint(value) if issubclass(hint, StrEnum) else value
