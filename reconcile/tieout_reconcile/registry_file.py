"""The registry's file, read and checked: every fault at once, each with its place.

::

    [[instruments]]
    symbol = "AAPLx"
    mint = "…"                      # base 58, 32 bytes
    isin = "US0378331005"
    decimals = 8
    name = "Apple xStock"           # optional, as are buffer_shares = "0", valid_from, valid_to,
                                    # chains, the limits in INSTRUMENT_LIMITS, large_share = "0.05",
                                    # inventory_authorised = true and calendar

    [[wallets]]
    owner = "…"                     # or account = "…": one token account
    role = "treasury"
    instrument = "*"                # or a symbol; "*" when left out
    valid_from = 2026-01-01T00:00:00Z
    source = "issuer's wallet list of 2026-01-01"
    evidence = "signed message 17"  # optional, as are valid_to and venue = "kraken"; an escrow names its wrapper

    [[custodians]]
    id = "alpaca"
    name = "Alpaca Securities LLC"
    quantum = "0.000000001"         # optional, as are currency = "USD", max_age_hours = 120, calendar = "nyse"
    [[custodians.accounts]]
    id = "ITN-1"
    instruments = ["AAPLx"]         # optional: all; valid_from and valid_to too

    [[calendars]]
    id = "nyse"
    closed = [2026-11-26]
    weekend = ["saturday", "sunday"]  # optional

    [[venues]]
    id = "kraken"
    name = "Kraken"
    max_age_hours = 48              # optional: how old its ledger may be at the cut-off

    [[sources]]
    kind = "orders"
    name = "issuance desk"
    every_minutes = 60              # or at = ["08:00", "16:00"] and time_zone = "America/New_York"
    grace_minutes = 15              # optional, as is calendar = "nyse": whose days ``at`` is of

    [[announced]]
    kind = "freeze"                 # or thaw, pause, resume, hook, default_state
    valid_from = 2026-03-01T00:00:00Z
    valid_to = 2026-03-02T00:00:00Z
    source = "order of the court, 4 O 17/26"
    account = "…"                   # optional: the token account; so is instrument = "AAPLx", else every one
"""

import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime
from fractions import Fraction
from itertools import combinations
from typing import Any
from zoneinfo import available_timezones

from stdnum import isin as isin_number

from tieout_idl import base58
from tieout_reconcile.calendars import WEEKDAYS, WEEKEND, Calendar
from tieout_reconcile.errors import BadInput
from tieout_reconcile.exact import parse_quantity
from tieout_reconcile.fields import money
from tieout_reconcile.files import FIELD_CHARACTERS_MAX, InputFile, Problems, decode_text, in_utc, parse_instant, shown
from tieout_reconcile.registry import (
    ANNOUNCED,
    EVERY_INSTRUMENT,
    EVIDENCE,
    PRICE_DAYS,
    VENUE_AGE_HOURS,
    VENUE_ROLES,
    Announcement,
    Custodian,
    CustodyAccount,
    Instrument,
    PaymentToken,
    Registry,
    Role,
    Venue,
    Wallet,
    sorted_registry,
)
from tieout_reconcile.registry_csv import Entry, csv_tables, is_csv
from tieout_reconcile.sources import KINDS as SOURCE_KINDS
from tieout_reconcile.sources import MINUTES_MAX, Source

AGE_HOURS_MAX = 24 * 366
DAYS_MAX = 366
INSTRUMENT_LIMITS = {
    "chain_age_hours_max": (1, AGE_HOURS_MAX, 24), "bridge_hours_max": (1, AGE_HOURS_MAX, 24),
    "late_days_max": (0, DAYS_MAX, 2), "redemption_days_max": (0, DAYS_MAX, 5),
    "price_days_max": (0, DAYS_MAX, PRICE_DAYS),
}  # fmt: skip
"""Lowest, highest and default of an instrument's limits."""
SECTIONS = ("instruments", "wallets", "custodians", "calendars", "venues", "sources", "announced", "payment_tokens")
_MISSING = object()
_CLOCK = re.compile(r"([01][0-9]|2[0-3]):[0-5][0-9]")


