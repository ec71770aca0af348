"""The rules in force, and the decisions taken by them.

Every decision is drawn from (seed, rule, what it is about): the slot, or the method and how often the rule
has met it. So a seed replays the same misbehaviour for the same requests, whatever the clock does. Pure.
"""

import hashlib
from collections import Counter, deque
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

from tieout_localnet.chaos.rules import RULES_MAX, BadRule, Rule

FIRINGS_KEPT: Final = 10_000
NEVER_UNLESS_NAMED: Final = frozenset({"getHealth"})
"""What asks whether the node is up; a rule for everything leaves it alone."""


@dataclass(frozen=True, slots=True)
class Firing:
    """A decision to misbehave: by which rule, about what."""

    rule: str
    kind: str
    about: str


class Book:
    """The rules, in the order in which they are tried, and how often each has acted."""

    def __init__(self, seed: int, rules: Sequence[Rule] = ()) -> None:
        self.seed = seed
        self.rules = list(rules)
        self.fired: Counter[str] = Counter()
        self.firings: deque[Firing] = deque(maxlen=FIRINGS_KEPT)
        self._met: Counter[tuple[str, str]] = Counter()
        self._added = len(self.rules)

    def __bool__(self) -> bool:
        return bool(self.rules)

    def next_number(self) -> int:
        """A number that no rule has had."""
        return self._added

    def add(self, rule: Rule) -> None:
        """Put a rule after the others."""
        if len(self.rules) >= RULES_MAX:
            raise BadRule(f"too many rules; max {RULES_MAX}")
        if any(held.name == rule.name for held in self.rules):
            raise BadRule(f"there is a rule named {rule.name!r} already")
        self.rules.append(rule)
        self._added += 1

    def clear(self, name: str | None = None) -> int:
        """Remove one rule or all; how many went. A name that returns begins anew."""
        before = len(self.rules)
        gone = [rule.name for rule in self.rules if name in (None, rule.name)]
        self.rules = [rule for rule in self.rules if rule.name not in gone]
        for each in gone:
            self.fired.pop(each, None)
            for key in [key for key in self._met if key[0] == each]:
                del self._met[key]
        return before - len(self.rules)

    def chance(self, rule: Rule, about: str) -> float:
        """The number in [0, 1) that belongs to a rule and a matter."""
        digest = hashlib.sha256(f"{self.seed}/{rule.name}/{about}".encode()).digest()
        return int.from_bytes(digest[:8], "big") / 2**64

    def _fires(self, rule: Rule, about: str, *, again: bool = False) -> bool:
        if rule.count is not None and self.fired[rule.name] >= rule.count and not again:
            return False
        if self.chance(rule, about) >= rule.probability:
            return False
        if not again:
            self.fired[rule.name] += 1
        self.firings.append(Firing(rule.name, rule.kind, about))
        return True

    def at_slot(self, kinds: Collection[str], slot: int) -> Rule | None:
        """The rule that acts on the making of a slot."""
        for rule in self.rules:
            if rule.kind in kinds and rule.concerns(slot) and self._fires(rule, f"slot {slot}"):
                return rule
        return None

    def on_request(self, kinds: Collection[str], method: str, open_slot: int) -> Rule | None:
        """The rule that acts on a request or a notification, while `open_slot` is open."""
        for rule in self.rules:
            if rule.kind not in kinds or not rule.concerns(open_slot) or not _names(rule, method):
                continue
            self._met[rule.name, method] += 1
            if self._fires(rule, f"{method} {self._met[rule.name, method]}"):
                return rule
        return None

    def about_slot(self, kinds: Collection[str], method: str, slot: int) -> Rule | None:
        """The rule that acts on an answer about a slot, as long as it has attempts left for it.

        Whether a slot is lied about is decided once; `attempts` says how often.
        """
        for rule in self.rules:
            if rule.kind not in kinds or not rule.concerns(slot) or not _names(rule, method):
                continue
            about = f"{method} of {slot}"
            met = self._met[rule.name, about]
            if rule.attempts and met >= rule.attempts:
                continue
            if self._fires(rule, about, again=met > 0):
                self._met[rule.name, about] += 1
                return rule
        return None

    def of_kind(self, kind: str, method: str) -> Rule | None:
        """The first rule of a kind that names a method; for what is true all the time."""
        return next((rule for rule in self.rules if rule.kind == kind and _names(rule, method)), None)


def _names(rule: Rule, method: str) -> bool:
    if rule.methods:
        return method in rule.methods
    return method not in NEVER_UNLESS_NAMED
