"""What a batch of the ledger holds, and the hash of it: computed by who writes, audits, or carries it in a bundle.

Since migration 0025 the hash is over one line a part: the rows of one table, of one mint where the table names one,
with their SHA-256. So a part can be shown whole, and all others told by their digest. Batches of before are hashed
whole, and can only be shown whole.
"""

import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final

import asyncpg
import msgspec

from tieout_database.queries import Queries

Row = tuple[Any, ...]

COLUMNS: Final[Mapping[str, tuple[str, ...]]] = {
    "tracked_row": ("mint", "from_slot"),
    # written by older versions, a row a mint; see cohort_coverage_row
    "coverage_row": ("mint", "from_slot", "to_slot"),
    "cohort_row": ("cohort", "mint"),
    "cohort_coverage_row": ("cohort", "from_slot", "to_slot"),
    "slot_row": ("slot", "parent_slot", "blockhash", "parent_blockhash", "block_time", "transactions"),
    "event_row": (
        "slot", "block_time", "tx_index", "step", "child", "path", "signature", "program", "kind", "mint", "source",
        "source_owner", "destination", "destination_owner", "authority", "authority_role", "amount", "fee", "memo",
    ),
    "control_row": (
        "slot", "block_time", "tx_index", "step", "child", "path", "signature", "kind", "mint", "account",
        "authority", "details",
    ),
    "proof_row": ("slot", "tx_index", "mint", "status"),
    "touch_row": (
        "slot", "tx_index", "mint", "account", "decimals", "pre_amount", "post_amount", "pre_owner", "post_owner",
    ),
    "quarantine_row": ("slot", "tx_index", "step", "child", "signature", "path", "mint", "reason", "data"),
    "park_row": ("slot", "action", "reason", "at"),
    "evidence_row": ("slot", "tx_index", "encoding", "endpoint", "sha256", "body"),
    "retraction_row": ("relation", "slot", "tx_index", "step", "child", "mint", "account", "row_batch"),
    "hole_row": ("from_slot", "to_slot", "reason", "accepted_by", "at"),
    "finding_row": ("audit", "subject", "mint", "slot", "action", "expected", "found", "evidence", "at"),
    "opening_row": ("mint", "slot", "decimals", "supply", "withheld", "hidden", "accounts"),
    "listed_row": ("mint", "from_slot", "to_slot"),
    "detachment_row": ("before_slot", "files", "bytes", "manifest_sha256", "at"),
    "multiplier_rule_row": ("from_slot", "reason", "declared_by", "at"),
}  # fmt: skip
"""Stored table → its columns in the order of a row here; each table has ``batch`` after them."""

DETACHABLE: Final = {"evidence_row": ("body",)}
"""Last columns outside the batch's hash: evidence may move to files, its own sha256 stays."""

OF_A_MINT: Final = frozenset({
    "tracked_row", "coverage_row", "event_row", "control_row", "proof_row", "touch_row", "quarantine_row",
    "retraction_row", "opening_row", "listed_row",
})  # fmt: skip
"""Tables that are parted by mint; the others are one part each."""

GENESIS_PREV_HASH: Final = bytes(32)
"""The predecessor of the first batch."""

_SQL = Queries("tieout_database", "content.sql")
_ENCODER = msgspec.json.Encoder(order="deterministic")
_PARTED = b"tieout/content/2\n"
"""What a hash over parts begins with; one over whole tables begins with a table's name."""


def from_database(row: Iterable[Any]) -> Row:
    """A row as it was before it was stored: amounts come back as Decimal."""
    return tuple(int(value) if isinstance(value, Decimal) else value for value in row)


def encoded(table: str, rows: Iterable[Sequence[Any]]) -> list[bytes]:
    """The rows of a table as they are hashed: JSON arrays, sorted; none holds a line break.

    Bytes are in base64, times in ISO 8601 (UTC), the keys of details in order.
    """
    width = len(COLUMNS[table]) - len(DETACHABLE.get(table, ()))
    return sorted(_ENCODER.encode(row[:width]) for row in rows)


def lines_of(rows: Sequence[bytes]) -> bytes:
    """Encoded rows as they are hashed: one a line."""
    return b"\n".join(rows) + b"\n"


def whole_hash(tables: Mapping[str, Sequence[Row]]) -> bytes:
    """The content's hash by the rule of before 0025: SHA-256 over all tables' rows, tables in name order."""
    total = hashlib.sha256()
    for table in sorted(tables):
        if rows := encoded(table, tables[table]):
            total.update(table.encode() + b"\n" + lines_of(rows))
    return total.digest()


