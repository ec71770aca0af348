"""Backfill a range: read, prove and commit what each mint lacks of it, resuming what an earlier run left."""

import asyncio
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from tieout_idl import base58
from tieout_idl.programs import NATIVE_MINTS, TOKEN_PROGRAMS
from tieout_indexer.errors import NotAMint
from tieout_indexer.limits import IndexerLimits
from tieout_indexer.pipeline import SegmentOutcome
from tieout_indexer.session import open_session
from tieout_indexer.source import BlockSource, Parked
from tieout_rpc import MalformedAnswer, NodeRefused, RpcClient, RpcLimits

Say = Callable[..., None]
"""Called with a sentence for a person, and with the values in it by name for a program."""
Progress = Callable[[SegmentOutcome], None]
_ACCOUNTS_MAX = 100
"""a node answers for no more of them at once"""


@dataclass(frozen=True, slots=True)
class BackfillResult:
    """What a backfill achieved: ``unproven`` maps a mint to the ranges not proven, ``parked`` stopped it."""

    from_slot: int
    to_slot: int
    mints: tuple[str, ...]
    events: int
    parked: Parked | None
    unproven: dict[str, list[tuple[int, int]]]
    quarantined: tuple[tuple[int, str, str, str], ...]
    """(slot, signature, mint, reason)"""

    @property
    def complete(self) -> bool:
        """Whether the whole range is committed and proven for every mint."""
        return self.parked is None and not self.unproven


def check_mint_address(mint: str) -> str:
    """Return the address, or raise ValueError saying what is wrong with it."""
    base58.public_key(mint)
    if mint in NATIVE_MINTS:
        raise ValueError(f"{mint} is wrapped SOL: its balances move with lamports, which tieout does not prove")
    return mint


async def check_mints(rpc: RpcClient, mints: Sequence[str], known: Collection[str]) -> None:
    """Refuse addresses that are no mint now; what the ledger tracks already needs no question."""
    new = [mint for mint in mints if mint not in known]
    for start in range(0, len(new), _ACCOUNTS_MAX):
        asked = new[start : start + _ACCOUNTS_MAX]
        for mint, account in zip(asked, await _accounts(rpc, asked), strict=False):
            if account is None:
                if await _was_named(rpc, mint):
                    continue  # a mint that was closed: its history stays
                raise NotAMint(
                    f"there is no account {mint} on this chain: check the mint's address, and the node's cluster"
                )
            if account.get("owner") not in TOKEN_PROGRAMS:
                raise NotAMint(f"{mint} is no mint: its account belongs to the program {account.get('owner')}")


class _Accounts(msgspec.Struct, frozen=True):
    value: list[dict[str, Any] | None]


async def _accounts(rpc: RpcClient, addresses: Sequence[str]) -> list[dict[str, Any] | None]:
    """The accounts without their data, None where there is none; nothing from a node that cannot say."""
    config = {"encoding": "base64", "dataSlice": {"offset": 0, "length": 0}, "commitment": "finalized"}
    try:
        answer: _Accounts = await rpc.call("getMultipleAccounts", [addresses, config], _Accounts)
    except (NodeRefused, MalformedAnswer):
        return []  # it serves blocks only
    return answer.value if len(answer.value) == len(addresses) else []


async def _was_named(rpc: RpcClient, address: str) -> bool:
    """Whether some final transaction names the address, as far as the node remembers."""
    config = {"limit": 1, "commitment": "finalized"}
    try:
        return bool(await rpc.call("getSignaturesForAddress", [address, config], list[Any]))
    except (NodeRefused, MalformedAnswer):
        return False


async def backfill(
    urls: Sequence[str],
    dsn: str,
    mints: Sequence[str],
    from_slot: int,
    to_slot: int,
    *,
    say: Say = lambda _: None,
    progress: Progress = lambda _: None,
    limits: IndexerLimits | None = None,
    rpc_limits: RpcLimits | None = None,
) -> BackfillResult:
    """Read, prove and commit a range for each mint, resuming what an earlier run left.

    Raises IndexerError, RpcError, DatabaseError; findings come back in the result.
    """
    limits = limits or IndexerLimits()
    mints = [check_mint_address(mint) for mint in dict.fromkeys(mints)]
    async with open_session(urls, dsn, limits, rpc_limits or RpcLimits()) as session:
        await check_mints(session.rpc, mints, await session.writer.tracked())
        await _wait_for_tip(session.source, to_slot, limits, say)
        events = 0

        def count(outcome: SegmentOutcome) -> None:
            nonlocal events
            events += outcome.events
            progress(outcome)

        parked = await session.pipeline.index(mints, from_slot, to_slot, count)
        unproven = await session.pipeline.unproven(mints, from_slot, to_slot)
        doubts = await session.writer.open_quarantine(mints, to_slot)
        quarantined = tuple((r["slot"], r["signature"], r["mint"], r["reason"]) for r in doubts)
        return BackfillResult(from_slot, to_slot, tuple(mints), events, parked, unproven, quarantined)


async def _wait_for_tip(source: BlockSource, to_slot: int, limits: IndexerLimits, say: Say) -> None:
    said = False
    while (tip := await source.finalized_slot()) < to_slot:
        if not said:
            say(f"slot {to_slot} is not finalized yet (the finalized tip is {tip}): waiting")
            said = True
        await asyncio.sleep(limits.poll_interval_s)
