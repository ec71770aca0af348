"""Which acts of control nobody announced, and which of them were taken back since. Pure.

An act is announced by the registry (``[[announced]]``), or by being part of a seizure that is told by itself. What
changes nothing, and what a mint or an account was created with, surprises nobody; nor does the first thaw of an
account that was opened frozen: under an allowlist that is how a holder is let in.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from tieout_reconcile.facts import ControlAct
from tieout_reconcile.registry import Announcement

_SWITCHES = {"freeze": "account", "thaw": "account", "pause": "mint", "resume": "mint"}
_STATES = {"freeze": "frozen", "thaw": "thawed", "pause": "paused", "resume": "running"}
_INITIAL = {"account": "thawed", "mint": "running"}
_OF_A_SEIZURE = ("freeze", "thaw")
_Switch = tuple[str, str | None]


@dataclass(frozen=True, slots=True)
class Surprise:
    """An act that nothing announced. ``undone``: a later one brought back what stood before it, or was announced."""

    act: ControlAct
    undone: bool


def surprises(
    symbol: str, acts: Sequence[ControlAct], announced: Sequence[Announcement], forced: Collection[str]
) -> tuple[Surprise, ...]:
    """Return an instrument's acts that nothing announced, in their order.

    ``forced`` are the signatures of transactions in which the permanent delegate took tokens.
    """
    by_switch: dict[_Switch, list[ControlAct]] = {}
    for act in sorted(acts, key=lambda a: a.position):
        by_switch.setdefault(_switch(act), []).append(act)
    found = [one for rows in by_switch.values() for one in _of_switch(symbol, rows, announced, forced)]
    return tuple(sorted(found, key=lambda s: s.act.position))


def _switch(act: ControlAct) -> _Switch:
    """What the act sets: acts of one switch undo each other."""
    what = _SWITCHES.get(act.kind, act.kind)
    return what, act.account if what == "account" else None


def _of_switch(
    symbol: str, acts: Sequence[ControlAct], announced: Sequence[Announcement], forced: Collection[str]
) -> list[Surprise]:
    state: str | None = _INITIAL.get(_switch(acts[0])[0])
    told: list[ControlAct] = []
    waiting: list[tuple[ControlAct, str | None]] = []
    undone: set[ControlAct] = set()
    for act in acts:
        before, state = state, _STATES.get(act.kind, act.value)
        if _is_given(act) or _is_known(symbol, act, announced, forced):
            undone |= {one for one, _ in waiting}
            waiting.clear()
        elif state != before:
            told.append(act)
            back = [n for n, (_, was) in enumerate(waiting) if was == state]
            if back:
                # through however many steps, it is as it was before the first of them
                undone |= {act, *(one for one, _ in waiting[back[0] :])}
                del waiting[back[0] :]
            else:
                waiting.append((act, before))
    return [Surprise(act, act in undone) for act in told]


def _is_given(act: ControlAct) -> bool:
    """Whether it only says how things stand: a snapshot's row, or what the mint was created with."""
    return not act.signature or (act.kind not in _SWITCHES and act.authority is None)


def _is_known(symbol: str, act: ControlAct, announced: Sequence[Announcement], forced: Collection[str]) -> bool:
    if act.kind in _OF_A_SEIZURE and act.signature in forced:
        return True
    return any(one.covers(symbol, act.kind, act.account, act.at) for one in announced)
