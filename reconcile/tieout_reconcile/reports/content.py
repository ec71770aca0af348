"""The ledger's own rows as a bundle carries them, hashed again against the chain of batches. Pure.

``tieout_database.content`` writes them. What a batch's hash covers is either shown whole or told by the digest of its
part; a part of a mint that is reported has to be shown, so that a row left out is a hash that does not fit. Of a mint
of which some transactions alone matter, those events have to be shown that may be theirs.
"""

import hashlib
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tieout_database.content import (
    COLUMNS,
    DETACHABLE,
    OF_A_MINT,
    SHOWN_IN_PART,
    SHOWN_OF_A_MINT,
    SHOWN_OF_ALL,
    Readings,
    must_show,
    parted_hash,
)
from tieout_reconcile.reports.build import Batch

_HEAD = b"batch "
_ROW = b"["


@dataclass(slots=True)
class Rows:
    """Rows by table, each by its columns and ``batch``: all of the reported mints, of others what came with them.

    ``hidden``: (table, mint) of parts told by digest. ``whole``: batches that were hashed whole, by the rule of
    before, and are shown whole.
    """

    tables: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    hidden: set[tuple[str, str]] = field(default_factory=set)
    whole: int = 0

    def __getitem__(self, table: str) -> list[dict[str, Any]]:
        return self.tables.get(table, [])


def rows_of(
    data: bytes, batches: Sequence[Batch], mints: Collection[str], named: Mapping[str, Collection[int]] | None = None
) -> Rows:
    """Return the rows of the batches, which come in the order of their chain.

    ``named``: of the mints that are shown in part the slots of which every event has to be shown. Raises ValueError,
    with the batch, for one that is not what its hash is over, or that shows too little.
    """
    found, told, named = Rows(), list(_by_batch(data)), named or {}
    wanted = _Wanted(frozenset(mints) - named.keys(), named)
    if [number for number, _ in told] != [b.batch for b in batches]:
        raise ValueError("its rows are not told batch by batch")
    for batch, (number, lines) in zip(batches, told, strict=True):
        parts = list(_parts(lines))
        parted = any(b" " in name for name, _ in parts)
        read = wanted.read(parts)
        if parted:
            _check_parts(number, parts, wanted, read)
        if batch.content_hash not in _hashes(parts, parted):
            raise ValueError(f"the rows of batch {number} are not those that its hash is over")
        found.whole += not parted
        _take(found, number, parts, mints)
    return found


def _hashes(parts: Sequence[tuple[bytes, list[bytes]]], parted: bool) -> tuple[bytes, ...]:
    """What the content's hash may be: by the rule that its parts show, by either where a batch holds nothing."""
    by_parts = parted_hash(b"".join(name + b"\n" for name, _ in parts))
    whole = hashlib.sha256(b"".join(name + b"\n" + _hashed(rows) for name, rows in parts)).digest()
    return (by_parts,) if parted else (whole,) if parts else (by_parts, whole)


def _by_batch(data: bytes) -> Iterator[tuple[int, list[bytes]]]:
    number, lines = 0, list[bytes]()
    for line in data.split(b"\n"):
        if line.startswith(_HEAD):
            if number:
                yield number, lines
            number, lines = int(line[len(_HEAD) :]), []
        elif line:
            lines.append(line)
    if number:
        yield number, lines


def _parts(lines: Sequence[bytes]) -> Iterator[tuple[bytes, list[bytes]]]:
    """The parts of a batch: the line that names each, and the rows that follow it."""
    name, rows = b"", list[bytes]()
    for line in lines:
        if line.startswith(_ROW):
            rows.append(line)
            continue
        if name:
            yield name, rows
        name, rows = line, []
    if name:
        yield name, rows


def _hashed(rows: Sequence[bytes]) -> bytes:
    return b"\n".join(rows) + b"\n"


class _Wanted:
    """What has to be shown of the batches, asked for in their order."""

    def __init__(self, whole: Collection[str], named: Mapping[str, Collection[int]]) -> None:
        self._whole, self._named, self._readings = whole, named, Readings(named)

    def read(self, parts: Sequence[tuple[bytes, list[bytes]]]) -> dict[str, list[tuple[int, int]]]:
        """Return what a batch read of the mints that are shown in part."""
        told: dict[str, list[Any]] = {"cohort_row": [], "cohort_coverage_row": [], "coverage_row": []}
        for name, rows in parts if self._named else ():
            table = name.decode().partition(" ")[0]
            if table in told:
                told[table] += [json.loads(row) for row in rows]
        return self._readings.ranges(*told.values())

    def asks_for(self, table: str, mint: str, read: Mapping[str, Sequence[tuple[int, int]]]) -> bool:
        """Whether a part has to be shown."""
        if mint in self._named:
            of_slots = table == "event_row" and must_show(read.get(mint, ()), self._named[mint])
            return of_slots or table in SHOWN_IN_PART
        return table in SHOWN_OF_ALL or (table in SHOWN_OF_A_MINT and mint in self._whole)


def _check_parts(
    number: int, parts: Sequence[tuple[bytes, list[bytes]]], wanted: _Wanted,
    read: Mapping[str, Sequence[tuple[int, int]]],
) -> None:  # fmt: skip
    for name, rows in parts:
        table, mint, digest = name.decode().split(" ")
        if rows and hashlib.sha256(_hashed(rows)).hexdigest() != digest:
            raise ValueError(f"the rows of {table} {mint} in batch {number} are not those that its hash is over")
        if not rows and wanted.asks_for(table, mint, read):
            raise ValueError(f"the rows of {table} {mint} in batch {number} are not in it")


def _take(found: Rows, number: int, parts: Sequence[tuple[bytes, list[bytes]]], mints: Collection[str]) -> None:
    for name, rows in parts:
        table, _, rest = name.decode().partition(" ")
        columns = COLUMNS[table][: len(COLUMNS[table]) - len(DETACHABLE.get(table, ()))]
        of_a_mint = table in OF_A_MINT
        if not rows:
            found.hidden.add((table, rest.partition(" ")[0]))
        for line in rows:
            row = dict(zip(columns, json.loads(line), strict=True))
            if not of_a_mint or row["mint"] in mints:
                found.tables.setdefault(table, []).append(row | {"batch": number})
            else:
                found.hidden.add((table, row["mint"]))
