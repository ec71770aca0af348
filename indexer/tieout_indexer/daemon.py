"""Backfill a range, or follow the chain: the indexer's two ways of working.

One TaskGroup owns the tasks of following: the loop itself, and a listener whose notifications
only wake it up. Polling goes on without them.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from tieout_idl import base58
from tieout_idl.programs import NATIVE_MINTS, TOKEN_PROGRAMS
from tieout_indexer.errors import NotAMint
from tieout_indexer.limits import IndexerLimits
from tieout_indexer.mint_state import epoch_function
from tieout_indexer.pipeline import Pipeline, SegmentOutcome
from tieout_indexer.provisional import Provisional
from tieout_indexer.source import BlockSource, Parked
from tieout_indexer.writer import LedgerWriter
from tieout_rpc import (
    MalformedAnswer,
    NodeRefused,
    NodeUnreachable,
    RpcClient,
    RpcError,
    RpcLimits,
    subscribe,
    websocket_url,
)

Say = Callable[[str], None]
Progress = Callable[[SegmentOutcome], None]


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


@dataclass(frozen=True, slots=True)
class _Session:
    rpc: RpcClient
    source: BlockSource
    writer: LedgerWriter
    pipeline: Pipeline


def check_mint_address(mint: str) -> str:
    """Return the address, or raise ValueError saying what is wrong with it."""
    base58.public_key(mint)
    if mint in NATIVE_MINTS:
        raise ValueError(f"{mint} is wrapped SOL: its balances move with lamports, which tieout does not prove")
    return mint


@asynccontextmanager
async def _session(
    urls: Sequence[str], dsn: str, limits: IndexerLimits, rpc_limits: RpcLimits
) -> AsyncIterator[_Session]:
    async with RpcClient(urls, rpc_limits) as rpc:
        source = BlockSource(rpc, limits)
        genesis_hash = await source.genesis_hash()
        schedule = await source.epoch_schedule()
        async with await LedgerWriter.open(dsn, limits) as writer:
            epoch_of = epoch_function(await writer.bind_cluster(genesis_hash, schedule))
            yield _Session(rpc, source, writer, Pipeline(source, writer, epoch_of, limits))


async def _check_mints(rpc: RpcClient, mints: Sequence[str], known: Sequence[str]) -> None:
    """Refuse addresses that are no mint now; what the ledger tracks already needs no question."""
    for mint in mints:
        if mint in known:
            continue
        try:
            answer: Any = await rpc.call("getAccountInfo", [mint, {"encoding": "base64", "commitment": "finalized"}])
        except (NodeRefused, MalformedAnswer):
            continue  # a node that serves blocks only cannot say
        if not isinstance(answer, dict) or "value" not in answer:
            continue
        account = answer["value"]
        if account is None:
            raise NotAMint(
                f"there is no account {mint} on this chain: check the mint's address, and the node's cluster"
            )
        if account.get("owner") not in TOKEN_PROGRAMS:
            raise NotAMint(f"{mint} is no mint: its account belongs to the program {account.get('owner')}")


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
    async with _session(urls, dsn, limits, rpc_limits or RpcLimits()) as session:
        await _check_mints(session.rpc, mints, list(await session.writer.tracked()))
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


async def follow(
    urls: Sequence[str],
    dsn: str,
    mints: Sequence[str],
    stop: asyncio.Event,
    *,
    from_slot: int | None = None,
    say: Say = lambda _: None,
    progress: Progress = lambda _: None,
    limits: IndexerLimits | None = None,
    rpc_limits: RpcLimits | None = None,
) -> None:
    """Follow the finalized chain until ``stop``; the segment in hand is finished first.

    Mints tracked already go on where they stand; a new one starts at ``from_slot``, or at the
    finalized tip. Confirmed blocks beyond the frontier are shown as provisional rows.
    """
    limits = limits or IndexerLimits()
    new = [check_mint_address(mint) for mint in dict.fromkeys(mints)]
    async with _session(urls, dsn, limits, rpc_limits or RpcLimits()) as session:
        tracked = await session.writer.tracked()
        await _check_mints(session.rpc, new, list(tracked))
        all_mints = sorted({*tracked, *new})
        if not all_mints:
            raise NotAMint("no mint is tracked yet: name one with --mint")
        say(f"following {', '.join(all_mints)}; SIGTERM ends it")
        start = from_slot if from_slot is not None else await session.source.finalized_slot()
        wake = asyncio.Event()
        loop = _Follower(session, all_mints, start, limits, say, progress)
        async with asyncio.TaskGroup() as tasks:
            listener = tasks.create_task(_listen(websocket_url(urls[0]), wake))
            stopper = tasks.create_task(_wake_on(stop, wake))
            await loop.run(stop, wake)
            listener.cancel()
            stopper.cancel()


async def _listen(url: str, wake: asyncio.Event) -> None:
    async for _ in subscribe(url, "rootSubscribe"):
        wake.set()


async def _wake_on(stop: asyncio.Event, wake: asyncio.Event) -> None:
    await stop.wait()
    wake.set()


class _Follower:
    """The following loop and what it remembers between rounds."""

    def __init__(
        self, session: _Session, mints: list[str], start: int, limits: IndexerLimits, say: Say, progress: Progress
    ) -> None:
        self._session = session
        self._mints = mints
        self._start = start
        self._limits = limits
        self._say = say
        self._progress = progress
        self._provisional = Provisional(session.source, session.writer, session.pipeline, limits)
        self._parked: Parked | None = None
        self._outage = False

    async def run(self, stop: asyncio.Event, wake: asyncio.Event) -> None:
        while not stop.is_set():
            wake.clear()
            try:
                moved = await self._round()
                self._tell_outage(None)
            except (NodeUnreachable, MalformedAnswer) as down:
                # A daemon outlives its nodes; what was committed stays, the rest comes when one answers.
                moved = False
                self._tell_outage(down)
            if moved:
                continue
            in_doubt = self._parked or self._outage
            wait_s = self._limits.parked_retry_interval_s if in_doubt else self._limits.poll_interval_s
            try:
                await asyncio.wait_for(wake.wait(), wait_s)
            except TimeoutError:
                continue

    async def _round(self) -> bool:
        """Read the next window of finalized slots; whether there may be more at once."""
        frontier = await self._frontier()
        tip = await self._session.source.finalized_slot()
        to_slot = min(frontier + self._limits.window_slots_max, tip)
        listed = await self._session.source.listed_slots(frontier + 1, to_slot) if to_slot > frontier else []
        if listed:
            parked = await self._session.pipeline.index(
                self._mints, frontier + 1, listed[-1], self._progress, self._start
            )
            self._tell(parked)
            frontier = await self._frontier()
        behind = tip - frontier
        if behind < self._limits.provisional_slots_max:
            await self._provisional.refresh(self._mints, frontier)
        return bool(listed) and self._parked is None and behind > self._limits.window_slots_max

    def _tell_outage(self, down: RpcError | None) -> None:
        if down and not self._outage:
            self._say(f"no node answers, waiting: {down}")
        if self._outage and down is None:
            self._say("a node answers again")
        self._outage = down is not None

    def _tell(self, parked: Parked | None) -> None:
        if parked and parked != self._parked:
            self._say(f"slot {parked.slot} is parked: {parked.reason}")
        if self._parked and parked is None:
            self._say(f"slot {self._parked.slot} is no longer parked")
        self._parked = parked

    async def _frontier(self) -> int:
        """The slot before the first one that some mint still lacks."""
        ranges = await self._session.writer.read_ranges(self._mints)
        return min((r[-1][1] if r else self._start - 1) for r in ranges.values())
