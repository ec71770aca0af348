"""What was read is committed as one row a cohort; its marks are checked; restarts and other writers keep to it."""

import asyncpg
import pytest

from support.database import query, value
from support.replay import GoldenDay, ReplayNode
from tieout_database import connect
from tieout_indexer import IndexerLimits, backfill, verify_chain
from tieout_indexer.rows import RowSet
from tieout_indexer.writer import LedgerWriter

LIMITS = IndexerLimits()
ALL, SOME = frozenset({"A", "B", "C"}), frozenset({"B", "C"})


def covered(*parts: tuple[frozenset[str], int, int]) -> RowSet:
    rows = RowSet()
    rows.covered.extend(parts)
    return rows


async def commit(dsn: str, *commits: RowSet) -> None:
    async with await LedgerWriter.open(dsn, LIMITS) as writer:
        for rows in commits:
            await writer.commit(rows)


async def test_a_cohort_is_named_once_whoever_commits_it(dsn: str) -> None:
    await commit(dsn, covered((ALL, 0, 4)), covered((ALL, 5, 9)), covered((SOME, 10, 11), (frozenset("A"), 10, 10)))
    await commit(dsn, covered((SOME, 12, 12)), covered((frozenset("D"), 0, 3)))
    async with (
        await LedgerWriter.open(dsn, LIMITS) as first,
        await LedgerWriter.open(dsn, LIMITS, beside=True) as beside,
    ):
        await first.commit(covered((frozenset("AD"), 20, 20)))
        await beside.commit(covered((frozenset("AD"), 21, 21), (frozenset("AE"), 21, 21)))
        await first.commit(covered((frozenset("AE"), 22, 22)))
        found = await beside.read_ranges(["A", "B", "D", "E", "nobody"])
    assert found == {
        "A": [(0, 10), (20, 22)], "B": [(0, 12)], "D": [(0, 3), (20, 21)], "E": [(21, 22)], "nobody": [],
    }  # fmt: skip
    members = await query(
        dsn, "select cohort, string_agg(mint, '' order by mint) as m from ledger.cohort_row group by 1"
    )
    assert {r["cohort"]: r["m"] for r in members} == {1: "ABC", 2: "BC", 3: "A", 4: "D", 5: "AD", 6: "AE"}
    assert await value(dsn, "select count(*) from ledger.cohort_coverage_row") == 10
    assert (await verify_chain(dsn))[1] == []


async def test_a_commit_that_failed_leaves_no_name_behind(dsn: str) -> None:
    async with await LedgerWriter.open(dsn, LIMITS) as writer:
        with pytest.raises(asyncpg.DivisionByZeroError):
            await writer.commit(covered((ALL, 0, 4)), ("select 1 / ($1::int - 1)", 1))
        await writer.commit(covered((SOME, 0, 4)))
        await writer.commit(covered((ALL, 5, 6)))
        assert await writer.read_ranges(["A", "B"]) == {"A": [(5, 6)], "B": [(0, 6)]}
    assert (await verify_chain(dsn))[1] == []


async def test_a_following_indexer_writes_one_row_a_commit_and_a_mark_now_and_then(
    dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tieout_indexer.writer._MARK_EVERY_BATCHES", 16)
    await commit(dsn, *(covered((ALL, slot, slot)) for slot in range(50)), covered((SOME, 60, 60)))
    assert await value(dsn, "select count(*) from ledger.cohort_coverage_row") == 51
    assert await value(dsn, "select count(*) from ledger.cohort_row") == 5
    marks = await query(dsn, "select cohort, batch, ranges::text from ledger.coverage_mark_row order by batch")
    assert [tuple(r.values()) for r in marks] == [(1, 16, "{[0,16)}"), (1, 32, "{[0,32)}"), (1, 48, "{[0,48)}")]
    assert await query(dsn, "select * from ledger.coverage_known(40) where mint = 'B'") == [
        {"mint": "B", "from_slot": 0, "to_slot": 39}
    ]
    assert await value(dsn, "select max(to_slot) from ledger.coverage where mint = 'B'") == 60


@pytest.mark.parametrize(
    ("damage", "subject"),
    [
        ("update ledger.coverage_mark_row set ranges = '{[0,99)}' where batch = 8", "mark of cohort 1 at batch 8"),
        ("delete from ledger.coverage_mark_row where (cohort, batch) = (1, 12)", "cohort 1 at batch 9"),
        ("insert into ledger.coverage_before_row values ('A', 2, '{[0,9)}')", "mark of A at batch 2"),
        ("insert into ledger.cohort_row values (1, 'Z', 3)", "cohort 1"),
    ],
)
async def test_verifying_finds_what_coverage_was_summed_up_wrongly(
    dsn: str, monkeypatch: pytest.MonkeyPatch, damage: str, subject: str
) -> None:
    monkeypatch.setattr("tieout_indexer.writer._MARK_EVERY_BATCHES", 4)
    await commit(dsn, *(covered((ALL, slot, slot)) for slot in range(11)), covered((SOME, 60, 60)))
    assert (await verify_chain(dsn))[1] == []
    connection = await connect(dsn)
    await connection.execute("set session_replication_role = replica")  # as who owns the server could
    await connection.execute(damage)
    await connection.close()
    found = (await verify_chain(dsn))[1]
    assert subject in [f.subject for f in found if f.check == "coverage"]


async def test_rows_of_an_older_version_and_new_ones_continue_each_other(day: GoldenDay, dsn: str) -> None:
    mints = list(day.mints.values())
    middle = (day.first + day.last) // 2
    async with ReplayNode(day.blocks()) as node:
        await backfill([node.url], dsn, mints, day.first, middle)
        connection = await connect(dsn)
        # what the same work looked like before there were cohorts
        await connection.execute(
            "insert into ledger.coverage_row select m.mint, r.from_slot, r.to_slot, r.batch "
            "from ledger.cohort_coverage_row r join ledger.cohort_row m using (cohort)"
        )
        await connection.execute("set session_replication_role = replica")
        await connection.execute("delete from ledger.cohort_coverage_row")
        await connection.execute("delete from ledger.cohort_row")
        await connection.close()
        asked: list[int] = []
        node.override = lambda method, params: asked.append(params[0]) if method == "getBlock" else None
        done = await backfill([node.url], dsn, mints, day.first, day.last)
    assert done.complete
    assert min(asked) > middle, "what the older version had read is not read again"
    shown = await query(dsn, "select mint, from_slot, to_slot from ledger.coverage order by mint")
    assert [tuple(r.values()) for r in shown] == [(mint, day.first, day.last) for mint in sorted(mints)]