def parse_registry(file: InputFile) -> Registry:
    """Return the registry of a file, TOML or CSV. Raises BadInput listing each problem with its place."""
    problems = Problems(file.name)
    tables = _read(file, problems)
    for key in sorted(tables.keys() - set(SECTIONS)):
        problems.add(shown(key), f"is not one of {', '.join(SECTIONS)}")
    calendars = [x for t in _tables(tables, "calendars", problems) if (x := _calendar(t)) is not None]
    venues = [v for t in _tables(tables, "venues", problems) if (v := _venue(t)) is not None]
    known = _Names({c.calendar for c in calendars}, {v.venue for v in venues})
    instruments = [i for t in _tables(tables, "instruments", problems) if (i := _instrument(t, known)) is not None]
    if not instruments and not problems:
        problems.add("instruments", "there is none: a registry names at least one instrument")
    symbols = {i.symbol for i in instruments}
    wallets = [w for t in _tables(tables, "wallets", problems) if (w := _wallet(t, symbols, known)) is not None]
    custodians = [
        c for t in _tables(tables, "custodians", problems) if (c := _custodian(t, symbols, known)) is not None
    ]
    _check_instruments_differ(instruments, problems)
    _check_wallets_do_not_overlap(wallets, problems)
    _check_unique("custodians", "id", [c.custodian for c in custodians], problems)
    _check_unique("calendars", "id", [c.calendar for c in calendars], problems)
    _check_unique("venues", "id", [v.venue for v in venues], problems)
    sources = [s for t in _tables(tables, "sources", problems) if (s := _source(t, known)) is not None]
    _check_unique("sources", "kind", [s.kind for s in sources], problems)
    announced = [a for t in _tables(tables, "announced", problems) if (a := _announcement(t, symbols)) is not None]
    tokens = [p for t in _tables(tables, "payment_tokens", problems) if (p := _payment_token(t)) is not None]
    _check_tokens_differ(tokens, instruments, problems)
    problems.refuse_if_any()
    return sorted_registry(instruments, wallets, custodians, calendars, venues, sources, announced, tokens)


def _read(file: InputFile, problems: Problems) -> dict[str, Any]:
    """Return the tables of a file by section. Raises BadInput."""
    text = decode_text(file)
    if is_csv(text):
        tables: dict[str, Any] = dict(csv_tables(file, problems))
        problems.refuse_if_any()
        return tables
    try:
        return tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as bad:
        raise BadInput(file.name, [f"it is not TOML: {bad}"]) from None


@dataclass(frozen=True, slots=True)
class _Names:
    """What other entries may name."""

    calendars: set[str]
    venues: set[str]


