"""One instrument, from facts to result: the whole reconciliation as a pure function.

It fails closed: whatever is not proven or not known becomes a reason, a reason makes the verdict
``incomplete``, and the figure in question is None.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from fractions import Fraction

from tieout_reconcile import action_findings as told_of_actions
from tieout_reconcile import leg_findings as told_of_legs
from tieout_reconcile.bridge_findings import bridge_findings
from tieout_reconcile.bridging import Bridged, bridge_instrument
from tieout_reconcile.calendars import Calendar, day_of
from tieout_reconcile.cash import CashLeg, Delivery, cash_legs, cash_totals, tokens_moved
from tieout_reconcile.cash_findings import cash_findings
from tieout_reconcile.chain_findings import chain_findings
from tieout_reconcile.corporate import STEPPING, CorporateAction
from tieout_reconcile.crossing_lines import crossing_lines
from tieout_reconcile.crossings import Crossings, RoleBook, find_crossings
from tieout_reconcile.custody_record import CustodyRecord
from tieout_reconcile.elsewhere import PLACES, NetworkShares, Opinion, Wrapped, networks, opinion, wrappers
from tieout_reconcile.facts import Chain, Movement, Multiplier, multiplier_in_force
from tieout_reconcile.figures import (
    Doubt,
    Figures,
    Known,
    doubts_of,
    drift,
    figures_of,
    network_doubts,
    result_of,
    verdict_findings,
    wrapper_findings,
)
from tieout_reconcile.findings import (
    encumbrance_finding,
    figure_finding,
    movement_findings,
    order_findings,
    overdue_finding,
    twice_finding,
)
from tieout_reconcile.history import History, closed_history
from tieout_reconcile.inputs import Business
from tieout_reconcile.inventory import match_inventory
from tieout_reconcile.legs import Leg, Legs, match_legs
from tieout_reconcile.liability import (
    Quantities,
    Statement,
    collateral,
    custody_lines,
    escrows,
    frozen_outside,
    holdings_by_role,
    issuer_balances,
    last_completed,
    overdue_trades,
    quantities,
    settled_movements,
    settled_orders,
    settled_trades,
    still_owed,
    trades_of,
    unit_of,
    unproven_wallets,
    unsettled_trades,
)
from tieout_reconcile.loans import less_lent, loan_findings, loan_lines
from tieout_reconcile.matching import Matching, match
from tieout_reconcile.movements import CustodyMovement
from tieout_reconcile.network_orders import NetworkOrders, check_networks, held_elsewhere, network_findings
from tieout_reconcile.orders import CASH, Order
from tieout_reconcile.registry import Instrument, Registry, Role
from tieout_reconcile.results import CustodyLine, Finding, HeldLine, InstrumentResult, LoanLine
from tieout_reconcile.rolling import contested, isins_of, spans_by_place
from tieout_reconcile.split import expired_findings, holder_findings, ledgers, venue_findings
from tieout_reconcile.three_way import Paired, Receivable, Step, booked, one_event, pair, receivables, steps_of
from tieout_reconcile.told_twice import reinvesting, told_once
from tieout_reconcile.trades import Trade

_NEVER = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class CutOff:
    """The slot, and its instant by the chain's clock; None where no proven slot gives one."""

    slot: int
    at: datetime | None


@dataclass(frozen=True, slots=True)
class Book:
    """What the business says, as known: registry, orders and trades of all instruments, statements by account.

    Statements come as they are; ``whole`` rolls them forward before it reconciles.
    """

    registry: Registry
    orders: Sequence[Order]
    statements: Mapping[tuple[str, str], Statement]
    later_statements: Mapping[tuple[str, str], datetime]
    trades: Sequence[Trade] = ()
    business: Business = field(default_factory=Business)


