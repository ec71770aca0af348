"""Blocks that a node sent by itself, kept until their turn comes: exact bytes by slot, bounded. Pure.

What is here is a short cut past asking, never proof: a block is verified and linked as if it had been asked for.
"""

from collections import Counter, OrderedDict

import msgspec


class _Context(msgspec.Struct):
    slot: int


class _Update(msgspec.Struct):
    slot: int
    err: msgspec.Raw = msgspec.Raw(b"null")
    block: msgspec.Raw = msgspec.Raw(b"null")


class BlockNotification(msgspec.Struct):
    """One notification of blockSubscribe: of a slot, its block as the node's own JSON, or what went wrong."""

    context: _Context
    value: _Update

    @property
    def body(self) -> bytes | None:
        """The block's exact bytes; None where the node sent none (an error, or null)."""
        block = bytes(self.value.block)
        return None if block == b"null" or bytes(self.value.err) != b"null" else block


class PushedBlocks:
    """The newest blocks that came, at most so many bytes of them."""

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self._bytes = 0
        self._blocks: OrderedDict[int, tuple[bytes, str]] = OrderedDict()
        self.spoiled: Counter[str] = Counter()
        """How many of an endpoint's blocks were of no use: none came, unreadable, not verifiable, not linked."""

    def put(self, slot: int, body: bytes, endpoint: str) -> None:
        """Keep a block; the oldest that came go where there is no room. One that is too large is not kept."""
        self._drop(slot)
        if len(body) > self._bytes_max:
            return
        self._blocks[slot] = body, endpoint
        self._bytes += len(body)
        while self._bytes > self._bytes_max:
            self._drop(next(iter(self._blocks)))

    def take(self, slot: int) -> tuple[bytes, str] | None:
        """Hand a block out, with the name of the endpoint that sent it: once. Blocks before it had their turn."""
        for passed in [s for s in self._blocks if s < slot]:
            self._drop(passed)
        return self._drop(slot)

    def _drop(self, slot: int) -> tuple[bytes, str] | None:
        found = self._blocks.pop(slot, None)
        if found is not None:
            self._bytes -= len(found[0])
        return found

    def __len__(self) -> int:
        return len(self._blocks)
