"""What the ledger says, as values: the input of the pure core. Amounts are raw integers."""

from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction
from typing import NamedTuple

import msgspec

from tieout_reconcile.exact import f64


class Position(NamedTuple):
    """Where on the chain: the ledger's own key and order."""

    slot: int
    tx_index: int
    step: int
    child: int


class Movement(msgspec.Struct, frozen=True, gc=False):
    """One row of ``ledger.events``. ``at`` is the block's time; owners are those at the event.

    A struct of msgspec's, as crossings, matches and orders are: there are millions, and one is made in a twentieth of
    the time that a frozen dataclass takes.
    """

    position: Position
    at: datetime
    signature: str
    kind: str
    source: str | None
    source_owner: str | None
    destination: str | None
    destination_owner: str | None
    authority: str | None
    authority_role: str | None
    amount: int
    fee: int
    memo: str | None


@dataclass(frozen=True, slots=True)
class OwnerChange:
    """A SetAuthority that hands a token account, and all in it, to another owner without a transfer."""

    position: Position
    at: datetime
    signature: str
    account: str
    new_owner: str | None
    authority: str | None


@dataclass(frozen=True, slots=True)
class MultiplierStep:
    """One announced multiplier: its eight bytes, when it takes effect, and the slot that replaced it before then.

    ``asked`` is the instant that the instruction names, in seconds since 1970; 0 for none.
    """

    position: Position
    effective_at: datetime
    bits: bytes
    superseded_slot: int | None
    announced_at: datetime | None = None
    asked: int = 0
    signature: str | None = None


@dataclass(frozen=True, slots=True)
class Multiplier:
    """The multiplier in force: the chain's eight bytes (None: the mint has no scaling) and their exact value."""

    bits: bytes | None
    value: Fraction


UNSCALED = Multiplier(None, Fraction(1))
"""Of a mint that has no scaling."""


@dataclass(frozen=True, slots=True)
class Holding:
    """What one registered wallet's token account holds."""

    account: str
    owner: str | None
    amount: int


@dataclass(frozen=True, slots=True)
class OpenFinding:
    """A difference that an audit of the ledger found and nothing has closed yet, with both values."""

    audit: str
    subject: str
    expected: str
    found: str


@dataclass(frozen=True, slots=True)
class Doubted:
    """A transaction in quarantine: from its slot on the mint is unproven."""

    slot: int
    signature: str
    path: str
    reason: str


@dataclass(frozen=True, slots=True)
class AuthorityChange:
    """An authority of the mint that went from one key to another; ``new`` None: to nobody, for good."""

    position: Position
    at: datetime
    signature: str
    kind: str
    authority: str | None
    new: str | None


@dataclass(frozen=True, slots=True)
class ControlAct:
    """An account frozen or thawed, a mint paused or resumed, its hook or the state of new accounts set.

    ``value`` is what a hook or default state was set to; None: no hook. Without a signature it is what a snapshot
    found; without an authority, of a hook or default state, what the mint was created with.
    """

    position: Position
    at: datetime
    signature: str
    kind: str
    account: str | None
    authority: str | None
    value: str | None


@dataclass(frozen=True, slots=True)
class FrozenHolding:
    """A token account that is frozen, and what it holds; ``frozen`` None: nobody knows whether it is."""

    account: str
    owner: str | None
    amount: int
    frozen: bool | None


@dataclass(frozen=True, slots=True)
class Holder:
    """What an owner holds over all accounts."""

    owner: str
    amount: int


@dataclass(frozen=True, slots=True)
class Holders:
    """All accounts of a mint at the slot: what they hold together, what is withheld or hidden, the large owners."""

    visible: int
    unseen: int
    large: tuple[Holder, ...]


@dataclass(frozen=True, slots=True)
class VenueHolding:
    """What a venue's wallets held at the instant of its ledger; None where the ledger does not reach that far."""

    venue: str
    as_of: datetime
    slot: int | None
    amount: int | None


@dataclass(frozen=True, slots=True)
class Chain:
    """All that the ledger knows of one mint up to a slot. ``gap`` says why it is not proven; None when it is.

    ``orphans`` are slots of movements of which the ledger has no block. ``holders`` is None where nobody asked.
    """

    gap: str | None
    decimals: int | None
    supply: int | None
    holdings: tuple[Holding, ...]
    movements: tuple[Movement, ...]
    owner_changes: tuple[OwnerChange, ...]
    multipliers: tuple[MultiplierStep, ...]
    findings: tuple[OpenFinding, ...] = ()
    doubted: tuple[Doubted, ...] = ()
    orphans: frozenset[int] = frozenset()
    holders: Holders | None = None
    venue_holdings: tuple[VenueHolding, ...] = ()
    authority_changes: tuple[AuthorityChange, ...] = ()
    control_acts: tuple[ControlAct, ...] = ()
    frozen: tuple[FrozenHolding, ...] = ()


def multiplier_in_force(steps: tuple[MultiplierStep, ...], slot: int, at: datetime) -> Multiplier | None:
    """Return the multiplier by the chain's own clock at a slot, 1 where the mint has no scaling, None when unknown.

    Of the steps announced by that slot and in effect by that instant, the last announced counts.
    """
    if not steps:
        return UNSCALED
    in_effect = [
        step
        for step in steps
        if step.position.slot <= slot
        and step.effective_at <= at
        and (step.superseded_slot is None or step.superseded_slot > slot)
    ]
    if not in_effect:
        return None
    bits = max(in_effect, key=lambda step: step.position).bits
    value = f64(bits)
    return Multiplier(bits, value) if value is not None and value > 0 else None
