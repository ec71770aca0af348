"""The registry as values: which mints, whose wallets, which custody accounts, valid from when to when.

Two axes: ``valid_from`` and ``valid_to`` say when an entry held in the business; the load that
recorded it says when it was known. Intervals are half-open: an entry holds at its ``valid_from``
and no longer at its ``valid_to``.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, fields
from datetime import UTC, date, datetime
from enum import StrEnum
from fractions import Fraction
from typing import Any

import rfc8785

from tieout_reconcile.calendars import PLAIN, Calendar
from tieout_reconcile.exact import decimal_text
from tieout_reconcile.sources import Source

SOLANA = "solana"
"""The network that is indexed."""
EVERY_INSTRUMENT = "*"


class Role(StrEnum):
    """What a wallet is to the issuer. Only the first three are issuer-controlled."""

    TREASURY = "treasury"
    INVENTORY = "inventory"
    REDEMPTION = "redemption"
    BRIDGE = "bridge"
    LOST = "lost"
    AFFILIATE = "affiliate"
    MARKET_MAKER = "market_maker"
    VENUE_HOT = "venue_hot"
    VENUE_COLD = "venue_cold"
    VENUE_OMNIBUS = "venue_omnibus"
    VENUE_DEPOSIT = "venue_deposit"
    ESCROW = "escrow"

    # of the text, and not of the member's name by a call: it is asked for with each movement
    __hash__ = str.__hash__


ISSUER_ROLES = frozenset({Role.TREASURY, Role.INVENTORY, Role.REDEMPTION})
"""Tokens here are inside the issuer's boundary. All other roles are still owed, on their own lines."""
VENUE_ROLES = frozenset({Role.VENUE_HOT, Role.VENUE_COLD, Role.VENUE_OMNIBUS, Role.VENUE_DEPOSIT})
"""What a venue holds for its customers."""


PRICE_DAYS = 5
"""How old a price may be on the cut-off's day, in days, where the registry does not say."""


@dataclass(frozen=True, slots=True)
class Instrument:
    """A tokenized stock: one mint, one ISIN. ``buffer_shares`` is a declared surplus that is no break.

    ``chains`` are the other networks that must be read. ``large_share`` is the part of the supply from
    which an unlabelled owner is told; None: none is. ``price_days_max`` is how old a price may be.
    """

    symbol: str
    mint: str
    isin: str
    decimals: int
    name: str = ""
    buffer_shares: Fraction = Fraction(0)
    valid_from: datetime | None = None
    valid_to: datetime | None = None
    chains: tuple[str, ...] = ()
    chain_age_hours_max: int = 24
    bridge_hours_max: int = 24
    late_days_max: int = 2
    redemption_days_max: int = 5
    large_share: Fraction | None = None
    inventory_authorised: bool = False
    calendar: str | None = None
    price_days_max: int = PRICE_DAYS


EVIDENCE = ("custodian", "broker", "affiliate", "management")
HARD_EVIDENCE = frozenset({"custodian", "broker"})


@dataclass(frozen=True, slots=True)
class Wallet:
    """An address with a role: an owner of token accounts (``kind`` owner), or one token account.

    ``holder`` is who owns it in law, ``evidence`` the document, ``proven_at`` when control of its key was proven.
    ``wrapper`` is the token whose escrow it is, where that is its role: what lies there stays owed.
    """

    address: str
    kind: str
    role: Role
    instrument: str
    valid_from: datetime
    valid_to: datetime | None
    source: str
    evidence: str | None = None
    venue: str | None = None
    holder: str | None = None
    proven_at: datetime | None = None
    wrapper: str | None = None

    def is_proven(self, at: datetime) -> bool:
        """Whether it is said who holds it, by what document, and control of it was proven by an instant."""
        return None not in (self.holder, self.evidence) and self.proven_at is not None and self.proven_at <= at

    def holds_at(self, at: datetime) -> bool:
        """Whether the role is in force at an instant."""
        return self.valid_from <= at and (self.valid_to is None or at < self.valid_to)

    def covers(self, symbol: str) -> bool:
        """Whether the entry speaks of an instrument."""
        return self.instrument in (EVERY_INSTRUMENT, symbol)


@dataclass(frozen=True, slots=True)
class CustodyAccount:
    """An account at a custodian that is collateral of the named instruments."""

    account: str
    instruments: tuple[str, ...]
    valid_from: datetime | None = None
    valid_to: datetime | None = None

    def counts(self, symbol: str, at: datetime) -> bool:
        """Whether the account is collateral of the instrument at an instant."""
        named = symbol in self.instruments or EVERY_INSTRUMENT in self.instruments
        begun = self.valid_from is None or self.valid_from <= at
        return named and begun and (self.valid_to is None or at < self.valid_to)


