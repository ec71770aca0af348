"""What makes slots: the clock, or a hand."""

import asyncio
import contextlib
from typing import Protocol

from tieout_localnet.clock import ChainClock


class Producer(Protocol):
    """What a tick does."""

    def close_slot(self) -> None:
        """End the open slot, with a block or without."""


class SlotTicker:
    """Closes a slot every `slot_s` seconds while it runs; sleeps otherwise."""

    def __init__(self, producer: Producer, clock: ChainClock, slot_s: float, *, manual: bool) -> None:
        self._producer = producer
        self._clock = clock
        self._slot_s = slot_s
        self._manual = manual
        self._running = asyncio.Event()
        if not manual:
            self._running.set()

    async def run(self) -> None:
        """Tick until cancelled. A late tick moves the schedule: slots are never made in a burst."""
        loop = asyncio.get_running_loop()
        due = loop.time() + self._slot_s
        while True:
            if not self._running.is_set():
                await self._running.wait()
                due = loop.time() + self._slot_s
            await asyncio.sleep(due - loop.time())
            if self._running.is_set():
                self._producer.close_slot()
            due = max(due + self._slot_s, loop.time())

    def pause(self) -> None:
        """Make no slots until resumed."""
        self._running.clear()
        self._clock.pause()

    def resume(self) -> None:
        """Make slots by the clock again; a manual chain becomes a running one."""
        self._manual = False
        self._clock.resume()
        self._running.set()

    def step(self, slots: int) -> None:
        """Close this many slots now."""
        for _ in range(slots):
            self._producer.close_slot()

    def describe(self) -> dict[str, object]:
        """Mode and slot length."""
        mode = "manual" if self._manual else "running" if self._running.is_set() else "paused"
        return {"mode": mode, "slotMs": round(self._slot_s * 1000)}


async def stop(task: asyncio.Task[None]) -> None:
    """Cancel a task and wait until it is gone."""
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