def reconcile_instrument(
    instrument: Instrument, book: Book, chain: Chain, cut_off: CutOff
) -> tuple[InstrumentResult, tuple[Finding, ...]]:
    """Return an instrument's result and its findings, in a fixed order."""
    case = _Case(instrument, book, chain, cut_off)
    known = case.known()
    figures = figures_of(known)
    lines = crossing_lines(case.walked.found, case.matching, case.owed, case.bridged.crossings)
    cash = tuple(leg.line for leg in case.cash)
    result = replace(
        result_of(known, figures, lines), cash=tuple(cash_totals(cash)), cash_legs=cash, history=case.history(known)
    )
    return result, tuple(sorted(case.findings(known, figures), key=lambda f: f.key))


def elsewhere_of(
    instrument: Instrument,
    book: Book,
    multiplier_at: Callable[[datetime], Fraction | None],
    cut_off: CutOff,
    used: Collection[str] = (),
) -> tuple[tuple[NetworkShares, ...], Opinion | None]:
    """Return what other networks hold at a cut-off, and somebody else's figures for all of it.

    ``used`` are the networks on which orders were completed, or where a bridge's message had its other side.
    """
    readings, at = book.business.chains, cut_off.at
    if at is None or not (readings or instrument.chains or used):
        return (), None
    return networks(instrument, readings, multiplier_at, at, used), opinion(instrument, readings, at)