class _Table:
    """One TOML table or row of a CSV, its place in the file, and the keys that were read of it."""

    def __init__(self, place: str, values: dict[str, Any], problems: Problems) -> None:
        self.place = values.place if isinstance(values, Entry) else place
        self.joint = ", " if isinstance(values, Entry) else "."
        self.values = values
        self.problems = problems
        self.known: list[str] = []
        self.sound = True

    def fault(self, key: str, what: str) -> None:
        self.sound = False
        self.problems.add(f"{self.place}{self.joint}{key}" if key else self.place, what)

    def take(self, key: str, kind: type | tuple[type, ...], kind_name: str, *, required: bool) -> Any:
        self.known.append(key)
        value = self.values.get(key, _MISSING)
        if value is _MISSING:
            if required:
                self.fault(key, "is missing")
            return None
        # a TOML boolean is a Python int
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is int):
            self.fault(key, f"{shown(value)} is not {kind_name}")
            return None
        return value

    def text(self, key: str, *, required: bool = True) -> str | None:
        value = self.take(key, str, "a string", required=required)
        if value is None:
            return None
        if not value.strip() or not value.isprintable() or len(value) > FIELD_CHARACTERS_MAX:
            self.fault(key, f"{shown(value)} is empty, holds control characters or is over {FIELD_CHARACTERS_MAX} long")
            return None
        return str(value).strip()

    def integer(self, key: str, low: int, high: int, *, default: int | None = None) -> int | None:
        value = self.take(key, int, "an integer", required=default is None)
        if value is None:
            return default
        if not low <= value <= high:
            self.fault(key, f"{value} is not between {low} and {high}")
            return None
        return int(value)

    def address(self, key: str, *, required: bool = True) -> str | None:
        value = self.text(key, required=required)
        if value is None:
            return None
        try:
            base58.public_key(value)
        except ValueError as bad:
            self.fault(key, f"is no address: {bad}")
            return None
        return value

    def quantity(self, key: str) -> Fraction:
        value = self.take(key, str, 'a decimal number in quotes, like "0.000000001"', required=False)
        if value is None:
            return Fraction(0)
        try:
            return parse_quantity(value)
        except ValueError as bad:
            self.fault(key, f"{shown(value)} {bad}")
            return Fraction(0)

    def flag(self, key: str) -> bool:
        return bool(self.take(key, bool, "true or false", required=False))

    def texts(self, key: str, *allowed: str, default: tuple[str, ...] = ()) -> tuple[str, ...]:
        """A list of strings, of those allowed where any are named; sorted as they are allowed, or by letter."""
        value = self.take(key, list, "a list of strings", required=False)
        if value is None:
            return default
        for item in value:
            if not isinstance(item, str) or not item.isprintable() or not item.strip() or len(item) > 64:
                self.fault(key, f"{shown(item)} is no short string")
            elif allowed and item not in allowed:
                self.fault(key, f"{shown(item)} is not one of {', '.join(allowed)}")
        return tuple(sorted({str(item) for item in value}, key=lambda x: (allowed.index(x) if x in allowed else 0, x)))

    def days(self, key: str) -> tuple[date, ...]:
        value = self.take(key, list, "a list of days", required=False) or []
        for item in value:
            if not isinstance(item, date) or isinstance(item, datetime):
                self.fault(key, f"{shown(item)} is no day: write it without quotes, like 2026-12-25")
                return ()
        return tuple(sorted(set(value)))

    def name_of(self, key: str, known: set[str]) -> str | None:
        """The id of another entry of the file."""
        value = self.text(key, required=False)
        if value is not None and value not in known:
            self.fault(key, f"{shown(value)} is the id of no entry of [[{key}s]]")
        return value

    def instant(self, key: str, *, required: bool = False) -> datetime | None:
        value = self.take(key, (datetime, date, str), "an instant like 2026-01-01T00:00:00Z", required=required)
        if value is None:
            return None
        try:
            if isinstance(value, str):
                return parse_instant(value)
            if not isinstance(value, datetime):
                raise ValueError("has no time and zone: write it as an instant like 2026-01-01T00:00:00Z")
            return in_utc(value)
        except ValueError as bad:
            self.fault(key, f"{shown(value)} {bad}")
            return None

    def interval(self, *, required: bool = False) -> tuple[datetime | None, datetime | None]:
        start, end = self.instant("valid_from", required=required), self.instant("valid_to")
        if start is not None and end is not None and end <= start:
            self.fault("valid_to", f"{end} is not after valid_from {start}")
        return start, end

    def close(self) -> bool:
        """Report the keys that nobody read; say whether the table is sound."""
        for key in sorted(self.values.keys() - set(self.known)):
            self.fault(shown(key) if not key.isidentifier() else key, f"is not one of {', '.join(self.known)}")
        return self.sound


def _tables(parent: dict[str, Any], key: str, problems: Problems, prefix: str = "") -> Iterator[_Table]:
    entries = parent.get(key, [])
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        problems.add(f"{prefix}{key}", f"is no array of tables: write [[{prefix and 'custodians.'}{key}]]")
        return
    for number, entry in enumerate(entries):
        yield _Table(f"{prefix}{key}[{number}]", entry, problems)


def _calendar(table: _Table) -> Calendar | None:
    identity, closed = table.text("id"), table.days("closed")
    weekend = table.texts("weekend", *WEEKDAYS, default=WEEKEND)
    if len(weekend) == len(WEEKDAYS):
        table.fault("weekend", "leaves no business day")
    return Calendar(identity, closed, weekend) if table.close() and identity is not None else None


def _venue(table: _Table) -> Venue | None:
    identity, name = table.text("id"), table.text("name")
    age = table.integer("max_age_hours", 1, AGE_HOURS_MAX, default=VENUE_AGE_HOURS)
    if not table.close() or identity is None or name is None or age is None:
        return None
    return Venue(identity, name, age)


def _source(table: _Table, known: _Names) -> Source | None:
    kind, name = table.text("kind"), table.text("name")
    if kind is not None and kind not in SOURCE_KINDS:
        table.fault("kind", f"{shown(kind)} is not one of {', '.join(SOURCE_KINDS)}")
    # 0 stands for none
    every = table.integer("every_minutes", 1, MINUTES_MAX, default=0) or None
    due_at, zone = table.texts("at"), table.text("time_zone", required=False)
    calendar, grace = (
        table.name_of("calendar", known.calendars),
        table.integer("grace_minutes", 0, MINUTES_MAX, default=15),
    )
    if (every is None) is (not due_at):
        table.fault("", "needs either every_minutes or at")
    if bool(due_at) is (zone is None):
        table.fault("time_zone", "goes with at: in which zone its times are")
    for text in due_at:
        if not _CLOCK.fullmatch(text):
            table.fault("at", f"{shown(text)} is no time of day like 16:00")
    if zone is not None and zone not in available_timezones():
        table.fault("time_zone", f"{shown(zone)} is no time zone like America/New_York")
    if not table.close() or kind is None or name is None or grace is None:
        return None
    return Source(kind, name, every, due_at, zone, calendar, grace)


