"""The making of slots under rules: what the ticker drives instead of the validator."""

from typing import Final

from tieout_localnet.chaos.book import Book
from tieout_localnet.chaos.rules import SLOT_KINDS, Rule
from tieout_localnet.forks import FATES, Forks

WHILE_FORKED: Final = frozenset({"skip"})


class Producer:
    """Makes one slot at a time: a block, or none."""

    def __init__(self, forks: Forks, book: Book) -> None:
        self.forks = forks
        self.book = book
        self._to_skip = 0

    def close_slot(self) -> None:
        """End the open slot in the way that the rules have for it."""
        if self._to_skip:
            self._to_skip -= 1
            self.forks.skip(1)
            return
        rule = self._rule()
        if rule is not None and rule.kind == "skip":
            self._to_skip = rule.length - 1
            self.forks.skip(1)
            return
        if rule is not None:
            self._begin(rule)
        self.forks.close_slot()

    def _rule(self) -> Rule | None:
        if not self.book:
            return None
        # A fork that is under way is not forked again.
        kinds = SLOT_KINDS if self.forks.plan is None else WHILE_FORKED
        return self.book.at_slot(kinds, self.forks.open_slot)

    def _begin(self, rule: Rule) -> None:
        fate = FATES[rule.transactions](f"{self.book.seed}/{rule.name}/{self.forks.open_slot}")
        if rule.kind == "duplicate":
            self.forks.begin(1, fate, duplicate=True)
        else:
            self.forks.begin(rule.depth, fate, rollback=rule.rollback)