class _Case:
    """One instrument's reconciliation, step by step, each on what the steps before it found."""

    def __init__(self, instrument: Instrument, book: Book, chain: Chain, cut_off: CutOff) -> None:
        self.instrument, self.book, self.chain, self.cut_off = instrument, book, chain, cut_off
        self.at = cut_off.at or max([m.at for m in chain.movements], default=_NEVER)
        self.calendar: Calendar = book.registry.calendar(instrument.calendar)
        self.roles = RoleBook(book.registry, instrument.symbol)
        self._units: dict[bytes | None, Fraction] = {}
        self._isins()
        self._custody()
        self._chain()
        self._orders()
        self._told_once()
        self._cash()
        self._actions()

    def _isins(self) -> None:
        every = self.book.business.actions
        self.isins = isins_of(self.instrument.isin, every, self.at) if every else (self.instrument.isin,)
        told = [a for a in every if a.isin in self.isins or a.new_isin in self.isins]
        self.actions, self.same_event = one_event(told)
        self.places = collateral(self.instrument, self.book.registry, self.at)
        self.spans = spans_by_place(self.book.business.spans)
        moved = [m for m in self.book.business.movements if m.isin in self.isins and m.place in self.places]
        self.moved: Sequence[CustodyMovement] = [
            replace(m, action_id=self.same_event[m.action_id]) if m.action_id in self.same_event else m for m in moved
        ]
        traded = trades_of(self.instrument, self.book.registry, self.book.trades, self.at, self.isins)
        self.all_trades: Sequence[Trade] = [
            replace(t, action_id=self.same_event[t.action_id]) if t.action_id in self.same_event else t for t in traded
        ]

    def _custody(self) -> None:
        instrument, book = self.instrument, self.book
        self.accounts: tuple[CustodyLine, ...] = ()
        if self.cut_off.at is not None:
            told = {m.request_id for m in self.moved if m.settled_by(self.at)}
            # what a movement tells of is known by its account and instant
            untold = (o for o in book.orders if o.mint == instrument.mint and o.request_id not in told)
            ordered = settled_orders(last_completed(untold, self.at), self.places, book.statements)
            accounts = custody_lines(
                instrument, book.registry, book.statements, book.later_statements, self.at, self.isins,
                (*settled_trades(self.all_trades, self.at), *settled_movements(self.moved), *ordered),
            )  # fmt: skip
            self.accounts = less_lent(accounts, book.business.loans, self.isins)
        self.counted = [a for a in self.accounts if a.is_hard]
        self.reflected = {(a.custodian, a.account): a.as_of for a in self.counted if a.as_of is not None}

    def multiplier_at(self, slot: int, when: datetime) -> Multiplier | None:
        """The multiplier in force; no step at all means no scaling only where the mint's creation was read."""
        unread = self.chain.gap is not None and not self.chain.multipliers
        return None if unread else multiplier_in_force(self.chain.multipliers, slot, when)

    def unit_at(self, slot: int, when: datetime) -> Fraction | None:
        """Shares per raw unit, one value object a multiplier."""
        found = self.multiplier_at(slot, when)
        if found is None:
            return None
        known = self._units.get(found.bits)
        return known or self._units.setdefault(found.bits, unit_of(found.value, self.instrument.decimals))

    def unit_then(self, when: datetime) -> Fraction | None:
        """Shares per raw unit at an instant, as the whole chain up to the cut-off tells it."""
        return self.unit_at(self.cut_off.slot, when)

    def _chain(self) -> None:
        instrument, chain = self.instrument, self.chain
        self.walked: Crossings = find_crossings(chain.movements, chain.owner_changes, self.roles, self.unit_at, self.at)
        self.unit = self.unit_then(self.at)
        self.orders = [o for o in self.book.orders if o.mint == instrument.mint]
        self.elsewhere = [o for o in self.orders if not o.is_here]
        self.here = [o for o in self.orders if o.is_here] if self.elsewhere else self.orders
        messages = [m for m in self.book.business.bridge if m.mint == instrument.mint]
        used = {o.network for o in self.elsewhere if o.status_at(self.at) == "completed"}
        used |= {m.network.lower() for m in messages if m.theirs_at is not None and m.theirs_at <= self.at}
        self.networks, self.opinion = elsewhere_of(instrument, self.book, self._multiplier_value, self.cut_off, used)
        read_at = {n.network: n.reading.as_of for n in self.networks if n.reading is not None}
        escrows = [m for m in chain.movements if m.kind == "transfer" and self._touches_bridge(m)] if messages else []
        self.bridged: Bridged = bridge_instrument(
            messages, self.walked.found, escrows, read_at, instrument.bridge_hours_max, self.at
        )

    def _multiplier_value(self, when: datetime) -> Fraction | None:
        found = self.multiplier_at(self.cut_off.slot, when)
        return None if found is None else found.value

    def _touches_bridge(self, movement: Movement) -> bool:
        sides = (
            (movement.source, movement.source_owner),
            (movement.destination, movement.destination_owner),
        )
        return any(self.roles.role(account, owner, movement.at) is Role.BRIDGE for account, owner in sides)

    def _orders(self) -> None:
        instrument, at = self.instrument, self.at
        self.wanted = {o.request_id: w for o in self.orders if (w := self._wanted(o)) is not None} if self.moved else {}
        self.legs: Legs = match_legs(
            self.orders, self.moved, {p: self.spans.get(p, ()) for p in self.places}, self.wanted, self.calendar, at
        )
        self.settled = {
            request_id
            for request_id, leg in self.legs.by_order.items()
            if leg.order.side == "redeem" and leg.shares > 0 and leg.shares >= self.wanted.get(request_id, leg.shares)
        }
        bridged = self.bridged.crossings
        free = [c for c in self.walked.found if c.key not in bridged]
        self.matching: Matching = match(self.here, free, at, self.calendar, self.settled)
        self.owed = still_owed(self.walked.found, self.matching, at, self.settled)
        self.released: dict[str, Fraction] = {}
        for found in self.matching.matches:
            # asked for of orders with a custody leg alone
            if found.order is not None and found.refunds is None and found.order.request_id in self.legs.by_order:
                shares = found.raw * (found.crossing.unit or Fraction(0))
                key = found.order.request_id
                self.released[key] = self.released.get(key, Fraction(0)) + shares
        self.networks_told: NetworkOrders = check_networks(
            instrument, self.elsewhere, self.book.business.chains, self.book.business.bridge, self._multiplier_value, at
        )

    def _told_once(self) -> None:
        """What trades and movements both tell, once."""
        self.own_trades = self.all_trades
        once = told_once(self.all_trades, self.moved, self.legs, self.reflected, self.at)
        self.all_trades, self.moved, self.told_twice = once.trades, once.movements, once.lines
        self.trades = unsettled_trades(self.instrument, self.book.registry, self.all_trades, self.at, self.isins)
        self.held = (*self._held(once.dealt), *self._held_elsewhere())

    def _cash(self) -> None:
        """What orders owe in cash; told beside the shares, and never part of their figures."""
        self.cash: list[CashLeg] = []
        payments = self.book.business.payments
        if self.cut_off.at is None or not (payments or any(o.settlement == CASH for o in self.orders)):
            return
        delivered = {
            request_id: leg.settled_at
            for request_id in self.settled
            if (leg := self.legs.by_order[request_id]).settled_at is not None
        }
        delivery = Delivery(tokens_moved(self.matching), delivered, self.chain.gap is None)
        self.cash = cash_legs(self.orders, payments, delivery, self.calendar, self.at)

    def _wanted(self, order: Order) -> Fraction | None:
        """The shares that custody moves for an order: a redemption's fee is kept back."""
        quantity, fee = order.shares, order.fee or Fraction(0)
        if order.side == "redeem" and quantity is not None:
            return quantity - fee
        if quantity is None and order.raw is not None:
            unit = self.unit_then(order.settled_at or order.created_at)
            raw = order.raw - (fee if order.side == "redeem" else 0)
            return None if unit is None else raw * unit
        return quantity

    def _held(self, dealt: Collection[tuple[str, str]]) -> Iterator[HeldLine]:
        """Deposits in the custody figures whose tokens are not out, while they may still come; no purchase is one."""
        deposits = [
            (leg.order.request_id, leg.movements, self._still_held(leg))
            for leg in self.legs.by_order.values()
            if leg.order.side == "issue" and leg.order.is_here
        ]
        deposits += [
            (m.reference, (m,), m.quantity)
            for m in self.legs.unordered
            if m.quantity > 0 and (m.custodian, m.reference) not in dealt
        ]
        for reference, movements, shares in sorted(deposits, key=lambda d: d[0]):
            settled = max((m.settled_at for m in movements if m.settled_at is not None), default=None)
            seen = self._shows(movements)
            if settled is None or shares < (self.unit or Fraction(0)) or shares <= 0 or not seen:
                continue
            until = self._until(settled)
            if day_of(self.at) <= until:
                yield HeldLine(reference, shares, settled, until)

    def _held_elsewhere(self) -> Iterator[HeldLine]:
        """The same of orders on other networks, whose tokens are known by readings alone."""
        return held_elsewhere(
            self.elsewhere, self.legs.by_order, self.networks, lambda leg: self._shows(leg.movements), self._until,
            self.at,
        )  # fmt: skip

    def _until(self, since: datetime) -> date:
        """The last day on which what came may wait for its other side."""
        return self.calendar.add(day_of(since), self.instrument.late_days_max)

    def _shows(self, movements: Sequence[CustodyMovement]) -> bool:
        """Whether the custody figures contain these movements."""
        return all(m.settled_at is not None and m.settled_at <= self._seen(m) for m in movements)

    def _still_held(self, leg: Leg) -> Fraction:
        """What is left of an issue's deposit: without the fee once custody took it, and without what was released."""
        taken = sum((m.quantity for m in leg.fees if m.settled_at and m.settled_at <= self._seen(m)), Fraction(0))
        return leg.shares + taken - self.released.get(leg.order.request_id, Fraction(0))

    def _seen(self, movement: CustodyMovement) -> datetime:
        return self.reflected.get(movement.place, _NEVER)

    def _actions(self) -> None:
        steps, self.overridden = steps_of(self.chain.multipliers, self.at)
        stepping = [a for a in self.actions if a.kind in STEPPING]
        self.paired: list[Paired] = pair(stepping, steps)
        others = [a for a in self.actions if a.kind not in STEPPING]
        self.record = CustodyRecord(self.counted, self.moved, self.own_trades, self.spans, self.calendar, self.at)
        dealt, lines = reinvesting(self.all_trades, self._receivables(others), self._quantum(), self.at)
        self.all_trades, self.told_twice = dealt, (*self.told_twice, *lines)
        self.receivables = self._receivables(others)

    def _receivables(self, others: Sequence[CorporateAction]) -> list[Receivable]:
        found = booked(self.moved, self.all_trades, self.reflected, self.at)
        certain, quantum = self.record.has_not_booked, self._quantum()
        return receivables(self.paired, others, found, self._added_by, certain, self.calendar, self.at, quantum)

    def _quantum(self) -> Fraction:
        """The coarsest quantum of the custodians whose accounts count."""
        held = {custodian for custodian, _ in self.places}
        return max((c.quantum for c in self.book.registry.custodians if c.custodian in held), default=Fraction(0))

    def _added_by(self, step: Step) -> Fraction:
        """The shares that a step added to what was owed then, in raw outside and returned."""
        outside = sum((c.raw if c.outward else -c.raw) for c in self.walked.found if c.at < step.at)
        returned = sum(self.owed.get(c.key, 0) for c in self.walked.found if c.at < step.at)
        scale = Fraction(1, 10**self.instrument.decimals)
        elsewhere = sum((n.shares or Fraction(0) for n in self.networks), Fraction(0))
        now = Fraction(0) if self.unit is None else elsewhere / (self.unit / scale)
        added = (step.after - step.before) * ((outside + returned) * scale + now)
        # a figure divided by a multiplier has no finite decimals
        return Fraction(round(added * 10**PLACES), 10**PLACES) if elsewhere else added

    def totals(self) -> Quantities | None:
        """The quantities on chain; None where any of them is unknown."""
        chain = self.chain
        if chain.gap is not None or chain.supply is None or self.cut_off.at is None:
            return None
        by_role = holdings_by_role(chain.holdings, self.roles, self.at)
        return quantities(chain.supply, by_role, self.owed, self.walked.found)

    def known(self) -> Known:
        """All that the figures are made of."""
        totals, multiplier = self.totals(), self.multiplier_at(self.cut_off.slot, self.at)
        found: list[Doubt] = list(
            doubts_of(self.instrument, self.chain, self.cut_off.slot, self.cut_off.at, multiplier, self.accounts)
        )
        found += network_doubts(self.instrument, self.networks)
        found += self._contested()
        if totals is not None:
            on_ledger = issuer_balances(self.chain.holdings, self.roles, self.at)
            found += drift(
                self.instrument, totals.circulating, self.walked.outside, on_ledger, self.walked.issuer_balances
            )
        return Known(
            self.instrument, self.book.registry, totals, multiplier, self.accounts, self.trades, tuple(found),
            self.networks, self.bridged, tuple(r for r in self.receivables if not r.expired), self.held, self.opinion,
            unproven_wallets(self.chain.holdings, self.roles, self.at),
            None if totals is None else frozen_outside(self.chain.frozen, self.roles, self.at), self._loans(),
            self._wrappers(), self.told_twice,
        )  # fmt: skip

    def _wrappers(self) -> tuple[Wrapped, ...]:
        if self.cut_off.at is None:
            return ()
        held = escrows(self.chain, self.book.registry, self.roles, self.instrument.symbol, self.at)
        return wrappers(self.instrument, self.book.business.chains, self._multiplier_value, self.at, held)

    def _loans(self) -> tuple[LoanLine, ...]:
        book = self.book
        return loan_lines(self.instrument, book.registry, book.business.loans, self.at, self.isins)

    def _contested(self) -> Iterator[Doubt]:
        if not any(action.renames for action in self.actions):
            return
        book = self.book
        every = contested(self.instrument, book.registry, book.business.actions, book.statements, self.at)
        for (custodian, account), isin, other in every:
            text = f"{isin} lies at {custodian}/{account} for {other} too, and nothing says whose shares they are"
            yield Doubt(
                "B7", f"{custodian}/{account}/{isin}/{other}",
                f"{self.instrument.symbol}: {text}: an account of its own for each tells it",
            )  # fmt: skip

    def history(self, known: Known) -> History | None:
        """What led here, where only orders and crossings did and nothing of it is open to doubt."""
        named = {m.isin for m in self.book.business.movements}
        other = self.actions or self.bridged.pairs or self.elsewhere or not named.isdisjoint(self.isins)
        drifted = any(doubt.anchor == "crossings" for doubt in known.doubts)
        if other or drifted or known.totals is None or known.totals.supply != self.walked.supply:
            return None
        return closed_history(self.walked, self.matching, self.here, self.roles.changes(), self.at)

    def findings(self, known: Known, figures: Figures) -> Iterator[Finding]:
        """Yield all that is told about the instrument."""
        instrument, at = self.instrument, self.at
        yield from (figure_finding(d.code, instrument, d.anchor, d.text) for d in known.doubts)
        yield from verdict_findings(known, figures)
        yield from (encumbrance_finding(instrument, line) for line in self.counted if line.encumbered)
        late = overdue_trades(instrument, self.book.registry, self.all_trades, at, self.isins)
        yield from (overdue_finding(instrument, t) for t in late)
        yield from (twice_finding(instrument, line) for line in self.told_twice if not line.sure)
        yield from chain_findings(instrument, self.chain, self.walked.found, self.book.registry.announced)
        moved = movement_findings(instrument, self.walked.found, self.orders, self.matching, at, self.bridged.crossings)
        if self.chain.decimals not in (None, instrument.decimals):
            # by which unit an order is judged is not known: that is the break, and no other is made of it
            yield from (f for f in moved if not f.is_break)
        else:
            yield from moved
            if known.totals is not None:
                yield from order_findings(instrument, self.here, self.matching, at)
            yield from bridge_findings(instrument, self.bridged, self.unit, at)
            yield from self._told_of_legs()
            yield from network_findings(instrument, self.networks_told, at)
            yield from self._told_of_actions(figures)
        yield from cash_findings(instrument, self.cash, at)
        yield from loan_findings(instrument, known.loans)
        yield from wrapper_findings(instrument, known.wrappers)
        yield from self._told_of_wallets()

    def _told_of_legs(self) -> Iterator[Finding]:
        instrument, at = self.instrument, self.at
        quanta = {c.custodian: c.quantum for c in self.book.registry.custodians}
        yield from told_of_legs.leg_findings(instrument, self.legs, self.matching, self.wanted, quanta)
        yield from told_of_legs.loose_findings(instrument, self.legs.unordered, self.calendar, at)
        yield from told_of_legs.unreleased_findings(instrument, self.legs, self.released, self.calendar, at)
        yield from told_of_legs.late_findings(instrument, self.matching, self.legs, self.calendar, at)
        yield from told_of_legs.late_elsewhere(instrument, self.elsewhere, self.legs, self.calendar, at)
        if instrument.inventory_authorised:
            found = match_inventory(self.chain.movements, self.here, self.roles, self.unit_at, at)
            yield from told_of_legs.inventory_findings(instrument, found.unmatched, found.repeated, found.wrong)

    def _told_of_actions(self, figures: Figures) -> Iterator[Finding]:
        instrument = self.instrument
        yield from told_of_actions.action_findings(instrument, self.paired, self.overridden, self.at)
        yield from told_of_actions.receivable_findings(instrument, self.receivables, figures.needs_unsure)
        stepped = {p.action.action_id: p.step for p in self.paired if p.action is not None}
        on_record = {a.action_id: held for a in self.actions if (held := self.record.on_record(a)) is not None}
        overdue = {
            a.action_id: last
            for a in self.actions
            if (last := self.record.unpaid_since(a, stepped.get(a.action_id))) is not None
        }
        yield from told_of_actions.cash_findings(instrument, self.actions, self.moved, on_record, overdue, self.at)

    def _told_of_wallets(self) -> Iterator[Finding]:
        instrument, chain, at = self.instrument, self.chain, self.at
        if chain.gap is not None or self.cut_off.at is None:
            return
        yield from expired_findings(instrument, chain.holdings, self.book.registry, self.roles, self.unit, at)
        if chain.holders is not None and chain.supply is not None:
            yield from holder_findings(instrument, chain.supply, chain.holders, self.roles, self.unit, at)
        if chain.decimals not in (None, instrument.decimals):
            # what a venue owes in shares is in no unit that is known: the decimals are the break
            return
        found = ledgers(self.book.business.venue, instrument.mint, at)
        holdings = {(h.venue, h.as_of): h for h in chain.venue_holdings}
        units = {x.as_of: self.unit_then(x.as_of) for x in found}
        yield from venue_findings(instrument, found, holdings, units, self.book.registry, at)
