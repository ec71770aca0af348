"""Confirmed blocks beyond the frontier, as provisional rows: quick to come, replaced as the chain moves.

They are no ledger rows: never proven by finality, never summed, gone when their block is final
or has lost.
"""

from tieout_indexer.chain import Segment
from tieout_indexer.decode import Scope
from tieout_indexer.limits import IndexerLimits
from tieout_indexer.model import DecodedBlock
from tieout_indexer.pipeline import Pipeline, decode_block
from tieout_indexer.rows import COLUMNS, RowSet, add_result, for_copy
from tieout_indexer.source import BlockSource, Fetched, naming
from tieout_indexer.writer import LedgerWriter
from tieout_rpc import RpcError


class Provisional:
    """Keeps ``ledger.provisional_events`` at the node's newest confirmed word."""

    def __init__(self, source: BlockSource, writer: LedgerWriter, pipeline: Pipeline, limits: IndexerLimits) -> None:
        self._source = source
        self._writer = writer
        self._pipeline = pipeline
        self._limits = limits
        self._fetched: dict[int, Fetched] = {}
        self._shown: list[tuple[int, str]] = []

    async def refresh(self, mints: list[str], frontier: int) -> None:
        """Bring the provisional rows up to date; a node that cannot say leaves them as they are."""
        try:
            slots = await self._source.confirmed_slots(frontier, self._limits.provisional_slots_max)
            blocks = [block for slot in slots if (block := await self._block(slot, mints)) is not None]
        except RpcError:
            return
        self._fetched = {slot: block for slot, block in self._fetched.items() if slot > frontier}
        shown = [(block.header.slot, block.header.blockhash) for block in blocks]
        if shown == self._shown:
            return
        await self._show(mints, frontier, blocks)
        self._shown = shown

    async def _block(self, slot: int, mints: list[str]) -> Fetched | None:
        if slot not in self._fetched:
            found = await self._source.fetch(slot, naming(mints), "confirmed")
            if isinstance(found, Fetched):
                self._fetched[slot] = found
        return self._fetched.get(slot)

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
                records += [(*row, found.header.blockhash) for row in for_copy("event_row", rows["event_row"], 0)]
        await self._writer.replace_provisional((*COLUMNS["event_row"], "batch", "blockhash"), records)
