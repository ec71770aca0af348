"""Many tasks, one commit: what they want written while the disk is busy goes down together."""

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar, cast

from tieout_client.errors import JournalUnavailable
from tieout_client.journal import Journal

T = TypeVar("T")


class GroupedWrites:
    """Writes of one event loop to one journal. Each is on disk when ``do`` returns; a lone one does not wait."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._waiting: list[tuple[Callable[[], Any], asyncio.Future[Any]]] = []
        self._writing: asyncio.Task[None] | None = None

    async def do(self, step: Callable[[], T]) -> T:
        """Run a ``record`` or ``mark`` in the next transaction. Raises what it raises, and JournalUnavailable."""
        done: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting.append((step, done))
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._write())
        return cast("T", await done)

    async def _write(self) -> None:
        while self._waiting:
            group, self._waiting = self._waiting, []
            try:
                outcomes = await asyncio.to_thread(self._journal.together, [step for step, _ in group])
            except JournalUnavailable as broken:
                outcomes = [broken] * len(group)
            except BaseException:
                for _, done in group:
                    done.cancel()
                raise
            for (_, done), outcome in zip(group, outcomes, strict=True):
                if done.done():
                    continue
                if isinstance(outcome, Exception):
                    done.set_exception(outcome)
                else:
                    done.set_result(outcome)
