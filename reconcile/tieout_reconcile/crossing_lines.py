"""Each crossing as a run tells it: with its cause, what of it is owed, and what stands behind it. Pure.

A line is written as its canonical JSON at once (RFC 8785: keys sorted, no space): there are as many as orders.
"""

from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from json.encoder import encode_basestring

from tieout_reconcile.bridge import BridgeMessage
from tieout_reconcile.crossings import Crossing, Kind
from tieout_reconcile.exact import decimal_text, decimals_of
from tieout_reconcile.fitting import residue
from tieout_reconcile.lines import CrossingLines
from tieout_reconcile.matching import RULE_VERSION, Match, Matching
from tieout_reconcile.registry import Role, instant_text

_CAUSES = {
    Kind.SEIZURE: "forced",
    Kind.FORCED_BURN: "forced",
    Kind.HOLDER_BURN: "dust",
    Kind.ROLE_CHANGE: "registry",
    Kind.HIDDEN: "hidden",
}
_NOWHERE = ("null", "null", "null", "null")


def crossing_lines(
    crossings: Sequence[Crossing], matching: Matching, owed: Mapping[str, int], bridged: Mapping[str, BridgeMessage]
) -> CrossingLines:
    """Return a line for each crossing, in their order."""
    by_key: dict[str, list[Match]] = {}
    by_order: dict[str, list[Crossing]] = {}
    for found in matching.matches:
        by_key.setdefault(found.crossing.key, []).append(found)
        if found.order is not None and found.order.shares is not None and found.refunds is None:
            by_order.setdefault(found.order.request_id, []).append(found.crossing)
    return CrossingLines.of_texts(_texts(crossings, by_key, by_order, owed, bridged))


def _texts(
    crossings: Sequence[Crossing],
    by_key: Mapping[str, Sequence[Match]],
    by_order: Mapping[str, Sequence[Crossing]],
    owed: Mapping[str, int],
    bridged: Mapping[str, BridgeMessage],
) -> Iterator[str]:
    shares, names = _Shares(), _Names()
    for crossing in crossings:
        message, matches = bridged.get(crossing.key), by_key.get(crossing.key, ())
        found = [_match(m, by_order) for m in matches]
        if message is not None:
            found.append(_text_of_match(crossing.raw, None, message.message_id, None, "bridge", "exact"))
        cause = "bridge" if message is not None else _cause(crossing, matches)
        slot, tx_index, step, child = crossing.position or _NOWHERE
        yield (
            f'{{"account":{names[crossing.account]},"at":"{instant_text(crossing.at)}","cause":"{cause}",'
            f'"child":{child},"counterparty":{names[crossing.counterparty]},'
            f'"counterparty_role":{names[crossing.counterparty_role]},"crossing":{encode_basestring(crossing.key)},'
            f'"direction":"{"out" if crossing.outward else "in"}","issuer_role":{names[crossing.issuer_role]},'
            f'"kind":"{crossing.kind}","matches":[{",".join(found)}],"owed":"{owed.get(crossing.key, 0)}",'
            f'"raw":"{crossing.raw}","shares":{shares.text(crossing)},"signature":{_text(crossing.signature)},'
            f'"slot":{slot},"step":{step},"tx_index":{tx_index}}}'
        )


class _Names(dict[str | None, str]):
    """Texts as JSON, each written once: accounts and roles come again and again."""

    def __missing__(self, value: str | None) -> str:
        text = self[value] = _text(value)
        return text


def _text(value: str | None) -> str:
    return "null" if value is None else encode_basestring(value)


class _Shares:
    """Raw amounts in shares: as ``decimal_text``, with the unit's decimals worked out once a unit."""

    def __init__(self) -> None:
        self._unit: Fraction | None = None
        self._scale, self._places = 0, 0

    def text(self, crossing: Crossing) -> str:
        """Return the shares of a crossing as JSON."""
        if crossing.unit is None:
            return "null"
        if crossing.unit is not self._unit:
            self._unit = crossing.unit
            self._scale, self._places = decimals_of(crossing.unit)
        digits, places = str(crossing.raw * self._scale), self._places
        if not places:
            return f'"{digits}"'
        digits = digits.rjust(places + 1, "0")
        return f'"{f"{digits[:-places]}.{digits[-places:]}".rstrip("0").rstrip(".")}"'


def _match(match: Match, by_order: Mapping[str, Sequence[Crossing]]) -> str:
    left, order = None, match.order
    # several orders may share a crossing: then no one order has a residue of its own
    if order is not None and order.token_shares is not None and match.refunds is None and match.rule != "joint":
        moved = by_order[order.request_id]
        left = residue(order, moved) if sum(c.raw for c in moved) >= match.raw else None
    refunds = match.refunds.key if match.refunds else None
    request_id = order.request_id if order else None
    return _text_of_match(match.raw, refunds, request_id, left or None, match.rule, match.status)


def _text_of_match(
    raw: int, refunds: str | None, request_id: str | None, left: Fraction | None, rule: str, status: str
) -> str:
    over = "null" if left is None else f'"{decimal_text(left)}"'
    return (
        f'{{"raw":"{raw}","refunds":{_text(refunds)},"request_id":{_text(request_id)},"residue":{over},'
        f'"rule":"{rule}","rule_version":{RULE_VERSION},"status":"{status}"}}'
    )


def _cause(crossing: Crossing, matches: Sequence[Match]) -> str:
    if matches:
        return "refund" if matches[0].refunds else "order"
    if crossing.counterparty_role is Role.BRIDGE:
        return "bridge"
    return _CAUSES.get(crossing.kind, "unknown")
