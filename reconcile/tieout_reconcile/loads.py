"""What the business said, load by load: replayed from the files alone, as the database holds it. Pure.

Loads are numbered without gaps in the order in which they were accepted, and each is parsed under the
registry in force before it. So the same files in the same order say the same, in a database or without.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction
from typing import TypeVar

from tieout_reconcile.errors import BadInput
from tieout_reconcile.files import RULE, InputFile
from tieout_reconcile.formats import parse_statement, replay_order_file
from tieout_reconcile.formats.declared import StatementMap
from tieout_reconcile.formats.events import parse_trade_file
from tieout_reconcile.formats.ruled import form_of, rule_of
from tieout_reconcile.inputs import KINDS, Business, Shelf
from tieout_reconcile.instrument import Book
from tieout_reconcile.liability import Statement
from tieout_reconcile.movements import Period, period_of
from tieout_reconcile.orders import Order
from tieout_reconcile.prices import Price
from tieout_reconcile.registry import Registry
from tieout_reconcile.registry_file import parse_registry
from tieout_reconcile.statements import Position
from tieout_reconcile.trades import Trade

Parsing = TypeVar("Parsing")


@dataclass(frozen=True, slots=True)
class Load:
    """One accepted file: its number, kind (registry, statement, orders, trades, or one of ``inputs.KINDS``), bytes,
    format and declaration."""

    load: int
    kind: str
    name: str
    format: str | None
    declared: str | None
    body: bytes

    @property
    def sha256(self) -> bytes:
        """The digest of the bytes."""
        return hashlib.sha256(self.body).digest()


def loads_digest(identities: Iterable[tuple[int, str, bytes, str | None]]) -> str:
    """Return one SHA-256 over (load, kind, sha256, declaration) of all files, in order of loads."""
    lines = [f"{load} {kind} {digest.hex()}{_declaration(declared)}\n" for load, kind, digest, declared in identities]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _declaration(declared: str | None) -> str:
    return "" if declared is None else " " + hashlib.sha256(declared.encode()).hexdigest()


class Replay:
    """The registry, orders and positions as of the last load taken. Raises BadInput for a file that does not parse."""

    def __init__(self, loads: Sequence[Load]) -> None:
        self.loads = tuple(loads)
        self.registries: list[tuple[int, Registry]] = []
        self._orders: dict[str, Order] = {}
        self._positions: list[tuple[int, Position]] = []
        self._trades: dict[tuple[str, str], Trade] = {}
        self._shelf = Shelf()
        for load in loads:
            self._take(load)

    def registry(self, known_load: int | None = None) -> tuple[int, Registry] | None:
        """Return the last registry, or the last one up to a load, with its own load."""
        known = [found for found in self.registries if known_load is None or found[0] <= known_load]
        return known[-1] if known else None

    def book(self, cut_off: datetime | None) -> Book:
        """Return the book at a cut-off; without one, no statement counts. Raises BadInput without a registry."""
        statements, later = ({}, {}) if cut_off is None else self._statements(cut_off)
        orders = [self._orders[request_id] for request_id in sorted(self._orders)]
        trades = [self._trades[key] for key in sorted(self._trades)]
        return Book(self._in_force("the book"), orders, statements, later, trades, self._shelf.business())

    def business(self) -> Business:
        """Return what the files of ``inputs.KINDS`` say."""
        return self._shelf.business()

    def prices(self) -> list[Price]:
        """Return the prices that stand: no part of the book."""
        return self._shelf.standing("prices")

    def _take(self, load: Load) -> None:
        if rule_of(load.format) > RULE:
            raise BadInput(load.name, [f"it was read as {load.format}, by a rule that this version does not know"])
        file = InputFile(load.name, load.body, rule_of(load.format))
        match load.kind:
            case "registry":
                self.registries.append((load.load, parse_registry(file)))
            case "statement":
                found = self._statement(load, file)
                self._positions += [(load.load, p) for p in found]
            case "orders":
                orders = replay_order_file(file, self._in_force(load.name), load.format)
                changed = [o for o in orders if not self._repeats(o)]
                self._orders.update((o.request_id, o) for o in changed)
            case "trades":
                for trade in self._stated(load, file, parse_trade_file)[1]:
                    # a version that says the same again is not stored again, and keeps its line
                    known = self._trades.get((trade.custodian, trade.reference))
                    if known is None or not trade.same_content(known):
                        self._trades[trade.custodian, trade.reference] = trade
            case kind if kind in KINDS:
                self._shelf.take(KINDS[kind], self._stated(load, file, KINDS[kind].parse))
            case other:
                what = f"load {load.load} is of the kind {other!r}, which this version does not know"
                raise BadInput(load.name, [what])

    def _stated(
        self, load: Load, file: InputFile, parse: Callable[[InputFile, Registry, Period, str | None], Parsing]
    ) -> Parsing:
        """What a file says under the registry then in force, its declaration and its format."""
        said = json.loads(load.declared) if load.declared else {}
        form = None if load.format is None else form_of(load.format)
        return parse(file, self._in_force(load.name), period_of(said), form)

    def _statement(self, load: Load, file: InputFile) -> list[Position]:
        said = json.loads(load.declared) if load.declared else {}
        given = StatementMap(**said.get("map", {}))
        as_of = datetime.fromisoformat(said["as_of"]) if "as_of" in said else None
        declared = given.declared(said.get("custodian"), said.get("account"), as_of)
        found = parse_statement(file, self._in_force(load.name), given, declared, said.get("format"))[1]
        self._withdraw(set(said.get("corrects", ())), {(p.custodian, p.account) for p in found})
        return found

    def _withdraw(self, loads: set[int], accounts: set[tuple[str, str]]) -> None:
        """Drop what corrected loads said of some accounts."""
        self._positions = [
            (load, p) for load, p in self._positions if load not in loads or (p.custodian, p.account) not in accounts
        ]

    def _in_force(self, name: str) -> Registry:
        if not self.registries:
            raise BadInput(name, ["no registry was loaded before it"])
        return self.registries[-1][1]

    def _repeats(self, order: Order) -> bool:
        known = self._orders.get(order.request_id)
        return known is not None and order.same_content(known)

    def _statements(
        self, cut_off: datetime
    ) -> tuple[dict[tuple[str, str], Statement], dict[tuple[str, str], datetime]]:
        """The latest settled statement of each account at the cut-off, and the first instant after it."""
        latest: dict[tuple[str, str], tuple[datetime, int]] = {}
        later: dict[tuple[str, str], datetime] = {}
        settled = [(load, p) for load, p in self._positions if p.basis == "settled"]
        for load, p in settled:
            key = (p.custodian, p.account)
            if p.as_of > cut_off:
                later[key] = min(p.as_of, later.get(key, p.as_of))
            elif key not in latest or (p.as_of, load) > latest[key]:
                latest[key] = (p.as_of, load)
        statements = {key: Statement(*key, as_of, load, {}, {}) for key, (as_of, load) in latest.items()}
        for load, p in settled:
            key = (p.custodian, p.account)
            if latest.get(key) == (p.as_of, load):
                statements[key].quantities[p.isin] = p.quantity
                held: dict[str, Fraction] = dict(sorted(p.encumbered))
                statements[key].encumbered[p.isin] = held
        return statements, later
