"""The roll-forward: opening + what happened = closing, in raw and in shares, nothing netted away. Pure.

In raw the quantity outside the issuer's wallets changes by boundary crossings alone. In shares it also
changes when the multiplier does: each step of the chain stands on a line of its own, over the raw quantity that
was outside at its instant, be it taken back by the next one with no crossing between them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction
from typing import Any

from tieout_reconcile.exact import decimal_text, f64
from tieout_reconcile.facts import Chain, multiplier_in_force
from tieout_reconcile.liability import unit_of
from tieout_reconcile.lines import CrossingLine
from tieout_reconcile.results import InstrumentResult

Moment = tuple[int | None, datetime | None]
"""A slot and its instant; a change of role has no slot."""


@dataclass(frozen=True, slots=True)
class _Change:
    """A multiplier that was announced at a slot and in effect from an instant, as shares a raw unit."""

    slot: int
    at: datetime
    unit: Fraction


def roll_forward(
    result: InstrumentResult, chain: Chain, slot: int | None, at: datetime | None, end: Moment
) -> dict[str, Any] | None:
    """Return an instrument's roll-forward from an opening slot and its instant (None: from nothing) to its end.

    None where the closing figures are unknown: there is nothing to roll forward to.
    """
    if result.circulating is None or result.multiplier is None or result.supply is None:
        return None
    before = [c for c in result.crossings if _is_before(c, slot, at)]
    during = [c for c in result.crossings if not _is_before(c, slot, at)]
    raw_open = sum(map(_signed, before))
    unit_open = _unit_at(chain, slot, at, result.decimals)
    steps, unit = list[dict[str, str]](), unit_open
    ahead = [s for s in _standing(chain, end, result.decimals) if slot is None or not _reached(s, (slot, at))]
    outside, shares = raw_open, raw_open * (unit_open or Fraction(0))
    opening_shares, moved_shares = shares, Fraction(0)
    for crossing in [*during, None]:
        now = unit_of(result.multiplier, result.decimals) if crossing is None else _unit(crossing)
        if now is None:
            return None
        moment = end if crossing is None else (crossing.slot, crossing.at)
        passed = [s.unit for s in ahead if _reached(s, moment)]
        ahead = [s for s in ahead if not _reached(s, moment)]
        for after in [*passed, now]:
            if unit is not None and after != unit:
                steps.append({"outside_raw": str(outside), **_step(unit, after, result.decimals, outside)})
            unit = after
        if crossing is not None:
            outside += _signed(crossing)
            moved_shares += _signed(crossing) * now
    closing_shares = result.circulating * unit_of(result.multiplier, result.decimals)
    stepped = sum((Fraction(step["shares"]) for step in steps), Fraction(0))
    minted, burned = (_total(chain, kind, slot) for kind in ("mint", "burn"))
    return {
        "symbol": result.symbol,
        "supply": {
            "opening": str(int(result.supply) - minted + burned),
            "minted": str(minted),
            "burned": str(burned),
            "closing": str(int(result.supply)),
        },
        "outside_raw": {
            "opening": str(raw_open),
            "moved": _by_kind(during),
            "closing": str(int(result.circulating)),
            "unexplained": str(int(result.circulating) - outside),
        },
        "outside_shares": {
            "opening": decimal_text(opening_shares),
            "moved": decimal_text(moved_shares),
            "multiplier_steps": steps,
            "closing": decimal_text(closing_shares),
            "unexplained": decimal_text(closing_shares - opening_shares - moved_shares - stepped),
        },
    }


def _standing(chain: Chain, end: Moment, decimals: int) -> list[_Change]:
    """The multipliers that came into force by the end, in the order in which they counted."""
    told = sorted((m for m in chain.multipliers if m.superseded_slot is None), key=lambda m: m.position)
    valued = ((m, f64(m.bits)) for m in told)
    changes = [
        _Change(m.position.slot, m.effective_at, unit_of(value, decimals))
        for m, value in valued
        if value is not None and value > 0
    ]
    return [change for change in changes if _reached(change, end)]


def _reached(change: _Change, moment: Moment) -> bool:
    """Whether a multiplier counts at a moment: announced by its slot, and in effect by its instant."""
    slot, at = moment
    return (slot is None or change.slot <= slot) and (at is None or change.at <= at)


def _is_before(crossing: CrossingLine, slot: int | None, at: datetime | None) -> bool:
    """Whether a crossing belongs to the opening; a change of role has no slot, its instant decides."""
    if slot is None:
        return False
    if crossing.slot is not None:
        return crossing.slot <= slot
    return at is not None and crossing.at <= at


def _signed(crossing: CrossingLine) -> int:
    return int(crossing.raw) if crossing.direction == "out" else -int(crossing.raw)


def _unit(crossing: CrossingLine) -> Fraction | None:
    return None if crossing.shares is None else crossing.shares / int(crossing.raw)


def _unit_at(chain: Chain, slot: int | None, at: datetime | None, decimals: int) -> Fraction | None:
    if slot is None or at is None:
        return None
    found = multiplier_in_force(chain.multipliers, slot, at)
    return None if found is None else unit_of(found.value, decimals)


def _step(before: Fraction, after: Fraction, decimals: int, outside: int) -> dict[str, str]:
    scale = 10**decimals
    return {
        "from": decimal_text(before * scale),
        "to": decimal_text(after * scale),
        "shares": decimal_text(outside * (after - before)),
    }


def _total(chain: Chain, kind: str, after: int | None) -> int:
    return sum(e.amount for e in chain.movements if e.kind == kind and (after is None or e.position.slot > after))


def _by_kind(crossings: Sequence[CrossingLine]) -> list[dict[str, Any]]:
    kinds: dict[tuple[str, str], list[int]] = {}
    for crossing in crossings:
        kinds.setdefault((crossing.direction, crossing.kind), []).append(int(crossing.raw))
    return [
        {"direction": direction, "kind": kind, "count": len(amounts), "raw": str(sum(amounts))}
        for (direction, kind), amounts in sorted(kinds.items())
    ]
