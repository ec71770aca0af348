"""The arithmetic: what is owed, what is in custody, and whether the two tie out. Pure and exact."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from fractions import Fraction
from math import floor

from tieout_reconcile.calendars import day_of
from tieout_reconcile.crossings import Crossing, Kind, RoleBook
from tieout_reconcile.exact import rounded_text
from tieout_reconcile.facts import Chain, FrozenHolding, Holding
from tieout_reconcile.matching import Matching, is_owed_when_unsettled, order_settles, redeems_by_burning
from tieout_reconcile.movements import CustodyMovement
from tieout_reconcile.orders import Order
from tieout_reconcile.registry import HARD_EVIDENCE, ISSUER_ROLES, Instrument, Registry, Role, Wallet, instant_text
from tieout_reconcile.results import CustodyLine, Encumbrance, TradeLine, Verdict
from tieout_reconcile.trades import Trade

SETTLEMENT_DELAY_DAYS_MAX = 10
"""Business days after the market's own settlement day beyond which no file's word keeps a trade unsettled."""
_FORCED = frozenset({Kind.SEIZURE, Kind.FORCED_BURN})


def unit_of(multiplier: Fraction, decimals: int) -> Fraction:
    """Return the shares that one raw unit stands for: multiplier / 10^decimals."""
    return multiplier * Fraction(1, int(10**decimals))


@dataclass(frozen=True, slots=True)
class Quantities:
    """One instrument's token quantities, raw. supply = inventory + in_transit + circulating, always."""

    supply: int
    inventory: int
    in_transit: int
    owed_returns: int
    owed_forced: int
    roles: tuple[tuple[Role, int], ...]

    @property
    def circulating(self) -> int:
        """What is outside issuer-controlled wallets."""
        return self.supply - self.inventory - self.in_transit

    @property
    def liability(self) -> int:
        """What is owed: all outside, and what came in but is not settled, wherever it lies by now."""
        return self.circulating + self.owed_returns + self.owed_forced


def quantities(
    supply: int, holdings_by_role: Mapping[Role, int], owed: Mapping[str, int], crossings: Sequence[Crossing]
) -> Quantities:
    """Return the quantities from the ledger's supply and balances, and the returns still owed."""
    forced = sum(owed.get(c.key, 0) for c in crossings if c.kind in _FORCED)
    returned = sum(owed.get(c.key, 0) for c in crossings if c.kind not in _FORCED)
    return Quantities(
        supply,
        holdings_by_role.get(Role.TREASURY, 0) + holdings_by_role.get(Role.INVENTORY, 0),
        holdings_by_role.get(Role.REDEMPTION, 0),
        returned,
        forced,
        tuple(sorted(holdings_by_role.items())),
    )


def holdings_by_role(holdings: Sequence[Holding], book: RoleBook, at: datetime) -> dict[Role, int]:
    """Return what the wallets of each role hold together at an instant."""
    by_role: dict[Role, int] = {}
    for holding in holdings:
        role = book.role(holding.account, holding.owner, at)
        if role is not None:
            by_role[role] = by_role.get(role, 0) + holding.amount
    return by_role


def escrows(chain: Chain, registry: Registry, book: RoleBook, symbol: str, at: datetime) -> dict[str, int | None]:
    """Return what the registered escrows of each wrapper hold together, raw; None where the chain is not proven."""
    known = (w for w in registry.wallets if w.role is Role.ESCROW and w.covers(symbol) and w.holds_at(at))
    held = {w.wrapper: 0 for w in known if w.wrapper is not None}
    for holding in chain.holdings:
        wallet = book.wallet(holding.account, holding.owner, at)
        if wallet is not None and wallet.wrapper is not None:
            held[wallet.wrapper] += holding.amount
    return {wrapper: None if chain.gap is not None else raw for wrapper, raw in held.items()}


@dataclass(frozen=True, slots=True)
class Frozen:
    """What of the circulating tokens lies in frozen accounts, raw, and in accounts of which that is not known."""

    raw: int
    unknown: int


def frozen_outside(holdings: Sequence[FrozenHolding], book: RoleBook, at: datetime) -> Frozen:
    """Return what strangers cannot move: it stays owed like all that is outside."""
    outside = [h for h in holdings if not book.is_issuer(h.account, h.owner, at)]
    return Frozen(sum(h.amount for h in outside if h.frozen), sum(h.amount for h in outside if h.frozen is None))


