"""What a scenario says beforehand, what was found, and the difference. Pure.

A story is told by its moments (each a reconciliation: a verdict and every finding with code, quantity and
reference) and by facts beside them. Found is as told only where all of it is the same, nothing less and nothing more.
"""

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from tieout.output import exact


@dataclass(frozen=True, slots=True)
class Line:
    """A finding. ``reference``: the story's name of a transaction, else the request, else the instrument.

    ``quantity`` is in ``unit`` (shares where they are known, else raw); None: it has none.
    """

    code: str
    quantity: Fraction | None
    reference: str
    unit: str = "shares"
    notice: bool = False

    def __str__(self) -> str:
        much = "" if self.quantity is None else f" of {exact(self.quantity)} {self.unit}"
        return f"{self.code}{much} at {self.reference}{' (a notice)' if self.notice else ''}"

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        quantity = None if self.quantity is None else exact(self.quantity)
        unit = None if self.quantity is None else self.unit
        severity = "notice" if self.notice else "break"
        return {
            "code": self.code, "severity": severity, "quantity": quantity, "unit": unit, "reference": self.reference,
        }  # fmt: skip


def told(code: str, quantity: str | int | Fraction | None, reference: str) -> Line:
    """A break in shares, as it is told beforehand."""
    return Line(code, None if quantity is None else Fraction(quantity), reference)


def noticed(code: str, quantity: str | int | Fraction | None, reference: str) -> Line:
    """A notice in shares, as it is told beforehand."""
    return Line(code, None if quantity is None else Fraction(quantity), reference, notice=True)


@dataclass(frozen=True, slots=True)
class Moment:
    """One reconciliation of the story."""

    name: str
    verdict: str
    lines: tuple[Line, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {"moment": self.name, "verdict": self.verdict, "findings": [line.to_json() for line in self.lines]}


@dataclass(frozen=True, slots=True)
class Fact:
    """Something counted or compared in the story, beside its reconciliations."""

    what: str
    value: str | int | bool

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {"fact": self.what, "value": self.value}


@dataclass(frozen=True, slots=True)
class Telling:
    """All that is told of a story, or all that was found in it."""

    moments: tuple[Moment, ...]
    facts: tuple[Fact, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {"moments": [m.to_json() for m in self.moments], "facts": [f.to_json() for f in self.facts]}


@dataclass(frozen=True, slots=True)
class Scenario:
    """A story: ``purpose`` in a line, whom it ``concerns``, the real case that it ``mirrors``, how it is played."""

    name: str
    purpose: str
    concerns: str
    mirrors: str
    telling: Telling
    play: Callable[[Any], Awaitable[None]] = field(repr=False)


def differences(told: Telling, found: Telling) -> list[str]:
    """Say in sentences what was told and not found, and what was found and not told; empty: it is the same."""
    names = [m.name for m in told.moments], [m.name for m in found.moments]
    if names[0] != names[1]:
        return [f"told were the moments {', '.join(names[0])}; found were {', '.join(names[1]) or 'none'}"]
    said = [s for a, b in zip(told.moments, found.moments, strict=True) for s in _of_moment(a, b)]
    missing, surplus = _apart([*told.facts], [*found.facts])
    said += [f"told and not found: {fact.what} = {fact.value}" for fact in missing]
    return said + [f"found and not told: {fact.what} = {fact.value}" for fact in surplus]


def _of_moment(told: Moment, found: Moment) -> list[str]:
    said = []
    if told.verdict != found.verdict:
        said.append(f"{told.name}: the verdict is {found.verdict}, told was {told.verdict}")
    missing, surplus = _apart([*told.lines], [*found.lines])
    said += [f"{told.name}: told and not found: {line}" for line in missing]
    return said + [f"{told.name}: found and not told: {line}" for line in surplus]


def _apart(told: Sequence[Any], found: Sequence[Any]) -> tuple[list[Any], list[Any]]:
    """What is in the first and not in the second, and the other way round; each as often as it is."""
    first, second = Counter(told), Counter(found)
    return list((first - second).elements()), list((second - first).elements())
