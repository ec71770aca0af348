"""The multiplier over time under both rules of the program, what cannot be known, and the mint's own word for it."""

import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from database.rows import MINT, Rows
from indexer.test_audits import vandalise
from indexer.test_other_sources import Market, market
from support.command import tieout_here
from support.database import query, value

__all__ = ["market"]
MAINNET = "5eykt4UsFv8P8NJdTREpY1vzqKqZKvdpKuc147dw2N9d"
MERGED = datetime(2025, 6, 25, tzinfo=UTC)
Opened = Callable[..., Awaitable["Book"]]


def bits(number: float) -> bytes:
    return struct.pack("<d", number)


@dataclass
class Book:
    """A mint's announcements; a slot is a second from ``start`` on."""

    rows: Rows
    start: datetime

    def at(self, slot: int) -> datetime:
        return self.start + timedelta(seconds=slot)

    async def update(self, slot: int, number: float, effective: int, *, step: int = 0, batch: int = 1) -> None:
        """``effective``: the slot whose second it is."""
        seconds = int(self.at(effective).timestamp())
        details = {"bits": bits(number).hex(), "effective_timestamp": seconds}
        await self.rows.add(
            "control_row",
            kind="multiplier",
            slot=slot,
            step=step,
            details=details,
            batch=batch,
            block_time=self.at(slot),
        )

    async def in_force(self, slot: int, batch: int | None = None) -> float | None:
        found = await self.rows.value("select ledger.multiplier_at($1, $2, $3)", MINT, self.at(slot), batch)
        return None if found is None else float(struct.unpack("<d", found)[0])

    async def line(self, *slots: int) -> list[float | None]:
        return [await self.in_force(slot) for slot in slots]

    async def shown(self, columns: str) -> list[tuple[Any, ...]]:
        order = "announced_slot, tx_index, step, child"
        return [
            tuple(r.values())
            for r in await self.rows.fetch(f"select {columns} from ledger.multipliers order by {order}")
        ]


@pytest.fixture
async def opened(dsn: str) -> AsyncIterator[Opened]:
    """Makes a book on a cluster of some genesis hash, its program's change declared for a slot or not."""
    rows = await Rows.open(dsn)
    await rows.batches(4)

    async def make(start: datetime, genesis: str = MAINNET, declared: int | None = None) -> Book:
        await rows.add("cluster_row", genesis_hash=genesis)
        if declared is not None:
            await rows.add("multiplier_rule_row", from_slot=declared)
        return Book(rows, start)

    yield make
    await rows.db.close()


@pytest.fixture
async def older(opened: Opened) -> Book:
    """A public cluster, before the change of the program."""
    return await opened(MERGED - timedelta(days=30))


async def two_scheduled(book: Book) -> None:
    """1.0, then 2.0 from second 20 on; once that has come, 3.0 is scheduled in slot 30 for second 40."""
    await book.update(1, 1.0, 0)
    await book.update(10, 2.0, 20)
    await book.update(30, 3.0, 40)


async def test_by_the_older_rule_a_second_schedule_makes_the_first_fall_back_until_it_comes_itself(older: Book) -> None:
    await two_scheduled(older)
    assert await older.line(19, 20, 29, 30, 39, 40) == [1.0, 2.0, 2.0, 1.0, 1.0, 3.0]
    at = older.at
    assert await older.shown("how, rule, value, effective_at, in_force_from, in_force_to") == [
        ("at_once", "older", 1, at(1), at(1), at(20)),
        ("announced", "older", 2, at(20), at(20), at(30)),
        ("fallback", "older", 1, at(30), at(30), at(40)),
        ("announced", "older", 3, at(40), at(40), None),
    ]


async def test_by_the_older_rule_the_issuers_way_round_it_keeps_the_first(older: Book) -> None:
    """As the issuer's guide tells: the value in force again with its own hour, then the next one."""
    await older.update(1, 1.0, 0)
    await older.update(10, 2.0, 20)
    await older.update(30, 2.0, 20, step=2)
    await older.update(30, 3.0, 40, step=3)
    assert await older.line(19, 20, 30, 39, 40) == [1.0, 2.0, 2.0, 2.0, 3.0]
    assert [how for (how,) in await older.shown("how")] == ["at_once", "announced", "at_once", "announced"]


async def test_by_the_older_rule_what_is_replaced_before_its_hour_changes_nothing(older: Book) -> None:
    await older.update(1, 1.0, 0)
    await older.update(10, 2.0, 20)
    await older.update(15, 3.0, 40)
    assert await older.line(14, 15, 20, 39, 40) == [1.0, 1.0, 1.0, 1.0, 3.0]
    states = await older.shown("value, overridden_at, in_force_from")
    assert states[1] == (2, older.at(15), None)
    assert len(states) == 3, "nothing fell back"


