"""Forks, skipped slots and duplicate blocks, made on purpose.

A fork of depth d begins at the tip, its base: the next d blocks are made as ever but none is confirmed, for
the votes are divided. When the d-th is complete the cluster turns out to have followed another leader: the
d blocks are given up, and the next slot is built on the base. Their transactions meet one of the fates below.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from tieout_localnet.chain import CannotSwitch, Slot, SlotNode
from tieout_localnet.pool import Fate, Pending
from tieout_localnet.slots import SlotClosed, Switched
from tieout_localnet.validator import Validator

DEPTH_MAX: Final = 31
SKIP_MAX: Final = 1_000


def elsewhere(waiting: list[Pending]) -> list[Pending]:
    """All are sent again, in the same order: they land in other slots."""
    return waiting


def lost(waiting: list[Pending]) -> list[Pending]:
    """None is sent again: unless the client does, they never land."""
    return []


def reversed_order(waiting: list[Pending]) -> list[Pending]:
    """All are sent again, the last one first: what depended on an earlier one has another result."""
    return waiting[::-1]


def mixed(seed: str) -> Fate:
    """Shuffled, and each lost with a chance of one in three; the same for the same seed."""

    def draw(waiting: list[Pending]) -> list[Pending]:
        chance = random.Random(seed)
        kept = [pending for pending in waiting if chance.random() > 1 / 3]
        chance.shuffle(kept)
        return kept

    return draw


FATES: Final[dict[str, Callable[[str], Fate]]] = {
    "elsewhere": lambda _: elsewhere,
    "lost": lambda _: lost,
    "reversed": lambda _: reversed_order,
    "mixed": mixed,
}
"""What becomes of the transactions of a branch that was given up, by name; made from a seed."""


@dataclass(frozen=True, slots=True)
class Plan:
    """A fork under way: so many more blocks until its branch is given up."""

    base: SlotNode
    remaining: int
    fate: Fate
    rollback: bool
    duplicate: bool


class Forks:
    """Makes slots, and what goes wrong with them; one fork at a time."""

    def __init__(self, validator: Validator) -> None:
        self._validator = validator
        self.plan: Plan | None = None

    @property
    def open_slot(self) -> Slot:
        """The slot that is being filled."""
        return self._validator.open.slot

    def close_slot(self) -> SlotClosed:
        """Make a block of the open slot; ends the fork under way when that was its last."""
        event = self._validator.close_slot()
        plan = self.plan
        if plan is not None:
            self.plan = replace(plan, remaining=plan.remaining - 1)
            if self.plan.remaining == 0:
                self._end(plan, event.node.block.slot)
        return event

    def _end(self, plan: Plan, slot: Slot) -> None:
        self.plan = None
        self._validator.chain.contest(None)
        reopen = slot if plan.duplicate else None
        self._validator.follow(plan.base, plan.fate, rollback=plan.rollback, reopen=reopen)
        if plan.duplicate:
            self._validator.close_slot()

    def skip(self, slots: int) -> Switched:
        """Leave the open slot and perhaps those after it without a block."""
        return self._validator.skip_slots(slots)

    def begin(self, depth: int, fate: Fate, *, rollback: bool = False, duplicate: bool = False) -> None:
        """Let the next `depth` blocks be a branch that is given up afterwards.

        With `rollback` they are confirmed as they come, so that giving them up breaks the promise of that
        level. A `duplicate` gives up one block, and makes another one in the same slot.
        """
        if self.plan is not None:
            raise CannotSwitch(f"a fork is under way: {self.plan.remaining} more blocks until it ends")
        chain = self._validator.chain
        if not rollback:
            chain.contest(chain.tip.block.slot)
        self.plan = Plan(chain.tip, depth, fate, rollback, duplicate)

    def give_up(self, depth: int, fate: Fate, *, rollback: bool = False) -> Switched:
        """Give up the newest `depth` complete blocks now."""
        if self.plan is not None:
            raise CannotSwitch(f"a fork is under way: {self.plan.remaining} more blocks until it ends")
        base: SlotNode | None = self._validator.chain.tip
        for _ in range(depth):
            base = None if base is None else base.parent
        if base is None:
            raise CannotSwitch(f"there are no {depth} blocks to give up")
        return self._validator.follow(base, fate, rollback=rollback)

    def switch(self, blockhash: str, fate: Fate, *, rollback: bool = False) -> Switched:
        """Follow the branch of a block that was given up before."""
        if self.plan is not None:
            raise CannotSwitch(f"a fork is under way: {self.plan.remaining} more blocks until it ends")
        target = self._validator.chain.find(blockhash)
        if target is None:
            raise CannotSwitch(f"no block {blockhash} on a branch that can still be followed")
        return self._validator.follow(target, fate, rollback=rollback)
