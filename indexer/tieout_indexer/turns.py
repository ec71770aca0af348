"""Work that waits for nothing, in turns with what else the event loop has to do.

Reading a block takes tens of milliseconds of pure work. Meanwhile a commit is under way, whose rows go to the server a
socket's buffer at a time: unless the loop comes round every few milliseconds, both the commit and the server stand
still, and the next commit has to wait for it.
"""

import asyncio
import time
from collections.abc import Generator
from typing import TypeVar

T = TypeVar("T")
Work = Generator[None, None, T]
"""Pure work in small steps, and what comes of it."""

_TURN_S = 0.002
"""How long work goes on before others have their turn: a thousand times what passing it on costs."""


def at_once(work: Work[T]) -> T:
    """Do all of the work, and return what comes of it."""
    while True:
        try:
            next(work)
        except StopIteration as end:
            result: T = end.value
            return result


async def in_turns(work: Work[T]) -> T:
    """Do all of the work, the loop's other tasks having their turn in between, and return what comes of it."""
    ends = time.monotonic() + _TURN_S
    while True:
        try:
            next(work)
        except StopIteration as end:
            result: T = end.value
            return result
        if time.monotonic() > ends:
            await asyncio.sleep(0)
            ends = time.monotonic() + _TURN_S
