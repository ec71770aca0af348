"""One step of control: check what is new, write what was found and how far that is, in one transaction.

However often a step is broken off or two daemons race, each crossing is stored once and each change of an
alert is one notice: position, crossings and notices commit together, under one lock.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import asyncpg

from tieout_reconcile.control import reading
from tieout_reconcile.control.act_work import ActWork
from tieout_reconcile.control.acts import Act
from tieout_reconcile.control.alerts import Alert, Notice, crossing_alert
from tieout_reconcile.control.judging import Judgement, crowded, judge, references_of, unread
from tieout_reconcile.control.limits import ControlLimits
from tieout_reconcile.control.notices import changes_of, write_notices
from tieout_reconcile.control.reading import SQL, Book, Checked, Found, Named
from tieout_reconcile.exact import exact_decimal
from tieout_reconcile.freshness import InputAge, order_source


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a step did. ``more`` says that there is more to do at once; ``waiting`` says what it waits for."""

    batch: int
    crossings: int
    notices: tuple[Notice, ...]
    more: bool
    waiting: str | None = None


@dataclass(frozen=True, slots=True)
class _Recheck:
    """What new files ask for: crossings to be judged again."""

    load: int
    seen_at: datetime | None
    numbers: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class _Rewalk:
    """What a new registry asks for: alerts that may be none any more, and batches to be walked by its roles."""

    load: int
    numbers: tuple[int, ...]
    after: int
    to: int