def parts_of(tables: Mapping[str, Sequence[Row]]) -> bytes:
    """The parts of a batch, a line each: table, mint (- where the table has none), SHA-256 of its rows."""
    lines = []
    for table in sorted(tables):
        for mint, rows in sorted(_by_mint(table, tables[table]).items()):
            lines.append(part_line(table, mint, hashlib.sha256(lines_of(encoded(table, rows))).digest()))
    return b"".join(lines)


def part_line(table: str, mint: str, digest: bytes) -> bytes:
    """One line of a batch's parts."""
    return f"{table} {mint} {digest.hex()}\n".encode()


def parted_hash(parts: bytes) -> bytes:
    """The content's hash over its parts."""
    return hashlib.sha256(_PARTED + parts).digest()


def _by_mint(table: str, rows: Sequence[Row]) -> dict[str, list[Row]]:
    if table not in OF_A_MINT:
        return {"-": list(rows)} if rows else {}
    at = COLUMNS[table].index("mint")
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(row[at], []).append(row)
    return found


def chain_hash(prev_hash: bytes, batch: int, decoder_version: str, content: bytes) -> bytes:
    """The hash of a batch: over its predecessor's hash, its number, the decoder's version, its content."""
    head = f"{batch}\n{decoder_version}\n".encode()
    return hashlib.sha256(prev_hash + head + content).digest()


async def batch_rows(db: asyncpg.Connection, batch: int) -> dict[str, list[Row]]:
    """All rows of a batch, by table."""
    tables: dict[str, list[Row]] = {}
    for table, columns in COLUMNS.items():
        rows = await db.fetch(f"select {', '.join(columns)} from ledger.{table} where batch = $1", batch)
        tables[table] = [from_database(row) for row in rows]
    return tables


async def stored_parts(db: asyncpg.Connection, batch: int) -> bytes | None:
    """The parts that were hashed for a batch; None for one that was hashed whole."""
    parts = await db.fetchval(_SQL["parts_of_batch"], batch)
    return None if parts is None else str(parts).encode()


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which rows of the ledger a bundle shows: those of some mints, and by place what belongs to no mint.

    ``slots``: of which the block's row is shown. ``evidence``: (slot, tx_index) of which the digest is.
    ``touches``: (slot, tx_index) of which the mints' balances by the node are. ``named``: of further mints the slots
    whose events alone matter, so that their rows are shown in part (``must_show``).
    """

    mints: Sequence[str]
    slots: Sequence[int]
    evidence: Sequence[tuple[int, int]]
    touches: Sequence[tuple[int, int]]
    named: Mapping[str, Collection[int]] = field(default_factory=dict)


# A bundle shows these parts of its mints whole, and of no mint; proofs and listings only by digest.
SHOWN_OF_A_MINT: Final = ("coverage_row", "control_row", "event_row", "opening_row", "quarantine_row", "retraction_row")
# Of a mint whose events matter in some slots only: all but its controls, and of its events those that must be.
SHOWN_IN_PART: Final = ("coverage_row", "opening_row", "quarantine_row", "retraction_row")
SHOWN_OF_ALL: Final = ("cohort_coverage_row", "cohort_row", "detachment_row", "finding_row", "multiplier_rule_row")


class Readings:
    """Which slots of some mints each batch read, told by the batches' own rows of coverage, taken in their order.

    The events of a slot are in the batch that read it; a batch that holds some and read nothing corrects.
    """

    def __init__(self, mints: Collection[str]) -> None:
        self._mints = set(mints)
        self._cohorts: dict[int, set[str]] = {}

    def ranges(
        self, members: Iterable[tuple[int, str]], cohorts: Iterable[tuple[int, int, int]],
        mints: Iterable[tuple[str, int, int]],
    ) -> dict[str, list[tuple[int, int]]]:  # fmt: skip
        """Return the ranges that the next batch read, by mint, from its rows (cohort, mint), (cohort, from_slot,
        to_slot) and (mint, from_slot, to_slot)."""
        found: dict[str, list[tuple[int, int]]] = {}
        for cohort, mint in members:
            if mint in self._mints:
                self._cohorts.setdefault(cohort, set()).add(mint)
        for cohort, first, last in cohorts:
            for mint in self._cohorts.get(cohort, ()):
                found.setdefault(mint, []).append((first, last))
        for mint, first, last in mints:
            if mint in self._mints:
                found.setdefault(mint, []).append((first, last))
        return found


def must_show(read: Iterable[tuple[int, int]], slots: Collection[int]) -> bool:
    """Whether a batch's events of a mint may be of these slots: it read one, or it read nothing and corrects."""
    ranges = list(read)
    return not ranges or any(first <= slot <= last for first, last in ranges for slot in slots)


