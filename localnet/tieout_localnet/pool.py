"""Transactions that wait for a block: those that a fork or a skipped slot took out of one.

A node sends such a transaction again to every leader until its blockhash expires. So does the pool: each
open slot is offered everything that waits, in order; what has landed or expired leaves. Pure.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from tieout_localnet.chain import Signature


@dataclass(frozen=True, slots=True)
class Pending:
    """A transaction on its way: its bytes, and the last block height at which it is sent again."""

    signature: Signature
    wire: bytes
    last_valid_height: int


Fate: TypeAlias = Callable[[list[Pending]], list[Pending]]
"""What becomes of transactions that lost their block: which go on, and in which order."""


class Pool:
    """Waiting transactions, oldest first; each is in it once."""

    def __init__(self) -> None:
        self._waiting: dict[Signature, Pending] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def __contains__(self, signature: object) -> bool:
        return signature in self._waiting

    def signatures(self) -> list[Signature]:
        """What waits, oldest first."""
        return list(self._waiting)

    def add(self, pending: Pending) -> None:
        """Let a transaction wait; one that waits already keeps its place."""
        self._waiting.setdefault(pending.signature, pending)

    def forget(self, signature: Signature) -> None:
        """Give a transaction up."""
        self._waiting.pop(signature, None)

    def offer(self, height: int, place: Callable[[Pending], bool]) -> None:
        """Try everything that waits in a slot of this height; `place` says whether it is dealt with."""
        for pending in list(self._waiting.values()):
            if height > pending.last_valid_height or place(pending):
                del self._waiting[pending.signature]
