"""The chain as a tree of slots, and the three places on it that clients ask about.

Pure: nothing here reads a clock, a file or the network. Each node knows its parent, so that a node may
have several children; `tip` is the head of the branch that the validator follows. Positions:

    processed   the open slot, in which transactions are executing now
    confirmed   `confirmed_depth` slots behind it; 1 means the newest complete block
    finalized   `finalized_depth` blocks behind the newest complete block; never moves back

Each node keeps the values that accounts had before the slot changed them (pre-images), so that the state
of any slot that is not yet final can be read, and restored.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, NewType

from solders.pubkey import Pubkey

from tieout_localnet.accounts import AccountState

Slot = NewType("Slot", int)
Signature = NewType("Signature", str)
Blockhash = NewType("Blockhash", str)

BLOCKHASH_QUEUE_BLOCKS: Final = 150
"""A blockhash is accepted while its block is at most this many blocks old."""

STATUS_CACHE_BLOCKS: Final = 300
"""How many blocks back a node remembers signatures in memory."""


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
    """A block in the tree: its parent, what it executed, and the state it replaced."""

    block: Block
    parent: "SlotNode | None"
    errors: dict[Signature, object] = field(default_factory=dict)
    """Each transaction's error as JSON (None: success), in execution order."""
    pre_images: dict[Pubkey, AccountState | None] = field(default_factory=dict)


class Chain:
    """The nodes that are still in memory, and the position of each commitment level."""

    def __init__(self, nodes: list[SlotNode], confirmed_depth: int, finalized_depth: int) -> None:
        self.confirmed_depth = confirmed_depth
        self.finalized_depth = finalized_depth
        self._branch = nodes
        self._by_slot = {node.block.slot: node for node in nodes}
        self._slot_of_signature = {s: node.block.slot for node in nodes for s in node.errors}
        self._height_of_blockhash = {node.block.blockhash: node.block.height for node in nodes}
        # What was on disk at the start is final: a validator roots the state that it starts from.
        self.root = nodes[-1].block.slot

    @property
    def tip(self) -> SlotNode:
        """The newest complete block."""
        return self._branch[-1]

    @property
    def open_slot(self) -> Slot:
        """The slot that is being filled."""
        return Slot(self.tip.block.slot + 1)

    @property
    def open_height(self) -> int:
        """The block height that the open slot will have."""
        return self.tip.block.height + 1

    def position(self, commitment: Commitment) -> Slot:
        """The newest slot at a commitment level."""
        if commitment is Commitment.PROCESSED:
            return self.open_slot
        if commitment is Commitment.CONFIRMED:
            return max(self.root, self._behind(self.confirmed_depth - 1))
        return self.root

    def _behind(self, blocks: int) -> Slot:
        index = max(len(self._branch) - 1 - blocks, 0)
        return self._branch[index].block.slot

    def node(self, slot: Slot) -> SlotNode | None:
        """The block at a slot of the followed branch, if it is still in memory."""
        return self._by_slot.get(slot)

    def extend(self, node: SlotNode) -> tuple[SlotNode, ...]:
        """Append a complete block; returns the nodes that became final by it, oldest first."""
        self._branch.append(node)
        self._by_slot[node.block.slot] = node
        self._height_of_blockhash[node.block.blockhash] = node.block.height
        for signature in node.errors:
            self._slot_of_signature[signature] = node.block.slot
        root = max(self.root, self._behind(self.finalized_depth))
        newly = tuple(reversed([n for n in self._from_tip(self.root) if n.block.slot <= root]))
        self.root = root
        return newly

    def release(self, final: tuple[SlotNode, ...]) -> None:
        """Let go of what only unfinished slots need, once everybody has been told that these are final."""
        for node in final:
            node.pre_images = {}
        self._forget()

    def _from_tip(self, slot: Slot) -> Iterator[SlotNode]:
        """Nodes newer than a slot, newest first."""
        node: SlotNode | None = self.tip
        while node is not None and node.block.slot > slot:
            yield node
            node = node.parent

    def _forget(self) -> None:
        """Drop the oldest nodes once they are final and no status request can reach them."""
        while len(self._branch) > STATUS_CACHE_BLOCKS and self._branch[1].block.slot <= self.root:
            node = self._branch.pop(0)
            del self._by_slot[node.block.slot]
            self._height_of_blockhash.pop(node.block.blockhash, None)
            for signature in node.errors:
                self._slot_of_signature.pop(signature, None)
            self._branch[0].parent = None

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

    def accepts_blockhash(self, blockhash: str, at: Slot) -> bool:
        """Whether a transaction that names this blockhash may run in the state of slot `at`."""
        height = self._height_of_blockhash.get(Blockhash(blockhash))
        return height is not None and 0 <= self.height_at(at) - height <= BLOCKHASH_QUEUE_BLOCKS


def leader_fee(total_fee: int, priority_fee: int) -> int:
    """The part of a block's fees that its leader keeps: half of the base fee, all of the priority fee."""
    return (total_fee - priority_fee) // 2 + priority_fee