def still_owed(
    crossings: Sequence[Crossing], matching: Matching, as_of: datetime, settled: Collection[str] = ()
) -> dict[str, int]:
    """Return, by crossing key, the raw amount that came in and is still owed.

    ``settled`` are the request ids whose shares custody has delivered, whatever the order's status.

    A return, or a holder's burn that an order to redeem names, is settled by that order when it is completed, up
    to its quantity, or by giving the tokens back. Everything else stays owed: nothing is deducted without evidence.
    """
    owed = {c.key: c.raw for c in crossings if is_owed_when_unsettled(c)}
    owed |= {m.crossing.key: m.crossing.raw for m in matching.matches if redeems_by_burning(m)}
    short = {m.order.request_id for m in matching.mismatches}
    rest: dict[str, int] = {}
    for match in matching.matches:
        if match.refunds is not None:
            owed[match.refunds.key] -= match.raw
        elif match.crossing.key in owed and match.order is not None and order_settles(match.order, as_of, settled):
            order, done = match.order, match.raw
            if order.request_id in short:
                wanted = order.raw if order.raw is not None else _raw_of(order.shares, match.crossing.unit)
                done = min(done, rest.get(order.request_id, wanted))
                rest[order.request_id] = rest.get(order.request_id, wanted) - done
            owed[match.crossing.key] -= done
    return {key: raw for key, raw in owed.items() if raw > 0}


def _raw_of(shares: Fraction | None, unit: Fraction | None) -> int:
    return floor(shares / unit) if shares is not None and unit else 0


@dataclass(frozen=True, slots=True)
class Statement:
    """The latest settled statement of an account at a cut-off, as known: aggregates and encumbrances by ISIN.

    Where it was rolled forward, ``as_of`` is how far, ``stated_at`` its own instant and ``moved`` what by.
    """

    custodian: str
    account: str
    as_of: datetime
    load: int
    quantities: dict[str, Fraction]
    encumbered: dict[str, dict[str, Fraction]] = field(default_factory=dict)
    stated_at: datetime | None = None
    moved: dict[str, Fraction] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Since:
    """Shares that are known to have settled in an account: on which day, and when that was known."""

    place: tuple[str, str]
    what: str
    settles_on: date
    settled_at: datetime


def custody_lines(
    instrument: Instrument,
    registry: Registry,
    statements: Mapping[tuple[str, str], Statement],
    later: Mapping[tuple[str, str], datetime],
    at: datetime,
    isins: Sequence[str] = (),
    since: Sequence[Since] = (),
) -> tuple[CustodyLine, ...]:
    """Return one line for each account that is collateral of the instrument; a missing position is unknown.

    ``isins`` are all those under which its shares may be held; its own alone where none are given. ``since`` is
    what is known to have settled: a statement that is older than one of them, and was not rolled over it, says
    nothing of the cut-off.
    """
    isins = isins or (instrument.isin,)
    lines = []
    for custodian in registry.custodians:
        for account in custodian.accounts:
            if not account.counts(instrument.symbol, at):
                continue
            key = (custodian.custodian, account.account)
            statement = statements.get(key)
            code, problem = _statement_problem(isins, statement, later.get(key), custodian.max_age_hours, at)
            if statement is not None and problem is None:
                code, problem = _overtaken(statement, [s for s in since if s.place == key], at)
            if statement is None or problem is not None:
                as_of, load = (statement.as_of, statement.load) if statement else (None, None)
                line = CustodyLine(*key, None, as_of, load, code, problem)
            else:
                line = _counted(statement, isins)
            lines.append(replace(line, evidence=custodian.evidence))
    return tuple(lines)


def unproven_wallets(holdings: Sequence[Holding], book: RoleBook, at: datetime) -> tuple[tuple[Wallet, int], ...]:
    """Return the treasury and inventory wallets without proof of control that hold something, and how much, raw."""
    held: dict[str, tuple[Wallet, int]] = {}
    for holding in holdings:
        wallet = book.wallet(holding.account, holding.owner, at)
        if wallet is not None and wallet.role in (Role.TREASURY, Role.INVENTORY) and not wallet.is_proven(at):
            held[wallet.address] = (wallet, held.get(wallet.address, (wallet, 0))[1] + holding.amount)
    return tuple(found for _, found in sorted(held.items()) if found[1])


