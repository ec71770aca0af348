"""The figures of any slot, looked up or walked, are those of a run of that slot: on generated books too."""

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import tieout_reconcile
from books import chain, papers
from books.defects import spoil
from books.making import make
from books.windows import add_windows
from tieout_database import connect
from tieout_reconcile import Coverage, CrossingLines, Run

SLOTS = 6


def figures(found: Run | Coverage) -> list[Any]:
    """All of each instrument but its crossings and its cash, which are a run's."""
    return [replace(i, crossings=CrossingLines(), cash=(), cash_legs=(), history=None) for i in found.instruments]


@pytest.mark.parametrize("seed", [2, 3, 5])
async def test_coverage_says_of_any_slot_of_a_book_what_a_run_of_it_says(dsn: str, seed: int) -> None:
    book = make(seed)
    if seed % 2:
        add_windows(book)
        spoil(book)
    db = await connect(dsn)
    try:
        written = await chain.write(db, book)
        with tempfile.TemporaryDirectory() as folder:
            await papers.Desk(Path(folder), book).hand_in(db)
        await tieout_reconcile.run(db, written.cut_off)
        first = await db.fetchval("select min(slot) from ledger.event_row")
        looked_up = 0
        for n in range(SLOTS + 1):
            slot = first + (written.cut_off - first) * n // SLOTS
            found = await tieout_reconcile.coverage(db, slot)
            assert figures(found) == figures(await tieout_reconcile.run(db, slot, keep=False)), slot
            looked_up += len(found.instruments) - len(found.walked)
        closed = await db.fetchval("select count(*) from recon.history_head")
        assert bool(looked_up) == bool(closed)
    finally:
        await db.close()
