"""The chain's own clock: runs with the wall clock, is stepped by hand, is paused or moved forward.

Unix seconds as float inside, whole seconds on the chain. It never goes back: block times only grow.
"""

import time
from collections.abc import Callable


class ChainClock:
    """Unix time of the chain."""

    def __init__(
        self, start: float, *, running: bool, slot_s: float, wall: Callable[[], float] = time.time
    ) -> None:
        self._wall = wall
        self._slot_s = slot_s
        self._floor = start
        self._offset = start - wall()
        self.running = running

    def next_slot(self) -> int:
        """The unix time of the slot that opens now."""
        running = self._wall() + self._offset if self.running else self._floor + self._slot_s
        self._floor = max(self._floor, running)
        return int(self._floor)

    def pause(self) -> None:
        """Stop following the wall clock: from now on each slot adds its nominal length."""
        self.running = False

    def resume(self) -> None:
        """Follow the wall clock again, from where the chain's time is."""
        self._offset = self._floor - self._wall()
        self.running = True

    def move_to(self, unix_s: float) -> bool:
        """Move forward to a time; False, and nothing changes, when that lies in the past."""
        if unix_s < self._floor:
            return False
        self._floor = unix_s
        self._offset = unix_s - self._wall()
        return True

    def now(self) -> float:
        """The chain's time at this moment, as the open slot's successor would have it."""
        return max(self._floor, self._wall() + self._offset if self.running else self._floor)
