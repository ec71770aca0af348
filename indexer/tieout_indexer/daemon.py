"""Follow the chain: the daemon of many mints.

One TaskGroup owns the tasks: the loop itself; a listener whose notifications only wake it up, polling
goes on without them; a probe of the endpoints; the audits. A mint added while it runs is read up
beside the others, which do not wait for it.
"""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from typing import Any

from tieout_database import DatabaseError
from tieout_indexer.audit import ChainMark, verify_chain_after
from tieout_indexer.audit_node import audit_against_node
from tieout_indexer.backfilling import Progress, Say, check_mint_address, check_mints
from tieout_indexer.chain import reach
from tieout_indexer.errors import NotAMint, WriterBusy
from tieout_indexer.findings import Audited, store_findings
from tieout_indexer.limits import IndexerLimits
from tieout_indexer.listening import Listener, wake_on_confirmations
from tieout_indexer.metrics import Metrics
from tieout_indexer.pipeline import SegmentOutcome
from tieout_indexer.provisional import Provisional
from tieout_indexer.session import Session, open_session
from tieout_indexer.source import Parked
from tieout_indexer.writer import DATABASE_OUTAGES
from tieout_rpc import RpcError, RpcLimits, is_outage


async def follow(
    urls: Sequence[str],
    dsn: str,
    mints: Sequence[str],
    stop: asyncio.Event,
    *,
    from_slot: int | None = None,
    say: Say = lambda *_, **__: None,
    progress: Progress = lambda _: None,
    limits: IndexerLimits | None = None,
    rpc_limits: RpcLimits | None = None,
) -> None:
    """Follow the finalized chain until ``stop``; the segment in hand is finished first.

    Mints tracked already go on where they stand; a new one starts at ``from_slot``, or at the
    finalized tip. Confirmed blocks beyond the frontier are shown as provisional rows.
    """
    limits = limits or IndexerLimits()
    new = [check_mint_address(mint) for mint in dict.fromkeys(mints)]
    daemon = _Daemon(urls, dsn, new, from_slot, stop, say, progress, limits, rpc_limits or RpcLimits())
    async with daemon.metrics.served(limits.metrics_host, limits.metrics_port):
        await daemon.run()


