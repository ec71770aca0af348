"""Where blocks come from: which slots exist, their blocks, in order and linked.

Only finalized blocks are read here. What cannot be linked or verified ends the run of blocks
with a Parked value; nothing is skipped on an error's word.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from tieout_idl.programs import TOKEN_PROGRAMS
from tieout_indexer.chain import Anchor, MissingParent, Unlinked, link
from tieout_indexer.limits import IndexerLimits
from tieout_indexer.model import BlockHeader
from tieout_indexer.pushed import PushedBlocks
from tieout_indexer.turns import Work, at_once, in_turns
from tieout_indexer.wire import (
    UNREADABLE,
    Block,
    Heads,
    Verdict,
    is_plain,
    judge,
    judge_bytes,
    parse_block,
    parse_heads,
)
from tieout_rpc import Action, MalformedAnswer, NodeRefused, RpcClient, RpcError, Standing

TRANSACTION_VERSION_MAX = 255
"""Asked of the node: a block with a version we do not know must reach us, not be refused."""


_NEEDLES_MAX = 4
_WIDTH_FIRST = 2
Relevance = Callable[[bytes], bool]
"""Whether these bytes, of a block or of one transaction, may concern what is tracked."""


def NOTHING(body: bytes) -> bool:  # noqa: N802  a constant of the kind
    """Relevance to nothing: for a block of which only the links are wanted."""
    del body
    return False


@dataclass(frozen=True, slots=True)
class Fetched:
    """A verifiable block and where it came from; ``transactions``: (index, exact bytes) of those that may matter."""

    header: BlockHeader
    endpoint: str
    transactions: Sequence[tuple[int, bytes]]
    pushed: bool = False
    """It came by itself, not as the answer to a question."""


@dataclass(frozen=True, slots=True)
class Parked:
    """A slot in doubt; nothing beyond it can be accepted."""

    slot: int
    reason: str


@dataclass(frozen=True, slots=True)
class Disagreement:
    """An endpoint that says another thing of a finalized block than most do."""

    endpoint: str
    slot: int
    majority: str
    said: str


def outcome(votes: Mapping[str, str]) -> str | None:
    """What more than half of the voters say; None where there is no such thing."""
    said, count = Counter(votes.values()).most_common(1)[0]
    return said if 2 * count > len(votes) else None


class BlockSource:
    """Finalized blocks of one cluster, through an RpcClient."""

    def __init__(self, rpc: RpcClient, limits: IndexerLimits) -> None:
        self._rpc = rpc
        self._limits = limits
        self.pushed = PushedBlocks(limits.pushed_bytes_max)
        """Finalized blocks that a node sent by itself: each is tried once before any node is asked for it."""
        self._listing: tuple[int, int, list[int]] | None = None
        self.disagreements: list[Disagreement] = []
        """Who was out-voted, until somebody writes it down."""

    @property
    def throttled(self) -> int:
        """How often nodes have asked for patience."""
        return sum(endpoint.rate_limited for endpoint in self._rpc.endpoints)

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
        listed = sorted({slot for slot in slots if from_slot <= slot <= to_slot})
        self._listing = (from_slot, to_slot, listed)
        return listed

    async def _listed_once(self, from_slot: int, to_slot: int) -> list[int]:
        """As ``listed_slots``; a list just asked for serves once more: it is a hint, the links prove."""
        known, self._listing = self._listing, None
        if known is not None and known[0] <= from_slot and to_slot <= known[1]:
            return [slot for slot in known[2] if from_slot <= slot <= to_slot]
        found = await self.listed_slots(from_slot, to_slot)
        self._listing = None
        return found

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
        """Fetch one block whole, from the first node whose answer can be verified.

        Raises NodeUnreachable, and NodeRefused where a person is needed.
        """
        found: Fetched | Parked | None = self._came(slot, relevant) if commitment == "finalized" else None
        avoid: set[str] = set()
        while found is None:
            found, endpoint = await self._fetch_once(slot, relevant, commitment, avoid)
            if isinstance(found, Parked) and endpoint and len(avoid) + 1 < len(self._rpc.endpoints):
                avoid.add(endpoint)
                found = None
        sampled = self._limits.quorum_every_slots and slot % self._limits.quorum_every_slots == 0
        if isinstance(found, Parked) or commitment != "finalized" or not sampled:
            return found
        return await self.put_to_the_vote(found, relevant)

    def _came(self, slot: int, relevant: Relevance) -> Fetched | None:
        """The block that a node sent by itself; None where none did, it is a liar, or what came cannot be verified."""
        pushed = self.pushed.take(slot)
        if pushed is None or self._rpc.endpoint(pushed[1]).standing is Standing.LYING:
            return None
        found = verifiable(slot, *pushed, relevant)
        if isinstance(found, Fetched):
            return replace(found, pushed=True)
        self.pushed.spoiled[pushed[1]] += 1
        return None

    async def _fetch_once(
        self, slot: int, relevant: Relevance, commitment: str, avoid: Collection[str]
    ) -> tuple[Fetched | Parked, str | None]:
        """One answer, and whose it was; None: nobody's, so that asking another is no use."""
        config = {
            "encoding": "json",
            "transactionDetails": "full",
            "rewards": False,
            "commitment": commitment,
            "maxSupportedTransactionVersion": TRANSACTION_VERSION_MAX,
        }
        try:
            body, endpoint = await self._rpc.call_raw("getBlock", [slot, config], avoid)
        except NodeRefused as refused:
            if refused.rule.action is Action.STOP:
                raise
            return Parked(slot, f"no node has the block: {refused}"), None
        except MalformedAnswer as garbled:
            return Parked(slot, f"no node gives a readable block: {garbled}"), None
        return await in_turns(verifying(slot, body, endpoint, relevant)), endpoint

    async def put_to_the_vote(self, found: Fetched, relevant: Relevance) -> Fetched | Parked:
        """Ask every endpoint for the block's hash and parent: what most say counts, and who says otherwise is named.

        A single endpoint has nobody to contradict it. Where no side has most votes, the slot is parked.
        """
        if len(self._rpc.endpoints) == 1:
            return found
        slot = found.header.slot
        votes = await self._votes(slot)
        votes[found.endpoint] = _links(found.header)
        winner = outcome(votes)
        if winner is None:
            words = ", ".join(f"{endpoint} says {said}" for endpoint, said in sorted(votes.items()))
            return Parked(slot, f"the endpoints disagree about the block, and none has most of them: {words}")
        for endpoint, said in sorted(votes.items()):
            if said != winner:
                self._rpc.endpoint(endpoint).outvoted()
                self.disagreements.append(Disagreement(endpoint, slot, winner, said))
        if _links(found.header) == winner:
            return found
        wrong = {endpoint for endpoint, said in votes.items() if said != winner}
        again, _ = await self._fetch_once(slot, relevant, "finalized", wrong)
        if isinstance(again, Fetched) and _links(again.header) != winner:
            return Parked(slot, f"{again.endpoint} says two things of the block: {winner} and {_links(again.header)}")
        return again

    async def _votes(self, slot: int) -> dict[str, str]:
        config = {"transactionDetails": "none", "rewards": False, "commitment": "finalized"}
        votes = {}
        for endpoint, answer in (await self._rpc.ask_each("getBlock", [slot, config])).items():
            if isinstance(answer, RpcError):
                continue  # it abstains
            try:
                block = parse_heads(answer)
            except UNREADABLE:
                continue
            if block is not None and is_plain(block.blockhash, block.previous_blockhash):
                votes[endpoint] = _links(_header(slot, block))
        return votes

    async def header(self, slot: int, commitment: str) -> BlockHeader | None:
        """What links a block, without its transactions: a few hundred bytes. None where the node cannot say."""
        config = {"transactionDetails": "none", "rewards": False, "commitment": commitment}
        try:
            body, _ = await self._rpc.call_raw("getBlock", [slot, config])
            block = parse_heads(body)
        except (NodeRefused, MalformedAnswer, *UNREADABLE):
            return None
        return _header(slot, block) if block is not None and is_plain(block.blockhash) else None

    async def blocks(
        self, from_slot: int, to_slot: int, previous: Anchor | None, relevant: Relevance
    ) -> AsyncGenerator[Fetched | Parked, None]:
        """Yield the linked blocks of the inclusive range in order; after a Parked, nothing.

        The tail is proven too: where ``to_slot`` has no block, the first block beyond it must link
        across; the caller sees to it that the range is finalized.
        """
        pending = await self._listed_once(from_slot, to_slot)
        if not pending or pending[-1] != to_slot:
            pending.append(await self._first_beyond(to_slot))
        doubted: set[int] = set()
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
                    if found.pushed:
                        # What comes unasked may be out of date or out of order: ask for it.
                        self.pushed.spoiled[found.endpoint] += 1
                        prefetch.replace(slot, await self.fetch(slot, relevant))
                        continue
                    if slot not in doubted and len(self._rpc.endpoints) > 1:
                        # It may be the node's lie: let the others say, once.
                        doubted.add(slot)
                        prefetch.replace(slot, await self.put_to_the_vote(found, relevant))
                        continue
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


