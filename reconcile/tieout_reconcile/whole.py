"""All instruments of a registry, reconciled into one run. Pure: a run and its recomputation offline share it."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from operator import itemgetter
from typing import Any, TypeAlias, TypeVar

from tieout_reconcile.cash_findings import unlinked_findings
from tieout_reconcile.facts import Chain
from tieout_reconcile.instrument import Book, CutOff, reconcile_instrument
from tieout_reconcile.registry import EVERY_INSTRUMENT, Instrument
from tieout_reconcile.results import RULES, Finding, Inputs, InstrumentResult, Run, worst
from tieout_reconcile.rolling import isins_of, rolled
from tieout_reconcile.token_payments import TokenChain, check_payments, payment_findings
from tieout_reconcile.unmapped import unmapped

T = TypeVar("T")
_FOR_EVER = datetime.max.replace(tzinfo=UTC)


Part: TypeAlias = tuple[InstrumentResult, tuple[Finding, ...]]
"""An instrument's result and what is told about it."""


def reconcile_all(book: Book, chains: Mapping[str, Chain], tokens: Mapping[str, TokenChain], inputs: Inputs) -> Run:
    """Return the run over every instrument that is valid at the cut-off; both kinds of chain are keyed by mint."""
    cut_off = CutOff(inputs.as_of_slot, inputs.as_of_time)
    book = replace(book, statements=rolled(book.statements, book.business, cut_off.at))
    return assemble(book, reconcile_parts(book, chains, cut_off), tokens, inputs)


def reconcile_parts(book: Book, chains: Mapping[str, Chain], cut_off: CutOff) -> list[Part]:
    """Reconcile each instrument of the book's registry that is valid at the cut-off; its statements are rolled."""
    shelves = Shelves(book)
    return [
        reconcile_instrument(instrument, shelves.of(instrument), chains[instrument.mint], cut_off)
        for instrument in valid_at(book.registry.instruments, cut_off.at)
    ]


def assemble(book: Book, parts: Sequence[Part], tokens: Mapping[str, TokenChain], inputs: Inputs) -> Run:
    """Return the run of all instruments' parts, in the registry's order, with what concerns none of them.

    Of the book's orders at least those are there that a payment names.
    """
    at = inputs.as_of_time
    ordered = {order.request_id for order in book.orders} if book.business.payments else frozenset[str]()
    checks = check_payments(book.business.payments, book.registry, tokens, at)
    findings = (
        *(finding for _, found in parts for finding in found),
        *unmapped(book, at),
        *unlinked_findings(book.business.payments, ordered, at),
        *payment_findings(checks),
    )
    results = tuple(result for result, _ in parts)
    return Run(RULES, worst([result.verdict for result in results]), inputs, results, findings, checks)


def valid_at(instruments: Sequence[Instrument], at: datetime | None) -> list[Instrument]:
    """Return the instruments that were registered as valid by an instant."""
    return [i for i in instruments if i.valid_from is None or at is None or i.valid_from <= at]


class Shelves:
    """The book sorted once by whom its records may concern: with a thousand instruments, each reads its own only."""

    def __init__(self, book: Book) -> None:
        self._book = book
        business = book.business
        self._orders = _by(book.orders, _mint)
        self._chains = _by(business.chains, _mint)
        self._bridge = _by(business.bridge, _mint)
        self._venue = _by(business.venue, _mint)
        self._payments = _by(business.payments, lambda payment: payment.request_id or "")
        self._movements = _by(list(enumerate(business.movements)), lambda numbered: numbered[1].isin)
        self._trades = _by(list(enumerate(book.trades)), lambda numbered: numbered[1].isin)
        self._wallets = _by(list(enumerate(book.registry.wallets)), lambda numbered: numbered[1].instrument)

    def of(self, instrument: Instrument) -> Book:
        """Return the book with nothing left out that may concern the instrument, each part in its order."""
        mint = instrument.mint
        isins = isins_of(instrument.isin, self._book.business.actions, _FOR_EVER)
        orders = self._orders.get(mint, ())
        paid = [p for o in orders for p in self._payments.get(o.request_id, ())] if self._payments else ()
        business = replace(
            self._book.business,
            chains=tuple(self._chains.get(mint, ())),
            bridge=tuple(self._bridge.get(mint, ())),
            venue=tuple(self._venue.get(mint, ())),
            movements=_in_order(self._movements, isins),
            payments=tuple(paid),
        )
        wallets = _in_order(self._wallets, (EVERY_INSTRUMENT, instrument.symbol))
        return replace(
            self._book, registry=replace(self._book.registry, wallets=wallets), orders=orders,
            trades=_in_order(self._trades, isins), business=business,
        )  # fmt: skip


def _in_order(shelves: Mapping[str, Sequence[tuple[int, T]]], keys: Iterable[str]) -> tuple[T, ...]:
    """Return what lies on some shelves, by its number."""
    found = [numbered for key in dict.fromkeys(keys) for numbered in shelves.get(key, ())]
    return tuple([record for _, record in sorted(found, key=itemgetter(0))])


def _mint(record: Any) -> str:
    mint: str = record.mint
    return mint


def _by(records: Iterable[T], key: Callable[[T], str]) -> dict[str, Sequence[T]]:
    groups: dict[str, list[T]] = defaultdict(list)
    for record in records:
        groups[key(record)].append(record)
    return dict(groups)
