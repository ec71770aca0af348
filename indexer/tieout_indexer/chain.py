"""Is each block linked to the last one? A pure rule: no I/O, no clock.

A slot is skipped only by proof: the next finalized block names, by parentSlot **and**
previousBlockhash, the last block before the hole. An error code or a hole in getBlocks proves
nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from tieout_indexer.model import BlockHeader


@dataclass(frozen=True, slots=True)
class Anchor:
    """The last accepted block: what the next one must name as its parent."""

    slot: int
    blockhash: str


@dataclass(frozen=True, slots=True)
class MissingParent:
    """A block names a parent that the node did not list: fetch it before judging."""

    parent_slot: int


@dataclass(frozen=True, slots=True)
class Unlinked:
    """A block that does not follow from the last accepted one; its slot is parked."""

    slot: int
    reason: str


def link(previous: Anchor | None, floor_slot: int, block: BlockHeader) -> MissingParent | Unlinked | None:
    """Judge whether ``block`` follows ``previous``; None: it is linked, and the slots between are skipped.

    ``floor_slot`` is the first slot of the range being read: without an accepted block, the first
    one read must reach back before it, else a block inside the range is missing.
    """
    if block.slot == block.parent_slot == 0:
        return None  # the genesis block has no other parent to name
    if block.parent_slot >= block.slot:
        return Unlinked(block.slot, f"block {block.slot} names a parent, {block.parent_slot}, that is not before it")
    if previous is None:
        return MissingParent(block.parent_slot) if block.parent_slot >= floor_slot else None
    if block.parent_slot > previous.slot:
        if block.parent_slot >= floor_slot:
            return MissingParent(block.parent_slot)
        return None
    if block.parent_slot < previous.slot:
        return Unlinked(
            block.slot,
            f"block {block.slot} names slot {block.parent_slot} as its parent, "
            f"but the ledger has block {previous.slot} between them",
        )
    if block.previous_blockhash != previous.blockhash:
        return Unlinked(
            block.slot,
            f"block {block.slot} names {block.previous_blockhash} as the hash of block {previous.slot}, "
            f"which is {previous.blockhash}",
        )
    return None


def merge(ranges: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Merge inclusive ranges that overlap or touch, in order."""
    merged: list[tuple[int, int]] = []
    for start, end in sorted(ranges):
        if merged and start <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


def missing(wanted: tuple[int, int], have: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return what of the inclusive range ``wanted`` is not in ``have``."""
    start, end = wanted
    holes = []
    for have_start, have_end in merge(have):
        if have_end < start or have_start > end:
            continue
        if have_start > start:
            holes.append((start, have_start - 1))
        start = have_end + 1
    if start <= end:
        holes.append((start, end))
    return holes


def reach(slot: int, holes: Sequence[tuple[int, int]]) -> int:
    """The last slot that needs no reading after ``slot``: holes given up that begin right after it are passed over."""
    for start, end in merge(holes):
        if start <= slot + 1 <= end:
            slot = end
    return slot


@dataclass(frozen=True, slots=True)
class Segment:
    """A run of slots to be read for one set of mints."""

    from_slot: int
    to_slot: int
    mints: frozenset[str]


def plan(wanted: tuple[int, int], have: dict[str, list[tuple[int, int]]], window_slots_max: int) -> list[Segment]:
    """Cut ``wanted`` into segments of at most ``window_slots_max`` slots, each for the mints that lack it."""
    holes = {mint: missing(wanted, ranges) for mint, ranges in have.items()}
    edges = sorted({edge for ranges in holes.values() for start, end in ranges for edge in (start, end + 1)})
    segments = []
    for start, after in pairwise(edges):
        mints = frozenset(m for m, ranges in holes.items() if any(a <= start <= b for a, b in ranges))
        if not mints:
            continue
        for first in range(start, after, window_slots_max):
            segments.append(Segment(first, min(first + window_slots_max, after) - 1, mints))
    return segments
