"""An instrument's figures: what speaks against them, what they are, and the verdict on them. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction

from tieout_reconcile.bridging import Bridged
from tieout_reconcile.canonical import Raw
from tieout_reconcile.elsewhere import NetworkShares, Opinion, Wrapped
from tieout_reconcile.exact import decimal_text, rounded_text
from tieout_reconcile.facts import Chain, Doubted, Multiplier
from tieout_reconcile.findings import (
    difference_text,
    figure_finding,
    finding,
    rounding_finding,
    settlement_finding,
    shares_text,
)
from tieout_reconcile.liability import Frozen, Quantities, Tolerance, tolerance_of, unit_of, verdict_of
from tieout_reconcile.lines import CrossingLines
from tieout_reconcile.registry import Instrument, Registry, Wallet, instant_text
from tieout_reconcile.results import (
    CustodyLine,
    Finding,
    FlightLine,
    HeldLine,
    InstrumentResult,
    LoanLine,
    NetworkLine,
    OpinionLine,
    ReceivableLine,
    RoleLine,
    TradeLine,
    UnprovenLine,
    Verdict,
    WrapperLine,
)
from tieout_reconcile.three_way import Receivable
from tieout_reconcile.told_twice import TwiceLine

# What an audit of the ledger speaks of, by its name; all others are a disagreement between sources.
AUDIT_CODES = {
    "gapless": "A1", "identity": "A5", "supply": "A5", "balance": "A6", "owner": "A6", "withheld": "A8",
    "hidden": "A8", "multiplier": "B11",
}  # fmt: skip
# A listed transaction that the ledger lacks is a gap; one that the chain lacks is no transaction of it.
_NOT_HERE = "not in the ledger"
_UNREAD = ("unknown instruction", "undecodable")
_CONTINUITY = "continuity"


@dataclass(frozen=True, slots=True)
class Doubt:
    """A reason for ``incomplete``: its code, what tells it from others, the sentence."""

    code: str
    anchor: str
    text: str


def doubts_of(
    instrument: Instrument,
    chain: Chain,
    slot: int,
    at: datetime | None,
    multiplier: Multiplier | None,
    accounts: Sequence[CustodyLine],
) -> Iterator[Doubt]:
    """Yield what keeps the figures from being known."""
    symbol = instrument.symbol
    # what is in quarantine is the reason of the gap that it makes
    yield from (_quarantined(symbol, d) for d in chain.doubted)
    if chain.gap is not None and not chain.doubted:
        yield Doubt("A1", "", f"{symbol}: {chain.gap}")
    elif chain.gap is None and at is None:
        yield Doubt("A1", "", f"{symbol}: no block time is known at or before slot {slot}")
    if chain.decimals is not None and chain.decimals != instrument.decimals:
        text = f"the registry says {instrument.decimals} decimals, the chain says {chain.decimals}"
        yield Doubt("A7", "decimals", f"{symbol}: {text}")
    for found in chain.findings:
        text = f"differs on {found.subject}: expected {found.expected}, found {found.found}"
        yield Doubt(
            _audit_code(found.audit, found.found), f"{found.audit}/{found.subject}",
            f"{symbol}: an audit of the ledger ({found.audit}) {text}",
        )  # fmt: skip
    if multiplier is None and chain.gap is None:
        yield Doubt("B12", "", f"{symbol}: no multiplier is known to be in force at slot {slot}")
    if at is None:
        return
    if not accounts:
        yield Doubt("B6", "no account", f"{symbol}: no custody account is registered as its collateral at the cut-off")
    elif not any(line.is_hard for line in accounts):
        text = "what is in custody is the word of affiliates or management alone: a custodian's or broker's is wanted"
        yield Doubt("B6", "no hard evidence", f"{symbol}: {text}")
    for line in accounts:
        if line.code is not None and line.is_hard:
            place = f"{line.custodian}/{line.account}"
            yield Doubt(line.code, place, f"{symbol} at {place}: {line.problem}")


def _audit_code(audit: str, found: str) -> str:
    if audit == "signatures":
        return "A1" if found == _NOT_HERE else "A4"
    return AUDIT_CODES.get(audit, "A7")


def _quarantined(symbol: str, doubted: Doubted) -> Doubt:
    """What a transaction in quarantine is: unreadable, not following its predecessor, or not adding up."""
    code = "A3" if doubted.reason.startswith(_UNREAD) else "A6" if doubted.reason.startswith(_CONTINUITY) else "A5"
    where = f"slot/{doubted.slot}/{doubted.signature}/{doubted.path}"
    text = f"transaction {doubted.signature} at slot {doubted.slot} is in quarantine: {doubted.reason}"
    return Doubt(code, where, f"{symbol}: {text}")


def drift(
    instrument: Instrument, circulating: int, walked: int, on_ledger: dict[str, int], by_walk: dict[str, int]
) -> list[Doubt]:
    """The list of crossings must explain each unit outside; where it does not, it is not complete."""
    if circulating == walked and on_ledger == by_walk:
        return []
    odd = sorted(a for a in on_ledger.keys() | by_walk.keys() if on_ledger.get(a, 0) != by_walk.get(a, 0))
    return [
        Doubt(
            "A6",
            "crossings",
            f"{instrument.symbol}: the ledger's balances leave {circulating} raw outside, "
            f"the crossings explain {walked} "
            f"(accounts that differ: {', '.join(odd) or 'none'})",
        )
    ]


def network_doubts(instrument: Instrument, found: Sequence[NetworkShares]) -> list[Doubt]:
    """Return what keeps other networks' figures from counting."""
    return [
        Doubt(n.code, f"network/{n.network}", f"{instrument.symbol}: {n.problem}") for n in found if n.code is not None
    ]


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of an instrument, and what speaks against it."""

    instrument: Instrument
    registry: Registry
    totals: Quantities | None
    multiplier: Multiplier | None
    accounts: tuple[CustodyLine, ...]
    trades: tuple[TradeLine, ...]
    doubts: tuple[Doubt, ...]
    networks: tuple[NetworkShares, ...]
    bridged: Bridged
    receivables: tuple[Receivable, ...]
    held: tuple[HeldLine, ...]
    opinion: Opinion | None
    unproven: tuple[tuple[Wallet, int], ...] = ()
    frozen: Frozen | None = None
    loans: tuple[LoanLine, ...] = ()
    wrappers: tuple[Wrapped, ...] = ()
    told_twice: tuple[TwiceLine, ...] = ()

    @property
    def soft(self) -> Fraction | None:
        """What affiliates and management say they hold; None where nothing is known of it, or nobody of them is."""
        found = [line.shares for line in self.accounts if not line.is_hard]
        return None if not found or None in found else sum((s for s in found if s is not None), Fraction(0))

    @property
    def unsettled(self) -> Fraction:
        """The shares to come by unsettled trades, less those to go."""
        return sum((t.shares for t in self.trades), Fraction(0))

    @property
    def other_chains(self) -> Fraction | None:
        """The shares on other networks; None where one of them is unknown."""
        found = [n.shares for n in self.networks]
        return None if None in found else sum((s for s in found if s is not None), Fraction(0))

    def explained(self) -> tuple[Fraction, Fraction]:
        """What evidence says that custody will still gain, and the same with what the figures may show already."""
        sure = sum((r.shares for r in self.receivables if r.sure), Fraction(0))
        unsure = sum((r.shares for r in self.receivables if not r.sure), Fraction(0))
        waiting = sum((h.shares for h in self.held if h.sure), Fraction(0))
        certain = self.unsettled + sure - waiting
        return certain, certain + unsure

    def gaps(self) -> Iterator[Fraction]:
        """Yield what evidence explains, in each way that it can be read; worked out when asked for."""
        for gap in self.explained():
            yield gap
            yield gap - self.unread

    @property
    def unread(self) -> Fraction:
        """What custody holds for tokens elsewhere that the last reading may or may not show."""
        return sum((h.shares for h in self.held if not h.sure), Fraction(0))


@dataclass(frozen=True, slots=True)
class Figures:
    """The figures and the verdict. ``needs_unsure``: it takes receivables that no movement evidences."""

    verdict: Verdict
    liability: Fraction | None
    custody: Fraction | None
    difference: Fraction | None
    tolerance: Tolerance | None
    needs_unsure: bool = False


def figures_of(known: Known) -> Figures:
    """Return the figures; a reason against them makes the verdict ``incomplete``."""
    counted = [line for line in known.accounts if line.is_hard]
    shares = [line.shares for line in counted if line.shares is not None]
    custody = sum(shares, Fraction(0)) if counted and len(shares) == len(counted) else None
    disagree = any(doubt.anchor == "decimals" for doubt in known.doubts)
    others = known.other_chains
    if known.totals is None or known.multiplier is None or disagree or others is None:
        return Figures(Verdict.INCOMPLETE, None, custody, None, None)
    unit = unit_of(known.multiplier.value, known.instrument.decimals)
    raw = known.totals.liability + known.bridged.total_in_flight - known.bridged.escrow
    liability = raw * unit + others
    rounding = sum((n.rounding for n in known.networks), Fraction(0))
    tolerance = tolerance_of(known.instrument, known.registry, counted, unit, rounding)
    if custody is None:
        return Figures(Verdict.INCOMPLETE, liability, None, None, tolerance)
    difference = custody - liability
    if known.doubts:
        return Figures(Verdict.INCOMPLETE, liability, custody, difference, tolerance)
    verdict = _verdict(known, difference, tolerance)
    unsure = verdict is Verdict.TIES_OUT_IN_SETTLEMENT and not _closes(known, difference, tolerance)
    return Figures(verdict, liability, custody, difference, tolerance, unsure)


def _verdict(known: Known, difference: Fraction, tolerance: Tolerance) -> Verdict:
    return verdict_of(difference, known.gaps(), tolerance)


def _closes(known: Known, difference: Fraction, tolerance: Tolerance) -> bool:
    """Whether a gap is closed without what the figures may show already."""
    certain, _ = known.explained()
    return any(gap and tolerance.holds(difference + gap) for gap in (certain, certain - known.unread))


def verdict_findings(known: Known, figures: Figures) -> Iterator[Finding]:
    """Yield what the verdict rests on: a shortfall, a surplus, or what explains the gap."""
    instrument, difference, tolerance = known.instrument, figures.difference, figures.tolerance
    if difference is None or figures.liability is None or figures.custody is None or tolerance is None:
        return
    sizes = f"custody {rounded_text(figures.custody, 9)}, liability {rounded_text(figures.liability, 9)}"
    amount = difference_text(difference, instrument)
    match figures.verdict:
        case Verdict.TIES_OUT if difference:
            yield rounding_finding(instrument, difference, tolerance)
        case Verdict.TIES_OUT_IN_SETTLEMENT:
            if known.trades:
                yield settlement_finding(instrument, difference, known.trades)
            yield from (_held_finding(instrument, line) for line in known.held)
        case Verdict.DOES_NOT_TIE_OUT:
            rest = _unexplained(known, difference, tolerance)
            if difference < 0:
                yield figure_finding("B1", instrument, "", f"{amount} are not backed: {sizes}{rest}", difference)
            else:
                text = f"{amount} more in custody than owed: {sizes}{rest}; tolerance {tolerance.derivation}"
                yield figure_finding("B2", instrument, "", text, difference)
        case _:
            return


def _unexplained(known: Known, difference: Fraction, tolerance: Tolerance) -> str:
    """What of the gap stays when all that is evidenced is taken off, where anything is."""
    certain, _ = known.explained()
    if not certain or tolerance.holds(difference + certain):
        return ""
    rest = rounded_text(difference + certain, 9)
    return f"; {rounded_text(certain, 9)} are to come by evidence, {rest} stay unexplained"


def _held_finding(instrument: Instrument, line: HeldLine) -> Finding:
    code, what = "C2", f"{shares_text(abs(line.shares), instrument)} came into custody for {line.reference}"
    rest = "its tokens are to be released" if line.network is None else f"its tokens are to be read on {line.network}"
    if line.network is not None and not line.sure and line.shares > 0:
        what = f"{shares_text(line.shares, instrument)} lie in custody for {line.reference}"
        rest = f"the last reading of {line.network} and custody show different moments of it"
    elif line.shares < 0:
        code, what = "C4", f"{shares_text(-line.shares, instrument)} left custody for {line.reference}"
        rest = f"the last reading of {line.network} may still have its tokens"
    text = f"{what}, {rest}"
    return finding(
        code, instrument, f"waiting/{line.reference}", f"{text} by {line.until}", severity="notice", shares=line.shares,
        at=line.settled_at, details={"reference": line.reference, "until": line.until.isoformat()},
    )  # fmt: skip


def result_of(known: Known, figures: Figures, crossings: CrossingLines) -> InstrumentResult:
    """Return the result with its whole derivation."""
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
        tolerance_derivation=tolerance.derivation if tolerance else "not derived: the liability is unknown",
        roles=tuple(RoleLine(str(role), Raw(raw)) for role, raw in totals.roles) if totals else (),
        accounts=known.accounts,
        crossings=crossings,
        unsettled=known.unsettled,
        custody_traded=None if figures.custody is None else figures.custody + known.unsettled,
        trades=known.trades,
        in_flight=Raw(known.bridged.total_in_flight),
        escrowed=Raw(known.bridged.escrow),
        other_chains=known.other_chains,
        networks=tuple(map(_network_line, known.networks)),
        flights=_flights(known.bridged),
        receivables=tuple(map(_receivable_line, known.receivables)),
        held=known.held,
        opinions=() if known.opinion is None else (_opinion_line(known.opinion),),
        soft=known.soft,
        unproven=tuple(_without(known, figures, wallet, raw) for wallet, raw in known.unproven),
        frozen=None if known.frozen is None else Raw(known.frozen.raw),
        frozen_unknown=None if known.frozen is None else Raw(known.frozen.unknown),
        loans=known.loans,
        wrappers=tuple(_wrapper_line(instrument, one) for one in known.wrappers),
        told_twice=known.told_twice,
    )


def _without(known: Known, figures: Figures, wallet: Wallet, raw: int) -> UnprovenLine:
    """Return the figures as if a wallet were a stranger's, so that what it holds is owed."""
    place = (wallet.address, str(wallet.role), Raw(raw))
    if figures.liability is None or known.multiplier is None:
        return UnprovenLine(*place, None, None, Verdict.INCOMPLETE)
    liability = figures.liability + raw * unit_of(known.multiplier.value, known.instrument.decimals)
    if figures.custody is None or figures.tolerance is None:
        return UnprovenLine(*place, liability, None, Verdict.INCOMPLETE)
    difference = figures.custody - liability
    verdict = Verdict.INCOMPLETE if known.doubts else _verdict(known, difference, figures.tolerance)
    return UnprovenLine(*place, liability, difference, verdict)


