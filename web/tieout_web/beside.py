"""What stands beside the settled figures, as it is shown: networks, bridges, actions, custody legs, trades. Pure.

Public pages sum what custody accounts and references would tell; the desk shows each line.
"""

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from fractions import Fraction
from typing import Any, TypeVar

from tieout_reconcile import (
    Attached,
    Entitlement,
    HolderLine,
    Instrument,
    InstrumentResult,
    Registry,
    Role,
    VenueSplit,
    Wallet,
)
from tieout_reconcile.exact import decimal_text
from tieout_reconcile.results import LoanLine
from tieout_web.models import Figure
from tieout_web.showing import figure

T = TypeVar("T")
_HOLDERS_SHOWN = 100


@dataclass(frozen=True, slots=True)
class NetworkRow:
    """Another network: what it holds outside the issuer's wallets, in shares, and who says so."""

    network: str
    shares: Figure
    unit: str
    as_of: datetime | None
    block: str
    source: str
    problem: str


@dataclass(frozen=True, slots=True)
class FlightRow:
    """A bridge message under way, in raw and in shares at the multiplier in force."""

    message_id: str
    direction: str
    network: str
    sent_at: datetime
    raw: Figure
    shares: Figure


@dataclass(frozen=True, slots=True)
class ReceivableRow:
    """Shares of a corporate action that custody has yet to book, or booked before its step."""

    action_id: str
    kind: str
    pay_date: date | None
    expires_on: date
    sure: bool
    shares: Figure


@dataclass(frozen=True, slots=True)
class LegRow:
    """Shares in custody for tokens to be released, or a trade before its settlement day.

    ``what`` names it on the desk; on public pages it says how many lines are summed.
    """

    what: str
    place: str
    until: str
    shares: Figure


@dataclass(frozen=True, slots=True)
class EncumberedRow:
    """Shares that are lent, pledged or blocked: they do not count."""

    custodian: str
    kind: str
    shares: Figure


@dataclass(frozen=True, slots=True)
class OpinionRow:
    """Somebody else's figures over all networks: they never count."""

    source: str
    as_of: datetime
    circulating: Figure
    held: Figure


@dataclass(frozen=True, slots=True)
class WrapperRow:
    """A token that wraps the instrument's, left out of what is owed, beside what its escrow holds by whose word."""

    network: str
    wrapper: str
    wraps: str
    as_of: datetime
    supply: Figure
    escrowed: Figure
    by: str
    state: str


@dataclass(frozen=True, slots=True)
class TwiceRow:
    """A pending trade that movements or an action tell too, and the shares that count once."""

    trade: str
    place: str
    others: str
    rule: str
    state: str
    shares: Figure


@dataclass(frozen=True, slots=True)
class LoanRow:
    """Shares that are lent out, their recall, and the cash held against them: they never count."""

    what: str
    place: str
    state: str
    due: str
    collateral: str
    shares: Figure


@dataclass(frozen=True, slots=True)
class Beside:
    """All of it, for one instrument. The three figures are those that the liability's derivation adds."""

    in_flight: Figure
    escrowed: Figure
    other_chains: Figure
    networks: tuple[NetworkRow, ...]
    flights: tuple[FlightRow, ...]
    receivables: tuple[ReceivableRow, ...]
    held: tuple[LegRow, ...]
    trades: tuple[LegRow, ...]
    twice: tuple[TwiceRow, ...]
    encumbered: tuple[EncumberedRow, ...]
    loans: tuple[LoanRow, ...]
    wrappers: tuple[WrapperRow, ...]
    opinions: tuple[OpinionRow, ...]


def beside(result: InstrumentResult, fresh: bool, *, each: bool = False) -> Beside:
    """Return what stands beside an instrument's figures; ``each``: line by line, with accounts and references."""
    unit = None if result.multiplier is None else result.multiplier / 10**result.decimals
    return Beside(
        figure(result.in_flight, "raw", fresh),
        figure(result.escrowed, "raw", fresh),
        figure(result.other_chains, "shares", fresh),
        tuple(
            NetworkRow(n.network, figure(n.shares, "shares", fresh), n.unit or "unknown", n.as_of, n.block or "—",
                       n.source or "nobody", n.problem or "")
            for n in result.networks
        ),
        tuple(
            FlightRow(f.message_id, f.direction, f.network, f.sent_at, figure(f.raw, "raw", fresh),
                      figure(None if unit is None else f.raw * unit, "shares", fresh))
            for f in result.flights
        ),
        tuple(
            ReceivableRow(r.action_id, r.kind, r.pay_date, r.expires_on, r.sure, figure(r.shares, "shares", fresh))
            for r in result.receivables
        ),
        _held(result, fresh, each),
        _trades(result, fresh, each),
        # references are an account's own: on the desk alone
        tuple(
            TwiceRow(x.trade, f"{x.custodian}/{x.account}", ", ".join(x.others), x.rule,
                     "certain" if x.sure else "in doubt", figure(x.shares, "shares", fresh))
            for x in (result.told_twice if each else ())
        ),
        tuple(
            EncumberedRow(custodian, kind, figure(total, "shares", fresh))
            for (custodian, kind), total in _encumbered(result).items()
        ),
        tuple(_loan(x, fresh, each) for x in result.loans),
        tuple(
            WrapperRow(w.network, w.wrapper, w.wraps, w.as_of, figure(w.supply, "shares", fresh),
                       figure(w.escrowed, "shares", fresh), "ledger" if w.on_ledger else "file",
                       w.problem or ("covered" if w.covered else "not covered"))
            for w in result.wrappers
        ),
        tuple(
            OpinionRow(o.source, o.as_of, figure(o.circulating, "shares", fresh), figure(o.held, "shares", fresh))
            for o in result.opinions
        ),
    )  # fmt: skip


