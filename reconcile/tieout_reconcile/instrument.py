"""One instrument, from facts to result: the whole reconciliation as a pure function.

It fails closed: whatever is not proven or not known becomes a reason, a reason makes the verdict
``incomplete``, and the figure in question is None.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from fractions import Fraction

from tieout_reconcile.canonical import Raw
from tieout_reconcile.crossings import Crossing, Kind, RoleBook, find_crossings
from tieout_reconcile.exact import rounded_text
from tieout_reconcile.facts import Chain, Multiplier, multiplier_in_force
from tieout_reconcile.findings import (
    difference_text,
    encumbrance_finding,
    figure_finding,
    movement_findings,
    order_findings,
    overdue_finding,
    settlement_finding,
)
from tieout_reconcile.liability import (
    Quantities,
    Statement,
    Tolerance,
    custody_lines,
    holdings_by_role,
    issuer_balances,
    overdue_trades,
    quantities,
    still_owed,
    tolerance_of,
    unit_of,
    unsettled_trades,
    verdict_of,
)
from tieout_reconcile.matching import RULE_VERSION, Match, Matching, match
from tieout_reconcile.orders import Order
from tieout_reconcile.registry import Instrument, Registry, Role
from tieout_reconcile.results import (
    CrossingLine,
    CustodyLine,
    Finding,
    InstrumentResult,
    MatchLine,
    RoleLine,
    TradeLine,
    Verdict,
)
from tieout_reconcile.trades import Trade

_NEVER = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class CutOff:
    """The slot, and its instant by the chain's clock; None where no proven slot gives one."""

    slot: int
    at: datetime | None


@dataclass(frozen=True, slots=True)
class Book:
    """What the business says, as known: registry, orders and trades of all instruments, statements by account."""

    registry: Registry
    orders: Sequence[Order]
    statements: Mapping[tuple[str, str], Statement]
    later_statements: Mapping[tuple[str, str], datetime]
    trades: Sequence[Trade] = ()


@dataclass(frozen=True, slots=True)
class _Doubt:
    """A reason for ``incomplete``: its code, what tells it from others, the sentence."""

    code: str
    anchor: str
    text: str


def reconcile_instrument(
    instrument: Instrument, book: Book, chain: Chain, cut_off: CutOff
) -> tuple[InstrumentResult, tuple[Finding, ...]]:
    """Return an instrument's result and its findings, in a fixed order."""
    at = cut_off.at or max([m.at for m in chain.movements], default=_NEVER)
    roles = RoleBook(book.registry, instrument.symbol)

    def multiplier_at(slot: int, when: datetime) -> Multiplier | None:
        # no step at all means no scaling only where the mint's creation was read
        unread = chain.gap is not None and not chain.multipliers
        return None if unread else multiplier_in_force(chain.multipliers, slot, when)

    units: dict[Fraction, Fraction] = {}

    def unit_at(slot: int, when: datetime) -> Fraction | None:
        found = multiplier_at(slot, when)
        if found is None:
            return None
        return units.get(found.value) or units.setdefault(found.value, unit_of(found.value, instrument.decimals))

    walked = find_crossings(chain.movements, chain.owner_changes, roles, unit_at, at)
    orders = [o for o in book.orders if o.mint == instrument.mint]
    matching = match(orders, walked.found, at)
    owed = still_owed(walked.found, matching, at)
    multiplier = multiplier_at(cut_off.slot, at)
    accounts: tuple[CustodyLine, ...] = ()
    if cut_off.at is not None:
        accounts = custody_lines(instrument, book.registry, book.statements, book.later_statements, at)
    totals = None
    if chain.gap is None and chain.supply is not None and cut_off.at is not None:
        totals = quantities(chain.supply, holdings_by_role(chain.holdings, roles, at), owed, walked.found)
    doubts = list(_doubts(instrument, chain, cut_off, multiplier, accounts))
    if totals is not None:
        on_ledger = issuer_balances(chain.holdings, roles, at)
        doubts += _drift(instrument, totals.circulating, walked.outside, on_ledger, walked.issuer_balances)
    trades = unsettled_trades(instrument, book.registry, book.trades, at)
    known = _Known(instrument, book.registry, totals, multiplier, accounts, trades, tuple(doubts))
    figures = _figures(known)
    result = _result(known, figures, _lines(walked.found, matching, owed))
    findings = [figure_finding(d.code, instrument, d.anchor, d.text) for d in doubts]
    findings += _verdict_findings(instrument, figures, trades)
    findings += [encumbrance_finding(instrument, line) for line in accounts if line.encumbered]
    findings += [overdue_finding(instrument, t) for t in overdue_trades(instrument, book.registry, book.trades, at)]
    findings += movement_findings(instrument, walked.found, orders, matching, at)
    if totals is not None:
        findings += order_findings(instrument, orders, matching, at)
    return result, tuple(sorted(findings, key=lambda f: f.key))