class _Daemon:
    """Holds a session with node and ledger, and finds it again when either goes away."""

    def __init__(
        self,
        urls: Sequence[str],
        dsn: str,
        new: list[str],
        from_slot: int | None,
        stop: asyncio.Event,
        say: Say,
        progress: Progress,
        limits: IndexerLimits,
        rpc_limits: RpcLimits,
    ) -> None:
        self.metrics = Metrics()
        self._urls, self._dsn, self._new, self._from_slot = urls, dsn, new, from_slot
        self._stop, self._say, self._progress = stop, say, progress
        self._limits, self._rpc_limits = limits, rpc_limits
        self._attached = self._ever_attached = False
        self._mark = ChainMark()

    async def run(self) -> None:
        while True:
            self._attached = False
            try:
                await _unless_stopped(self._attach(), self._stop, lambda: self._attached)
                return
            except BaseException as lost:
                # A daemon outlives its database too; what was committed stays. The first time round it is a
                # mistake in the command line, and after SIGTERM there is nothing left to do.
                if not self._ever_attached or self._stop.is_set() or not _is_outage(lost):
                    raise
                self._say(f"the database or every node is away, waiting: {_first(lost)}", event="outage")
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), self._limits.reconnect_interval_s)
            if self._stop.is_set():
                return

    async def _attach(self) -> None:
        async with open_session(self._urls, self._dsn, self._limits, self._rpc_limits) as session:
            self._attached = self._ever_attached = True
            tracked = await session.writer.tracked()
            await check_mints(session.rpc, self._new, tracked)
            mints = sorted({*tracked, *self._new})
            if not mints:
                raise NotAMint("no mint is tracked yet: name one with --mint")
            self._say(f"following {', '.join(mints)}; SIGTERM ends it", event="following", mints=mints)
            start = self._from_slot if self._from_slot is not None else await session.source.finalized_slot()
            await self._attend(
                session,
                _Follower(session, {m: tracked.get(m, start) for m in mints}, self._limits, self._tell, self.metrics),
            )

    async def _attend(self, session: Session, follower: "_Follower") -> None:
        wake = asyncio.Event()
        async with asyncio.TaskGroup() as tasks:

            def final_waits() -> None:
                follower.final_waits.set()
                wake.set()

            beside = [
                tasks.create_task(self._listen(session, final_waits)),
                tasks.create_task(_call_on(self._stop, final_waits)),
                tasks.create_task(self._probe(session)),
            ]
            if self._limits.wake_on_confirmations:
                waking = wake_on_confirmations(session.rpc.endpoints, wake.set, self._rpc_limits)
                beside.append(tasks.create_task(waking))
            if self._limits.audit_interval_s:
                beside.append(tasks.create_task(self._audit(follower)))
            await follower.run(self._stop, wake, self._progress)
            await _cancel(beside)

    def _tell(self, text: str, **values: Any) -> None:
        self._say(text, **values)

    async def _listen(self, session: Session, wake: Callable[[], None]) -> None:
        endpoints, pushed = session.rpc.endpoints, session.source.pushed
        await Listener(endpoints, pushed, wake, self._limits, self._rpc_limits, self._say).run()

    async def _probe(self, session: Session) -> None:
        """Ask each endpoint now and then how far it is; what comes of it orders them, and is reported."""
        while True:
            await session.rpc.probe()
            self.metrics.endpoints(session.rpc.endpoints)
            await asyncio.sleep(self._limits.endpoint_report_interval_s)

    async def _audit(self, follower: "_Follower") -> None:
        """Audit the ledger against itself and the node; a difference becomes a stored finding."""
        while True:
            await asyncio.sleep(self._limits.audit_interval_s)
            try:
                await self._audit_once(follower)
            except (RpcError, DatabaseError, WriterBusy, *DATABASE_OUTAGES) as failed:
                self._say(f"an audit could not be carried out: {failed}", event="audit_failed")

    async def _audit_once(self, follower: "_Follower") -> None:
        mark, found = await verify_chain_after(self._dsn, self._mark)
        if not found:
            self._mark = mark
            self.metrics.chain_verified()
        node = await audit_against_node(
            self._urls, self._dsn, follower.leading, limits=self._limits, rpc_limits=self._rpc_limits
        )
        whole = [*node.audited]
        if self._mark == mark:
            whole += [Audited(check) for check in ("gapless", "content", "chain", "evidence", "coverage")]
        stored = [finding for finding in (*found, *node.findings) if finding.stored]
        self.metrics.findings(stored)
        if await store_findings(self._dsn, stored, whole, self._limits) is not None:
            for finding in stored:
                values = f"expected {finding.expected}, found {finding.found}"
                self._say(
                    f"finding: {finding.check} of {finding.subject}: {values}",
                    event="finding", audit=finding.check, subject=finding.subject, expected=finding.expected,
                    found=finding.found,
                )  # fmt: skip


