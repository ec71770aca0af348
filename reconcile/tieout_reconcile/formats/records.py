"""What every statement format is parsed into, and how that becomes positions of registered accounts. Pure.

Encumbrances follow one rule. A custodian may name sub-balances (lent, pledged, blocked, borrowed), and
may also say what is available or not available as a whole. What is unavailable beyond the named ones is
``not_available``: nothing counts as free that the custodian does not call free.
"""

from dataclasses import dataclass, field
from datetime import date, datetime, time
from fractions import Fraction
from zoneinfo import ZoneInfo

from tieout_reconcile.exact import decimal_text
from tieout_reconcile.files import Problems, in_utc, shown
from tieout_reconcile.registry import Registry
from tieout_reconcile.statements import Position, unmapped_fault

KINDS = ("lent", "pledged", "blocked", "borrowed", "not_available")

# Sub-balance types of ISO 15022 (MT535 field 93a) and ISO 20022 (SecuritiesBalanceType codes) alike, by the
# standard's own definition of each. What encumbers, and as what: a derivatives margin is collateral given.
KIND_OF = {
    "LOAN": "lent", "PLED": "pledged", "COLO": "pledged", "MARG": "pledged", "BLOK": "blocked", "BLCA": "blocked",
    "BLOT": "blocked", "BLOV": "blocked", "RSTR": "blocked", "BORR": "borrowed", "COLI": "borrowed",
}  # fmt: skip
AVAILABLE = frozenset({"AWAS", "COLA"})
"""Free by definition: available with no additional status, and eligible as collateral (not given as such)."""
# Says how a balance is registered, taxed, issued or moved next: takes nothing from it unless it is called
# not available.
INFORMATION = frozenset({
    "PEND", "PENR", "PDMT", "PRMT", "PDUM", "PRUM", "PECA", "PEDA", "BODE", "BORE", "LODE", "LORE",
    "NOMI", "REGO", "UNRG", "SPOS", "TRAN", "CLEN", "DIRT", "DRAW", "QUAS", "ISSU",
})  # fmt: skip
PROPRIETARY = "unnamed"
"""Stands for a type that is the custodian's own."""
UNCLASSIFIED = frozenset({"OTHR", PROPRIETARY})
"""Say nothing themselves: what the custodian calls them beside it decides."""


@dataclass(slots=True)
class SubBalances:
    """Sums the sub-balances of one holding into encumbrances by kind; what it does not know is a fault."""

    problems: Problems
    named: dict[str, Fraction] = field(default_factory=dict)

    def take(self, place: str, code: str, size: Fraction, *, not_available: bool, available: bool = False) -> None:
        """Take a sub-balance; ``available`` and ``not_available``: what the custodian calls it beside its code."""
        called = code in UNCLASSIFIED and (available or not_available)
        if code not in KIND_OF.keys() | AVAILABLE | INFORMATION and not called:
            what = f"has a sub-balance of type {shown(code)}"
            self.problems.add(place, f"{what}, of which it is not known whether it encumbers")
        elif (kind := self.kind_of(code, not_available=not_available)) is not None:
            self.named[kind] = self.named.get(kind, Fraction(0)) + size

    def kind_of(self, code: str, *, not_available: bool) -> str | None:
        """Return as what a sub-balance encumbers, None where it does not."""
        if self.problems.rule < 2:
            return None if code == "MARG" else KIND_OF.get(code)
        return KIND_OF.get(code, "not_available" if not_available else None)

    def at_least(self, other: "SubBalances") -> None:
        """Take the larger of two accounts of the same shares, kind by kind."""
        for kind, size in other.named.items():
            self.named[kind] = max(size, self.named.get(kind, Fraction(0)))


BASIS_OF = {"SETT": "settled", "TRAD": "trade_date"}


@dataclass(frozen=True, slots=True)
class Declared:
    """What the importer says about a file where the format is silent; the file's own word goes first."""

    custodian: str | None = None
    account: str | None = None
    basis: str | None = None
    as_of: datetime | None = None
    zone: ZoneInfo | None = None
    cut_off: time | None = None


@dataclass(frozen=True, slots=True)
class Record:
    """One position as its format gives it. ``place`` is for messages, ``number`` its line or ordinal in the file.

    ``moment``: an instant, a local time without zone, or a business day alone. Quantities in shares;
    ``quantity`` is the aggregate, below zero when short; ``named`` are sub-balances by kind.
    """

    place: str
    number: int
    account: str | None
    isin: str
    quantity: Fraction
    basis: str | None
    moment: datetime | date | None
    named: dict[str, Fraction] = field(default_factory=dict)
    available: Fraction | None = None
    not_available: Fraction | None = None


@dataclass(frozen=True, slots=True)
class Empty:
    """A statement that says that its account holds nothing at all: a zero that is known.

    ``if_registered``: nothing is said of an account that the registry does not know.
    """

    place: str
    number: int
    account: str | None
    basis: str | None
    moment: datetime | date | None
    if_registered: bool = False


def resolve(
    records: list[Record], empties: list[Empty], declared: Declared, registry: Registry, problems: Problems
) -> list[Position]:
    """Return the positions, each account and ISIN found in the registry. Faults go to ``problems``."""
    book = _Accounts(registry, declared, problems)
    positions: list[Position] = []
    found: dict[tuple[str, str, str, str, datetime], str] = {}
    for record in records:
        if (position := book.position(record)) is None:
            continue
        key = (position.custodian, position.account, position.isin, position.basis, position.as_of)
        if key in found:
            what = f"{position.isin} in account {shown(position.account)} is there twice: it stands at {found[key]} too"
            problems.add(record.place, what)
        found[key] = record.place
        positions.append(position)
    number = max([r.number for r in records] + [e.number for e in empties], default=0)
    for empty in empties:
        zeros = book.zeros(empty, number + 1)
        for key in {(z.custodian, z.account, z.isin, z.basis, z.as_of) for z in zeros} & found.keys():
            problems.add(empty.place, f"says that account {shown(key[1])} is empty, but {found[key]} holds {key[2]}")
        positions, number = positions + zeros, number + len(zeros)
    return positions