@dataclass(frozen=True, slots=True)
class Custodian:
    """Who holds the shares. ``quantum`` is the smallest quantity it books, in shares; 0 when not declared.

    ``evidence`` says whose word its statements are: one of EVIDENCE. What only an affiliate or management says never
    counts as settled custody.
    """

    custodian: str
    name: str
    accounts: tuple[CustodyAccount, ...]
    currency: str | None = None
    quantum: Fraction = Fraction(0)
    max_age_hours: int = 120
    calendar: str | None = None
    evidence: str = "custodian"


VENUE_AGE_HOURS = 48
"""How old a venue's ledger may be where the registry does not say."""


@dataclass(frozen=True, slots=True)
class Venue:
    """A trading venue, whose wallets and customer ledger are tied to each other.

    ``max_age_hours``: how old its ledger may be at the cut-off before nothing is said by it.
    """

    venue: str
    name: str
    max_age_hours: int = VENUE_AGE_HOURS


ANNOUNCED = ("freeze", "thaw", "pause", "resume", "hook", "default_state")
"""Acts of control that the business may announce; a change of an authority always surprises."""


@dataclass(frozen=True, slots=True)
class Announcement:
    """An act of control that may happen from ``valid_from`` on and before ``valid_to``; ``source`` says why.

    ``account``: of a freeze or thaw, the token account; None: whichever.
    """

    kind: str
    instrument: str
    account: str | None
    valid_from: datetime
    valid_to: datetime
    source: str

    def covers(self, symbol: str, kind: str, account: str | None, at: datetime) -> bool:
        """Whether it speaks of an act."""
        named = self.instrument in (EVERY_INSTRUMENT, symbol) and self.account in (None, account)
        return self.kind == kind and named and self.valid_from <= at < self.valid_to


@dataclass(frozen=True, slots=True)
class PaymentToken:
    """The mint on Solana of a currency in which orders are paid, such as a stablecoin's."""

    currency: str
    mint: str
    decimals: int


@dataclass(frozen=True, slots=True)
class Registry:
    """All of it, sorted, so that two files that say the same are equal."""

    instruments: tuple[Instrument, ...]
    wallets: tuple[Wallet, ...]
    custodians: tuple[Custodian, ...]
    calendars: tuple[Calendar, ...] = ()
    venues: tuple[Venue, ...] = ()
    sources: tuple[Source, ...] = ()
    announced: tuple[Announcement, ...] = ()
    payment_tokens: tuple[PaymentToken, ...] = ()

    @property
    def entries(self) -> int:
        """How many entries all its sections have."""
        return sum(len(getattr(self, section.name)) for section in fields(self))

    def instrument(self, symbol: str) -> Instrument | None:
        """Return the instrument of a symbol."""
        return next((i for i in self.instruments if i.symbol == symbol), None)

    def venue_age_hours(self, venue: str) -> int:
        """Return how old a venue's ledger may be, in hours."""
        return next((v.max_age_hours for v in self.venues if v.venue == venue), VENUE_AGE_HOURS)

    def calendar(self, name: str | None) -> Calendar:
        """Return the calendar of a name; Monday to Friday where none is named."""
        return next((c for c in self.calendars if c.calendar == name), PLAIN)

    def calendar_of(self, custodian: str) -> Calendar:
        """Return the calendar by which a custodian settles."""
        named = next((c.calendar for c in self.custodians if c.custodian == custodian), None)
        return self.calendar(named)

    def source(self, kind: str) -> Source | None:
        """Return where files of a kind come from, where that is said."""
        return next((s for s in self.sources if s.kind == kind), None)

    def to_json(self) -> dict[str, Any]:
        """Return plain values: exact decimals as text, instants as ISO 8601 in UTC."""
        # a registry that says nothing of these is the same as before they could be said
        later: dict[str, tuple[_Entry, ...]] = {
            "sources": self.sources, "announced": self.announced, "payment_tokens": self.payment_tokens,
        }  # fmt: skip
        said = {name: [_plain(entry) for entry in entries] for name, entries in later.items() if entries}
        return {
            "instruments": [_plain(i) for i in self.instruments],
            "wallets": [_plain(w) for w in self.wallets],
            "custodians": [_plain(c) | {"accounts": [_plain(a) for a in c.accounts]} for c in self.custodians],
            "calendars": [_plain(c) for c in self.calendars],
            "venues": [_plain(v) for v in self.venues],
            **said,
        }

    @property
    def content_sha256(self) -> bytes:
        """The digest of what the registry says; comments and order in the file do not count."""
        return hashlib.sha256(rfc8785.dumps(self.to_json())).digest()


def instant_text(at: datetime | None) -> str | None:
    """Return an instant as ISO 8601 in UTC with a Z."""
    if at is None:
        return None
    return f"{(at if at.tzinfo is UTC else at.astimezone(UTC)).isoformat()[: -len('+00:00')]}Z"