def _links(header: BlockHeader) -> str:
    """What is voted on: a block's hash, and what it says of its parent."""
    return f"{header.blockhash} after {header.previous_blockhash} of slot {header.parent_slot}"


def _no_parent(header: BlockHeader) -> str:
    return f"block {header.slot} names block {header.parent_slot} as its parent, which no node has"


def verifiable(slot: int, body: bytes, endpoint: str, relevant: Relevance) -> Fetched | Parked:
    """Turn a getBlock result into a block that can be proven, or say why it cannot.

    Every transaction must be verifiable, whether it matters or not; failed ones never matter.
    """
    return at_once(verifying(slot, body, endpoint, relevant))


def verifying(slot: int, body: bytes, endpoint: str, relevant: Relevance) -> Work[Fetched | Parked]:
    """As ``verifiable``, a transaction a step."""
    try:
        block = parse_block(body) if relevant(body) else parse_heads(body)
        if block is None:
            return Parked(slot, f"{endpoint} answered null for a block that it listed")
        if block.transactions is None:
            return Parked(slot, f"{endpoint} answered without transactions")
        if not is_plain(block.blockhash, block.previous_blockhash):
            return Parked(slot, f"{endpoint} answered with a blockhash that is not base 58")
        kept = []
        for index, (verdict, raw) in enumerate(_judged(block)):
            if verdict.problem:
                return Parked(slot, f"transaction {index} cannot be verified at {endpoint}: {verdict.problem}")
            if not verdict.failed and relevant(raw):
                kept.append((index, raw))
            yield
        return Fetched(_header(slot, block), endpoint, kept)
    except UNREADABLE as bad:
        return Parked(slot, f"{endpoint} answered with no block: {bad}")


