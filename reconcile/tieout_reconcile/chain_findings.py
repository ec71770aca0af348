"""What is told about single movements on chain: one that stands twice, one in a block that the ledger lacks. Pure."""

from collections.abc import Iterator, Sequence

from tieout_reconcile.canonical import Raw
from tieout_reconcile.crossings import Crossing, Kind
from tieout_reconcile.facts import AuthorityChange, Chain, ControlAct
from tieout_reconcile.findings import finding, shares_text
from tieout_reconcile.registry import Announcement, Instrument
from tieout_reconcile.results import Finding
from tieout_reconcile.surprises import surprises

FORCED = frozenset({Kind.SEIZURE, Kind.FORCED_BURN})


def chain_findings(
    instrument: Instrument, chain: Chain, crossings: Sequence[Crossing], announced: Sequence[Announcement] = ()
) -> Iterator[Finding]:
    """Yield what control did unannounced, and crossings that stand at two places of the chain, or in no block."""
    yield from (_handed_over(instrument, change) for change in chain.authority_changes)
    forced = {c.signature for c in crossings if c.kind in FORCED and c.signature is not None}
    for one in surprises(instrument.symbol, chain.control_acts, announced, forced):
        yield _unannounced(instrument, one.act)
    first: dict[str, tuple[int, int]] = {}
    for crossing in crossings:
        if crossing.position is None or crossing.signature is None:
            continue
        place = (crossing.position.slot, crossing.position.tx_index)
        if first.setdefault(crossing.signature, place) != place:
            told = first[crossing.signature]
            again = f"again in transaction {place[1]} of slot {place[0]}"
            why = f"stands in transaction {told[1]} of slot {told[0]} and {again}"
            yield _about("A2", instrument, crossing, why)
        if crossing.position.slot in chain.orphans:
            yield _about("A4", instrument, crossing, f"stands in slot {place[0]}, of which the ledger has no block")


def _handed_over(instrument: Instrument, change: AuthorityChange) -> Finding:
    whose = "nobody, for good" if change.new is None else change.new
    text = f"{instrument.symbol}: the authority {change.kind.replace('_', ' ')} went from {change.authority} to {whose}"
    place = change.position
    return finding(
        "A9", instrument, f"authority/{change.signature}/{place.step}.{place.child}",
        f"{text} in transaction {change.signature} at slot {place.slot}", severity="notice", at=change.at,
        signature=change.signature, details={"kind": change.kind, "new": change.new, "slot": place.slot},
    )  # fmt: skip


def _unannounced(instrument: Instrument, act: ControlAct) -> Finding:
    place = act.position
    return finding(
        "A9", instrument, f"{act.kind}/{act.signature}/{place.step}.{place.child}",
        f"{instrument.symbol}: {act_text(act)} by {act.authority} in transaction {act.signature} at slot {place.slot}, "
        "and nothing announced it", severity="notice", at=act.at, signature=act.signature,
        details={"kind": act.kind, "account": act.account, "value": act.value, "slot": place.slot},
    )  # fmt: skip


def act_text(act: ControlAct) -> str:
    """Return what an act of control did, as people read it: ``the account … was frozen``."""
    match act.kind:
        case "freeze" | "thaw":
            return f"the account {act.account} was {'frozen' if act.kind == 'freeze' else 'thawed'}"
        case "pause" | "resume":
            return f"the mint was {'paused' if act.kind == 'pause' else 'resumed'}"
        case "hook":
            return (
                "the transfer hook was taken off" if act.value is None else f"the transfer hook was set to {act.value}"
            )
        case _:
            return f"the state of new accounts was set to {act.value}"


def _about(code: str, instrument: Instrument, crossing: Crossing, why: str) -> Finding:
    moved = shares_text(crossing.shares, instrument, crossing.raw)
    slot = crossing.position.slot if crossing.position else None
    return finding(
        code, instrument, f"{crossing.key}/{slot}", f"{moved} {crossing.kind}: transaction {crossing.signature} {why}",
        raw=Raw(crossing.raw), shares=crossing.shares, at=crossing.at, signature=crossing.signature,
        details={"slot": slot},
    )  # fmt: skip
