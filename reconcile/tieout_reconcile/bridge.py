"""Bridge messages: what left one chain for another. Pure.

Columns: ``message_id, symbol, direction, network, raw, sent_at`` and optionally ``signature,
remote_reference, delivered_at``. ``out``: burned or put into escrow here at ``sent_at``; ``in``: minted or
released here at ``delivered_at``. ``signature`` is our side's transaction. ``raw`` is in our units.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from tieout_reconcile import fields
from tieout_reconcile.canonical import Raw, to_plain
from tieout_reconcile.files import InputFile, Problems, Row, choice, csv_rows, parse_instant
from tieout_reconcile.registry import Registry

REQUIRED = frozenset({"message_id", "symbol", "direction", "network", "raw", "sent_at"})
OPTIONAL = frozenset({"signature", "remote_reference", "delivered_at"})
DIRECTIONS = ("out", "in")


@dataclass(frozen=True, slots=True)
class BridgeMessage:
    """One version of a message."""

    line: int
    message_id: str
    mint: str
    direction: str
    network: str
    raw: Raw
    signature: str | None
    remote_reference: str | None
    sent_at: datetime
    delivered_at: datetime | None

    @property
    def ours_at(self) -> datetime | None:
        """When our side of it happened, None when it has not yet."""
        return self.sent_at if self.direction == "out" else self.delivered_at

    @property
    def theirs_at(self) -> datetime | None:
        """When the other side of it happened, None when it has not yet."""
        return self.delivered_at if self.direction == "out" else self.sent_at

    def to_json(self) -> dict[str, Any]:
        """Return plain values; quantities as text."""
        return to_plain(self)


def parse_messages(file: InputFile, registry: Registry) -> list[BridgeMessage]:
    """Return the messages of a file. Raises BadInput with the line of each fault."""
    problems, seen = Problems(file.name), fields.Seen("message_id")
    symbols = {i.symbol: i for i in registry.instruments}
    messages = []
    for row in csv_rows(file, REQUIRED, OPTIONAL, problems):
        instrument = fields.instrument_of(row, symbols)
        if (message := _message(row, instrument.mint if instrument else "")) is not None and instrument is not None:
            seen.check(message.message_id, row)
            messages.append(message)
    problems.refuse_if_any()
    return messages


def _message(row: Row, mint: str) -> BridgeMessage | None:
    identity, direction = row.parsed("message_id", fields.key), row.parsed("direction", choice(*DIRECTIONS))
    network, raw = row.parsed("network", fields.key), row.parsed("raw", fields.positive_raw)
    signature, remote = row.optional("signature", fields.signature), row.optional("remote_reference", fields.key)
    sent_at, delivered_at = row.parsed("sent_at", parse_instant), row.optional("delivered_at", parse_instant)
    if sent_at is not None and delivered_at is not None and delivered_at < sent_at:
        row.fault(f"delivered_at {delivered_at} is before sent_at {sent_at}")
    if identity is None or direction is None or network is None or raw is None or sent_at is None:
        return None
    return BridgeMessage(
        row.line, identity, mint, direction, network, Raw(raw), signature, remote, sent_at, delivered_at
    )