class _Accounts:
    def __init__(self, registry: Registry, declared: Declared, problems: Problems) -> None:
        self.registry = registry
        self.declared = declared
        self.problems = problems
        self.isins = {i.isin for i in registry.instruments}
        self.custodians: dict[str, list[str]] = {}
        for custodian in registry.custodians:
            for account in custodian.accounts:
                self.custodians.setdefault(account.account, []).append(custodian.custodian)

    def position(self, record: Record) -> Position | None:
        fault = None if record.isin in self.isins else unmapped_fault(record.isin)
        if fault is not None:
            self.problems.add(record.place, fault)
        where = self._where(record.place, record.account, record.basis, record.moment)
        holds = self._encumbrances(record)
        if where is None or holds is None or fault is not None:
            return None
        custodian, account, basis, as_of = where
        return Position(record.number, custodian, account, record.isin, record.quantity, basis, as_of, holds)

    def zeros(self, empty: Empty, number: int) -> list[Position]:
        if empty.if_registered and empty.account not in self.custodians:
            return []
        where = self._where(empty.place, empty.account, empty.basis, empty.moment)
        if where is None:
            return []
        custodian, account, basis, as_of = where
        held = [a for c in self.registry.custodians if c.custodian == custodian for a in c.accounts]
        counted = next(a for a in held if a.account == account)
        isins = [i.isin for i in self.registry.instruments if counted.counts(i.symbol, as_of)]
        return [
            Position(number + n, custodian, account, isin, Fraction(0), basis, as_of) for n, isin in enumerate(isins)
        ]

    def _where(
        self, place: str, account: str | None, basis: str | None, moment: datetime | date | None
    ) -> tuple[str, str, str, datetime] | None:
        custodian, named = self._account(place, account)
        basis = basis or self.declared.basis
        if basis is None:
            self.problems.add(place, "says neither settled nor trade_date: declare basis in the map")
        as_of = self._instant(place, moment)
        if custodian is None or named is None or basis is None or as_of is None:
            return None
        return custodian, named, basis, as_of

    def _account(self, place: str, account: str | None) -> tuple[str | None, str | None]:
        if account and self.declared.account and account != self.declared.account:
            self.problems.add(place, f"is of account {shown(account)}, but {shown(self.declared.account)} is declared")
            return None, None
        account = account or self.declared.account
        if not account:
            self.problems.add(place, "names no account: give it by --account or in the map")
            return None, None
        held_by = self.custodians.get(account, [])
        if self.declared.custodian is not None:
            held_by = [c for c in held_by if c == self.declared.custodian]
        if len(held_by) != 1:
            what = "is in the registry under no such custodian" if not held_by else f"is one of {', '.join(held_by)}"
            remedy = "" if not held_by else ": say which by --custodian"
            self.problems.add(place, f"account {shown(account)} {what}{remedy}")
            return None, None
        return held_by[0], account

    def _instant(self, place: str, moment: datetime | date | None) -> datetime | None:
        moment = moment if moment is not None else self.declared.as_of
        zone, cut_off = self.declared.zone, self.declared.cut_off
        if moment is None:
            self.problems.add(place, "has no time of its own: give it by --as-of")
            return None
        if not isinstance(moment, datetime):
            if cut_off is None:
                self.problems.add(place, f"is of the day {moment} alone: declare cut_off and time_zone in the map")
                return None
            moment = datetime.combine(moment, cut_off)
        if moment.tzinfo is None:
            if zone is None:
                self.problems.add(place, f"the time {moment} has no zone: declare time_zone in the map")
                return None
            moment = moment.replace(tzinfo=zone)
        try:
            return in_utc(moment)
        except ValueError as bad:
            self.problems.add(place, f"the time {moment} {bad}")
            return None

    def _encumbrances(self, record: Record) -> tuple[tuple[str, Fraction], ...] | None:
        named = {kind: quantity for kind, quantity in record.named.items() if quantity}
        if any(quantity < 0 for quantity in named.values()):
            self.problems.add(record.place, "has a sub-balance below zero")
            return None
        unavailable = [record.not_available or Fraction(0)]
        if record.available is not None:
            unavailable.append(record.quantity - record.available)
        rest = max(unavailable) - sum(named.values(), Fraction(0))
        if record.available is not None and record.available > max(record.quantity, Fraction(0)):
            self.problems.add(record.place, f"more is available than held: {_text(record.available, record.quantity)}")
            return None
        if rest > 0:
            # the first rule forgot what a map's own column called not available
            already = named.get("not_available", Fraction(0)) if self.problems.rule >= 2 else Fraction(0)
            named["not_available"] = already + rest
        total = sum(named.values(), Fraction(0))
        if total > max(record.quantity, Fraction(0)):
            self.problems.add(record.place, f"more is encumbered than held: {_text(total, record.quantity)}")
            return None
        return tuple(sorted(named.items()))


def _text(part: Fraction, whole: Fraction) -> str:
    return f"{decimal_text(part)} of {decimal_text(whole)} shares"
