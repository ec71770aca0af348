"""What is told about bridge messages: which have no other side, differ, or are under way for too long. Pure."""

from collections.abc import Iterator
from datetime import datetime
from fractions import Fraction

from tieout_reconcile.bridge import BridgeMessage
from tieout_reconcile.bridging import Bridged
from tieout_reconcile.canonical import Raw
from tieout_reconcile.findings import finding, shares_text
from tieout_reconcile.registry import Instrument, instant_text
from tieout_reconcile.results import Finding


def bridge_findings(instrument: Instrument, bridged: Bridged, unit: Fraction | None, at: datetime) -> Iterator[Finding]:
    """Yield a break for each message that is not paired, not delivered in time, or of another quantity."""
    told = set()
    for message in bridged.missing:
        did = "burned or put into escrow" if message.direction == "out" else "minted or released"
        told.add(message.message_id)
        yield _about(
            "C10", instrument, message, unit, f"was {did} here by its own word, and no movement here stands for it"
        )
    for one in bridged.mismatched:
        moved = one.crossing.raw if one.crossing is not None else 0
        told.add(one.message.message_id)
        text = f"moved {moved} raw here in transaction {one.crossing.signature if one.crossing else None}"
        yield _about("C5", instrument, one.message, unit, text, moved - one.message.raw)
    for message in bridged.late:
        if message.message_id not in told:
            hours = int((at - message.sent_at).total_seconds() // 3600)
            text = f"is under way for {hours} hours, {instrument.bridge_hours_max} are allowed"
            yield _about("C10", instrument, message, unit, text)


def _about(
    code: str, instrument: Instrument, message: BridgeMessage, unit: Fraction | None, text: str, raw: int | None = None
) -> Finding:
    size = message.raw if raw is None else Raw(raw)
    shares = None if unit is None else size * unit
    way = "to" if message.direction == "out" else "from"
    quantity = shares_text(None if unit is None else message.raw * unit, instrument, message.raw)
    sent = instant_text(message.sent_at)
    head = f"the bridge message {message.message_id}, {quantity} {way} {message.network}, sent {sent},"
    return finding(
        code, instrument, f"bridge/{message.message_id}", f"{head} {text}", raw=size, shares=shares, at=message.sent_at,
        signature=message.signature,
        details={"message_id": message.message_id, "network": message.network, "direction": message.direction},
    )  # fmt: skip
