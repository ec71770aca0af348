"""The ledger's rows of one mint, up to a slot, as they travel in a bundle: lines of JSON, and back. Pure.

Every event of the mint is there, not only those that cross the issuer's boundary, and every account that
holds anything: from the events each account's balance and owner follow, and are compared with the node's own
figures. So a row left out shows, be it one holder; who holds how much, and what a venue held, is worked out anew.
"""

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from tieout_reconcile.canonical import canonical_bytes
from tieout_reconcile.chain import gap_of
from tieout_reconcile.facts import (
    AuthorityChange,
    Chain,
    ControlAct,
    Doubted,
    FrozenHolding,
    Holder,
    Holders,
    Holding,
    Movement,
    MultiplierStep,
    OpenFinding,
    OwnerChange,
    Position,
    VenueHolding,
)
from tieout_reconcile.registry import Registry, instant_text
from tieout_reconcile.split import large_from, ledgers, wallets_of
from tieout_reconcile.token_payments import TokenChain, token_chain
from tieout_reconcile.venues import VenueLine

WITHHELD, CONFIDENTIAL = "withheld", "confidential"
SNAPSHOT_INDEX = 2**31 - 1
"""The tx_index of a snapshot: ``ledger.snapshot_index()``."""


@dataclass(frozen=True, slots=True)
class Opening:
    """The mint's creation in the ledger, or a snapshot of it (its place is after every transaction of its slot)."""

    position: Position
    decimals: int


@dataclass(frozen=True, slots=True)
class FrozenState:
    """A token account that is frozen at the slot, or (None) of which nobody knows whether it is; closed ones too."""

    account: str
    frozen: bool | None


@dataclass(frozen=True, slots=True)
class VenueAccounts:
    """What a venue's wallets held at the instant of its ledger, by the node's figures; no slot: it is not known."""

    venue: str
    as_of: datetime
    slot: int | None
    accounts: tuple[Holding, ...]


@dataclass(frozen=True, slots=True)
class MintRows:
    """All of one mint: proven ranges, creation, events, owner changes, multiplier steps, accounts at the slot.

    ``accounts`` are the node's own figures: each account that is open at the slot.
    """

    mint: str
    coverage: tuple[tuple[int, int], ...]
    openings: tuple[Opening, ...]
    events: tuple[Movement, ...]
    owner_changes: tuple[OwnerChange, ...]
    multipliers: tuple[MultiplierStep, ...]
    accounts: tuple[Holding, ...]
    findings: tuple[OpenFinding, ...] = ()
    doubted: tuple[Doubted, ...] = ()
    orphans: tuple[int, ...] = ()
    venues: tuple[VenueAccounts, ...] = ()
    authority_changes: tuple[AuthorityChange, ...] = ()
    control_acts: tuple[ControlAct, ...] = ()
    frozen: tuple[FrozenState, ...] = ()

    def lines(self) -> Iterator[bytes]:
        """Yield one line of JSON a row, in a fixed order."""
        for first, last in self.coverage:
            yield canonical_bytes({"coverage": [first, last]})
        for opening in self.openings:
            yield canonical_bytes({"opening": [*opening.position, opening.decimals]})
        for e in self.events:
            yield canonical_bytes({"event": [
                *e.position, instant_text(e.at), e.signature, e.kind, e.source, e.source_owner, e.destination,
                e.destination_owner, e.authority, e.authority_role, str(e.amount), str(e.fee), e.memo,
            ]})  # fmt: skip
        for c in self.owner_changes:
            yield canonical_bytes(
                {"owner_change": [*c.position, instant_text(c.at), c.signature, c.account, c.new_owner, c.authority]}
            )
        for m in self.multipliers:
            yield canonical_bytes(
                {"multiplier": [
                    *m.position, instant_text(m.effective_at), m.bits.hex(), m.superseded_slot,
                    instant_text(m.announced_at), str(m.asked), m.signature,
                ]}
            )  # fmt: skip
        for a in self.accounts:
            yield canonical_bytes({"account": [a.account, a.owner, str(a.amount)]})
        for f in self.findings:
            yield canonical_bytes({"finding": [f.audit, f.subject, f.expected, f.found]})
        for d in self.doubted:
            yield canonical_bytes({"doubted": [d.slot, d.signature, d.path, d.reason]})
        for slot in self.orphans:
            yield canonical_bytes({"orphan": [slot]})
        for v in self.venues:
            held = [[a.account, a.owner, str(a.amount)] for a in v.accounts]
            yield canonical_bytes({"venue": [v.venue, instant_text(v.as_of), v.slot, held]})
        for g in self.authority_changes:
            yield canonical_bytes(
                {"authority": [*g.position, instant_text(g.at), g.signature, g.kind, g.authority, g.new]}
            )
        yield from self._control_lines()

    def _control_lines(self) -> Iterator[bytes]:
        for t in self.control_acts:
            yield canonical_bytes({"act": [
                *t.position, instant_text(t.at), t.signature, t.kind, t.account, t.authority, t.value,
            ]})  # fmt: skip
        for z in self.frozen:
            yield canonical_bytes({"frozen": [z.account, z.frozen]})

    def to_bytes(self) -> bytes:
        """Return the file of this mint."""
        return b"".join(line + b"\n" for line in self.lines())


