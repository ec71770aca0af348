"""Each crossing as a run tells it: with its cause, what of it is owed, and what stands behind it. Pure."""

from collections.abc import Mapping, Sequence

from tieout_reconcile.bridge import BridgeMessage
from tieout_reconcile.canonical import Raw
from tieout_reconcile.crossings import Crossing, Kind
from tieout_reconcile.fitting import residue
from tieout_reconcile.matching import RULE_VERSION, Match, Matching
from tieout_reconcile.registry import Role
from tieout_reconcile.results import CrossingLine, MatchLine

_CAUSES = {
    Kind.SEIZURE: "forced",
    Kind.FORCED_BURN: "forced",
    Kind.HOLDER_BURN: "dust",
    Kind.ROLE_CHANGE: "registry",
    Kind.HIDDEN: "hidden",
}


def crossing_lines(
    crossings: Sequence[Crossing], matching: Matching, owed: Mapping[str, int], bridged: Mapping[str, BridgeMessage]
) -> tuple[CrossingLine, ...]:
    """Return a line for each crossing, in their order."""
    by_key: dict[str, list[Match]] = {}
    by_order: dict[str, list[Crossing]] = {}
    for found in matching.matches:
        by_key.setdefault(found.crossing.key, []).append(found)
        if found.order is not None and found.refunds is None:
            by_order.setdefault(found.order.request_id, []).append(found.crossing)
    return tuple(_line(c, by_key.get(c.key, []), owed.get(c.key, 0), bridged.get(c.key), by_order) for c in crossings)


def _line(
    crossing: Crossing,
    matches: Sequence[Match],
    owed: int,
    message: BridgeMessage | None,
    by_order: Mapping[str, Sequence[Crossing]],
) -> CrossingLine:
    place = crossing.position
    found = tuple(_match(m, by_order) for m in matches)
    if message is not None:
        found += (MatchLine(message.message_id, "bridge", RULE_VERSION, "exact", Raw(crossing.raw), None),)
    return CrossingLine(
        crossing=crossing.key,
        kind=str(crossing.kind),
        direction="out" if crossing.outward else "in",
        raw=Raw(crossing.raw),
        shares=crossing.shares,
        at=crossing.at,
        slot=place.slot if place else None,
        tx_index=place.tx_index if place else None,
        step=place.step if place else None,
        child=place.child if place else None,
        signature=crossing.signature,
        account=crossing.account,
        issuer_role=str(crossing.issuer_role) if crossing.issuer_role else None,
        counterparty=crossing.counterparty,
        counterparty_role=str(crossing.counterparty_role) if crossing.counterparty_role else None,
        cause="bridge" if message is not None else _cause(crossing, matches),
        owed=Raw(owed),
        matches=found,
    )


def _match(match: Match, by_order: Mapping[str, Sequence[Crossing]]) -> MatchLine:
    left = None
    if match.order is not None and match.refunds is None and len(by_order[match.order.request_id]) >= 1:
        moved = by_order[match.order.request_id]
        # several orders may share a crossing: then no one order has a residue of its own
        left = residue(match.order, moved) if sum(c.raw for c in moved) >= match.raw and match.rule != "joint" else None
    return MatchLine(
        match.order.request_id if match.order else None,
        match.rule,
        RULE_VERSION,
        match.status,
        Raw(match.raw),
        match.refunds.key if match.refunds else None,
        left or None,
    )


def _cause(crossing: Crossing, matches: Sequence[Match]) -> str:
    if matches:
        return "refund" if matches[0].refunds else "order"
    if crossing.counterparty_role is Role.BRIDGE:
        return "bridge"
    return _CAUSES.get(crossing.kind, "unknown")