class Checker:
    """Steps through the ledger and the files. What it remembers between steps only saves work."""

    def __init__(self, limits: ControlLimits) -> None:
        self._limits = limits
        self._book: Book | None = None
        self._recheck: _Recheck | None = None
        self._rewalk: _Rewalk | None = None

    async def step(self, db: asyncpg.Connection) -> Outcome:
        """Check the next batches, else a part of what new files ask to be looked at again."""
        try:
            return await self._step(db)
        except BaseException:
            # nothing of it was written: what was planned may be ahead of the database
            self._recheck = self._rewalk = None
            raise

    async def _step(self, db: asyncpg.Connection) -> Outcome:
        async with db.transaction():
            await db.execute(SQL["lock"])
            state: Any = await db.fetchrow(SQL["state"])
            self._book = await reading.book_known(db, self._book)
            if self._book is None:
                return Outcome(state["batch"], 0, (), False, "no registry is applied yet: tieout registry apply FILE")
            source = await self._source(db, self._book)
            work = _Work(db, self._limits, self._book, source, await db.fetchval(SQL["now"]))
            if not state["batch"]:
                await db.execute(SQL["advance_registry"], self._book.load)
            done = await self._new_batches(work, state)
            if done is None and state["batch"] and state["registry_load"] != self._book.load:
                done = await self._new_registry(work, state)
            return done or await self._new_files(work, state)

    async def _source(self, db: asyncpg.Connection, book: Book) -> InputAge:
        row = await db.fetchrow(SQL["source"])
        return order_source(book.registry, row["seen_at"] if row else None, self._limits.ages.order_age_max_s)

    async def _new_batches(self, work: "_Work", state: Any) -> Outcome | None:
        withdrawn: set[int] = set()
        gone: set[int] = set()
        found: list[Found] = []
        acts: list[tuple[Act, int]] = []
        batch, ordinal, read = state["batch"], 0, 0
        rows = await work.db.fetch(SQL["batches_after"], batch, self._limits.batches_at_once_max)
        for row in rows:
            if read >= self._limits.rows_at_once_max:
                break
            batch = row["batch"]
            withdrawn |= await work.withdrawn(batch)
            gone |= await work.acts.withdrawn(batch)
            crossings, done, ordinal = await reading.found_in_batch(work.db, batch, work.book)
            found, acts, read = found + crossings, acts + [(a, batch) for a in done], read + ordinal
        if batch == state["batch"]:
            return None
        notices = await work.tell(await work.store(found), withdrawn)
        notices += await work.acts.tell(await work.acts.store(acts), gone)
        await work.db.execute(SQL["advance"], batch, ordinal)
        more = batch < rows[-1]["batch"] or len(rows) == self._limits.batches_at_once_max
        return Outcome(batch, len(found), notices, more)

    async def _new_registry(self, work: "_Work", state: Any) -> Outcome:
        """Withdraw what crosses no more by the roles of today, then walk what was checked before by them."""
        plan = self._rewalk
        if plan is None or plan.load != work.book.load:
            firing = await work.db.fetch(SQL["firing_crossings"])
            plan = _Rewalk(work.book.load, tuple(row["crossing"] for row in firing), 0, state["batch"])
        found: list[Found] = []
        acts: list[tuple[Act, int]] = []
        part, rest = self._split(plan.numbers)
        gone = await work.no_longer(part)
        # few: an alert about an act is one a person looks at
        lost = await work.acts.no_longer() if not rest else set[int]()
        after = plan.after
        if not part:
            after, found, acts = await self._walk(work, plan)
        stored = await work.store(found)
        notices = await work.tell(stored, gone)
        notices += await work.acts.tell(await work.acts.store(acts), lost)
        self._rewalk = _Rewalk(plan.load, rest, after, plan.to)
        if not rest and after >= plan.to:
            self._rewalk = None
            await work.db.execute(SQL["advance_registry"], plan.load)
        return Outcome(state["batch"], len(stored), notices, True)

    async def _walk(self, work: "_Work", plan: _Rewalk) -> tuple[int, list[Found], list[tuple[Act, int]]]:
        found: list[Found] = []
        acts: list[tuple[Act, int]] = []
        after, read = plan.after, 0
        rows = await work.db.fetch(SQL["batches_after"], plan.after, self._limits.batches_at_once_max)
        for row in rows:
            if row["batch"] > plan.to or read >= self._limits.rows_at_once_max:
                break
            crossings, done, count = await reading.found_in_batch(work.db, row["batch"], work.book)
            found, after, read = found + crossings, row["batch"], read + count
            acts += [(act, row["batch"]) for act in done]
        return (after if after > plan.after else plan.to), found, acts

    async def _new_files(self, work: "_Work", state: Any) -> Outcome:
        """Judge again what the files that came since speak of, a part at a time; not by a stale source."""
        nothing = Outcome(state["batch"], 0, (), False)
        if (told := await work.acts.recheck_controls(state["acts_load"])) is not None:
            return Outcome(state["batch"], 0, told, True)
        if work.source.problem(work.now) is not None:
            return nothing
        plan = self._recheck
        if plan is None or plan.load <= state["load"]:
            plan = await self._plan(work, state)
        if plan is None:
            return nothing
        part, rest = self._split(plan.numbers)
        notices = await work.tell((), (), part)
        self._recheck = _Recheck(plan.load, plan.seen_at, rest) if rest else None
        if not rest:
            notices += await work.acts.recheck_mints(state["load"], plan.load)
            await work.db.execute(SQL["advance_load"], plan.load, plan.seen_at)
        return Outcome(state["batch"], 0, notices, True)

    async def _plan(self, work: "_Work", state: Any) -> _Recheck | None:
        load = await work.db.fetchval(SQL["last_load"])
        if load == state["load"] and work.source.at == state["source_seen_at"]:
            return None
        named = await work.db.fetch(SQL["named_by_loads"], state["load"], load)
        firing = await work.db.fetch(SQL["firing_crossings"])
        return _Recheck(load, work.source.at, tuple(sorted({row["crossing"] for row in (*named, *firing)})))

    def _split(self, numbers: tuple[int, ...]) -> tuple[tuple[int, ...], tuple[int, ...]]:
        count = self._limits.rechecks_at_once_max
        return numbers[:count], numbers[count:]


