"""Boundary crossings: every movement that changes the quantity outside issuer-controlled wallets. Pure.

For a ledger event, with "issuer" meaning a treasury, inventory or redemption wallet at that instant::

    change outside = change of supply - change of issuer balances

A mint into treasury or a sweep is 0 and no crossing. Two more things cross with no event: an
account's owner changes (SetAuthority), or a wallet's role begins or ends with tokens in it. The
crossings therefore sum to the quantity outside; a rest means that the list is not complete. A mint that
is known from a snapshot on begins with one crossing: all that was outside then.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from fractions import Fraction
from operator import attrgetter

import msgspec
from msgspec.structs import replace

from tieout_reconcile.facts import Movement, OwnerChange, Position
from tieout_reconcile.registry import ISSUER_ROLES, Registry, Role, Wallet, instant_text

UnitAt = Callable[[int, datetime], Fraction | None]
"""Shares per raw unit at a slot and its block time; None when the multiplier is unknown."""

_FORCED = "permanent_delegate"
_PLACE = attrgetter("position")
_NEVER = datetime.min.replace(tzinfo=UTC)


class Kind(StrEnum):
    """How the boundary was crossed."""

    RELEASE = "release"
    OUTSIDE_MINT = "outside_mint"
    RETURN = "return"
    HOLDER_BURN = "holder_burn"
    SEIZURE = "seizure"
    FORCED_BURN = "forced_burn"
    OWNER_CHANGE = "owner_change"
    ROLE_CHANGE = "role_change"
    HIDDEN = "hidden"
    OPENING = "opening"

    # of the text, and not of the member's name by a call: it is asked for with each crossing
    __hash__ = str.__hash__


class Crossing(msgspec.Struct, frozen=True, gc=False):
    """One crossing. ``raw`` is positive; ``outward`` says that it adds to what is owed.

    ``key`` is stable across runs. ``unit`` is shares per raw unit at its own instant, exact.
    ``position`` and ``signature`` are None for a change of role, which no transaction made.
    """

    key: str
    kind: Kind
    outward: bool
    raw: int
    unit: Fraction | None
    at: datetime
    position: Position | None
    signature: str | None
    account: str | None
    issuer_role: Role | None
    counterparty: str | None
    counterparty_role: Role | None
    memo: str | None = None

    @property
    def shares(self) -> Fraction | None:
        """The shares that it stands for at its own instant."""
        return None if self.unit is None else self.raw * self.unit


@dataclass(frozen=True, slots=True)
class Crossings:
    """All crossings in order, the quantity outside that they sum to, and each issuer account's balance.

    ``marks``: what supply and the quantity outside were (at, slot, supply, outside) from each change of either on;
    the slot is 0 where a role changed.
    """

    found: tuple[Crossing, ...]
    outside: int
    issuer_balances: dict[str, int]
    supply: int = 0
    marks: tuple[tuple[datetime, int, int, int], ...] = ()


class RoleBook:
    """Who is who for one instrument, at any instant. A token account's own entry goes before its owner's."""

    def __init__(self, registry: Registry, symbol: str) -> None:
        self._accounts: dict[str, list[Wallet]] = {}
        self._owners: dict[str, list[Wallet]] = {}
        for wallet in registry.wallets:
            if wallet.covers(symbol):
                named = self._accounts if wallet.kind == "account" else self._owners
                named.setdefault(wallet.address, []).append(wallet)

    def role(self, account: str | None, owner: str | None, at: datetime) -> Role | None:
        """Return the role in force, None for a stranger."""
        wallet = self.wallet(account, owner, at)
        return None if wallet is None else wallet.role

    def wallet(self, account: str | None, owner: str | None, at: datetime) -> Wallet | None:
        """Return the registry's entry in force for an account, None for a stranger's."""
        for named, address in ((self._accounts, account), (self._owners, owner)):
            for wallet in named.get(address, ()) if address else ():
                if wallet.holds_at(at):
                    return wallet
        return None

    def is_issuer(self, account: str | None, owner: str | None, at: datetime) -> bool:
        """Whether the account is inside the issuer's boundary at an instant."""
        return self.role(account, owner, at) in ISSUER_ROLES

    def changes(self) -> list[datetime]:
        """Return the instants at which a role begins or ends, in order."""
        wallets = [w for named in (self._accounts, self._owners) for entries in named.values() for w in entries]
        return sorted({at for w in wallets for at in (w.valid_from, w.valid_to) if at is not None})


