"""Work that waits for nothing, in turns with what else the event loop has to do.

Reading a block takes tens of milliseconds of pure work. Meanwhile a commit is under way, whose rows go to the server a
socket's buffer at a time: unless the loop comes round every few milliseconds, both the commit and the server stand
still, and the next commit has to wait for it.
"""

import asyncio
import time
from collections.abc import Generator, Iterator
from typing import Generic, TypeVar

T = TypeVar("T")
Work = Generator[None, None, T]
"""Pure work in small steps, and what comes of it."""

_TURN_S = 0.002
"""How long work goes on before others have their turn; to pass it on costs tens of microseconds."""


class _Steps(Generic[T]):
    """The steps of some work; once they are over, ``result`` is what came of it."""

    result: T

    def __init__(self, work: Work[T]) -> None:
        self._work = work

    def __iter__(self) -> Iterator[None]:
        self.result = yield from self._work


def at_once(work: Work[T]) -> T:
    """Do all of the work, and return what comes of it."""
    steps = _Steps(work)
    for _ in steps:
        pass
    return steps.result


async def in_turns(work: Work[T]) -> T:
    """Do all of the work, the loop's other tasks having their turn in between, and return what comes of it."""
    steps = _Steps(work)
    ends = time.monotonic() + _TURN_S
    for _ in steps:
        if time.monotonic() > ends:
            await asyncio.sleep(0)
            ends = time.monotonic() + _TURN_S
    return steps.result