def _doubts(
    instrument: Instrument,
    chain: Chain,
    cut_off: CutOff,
    multiplier: Multiplier | None,
    accounts: Sequence[CustodyLine],
) -> Iterator[_Doubt]:
    if chain.gap is not None:
        yield _Doubt("A1", "", f"{instrument.symbol}: {chain.gap}")
    elif cut_off.at is None:
        yield _Doubt("A1", "", f"{instrument.symbol}: no block time is known at or before slot {cut_off.slot}")
    if chain.decimals is not None and chain.decimals != instrument.decimals:
        yield _Doubt(
            "A7",
            "decimals",
            f"{instrument.symbol}: the registry says {instrument.decimals} decimals, the chain says {chain.decimals}",
        )
    for found in chain.findings:
        yield _Doubt(
            "A7",
            f"{found.audit}/{found.subject}",
            f"{instrument.symbol}: an audit of the ledger ({found.audit}) differs on {found.subject}: "
            f"expected {found.expected}, found {found.found}",
        )
    if multiplier is None and chain.gap is None:
        yield _Doubt("B12", "", f"{instrument.symbol}: no multiplier is known to be in force at slot {cut_off.slot}")
    if cut_off.at is None:
        return
    if not accounts:
        yield _Doubt(
            "B6",
            "no account",
            f"{instrument.symbol}: no custody account is registered as its collateral at the cut-off",
        )
    for line in accounts:
        if line.code is not None:
            place = f"{line.custodian}/{line.account}"
            yield _Doubt(line.code, place, f"{instrument.symbol} at {place}: {line.problem}")


def _drift(
    instrument: Instrument, circulating: int, walked: int, on_ledger: dict[str, int], by_walk: dict[str, int]
) -> list[_Doubt]:
    """The list of crossings must explain each unit outside; where it does not, it is not complete."""
    if circulating == walked and on_ledger == by_walk:
        return []
    odd = sorted(a for a in on_ledger.keys() | by_walk.keys() if on_ledger.get(a, 0) != by_walk.get(a, 0))
    return [
        _Doubt(
            "A6",
            "crossings",
            f"{instrument.symbol}: the ledger's balances leave {circulating} raw outside, "
            f"the crossings explain {walked} "
            f"(accounts that differ: {', '.join(odd) or 'none'})",
        )
    ]


@dataclass(frozen=True, slots=True)
class _Known:
    """What is known of an instrument, and what speaks against it."""

    instrument: Instrument
    registry: Registry
    totals: Quantities | None
    multiplier: Multiplier | None
    accounts: tuple[CustodyLine, ...]
    trades: tuple[TradeLine, ...]
    doubts: tuple[_Doubt, ...]

    @property
    def unsettled(self) -> Fraction:
        """The shares to come by unsettled trades, less those to go."""
        return sum((t.shares for t in self.trades), Fraction(0))


@dataclass(frozen=True, slots=True)
class _Figures:
    verdict: Verdict
    liability: Fraction | None
    custody: Fraction | None
    difference: Fraction | None
    tolerance: Tolerance | None


def _figures(known: _Known) -> _Figures:
    shares = [line.shares for line in known.accounts if line.shares is not None]
    custody = sum(shares, Fraction(0)) if known.accounts and len(shares) == len(known.accounts) else None
    disagree = any(doubt.anchor == "decimals" for doubt in known.doubts)
    if known.totals is None or known.multiplier is None or disagree:
        return _Figures(Verdict.INCOMPLETE, None, custody, None, None)
    unit = unit_of(known.multiplier.value, known.instrument.decimals)
    liability = known.totals.liability * unit
    tolerance = tolerance_of(known.instrument, known.registry, known.accounts, unit)
    if custody is None:
        return _Figures(Verdict.INCOMPLETE, liability, None, None, tolerance)
    difference = custody - liability
    verdict = Verdict.INCOMPLETE if known.doubts else verdict_of(difference, known.unsettled, tolerance)
    return _Figures(verdict, liability, custody, difference, tolerance)