async def content_of(db: asyncpg.Connection, known_batch: int, wanted: Wanted) -> bytes:
    """What the batches up to one hold, as a bundle carries it: text that a verifier hashes again.

    ``batch N`` is followed by the batch's parts; the rows of a part that is shown follow its line, and those of
    a batch that was hashed whole follow the name of their table. A row begins with ``[``, and nothing else does.
    """
    parted = {row["batch"]: row["parts"].encode() for row in await db.fetch(_SQL["parts"], known_batch)}
    shown = await _shown(db, known_batch, wanted, parted)
    out = []
    for batch in range(1, known_batch + 1):
        out.append(f"batch {batch}\n".encode())
        if batch not in parted:
            out += [
                table.encode() + b"\n" + lines_of(lines)
                for table, stored in sorted((await batch_rows(db, batch)).items())
                if (lines := encoded(table, stored))
            ]
            continue
        for line in parted[batch].splitlines(keepends=True):
            table, mint, _ = line.decode().split(" ")
            out.append(line)
            if rows := shown.get((batch, table, mint)):
                out.append(lines_of(encoded(table, rows)))
    return b"".join(out)


def _in_part(
    found: Mapping[tuple[int, str, str], Sequence[Row]],
    parted: Mapping[int, bytes],
    named: Mapping[str, Collection[int]],
) -> dict[str, list[int]]:
    """The batches whose events of each mint shown in part have to be."""
    shown: dict[str, list[int]] = {mint: [] for mint in named}
    readings = Readings(named)
    batches = {batch for batch, _, _ in found} | parted.keys()
    for batch in sorted(batches) if named else ():
        members, cohorts = (found.get((batch, table, "-"), ()) for table in ("cohort_row", "cohort_coverage_row"))
        mints = [row for mint in named for row in found.get((batch, "coverage_row", mint), ())]
        read = readings.ranges(members, cohorts, mints)
        for mint, slots in named.items():
            if f"event_row {mint} ".encode() in parted.get(batch, b"") and must_show(read.get(mint, ()), slots):
                shown[mint].append(batch)
    return shown


async def _shown(
    db: asyncpg.Connection, known_batch: int, wanted: Wanted, parted: Mapping[int, bytes]
) -> dict[tuple[int, str, str], list[Row]]:
    found: dict[tuple[int, str, str], list[Row]] = {}

    async def add(table: str, where: str, *args: Any) -> None:
        columns = COLUMNS[table][: len(COLUMNS[table]) - len(DETACHABLE.get(table, ()))]
        at = columns.index("mint") if table in OF_A_MINT else None
        query = f"select {', '.join(columns)}, batch from ledger.{table} where batch <= $1 and {where}"
        for row in await db.fetch(query, known_batch, *args):
            mint = "-" if at is None else row[at]
            found.setdefault((row["batch"], table, mint), []).append(from_database(tuple(row)[:-1]))

    mints = list(wanted.mints)
    for table in SHOWN_OF_A_MINT:
        await add(table, "mint = any($2::text[])", [*mints, *(wanted.named if table in SHOWN_IN_PART else ())])
    for table in SHOWN_OF_ALL:
        await add(table, "true")
    for mint, batches in _in_part(found, parted, wanted.named).items():
        await add("event_row", "mint = $2 and batch = any($3::bigint[])", mint, batches)
    holding = {row["batch"] for row in await db.fetch(_SQL["batches_of_slots"], list(wanted.slots), known_batch)}
    await add("slot_row", "batch = any($2::bigint[])", sorted(holding))
    places = [list(numbers) for numbers in zip(*wanted.evidence, strict=True)] or [[], []]
    holding = {row["batch"] for row in await db.fetch(_SQL["batches_of_evidence"], *places, known_batch)}
    await add("evidence_row", "batch = any($2::bigint[])", sorted(holding))
    places = [list(numbers) for numbers in zip(*wanted.touches, strict=True)] or [[], []]
    of_touches = await db.fetch(_SQL["batches_of_touches"], *places, mints, known_batch)
    for row in of_touches:
        await add("touch_row", "batch = $2 and mint = $3", row["batch"], row["mint"])
    return found