def _counted(statement: Statement, isins: Sequence[str]) -> CustodyLine:
    """Return the line of a statement that counts: what is lent, pledged or blocked backs nothing."""
    held = [isin for isin in isins if isin in statement.quantities]
    aggregate, parts = sum((statement.quantities[isin] for isin in held), Fraction(0)), dict[str, Fraction]()
    for isin in held:
        for kind, size in statement.encumbered.get(isin, {}).items():
            parts[kind] = parts.get(kind, Fraction(0)) + size
    moved = sum((statement.moved.get(isin, Fraction(0)) for isin in held), Fraction(0))
    encumbered = sum(parts.values(), Fraction(0))
    return CustodyLine(
        statement.custodian, statement.account, aggregate - encumbered, statement.as_of, statement.load, None, None,
        aggregate, encumbered, tuple(Encumbrance(kind, parts[kind]) for kind in sorted(parts)),
        statement.stated_at, None if statement.stated_at is None else moved,
    )  # fmt: skip


def _statement_problem(
    isins: Sequence[str], statement: Statement | None, later: datetime | None, max_age_hours: int, at: datetime
) -> tuple[str | None, str | None]:
    """Return the code and the sentence of what keeps a statement from counting; (None, None) when it counts."""
    if statement is None:
        hint = "" if later is None else f" (the earliest one known is of {instant_text(later)}, after it)"
        return "B6", f"no settled statement at or before the cut-off {instant_text(at)}{hint}"
    if at - statement.as_of > timedelta(hours=max_age_hours):
        last = instant_text(statement.as_of)
        return "B5", f"the last settled statement, of {last}, is over {max_age_hours} hours older than the cut-off"
    if not any(isin in statement.quantities for isin in isins):
        since = instant_text(statement.stated_at or statement.as_of)
        return "B6", f"the statement of {since} has no position in {', '.join(isins)}: unknown, not zero"
    return None, None


def _overtaken(statement: Statement, since: Sequence[Since], at: datetime) -> tuple[str | None, str | None]:
    passed = [s for s in since if statement.as_of < s.settled_at <= at and day_of(statement.as_of) < s.settles_on]
    if not passed:
        return None, None
    last = max(passed, key=lambda s: s.settled_at)
    return "B5", (
        f"the last settled statement, of {instant_text(statement.as_of)}, is from before {last.what} settled at "
        f"{instant_text(last.settled_at)}, and not all that moved until then is known"
    )


def settled_trades(trades: Sequence[Trade], at: datetime) -> tuple[Since, ...]:
    """Return the trades that had settled by the cut-off."""
    return tuple(
        Since((t.custodian, t.account), f"the trade {t.reference}", t.settles_on, t.status_at)
        for t in trades
        if t.status_at is not None and t.status_as_of(at) == "settled"
    )


def last_completed(orders: Iterable[Order], at: datetime) -> datetime | None:
    """Return when the last order that moved shares was completed by the cut-off; None: none was."""
    return max(
        (
            completed_at
            for o in orders
            if (completed_at := o.completed_at) is not None and completed_at <= at and o.side != "inventory"
        ),
        default=None,
    )


def settled_orders(
    last: datetime | None, places: Collection[tuple[str, str]], statements: Mapping[tuple[str, str], Statement]
) -> tuple[Since, ...]:
    """Return, for each account, that an order was completed at ``last``, where no account's statement can show it.

    An order does not say in which account its shares moved: a statement of any account that is from its day on may
    have them, and then nothing is known to be missing.
    """
    if last is None or any(
        p in statements and (last <= statements[p].as_of or day_of(last) <= day_of(statements[p].as_of)) for p in places
    ):
        return ()
    return tuple(Since(place, "the last completed order", day_of(last), last) for place in sorted(places))


def settled_movements(movements: Sequence[CustodyMovement]) -> tuple[Since, ...]:
    """Return the movements that custody booked: a statement rolled past them contains them."""
    return tuple(
        Since(m.place, f"the movement {m.reference}", day_of(m.settled_at), m.settled_at)
        for m in movements
        if m.settled_at is not None and m.quantity
    )


@dataclass(frozen=True, slots=True)
class Tolerance:
    """How far custody may lie from the liability and still tie out, in shares, each bound exclusive."""

    short: Fraction
    over: Fraction
    derivation: str

    def holds(self, difference: Fraction) -> bool:
        """Whether custody minus liability lies within it."""
        return -self.short < difference < self.over


