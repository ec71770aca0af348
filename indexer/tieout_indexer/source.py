"""Where blocks come from: which slots exist, their blocks, in order and linked.

Only finalized blocks are read here. What cannot be linked or verified ends the run of blocks
with a Parked value; nothing is skipped on an error's word.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec

from tieout_idl.programs import TOKEN_PROGRAMS
from tieout_indexer.chain import Anchor, MissingParent, Unlinked, link
from tieout_indexer.limits import IndexerLimits
from tieout_indexer.model import BlockHeader
from tieout_indexer.wire import (
    UNREADABLE,
    Block,
    Heads,
    TransactionHead,
    is_plain,
    judge,
    judge_head,
    parse_block,
    parse_heads,
)
from tieout_rpc import Action, MalformedAnswer, NodeRefused, RpcClient

TRANSACTION_VERSION_MAX = 255
"""Asked of the node: a block with a version we do not know must reach us, not be refused."""


_NEEDLES_MAX = 4
Relevance = Callable[[bytes | msgspec.Raw], bool]
"""Whether these bytes, of a block or of one transaction, may concern what is tracked."""


def NOTHING(body: bytes | msgspec.Raw) -> bool:  # noqa: N802  a constant of the kind
    """Relevance to nothing: for a block of which only the links are wanted."""
    del body
    return False


@dataclass(frozen=True, slots=True)
class Fetched:
    """A verifiable block and where it came from; ``transactions``: (index, exact bytes) of those that may matter."""

    header: BlockHeader
    endpoint: str
    transactions: Sequence[tuple[int, msgspec.Raw]]


@dataclass(frozen=True, slots=True)
class Parked:
    """A slot in doubt; nothing beyond it can be accepted."""

    slot: int
    reason: str


class BlockSource:
    """Finalized blocks of one cluster, through an RpcClient."""

    def __init__(self, rpc: RpcClient, limits: IndexerLimits) -> None:
        self._rpc = rpc
        self._limits = limits

    async def genesis_hash(self) -> str:
        """The cluster's identity."""
        return await self._rpc.call("getGenesisHash", result_type=str)

    async def epoch_schedule(self) -> dict[str, Any] | None:
        """getEpochSchedule's answer; None where the node does not say."""
        try:
            return await self._rpc.call("getEpochSchedule", result_type=dict[str, Any])
        except (NodeRefused, MalformedAnswer):
            return None

    async def finalized_slot(self) -> int:
        """The newest finalized slot."""
        return await self._rpc.call("getSlot", [{"commitment": "finalized"}], int)

    async def listed_slots(self, from_slot: int, to_slot: int) -> list[int]:
        """Slots with a finalized block in the inclusive range, as the node lists them: a hint, not proof."""
        slots: list[int] = []
        for start in range(from_slot, to_slot + 1, self._limits.getblocks_slots_max):
            end = min(start + self._limits.getblocks_slots_max - 1, to_slot)
            slots += await self._rpc.call("getBlocks", [start, end, {"commitment": "finalized"}], list[int])
        return sorted({slot for slot in slots if from_slot <= slot <= to_slot})

    async def confirmed_slots(self, after_slot: int, slots_max: int) -> list[int]:
        """Slots after ``after_slot`` with a confirmed block; they may yet lose."""
        params = [after_slot + 1, after_slot + slots_max, {"commitment": "confirmed"}]
        return await self._rpc.call("getBlocks", params, list[int])

    async def next_listed(self, after_slot: int) -> int | None:
        """The first listed slot after ``after_slot``, or None while there is none."""
        try:
            found: list[int] = await self._rpc.call(
                "getBlocksWithLimit", [after_slot + 1, 1, {"commitment": "finalized"}], list[int]
            )
        except NodeRefused as refused:
            if refused.rule.name != "MethodNotFound":
                raise
            found = await self.listed_slots(after_slot + 1, await self.finalized_slot())
        return found[0] if found else None

    async def fetch(self, slot: int, relevant: Relevance, commitment: str = "finalized") -> Fetched | Parked:
        """Fetch one block whole. Raises NodeUnreachable, and NodeRefused where a person is needed."""
        config = {
            "encoding": "json",
            "transactionDetails": "full",
            "rewards": False,
            "commitment": commitment,
            "maxSupportedTransactionVersion": TRANSACTION_VERSION_MAX,
        }
        try:
            body, endpoint = await self._rpc.call_raw("getBlock", [slot, config])
        except NodeRefused as refused:
            if refused.rule.action is Action.STOP:
                raise
            return Parked(slot, f"no node has the block: {refused}")
        except MalformedAnswer as garbled:
            return Parked(slot, f"no node gives a readable block: {garbled}")
        return verifiable(slot, body, endpoint, relevant)

    async def blocks(
        self, from_slot: int, to_slot: int, previous: Anchor | None, relevant: Relevance
    ) -> AsyncGenerator[Fetched | Parked, None]:
        """Yield the linked blocks of the inclusive range in order; after a Parked, nothing.

        The tail is proven too: where ``to_slot`` has no block, the first block beyond it must link
        across; the caller sees to it that the range is finalized.
        """
        pending = await self.listed_slots(from_slot, to_slot)
        if not pending or pending[-1] != to_slot:
            pending.append(await self._first_beyond(to_slot))
        prefetch = _Prefetch(self, relevant, self._limits.fetches_in_flight_max)
        try:
            while pending:
                slot = pending[0]
                found = await prefetch.get(pending)
                if isinstance(found, Parked):
                    yield found
                    return
                verdict = link(previous, from_slot, found.header)
                if isinstance(verdict, MissingParent):
                    if await self._unlisted_parent(verdict.parent_slot, pending):
                        continue
                    verdict = Unlinked(slot, _no_parent(found.header))
                if isinstance(verdict, Unlinked):
                    yield Parked(verdict.slot, verdict.reason)
                    return
                if slot > to_slot:
                    return
                yield found
                previous = Anchor(slot, found.header.blockhash)
                prefetch.done(pending.pop(0))
        finally:
            await prefetch.close()

    async def _first_beyond(self, slot: int) -> int:
        while (beyond := await self.next_listed(slot)) is None:  # noqa: ASYNC110  the node has no such event
            await asyncio.sleep(self._limits.poll_interval_s)
        return beyond

    async def _unlisted_parent(self, parent_slot: int, pending: list[int]) -> bool:
        # The list had a hole where a block says there is a block: the block's word counts.
        if parent_slot in pending or isinstance(await self.fetch(parent_slot, NOTHING), Parked):
            return False
        pending.insert(0, parent_slot)
        return True


