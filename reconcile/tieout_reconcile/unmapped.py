"""Positions under an ISIN that belongs to no registered instrument: kept, named, and counted for nothing. Pure."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from fractions import Fraction
from typing import Any

from tieout_reconcile.calendars import Calendar, day_begins, day_of
from tieout_reconcile.corporate import CorporateAction
from tieout_reconcile.exact import rounded_text
from tieout_reconcile.findings import EVERY, NAMES
from tieout_reconcile.instrument import Book
from tieout_reconcile.registry import instant_text
from tieout_reconcile.results import Finding
from tieout_reconcile.rolling import isins_of
from tieout_reconcile.three_way import expiry

_STRANGE = "which belongs to no instrument of the registry"


def unmapped(book: Book, at: datetime | None) -> Iterator[Finding]:
    """Yield a break for each position of a statement in force under an ISIN that nothing maps.

    An ISIN under which an announced action brings an instrument's shares is known; what was spun off is a
    window of its action, to be sold, until the day by which the action had to be booked: from then on it is a break.
    """
    if at is None:
        return
    actions = book.business.actions
    known = {i for one in book.registry.instruments for i in isins_of(one.isin, actions, at)}
    spun_off = {a.new_isin: a for a in actions if a.kind == "spin_off" and a.status == "announced"}
    coming = {a.new_isin for a in actions if a.renames}
    for (custodian, account), statement in sorted(book.statements.items()):
        for isin, quantity in sorted(statement.quantities.items()):
            if isin in known or isin in coming or not quantity:
                continue
            place, stated = f"{custodian}/{account}", statement.stated_at or statement.as_of
            text = f"{_size(quantity)} of {isin} lie at {place} by the statement of {instant_text(stated)}"
            details = {"isin": isin, "load": statement.load}
            action = spun_off.get(isin)
            if action is None:
                yield _told("B7", f"{isin}/{place}", f"{text}, {_STRANGE}", quantity, stated, details)
            else:
                last = expiry(action, None, _calendar(book, action, at))
                details |= {"action_id": action.action_id, "expires_on": last.isoformat()}
                if day_of(at) <= last:
                    why = f"spun off by {action.action_id}, to be sold and reinvested by {last}"
                    yield _told("B4", f"{isin}/{place}", f"{text}, {why}", quantity, stated, details)
                else:
                    why = f"spun off by {action.action_id}, {_STRANGE}: it was to be sold and reinvested by {last}"
                    over = day_begins(last + timedelta(days=1))
                    yield _told("B7", f"{isin}/{place}", f"{text}, {why}", quantity, over, details)


def _calendar(book: Book, action: CorporateAction, at: datetime) -> Calendar:
    """The business days of the instrument whose action it is."""
    actions = book.business.actions
    of_it = (i for i in book.registry.instruments if action.isin in isins_of(i.isin, actions, at))
    instrument = next(of_it, None)
    return book.registry.calendar(None if instrument is None else instrument.calendar)


def _told(code: str, anchor: str, text: str, quantity: Fraction, since: datetime, details: dict[str, Any]) -> Finding:
    severity = "break" if code == "B7" else "notice"
    key = f"{code}/{anchor}"
    return Finding(key, code, NAMES[code], severity, EVERY, text, shares=quantity, at=since, details=details)


def _size(quantity: Fraction) -> str:
    return f"{rounded_text(quantity, 9)} shares"
