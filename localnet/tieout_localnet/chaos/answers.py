"""Lies about blocks and transactions, told on the way out. Pure: an answer in, another answer out."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

from tieout_localnet.chaos.book import Book
from tieout_localnet.errors import (
    RpcError,
    block_cleaned_up,
    block_not_available,
    block_status_not_available,
    node_unhealthy,
    slot_skipped,
)

Truth: TypeAlias = Callable[[list[object]], object]
"""Gives the chain's answer to parameters."""

BY_SLOT: Final = ("getBlock", "getBlockTime")
LISTS: Final = ("getBlocks", "getBlocksWithLimit")
WITH_META: Final = ("getBlock", "getTransaction")
FIRST: Final = ("getFirstAvailableBlock", "minimumLedgerSlot")

REFUSALS: Final[dict[str, Callable[[int], RpcError]]] = {
    "not_available": block_not_available,
    "skipped": slot_skipped,
    "status_unavailable": block_status_not_available,
}


@dataclass(frozen=True, slots=True)
class Moment:
    """Where the chain stands when a request comes."""

    open_slot: int
    root: int


def answer(book: Book, at: Moment, method: str, params: list[object], truth: Truth) -> object:
    """What a client is told; `truth` gives the answer of the chain. Raises RpcError as that does."""
    if book.on_request(("unhealthy",), method, at.open_slot) is not None:
        raise node_unhealthy()
    first = _first_available(book, at, method)
    slot = params[0] if params and isinstance(params[0], int) and not isinstance(params[0], bool) else None
    if method in BY_SLOT and slot is not None:
        if first is not None and slot < first:
            raise block_cleaned_up(slot, first)
        rule = book.about_slot(REFUSALS, method, slot)
        if rule is not None:
            raise REFUSALS[rule.kind](slot)
    if method in LISTS and first is not None and slot is not None:
        params = [max(slot, first), *params[1:]]
    told = truth(params)
    if first is not None:
        told = _pruned(method, told, first)
    return _thinned(book, method, slot, told)


def _first_available(book: Book, at: Moment, method: str) -> int | None:
    rule = book.of_kind("pruned", method)
    return None if rule is None else max(at.root - rule.keep, 0)


def _pruned(method: str, told: object, first: int) -> object:
    if method in FIRST:
        return first
    if method == "getTransaction" and isinstance(told, dict) and told["slot"] < first:
        return None
    if method == "getSignaturesForAddress" and isinstance(told, list):
        return [row for row in told if row["slot"] >= first]
    return told


def _thinned(book: Book, method: str, slot: int | None, told: object) -> object:
    """Nulls in place of the block, of every meta, or of the inner instructions."""
    if method not in WITH_META or not isinstance(told, dict):
        return told
    about = slot if slot is not None else int(told.get("slot", 0))
    if book.about_slot(("null_block",), method, about) is not None:
        return None
    if book.about_slot(("meta_null",), method, about) is not None:
        return _each(told, lambda item: {**item, "meta": None})
    if book.about_slot(("inner_null",), method, about) is not None:
        return _each(told, _without_inner)
    return told


def _each(told: dict[str, object], change: Callable[[dict[str, object]], object]) -> dict[str, object]:
    items = told.get("transactions")
    if isinstance(items, list):
        return {**told, "transactions": [change(item) for item in items]}
    changed = change(told) if "meta" in told else told
    return changed if isinstance(changed, dict) else told


def _without_inner(item: dict[str, object]) -> dict[str, object]:
    meta = item.get("meta")
    if not isinstance(meta, dict) or "innerInstructions" not in meta:
        return item
    return {**item, "meta": {**meta, "innerInstructions": None}}