async def _unless_stopped(work: Coroutine[Any, Any, None], stop: asyncio.Event, attached: Callable[[], bool]) -> None:
    """Run the work to its end; where ``stop`` comes while it still waits for node or lock, give it up."""
    task, stopper = asyncio.create_task(work), asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({task, stopper}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done() and not attached():
            task.cancel()
        with suppress(asyncio.CancelledError):
            await task
    finally:
        stopper.cancel()


async def _cancel(tasks: list[asyncio.Task[Any]]) -> None:
    """Cancel tasks until they are done: a library that times out in that very moment takes it for its own time-out."""
    while tasks:
        for task in tasks:
            task.cancel()
        _, pending = await asyncio.wait(tasks, timeout=1.0)
        tasks = list(pending)


def _is_outage(error: BaseException) -> bool:
    if isinstance(error, BaseExceptionGroup):
        return all(map(_is_outage, error.exceptions))
    return isinstance(error, DATABASE_OUTAGES) or is_outage(error)


def _first(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


async def _call_on(stop: asyncio.Event, call: Callable[[], None]) -> None:
    await stop.wait()
    call()


class _Follower:
    """The following loop and what it remembers between rounds."""

    def __init__(
        self, session: Session, starts: dict[str, int], limits: IndexerLimits, say: Say, metrics: Metrics
    ) -> None:
        self._session = session
        self._starts = starts
        self._limits = limits
        self._say = say
        self._metrics = metrics
        self._provisional = Provisional(session.source, session.writer, session.pipeline, limits)
        self._parked: dict[str, Parked] = {}
        self._outage = False
        self._reported_s = 0.0
        self.final_waits = asyncio.Event()
        """Something is final that was not: what is only confirmed gives way to it."""
        self.leading: list[str] = []
        """The mints that are read up to the others."""

    async def run(self, stop: asyncio.Event, wake: asyncio.Event, progress: Progress) -> None:
        def done(outcome: SegmentOutcome) -> None:
            self._metrics.segment(outcome)
            progress(outcome)

        while not stop.is_set():
            wake.clear()
            self.final_waits.clear()
            try:
                moved = await self._round(done)
                self._tell_outage(None)
            except RpcError as down:
                if not is_outage(down):
                    raise
                # A daemon outlives its nodes; what was committed stays, the rest comes when one answers.
                moved = False
                self._tell_outage(down)
            await self._report()
            if moved:
                continue
            in_doubt = self._parked or self._outage
            wait_s = self._limits.parked_retry_interval_s if in_doubt else self._limits.poll_interval_s
            with suppress(TimeoutError):
                await asyncio.wait_for(wake.wait(), wait_s)

    async def _round(self, done: Progress) -> bool:
        """Read the next window of finalized slots; whether there may be more at once."""
        await self._adopt()
        frontiers = await self._frontiers()
        tip = await self._session.source.finalized_slot()
        self._metrics.reached(frontiers, tip)
        front = max(frontiers.values())
        self.leading = sorted(m for m, f in frontiers.items() if front - f <= self._limits.window_slots_max)
        more = await self._advance("", self.leading, min(frontiers[m] for m in self.leading), tip, done)
        behind = sorted(set(frontiers) - set(self.leading))
        if behind:
            # One window of those that catch up, then the others' turn again.
            last = min(frontiers[mint] for mint in behind)
            more |= await self._advance(
                "catching up: ", behind, last, min(last + self._limits.window_slots_max, front), done
            )
        frontier = min((await self._frontiers(self.leading)).values())
        # However far a parked slot holds the ledger back, what is new is shown.
        shown_after = max(frontier, tip - self._limits.provisional_slots_max // 2)
        await self._provisional.refresh(self.leading, shown_after, self.final_waits.is_set)
        return more

    async def _advance(self, who: str, mints: list[str], frontier: int, tip: int, done: Progress) -> bool:
        """Read one window after a frontier for some mints; whether there is more at once."""
        to_slot = min(frontier + self._limits.window_slots_max, tip)
        if to_slot <= frontier:
            return False
        at_tip = to_slot == tip and not who
        listed = await self._session.source.listed_slots(frontier + 1, to_slot)
        if at_tip and not listed:
            # only a block after them proves that these slots are empty, and it is not there yet
            return False
        # Below the tip an empty list is no reason to wait: the block beyond it links across, or the slot is parked.
        last = listed[-1] if at_tip else to_slot
        parked = await self._session.pipeline.index(mints, frontier + 1, last, done, self._starts)
        self._tell_parked(who, parked)
        return parked is None and (bool(who) or tip - last > 0 or last == to_slot < tip)

    async def _adopt(self) -> None:
        """Take up mints that were added to the ledger's list since."""
        for mint, from_slot in (await self._session.writer.tracked()).items():
            if mint not in self._starts:
                self._starts[mint] = from_slot
                self._say(f"following {mint} too, from slot {from_slot}", event="adopted", mint=mint, slot=from_slot)

    async def _frontiers(self, mints: Sequence[str] | None = None) -> dict[str, int]:
        """For each mint the last slot that it needs no reading of, holes given up counted as read."""
        wanted = list(self._starts if mints is None else mints)
        holes = await self._session.writer.holes()
        ranges = await self._session.writer.read_ranges(wanted)
        return {m: reach(r[-1][1] if r else self._starts[m] - 1, holes) for m, r in ranges.items()}

    async def _report(self) -> None:
        now = asyncio.get_running_loop().time()
        if now - self._reported_s >= self._limits.endpoint_report_interval_s:
            self._reported_s = now
            await self._session.writer.report_endpoints(self._session.rpc.endpoints)

    def _tell_outage(self, down: RpcError | None) -> None:
        if down and not self._outage:
            self._say(f"no node answers, waiting: {down}", event="outage")
        if self._outage and down is None:
            self._say("a node answers again", event="outage_over")
        self._outage = down is not None

    def _tell_parked(self, who: str, parked: Parked | None) -> None:
        before = self._parked.get(who)
        if parked and parked != before:
            self._say(
                f"{who}slot {parked.slot} is parked: {parked.reason}",
                event="parked", slot=parked.slot, reason=parked.reason,
            )  # fmt: skip
        if before and parked is None:
            self._say(f"{who}slot {before.slot} is no longer parked", event="unparked", slot=before.slot)
        if parked:
            self._parked[who] = parked
        else:
            self._parked.pop(who, None)
        self._metrics.parked(len(self._parked))
