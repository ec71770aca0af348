"""The slot that is being filled, and what is told when it becomes a block or is given up."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from solders.pubkey import Pubkey

from tieout_localnet.accounts import AccountState
from tieout_localnet.chain import Signature, Slot, SlotNode
from tieout_localnet.store import StoredTransaction


@dataclass(slots=True)
class OpenSlot:
    """The slot that is being filled."""

    slot: Slot
    height: int
    unix_s: int
    records: list[StoredTransaction] = field(default_factory=list)
    errors: dict[Signature, object] = field(default_factory=dict)
    pre_images: dict[Pubkey, AccountState | None] = field(default_factory=dict)
    addresses: list[tuple[bytes, int]] = field(default_factory=list)
    fees: int = 0
    priority_fees: int = 0
    version: int = 0
    """Which block of this slot it will be: more than 0 for a duplicate, whose hash is another."""


@dataclass(frozen=True, slots=True)
class SlotClosed:
    """Told to listeners when a slot became a block and the next one opened."""

    node: SlotNode
    records: Sequence[StoredTransaction]
    final: Sequence[SlotNode]
    """Nodes that became final by it, oldest first."""
    confirmed: Sequence[SlotNode]
    """Nodes that became confirmed by it, oldest first."""
    opened: Slot


@dataclass(frozen=True, slots=True)
class Switched:
    """Told to listeners when the open slot was given up, and perhaps blocks before it."""

    undone: Sequence[SlotNode]
    """Blocks that are no longer followed, newest first."""
    redone: Sequence[SlotNode]
    """Blocks that are followed instead, oldest first."""
    changed: Collection[Pubkey]
    """Accounts that have another value now than clients were told."""
    parent: Slot
    opened: Slot
