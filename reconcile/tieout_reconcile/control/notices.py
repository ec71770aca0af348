"""Notices as they are written: each change of an alert, numbered without gaps in commit order."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import asyncpg

from tieout_reconcile.control.alerts import Alert, Notice
from tieout_reconcile.control.reading import SQL


def ended(row: Any) -> Alert:
    """Return the alert of a stored notice, as it is told again when it ends."""
    return Alert(row["labels"], row["annotations"], row["reason"], row["mint"], row["crossing"], row["act"])


def changes_of(
    rows: Sequence[Any], wanted: Mapping[int, Alert | None], about: str
) -> list[tuple[Alert, datetime | None]]:
    """Return what changes: an alert that begins (None beside it), and one that ends (with its start).

    ``rows`` is how each alert about the things ``wanted`` stands; ``about`` is the column of their numbers.
    """
    firing: dict[int, list[Any]] = {}
    for row in rows:
        if row["status"] == "firing":
            firing.setdefault(row[about], []).append(row)
    changes: list[tuple[Alert, datetime | None]] = []
    for number, alert in sorted(wanted.items()):
        open_ = firing.get(number, [])
        kept = None if alert is None else alert.fingerprint
        changes += [(ended(row), row["starts_at"]) for row in open_ if row["fingerprint"] != kept]
        if alert is not None and all(row["fingerprint"] != alert.fingerprint for row in open_):
            changes.append((alert, None))
    return changes


async def write_notices(
    db: asyncpg.Connection, changes: Iterable[tuple[Alert, datetime | None]], now: datetime
) -> tuple[Notice, ...]:
    """Write notices under the next numbers; each change is an alert that fires, or (with its start) that ends.

    Hold ``lock`` already.
    """
    changes = list(changes)
    if not changes:
        return ()
    last: int = await db.fetchval(SQL["last_notice"])
    notices = []
    for number, (alert, started) in enumerate(changes, last + 1):
        status, ends = ("firing", None) if started is None else ("resolved", now)
        notices.append(
            Notice(
                number, alert.fingerprint, status, alert.reason, alert.mint, alert.crossing, alert.labels,
                alert.annotations, started or now, ends, now, alert.act,
            )
        )  # fmt: skip
    await db.executemany(
        SQL["insert_notice"],
        [
            (
                n.notice, n.fingerprint, n.status, n.reason, n.mint, n.crossing, dict(n.labels), dict(n.annotations),
                n.starts_at, n.ends_at, n.act,
            )
            for n in notices
        ],
    )  # fmt: skip
    await db.execute(SQL["tell"], str(notices[-1].notice))
    return tuple(notices)