def _verdict_findings(instrument: Instrument, figures: _Figures, trades: Sequence[TradeLine]) -> Iterator[Finding]:
    if figures.difference is None or figures.liability is None or figures.custody is None or figures.tolerance is None:
        return
    sizes = f"custody {rounded_text(figures.custody, 9)}, liability {rounded_text(figures.liability, 9)}"
    amount = difference_text(figures.difference, instrument)
    if figures.verdict is Verdict.TIES_OUT_IN_SETTLEMENT:
        yield settlement_finding(instrument, figures.difference, trades)
    elif figures.verdict is Verdict.DOES_NOT_TIE_OUT and figures.difference < 0:
        yield figure_finding("B1", instrument, "", f"{amount} are not backed: {sizes}", figures.difference)
    elif figures.verdict is Verdict.DOES_NOT_TIE_OUT:
        text = f"{amount} more in custody than owed: {sizes}; tolerance {figures.tolerance.derivation}"
        yield figure_finding("B2", instrument, "", text, figures.difference)


def _result(known: _Known, figures: _Figures, crossings: tuple[CrossingLine, ...]) -> InstrumentResult:
    instrument, totals, tolerance = known.instrument, known.totals, figures.tolerance
    multiplier = known.multiplier if totals else None
    return InstrumentResult(
        symbol=instrument.symbol,
        mint=instrument.mint,
        isin=instrument.isin,
        decimals=instrument.decimals,
        verdict=figures.verdict,
        reasons=tuple(d.text for d in known.doubts),
        supply=Raw(totals.supply) if totals else None,
        inventory=Raw(totals.inventory) if totals else None,
        in_transit=Raw(totals.in_transit) if totals else None,
        circulating=Raw(totals.circulating) if totals else None,
        owed_returns=Raw(totals.owed_returns) if totals else None,
        owed_forced=Raw(totals.owed_forced) if totals else None,
        liability_raw=Raw(totals.liability) if totals else None,
        multiplier_bits=multiplier.bits if multiplier else None,
        multiplier=multiplier.value if multiplier else None,
        liability=figures.liability,
        custody=figures.custody,
        difference=figures.difference,
        tolerance_short=tolerance.short if tolerance else None,
        tolerance_over=tolerance.over if tolerance else None,
        tolerance_derivation=figures.tolerance.derivation
        if figures.tolerance
        else "not derived: the liability is unknown",
        roles=tuple(RoleLine(str(role), Raw(raw)) for role, raw in totals.roles) if totals else (),
        accounts=known.accounts,
        crossings=crossings,
        unsettled=known.unsettled,
        custody_traded=None if figures.custody is None else figures.custody + known.unsettled,
        trades=known.trades,
    )


def _lines(crossings: Sequence[Crossing], matching: Matching, owed: dict[str, int]) -> tuple[CrossingLine, ...]:
    by_key: dict[str, list[Match]] = {}
    for found in matching.matches:
        by_key.setdefault(found.crossing.key, []).append(found)
    return tuple(_line(c, by_key.get(c.key, []), owed.get(c.key, 0)) for c in crossings)


def _line(crossing: Crossing, matches: Sequence[Match], owed: int) -> CrossingLine:
    place = crossing.position
    return CrossingLine(
        crossing=crossing.key,
        kind=str(crossing.kind),
        direction="out" if crossing.outward else "in",
        raw=Raw(crossing.raw),
        shares=crossing.shares,
        at=crossing.at,
        slot=place.slot if place else None,
        tx_index=place.tx_index if place else None,
        step=place.step if place else None,
        child=place.child if place else None,
        signature=crossing.signature,
        account=crossing.account,
        issuer_role=str(crossing.issuer_role) if crossing.issuer_role else None,
        counterparty=crossing.counterparty,
        counterparty_role=str(crossing.counterparty_role) if crossing.counterparty_role else None,
        cause=_cause(crossing, matches),
        owed=Raw(owed),
        matches=tuple(
            MatchLine(
                m.order.request_id if m.order else None,
                m.rule,
                RULE_VERSION,
                m.status,
                Raw(m.raw),
                m.refunds.key if m.refunds else None,
            )
            for m in matches
        ),
    )


_CAUSES = {
    Kind.SEIZURE: "forced",
    Kind.FORCED_BURN: "forced",
    Kind.HOLDER_BURN: "dust",
    Kind.ROLE_CHANGE: "registry",
    Kind.HIDDEN: "hidden",
}


def _cause(crossing: Crossing, matches: Sequence[Match]) -> str:
    if matches:
        return "refund" if matches[0].refunds else "order"
    if crossing.counterparty_role is Role.BRIDGE:
        return "bridge"
    return _CAUSES.get(crossing.kind, "unknown")
