"""The multiplier steps of a mint, worked out from the ledger's rows as ``ledger.multiplier_steps`` does. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

_PUBLIC = frozenset({
    "5eykt4UsFv8P8NJdTREpY1vzqKqZKvdpKuc147dw2N9d",  # mainnet-beta
    "EtWTRABZaYq6iMfeYKouRu166VU2xqa1wcaWoxPkrZBG",  # devnet
    "4uhcVJyU9pJkvQyUS88uRDiswHXSCKY3zQawwpdk2NsY",  # testnet
})  # fmt: skip
_RULE_CHANGED = datetime(2025, 6, 25, tzinfo=UTC)
Step = dict[str, Any]
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NEVER = datetime.max.replace(tzinfo=UTC)
_NO_NUMBER = bytes.fromhex("000000000000f87f")


def instant(seconds: int) -> datetime:
    """A chain's seconds as an instant; what lies beyond the calendar never comes."""
    try:
        return _EPOCH + timedelta(seconds=max(seconds, 0))
    except OverflowError:
        return _NEVER


@dataclass(slots=True)
class _State:
    """A mint's own fields while its updates are followed. Bits None: nobody can say."""

    clock: datetime | None = None
    current: bytes | None = None
    new: bytes | None = None
    new_at: datetime | None = None
    in_snapshot: bool = False

    def in_force(self) -> bytes | None:
        arrived = self.new_at is None or (self.clock is not None and self.clock >= self.new_at)
        return self.new if arrived else self.current


def steps_of(controls: Sequence[Step], declared: int | None, genesis_hash: str | None) -> list[Step]:
    """Return the rows of a mint's steps. ``controls``: its multiplier controls in order, with ``block_time`` as time.

    ``declared``: from which slot on the program follows the rule of today, as somebody declared it.
    """
    state, rows = _State(), list[Step]()
    for number, update in enumerate(controls):
        later = controls[number + 1] if number + 1 < len(controls) else None
        rows += _step(state, update, later, _rule(update, declared, genesis_hash), first=number == 0)
    return rows


def _rule(update: Step, declared: int | None, genesis_hash: str | None) -> str:
    at = update["block_time"]
    if genesis_hash not in _PUBLIC or (declared is not None and update["slot"] >= declared):
        return "current"
    return "older" if declared is not None or (at is not None and at < _RULE_CHANGED) else "undeclared"


def _step(state: _State, update: Step, later: Step | None, rule: str, *, first: bool) -> Iterator[Step]:
    details, at = update["details"], update["block_time"]
    bits = bytes.fromhex(details["bits"]) if details.get("bits") is not None else None
    seconds = max(int(details.get("effective_timestamp") or 0), 0)
    snapshot = bool(details.get("snapshot", False))
    state.clock = at if at is not None else state.clock
    was = state.in_force()
    if snapshot:
        # the account's two fields as they are: the first sets all, the second what is to come
        state.current = state.current if state.in_snapshot else bits
    elif rule == "current":
        state.current = was
    elif rule == "undeclared" and state.current != was:
        state.current = None
    state.in_snapshot = snapshot and not state.in_snapshot
    clock, asked = state.clock, instant(seconds)
    place = {"mint": update["mint"], "announced_slot": update["slot"], "tx_index": update["tx_index"],
             "step": update["step"], "signature": update["signature"], "announced_at": at,
             "effective_seconds": seconds}  # fmt: skip
    if not first and not snapshot and state.current != was and clock is not None and clock < asked:
        fell = {"child": update["child"] - 1, "effective_at": clock, "superseded_slot": None}
        yield place | fell | {"bits": _NO_NUMBER if state.current is None else state.current}
    state.new, state.new_at = bits, asked
    if not snapshot and (clock is None or clock >= asked):
        state.current = bits
    effective = asked if clock is None else max(clock, asked)
    overtaken = later is not None and later["block_time"] is not None and later["block_time"] < effective
    said: dict[str, Any] = {"child": update["child"], "effective_at": effective}
    said["bits"] = _NO_NUMBER if bits is None else bits
    yield place | said | {"superseded_slot": later["slot"] if overtaken and later is not None else None}
