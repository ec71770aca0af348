"""Findings as stored rows: opened with both values, closed by the evidence that the two agree again.

A finding is known by its audit and its subject. An audit that ran whole for a mint closes what it
opened before and does not find any more; one that could not run closes nothing.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from tieout_database import Queries, marked_text
from tieout_database.content import Row
from tieout_indexer.limits import IndexerLimits
from tieout_indexer.rows import RowSet
from tieout_indexer.writer import LedgerWriter

_SQL = Queries("tieout_indexer", "findings.sql")


@dataclass(frozen=True, slots=True)
class AuditFinding:
    """Something that does not hold: where, what was expected, what was found.

    ``expected`` is the node's word or the computed value, ``found`` the ledger's. One that is not
    ``stored`` says that the audit could not be carried out.
    """

    check: str
    subject: str
    expected: str
    found: str
    mint: str | None = None
    slot: int | None = None
    stored: bool = True


@dataclass(frozen=True, slots=True)
class Audited:
    """An audit that was carried out whole, for a mint or (None) for the ledger; at a slot, where it has one."""

    check: str
    mint: str | None = None
    slot: int | None = None
    subject: str | None = None
    """one subject only; None: all of them"""

    def covers(self, check: str, mint: str | None, subject: str) -> bool:
        """Whether an open finding would have been found again."""
        return (self.check, self.mint) == (check, mint) and self.subject in {None, subject}


async def finding_rows(
    writer: LedgerWriter, found: Sequence[AuditFinding], audited: Iterable[Audited], text_characters_max: int
) -> list[Row]:
    """The rows that bring the stored findings up to date with what was found; none where nothing changed."""
    standing = {(r["audit"], r["subject"]): r for r in await writer.fetch_rows(_SQL["open"])}
    now, rows, again = datetime.now(UTC), [], set()
    for finding in found:
        key = (finding.check, finding.subject)
        if not finding.stored or key in again:
            continue
        again.add(key)
        expected, said = (marked_text(t, text_characters_max) for t in (finding.expected, finding.found))
        known = standing.get(key)
        if known is None or (known["expected"], known["found"]) != (expected, said):
            rows.append((*key, finding.mint, finding.slot, "open", expected, said, "", now))
    scopes = list(audited)
    for key, row in standing.items():
        by = next((a for a in scopes if a.covers(row["audit"], row["mint"], row["subject"])), None)
        if key not in again and by is not None:
            where = f"at slot {by.slot}" if by.slot is not None else "over the whole ledger"
            values = (row["expected"], row["found"], f"the audit ran again {where} and both agree", now)
            rows.append((*key, row["mint"], by.slot, "close", *values))
    return rows


async def store_findings(
    dsn: str, found: Sequence[AuditFinding], audited: Sequence[Audited], limits: IndexerLimits | None = None
) -> int | None:
    """Store what changed, beside a running indexer; returns the batch, None when nothing did."""
    limits = limits or IndexerLimits()
    async with await LedgerWriter.open(dsn, limits, beside=True) as writer:
        rows = RowSet()
        rows["finding_row"].extend(await finding_rows(writer, found, audited, limits.text_characters_max))
        return await writer.commit(rows)
