"""Alerts as values: their labels and fingerprints, and the signed message that tells a receiver. Pure.

The message has the shape of Alertmanager's webhook, version 4, one alert each, so that what is told about
one fingerprint stays in order and can be told again without harm.
"""

import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from tieout_reconcile.control.judging import Alarm, Judgement
from tieout_reconcile.control.limits import Receiver
from tieout_reconcile.crossings import Crossing, Kind
from tieout_reconcile.exact import decimal_text
from tieout_reconcile.registry import Instrument, instant_text

TEXT_CHARACTERS_MAX = 1_000
_FINGERPRINT_LETTERS = 32
_NO_TIME = "0001-01-01T00:00:00Z"
_SEVERE = {Alarm.OVERSIZED, Alarm.DUPLICATE, Alarm.WRONG_PARTY}
RUNBOOK = "docs/runbook.md"


@dataclass(frozen=True, slots=True)
class Alert:
    """What an alert says. Its labels are its identity; annotations are for people and may differ each time."""

    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    reason: str
    mint: str | None
    crossing: int | None = None
    act: int | None = None

    @property
    def fingerprint(self) -> str:
        """The same for the same labels, whatever their order."""
        said = json.dumps(dict(self.labels), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(said.encode()).hexdigest()[:_FINGERPRINT_LETTERS]


@dataclass(frozen=True, slots=True)
class Notice:
    """One change of an alert, as stored: it fires or is resolved; and who acknowledged that it fires."""

    notice: int
    fingerprint: str
    status: str
    reason: str
    mint: str | None
    crossing: int | None
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    starts_at: datetime
    ends_at: datetime | None
    made_at: datetime
    act: int | None = None
    acknowledged_by: str | None = None
    acknowledged_at: datetime | None = None
    acknowledged_note: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        plain = {name: getattr(self, name) for name in ("notice", "fingerprint", "status", "reason", "mint")}
        names = ("starts_at", "ends_at", "made_at", "acknowledged_at")
        times = {name: instant_text(getattr(self, name)) for name in names}
        plain |= {"acknowledged_by": self.acknowledged_by, "acknowledged_note": self.acknowledged_note}
        return plain | {"labels": dict(self.labels), "annotations": dict(self.annotations)} | times


def severity_of(alarm: Alarm, crossing: Crossing) -> str:
    """What goes out without an order is worst; a holder who burns gives up the claim."""
    if alarm in _SEVERE or crossing.outward:
        return "critical"
    return "info" if crossing.kind is Kind.HOLDER_BURN else "warning"


def crossing_alert(crossing: Crossing, number: int, instrument: Instrument, judgement: Judgement) -> Alert:
    """Return the alert of a crossing that has no order, or more than its order."""
    assert judgement.alarm is not None
    labels = {
        "alertname": str(judgement.alarm),
        "severity": severity_of(judgement.alarm, crossing),
        "symbol": instrument.symbol,
        "mint": instrument.mint,
        "kind": str(crossing.kind),
        "direction": "out" if crossing.outward else "in",
        "crossing": crossing.key,
    }
    place = crossing.position
    said = {
        "summary": judgement.text[:TEXT_CHARACTERS_MAX],
        "reason": judgement.reason,
        "raw": str(crossing.raw),
        "shares": None if crossing.shares is None else decimal_text(crossing.shares),
        "at": instant_text(crossing.at),
        "slot": None if place is None else str(place.slot),
        "signature": crossing.signature,
        "counterparty": crossing.counterparty,
        "request_id": judgement.request_id,
        "runbook": f"{RUNBOOK}#crossingsunexplained",
    }
    annotations = {name: text for name, text in said.items() if text is not None}
    return Alert(labels, annotations, judgement.reason, instrument.mint, number)


def body_of(notice: Notice, receiver: Receiver, external_url: str) -> bytes:
    """Return the webhook's body: Alertmanager's version 4 with one alert."""
    group = {name: notice.labels[name] for name in ("alertname", "mint") if name in notice.labels}
    key = "{}:{" + ", ".join(f"{name}={json.dumps(text)}" for name, text in group.items()) + "}"
    signature = notice.annotations.get("signature")
    link = f"{external_url.rstrip('/')}/tx/{signature}" if external_url and signature else external_url
    alert = {
        "status": notice.status,
        "labels": dict(notice.labels),
        "annotations": dict(notice.annotations),
        "startsAt": instant_text(notice.starts_at),
        "endsAt": instant_text(notice.ends_at) or _NO_TIME,
        "generatorURL": link,
        "fingerprint": notice.fingerprint,
    }
    message = {
        "version": "4",
        "groupKey": key,
        "truncatedAlerts": 0,
        "status": notice.status,
        "receiver": receiver.name,
        "groupLabels": group,
        "commonLabels": dict(notice.labels),
        "commonAnnotations": dict(notice.annotations),
        "externalURL": external_url,
        "alerts": [alert],
    }
    return json.dumps(message, separators=(",", ":")).encode()


def signed_headers(body: bytes, notice: Notice, receiver: Receiver, now_s: float) -> dict[str, str]:
    """Return the headers: when it was sent, HMAC-SHA256 over time, a dot and the body, and the key of the delivery.

    The key is the same however often it is tried: who has seen it has seen this message.
    """
    sent = str(int(now_s))
    digest = hmac.new(receiver.secret, sent.encode() + b"." + body, hashlib.sha256).hexdigest()
    return {
        "Content-Type": "application/json",
        "User-Agent": "tieout-control",
        "Idempotency-Key": f"{notice.fingerprint}-{notice.notice}",
        "Tieout-Signature": f"t={sent},v1={digest}",
    }