def mint_rows_of(mint: str, data: bytes) -> MintRows:
    """Return the rows of a file. Raises ValueError, with the line, for what is no such row."""
    found: dict[str, list[Any]] = {name: [] for name in _READERS}
    for number, line in enumerate(data.splitlines(), 1):
        try:
            ((name, values),) = json.loads(line).items()
            found[name].append(_READERS[name](values))
        except (ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError) as bad:
            raise ValueError(f"line {number} is no row of a ledger: {bad}") from None
    return MintRows(mint, *(tuple(found[name]) for name in _READERS))


def _event(v: Sequence[Any]) -> Movement:
    *place, at, signature, kind = v[:7]
    source, source_owner, destination, destination_owner, authority, role, amount, fee, memo = v[7:]
    return Movement(
        Position(*place), datetime.fromisoformat(at), signature, kind, source, source_owner, destination,
        destination_owner, authority, role, int(amount), int(fee), memo,
    )  # fmt: skip


def _multiplier(v: Sequence[Any]) -> MultiplierStep:
    slot, tx_index, step, child, effective_at, bits, superseded, announced_at, asked, signature = v
    return MultiplierStep(
        Position(slot, tx_index, step, child), datetime.fromisoformat(effective_at), bytes.fromhex(bits), superseded,
        None if announced_at is None else datetime.fromisoformat(announced_at), int(asked), signature,
    )  # fmt: skip


def _venue(v: Sequence[Any]) -> VenueAccounts:
    venue, as_of, slot, held = v
    accounts = tuple(Holding(account, owner, int(amount)) for account, owner, amount in held)
    return VenueAccounts(venue, datetime.fromisoformat(as_of), slot, accounts)


_READERS: dict[str, Any] = {
    "coverage": lambda v: (int(v[0]), int(v[1])),
    "opening": lambda v: Opening(Position(*v[:4]), v[4]),
    "event": _event,
    "owner_change": lambda v: OwnerChange(Position(*v[:4]), datetime.fromisoformat(v[4]), *v[5:]),
    "multiplier": _multiplier,
    "account": lambda v: Holding(v[0], v[1], int(v[2])),
    "finding": lambda v: OpenFinding(*v),
    "doubted": lambda v: Doubted(*v),
    "orphan": lambda v: int(v[0]),
    "venue": _venue,
    "authority": lambda v: AuthorityChange(Position(*v[:4]), datetime.fromisoformat(v[4]), *v[5:]),
    "act": lambda v: ControlAct(Position(*v[:4]), datetime.fromisoformat(v[4]), *v[5:]),
    "frozen": lambda v: FrozenState(*v),
}


def known_range(rows: MintRows, slot: int) -> tuple[int, int] | None:
    """Return the range in which balances are known: a proven one with the mint's creation, or from a snapshot on.

    That which holds the slot; else the last one. As ``ledger.mint_states_known``.
    """
    known = [found for first, last in rows.coverage if (found := _known_of(rows.openings, first, last))]
    return max(known, key=lambda r: (r[0] <= slot <= r[1], r[0]), default=None)


def _known_of(openings: Sequence[Opening], first: int, last: int) -> tuple[int, int] | None:
    born = [o.position.slot for o in openings if o.position.tx_index != SNAPSHOT_INDEX]
    if any(first <= slot <= last for slot in born):
        return first, last
    seen = [o.position.slot for o in openings if o.position.tx_index == SNAPSHOT_INDEX]
    begun = min((slot for slot in seen if first - 1 <= slot <= last), default=None)
    return None if begun is None else (begun, last)


