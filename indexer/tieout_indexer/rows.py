"""Values → rows of the stored tables. Their columns, and the hash of a batch's rows, are the database's own."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

import zstandard

from tieout_database.content import COLUMNS, Row
from tieout_indexer.model import BlockHeader, DecodedBlock, TransactionResult

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


def for_copy(rows: Iterable[Row], batch: int) -> list[Row]:
    """Rows as COPY takes them: the batch at the end."""
    return [(*row, batch) for row in rows]
