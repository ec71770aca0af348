"""What a file says, told apart from its bytes: a digest a record, by which evidence counts once. Pure.

A trade, a movement of custody and a loan are known by who keeps the account and their reference, a payment by its
reference: a later version of one is the same trade. Everything else is known by all that it says but for its line.
"""

import hashlib
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import msgspec

_APART_MAX = 10_000
_PLACES = frozenset({"line", "load"})
_BY_REFERENCE = {"trades": ("custodian", "reference"), "movements": ("custodian", "reference"),
                 "payments": ("reference",), "loans": ("custodian", "reference")}  # fmt: skip
_LATER = {"settlement": "in_kind", "cash_amount": None, "cash_currency": None, "wrapper": "", "escrowed": None}
"""Fields that orders and readings have had since digests are stored: what says nothing in them is as it was."""


def said_digests(kind: str, records: Iterable[Any]) -> list[bytes]:
    """Return the digests of what a file's records say, in order, each once.

    Neither the order of the records nor blanks, line ends and comments of the file make a difference. A long file
    has one digest over all of them.
    """
    digests = sorted({_digest(kind, record) for record in records})
    return digests if len(digests) <= _APART_MAX else [hashlib.sha256(b"".join(digests)).digest()]


def _digest(kind: str, record: Any) -> bytes:
    names = _BY_REFERENCE.get(kind) or [name for name in _fields(type(record)) if _counts(name, record)]
    fields = [_text(getattr(record, name)) for name in names]
    return hashlib.sha256("".join(f"{len(text)}:{text}" for text in (kind, *fields)).encode()).digest()


def _fields(kind: Any) -> tuple[str, ...]:
    """The fields of a record in their order, which msgspec's structs do not keep in their slots."""
    names: tuple[str, ...] = kind.__struct_fields__ if issubclass(kind, msgspec.Struct) else kind.__slots__
    return names


def _counts(name: str, record: Any) -> bool:
    return name not in _PLACES and not (name in _LATER and getattr(record, name) == _LATER[name])


def _text(value: Any) -> str:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    return "" if value is None else str(value)