def chain_of(rows: MintRows, registry: Registry, slot: int) -> Chain:
    """Return the facts of the mint at a slot, as the database's functions give them."""
    known = known_range(rows, slot)
    covered_to = max((last for _, last in rows.coverage), default=None)
    gap = gap_of(known[0] if known else None, known[1] if known else None, covered_to, slot)
    opened = [o for o in rows.openings if o.position.slot <= slot]
    owners = {w.address for w in registry.wallets if w.kind == "owner"}
    accounts = {w.address for w in registry.wallets if w.kind == "account"}
    inside = known is not None and known[0] <= slot <= known[1]
    supply = supply_of(rows.events) if inside else None
    return Chain(
        gap,
        max(opened, key=lambda o: o.position).decimals if opened else None,
        supply,
        tuple(a for a in rows.accounts if a.owner in owners or a.account in accounts),
        rows.events,
        rows.owner_changes,
        rows.multipliers,
        rows.findings,
        rows.doubted,
        frozenset(rows.orphans),
        None if gap is not None or supply is None else holders_of(rows, registry, supply),
        () if gap is not None else tuple(VenueHolding(v.venue, v.as_of, v.slot, _held(v)) for v in rows.venues),
        rows.authority_changes,
        rows.control_acts,
        frozen_of(rows),
    )


def token_chain_of(rows: MintRows, named: set[str], slot: int) -> TokenChain:
    """Return what is known of a payment token at a slot, as ``chain.read_token_chains`` reads it."""
    born = [o.position.slot for o in rows.openings if o.position.tx_index != SNAPSHOT_INDEX]
    return token_chain(rows.coverage, born, rows.events, named, slot)


def of_transactions(rows: MintRows, named: Collection[str]) -> MintRows:
    """Return what of a mint some transactions are held against: their events, what is proven, and what is in doubt."""
    events = tuple([e for e in rows.events if e.signature in named])
    slots = {e.position.slot for e in events}
    return MintRows(
        rows.mint, rows.coverage, (), events, (), (), (), rows.findings, rows.doubted,
        tuple([slot for slot in rows.orphans if slot in slots]),
    )  # fmt: skip


def supply_of(events: Sequence[Movement]) -> int:
    """Return what a snapshot found and what was minted, less what was burned, raw."""
    signs = {"opening": 1, "mint": 1, "burn": -1}
    return sum(signs[e.kind] * e.amount for e in events if e.kind in signs)


def replayed(events: Sequence[Movement]) -> dict[str, int]:
    """Return the balances that the events add up to, by account, withheld fees and confidential ones among them."""
    balances: dict[str, int] = {}

    def add(account: str, amount: int) -> None:
        balances[account] = balances.get(account, 0) + amount

    for e in events:
        source, destination = _sides(e)
        if source is not None:
            add(source, -e.amount)
        if destination is not None:
            add(destination, e.amount - e.fee)
        if e.fee:
            add(WITHHELD, e.fee)
    return balances


def _sides(event: Movement) -> tuple[str | None, str | None]:
    """The accounts on both sides; what the views leave null is issuance, withheld or confidential by kind."""
    match event.kind:
        case "opening":
            return None, event.destination or CONFIDENTIAL
        case "fee_withdrawal":
            return WITHHELD, event.destination
        case "confidential_deposit":
            return event.source, CONFIDENTIAL
        case "confidential_withdrawal":
            return CONFIDENTIAL, event.destination
        case _:
            return event.source, event.destination


def frozen_of(rows: MintRows) -> tuple[FrozenHolding, ...]:
    """Return the accounts with something in them that are frozen, or may be, by the node's own figures."""
    held = {a.account: a for a in rows.accounts if a.amount}
    return tuple(
        FrozenHolding(one.account, held[one.account].owner, held[one.account].amount, one.frozen)
        for one in rows.frozen
        if one.account in held
    )


def _held(venue: VenueAccounts) -> int | None:
    return None if venue.slot is None else sum(a.amount for a in venue.accounts)


def holders_of(rows: MintRows, registry: Registry, supply: int) -> Holders | None:
    """Return all holders as ``chain.read_holders`` reads them; None where the registry asks for none."""
    instrument = next(i for i in registry.instruments if i.mint == rows.mint)
    bound = large_from(instrument, supply)
    if bound is None:
        return None
    by_owner: dict[str, int] = {}
    for account in rows.accounts:
        owner = account.owner or "unknown"
        by_owner[owner] = by_owner.get(owner, 0) + account.amount
    summed = replayed(rows.events)
    unseen = summed.get(WITHHELD, 0) + summed.get(CONFIDENTIAL, 0)
    large = tuple(Holder(owner, held) for owner, held in sorted(by_owner.items()) if held >= bound)
    return Holders(sum(by_owner.values()), unseen, large)


