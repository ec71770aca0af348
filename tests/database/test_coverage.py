"""What was read, told of cohorts and summed up by marks, is what it would be with one row a mint and commit."""

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import asyncpg
import pytest

from database.rows import MINT, Rows
from support.database import query
from tieout_database import connect, create_roles, load_migrations

Ranges = list[tuple[int, int]]
MINTS = ("K", "M", "N", "a")
UPGRADE = "0019_ledger_cohorts.sql"


@dataclass
class Plain:
    """The same told naively: (batch, mint, first, last), and who is in which cohort."""

    rows: list[tuple[int, str, int, int]] = field(default_factory=list)
    cohorts: dict[int, tuple[str, ...]] = field(default_factory=dict)

    def read(self, mint: str, known_batch: int) -> Ranges:
        slots = {s for b, m, first, last in self.rows if m == mint and b <= known_batch for s in range(first, last + 1)}
        return list(merged(sorted(slots)))


def merged(slots: list[int]) -> Iterator[tuple[int, int]]:
    start: int | None = None
    for number, slot in enumerate(slots):
        start = slot if start is None else start
        if number + 1 == len(slots) or slots[number + 1] != slot + 1:
            yield start, slot
            start = None


async def write_batch(rows: Rows, plain: Plain, dice: random.Random, batch: int) -> None:
    await rows.add("batch_row", batch=batch)
    for _ in range(dice.choice([0, 1, 1, 1, 2])):
        first = dice.randint(0, 60)
        last = first + dice.randint(0, 12)
        if dice.random() < 0.2:  # an older version at work
            mint = dice.choice(MINTS)
            told: dict[str, Any] = {"from_slot": first, "to_slot": last, "batch": batch}
            await rows.db.execute(
                "insert into ledger.coverage_row values ($1, $2, $3, $4) on conflict do nothing", mint, *told.values()
            )
            plain.rows.append((batch, mint, first, last))
            continue
        cohort = await cohort_of(rows, plain, tuple(sorted(dice.sample(MINTS, dice.randint(1, 4)))), batch)
        await rows.db.execute(
            "insert into ledger.cohort_coverage_row values ($1, $2, $3, $4) on conflict do nothing",
            cohort, first, last, batch,
        )  # fmt: skip
        plain.rows.extend((batch, mint, first, last) for mint in plain.cohorts[cohort])
    if dice.random() < 0.2:
        await rows.db.execute("select ledger.mark_coverage($1)", batch)


async def cohort_of(rows: Rows, plain: Plain, mints: tuple[str, ...], batch: int) -> int:
    for cohort, members in plain.cohorts.items():
        if members == mints:
            return cohort
    cohort = len(plain.cohorts) + 1
    for mint in mints:
        await rows.add("cohort_row", cohort=cohort, mint=mint, batch=batch)
    plain.cohorts[cohort] = mints
    return cohort


async def read(rows: Rows, known_batch: int | None, mints: list[str] | None = None) -> dict[str, Ranges]:
    found = await rows.fetch("select * from ledger.read_known($1, $2)", mints, known_batch)
    return {r["mint"]: [(x.lower, x.upper - 1) for x in r["ranges"]] for r in found}


@pytest.mark.parametrize("seed", range(3))
async def test_rows_of_mints_and_cohorts_and_marks_say_at_every_batch_what_plain_rows_say(
    rows: Rows, seed: int
) -> None:
    dice, plain = random.Random(seed), Plain()
    for batch in range(1, 41):
        await write_batch(rows, plain, dice, batch)
    assert await rows.value("select count(*) from ledger.coverage_mark_row") > 4
    for known in range(41):
        wanted = {mint: ranges for mint in MINTS if (ranges := plain.read(mint, known))}
        assert await read(rows, known) == wanted
        assert await read(rows, known, ["M", "nobody", "M"]) == {m: r for m, r in wanted.items() if m == "M"}
        shown = await rows.fetch("select * from ledger.coverage_known($1)", known)
        assert [(r["mint"], (r["from_slot"], r["to_slot"])) for r in shown] == [
            (mint, each) for mint, ranges in sorted(wanted.items()) for each in ranges
        ]
    assert await read(rows, None) == await read(rows, 40)


async def test_every_reader_reads_cohorts(rows: Rows) -> None:
    await rows.batches(3)
    await rows.add("tracked_row", from_slot=5)
    await rows.add("control_row", kind="mint_open", slot=3, details={"decimals": 8})
    await rows.add("event_row", kind="mint", source="issuance", destination="a", amount=7, slot=4)
    await rows.add("cohort_row", cohort=1)
    await rows.add("cohort_coverage_row", from_slot=2, to_slot=9, batch=2)
    await rows.add("listed_row", from_slot=8, to_slot=12)
    assert await rows.fetch("select from_slot, opening from ledger.tracked") == [{"from_slot": 2, "opening": "genesis"}]
    assert await rows.fetch("select from_slot, to_slot from ledger.listed") == [{"from_slot": 10, "to_slot": 12}]
    assert await rows.value("select ledger.is_known('M')") is False, "something beyond was listed"
    assert await rows.value("select ledger.supply_at('M', 9)") == 7
    assert await rows.value("select ledger.supply_at('M', 9, 1)") is None, "not read yet at batch 1"
    assert await rows.value("select ledger.supply_at('M', 10)") is None
    await rows.add("cohort_coverage_row", from_slot=10, to_slot=12, batch=3)
    assert await rows.value("select ledger.is_known('M')") is True
    assert await rows.value("select covered_to from ledger.mint_states_known(array['M'], 9, 3)") == 12
    assert await rows.value("select covered_to from ledger.mint_states_known(array['M'], 9, 2)") == 9


