"""Settled statements carried forward by dated movements, over periods of which every movement is known. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from fractions import Fraction

from tieout_reconcile.corporate import CorporateAction
from tieout_reconcile.inputs import Business
from tieout_reconcile.liability import Statement
from tieout_reconcile.movements import CustodyMovement, Span, covered_to

Place = tuple[str, str]


def spans_by_place(spans: Sequence[Span]) -> dict[Place, list[Span]]:
    """Return the known periods of each (custodian, account)."""
    found: dict[Place, list[Span]] = {}
    for span in spans:
        found.setdefault(span.place, []).append(span)
    return found


def rolled(statements: Mapping[Place, Statement], business: Business, at: datetime | None) -> dict[Place, Statement]:
    """Return each statement rolled as far towards an instant as its account's movements are known without a hole."""
    if at is None:
        return dict(statements)
    spans = spans_by_place(business.spans)
    settled: dict[Place, list[CustodyMovement]] = {}
    for movement in business.movements:
        if movement.settled_at is not None and movement.quantity:
            settled.setdefault(movement.place, []).append(movement)
    return {place: _rolled(s, spans.get(place, ()), settled.get(place, ()), at) for place, s in statements.items()}


def _rolled(
    statement: Statement, spans: Sequence[Span], movements: Sequence[CustodyMovement], at: datetime
) -> Statement:
    reached = covered_to(spans, statement.as_of, at)
    if reached == statement.as_of:
        return statement
    moved: dict[str, Fraction] = {}
    for movement in movements:
        if movement.settled_at is not None and statement.as_of < movement.settled_at <= reached:
            moved[movement.isin] = moved.get(movement.isin, Fraction(0)) + movement.quantity
    # an ISIN that the statement leaves out stays unknown: what moved is not what is there
    quantities = {isin: held + moved.get(isin, Fraction(0)) for isin, held in statement.quantities.items()}
    return replace(statement, as_of=reached, quantities=quantities, stated_at=statement.as_of, moved=moved)


def isins_of(isin: str, actions: Sequence[CorporateAction], at: datetime) -> tuple[str, ...]:
    """Return every ISIN under which an instrument's shares may be held at an instant, its own first."""
    found = [isin]
    renames = [a for a in actions if a.renames and a.effective_at is not None and a.effective_at <= at]
    grown = True
    while grown:
        grown = False
        for action in renames:
            pair = (action.isin, action.new_isin or action.isin)
            for one, other in (pair, pair[::-1]):
                if one in found and other not in found:
                    found.append(other)
                    grown = True
    return tuple(found)