def tolerance_of(
    instrument: Instrument,
    registry: Registry,
    lines: Sequence[CustodyLine],
    unit: Fraction,
    rounding: Fraction = Fraction(0),
) -> Tolerance:
    """Derive the tolerance.

    Short: less than one raw unit, the one final rounding: as long as no whole raw unit is uncovered; and
    what other networks' figures were rounded by (``rounding``).
    Over: less than one step of the coarsest account, which is what rounding a holding up to a bookable
    quantity can leave, plus the buffer that the registry declares.
    """
    quanta = {c.custodian: c.quantum for c in registry.custodians}
    coarsest = max([quanta[line.custodian] for line in lines] + [unit])
    short, over = unit + rounding, coarsest + instrument.buffer_shares + rounding
    name = "one raw unit" if coarsest == unit else "the coarsest custody quantum"
    others = f" + rounding of other networks {rounded_text(rounding, 18)}" if rounding else ""
    return Tolerance(
        short,
        over,
        f"short: under {rounded_text(short, 18)} shares (one raw unit at the multiplier in force{others}); "
        f"over: under {rounded_text(over, 18)} shares ({name} {rounded_text(coarsest, 18)} "
        f"+ declared buffer {rounded_text(instrument.buffer_shares, 18)}{others})",
    )


def verdict_of(difference: Fraction, explained: Iterable[Fraction], tolerance: Tolerance) -> Verdict:
    """Return the verdict on settled custody minus liability, and on the gap that evidence explains.

    ``explained``: what custody is still to gain (below zero: to lose) by evidence, in each way that the evidence
    can be read; one that closes the gap makes it tie out in settlement.
    """
    if tolerance.holds(difference):
        return Verdict.TIES_OUT
    if any(gap and tolerance.holds(difference + gap) for gap in explained):
        return Verdict.TIES_OUT_IN_SETTLEMENT
    return Verdict.DOES_NOT_TIE_OUT


def unsettled_trades(
    instrument: Instrument, registry: Registry, trades: Sequence[Trade], at: datetime, isins: Sequence[str] = ()
) -> tuple[TradeLine, ...]:
    """Return the trades of the instrument's collateral accounts that count as unsettled at the cut-off."""
    return tuple(
        TradeLine(t.custodian, t.account, t.reference, t.signed, t.traded_at, t.settles_on.isoformat())
        for t in trades_of(instrument, registry, trades, at, isins)
        if t.is_unsettled(at)
    )


def overdue_trades(
    instrument: Instrument, registry: Registry, trades: Sequence[Trade], at: datetime, isins: Sequence[str] = ()
) -> tuple[Trade, ...]:
    """Return the trades still pending though their settlement day has come: they count no more."""
    found = trades_of(instrument, registry, trades, at, isins)
    return tuple(t for t in found if t.traded_at <= at and t.status_as_of(at) == "pending" and t.is_due(at))


def collateral(instrument: Instrument, registry: Registry, at: datetime) -> set[tuple[str, str]]:
    """Return the accounts (custodian, account) that are collateral of an instrument at an instant.

    What only affiliates or management speak for is none: no trade or movement there explains anything.
    """
    hard = (c for c in registry.custodians if c.evidence in HARD_EVIDENCE)
    return {(c.custodian, a.account) for c in hard for a in c.accounts if a.counts(instrument.symbol, at)}


def trades_of(
    instrument: Instrument, registry: Registry, trades: Sequence[Trade], at: datetime, isins: Sequence[str] = ()
) -> list[Trade]:
    """Return the trades of an instrument's collateral accounts, by custodian and reference.

    None of them is to settle later than ``SETTLEMENT_DELAY_DAYS_MAX`` after its market's day.
    """
    counting, named = collateral(instrument, registry, at), isins or (instrument.isin,)
    found = (_in_time(t, registry) for t in trades if t.isin in named and (t.custodian, t.account) in counting)
    return sorted(found, key=lambda t: (t.custodian, t.reference))


def _in_time(trade: Trade, registry: Registry) -> Trade:
    calendar = registry.calendar_of(trade.custodian)
    latest = calendar.add(calendar.settles_on(day_of(trade.traded_at)), SETTLEMENT_DELAY_DAYS_MAX)
    return trade if trade.settles_on <= latest else replace(trade, settles_on=latest)


def issuer_balances(holdings: Sequence[Holding], book: RoleBook, at: datetime) -> dict[str, int]:
    """Return the issuer's accounts and balances by the ledger, to be compared with the walk over crossings."""
    return {h.account: h.amount for h in holdings if h.amount and book.role(h.account, h.owner, at) in ISSUER_ROLES}