def _announcement(table: _Table, symbols: set[str]) -> Announcement | None:
    kind, source = table.text("kind"), table.text("source")
    if kind is not None and kind not in ANNOUNCED:
        table.fault("kind", f"{shown(kind)} is not one of {', '.join(ANNOUNCED)}")
    instrument = _known_symbol(table, "instrument", table.text("instrument", required=False), symbols)
    account = table.address("account", required=False)
    if account is not None and kind is not None and kind not in ("freeze", "thaw"):
        table.fault("account", f"is named, but the kind is {kind}: it is an act on the mint")
    start, end = table.interval(required=True)
    if "valid_to" not in table.values:
        table.fault("valid_to", "is missing: an announcement without an end would excuse everything to come")
    if not table.close() or kind is None or source is None or start is None or end is None:
        return None
    return Announcement(kind, instrument, account, start, end, source)


def _payment_token(table: _Table) -> PaymentToken | None:
    currency, mint = table.text("currency"), table.address("mint")
    decimals = table.integer("decimals", 0, 18)
    if currency is not None:
        try:
            money(currency)
        except ValueError as bad:
            table.fault("currency", f"{shown(currency)} {bad}")
    if not table.close() or currency is None or mint is None or decimals is None:
        return None
    return PaymentToken(currency, mint, decimals)


def _check_tokens_differ(tokens: list[PaymentToken], instruments: list[Instrument], problems: Problems) -> None:
    for field in ("currency", "mint"):
        _check_unique("payment_tokens", field, [getattr(t, field) for t in tokens], problems)
    mints = {i.mint: i.symbol for i in instruments}
    for token in tokens:
        if token.mint in mints:
            problems.add("payment_tokens", f"mint {token.mint} is that of the instrument {mints[token.mint]}")


def _instrument(table: _Table, known: _Names) -> Instrument | None:
    symbol, mint, isin = table.text("symbol"), table.address("mint"), table.text("isin")
    decimals = table.integer("decimals", 0, 18)
    name, buffer_shares = table.text("name", required=False), table.quantity("buffer_shares")
    start, end = table.interval()
    chains, calendar = table.texts("chains"), table.name_of("calendar", known.calendars)
    limits = {name: table.integer(name, low, high, default=default) or 0
              for name, (low, high, default) in INSTRUMENT_LIMITS.items()}  # fmt: skip
    large, authorised = _large_share(table), table.flag("inventory_authorised")
    if symbol is not None and (symbol == EVERY_INSTRUMENT or " " in symbol):
        table.fault("symbol", f"{shown(symbol)} is no symbol")
    if isin is not None and not (isin_number.is_valid(isin) and isin_number.compact(isin) == isin):
        table.fault("isin", f"{shown(isin)} is no ISIN: two letters, nine letters or digits, and the check digit")
    if not table.close() or symbol is None or mint is None or isin is None or decimals is None:
        return None
    return Instrument(
        symbol, mint, isin, decimals, name or "", buffer_shares, start, end, chains, **limits, large_share=large,
        inventory_authorised=authorised, calendar=calendar,
    )  # fmt: skip


def _large_share(table: _Table) -> Fraction | None:
    if "large_share" not in table.values:
        table.known.append("large_share")
        return None
    part = table.quantity("large_share")
    if not 0 < part <= 1:
        table.fault("large_share", 'is not above 0 and at most 1: it is a part of the supply, like "0.05"')
    return part