def find_crossings(
    movements: Iterable[Movement],
    owner_changes: Iterable[OwnerChange],
    book: RoleBook,
    unit_at: UnitAt,
    until: datetime,
) -> Crossings:
    """Return the crossings of one mint up to an instant.

    ``movements`` holds every mint and burn and every event of an account that was ever a registered
    wallet's; of strangers' accounts it may hold a part.
    """
    walk = _Walk(book, unit_at)
    rows: list[Movement | OwnerChange] = [*movements, *owner_changes]
    for row in sorted(rows, key=_PLACE):
        walk.pass_role_changes(row.at)
        if isinstance(row, Movement):
            walk.take(row)
        else:
            walk.hand_over(row.account, row.new_owner, row)
        walk.mark(row.at, row.position.slot)
    walk.pass_role_changes(until)
    found = tuple(_distinct(walk.found))
    return Crossings(found, walk.outside, walk.issuer_balances(until), walk.supply, tuple(walk.marks))


def crossings_of_transaction(
    rows: Iterable[Movement | OwnerChange],
    held: Mapping[str, tuple[str | None, int]],
    book: RoleBook,
    unit_at: UnitAt,
) -> tuple[Crossing, ...]:
    """Return what crossed in one transaction of one mint, under the same keys as ``find_crossings`` gives.

    ``held`` is who owned its accounts and what they held before it; only a change of owner needs it.
    """
    walk = _Walk(book, unit_at)
    for account, (owner, amount) in held.items():
        walk.owners[account], walk.balances[account] = owner, amount
    for row in sorted(rows, key=_PLACE):
        if isinstance(row, Movement):
            walk.take(row)
        else:
            walk.hand_over(row.account, row.new_owner, row)
    return tuple(_distinct(walk.found))


def _distinct(found: Iterable[Crossing]) -> Iterator[Crossing]:
    """Give the second of two crossings of one key its place too: a transaction stands once, or it is a finding."""
    keys: set[str] = set()
    for crossing in found:
        key, place = crossing.key, crossing.position
        if key in keys and place is not None:
            key = f"{key}@{place.slot}.{place.tx_index}"
        keys.add(key)
        yield crossing if key == crossing.key else replace(crossing, key=key)