def _network_line(network: NetworkShares) -> NetworkLine:
    reading = network.reading
    if reading is None:
        return NetworkLine(network.network, network.shares, None, None, None, None, network.problem)
    return NetworkLine(
        network.network, network.shares, reading.unit, reading.as_of, reading.block, reading.source, network.problem
    )


def _wrapper_line(instrument: Instrument, one: Wrapped) -> WrapperLine:
    read = one.reading
    return WrapperLine(
        read.network, read.wrapper, instrument.symbol, one.supply, one.escrowed, not one.uncovered, read.as_of,
        read.source, one.problem, one.declared, one.seen,
    )  # fmt: skip


def wrapper_findings(instrument: Instrument, found: Sequence[Wrapped]) -> Iterator[Finding]:
    """Yield the wrappers that promise more than their escrow holds, those of which it is not known, and those of which
    the ledger has another escrow than their file declares."""
    for one in found:
        if one.differs:
            yield _declared_otherwise(instrument, one)
        read, severity = one.reading, "break"
        what, missing = f"the wrapper {read.wrapper} on {read.network}", None
        if one.supply is None or one.escrowed is None:
            text, severity = f"whether {what} is covered is unknown: {one.problem}", "notice"
        elif one.uncovered:
            missing = one.supply - one.escrowed
            held = f"its supply is {rounded_text(one.supply, 9)}, its escrow holds {rounded_text(one.escrowed, 9)}"
            text = f"{what} promises {shares_text(missing, instrument)} that nothing is held for: {held}"
        else:
            continue
        yield finding(
            "B21", instrument, f"wrapper/{read.network}/{read.wrapper}", text, severity=severity, shares=missing,
            at=read.as_of, details={"source": read.source, "block": read.block},
        )  # fmt: skip


