"""Transactions of recent blocks, decoded, so that the newest questions need no disk. Pure."""

from collections import OrderedDict
from collections.abc import Sequence
from typing import Final

from tieout_localnet.chain import STATUS_CACHE_BLOCKS, Slot
from tieout_localnet.store import StoredTransaction

TRANSACTIONS_MAX: Final = 4_000


class RecentTransactions:
    """Blocks by slot; the one that was asked for longest ago goes first."""

    def __init__(self) -> None:
        self._blocks: OrderedDict[Slot, Sequence[StoredTransaction]] = OrderedDict()
        self._held = 0

    def of(self, slot: Slot) -> Sequence[StoredTransaction] | None:
        """The transactions of a block, if they are held."""
        if slot not in self._blocks:
            return None
        self._blocks.move_to_end(slot)
        return self._blocks[slot]

    def add(self, slot: Slot, records: Sequence[StoredTransaction]) -> None:
        """Hold a block, and let go of others when there are too many."""
        self._blocks[slot] = records
        self._held += len(records)
        while len(self._blocks) > 1 and (
            self._held > TRANSACTIONS_MAX or len(self._blocks) > STATUS_CACHE_BLOCKS
        ):
            _, dropped = self._blocks.popitem(last=False)
            self._held -= len(dropped)

    def drop(self, slot: Slot) -> None:
        """Forget a block that is no longer followed."""
        self._held -= len(self._blocks.pop(slot, ()))
