"""A second endpoint that serves the same chain some blocks late, as a lagging node behind a load balancer."""

from collections import deque

from tieout_localnet.chain import Commitment, Slot
from tieout_localnet.slots import SlotClosed, Switched
from tieout_localnet.subscriptions import Hub
from tieout_localnet.validator import Validator


class LaggingValidator(Validator):
    """The validator as somebody sees it who is so many blocks behind. Writes go to the real one."""

    def __init__(self, main: Validator, behind: int) -> None:
        # Everything that is not set here is the real validator's: see __getattr__.
        self._main = main
        self._behind = behind
        # What came from disk at the start has no older states to show.
        self._oldest = main.chain.root
        main.chain.retained_blocks = max(main.chain.retained_blocks, behind + 2)

    def __getattr__(self, name: str) -> object:
        return getattr(self._main, name)

    def position(self, commitment: Commitment) -> Slot:
        """The newest block at a level, less the lag."""
        slot = self._main.chain.back(self._main.position(commitment), self._behind)
        return max(slot, min(self._oldest, self._main.position(commitment)))


class LateHub:
    """Tells subscribers of the twin what happened so many slots ago."""

    def __init__(self, hub: Hub, behind: int) -> None:
        self._hub = hub
        self._behind = behind
        self._events: deque[SlotClosed | Switched] = deque()

    def slot_closed(self, event: SlotClosed) -> None:
        """A slot became a block."""
        self._later(event)

    def switched(self, event: Switched) -> None:
        """Another branch is followed."""
        self._later(event)

    def _later(self, event: SlotClosed | Switched) -> None:
        self._events.append(event)
        while len(self._events) > self._behind:
            due = self._events.popleft()
            if isinstance(due, SlotClosed):
                self._hub.slot_closed(due)
            else:
                self._hub.switched(due)
