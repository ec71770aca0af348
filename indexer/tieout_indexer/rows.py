"""Values → rows of the stored tables, and the hash of a batch's content.

The hash is over each row's values in a fixed form, so that it can be computed again from the
tables by anyone: ``tieout db verify`` does.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

import msgspec
import zstandard

from tieout_indexer.model import BlockHeader, DecodedBlock, TransactionResult

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

_DETACHABLE: Final = {"evidence_row": ("body",)}
"""Last columns outside the batch's hash: evidence may move to files, its own sha256 stays."""
_ENCODER = msgspec.json.Encoder(order="deterministic")
# Level 1: on a transaction of JSON, level 3 takes a third longer for one percent.
_COMPRESSOR = zstandard.ZstdCompressor(level=1)


@dataclass(slots=True)
class RowSet:
    """The rows of one commit, by table."""

    tables: dict[str, list[Row]] = field(default_factory=lambda: {name: [] for name in COLUMNS})
    covered: list[tuple[frozenset[str], int, int]] = field(default_factory=list)
    """(mints, from_slot, to_slot): what was read, inclusive; the writer knows the cohort that these mints are"""

    def __getitem__(self, table: str) -> list[Row]:
        return self.tables[table]

    @property
    def empty(self) -> bool:
        """Whether there is nothing to commit."""
        return not self.covered and not any(self.tables.values())


def add_block(rows: RowSet, block: DecodedBlock, slot_known: bool, evidence_known: set[tuple[int, int]]) -> None:
    """Add a block's rows; what the ledger has of it already (read for another mint) is not written again."""
    header = block.header
    if not slot_known:
        rows["slot_row"].append(slot_row(header))
    for result in block.results:
        add_result(rows, header.slot, header.block_time, result)
        if (header.slot, result.tx_index) not in evidence_known:
            rows["evidence_row"].append(evidence_row(header.slot, result.tx_index, "json", block.endpoint, result.body))


def slot_row(header: BlockHeader) -> Row:
    """A block's own row."""
    return (
        header.slot,
        header.parent_slot,
        header.blockhash,
        header.previous_blockhash,
        header.block_time,
        header.transactions,
    )


def evidence_row(slot: int, tx_index: int, encoding: str, endpoint: str, body: bytes) -> Row:
    """A node's exact bytes as they are stored: compressed, with the hash of what they were."""
    return slot, tx_index, encoding, endpoint, hashlib.sha256(body).digest(), _COMPRESSOR.compress(body)


def add_result(rows: RowSet, slot: int, block_time: datetime | None, result: TransactionResult) -> None:
    """Add the rows of one transaction."""

    index, signature, memo = result.tx_index, result.signature, result.memo
    if result.events:
        rows["event_row"].extend([
            (
                slot, block_time, index, e.place.step, e.place.child, e.place.path, signature, e.program, e.kind,
                e.mint, e.source, e.source_owner, e.destination, e.destination_owner, e.authority, e.authority_role,
                e.amount, e.fee, memo,
            )
            for e in result.events
        ])  # fmt: skip
    if result.controls:
        rows["control_row"].extend([
            (
                slot, block_time, index, c.place.step, c.place.child, c.place.path, signature, c.kind, c.mint,
                c.account, c.authority, c.details,
            )
            for c in result.controls
        ])  # fmt: skip
    rows["touch_row"].extend(
        [
            (slot, index, t.mint, t.account, t.decimals, t.pre_amount, t.post_amount, t.pre_owner, t.post_owner)
            for t in result.touches
        ]
    )
    rows["proof_row"].extend([(slot, index, mint, status) for mint, status in sorted(result.status.items())])
    rows["quarantine_row"].extend(
        [
            (slot, index, d.place.step, d.place.child, signature, d.place.path, d.mint, d.reason, d.data)
            for d in result.doubts
        ]
    )


def from_database(row: Iterable[Any]) -> Row:
    """A row as it was before it was stored: amounts come back as Decimal."""
    return tuple(int(value) if isinstance(value, Decimal) else value for value in row)


def content_hash(tables: Mapping[str, Sequence[Row]]) -> bytes:
    """SHA-256 over the rows of one batch: tables in name order, rows as JSON arrays, sorted.

    Bytes are in base64, times in ISO 8601 (UTC), the keys of details in order.
    """
    total = hashlib.sha256()
    for table in sorted(tables):
        width = len(COLUMNS[table]) - len(_DETACHABLE.get(table, ()))
        encoded = sorted(_ENCODER.encode(row[:width]) for row in tables[table])
        if encoded:
            total.update(table.encode() + b"\n")
            total.update(b"\n".join(encoded) + b"\n")
    return total.digest()


def chain_hash(prev_hash: bytes, batch: int, decoder_version: str, content: bytes) -> bytes:
    """The hash of a batch: over its predecessor's hash, its number, the decoder's version, its content."""
    head = f"{batch}\n{decoder_version}\n".encode()
    return hashlib.sha256(prev_hash + head + content).digest()


GENESIS_PREV_HASH: Final = bytes(32)
"""The predecessor of the first batch."""


def for_copy(rows: Iterable[Row], batch: int) -> list[Row]:
    """Rows as COPY takes them: the batch at the end."""
    return [(*row, batch) for row in rows]
