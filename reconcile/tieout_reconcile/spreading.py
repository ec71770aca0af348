"""A run's shares over several processes, each with a connection of its own on the run's own snapshot.

A worker runs this module's ``main``. It is told what to do, and answers, in pickled frames over its
standard input and output: both ends are this program, and the connection string is in no argument list.
"""

import asyncio
import contextlib
import gc
import os
import pickle
import struct
import sys
import traceback
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any, BinaryIO, TypeAlias

import asyncpg

from tieout_database import connect
from tieout_reconcile.chain import Snapshot
from tieout_reconcile.store import SQL, keep_lines
from tieout_reconcile.walking import Common, Share, walk
from tieout_reconcile.whole import Part

Progress: TypeAlias = Callable[[int, int], None]
"""Told how many orders are done, of how many."""

SPREAD_ORDERS_MIN = 40_000
"""Below this the workers' start takes longer than they save."""
_LENGTH = struct.Struct("<Q")


@dataclass(frozen=True, slots=True)
class Spread:
    """Where workers connect to, and how many there are at most; ``keep``: whether they store the lines they find."""

    dsn: str
    workers: int
    on_progress: Progress | None = None
    keep: bool = False


@dataclass(frozen=True, slots=True)
class _Start:
    """What a worker begins with."""

    dsn: str
    snapshot: str
    common: Common
    standing: Snapshot
    keep: bool


class WorkerFailed(RuntimeError):
    """A process that shared a run's work failed, or ended; what it said last is in the text."""


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


async def walk_spread(
    db: asyncpg.Connection, spread: Spread, common: Common, standing: Snapshot, shares: Sequence[Share]
) -> list[Part]:
    """Return all shares' parts in their order. ``db`` is in the transaction whose snapshot the workers take."""
    snapshot: str | None = await db.fetchval(SQL["export_snapshot"])
    if snapshot is None:
        return [part for share in shares for part in await walk(db, common, standing, share)]
    start = _Start(spread.dsn, snapshot, common, standing, spread.keep)
    found: dict[int, list[Part]] = {}
    waiting = list(enumerate(shares))[::-1]
    total = sum(share.orders for share in shares)

    async def serve(worker: asyncio.subprocess.Process) -> None:
        while waiting:
            number, share = waiting.pop()
            found[number] = await _asked(worker, share)
            if spread.on_progress is not None:
                spread.on_progress(sum(shares[n].orders for n in found), total)

    async with AsyncExitStack() as stack:
        count = max(1, min(spread.workers, len(shares)))
        workers = [await stack.enter_async_context(_worker(start)) for _ in range(count)]
        try:
            async with asyncio.TaskGroup() as group:
                for worker in workers:
                    group.create_task(serve(worker))
        except ExceptionGroup as failed:
            raise failed.exceptions[0] from None
    return [part for number in range(len(shares)) for part in found[number]]


@asynccontextmanager
async def _worker(start: _Start) -> AsyncIterator[asyncio.subprocess.Process]:
    worker = await asyncio.create_subprocess_exec(
        sys.executable, "-P", "-c", "from tieout_reconcile.spreading import main; main()",
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=None, start_new_session=True,
    )  # fmt: skip
    try:
        await _tell(worker, start)
        yield worker
    finally:
        # it only reads: nothing is lost with it
        with contextlib.suppress(ProcessLookupError):
            worker.kill()
        await worker.wait()


async def _tell(worker: asyncio.subprocess.Process, message: Any) -> None:
    assert worker.stdin is not None
    data = pickle.dumps(message, pickle.HIGHEST_PROTOCOL)
    worker.stdin.write(_LENGTH.pack(len(data)) + data)
    with contextlib.suppress(ConnectionError):
        await worker.stdin.drain()


async def _asked(worker: asyncio.subprocess.Process, share: Share) -> list[Part]:
    assert worker.stdout is not None
    await _tell(worker, share)
    try:
        (length,) = _LENGTH.unpack(await worker.stdout.readexactly(_LENGTH.size))
        ok, answer = pickle.loads(await worker.stdout.readexactly(length))  # noqa: S301  from our own process
    except asyncio.IncompleteReadError:
        code = await worker.wait()
        raise WorkerFailed(f"a process of the run ended with {code}: run it again, or with one worker") from None
    if not ok:
        raise WorkerFailed(f"a process of the run failed: {answer}")
    parts: list[Part] = answer
    return parts


def main() -> None:
    """Be a worker: read a start, then share after share, until the input ends."""
    source, sink = sys.stdin.buffer, os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    # whatever else prints must not come between the frames
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    # values without cycles, let go by counting: the collector would only walk them over and over
    gc.disable()
    with contextlib.suppress(EOFError):
        asyncio.run(_work(_read(source), source, sink))


async def _work(start: _Start, source: BinaryIO, sink: BinaryIO) -> None:
    db = await connect(start.dsn)
    # lines are stored by what they say, before the run that says it: one that ends early leaves them for the next
    keeper = await connect(start.dsn) if start.keep else None
    async with db.transaction(isolation="repeatable_read", readonly=True):
        await db.execute(f"set transaction snapshot '{start.snapshot}'")
        while True:
            share = _read(source)
            try:
                parts = await walk(db, start.common, start.standing, share)
                if keeper is not None:
                    await keep_lines(keeper, [chunk for result, _ in parts for chunk in result.crossings.chunks])
                answer: tuple[bool, Any] = True, parts
            except Exception:  # noqa: BLE001  told to the run, which stops
                answer = False, traceback.format_exc()
            data = pickle.dumps(answer, pickle.HIGHEST_PROTOCOL)
            sink.write(_LENGTH.pack(len(data)))
            sink.write(data)
            sink.flush()


def _read(source: BinaryIO) -> Any:
    head = source.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        raise EOFError
    return pickle.loads(source.read(_LENGTH.unpack(head)[0]))  # noqa: S301  from our own process