class _Walk:
    """The state of a walk along the chain: each account's balance and its owner as last seen."""

    def __init__(self, book: RoleBook, unit_at: UnitAt) -> None:
        self.book = book
        self.unit_at = unit_at
        self.found: list[Crossing] = []
        self.outside = self.supply = 0
        self.marks: list[tuple[datetime, int, int, int]] = []
        self.balances: dict[str, int] = {}
        self.owners: dict[str, str | None] = {}
        self.slot = 0
        self._role_changes = book.changes()
        # who is who since the last change of a role, as far as it was asked
        self._roles: dict[tuple[str, str | None], Role | None] = {}
        self._roles_from = _NEVER

    def role(self, account: str, owner: str | None, at: datetime) -> Role | None:
        """Return the role in force, looked up once between two changes of roles."""
        if at < self._roles_from:
            return self.book.role(account, owner, at)
        try:
            return self._roles[account, owner]
        except KeyError:
            found = self._roles[account, owner] = self.book.role(account, owner, at)
            return found

    def issuer_balances(self, at: datetime) -> dict[str, int]:
        return {a: n for a, n in self.balances.items() if n and self.book.is_issuer(a, self.owners.get(a), at)}

    def pass_role_changes(self, at: datetime) -> None:
        while self._role_changes and self._role_changes[0] <= at:
            change = self._role_changes.pop(0)
            self._change_roles(change)
            self._roles, self._roles_from = {}, change
            self.mark(change, 0)

    def mark(self, at: datetime, slot: int) -> None:
        """Note supply and the quantity outside, where they changed."""
        if (self.marks[-1][2:] if self.marks else (0, 0)) != (self.supply, self.outside):
            self.marks.append((at, slot, self.supply, self.outside))

    def _change_roles(self, at: datetime) -> None:
        just_before = at - timedelta(microseconds=1)
        for account, amount in sorted(self.balances.items()):
            owner = self.owners.get(account)
            before, after = self.book.role(account, owner, just_before), self.book.role(account, owner, at)
            if amount > 0 and (before in ISSUER_ROLES) != (after in ISSUER_ROLES):
                outward = before in ISSUER_ROLES
                self.outside += amount if outward else -amount
                self.found.append(
                    Crossing(
                        f"role/{account}/{instant_text(at)}", Kind.ROLE_CHANGE, outward, amount,
                        self.unit_at(self.slot, at), at, None, None, account, before if outward else after,
                        owner, after if outward else before,
                    )
                )  # fmt: skip

    def take(self, row: Movement) -> None:
        """Book one event and note what of it crossed."""
        self.slot = row.position.slot
        if row.kind == "opening":
            self.begin(row)
            return
        source, destination = row.source, row.destination
        amount, received = row.amount, row.amount - row.fee
        supply = amount if row.kind == "mint" else -amount if row.kind == "burn" else 0
        change, giver, taker = supply, None, None
        if source is not None and self.owners.get(source) != row.source_owner:
            self.hand_over(source, row.source_owner, row)
        if destination is not None and self.owners.get(destination) != row.destination_owner:
            self.hand_over(destination, row.destination_owner, row)
        if source is not None:
            giver = self.role(source, row.source_owner, row.at)
            change += amount if giver in ISSUER_ROLES else 0
            self.balances[source] = self.balances.get(source, 0) - amount
        if destination is not None:
            taker = self.role(destination, row.destination_owner, row.at)
            change -= received if taker in ISSUER_ROLES else 0
            self.balances[destination] = self.balances.get(destination, 0) + received
        self.outside += change
        self.supply += supply
        if change:
            self.found.append(self._crossing(row, change, giver, taker))

    def begin(self, row: Movement) -> None:
        """Note what a snapshot found in an account, or (without one) in all others: one crossing for all of it."""
        account, owner = row.destination, row.destination_owner
        self.supply += row.amount
        if account is not None:
            self.balances[account], self.owners[account] = row.amount, owner
            role = self.book.role(account, owner, row.at)
            if role is Role.REDEMPTION:
                self._returned_before(row)
            if role in ISSUER_ROLES:
                return
        self.outside += row.amount
        key = f"opening/{row.position.slot}"
        if self.found and self.found[-1].key == key:
            self.found[-1] = replace(self.found[-1], raw=self.found[-1].raw + row.amount)
            return
        place = row.position._replace(step=0)
        unit = self.unit_at(place.slot, row.at)
        self.found.append(
            Crossing(key, Kind.OPENING, True, row.amount, unit, row.at, place, None, None, None, None, None)
        )

    def _returned_before(self, row: Movement) -> None:
        """Note tokens that lay in a redemption wallet when the ledger began: sent in by somebody, and owed."""
        if row.amount <= 0:
            return
        unit, place = self.unit_at(row.position.slot, row.at), row.position
        for kind, outward in ((Kind.OPENING, True), (Kind.RETURN, False)):
            self.found.append(
                Crossing(
                    f"opening/{place.slot}/{row.destination}/{kind}", kind, outward, row.amount, unit, row.at, place,
                    None, row.destination, Role.REDEMPTION, None, None, None,
                )
            )  # fmt: skip

    def hand_over(self, account: str | None, owner: str | None, row: Movement | OwnerChange) -> None:
        """Note an account's owner; tokens that changed hands with the account may have crossed.

        Called for each event too: an owner that differs from the last one seen is a change, announced or not.
        """
        if account is None or owner is None:
            return
        self.slot = row.position.slot
        before, amount = self.owners.get(account), self.balances.get(account, 0)
        self.owners[account] = owner
        if before is None or before == owner or amount <= 0:
            return
        was, now = self.book.role(account, before, row.at), self.book.role(account, owner, row.at)
        if (was in ISSUER_ROLES) == (now in ISSUER_ROLES):
            return
        outward = was in ISSUER_ROLES
        self.outside += amount if outward else -amount
        self.found.append(
            Crossing(
                f"owner/{row.signature}/{row.position.step}.{row.position.child}/{account}", Kind.OWNER_CHANGE, outward,
                amount, self.unit_at(row.position.slot, row.at), row.at, row.position, row.signature, account,
                was if outward else now, owner if outward else before, now if outward else was,
                row.memo if isinstance(row, Movement) else None,
            )
        )  # fmt: skip

    def _crossing(self, row: Movement, change: int, giver: Role | None, taker: Role | None) -> Crossing:
        """Return the crossing of an event; ``giver`` and ``taker`` are the roles of its two sides."""
        outward = change > 0
        ours = (row.source, row.source_owner, giver)
        theirs = (row.destination, row.destination_owner, taker)
        if giver not in ISSUER_ROLES and row.destination is not None:
            ours, theirs = theirs, ours
        if row.kind in ("mint", "burn"):
            # there is one account only, and it is the stranger's
            theirs, ours = ours, (None, None, None)
        place = row.position
        return Crossing(
            f"tx/{row.signature}/{place.step}.{place.child}", _kind(row, outward=outward), outward, abs(change),
            self.unit_at(place.slot, row.at), row.at, place, row.signature, ours[0], ours[2], theirs[1] or theirs[0],
            theirs[2], row.memo,
        )  # fmt: skip


def _kind(row: Movement, *, outward: bool) -> Kind:
    forced = row.authority_role == _FORCED
    match row.kind:
        case "mint":
            return Kind.OUTSIDE_MINT
        case "burn":
            return Kind.FORCED_BURN if forced else Kind.HOLDER_BURN
        case "transfer" if outward:
            return Kind.RELEASE
        case "transfer":
            return Kind.SEIZURE if forced else Kind.RETURN
        case _:
            return Kind.HIDDEN