async def test_a_fallen_back_one_stays_while_its_successors_are_replaced(older: Book) -> None:
    await two_scheduled(older)
    await older.update(35, 4.0, 50)
    assert await older.line(34, 35, 40, 49, 50) == [1.0, 1.0, 1.0, 1.0, 4.0]


async def test_the_rule_of_today_holds_on_a_local_chain_whatever_its_clock(opened: Opened) -> None:
    book = await opened(MERGED - timedelta(days=30), genesis="a local chain's")
    await two_scheduled(book)
    assert await book.line(20, 30, 39, 40) == [2.0, 2.0, 2.0, 3.0]
    assert {rule for (rule,) in await book.shown("rule")} == {"current"}


async def test_between_merge_and_declaration_it_is_unknown_and_only_where_the_rules_differ(opened: Opened) -> None:
    book = await opened(MERGED + timedelta(days=30))
    await two_scheduled(book)
    assert await book.line(19, 20, 29, 30, 39, 40) == [1.0, 2.0, 2.0, None, None, 3.0]
    known = await book.rows.fetch("select announced_slot, bits from ledger.mint_multipliers_known($1, 4)", [MINT])
    assert [r["announced_slot"] for r in known] == [1, 10, 30, 30]
    assert struct.unpack("<d", known[2]["bits"])[0] != struct.unpack("<d", known[2]["bits"])[0], "no number"


@pytest.mark.parametrize(("first_slot", "then"), [(0, 2.0), (30, 2.0), (31, 1.0)])
async def test_what_is_declared_decides(opened: Opened, first_slot: int, then: float) -> None:
    book = await opened(MERGED + timedelta(days=30), declared=first_slot)
    await two_scheduled(book)
    assert await book.line(29, 30, 39, 40) == [2.0, then, then, 3.0]


async def test_the_last_declaration_counts_and_an_earlier_batch_does_not_know_it(opened: Opened) -> None:
    book = await opened(MERGED + timedelta(days=30), declared=31)
    await two_scheduled(book)
    await book.rows.add("multiplier_rule_row", from_slot=30, batch=3)
    assert [await book.in_force(30, batch) for batch in (1, 2, 3, None)] == [1.0, 1.0, 2.0, 2.0]


async def test_a_history_picked_up_in_mid_life_falls_back_to_what_nobody_knows(older: Book) -> None:
    await older.update(10, 2.0, 20)
    await older.update(30, 3.0, 40)
    assert await older.line(19, 20, 29, 30, 39, 40) == [None, 2.0, 2.0, None, None, 3.0]


async def test_states_are_told_by_the_time_of_the_last_block(older: Book) -> None:
    await two_scheduled(older)
    await older.update(45, 5.0, 60)
    await older.update(50, 6.0, 70)
    await older.rows.add("slot_row", slot=55, parent_slot=54, block_time=older.at(55))
    assert await older.shown("value, how, state") == [
        (1, "at_once", "past"),
        (2, "announced", "past"),
        (1, "fallback", "past"),
        (3, "announced", "past"),
        (1, "fallback", "effective"),
        (5, "announced", "overridden"),
        (6, "announced", "pending"),
    ]


class Program:
    """The extension as the program keeps it, line by line of its processor; ``older`` as before #522."""

    def __init__(self, older: bool) -> None:
        self.older = older
        self.multiplier = self.new = 0.0
        self.at = 0

    def initialize(self, number: float) -> None:
        self.multiplier = self.new = number
        self.at = 0

    def update(self, number: float, effective: int, now: int) -> None:
        if not self.older and now >= self.at:
            self.multiplier = self.new
        self.new = number
        self.at = max(0, effective)
        if now >= effective:
            self.multiplier = number

    def in_force(self, now: int) -> float:
        return self.new if now >= self.at else self.multiplier


@pytest.mark.parametrize("is_older", [True, False])
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(updates=st.lists(st.tuples(st.integers(1, 6), st.integers(-8, 12)), min_size=1, max_size=8))
async def test_any_run_of_updates_gives_what_the_program_has_at_every_second(
    dsn: str, is_older: bool, updates: list[tuple[int, int]]
) -> None:
    """``updates``: after how many seconds each comes, and how many seconds ahead it is scheduled."""
    rows = await Rows.open(dsn)
    try:
        async with rows.db.transaction():
            await rows.db.execute("set local session_replication_role = replica")
            await rows.db.execute("delete from ledger.control_row; delete from ledger.cluster_row")
            await rows.add("cluster_row", genesis_hash=MAINNET if is_older else "a local chain's")
            await the_same_as_the_program(Book(rows, MERGED - timedelta(days=30)), Program(is_older), updates)
    finally:
        await rows.db.close()


