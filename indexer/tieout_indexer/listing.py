"""Transactions as getSignaturesForAddress lists them: newest first, a page of a thousand at a time.

Also the cheap way to read a mint, for who has no access to blocks. Each transaction is proven by itself, as in block
mode; that none is missing is only the node's word, and what does not name the mint (a revoke, an owner change, a
closing, an unchecked transfer) is not listed at all. So what is read this way is never coverage.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any

import msgspec

from tieout_indexer import mint_state
from tieout_indexer.backfilling import check_mint_address, check_mints
from tieout_indexer.chain import missing
from tieout_indexer.decode import Scope, decode_transaction
from tieout_indexer.errors import IndexerError
from tieout_indexer.limits import IndexerLimits
from tieout_indexer.model import SNAPSHOT_INDEX
from tieout_indexer.rows import RowSet, add_result, evidence_row
from tieout_indexer.session import Session, open_session
from tieout_indexer.source import TRANSACTION_VERSION_MAX
from tieout_indexer.wire import UNREADABLE, UnixSeconds
from tieout_rpc import MalformedAnswer, RpcClient, RpcLimits

_PAGE = 1_000
_COMMITTED_AT_ONCE = 2_000


class _Entry(msgspec.Struct):
    signature: str
    slot: Annotated[int, msgspec.Meta(ge=0)]
    err: Any = None


@dataclass(frozen=True, slots=True)
class Listed:
    """One transaction that names an address."""

    signature: str
    slot: int
    failed: bool


async def list_signatures(
    rpc: RpcClient, address: str, *, from_slot: int = 0, to_slot: int | None = None, count_max: int = _PAGE
) -> list[Listed]:
    """The finalized transactions that name an address down to a slot, newest first, at most ``count_max``.

    Raises RpcError. A list is a node's word: complete it is only as far as that node's history goes.
    """
    found: list[Listed] = []
    before: str | None = None
    while len(found) < count_max:
        config: dict[str, Any] = {"limit": min(_PAGE, count_max), "commitment": "finalized"}
        if before is not None:
            config["before"] = before
        page: Sequence[_Entry] = await rpc.call("getSignaturesForAddress", [address, config], list[_Entry])
        found += [
            Listed(e.signature, e.slot, e.err is not None)
            for e in page
            if e.slot >= from_slot and (to_slot is None or e.slot <= to_slot)
        ]
        if len(page) < config["limit"] or page[-1].slot < from_slot:
            break
        before = page[-1].signature
    return found[:count_max]


async def fetch_transaction(rpc: RpcClient, signature: str) -> tuple[bytes, str] | None:
    """A finalized transaction's exact bytes and who gave them; None where the node does not have it."""
    config = {
        "encoding": "json",
        "commitment": "finalized",
        "maxSupportedTransactionVersion": TRANSACTION_VERSION_MAX,
    }
    body, endpoint = await rpc.call_raw("getTransaction", [signature, config])
    return None if body.strip() == b"null" else (body, endpoint)


async def moves_of(rpc: RpcClient, entry: Listed, mint: str) -> str | None:
    """What a listed transaction does to a mint, in words, empty when nothing; None where no node has it."""
    fetched = await fetch_transaction(rpc, entry.signature)
    if fetched is None:
        return None
    try:
        scope = Scope(frozenset({mint}), {}, lambda _: 0, IndexerLimits())
        result = decode_transaction(scope, entry.slot, 0, fetched[0])
    except UNREADABLE as bad:
        raise MalformedAnswer(f"{fetched[1]} answered getTransaction in an unexpected form: {bad}") from bad
    if result is None:
        return ""
    kinds = [*(e.kind for e in result.events), *(c.kind for c in result.controls), *(d.reason for d in result.doubts)]
    return ", ".join(dict.fromkeys(kinds))


class _Placed(msgspec.Struct, rename="camel"):
    slot: Annotated[int, msgspec.Meta(ge=0)]
    block_time: UnixSeconds | None = None
    transaction_index: Annotated[int, msgspec.Meta(ge=0, lt=SNAPSHOT_INDEX)] | None = None


@dataclass(frozen=True, slots=True)
class ListingResult:
    """What was read by signatures: transactions listed, those that moved or changed something, events written."""

    mint: str
    from_slot: int
    to_slot: int
    listed: int
    transactions: int
    events: int
    unread: tuple[str, ...]
    """signatures that were listed and that no node has: from the first of them on nothing is claimed"""
    cut_at: int | None = None
    """Up to this slot the node listed more than ``audit_signatures_max`` goes back to: none of it was read."""


