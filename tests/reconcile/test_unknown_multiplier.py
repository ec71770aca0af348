"""Where nobody can say which multiplier is in force the verdict is incomplete; a declaration settles it."""

from datetime import UTC, datetime

import pytest

from reconcile.builders import ONE, Book, at
from tieout_reconcile import Verdict

MAINNET = "5eykt4UsFv8P8NJdTREpY1vzqKqZKvdpKuc147dw2N9d"


async def scheduled_twice(book: Book, genesis: str) -> None:
    """1.5 in force from slot 30 on; in slot 40 a 2.0 is scheduled for slot 80, and 1.5 is not asserted again."""
    await book.db.execute("set session_replication_role = replica")
    await book.db.execute("update ledger.cluster_row set genesis_hash = $1", genesis)
    await book.db.execute("set session_replication_role = origin")
    await book.commit()
    await book.open_mint()
    await book.mint(10, "treasury", 100 * ONE)
    await book.transfer(11, "treasury", "ap", 10 * ONE)
    await book.multiplier(20, 1.5, 30)
    await book.multiplier(40, 2.0, 80)
    await book.track(100)
    await book.registry()
    await book.statement("15", 45)


async def test_on_a_public_cluster_it_is_incomplete_until_the_rule_is_declared(book: Book) -> None:
    await scheduled_twice(book, MAINNET)
    assert at(40) > datetime(2025, 6, 25, tzinfo=UTC)
    before, between, after = [await book.run(slot) for slot in (39, 50, 90)]
    assert [r.instruments[0].multiplier for r in (before, between, after)] == [1.5, None, 2]
    assert between.verdict is Verdict.INCOMPLETE
    assert "no multiplier is known to be in force" in between.instruments[0].reasons[0]
    assert "B12" in {f.code for f in between.findings}


@pytest.mark.parametrize(("from_slot", "in_force"), [(0, 1.5), (40, 1.5), (41, 1)])
async def test_what_is_declared_settles_it(book: Book, from_slot: int, in_force: float) -> None:
    await scheduled_twice(book, MAINNET)
    await book.db.execute(
        "insert into ledger.multiplier_rule_row values ($1, 'as announced', 'ops', now(), $2)", from_slot, book.batch
    )
    found = (await book.run(50)).instruments[0]
    assert found.multiplier == in_force
    assert found.liability == 10 * in_force


async def test_a_local_chain_needs_no_declaration(book: Book) -> None:
    await scheduled_twice(book, "a local chain's")
    assert (await book.run(50)).instruments[0].multiplier == 1.5
