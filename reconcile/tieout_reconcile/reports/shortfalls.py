"""Cover and notifications of shortfalls in a report: what was recorded when it was made, as it was signed. Pure."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from tieout_reconcile.reports import signing

SIGNED = ("key", "kind", "assets", "since", "recipient", "shares", "document", "note", "actor")
"""What the body of an action and its line say alike."""


def shortfall_faults(lines: Sequence[Mapping[str, Any]], run: Mapping[str, Any]) -> list[str]:
    """Return what does not hold: a line of no break, a signature that is not its maker's, a body that differs."""
    breaks = {f["key"] for f in run["findings"] if f["severity"] == "break"}
    return [fault for line in lines if (fault := _fault(line, breaks)) is not None]


def _fault(line: Mapping[str, Any], breaks: set[str]) -> str | None:
    what = f"action {line['action']}"
    if line["key"] not in breaks:
        return f"{what} is about no break of this run"
    body = json.loads(line["body"])
    odd = [name for name in SIGNED if body.get(name) != line[name]]
    if odd:
        return f"{what} says another {odd[0]} than its maker did"
    # a session of the desk signs nothing: the audit log has its entry
    if line["signature"] is not None and not signing.is_signed_by(
        line["public_key"] or "", line["signature"], line["body"].encode()
    ):
        return f"{what} is not signed by {line['actor']}"
    return None