def _no_parent(header: BlockHeader) -> str:
    return f"block {header.slot} names block {header.parent_slot} as its parent, which no node has"


def verifiable(slot: int, body: bytes, endpoint: str, relevant: Relevance) -> Fetched | Parked:
    """Turn a getBlock result into a block that can be proven, or say why it cannot.

    Every transaction must be verifiable, whether it matters or not; failed ones never matter.
    """
    try:
        block = parse_block(body) if relevant(body) else parse_heads(body)
    except UNREADABLE as bad:
        return Parked(slot, f"{endpoint} answered with no block: {bad}")
    if block is None:
        return Parked(slot, f"{endpoint} answered null for a block that it listed")
    if block.transactions is None:
        return Parked(slot, f"{endpoint} answered without transactions")
    if not is_plain(block.blockhash, block.previous_blockhash):
        return Parked(slot, f"{endpoint} answered with a blockhash that is not base 58")
    kept: list[tuple[int, msgspec.Raw]] = []
    transactions: Sequence[msgspec.Raw | TransactionHead] = block.transactions
    for index, transaction in enumerate(transactions):
        verdict = judge_head(transaction) if isinstance(transaction, TransactionHead) else judge(transaction)
        if verdict.problem:
            return Parked(slot, f"transaction {index} cannot be verified at {endpoint}: {verdict.problem}")
        if not (isinstance(transaction, TransactionHead) or verdict.failed) and relevant(transaction):
            kept.append((index, transaction))
    return Fetched(_header(slot, block), endpoint, kept)


def _header(slot: int, block: Block | Heads) -> BlockHeader:
    when = None if block.block_time is None else datetime.fromtimestamp(block.block_time, UTC)
    count = len(block.transactions or ())
    return BlockHeader(slot, block.parent_slot, block.blockhash, block.previous_blockhash, when, count)


def naming(mints: Collection[str]) -> Relevance:
    """Relevance to some mints: every transaction that can change a mint names it somewhere in its bytes,
    among its keys, its loaded addresses or its token balances; and it names a token program.
    """
    needles = [mint.encode() for mint in sorted(mints)]
    if len(needles) > _NEEDLES_MAX:
        # Looking for many addresses costs more than decoding what moves tokens at all.
        needles = [program.encode() for program in sorted(TOKEN_PROGRAMS)]

    def relevant(body: bytes | msgspec.Raw) -> bool:
        raw = bytes(body)
        return any(needle in raw for needle in needles)

    return relevant


class _Prefetch:
    """Blocks fetched ahead of their turn, a bounded number at a time."""

    def __init__(self, source: BlockSource, relevant: Relevance, in_flight_max: int) -> None:
        self._source = source
        self._relevant = relevant
        self._in_flight_max = in_flight_max
        self._tasks: dict[int, asyncio.Task[Fetched | Parked]] = {}

    async def get(self, slots: Sequence[int]) -> Fetched | Parked:
        """Return the block of the first of ``slots``, fetching those after it meanwhile.

        It is kept until ``done``: a missing parent brings us back to the same block.
        """
        for slot in slots[: self._in_flight_max]:
            if slot not in self._tasks:
                self._tasks[slot] = asyncio.create_task(self._source.fetch(slot, self._relevant))
        return await self._tasks[slots[0]]

    def done(self, slot: int) -> None:
        """Forget a block that was linked."""
        del self._tasks[slot]

    async def close(self) -> None:
        """Cancel what is still under way."""
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        self._tasks.clear()