def owners_of(events: Sequence[Movement], changes: Sequence[OwnerChange]) -> dict[str, str | None]:
    """Return who owns each account after these events and changes; None where a change does not say to whom."""
    owners: dict[str, str | None] = {}
    rows: list[Movement | OwnerChange] = [*events, *changes]
    for one in sorted(rows, key=lambda x: x.position):
        if isinstance(one, OwnerChange):
            owners[one.account] = one.new_owner
            continue
        for account, owner in ((one.source, one.source_owner), (one.destination, one.destination_owner)):
            if account is not None and owner is not None:
                owners[account] = owner
    return owners


def balance_differences(rows: MintRows) -> list[str]:
    """Return where the events do not add up to the node's own figures; empty when they do, account by account."""
    summed = replayed(rows.events)
    wrong = _account_differences(rows.accounts, summed, owners_of(rows.events, rows.owner_changes))
    hidden = summed.get(WITHHELD, 0) + summed.get(CONFIDENTIAL, 0)
    outside, supply = sum(a.amount for a in rows.accounts) + hidden, supply_of(rows.events)
    if outside != supply:
        wrong.append(f"the accounts hold {outside} raw, withheld and confidential included; the supply is {supply}")
    return wrong


def _account_differences(
    accounts: Sequence[Holding], summed: Mapping[str, int], owners: Mapping[str, str | None]
) -> list[str]:
    told = {a.account: a for a in accounts}
    if len(told) != len(accounts):
        return ["an account stands in it twice"]
    wrong = []
    for account in sorted((told.keys() | summed.keys()) - {WITHHELD, CONFIDENTIAL}):
        held, owner = summed.get(account, 0), owners.get(account)
        said = told.get(account)
        if held != (0 if said is None else said.amount):
            node = "the bundle has no such account" if said is None else f"the node said {said.amount}"
            wrong.append(f"{account}: its events add up to {held} raw, {node}")
        elif said is not None and held and owner is not None and said.owner not in (None, owner):
            wrong.append(f"{account}: its events make it {owner}'s, the bundle says {said.owner}'s")
    return wrong


def venue_differences(rows: MintRows, registry: Registry, lines: Sequence[VenueLine], slot: int,
                      at: datetime | None) -> list[str]:  # fmt: skip
    """Return where what the venues held does not follow from the events; empty when it does.

    Each ledger at or before the cut-off has its line; its slot lies between the events of before and after its
    instant; it lists every account that was the venue's, with what the events add up to. Nothing is asked
    where the mint is not proven.
    """
    known = known_range(rows, slot)
    if at is None or known is None or not known[0] <= slot <= known[1]:
        return []
    symbol = next(i.symbol for i in registry.instruments if i.mint == rows.mint)
    told = {(v.venue, v.as_of): v for v in rows.venues}
    wanted = {(ledger.venue, ledger.as_of) for ledger in ledgers(lines, rows.mint, at)}
    wrong = [
        f"what {venue} held at {instant_text(as_of)} is not in it" for venue, as_of in sorted(wanted - told.keys())
    ]
    for key in sorted(wanted & told.keys()):
        owned = wallets_of(registry, key[0], symbol, key[1])
        wrong += _venue_faults(rows, told[key], {w.address for w in owned}, at)
    return wrong


def _venue_faults(rows: MintRows, venue: VenueAccounts, wallets: set[str], at: datetime) -> list[str]:
    place = f"{venue.venue} at {instant_text(venue.as_of)}"
    if venue.slot is None:
        seen = any(e.at <= venue.as_of for e in rows.events) and venue.as_of < at
        return [f"{place}: it says that nothing is known, and there are events before that instant"] if seen else []
    inside = [e for e in rows.events if e.position.slot <= venue.slot]
    outside = [e for e in rows.events if e.position.slot > venue.slot]
    if any(e.at > venue.as_of for e in inside) or any(e.at <= venue.as_of for e in outside):
        return [f"{place}: slot {venue.slot} is not the last one of that instant"]
    changes = [c for c in rows.owner_changes if c.position.slot <= venue.slot]
    summed, owners = replayed(inside), owners_of(inside, changes)
    told = {a.account for a in venue.accounts}
    left_out = [
        account
        for account, held in sorted(summed.items())
        if held and account not in told and (account in wallets or owners.get(account) in wallets)
    ]
    strange = [a.account for a in venue.accounts if a.account not in wallets and a.owner not in wallets]
    faults = _account_differences(
        venue.accounts, {a: n for a, n in summed.items() if a in told}, owners
    )  # fmt: skip
    faults += [f"{account} is left out" for account in left_out] + [f"{account} is none of its" for account in strange]
    return [f"{place}: {fault}" for fault in faults]
