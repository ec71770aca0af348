"""The control daemon: checks what is new, looks at the conditions, tells the receivers.

One TaskGroup owns the tasks, each on a connection of its own: the checker, which a notification wakes and
which polls too; the ripcord; one outbox a receiver, under that receiver's lock; and a reader of how all of
it stands. Any number of daemons may run: the database decides whose step counts.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any

import asyncpg

from tieout_database import DatabaseUnreachable, check_schema, connect
from tieout_reconcile.control.alerts import Notice
from tieout_reconcile.control.checking import Checker, Outcome
from tieout_reconcile.control.limits import ControlLimits, Receiver
from tieout_reconcile.control.metrics import Metrics
from tieout_reconcile.control.outbox import Outbox, client_session, owns
from tieout_reconcile.control.ripcord import Ripcord
from tieout_reconcile.control.status import control_status
from tieout_reconcile.errors import BadSetting

Say = Callable[..., None]
OUTAGES = (
    OSError, asyncpg.InterfaceError, asyncpg.InternalClientError, asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError, asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError,
    asyncpg.ReadOnlySQLTransactionError, asyncpg.InsufficientResourcesError, DatabaseUnreachable,
)  # fmt: skip
"""What a database that went away, or is not ready, looks like."""
_LEDGER, _TOLD = "tieout_ledger", "tieout_control"


async def control(
    dsn: str,
    receivers: Sequence[Receiver],
    stop: asyncio.Event,
    *,
    limits: ControlLimits | None = None,
    say: Say = lambda *_, **__: None,
) -> None:
    """Check, look and tell until ``stop``; the step in hand is finished first.

    Raises BadSetting, DatabaseUnreachable and SchemaBehind at the start; later it waits for the database.
    """
    if len({r.name for r in receivers}) < len(receivers):
        raise BadSetting(f"two receivers have one name: {', '.join(sorted(r.name for r in receivers))}")
    daemon = _Daemon(dsn, receivers, stop, limits or ControlLimits(), say)
    async with daemon.metrics.served(daemon.limits.metrics_host, daemon.limits.metrics_port):
        await daemon.run()


class _Daemon:
    def __init__(
        self, dsn: str, receivers: Sequence[Receiver], stop: asyncio.Event, limits: ControlLimits, say: Say
    ) -> None:
        self.metrics = Metrics()
        self.limits = limits
        self._dsn, self._receivers, self._stop, self._say = dsn, receivers, stop, say
        self._waiting: str | None = None

    async def run(self) -> None:
        """Run until told to stop, through outages of the database."""
        first = await connect(self._dsn)
        try:
            await check_schema(first)
        finally:
            await first.close()
        names = [r.name for r in self._receivers]
        self._say(
            f"controlling; {len(names)} receivers ({', '.join(names) or 'none'}); SIGTERM ends it",
            event="controlling", receivers=names,
        )  # fmt: skip
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._kept_up("checker", self._check))
            tasks.create_task(self._kept_up("ripcord", self._look))
            tasks.create_task(self._kept_up("status", self._read_status))
            for receiver in self._receivers:
                outbox = Outbox(receiver, self.limits, self._say)
                told = partial(self._tell, outbox=outbox)
                tasks.create_task(self._kept_up(f"outbox of {receiver.name}", told))

    async def _kept_up(self, what: str, work: Callable[[asyncpg.Connection], Any]) -> None:
        """Do the work on a connection of its own, again and again until told to stop."""
        while not self._stop.is_set():
            try:
                async with _connection(self._dsn) as db:
                    await work(db)
            except OUTAGES as lost:
                said = str(lost) or type(lost).__name__
                self._say(f"the database is away, the {what} waits: {said}", event="outage", part=what)
                await self._pause(self.limits.reconnect_interval_s)

    async def _pause(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stop.wait()

    async def _check(self, db: asyncpg.Connection) -> None:
        checker, wake = Checker(self.limits), await _woken(db, _LEDGER)
        while not self._stop.is_set():
            wake.clear()
            outcome = await checker.step(db)
            self._tell_of(outcome)
            if not outcome.more:
                await self._woken_or_stopped(wake, self.limits.poll_interval_s)

    def _tell_of(self, outcome: Outcome) -> None:
        self.metrics.stepped(outcome.crossings, outcome.notices)
        if outcome.waiting != self._waiting:
            self._waiting = outcome.waiting
            if outcome.waiting is not None:
                self._say(outcome.waiting, event="waiting")
        self._say_notices(outcome.notices)

    def _say_notices(self, notices: Sequence[Notice]) -> None:
        for notice in notices:
            self._say(
                f"{notice.status}: {notice.annotations.get('summary', '')}",
                event="alert", status=notice.status, notice=notice.notice, fingerprint=notice.fingerprint,
                alertname=notice.labels.get("alertname"), reason=notice.reason, mint=notice.mint,
            )  # fmt: skip

    async def _look(self, db: asyncpg.Connection) -> None:
        ripcord = Ripcord(self.limits)
        while not self._stop.is_set():
            looked = await ripcord.look(db)
            self.metrics.looked(looked.reasons, looked.pulled)
            self._say_notices(looked.notices)
            await self._pause(self.limits.ripcord_interval_s)

    async def _read_status(self, db: asyncpg.Connection) -> None:
        names = [r.name for r in self._receivers]
        while not self._stop.is_set():
            self.metrics.stands(await control_status(db, names))
            await self._pause(self.limits.ripcord_interval_s)

    async def _tell(self, db: asyncpg.Connection, outbox: Outbox) -> None:
        wake = await _woken(db, _TOLD)
        while not self._stop.is_set() and not await owns(db, outbox.receiver):
            await self._pause(self.limits.poll_interval_s)
        async with client_session() as client:
            while not self._stop.is_set():
                wake.clear()
                wait = await self._unless_stopped(outbox.drain(db, client))
                if wait is not None and outbox.failures:
                    await self._pause(wait)
                    continue
                longest = self.limits.poll_interval_s
                await self._woken_or_stopped(wake, longest if wait is None else min(wait, longest))

    async def _unless_stopped(self, work: Any) -> Any:
        """Finish the work, or leave it when told to stop: what is not booked is told again."""
        task, stopper = asyncio.ensure_future(work), asyncio.ensure_future(self._stop.wait())
        try:
            await asyncio.wait({task, stopper}, return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                await asyncio.wait({task}, timeout=1.0)
            if not task.done():
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task
                return None
            return task.result()
        finally:
            stopper.cancel()
            task.cancel()

    async def _woken_or_stopped(self, wake: asyncio.Event, seconds: float) -> None:
        waits = {asyncio.ensure_future(wake.wait()), asyncio.ensure_future(self._stop.wait())}
        try:
            await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()


async def _woken(db: asyncpg.Connection, channel: str) -> asyncio.Event:
    wake = asyncio.Event()
    await db.add_listener(channel, lambda *_: wake.set())
    return wake


@asynccontextmanager
async def _connection(dsn: str) -> AsyncIterator[asyncpg.Connection]:
    db = await connect(dsn)
    try:
        yield db
    finally:
        with suppress(*OUTAGES, TimeoutError):
            await db.close(timeout=2)