def _wallet(table: _Table, symbols: set[str], known: _Names) -> Wallet | None:
    owner, account = table.address("owner", required=False), table.address("account", required=False)
    if ("owner" in table.values) == ("account" in table.values):
        table.fault("", "names either an owner or one token account: give exactly one of owner and account")
    role = table.text("role")
    if role is not None and role not in list(Role):
        table.fault("role", f"{shown(role)} is not one of {', '.join(Role)}")
    instrument = _known_symbol(table, "instrument", table.text("instrument", required=False), symbols)
    start, end = table.interval(required=True)
    source, evidence = table.text("source"), table.text("evidence", required=False)
    venue = table.name_of("venue", known.venues)
    if venue is not None and role is not None and role not in VENUE_ROLES:
        table.fault(
            "venue", f"{shown(venue)} is named, but the role is {role}: one of {', '.join(sorted(VENUE_ROLES))}"
        )
    holder, proven_at = table.text("holder", required=False), table.instant("proven_at")
    wrapper = table.text("wrapper", required=False)
    if (wrapper is not None) is not (role == Role.ESCROW):
        table.fault("wrapper", "names the token whose escrow a wallet is: an escrow has one, and nothing else has")
    address = owner or account
    if not table.close() or address is None or role is None or start is None or source is None:
        return None
    kind = "owner" if owner else "account"
    more = (source, evidence, venue, holder, proven_at, wrapper)
    return Wallet(address, kind, Role(role), instrument, start, end, *more)


def _known_symbol(table: _Table, key: str, symbol: str | None, symbols: set[str]) -> str:
    if symbol is not None and symbol != EVERY_INSTRUMENT and symbol not in symbols:
        table.fault(key, f'{shown(symbol)} is the symbol of no instrument here, nor "*"')
    return symbol or EVERY_INSTRUMENT


def _custodian(table: _Table, symbols: set[str], known: _Names) -> Custodian | None:
    identity, name = table.text("id"), table.text("name")
    calendar = table.name_of("calendar", known.calendars)
    currency, quantum = table.text("currency", required=False), table.quantity("quantum")
    age = table.integer("max_age_hours", 1, AGE_HOURS_MAX, default=120)
    evidence = table.text("evidence", required=False) or EVIDENCE[0]
    if evidence not in EVIDENCE:
        table.fault("evidence", f"{shown(evidence)} is not one of {', '.join(EVIDENCE)}: whose word its statements are")
    table.known.append("accounts")
    accounts = []
    for inner in _tables(table.values, "accounts", table.problems, f"{table.place}."):
        if (account := _account(inner, symbols)) is not None:
            accounts.append(account)
        table.sound &= inner.sound
    _check_unique(f"{table.place}.accounts", "id", [a.account for a in accounts], table.problems)
    if not table.close() or identity is None or name is None or age is None:
        return None
    ordered = tuple(sorted(accounts, key=lambda a: a.account))
    return Custodian(identity, name, ordered, currency, quantum, age, calendar, evidence)


def _account(table: _Table, symbols: set[str]) -> CustodyAccount | None:
    identity = table.text("id")
    named = table.take("instruments", list, "a list of symbols", required=False)
    instruments = [EVERY_INSTRUMENT] if named is None else named
    for symbol in instruments:
        if not isinstance(symbol, str):
            table.fault("instruments", f"{shown(symbol)} is not a string")
        else:
            _known_symbol(table, "instruments", symbol, symbols)
    start, end = table.interval()
    if not table.close() or identity is None:
        return None
    return CustodyAccount(identity, tuple(sorted(set(instruments))), start, end)


def _check_instruments_differ(instruments: list[Instrument], problems: Problems) -> None:
    for field in ("symbol", "mint", "isin"):
        _check_unique("instruments", field, [getattr(i, field) for i in instruments], problems)


def _check_unique(place: str, field: str, values: list[str], problems: Problems) -> None:
    for value in sorted({v for v in values if values.count(v) > 1}):
        problems.add(place, f"{field} {shown(value)} is there {values.count(value)} times")


def _check_wallets_do_not_overlap(wallets: list[Wallet], problems: Problems) -> None:
    by_address: dict[tuple[str, str], list[Wallet]] = {}
    for wallet in wallets:
        by_address.setdefault((wallet.kind, wallet.address), []).append(wallet)
    for (kind, address), entries in by_address.items():
        for one, other in combinations(sorted(entries, key=lambda w: w.valid_from), 2):
            same = EVERY_INSTRUMENT in (one.instrument, other.instrument) or one.instrument == other.instrument
            if same and (one.valid_to is None or other.valid_from < one.valid_to):
                problems.add(
                    f"wallets with {kind} {address}",
                    f"is {one.role} for {one.instrument} from {one.valid_from} and {other.role} for {other.instrument} "
                    f"from {other.valid_from}: the two overlap, end the first one by valid_to",
                )
