"""A book through the whole reconciliation: what was found against what had to be, by code, stock, reference, size."""

import tempfile
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import asyncpg

import tieout_reconcile
from books import chain, papers
from books.chain import address, signature
from books.model import Book, Told

KEYED = ("tx-", "REQ-", "RED-", "MSG-", "CA-", "MV-", "TR-", "INV-", "PAY-", "LN-")
"""References of things that carry a key of their own: of these nothing may be missed, and nothing made up."""


async def reconcile(db: asyncpg.Connection, book: Book) -> tieout_reconcile.Run:
    """Write the chain, hand in the files, reconcile as of the cut-off; then take it all back.

    One transaction a book, rolled back: the next one finds the database empty, and nobody waits for a new one.
    """
    whole = db.transaction(isolation="repeatable_read")
    await whole.start()
    try:
        written = await chain.write(db, book)
        with tempfile.TemporaryDirectory() as folder:
            await papers.Desk(Path(folder), book).hand_in(db)
        return await tieout_reconcile.run(db, written.cut_off, keep=False)
    finally:
        await whole.rollback()


@dataclass
class Score:
    """How a detector did: per code what had to be found, what of it was, and what was found besides."""

    wanted: Counter[str] = field(default_factory=Counter)
    right: Counter[str] = field(default_factory=Counter)
    extra: Counter[str] = field(default_factory=Counter)
    keyed_wanted: int = 0
    keyed_right: int = 0
    missed: list[str] = field(default_factory=list)
    alarms: list[str] = field(default_factory=list)

    def add(self, other: "Score") -> None:
        """Add another book's score."""
        self.wanted += other.wanted
        self.right += other.right
        self.extra += other.extra
        self.keyed_wanted += other.keyed_wanted
        self.keyed_right += other.keyed_right
        self.missed += other.missed
        self.alarms += other.alarms

    def recall(self, code: str | None = None) -> Fraction:
        """The part of what had to be found that was."""
        return _part(self.right, self.wanted, code)

    def precision(self, code: str | None = None) -> Fraction:
        """The part of what was found that had to be."""
        return _part(self.right, self.right + self.extra, code)

    @property
    def is_perfect(self) -> bool:
        """Whether nothing was missed and nothing made up."""
        return not self.missed and not self.alarms


def _part(some: Counter[str], whole: Counter[str], code: str | None) -> Fraction:
    few, all_of_it = (some[code], whole[code]) if code else (some.total(), whole.total())
    return Fraction(few, all_of_it) if all_of_it else Fraction(1)


def score(book: Book, run: tieout_reconcile.Run) -> Score:
    """Compare a run with the book's truth. A notice must be there where one is expected, others are no alarm."""
    left = list(run.findings)
    result = Score()
    for told in sorted(book.expected(), key=lambda t: (t.about is None, t.size is None)):
        result.wanted[told.code] += 1
        keyed = told.about is not None and told.about.startswith(KEYED)
        result.keyed_wanted += keyed
        found = next((f for f in left if f.is_break is not told.notice and is_it(told, f)), None)
        if found is None:
            result.missed.append(f"seed {book.seed}: missed {told}")
        else:
            left.remove(found)
            result.right[told.code] += 1
            result.keyed_right += keyed
    for alarm in (f for f in left if f.is_break):
        result.extra[alarm.code] += 1
        result.alarms.append(f"seed {book.seed}: {alarm.code} {alarm.symbol}: {alarm.summary} (raw {alarm.raw})")
    return result


def is_it(told: Told, found: tieout_reconcile.Finding) -> bool:
    """Whether a finding is what had to be told: its code, its stock, its reference and its size."""
    if (found.code, found.symbol) != (told.code, told.symbol):
        return False
    if told.about is not None and not any(name in _words(found) for name in _names(told.about)):
        return False
    if isinstance(told.size, int):
        return found.raw is not None and abs(int(found.raw)) == told.size
    return told.size is None or (found.shares is not None and abs(abs(found.shares) - abs(told.size)) <= told.within)


def _names(about: str) -> Iterable[str]:
    return about, signature(about), address(about)


def _words(found: tieout_reconcile.Finding) -> str:
    return " ".join(map(str, (found.key, found.request_id, found.signature, *found.details.values(), found.summary)))