async def read_listed(
    urls: Sequence[str],
    dsn: str,
    mint: str,
    from_slot: int,
    to_slot: int,
    *,
    limits: IndexerLimits | None = None,
    rpc_limits: RpcLimits | None = None,
) -> ListingResult:
    """Read a mint through its signatures, beside a running indexer; slots that were read by blocks are left alone.

    Raises NotAMint, IndexerError where the node does not say where in its block a transaction stands, RpcError.
    """
    limits = limits or IndexerLimits()
    check_mint_address(mint)
    async with open_session(urls, dsn, limits, rpc_limits or RpcLimits(), beside=True) as session:
        tracked = await session.writer.tracked()
        await check_mints(session.rpc, [mint], tracked)
        tip = await session.source.finalized_slot()
        done = (await session.writer.read_ranges([mint]))[mint] + await session.writer.listed_ranges(mint)
        totals, unread = Counter[str](), list[str]()
        cut: int | None = None
        for begin, last in missing((from_slot, min(to_slot, tip)), done):
            first = begin
            entries = await list_signatures(
                session.rpc, mint, from_slot=first, to_slot=last, count_max=limits.audit_signatures_max
            )
            if len(entries) == limits.audit_signatures_max:
                # the list was cut, within this slot or right below it
                cut = entries[-1].slot
                entries, first = [entry for entry in entries if entry.slot > cut], cut + 1
            for start, end, part in _parts(entries[::-1], first, last):
                rows = RowSet()
                if mint not in tracked:
                    rows["tracked_row"].append((mint, start))
                    tracked[mint] = start
                totals += await _read_part(session, mint, part, (start, end), rows, unread, limits)
                if not unread:
                    rows["listed_row"].append((mint, start, end))
                await session.writer.commit(rows)
        counts = (totals["listed"], totals["transactions"], totals["events"])
        return ListingResult(mint, from_slot, min(to_slot, tip), *counts, tuple(unread), cut)


def _parts(entries: Sequence[Listed], first: int, last: int) -> Iterator[tuple[int, int, Sequence[Listed]]]:
    """Yield a range in parts of about _COMMITTED_AT_ONCE transactions each: first slot, last slot, its entries."""
    begin = 0
    while first <= last:
        end = begin + _COMMITTED_AT_ONCE
        while end < len(entries) and entries[end].slot == entries[end - 1].slot:
            end += 1
        until = entries[end].slot - 1 if end < len(entries) else last
        yield first, until, entries[begin:end]
        begin, first = end, until + 1


async def _read_part(
    session: Session,
    mint: str,
    entries: Sequence[Listed],
    slots: tuple[int, int],
    rows: RowSet,
    unread: list[str],
    limits: IndexerLimits,
) -> Counter[str]:
    first, last = slots
    epoch_of = session.pipeline.epoch_of
    controls = (await session.writer.mint_controls([mint], first))[mint]
    scope = Scope(frozenset({mint}), {mint: mint_state.fold(controls, epoch_of)}, epoch_of, limits)
    known = await session.writer.evidence_known(first, last)
    counted = Counter(listed=len(entries))
    found = []
    for entry in entries:
        if not entry.failed:
            fetched = await fetch_transaction(session.rpc, entry.signature)
            if fetched is None:
                unread.append(entry.signature)
            else:
                found.append((_place(entry, *fetched), *fetched))
    for place, body, endpoint in sorted(found, key=lambda f: (f[0].slot, f[0].transaction_index)):
        index = place.transaction_index
        assert index is not None, "checked when it was fetched"
        try:
            result = decode_transaction(scope, place.slot, index, body)
        except UNREADABLE as bad:
            raise MalformedAnswer(f"{endpoint} answered getTransaction in an unexpected form: {bad}") from bad
        if result is not None:
            when = None if place.block_time is None else datetime.fromtimestamp(place.block_time, UTC)
            add_result(rows, place.slot, when, result)
            if (place.slot, index) not in known:
                rows["evidence_row"].append(evidence_row(place.slot, index, "json", endpoint, body))
            counted.update(transactions=1, events=len(result.events))
    return counted


def _place(entry: Listed, body: bytes, endpoint: str) -> _Placed:
    try:
        place = msgspec.json.decode(body, type=_Placed)
    except UNREADABLE as bad:
        raise MalformedAnswer(f"{endpoint} answered getTransaction in an unexpected form: {bad}") from bad
    if place.transaction_index is None:
        raise IndexerError(
            f"{endpoint} does not say where in its block the transaction {entry.signature} stands (transactionIndex, "
            "since agave 4): use a newer node, or read blocks"
        )
    return place