_Entry = Instrument | Wallet | Custodian | CustodyAccount | Calendar | Venue | Source | Announcement | PaymentToken


_LATER: dict[str, Any] = {"holder": None, "proven_at": None, "wrapper": None, "price_days_max": PRICE_DAYS}
"""What a registry may say since: one that does not is the same as before it could."""


def _plain(entry: _Entry) -> dict[str, Any]:
    plain = {name: _plain_value(getattr(entry, name)) for name in type(entry).__slots__ if name != "accounts"}
    later = _LATER | ({"evidence": "custodian"} if isinstance(entry, Custodian) else {})
    later |= {"max_age_hours": VENUE_AGE_HOURS} if isinstance(entry, Venue) else {}
    return {name: value for name, value in plain.items() if name not in later or value != later[name]}


def _plain_value(value: Any) -> Any:
    if isinstance(value, Fraction):
        return decimal_text(value)
    if isinstance(value, datetime):
        return instant_text(value)
    if isinstance(value, date):
        return value.isoformat()
    return [_plain_value(item) for item in value] if isinstance(value, tuple) else value


def sorted_registry(
    instruments: list[Instrument],
    wallets: list[Wallet],
    custodians: list[Custodian],
    calendars: Iterable[Calendar] = (),
    venues: Iterable[Venue] = (),
    sources: Iterable[Source] = (),
    announced: Iterable[Announcement] = (),
    payment_tokens: Iterable[PaymentToken] = (),
) -> Registry:
    """Return the registry in its one order."""
    return Registry(
        tuple(sorted(instruments, key=lambda i: i.symbol)),
        tuple(sorted(wallets, key=lambda w: (w.address, w.kind, w.instrument, w.valid_from))),
        tuple(sorted(custodians, key=lambda c: c.custodian)),
        tuple(sorted(calendars, key=lambda c: c.calendar)),
        tuple(sorted(venues, key=lambda v: v.venue)),
        tuple(sorted(sources, key=lambda s: s.kind)),
        tuple(
            sorted(announced, key=lambda a: (a.valid_from, a.kind, a.instrument, a.account or "", a.valid_to, a.source))
        ),
        tuple(sorted(payment_tokens, key=lambda t: t.currency)),
    )


@dataclass(frozen=True, slots=True)
class Change:
    """One line of a plan: ``action`` add | remove | change, the entry's name, what it was and will be."""

    action: str
    what: str
    before: dict[str, Any] | None
    after: dict[str, Any] | None

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {"action": self.action, "what": self.what, "before": self.before, "after": self.after}

    def text(self) -> str:
        """Return the line as a person reads it: ``~ instrument AAPLx: decimals 8 -> 6``."""
        if self.before is None or self.after is None:
            return f"{'+' if self.before is None else '-'} {self.what}"
        # what is said for the first time, or no more, is in one of the two alone
        names = dict.fromkeys((*self.before, *self.after))
        said = [(name, self.before.get(name, "not said"), self.after.get(name, "not said")) for name in names]
        fields = [f"{name} {old} -> {new}" for name, old, new in said if old != new]
        return f"~ {self.what}: {', '.join(fields)}"


def _entries(registry: Registry | None) -> dict[str, dict[str, Any]]:
    if registry is None:
        return {}
    found = {f"instrument {i.symbol}": _plain(i) for i in registry.instruments}
    for wallet in registry.wallets:
        since = instant_text(wallet.valid_from)
        found[f"wallet {wallet.address} ({wallet.kind}, {wallet.instrument}, from {since})"] = _plain(wallet)
    for custodian in registry.custodians:
        found[f"custodian {custodian.custodian}"] = _plain(custodian)
        for account in custodian.accounts:
            found[f"custody account {custodian.custodian}/{account.account}"] = _plain(account)
    found |= {f"calendar {c.calendar}": _plain(c) for c in registry.calendars}
    found |= {f"payment token {t.currency}": _plain(t) for t in registry.payment_tokens}
    found |= {f"source of {s.kind}": _plain(s) for s in registry.sources}
    for one in registry.announced:
        which = one.account or one.instrument
        spoken = f"{one.kind} of {which}, {instant_text(one.valid_from)} to {instant_text(one.valid_to)}: {one.source}"
        found[f"announced {spoken}"] = _plain(one)
    return found | {f"venue {v.venue}": _plain(v) for v in registry.venues}


def compare(before: Registry | None, after: Registry) -> tuple[Change, ...]:
    """Return what turns one registry into the other, in a fixed order."""
    old, new = _entries(before), _entries(after)
    changes = []
    for what in sorted(old.keys() | new.keys()):
        if old.get(what) != new.get(what):
            action = "add" if what not in old else "remove" if what not in new else "change"
            changes.append(Change(action, what, old.get(what), new.get(what)))
    return tuple(changes)