def _judged(block: Block | Heads) -> Iterator[tuple[Verdict, bytes]]:
    """Whether each transaction can be verified, and its bytes (none, where the block cannot matter).

    One at a time: copied, searched and, mostly, dropped before the next.
    """
    if isinstance(block, Heads):
        for head in block.transactions or ():
            yield judge(head), b""
        return
    for transaction in block.transactions or ():
        raw = bytes(transaction)
        yield judge_bytes(raw), raw


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

    def relevant(body: bytes) -> bool:
        return any(needle in body for needle in needles)

    return relevant


class _Prefetch:
    """Blocks fetched ahead of their turn: more at a time as long as all goes well, half as many when a node
    asks for patience, never more than ``in_flight_max``.
    """

    def __init__(self, source: BlockSource, relevant: Relevance, in_flight_max: int) -> None:
        self._source = source
        self._relevant = relevant
        self._in_flight_max = in_flight_max
        self._width = min(_WIDTH_FIRST, in_flight_max)
        self._throttled = source.throttled
        self._tasks: dict[int, asyncio.Task[Fetched | Parked]] = {}

    async def get(self, slots: Sequence[int]) -> Fetched | Parked:
        """Return the block of the first of ``slots``, fetching those after it meanwhile.

        It is kept until ``done``: a missing parent brings us back to the same block.
        """
        self._adapt()
        for slot in slots[: self._width]:
            if slot not in self._tasks:
                self._tasks[slot] = asyncio.create_task(self._source.fetch(slot, self._relevant))
        return await self._tasks[slots[0]]

    def _adapt(self) -> None:
        throttled = self._source.throttled
        if throttled > self._throttled:
            self._throttled, self._width = throttled, max(1, self._width // 2)
        elif self._width < self._in_flight_max:
            self._width += 1

    def replace(self, slot: int, found: Fetched | Parked) -> None:
        """Put another answer in the place of a block's."""

        async def same() -> Fetched | Parked:
            return found

        self._tasks[slot] = asyncio.create_task(same())

    def done(self, slot: int) -> None:
        """Forget a block that was linked."""
        del self._tasks[slot]

    async def close(self) -> None:
        """Cancel what is still under way."""
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        self._tasks.clear()
