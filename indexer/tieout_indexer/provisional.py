"""Confirmed blocks beyond the frontier, as provisional rows: quick to come, replaced as the chain moves.

They are no ledger rows: never proven by finality, never summed, gone when their block is final
or has lost. A block is known by its hash, never by its slot alone: the same slot may be given to
another block, so what is kept is checked against the newest block's links back to it.
"""

import time
from collections.abc import Callable

from tieout_database.content import COLUMNS
from tieout_indexer.chain import Segment
from tieout_indexer.decode import Scope
from tieout_indexer.limits import IndexerLimits
from tieout_indexer.model import BlockHeader, DecodedBlock
from tieout_indexer.pipeline import Pipeline, decode_block
from tieout_indexer.rows import RowSet, add_result, for_copy
from tieout_indexer.source import BlockSource, Fetched, Parked, Relevance, naming
from tieout_indexer.writer import LedgerWriter
from tieout_rpc import RpcError

_GIVES_WAY_S = 0.5
_TIPS_TRIED_MAX = 4
"""A block just confirmed may not be readable for a moment; the one before it is."""


def _NEVER() -> bool:  # noqa: N802  a constant of the kind
    return False


class Provisional:
    """Keeps ``ledger.provisional_events`` at the node's newest confirmed word."""

    def __init__(self, source: BlockSource, writer: LedgerWriter, pipeline: Pipeline, limits: IndexerLimits) -> None:
        self._source = source
        self._writer = writer
        self._pipeline = pipeline
        self._limits = limits
        self._fetched: dict[int, Fetched] = {}
        self._shown: list[tuple[int, str]] = []
        self._done_at_s: float | None = None

    async def refresh(self, mints: list[str], frontier: int, hurry: Callable[[], bool] = lambda: False) -> None:
        """Bring the provisional rows up to date; a node that cannot say leaves them as they are.

        ``hurry``: final blocks wait; then this gives way, though not for longer than a moment on end.
        """
        now = time.monotonic()
        if self._done_at_s is not None and now - self._done_at_s > _GIVES_WAY_S:
            hurry = _NEVER
        try:
            slots = await self._source.confirmed_slots(frontier, self._limits.provisional_slots_max)
            blocks = await self._branch(slots, naming(mints), hurry)
        except RpcError:
            return
        if blocks is None:
            return
        self._done_at_s = now
        self._fetched = {block.header.slot: block for block in blocks}
        shown = [(block.header.slot, block.header.blockhash) for block in blocks]
        if shown == self._shown:
            return
        await self._show(mints, frontier, blocks)
        self._shown = shown

    async def _branch(self, slots: list[int], relevant: Relevance, hurry: Callable[[], bool]) -> list[Fetched] | None:
        """The confirmed blocks that lead to the newest one, oldest first; None while the node changes its mind."""
        tip = await self._tip(slots)
        if tip is None:
            return []
        blocks: list[Fetched] = []
        slot, blockhash, listed = tip.slot, tip.blockhash, set(slots)
        while slot in listed:
            if hurry():
                return None
            block = self._fetched.get(slot)
            if block is None or block.header.blockhash != blockhash:
                found = await self._source.fetch(slot, relevant, "confirmed")
                if isinstance(found, Parked) or found.header.blockhash != blockhash:
                    return None
                block = found
            blocks.append(block)
            if block.header.parent_slot >= slot:
                return None
            slot, blockhash = block.header.parent_slot, block.header.previous_blockhash
        return blocks[::-1]

    async def _tip(self, slots: list[int]) -> BlockHeader | None:
        """The newest of the listed blocks that the node can show; its hash decides about all before it."""
        for slot in sorted(slots, reverse=True)[:_TIPS_TRIED_MAX]:
            header = await self._source.header(slot, "confirmed")
            if header is not None:
                return header
        return None

    async def _show(self, mints: list[str], frontier: int, blocks: list[Fetched]) -> None:
        context = await self._pipeline.context(Segment(frontier + 1, frontier + 1, frozenset(mints)))
        scope = Scope(frozenset(mints), context.states, self._pipeline.epoch_of, self._limits)
        records = []
        for found in blocks:
            decoded = decode_block(scope, found)
            if isinstance(decoded, DecodedBlock):
                rows = RowSet()
                for result in decoded.results:
                    add_result(rows, found.header.slot, found.header.block_time, result)
                records += [(*row, found.header.blockhash) for row in for_copy(rows["event_row"], 0)]
        await self._writer.replace_provisional((*COLUMNS["event_row"], "batch", "blockhash"), records)
