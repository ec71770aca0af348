"""Adding a mint to the ledger's list: a running daemon takes it up, and reads it up beside the others."""

from collections.abc import Sequence

from tieout_indexer.backfilling import check_mint_address, check_mints
from tieout_indexer.limits import IndexerLimits
from tieout_indexer.rows import RowSet
from tieout_indexer.session import open_session
from tieout_rpc import RpcLimits


async def track(
    urls: Sequence[str],
    dsn: str,
    mints: Sequence[str],
    from_slot: int | None = None,
    *,
    limits: IndexerLimits | None = None,
    rpc_limits: RpcLimits | None = None,
) -> dict[str, int]:
    """List mints from a slot on, or from the finalized tip, beside a running indexer.

    Returns mint → slot of those that are new. Raises NotAMint, RpcError, DatabaseError.
    """
    wanted = [check_mint_address(mint) for mint in dict.fromkeys(mints)]
    async with open_session(urls, dsn, limits or IndexerLimits(), rpc_limits or RpcLimits(), beside=True) as session:
        tracked = await session.writer.tracked()
        new = [mint for mint in wanted if mint not in tracked]
        await check_mints(session.rpc, new, tracked)
        start = from_slot if from_slot is not None else await session.source.finalized_slot() + 1
        rows = RowSet()
        rows["tracked_row"].extend((mint, start) for mint in new)
        await session.writer.commit(rows)
        return dict.fromkeys(new, start)