class _Work:
    """What one step works with, inside its transaction."""

    def __init__(
        self, db: asyncpg.Connection, limits: ControlLimits, book: Book, source: InputAge, now: datetime
    ) -> None:
        self.db, self.limits, self.book, self.source, self.now = db, limits, book, source, now
        self.acts = ActWork(db, limits, book, source, now)

    async def withdrawn(self, batch: int) -> set[int]:
        """Withdraw the crossings of the rows that a batch took back; return their numbers."""
        numbers = set()
        for row in await self.db.fetch(SQL["retractions_of_batch"], batch):
            place = (row["slot"], row["tx_index"], row["step"], row["child"], row["mint"])
            for told in await self.db.fetch(SQL["crossings_at"], *place, batch):
                numbers.add(told["crossing"])
                await self.db.execute(SQL["withdraw"], told["crossing"], f"batch {batch} took it back")
        return numbers

    async def no_longer(self, numbers: Collection[int]) -> set[int]:
        """Withdraw what is no crossing by the registry of today; return the numbers."""
        stored, _ = await reading.stored(self.db, numbers)
        gone = {n for n, checked in stored.items() if not await reading.still_crosses(self.db, checked, self.book)}
        for number in sorted(gone):
            why = f"nothing crosses by the registry of load {self.book.load}"
            await self.db.execute(SQL["withdraw"], number, why)
        return gone

    async def store(self, found: Sequence[Found]) -> set[int]:
        """Store crossings with the requests that they name; return the numbers of those that are new."""
        numbers = set()
        for each in found:
            number = await self.db.fetchval(SQL["insert_crossing"], *self._values(each))
            if number is None:
                continue
            numbers.add(number)
            references = references_of(each.crossing.memo, self.limits.references_of_crossing_max)
            rows = [(reference, each.crossing.outward, number) for reference in references]
            await self.db.executemany(SQL["insert_reference"], rows)
        return numbers

    def _values(self, found: Found) -> tuple[Any, ...]:
        crossing = found.crossing
        assert crossing.position is not None, "a crossing of the ledger has its place"
        return (
            crossing.key, self.book.instruments[found.mint].symbol, found.mint, *crossing.position, crossing.signature,
            str(crossing.kind), crossing.outward, crossing.raw,
            None if crossing.unit is None else exact_decimal(crossing.unit), crossing.at, crossing.account,
            None if crossing.issuer_role is None else str(crossing.issuer_role), crossing.counterparty,
            None if crossing.counterparty_role is None else str(crossing.counterparty_role), crossing.memo,
            found.batch, found.ordinal, self.book.load,
        )  # fmt: skip

    async def tell(
        self, new: Collection[int], withdrawn: Collection[int], again: Collection[int] = ()
    ) -> tuple[Notice, ...]:
        """Judge crossings, and those that name the same orders, and write what changed of their alerts."""
        stale = self.source.problem(self.now)
        asked = {*new, *again, *await self._left_alone(withdrawn)}
        wanted: dict[int, Alert | None] = dict.fromkeys(withdrawn)
        if asked:
            named = await reading.named_together(self.db, asked, self.limits.claims_of_order_max)
            for number, judgement in self._judged(named, new, stale).items():
                wanted[number] = self._alert(named.crossings[number], judgement)
        return await self._write(wanted)

    async def _left_alone(self, withdrawn: Collection[int]) -> set[int]:
        """The crossings that named the same orders as those taken back: an order may be theirs now."""
        if not withdrawn:
            return set()
        rows = await self.db.fetch(SQL["references"], sorted(withdrawn))
        asked = {(row["reference"], row["outward"]) for row in rows}
        return await reading.claims(self.db, asked, self.limits.claims_of_order_max) - set(withdrawn)

    def _judged(self, named: Named, new: Collection[int], stale: str | None) -> dict[int, Judgement]:
        """Judge what can be: with a stale source what is new is unmatched, and what was judged before stands."""
        if stale is not None:
            return {
                number: unread(named.crossings[number].crossing, self._instrument(named.crossings[number]), stale)
                for number in sorted(new)
            }
        judged: dict[int, Judgement] = {}
        for mint in sorted({c.mint for c in named.crossings.values()} & self.book.instruments.keys()):
            ours = {n: c for n, c in named.crossings.items() if c.mint == mint}
            # of one that names another order too, not all is known here: it is judged when it is asked for
            sure = {n for n, c in ours.items() if named.is_whole(n)}
            keys = {c.crossing.key: n for n, c in ours.items()}
            crossings = [c.crossing for n, c in ours.items() if n not in named.over]
            found = judge(
                self.book.instruments[mint], crossings, named.papers, self.now, {ours[n].crossing.key for n in sure}
            )
            judged |= {keys[key]: judgement for key, judgement in found.items()}
            instrument = self.book.instruments[mint]
            judged |= {n: crowded(c.crossing, instrument) for n, c in ours.items() if n in named.over}
        return judged

    def _instrument(self, checked: Checked) -> Any:
        return self.book.instruments[checked.mint]

    def _alert(self, checked: Checked, judgement: Judgement) -> Alert | None:
        if judgement.alarm is None:
            return None
        return crossing_alert(checked.crossing, checked.number, self._instrument(checked), judgement)

    async def _write(self, wanted: dict[int, Alert | None]) -> tuple[Notice, ...]:
        """Write a notice for each change: an alert that begins, and one that ends."""
        rows = await self.db.fetch(SQL["notices_of_crossings"], sorted(wanted)) if wanted else []
        return await write_notices(self.db, changes_of(rows, wanted, "crossing"), self.now)
