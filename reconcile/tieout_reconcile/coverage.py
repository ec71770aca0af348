"""An instrument's figures at a slot from its closed history: what a run would say, without walking the chain. Pure.

Only what stands is needed: supply and balances by the node, what of it was outside and owed by the history, the
multiplier, custody, trades and other networks. The supply and the quantity outside are known twice; where the
two differ the history is not used.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction
from typing import Any

from tieout_reconcile.bridging import NO_BRIDGE
from tieout_reconcile.canonical import to_plain
from tieout_reconcile.crossings import RoleBook
from tieout_reconcile.elsewhere import wrappers
from tieout_reconcile.facts import Chain, multiplier_in_force
from tieout_reconcile.figures import Known, doubts_of, figures_of, network_doubts, result_of
from tieout_reconcile.history import Step, instant_of
from tieout_reconcile.instrument import Book, CutOff, elsewhere_of
from tieout_reconcile.liability import (
    Quantities,
    collateral,
    custody_lines,
    escrows,
    frozen_outside,
    holdings_by_role,
    settled_orders,
    settled_trades,
    trades_of,
    unproven_wallets,
    unsettled_trades,
)
from tieout_reconcile.lines import CrossingLines
from tieout_reconcile.loans import less_lent, loan_lines
from tieout_reconcile.registry import Instrument, Role
from tieout_reconcile.results import Inputs, InstrumentResult, Verdict


@dataclass(frozen=True, slots=True)
class Coverage:
    """All instruments' figures at a slot. ``walked`` are the symbols whose chain was walked anew for it.

    The same figures and verdicts as a run of the same inputs; the orders behind each crossing, what they owe in cash,
    and breaks of single crossings, are a run's.
    """

    verdict: Verdict
    inputs: Inputs
    instruments: tuple[InstrumentResult, ...]
    walked: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Return plain values; crossings and cash, which are a run's, are left out."""
        plain = to_plain(self)
        for instrument in plain["instruments"]:
            for name in ("crossings", "cash", "cash_legs"):
                del instrument[name]
        return plain


def cover_instrument(
    instrument: Instrument, book: Book, chain: Chain, standing: Step, cut_off: CutOff, at: datetime
) -> InstrumentResult | None:
    """Return the figures of an instrument whose history is closed; None where the ledger does not bear it out."""
    roles = RoleBook(book.registry, instrument.symbol)
    totals = _totals(roles, chain, standing, at)
    if totals is None:
        return None

    def multiplier_at(when: datetime) -> Fraction | None:
        found = multiplier_in_force(chain.multipliers, cut_off.slot, when)
        return None if found is None else found.value

    ordered = None if not standing.ordered else instant_of(standing.ordered)
    since = (
        *settled_trades(trades_of(instrument, book.registry, book.trades, at), at),
        *settled_orders(ordered, collateral(instrument, book.registry, at), book.statements),
    )
    accounts = less_lent(
        custody_lines(instrument, book.registry, book.statements, book.later_statements, at, since=since),
        book.business.loans,
        (instrument.isin,),
    )
    trades = unsettled_trades(instrument, book.registry, book.trades, at)
    multiplier = multiplier_in_force(chain.multipliers, cut_off.slot, at)
    networks, opinion = elsewhere_of(instrument, book, multiplier_at, cut_off)
    doubts = [
        *doubts_of(instrument, chain, cut_off.slot, at, multiplier, accounts),
        *network_doubts(instrument, networks),
    ]
    held = escrows(chain, book.registry, roles, instrument.symbol, at)
    known = Known(
        instrument, book.registry, totals, multiplier, accounts, trades, tuple(doubts), networks, NO_BRIDGE, (), (),
        opinion, unproven_wallets(chain.holdings, roles, at), frozen_outside(chain.frozen, roles, at),
        loan_lines(instrument, book.registry, book.business.loans, at),
        wrappers(instrument, book.business.chains, multiplier_at, at, held),
    )  # fmt: skip
    return result_of(known, figures_of(known), CrossingLines())


def _totals(roles: RoleBook, chain: Chain, standing: Step, at: datetime) -> Quantities | None:
    by_role: Mapping[Role, int] = holdings_by_role(chain.holdings, roles, at)
    totals = Quantities(
        standing.supply,
        by_role.get(Role.TREASURY, 0) + by_role.get(Role.INVENTORY, 0),
        by_role.get(Role.REDEMPTION, 0),
        standing.returned,
        standing.forced,
        tuple(sorted(by_role.items())),
    )
    return totals if (chain.supply, totals.circulating) == (standing.supply, standing.outside) else None


def in_order(registered: Sequence[Instrument], found: Mapping[str, InstrumentResult]) -> tuple[InstrumentResult, ...]:
    """Return the results in the registry's order."""
    return tuple(found[i.symbol] for i in registered if i.symbol in found)