async def test_a_quarantine_cuts_one_mint_of_a_cohort(rows: Rows) -> None:
    await rows.batches(1)
    for mint in ("M", "N"):
        await rows.add("cohort_row", mint=mint)
    await rows.add("cohort_coverage_row")
    await rows.add("quarantine_row", slot=4, batch=2)
    shown = await rows.fetch("select mint, from_slot, to_slot from ledger.coverage")
    assert [tuple(r.values()) for r in shown] == [("M", 0, 3), ("N", 0, 9)]


async def test_a_database_of_the_version_before_is_summed_up_and_says_the_same(
    empty_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = await connect(empty_dsn)
    rows = Rows(connection)
    try:
        for migration in load_migrations():
            if migration.name == UPGRADE:
                await rows.batches(5)
                for batch, (mint, first, last) in enumerate(
                    [("M", 0, 4), ("N", 0, 4), ("M", 5, 9), ("M", 20, 30), ("N", 20, 21)], 1
                ):
                    await rows.add("coverage_row", mint=mint, from_slot=first, to_slot=last, batch=batch)
                before = [await rows.fetch("select * from ledger.coverage_known($1)", k) for k in (None, 0, 2, 3, 5)]
            await connection.execute(migration.sql)
        after = [await rows.fetch("select * from ledger.coverage_known($1)", k) for k in (None, 0, 2, 3, 5)]
        assert after == before
        assert await rows.value("select count(*) from ledger.coverage_before_row where batch = 5") == 2
        # an older indexer that still runs, then a newer one
        await rows.add("coverage_row", from_slot=10, to_slot=12, batch=6)
        await rows.add("cohort_row", cohort=1, batch=5)
        await rows.add("cohort_coverage_row", from_slot=13, to_slot=19, batch=7)
        assert (await read(rows, None))["M"] == [(0, 30)]
        assert (await read(rows, 5))["M"] == [(0, 9), (20, 30)]
    finally:
        await connection.close()


@pytest.fixture
async def many(rows: Rows) -> Rows:
    """Three thousand commits of three cohorts, marked as the indexer marks them, and as many old rows."""
    await rows.db.execute(
        "insert into ledger.batch_row select n, now(), 1, 't', $1, $1, $1 from generate_series(1, 3000) n", bytes(32)
    )
    await rows.db.execute(
        "insert into ledger.cohort_row select c, 'mint' || m, c from generate_series(1, 3) c, generate_series(c, 50) m"
    )
    for first in range(1, 3_001, 256):
        await rows.db.execute(
            "insert into ledger.cohort_coverage_row select 1 + n % 3, n, n, n from generate_series($1::int, $2::int) n",
            first, min(first + 255, 3_000),
        )  # fmt: skip
        if first + 255 <= 3_000:
            await rows.db.execute("select ledger.mark_coverage($1)", first + 255)
    await rows.db.execute(
        "insert into ledger.coverage_row select 'mint' || n % 50, n, n, 1 from generate_series(1, 3000) n"
    )
    await rows.db.execute(
        "insert into ledger.coverage_before_row select mint, 1, range_agg(int8range(from_slot, to_slot, '[]')) "
        "from ledger.coverage_row group by mint"
    )
    await rows.db.execute("analyze")
    return rows


@pytest.mark.parametrize("mints", [None, ["mint7"]])
@pytest.mark.parametrize("known_batch", [None, 2_900, 1_500])
async def test_reading_goes_by_indexes_through_no_more_than_what_came_since_the_marks(
    many: Rows, mints: list[str] | None, known_batch: int | None
) -> None:
    body = await many.value("select prosrc from pg_proc where proname = 'read_known'")
    await many.db.execute("set plan_cache_mode = force_generic_plan")  # as within a function
    statement = await many.db.prepare(f"explain (analyze, costs off, timing off, format json) {body}")
    plan = json.loads(await statement.fetchval(mints, known_batch))
    walked = {"cohort_coverage_row": 0, "coverage_row": 0}
    for node in nodes(plan[0]["Plan"]):
        if (relation := node.get("Relation Name")) in walked:
            assert node["Node Type"] != "Seq Scan", node
            walked[relation] += node["Actual Rows"] * node["Actual Loops"] + node.get("Rows Removed by Filter", 0)
    assert walked["cohort_coverage_row"] <= 256
    assert walked["coverage_row"] <= 60, "one step a mint to find them all"


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", ()):
        yield from nodes(child)


async def test_a_writer_marks_and_a_reader_may_not(rows: Rows) -> None:
    await rows.batches(1)
    await rows.add("cohort_row")
    await rows.add("cohort_coverage_row")
    await create_roles(rows.db)
    await rows.db.execute("set role tieout_reader")
    assert await read(rows, None) == {MINT: [(0, 9)]}
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await rows.db.execute("select ledger.mark_coverage(1)")
    await rows.db.execute("set role tieout_writer")
    await rows.db.execute("select ledger.mark_coverage(1)")
    await rows.db.execute("reset role")
    assert await rows.value("select count(*) from ledger.coverage_mark_row") == 1


async def test_a_cohort_stands_in_a_batch(dsn: str) -> None:
    with pytest.raises(asyncpg.ForeignKeyViolationError):
        await query(dsn, "insert into ledger.cohort_row values (1, 'M', 7) returning 1")
