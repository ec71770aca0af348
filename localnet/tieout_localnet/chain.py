"""The chain as a tree of slots, and the three places on it that clients ask about.

Pure: nothing here reads a clock, a file or the network. Each node knows its parent, and a node may have
several children. One branch is followed: everything that clients read comes from it, its blockhashes and
signatures alone are known. The others stay until the root has passed the place where they split off.

    processed   the open slot, in which transactions are executing now
    confirmed   `confirmed_depth` slots behind it; 1 means the newest complete block
    finalized   `finalized_depth` blocks behind the newest complete block; never moves back

While a fork is contested nothing above its base is confirmed (`contest`): the votes are divided. A confirmed
block is given up only by a switch that says so; a final one never.

Each node keeps the values that accounts had before the slot changed them (pre-images), and, until it is
final, those that they had afterwards: the state of any slot that is not yet final can be read, undone and
done again.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Final, NewType

from solders.pubkey import Pubkey

from tieout_localnet.accounts import AccountState

if TYPE_CHECKING:
    from tieout_localnet.store import StoredTransaction

Slot = NewType("Slot", int)
Signature = NewType("Signature", str)
Blockhash = NewType("Blockhash", str)

BLOCKHASH_QUEUE_BLOCKS: Final = 150
"""A blockhash is accepted while its block is at most this many blocks old."""

STATUS_CACHE_BLOCKS: Final = 300
"""How many blocks back a node remembers signatures in memory."""


class CannotSwitch(Exception):
    """A branch that cannot be followed: unknown, beneath the root, or it would undo what is confirmed."""


class Commitment(StrEnum):
    """How sure a client wants to be of what it reads."""

    PROCESSED = "processed"
    CONFIRMED = "confirmed"
    FINALIZED = "finalized"


@dataclass(frozen=True, slots=True)
class Reward:
    """What a block paid to whom (lamports)."""

    pubkey: str
    lamports: int
    post_balance: int
    reward_type: str = "Fee"


@dataclass(frozen=True, slots=True)
class Block:
    """The header of a complete block."""

    slot: Slot
    parent_slot: Slot
    height: int
    blockhash: Blockhash
    previous_blockhash: Blockhash
    block_time: int
    rewards: tuple[Reward, ...] = ()
    transaction_count: int = 0
    """Transactions of the whole chain up to and including this block."""


@dataclass(slots=True)
class SlotNode:
    """A block in the tree: its parent, what it executed, the state it replaced and the state it made."""

    block: Block
    parent: "SlotNode | None"
    errors: dict[Signature, object] = field(default_factory=dict)
    """Each transaction's error as JSON (None: success), in execution order."""
    pre_images: dict[Pubkey, AccountState | None] = field(default_factory=dict)
    post_images: dict[Pubkey, AccountState | None] = field(default_factory=dict)
    records: "Sequence[StoredTransaction]" = ()
    addresses: list[tuple[bytes, int]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Detour:
    """The way from one branch to another: what is given up, newest first, and what is done again."""

    base: SlotNode
    undone: tuple[SlotNode, ...]
    redone: tuple[SlotNode, ...]


class Chain:
    """The nodes that are still in memory, and the position of each commitment level."""

    def __init__(self, nodes: list[SlotNode], confirmed_depth: int, finalized_depth: int) -> None:
        self.confirmed_depth = confirmed_depth
        self.finalized_depth = finalized_depth
        self.retained_blocks = 0
        """How many final blocks keep their pre-images, for readers that lag behind."""
        self._branch = nodes
        self._side: dict[Blockhash, SlotNode] = {}
        self._by_slot = {node.block.slot: node for node in nodes}
        self._slot_of_signature = {s: node.block.slot for node in nodes for s in node.errors}
        self._height_of_blockhash = {node.block.blockhash: node.block.height for node in nodes}
        # What was on disk at the start is final: a validator roots the state that it starts from.
        self.root = nodes[-1].block.slot
        self._confirmed = self.root
        self._contested: Slot | None = None
        self._open_slot = Slot(self.root + 1)

    @property
    def tip(self) -> SlotNode:
        """The newest complete block."""
        return self._branch[-1]

    @property
    def open_slot(self) -> Slot:
        """The slot that is being filled."""
        return self._open_slot

    @property
    def open_height(self) -> int:
        """The block height that the open slot will have."""
        return self.tip.block.height + 1

    def position(self, commitment: Commitment) -> Slot:
        """The newest slot at a commitment level."""
        if commitment is Commitment.PROCESSED:
            return self.open_slot
        return self._confirmed if commitment is Commitment.CONFIRMED else self.root

    def newest_at(self, slot: int) -> Slot:
        """The newest slot with a block, not newer than `slot`, as far as memory goes."""
        for node in reversed(self._branch):
            if node.block.slot <= slot:
                return node.block.slot
        return self._branch[0].block.slot

    def back(self, slot: Slot, blocks: int) -> Slot:
        """The block so many blocks before the newest one at a slot, as far as memory goes."""
        index = len(self._branch) - 1
        while index > 0 and self._branch[index].block.slot > slot:
            index -= 1
        return self._branch[max(index - blocks, 0)].block.slot

    def _behind(self, blocks: int) -> Slot:
        index = max(len(self._branch) - 1 - blocks, 0)
        return self._branch[index].block.slot

    def node(self, slot: Slot) -> SlotNode | None:
        """The block at a slot of the followed branch, if it is still in memory."""
        return self._by_slot.get(slot)

    # Growing

    def extend(self, node: SlotNode) -> tuple[SlotNode, ...]:
        """Append a complete block; returns the nodes that became final by it, oldest first."""
        self._take(node)
        self._open_slot = Slot(node.block.slot + 1)
        return self.settle()

    def settle(self) -> tuple[SlotNode, ...]:
        """Move the confirmed and final positions as far as they go; the newly final nodes, oldest first."""
        confirmed = max(self._behind(self.confirmed_depth - 1), self._behind(self.finalized_depth))
        if self._contested is not None:
            confirmed = min(confirmed, self._contested)
        self._confirmed = max(self._confirmed, confirmed)
        # What is not confirmed is not final, however deep it lies.
        root = max(self.root, min(self._behind(self.finalized_depth), self._confirmed))
        newly = tuple(reversed([n for n in self._from_tip(self.root) if n.block.slot <= root]))
        self.root = root
        return newly

    def skip(self, slots: int) -> None:
        """Leave so many slots without a block, the open one first."""
        self._open_slot = Slot(self._open_slot + slots)

    def reopen(self, slot: Slot) -> None:
        """Open a slot that another version of was made and given up (a duplicate block)."""
        if slot <= self.tip.block.slot:
            raise CannotSwitch(f"slot {slot} is not newer than the tip {self.tip.block.slot}")
        self._open_slot = slot

    def release(self, final: tuple[SlotNode, ...]) -> None:
        """Let go of what only unfinished slots need, once everybody has been told that these are final."""
        for node in final:
            node.post_images, node.records, node.addresses = {}, (), []
        if not self.retained_blocks:
            for node in final:
                node.pre_images = {}
        elif final:
            self._release_retained()
        if final and self._side:
            self._prune()
        self._forget()

    def _release_retained(self) -> None:
        oldest = self.back(self.root, self.retained_blocks)
        for node in self._branch:
            if node.block.slot > oldest:
                break
            node.pre_images = {}

    def _take(self, node: SlotNode) -> None:
        self._branch.append(node)
        self._by_slot[node.block.slot] = node
        self._height_of_blockhash[node.block.blockhash] = node.block.height
        for signature in node.errors:
            self._slot_of_signature[signature] = node.block.slot

    def _drop(self, node: SlotNode) -> None:
        del self._by_slot[node.block.slot]
        self._height_of_blockhash.pop(node.block.blockhash, None)
        for signature in node.errors:
            self._slot_of_signature.pop(signature, None)

    def _from_tip(self, slot: Slot) -> Iterator[SlotNode]:
        """Nodes newer than a slot, newest first."""
        node: SlotNode | None = self.tip
        while node is not None and node.block.slot > slot:
            yield node
            node = node.parent

    def _forget(self) -> None:
        """Drop the oldest nodes once they are final and no status request can reach them."""
        while len(self._branch) > STATUS_CACHE_BLOCKS and self._branch[1].block.slot <= self.root:
            self._drop(self._branch.pop(0))
            self._branch[0].parent = None

    # Forks

    def contest(self, base: Slot | None) -> None:
        """Confirm nothing above this slot until told otherwise (None: the fork is decided)."""
        self._contested = base

    def side(self) -> list[SlotNode]:
        """Blocks of branches that are not followed and could still be."""
        return list(self._side.values())

    def find(self, blockhash: str) -> SlotNode | None:
        """A block that may be switched to: not older than the root, on any branch."""
        found = self._side.get(Blockhash(blockhash))
        if found is not None:
            return found
        unfinished = (n for n in reversed(self._branch) if n.block.slot >= self.root)
        return next((n for n in unfinished if n.block.blockhash == blockhash), None)

    def detour(self, target: SlotNode, *, rollback: bool = False) -> Detour:
        """The way from the tip to a block; raises CannotSwitch when it must not be gone."""
        redone: list[SlotNode] = []
        base: SlotNode | None = target
        while base is not None and self._by_slot.get(base.block.slot) is not base:
            redone.append(base)
            base = base.parent
        if base is None or base.block.slot < self.root:
            raise CannotSwitch(f"slot {target.block.slot} is on a branch that left the chain below the root")
        undone = tuple(self._from_tip(base.block.slot))
        if undone and base.block.slot < self._confirmed and not rollback:
            raise CannotSwitch(
                f"that would undo slot {self._confirmed}, which is confirmed; ask for a rollback to allow it"
            )
        return Detour(base, undone, tuple(reversed(redone)))

    def switch(self, detour: Detour) -> None:
        """Follow another branch. The open slot stays the next one that was never used."""
        for node in detour.undone:
            self._branch.pop()
            self._drop(node)
            self._side[node.block.blockhash] = node
        for node in detour.redone:
            self._side.pop(node.block.blockhash, None)
            self._take(node)
        self._confirmed = min(self._confirmed, detour.base.block.slot)

    def _prune(self) -> None:
        """Forget branches that split off below the root."""
        for blockhash, node in list(self._side.items()):
            base: SlotNode | None = node
            while base is not None and self._by_slot.get(base.block.slot) is not base:
                base = base.parent
            if base is None or base.block.slot < self.root:
                del self._side[blockhash]

    # Questions

    def after(self, slot: Slot) -> list[SlotNode]:
        """Complete blocks newer than a slot, oldest first."""
        newer = list(self._from_tip(slot))
        newer.reverse()
        return newer

    def landed(self, signature: Signature) -> Slot | None:
        """The slot of a signature among the complete blocks in memory."""
        return self._slot_of_signature.get(signature)

    def recent_blocks(self, count: int) -> list[Block]:
        """The newest complete blocks, newest first."""
        return [node.block for node in reversed(self._branch[-count:])]

    def height_at(self, slot: Slot) -> int:
        """Height of the newest complete block in the state of a slot."""
        node = self._by_slot.get(slot)
        return self.tip.block.height if node is None else node.block.height

    def last_valid_height(self, blockhash: str) -> int:
        """The last height at which a transaction on this blockhash is sent again; unknown: as a fresh one."""
        node = self._side.get(Blockhash(blockhash))
        height = self._height_of_blockhash.get(Blockhash(blockhash))
        if height is None:
            height = self.tip.block.height if node is None else node.block.height
        return height + BLOCKHASH_QUEUE_BLOCKS

    def accepts_blockhash(self, blockhash: str, at: Slot) -> bool:
        """Whether a transaction that names this blockhash may run in the state of slot `at`."""
        height = self._height_of_blockhash.get(Blockhash(blockhash))
        return height is not None and 0 <= self.height_at(at) - height <= BLOCKHASH_QUEUE_BLOCKS


def leader_fee(total_fee: int, priority_fee: int) -> int:
    """The part of a block's fees that its leader keeps: half of the base fee, all of the priority fee."""
    return (total_fee - priority_fee) // 2 + priority_fee
