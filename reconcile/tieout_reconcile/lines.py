"""What a run says about single crossings: kept as canonical JSON in compressed chunks, read when asked for.

A run over a million orders has a million lines. As objects they take gigabytes; as text, packed, tens of
megabytes. A chunk holds the lines of ``CHUNK_LINES`` crossings in a row, counted from the first, so that runs
that say the same of them share it.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction
from typing import Any, overload

import zstandard

from tieout_reconcile.canonical import Raw, canonical_bytes, from_plain, to_plain

CHUNK_LINES = 256
_LEVEL = 1
# no text holds these bytes: in a text each quotation mark has a backslash before it
_SLOT = re.compile(rb'"slot":(\d+)')


@dataclass(frozen=True, slots=True)
class MatchLine:
    """The order behind a crossing, by which rule, with how much of it; ``refunds``: the return given back.

    ``request_id`` is the message's where the rule is ``bridge``. ``residue``: what all movements of an order in
    shares leave over by rounding down to raw units.
    """

    request_id: str | None
    rule: str
    rule_version: int
    status: str
    raw: Raw
    refunds: str | None
    residue: Fraction | None = None


@dataclass(frozen=True, slots=True)
class CrossingLine:
    """One boundary crossing with its evidence, its cause, and what of it is still owed."""

    crossing: str
    kind: str
    direction: str
    raw: Raw
    shares: Fraction | None
    at: datetime
    slot: int | None
    tx_index: int | None
    step: int | None
    child: int | None
    signature: str | None
    account: str | None
    issuer_role: str | None
    counterparty: str | None
    counterparty_role: str | None
    cause: str
    owed: Raw
    matches: tuple[MatchLine, ...]


class Chunk:
    """Some lines in a row: their canonical JSON, an array, packed; with its SHA-256 and the slots that it spans.

    ``slots`` are the least and the greatest of its crossings, of those that a transaction made.
    """

    __slots__ = ("_packed", "count", "sha256", "slots")

    def __init__(self, text: bytes, count: int) -> None:
        self._packed = zstandard.compress(text, _LEVEL)
        self.count = count
        self.sha256 = hashlib.sha256(text).digest()
        found = [int(slot) for slot in _SLOT.findall(text)]
        self.slots: tuple[int | None, int | None] = (min(found, default=None), max(found, default=None))

    def text(self) -> bytes:
        """Return the canonical JSON array."""
        return zstandard.decompress(self._packed)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Chunk) and self.sha256 == other.sha256

    def __hash__(self) -> int:
        return hash(self.sha256)


class CrossingLines(Sequence[CrossingLine]):
    """The lines of an instrument's crossings, in their order."""

    __slots__ = ("_count", "chunks")

    def __init__(self, chunks: Iterable[Chunk] = ()) -> None:
        self.chunks = tuple(chunks)
        self._count = sum(chunk.count for chunk in self.chunks)

    @classmethod
    def of_texts(cls, texts: Iterable[str]) -> "CrossingLines":
        """Return the lines of canonical JSON objects, one a crossing."""
        every = list(texts)
        starts = range(0, len(every), CHUNK_LINES)
        parts = (every[start : start + CHUNK_LINES] for start in starts)
        return cls(Chunk(f"[{','.join(part)}]".encode(), len(part)) for part in parts)

    @classmethod
    def from_json(cls, plain: Sequence[dict[str, Any]]) -> "CrossingLines":
        """Return the lines of plain values. Raises KeyError, TypeError, ValueError where they are no lines."""
        return cls.of_texts(canonical_bytes(to_plain(from_plain(CrossingLine, line))).decode() for line in plain)

    def to_json(self) -> list[dict[str, Any]]:
        """Return plain values."""
        return [line for chunk in self.chunks for line in json.loads(chunk.text())]

    def __iter__(self) -> Iterator[CrossingLine]:
        for chunk in self.chunks:
            for plain in json.loads(chunk.text()):
                yield from_plain(CrossingLine, plain)

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, place: int) -> CrossingLine: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[CrossingLine]: ...
    def __getitem__(self, place: int | slice) -> CrossingLine | Sequence[CrossingLine]:
        if isinstance(place, slice):
            return tuple(self)[place]
        number = range(self._count)[place]
        lines = json.loads(self.chunks[number // CHUNK_LINES].text())
        return from_plain(CrossingLine, lines[number % CHUNK_LINES])

    def __eq__(self, other: object) -> bool:
        return isinstance(other, CrossingLines) and self.chunks == other.chunks

    def __hash__(self) -> int:
        return hash(self.chunks)
