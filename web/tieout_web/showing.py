"""From a run to what is shown: the same values for pages, API and compatibility shapes. Pure."""

from datetime import datetime
from fractions import Fraction
from typing import Any, Literal

from tieout_reconcile import Attached, CustodyLine, InstrumentResult, Run, decimal_text
from tieout_reconcile.reports.practitioner import words
from tieout_web.freshness import Freshness, coverage_ratio, ripcord_reasons, verdict_now
from tieout_web.models import AsOf, Custody, Figure, HeadroomAnswer, PractitionerStatement, Reserve, Supply, SupplyLine

Unit = Literal["raw", "shares", "ratio"]


def figure(value: Any, unit: Unit, fresh: bool) -> Figure:
    """Return a quantity, its value null unless it is fresh."""
    if isinstance(value, Fraction):
        value = decimal_text(value)
    text = None if value is None else str(value)
    return Figure(value=text if fresh else None, last_value=text, unit=unit)


def as_of(run: Run) -> AsOf:
    """Return a run's cut-off."""
    inputs = run.inputs
    return AsOf(
        run=run.run or 0,
        slot=inputs.as_of_slot,
        time=inputs.as_of_time,
        blockhash=inputs.blockhash,
        digest=run.digest,
    )


def practitioner(one: Attached) -> PractitionerStatement:
    """Return a practitioner's statement that holds."""
    said = one.signed.statement
    return PractitionerStatement(
        words=words(said),
        practitioner=said.practitioner,
        engagement=said.engagement,
        conclusion=said.conclusion,
        dated=said.dated,
        public_key=one.signed.public_key,
        signature=one.signed.signature,
    )


def total(*parts: int | None) -> int | None:
    """Return the sum, None when a part is unknown."""
    return None if any(p is None for p in parts) else sum(p for p in parts if p is not None)


def reserve(run: Run, result: InstrumentResult, freshness: Freshness, now: datetime) -> Reserve:
    """Return one instrument as it is shown at an instant."""
    fresh = freshness.is_fresh(now)
    reasons = ripcord_reasons(result, freshness, now)
    return Reserve(
        symbol=result.symbol,
        mint=result.mint,
        isin=result.isin,
        decimals=result.decimals,
        verdict=verdict_now(result, fresh),  # type: ignore[arg-type]  # a verdict's value is one of the literals
        last_verdict=str(result.verdict),  # type: ignore[arg-type]  # the same
        fresh=fresh,
        oldest_input=freshness.oldest_input,
        oldest_input_at=freshness.oldest_at,
        stale_at=freshness.stale_at,
        ripcord=bool(reasons),
        ripcord_details=reasons,
        as_of=as_of(run),
        multiplier=figure(result.multiplier, "ratio", fresh),
        supply=figure(result.supply, "raw", fresh),
        issuer_held=figure(total(result.inventory, result.in_transit), "raw", fresh),
        outside=figure(result.circulating, "raw", fresh),
        still_owed=figure(total(result.owed_returns, result.owed_forced), "raw", fresh),
        liability=figure(result.liability, "shares", fresh),
        custody=custody(result, fresh),
        custody_total=figure(result.custody, "shares", fresh),
        unsettled=figure(result.unsettled, "shares", fresh),
        difference=figure(result.difference, "shares", fresh),
        coverage=figure(coverage_ratio(result), "ratio", fresh),
        tolerance=result.tolerance_derivation,
        breaks=sum(f.symbol == result.symbol for f in run.breaks),
    )


def custody(result: InstrumentResult, fresh: bool) -> list[Custody]:
    """Return settled shares by custodian: account numbers are nobody's business."""
    lines: dict[str, list[CustodyLine]] = {}
    for line in result.accounts:
        lines.setdefault(line.custodian, []).append(line)
    return [
        Custody(
            custodian=name,
            basis="settled" if parts[0].is_hard else "not counted",
            evidence=parts[0].evidence,
            shares=figure(_sum(parts), "shares", fresh),
            as_of=min((p.as_of for p in parts if p.as_of is not None), default=None),
        )
        for name, parts in sorted(lines.items())
    ]


def _sum(lines: list[CustodyLine]) -> Fraction | None:
    shares = [line.shares for line in lines]
    return None if None in shares else sum((s for s in shares if s is not None), Fraction(0))


def supply(run: Run, result: InstrumentResult, fresh: bool) -> Supply:
    """Return the supply by holder; what no role names is unlabelled, so that the lines sum to it."""
    labelled = sum(int(line.raw) for line in result.roles)
    lines = [(line.role, int(line.raw)) for line in result.roles]
    if result.supply is not None:
        lines.append(("unlabelled", int(result.supply) - labelled))
    return Supply(
        symbol=result.symbol,
        as_of=as_of(run),
        total=figure(result.supply, "raw", fresh),
        items=[SupplyLine(chain="solana", holder=name, raw=figure(raw, "raw", fresh)) for name, raw in lines],
    )


def headroom(run: Run, result: InstrumentResult, freshness: Freshness, now: datetime) -> HeadroomAnswer:
    """Return how much more may be released; unknown unless the verdict is known and fresh."""
    known = freshness.is_fresh(now) and result.verdict != "incomplete"
    reasons = [] if known else ripcord_reasons(result, freshness, now)
    return HeadroomAnswer(
        symbol=result.symbol, as_of=as_of(run), shares=figure(result.difference, "shares", known), reasons=reasons
    )