def _declared_otherwise(instrument: Instrument, one: Wrapped) -> Finding:
    """Tokens may have gone in or out since the file was made: it is told, and the ledger counts."""
    read, seen, declared = one.reading, one.escrowed or Fraction(0), one.declared or Fraction(0)
    said = f"{shares_text(declared, instrument)} in the escrow of {read.wrapper} at {instant_text(read.as_of)}"
    text = f"{read.source} declares {said}, the ledger has {rounded_text(seen, 9)} at the cut-off: the ledger counts"
    details = {"source": read.source, "block": read.block, "declared": decimal_text(declared)}
    return finding(
        "B21", instrument, f"escrow/{read.network}/{read.wrapper}", text, severity="notice", shares=seen - declared,
        at=read.as_of, details=details,
    )  # fmt: skip


def _flights(bridged: Bridged) -> tuple[FlightLine, ...]:
    return tuple(
        FlightLine(m.message_id, m.direction, m.network, Raw(bridged.in_flight[m.message_id]), m.sent_at)
        for m in (p.message for p in bridged.pairs)
        if m.message_id in bridged.in_flight
    )


def _receivable_line(one: Receivable) -> ReceivableLine:
    action = one.action
    return ReceivableLine(action.action_id, action.kind, one.shares, action.pay_date, one.expires_at, one.sure)


def _opinion_line(opinion: Opinion) -> OpinionLine:
    return OpinionLine(opinion.source, opinion.as_of, opinion.circulating, opinion.held)
