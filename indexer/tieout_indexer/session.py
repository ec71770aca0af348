"""A node, a ledger and the pipeline between them, opened together and checked to be of one chain."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from tieout_indexer.limits import IndexerLimits
from tieout_indexer.mint_state import epoch_function
from tieout_indexer.pipeline import Pipeline
from tieout_indexer.source import BlockSource
from tieout_indexer.writer import LedgerWriter
from tieout_rpc import RpcClient, RpcLimits


@dataclass(frozen=True, slots=True)
class Session:
    """What the indexer's ways of working share."""

    rpc: RpcClient
    source: BlockSource
    writer: LedgerWriter
    pipeline: Pipeline


@asynccontextmanager
async def open_session(
    urls: Sequence[str], dsn: str, limits: IndexerLimits, rpc_limits: RpcLimits, *, beside: bool = False
) -> AsyncIterator[Session]:
    """Open node and ledger. ``beside`` a running indexer: for corrections. Raises AnotherChain, WriterBusy."""
    async with RpcClient(urls, rpc_limits) as rpc:
        source = BlockSource(rpc, limits)
        genesis_hash = await source.genesis_hash()
        schedule = await source.epoch_schedule()
        async with await LedgerWriter.open(dsn, limits, beside=beside) as writer:
            epoch_of = epoch_function(await writer.bind_cluster(genesis_hash, schedule))
            yield Session(rpc, source, writer, Pipeline(source, writer, epoch_of, limits))