async def the_same_as_the_program(book: Book, program: Program, updates: list[tuple[int, int]]) -> None:
    base, slot = int(book.start.timestamp()), 1
    expected: dict[int, float] = {}
    program.initialize(100.0)
    await book.update(slot, 100.0, -base)
    for number, (gap, ahead) in enumerate(updates, 1):
        expected |= {second: program.in_force(base + second) for second in range(slot, slot + gap)}
        slot += gap
        await book.update(slot, float(number), slot + ahead)
        program.update(float(number), base + slot + ahead, base + slot)
    expected |= {second: program.in_force(base + second) for second in range(slot, slot + 14)}
    assert await book.line(*expected) == list(expected.values())
    (state,) = await book.rows.fetch("select * from ledger.multiplier_state_at($1, $2)", MINT, slot)
    assert (state["multiplier"], state["new_multiplier"]) == (bits(program.multiplier), bits(program.new))
    assert state["effective_seconds"] == program.at


async def test_the_mints_own_fields_are_compared_with_the_replay_and_a_difference_is_stored(
    market: Market, dsn: str
) -> None:
    await market.issuer.set_multiplier_now(market.mint, "1.25")
    last = await market.final()
    span = ("--from-slot", str(market.first), "--to-slot", str(last))
    assert (await market.index("backfill", "--dsn", dsn, *span)).code == 0
    sound = await market.index("verify", "--dsn", dsn)
    assert (sound.code, sound.json["findings"], sound.json["skipped"]) == (0, [], [])
    await vandalise(
        dsn,
        "update ledger.control_row set details = jsonb_set(details, '{bits}', to_jsonb($1::text)) "
        "where kind = 'multiplier' and authority is not null",
        bits(1.5).hex(),
    )
    await market.index("verify", "--dsn", dsn)
    found = await query(dsn, "select * from ledger.findings where audit = 'multiplier'")
    assert [f["subject"] for f in found] == [market.mint]
    assert "1.25 (000000000000f43f)" in found[0]["expected"]
    assert "1.5 (000000000000f83f)" in found[0]["found"]
    assert found[0]["closed_at"] is None
    await vandalise(
        dsn,
        "update ledger.control_row set details = jsonb_set(details, '{bits}', to_jsonb($1::text)) "
        "where kind = 'multiplier' and authority is not null",
        bits(1.25).hex(),
    )
    await market.index("verify", "--dsn", dsn)
    assert (
        await value(dsn, "select count(*) from ledger.findings where audit = 'multiplier' and closed_at is null") == 0
    )


async def test_a_scheduled_multiplier_is_the_mints_own_from_a_snapshot_too(
    chain: str, dsn: str, market: Market
) -> None:
    await market.issuer.schedule_multiplier(market.mint, "2", 4_000_000_000)
    await market.final()
    slot = (await market.index("snapshot", "--dsn", dsn)).json["slot"]
    await market.move(0, 1)
    last = await market.final()
    read = await market.index("backfill", "--dsn", dsn, "--from-slot", str(slot + 1), "--to-slot", str(last))
    assert read.code == 0
    audited = await market.index("verify", "--dsn", dsn)
    assert (audited.code, audited.json["findings"], audited.json["skipped"]) == (0, [], [])
    shown = await query(dsn, "select value, how, state from ledger.multipliers order by step")
    assert [(r["value"], r["how"], r["state"]) for r in shown] == [
        (1, "snapshot", "effective"),
        (2, "snapshot", "pending"),
    ]


async def test_the_rule_is_declared_and_shown_by_command(dsn: str) -> None:
    command = ("index", "multiplier-rule", "--dsn", dsn, "--json")
    assert (await tieout_here(*command)).json["from_slot"] is None
    assert (await tieout_here(*command, "--from-slot", "7")).code == 2, "a reason is wanted"
    done = await tieout_here(*command, "--from-slot", "7", "--reason", "the upgrade was announced", "--by", "ops")
    assert done.code == 0, done.err
    shown = await tieout_here(*command)
    assert (shown.json["from_slot"], shown.json["reason"], shown.json["declared_by"]) == (
        7, "the upgrade was announced", "ops"
    )  # fmt: skip
    assert (await tieout_here("db", "verify", "--dsn", dsn)).code == 0, "it is in the batch's hash"
