"""The kinds of file that say what the business knows beside statements, orders and trades: one row a kind. Pure.

A record's fields are the columns of its relation. Of records with one key the last load's counts; of a
``whole`` kind a load replaces everything under its key. To add a kind: its parser, a row here, its relation
and its query ``known_<kind>``.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Any, get_type_hints

from tieout_reconcile.bridge import BridgeMessage, parse_messages
from tieout_reconcile.canonical import Raw
from tieout_reconcile.corporate import CorporateAction
from tieout_reconcile.errors import BadInput
from tieout_reconcile.exact import exact_decimal
from tieout_reconcile.files import InputFile
from tieout_reconcile.formats.events import parse_action_file, parse_movement_file, parse_payment_file
from tieout_reconcile.loans import StockLoan, parse_loans
from tieout_reconcile.movements import CustodyMovement, Period, Span
from tieout_reconcile.other_chains import ChainReading, parse_chains
from tieout_reconcile.payments import Payment
from tieout_reconcile.prices import Price, parse_prices
from tieout_reconcile.registry import Registry
from tieout_reconcile.venues import VenueLine, parse_venue_lines


@dataclass(frozen=True, slots=True)
class Parsed:
    """What a file holds: its format, its records, and the periods that it covers."""

    form: str
    records: Sequence[Any]
    spans: Sequence[Span] = ()


@dataclass(frozen=True, slots=True)
class InputKind:
    """A kind of file: its records, where they are stored, by what one supersedes another.

    ``judged`` False: what it says stands beside the figures, and no part of ``Business``, which a run reads.
    """

    kind: str
    record: type
    relation: str
    key: tuple[str, ...]
    parse: Callable[[InputFile, Registry, Period, str | None], Parsed]
    whole: bool = False
    judged: bool = True

    def key_of(self, record: Any) -> tuple[Any, ...]:
        """Return what names a record among others of its kind."""
        return tuple(getattr(record, name) for name in self.key)


def _actions(file: InputFile, registry: Registry, _: Period, form: str | None) -> Parsed:
    return Parsed(*parse_action_file(file, registry, form))


def _chains(file: InputFile, registry: Registry, _: Period, form: str | None) -> Parsed:
    return Parsed(_csv_only(file, form, "json"), parse_chains(file, registry))


def _bridge(file: InputFile, registry: Registry, _: Period, form: str | None) -> Parsed:
    return Parsed(_csv_only(file, form), parse_messages(file, registry))


def _movements(file: InputFile, registry: Registry, declared: Period, form: str | None) -> Parsed:
    return Parsed(*parse_movement_file(file, registry, declared, form))


def _loans(file: InputFile, registry: Registry, _: Period, form: str | None) -> Parsed:
    return Parsed(_csv_only(file, form), parse_loans(file, registry))


def _payments(file: InputFile, registry: Registry, _: Period, form: str | None) -> Parsed:
    return Parsed(*parse_payment_file(file, registry, form))


def _prices(file: InputFile, registry: Registry, _: Period, form: str | None) -> Parsed:
    return Parsed(_csv_only(file, form), parse_prices(file, registry))


def _venue(file: InputFile, registry: Registry, _: Period, form: str | None) -> Parsed:
    return Parsed(_csv_only(file, form), parse_venue_lines(file, registry))


def _csv_only(file: InputFile, form: str | None, *others: str) -> str:
    if form not in (None, "csv", *others):
        raise BadInput(file.name, [f"the format {form!r} is not one of {', '.join(('csv', *others))}"])
    return form or "csv"


KINDS: Mapping[str, InputKind] = {
    kind.kind: kind
    for kind in (
        InputKind("actions", CorporateAction, "action_row", ("action_id",), _actions),
        InputKind("chains", ChainReading, "chain_reading_row", ("mint", "network", "as_of", "wrapper"), _chains),
        InputKind("bridge", BridgeMessage, "bridge_message_row", ("message_id",), _bridge),
        InputKind("movements", CustodyMovement, "custody_movement_row", ("custodian", "reference"), _movements),
        InputKind("loans", StockLoan, "stock_loan_row", ("custodian", "reference"), _loans),
        InputKind("payments", Payment, "payment_row", ("reference",), _payments),
        InputKind("prices", Price, "price_row", ("isin", "currency", "day"), _prices, judged=False),
        InputKind("venue", VenueLine, "venue_line_row", ("venue", "mint", "as_of"), _venue, whole=True),
    )
}


@dataclass(frozen=True, slots=True)
class Business:
    """All of it as known at a load, in a fixed order."""

    actions: tuple[CorporateAction, ...] = ()
    chains: tuple[ChainReading, ...] = ()
    bridge: tuple[BridgeMessage, ...] = ()
    movements: tuple[CustodyMovement, ...] = ()
    loans: tuple[StockLoan, ...] = ()
    payments: tuple[Payment, ...] = ()
    venue: tuple[VenueLine, ...] = ()
    spans: tuple[Span, ...] = ()


class Shelf:
    """The records as loads are taken in, one after the other."""

    def __init__(self) -> None:
        self._records: dict[str, dict[tuple[Any, ...], list[Any]]] = {kind: {} for kind in KINDS}
        self._spans: list[Span] = []

    def take(self, kind: InputKind, parsed: Parsed) -> None:
        """Take what a load holds."""
        found: dict[tuple[Any, ...], list[Any]] = {}
        for record in parsed.records:
            found.setdefault(kind.key_of(record), []).append(record)
        self._records[kind.kind].update(found)
        self._spans.extend(parsed.spans)

    def standing(self, kind: str) -> list[Any]:
        """Return the records of a kind that stand."""
        return [r for rows in self._records[kind].values() for r in rows]

    def business(self) -> Business:
        """Return what stands of all that a run reads."""
        return business_of({kind: self.standing(kind) for kind in self._records}, self._spans)


def business_of(records: Mapping[str, Iterable[Any]], spans: Iterable[Span]) -> Business:
    """Return records in the one order in which they are reconciled, whoever read them."""
    ordered = {
        name: tuple(sorted(records.get(name, ()), key=lambda r, k=kind: (k.key_of(r), r.line)))  # type: ignore[misc]
        for name, kind in KINDS.items()
        if kind.judged
    }
    return Business(**ordered, spans=tuple(sorted(spans, key=lambda s: (s.place, s.start, s.end))))


def columns(kind: InputKind) -> tuple[str, ...]:
    """Return the columns of a kind's relation, but for the load."""
    return tuple(kind.record.__slots__)  # type: ignore[attr-defined]


def stored_values(kind: InputKind, load: int, record: Any) -> tuple[Any, ...]:
    """Return a record as a row of its relation."""
    values = (getattr(record, name) for name in columns(kind))
    return (load, *(exact_decimal(v) if isinstance(v, Fraction) else v for v in values))


def record_of(kind: InputKind, row: Mapping[str, Any]) -> Any:
    """Return the record of a row of its relation."""
    hints = get_type_hints(kind.record)
    return kind.record(**{name: _value(row[name], hints[name]) for name in columns(kind)})


def _value(value: Any, hint: Any) -> Any:
    if isinstance(value, Decimal):
        return int(value) if hint is Raw else Fraction(value)
    return value