def _held(result: InstrumentResult, fresh: bool, each: bool) -> tuple[LegRow, ...]:
    if each:
        return tuple(
            LegRow(
                h.reference if h.network is None else f"{h.reference} on {h.network}",
                "",
                h.until.isoformat(),
                figure(h.shares, "shares", fresh),
            )
            for h in result.held
        )
    return tuple(
        LegRow(_count(found), "", until.isoformat(), figure(_sum(h.shares for h in found), "shares", fresh))
        for until, found in _by(result.held, lambda h: h.until).items()
    )


def _loan(line: LoanLine, fresh: bool, each: bool) -> LoanRow:
    place = f"{line.custodian}/{line.account}" if each else line.custodian
    cash = "not stated"
    if line.collateral_amount is not None:
        cash = f"{decimal_text(line.collateral_amount)} {line.collateral_currency}"
    what = f"{line.reference} ({line.document})" if each else "1 loan"
    return LoanRow(what, place, line.state, str(line.due_on or ""), cash, figure(line.shares, "shares", fresh))


def _trades(result: InstrumentResult, fresh: bool, each: bool) -> tuple[LegRow, ...]:
    if each:
        return tuple(
            LegRow(t.reference, f"{t.custodian}/{t.account}", t.settles_on, figure(t.shares, "shares", fresh))
            for t in result.trades
        )
    return tuple(
        LegRow(_count(found), custodian, day, figure(_sum(t.shares for t in found), "shares", fresh))
        for (custodian, day), found in _by(result.trades, lambda t: (t.custodian, t.settles_on)).items()
    )


def _encumbered(result: InstrumentResult) -> Mapping[tuple[str, str], Fraction]:
    totals: dict[tuple[str, str], Fraction] = {}
    for account in result.accounts:
        for one in account.encumbrances:
            key = (account.custodian, one.kind)
            totals[key] = totals.get(key, Fraction(0)) + one.shares
    return totals


def _count(found: list[Any]) -> str:
    return "1 line" if len(found) == 1 else f"{len(found)} lines"


def _sum(shares: Iterable[Fraction]) -> Fraction:
    return sum(shares, Fraction(0))


def _by(rows: Iterable[T], key: Callable[[T], Hashable]) -> dict[Any, list[T]]:
    groups: dict[Any, list[T]] = {}
    for row in sorted(rows, key=key):  # type: ignore[arg-type]  # days, and pairs of texts
        groups.setdefault(key(row), []).append(row)
    return groups


@dataclass(frozen=True, slots=True)
class Holdings:
    """Who holds the supply at a run's slot: the split by venue and role, and the largest holders."""

    split: VenueSplit
    entitlement: Entitlement
    largest: tuple[HolderLine, ...]

    @property
    def more(self) -> int:
        """How many holders are not shown."""
        return len(self.entitlement.holders) - len(self.largest)


def published_registry(result: InstrumentResult, wallets: Iterable[Mapping[str, Any]]) -> Registry:
    """Return what the published views tell of an instrument's wallets: all that a public page labels holders by."""
    instrument = Instrument(result.symbol, result.mint, result.isin, result.decimals)
    return Registry((instrument,), tuple(Wallet(**{**row, "role": Role(row["role"])}) for row in wallets), ())


def holdings(found: Entitlement, split: VenueSplit) -> Holdings:
    """Return what a page shows of all holders."""
    return Holdings(split, found, found.holders[:_HOLDERS_SHOWN])


@dataclass(frozen=True, slots=True)
class PeriodRow:
    """A locked period's figures of one instrument. They were signed: no later input makes them stale."""

    period: str
    from_at: datetime
    to_at: datetime
    locked_at: datetime
    proposed_by: str
    signed_by: str
    verdict: str
    liability: str | None
    custody: str | None
    difference: str | None
    breaks: int
    report: int | None
    stated: tuple[Attached, ...] = ()


def period_rows(
    rows: Iterable[Mapping[str, Any]], symbol: str, stated: Mapping[int, Sequence[Attached]]
) -> list[PeriodRow]:
    """Return the locked periods that fixed figures of an instrument, from their rows with ``content`` read.

    ``stated``: what practitioners say of each report, as far as it holds.
    """
    found = []
    for row in rows:
        figures = row["content"]["figures"].get(symbol)
        if figures is None:
            continue
        told = [b for b in row["content"]["breaks"] if b["symbol"] == symbol]
        named = {name: row[name] for name in ("period", "from_at", "to_at", "locked_at", "proposed_by", "signed_by")}
        shown = {name: figures[name] for name in ("verdict", "liability", "custody", "difference")}
        found.append(PeriodRow(**named, **shown, breaks=len(told), report=row["report"],
                               stated=tuple(stated.get(row["report"], ()))))  # fmt: skip
    return found
