"""Settled statements carried forward by dated movements, over periods of which every movement is known. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from fractions import Fraction

from tieout_reconcile.corporate import CorporateAction
from tieout_reconcile.inputs import Business
from tieout_reconcile.liability import Statement, collateral
from tieout_reconcile.movements import CustodyMovement, Span, covered_to
from tieout_reconcile.registry import Instrument, Registry

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
    """Return every ISIN under which an instrument's shares may be held at an instant, its own first.

    A changed ISIN names the same share, whichever of the two the registry has. A merger's new share was another
    company's before: the shares of the one that is gone are never its.
    """
    found = [isin]
    renames = [a for a in actions if a.renames and a.effective_at is not None and a.effective_at <= at]
    grown = True
    while grown:
        grown = False
        for action in renames:
            pair = (action.isin, action.new_isin or action.isin)
            for one, other in (pair, pair[::-1]) if action.kind == "isin_change" else (pair,):
                if one in found and other not in found:
                    found.append(other)
                    grown = True
    return tuple(found)


def contested(
    instrument: Instrument,
    registry: Registry,
    actions: Sequence[CorporateAction],
    statements: Mapping[Place, Statement],
    at: datetime,
) -> Iterator[tuple[Place, str, str]]:
    """Yield what two instruments would count: (account, ISIN, the other instrument's symbol).

    After a merger the shares of both may lie in one account under one ISIN, and nothing says whose they are.
    """
    isins, places = set(isins_of(instrument.isin, actions, at)), collateral(instrument, registry, at)
    for other in registry.instruments:
        shared = isins & set(isins_of(other.isin, actions, at)) if other.mint != instrument.mint else set()
        for place in sorted(places & collateral(other, registry, at)) if shared else ():
            held = statements[place].quantities if place in statements else {}
            yield from ((place, isin, other.symbol) for isin in sorted(shared) if held.get(isin))
