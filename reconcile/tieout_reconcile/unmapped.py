"""Positions under an ISIN that belongs to no registered instrument: kept, named, and counted for nothing. Pure."""

from collections.abc import Iterator
from datetime import datetime
from fractions import Fraction

from tieout_reconcile.exact import rounded_text
from tieout_reconcile.findings import EVERY, NAMES
from tieout_reconcile.instrument import Book
from tieout_reconcile.registry import instant_text
from tieout_reconcile.results import Finding
from tieout_reconcile.rolling import isins_of


def unmapped(book: Book, at: datetime | None) -> Iterator[Finding]:
    """Yield a break for each position of a statement in force under an ISIN that nothing maps.

    An ISIN under which an announced action brings an instrument's shares is known; what was spun off is a
    window of its action, to be sold.
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
            action = spun_off.get(isin)
            code, severity = ("B7", "break") if action is None else ("B4", "notice")
            why = (
                "which belongs to no instrument of the registry"
                if action is None
                else f"spun off by {action.action_id}, to be sold and reinvested"
            )
            place = f"{custodian}/{account}"
            stated = statement.stated_at or statement.as_of
            yield Finding(
                f"{code}/{isin}/{place}", code, NAMES[code], severity, EVERY,
                f"{_size(quantity)} of {isin} lie at {place} by the statement of {instant_text(stated)}, {why}",
                shares=quantity, at=stated, details={"isin": isin, "load": statement.load},
            )  # fmt: skip


def _size(quantity: Fraction) -> str:
    return f"{rounded_text(quantity, 9)} shares"
