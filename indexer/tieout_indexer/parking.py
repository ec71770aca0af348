"""Giving up a parked slot: a hole for good, with who answers for it and why. Coverage never claims it."""

import getpass
import socket
from dataclasses import dataclass
from datetime import UTC, datetime

from tieout_database import marked_text
from tieout_indexer.errors import NotParked
from tieout_indexer.limits import IndexerLimits
from tieout_indexer.rows import RowSet
from tieout_indexer.writer import LedgerWriter


@dataclass(frozen=True, slots=True)
class Hole:
    """Slots given up: from the one after the last accepted block to the parked one, inclusive."""

    from_slot: int
    to_slot: int
    reason: str
    accepted_by: str


def whoami() -> str:
    """The user and host that this process runs as: who accepts, where nobody else is named."""
    try:
        return f"{getpass.getuser()}@{socket.gethostname()}"
    except (KeyError, OSError):  # a user without a name, as in a container
        return f"unknown@{socket.gethostname()}"


async def accept_parked(
    dsn: str,
    slot: int,
    reason: str,
    accepted_by: str,
    *,
    from_slot: int | None = None,
    limits: IndexerLimits | None = None,
) -> Hole:
    """Give up a parked slot, beside a running indexer, which then goes on after it. Raises NotParked.

    Slots without a block between the last accepted block and this one cannot be proven to be empty
    without it, so they are part of the hole; ``from_slot`` says otherwise where no block was accepted.
    """
    limits = limits or IndexerLimits()
    async with await LedgerWriter.open(dsn, limits, beside=True) as writer:
        standing = await writer.parked(0, 2**63 - 1)
        if slot not in standing:
            known = ", ".join(map(str, standing)) or "none"
            raise NotParked(f"slot {slot} is not parked, so it cannot be given up; parked: {known}")
        before = await writer.block_before(slot)
        first = from_slot if from_slot is not None else (before[0] + 1 if before else slot)
        if first > slot or (before and first <= before[0]):
            raise NotParked(f"a hole from {first} to {slot} is not between the last accepted block and the parked slot")
        text = marked_text(reason, limits.text_characters_max)
        who, now, rows = marked_text(accepted_by, limits.text_characters_max), datetime.now(UTC), RowSet()
        rows["hole_row"].append((first, slot, text, who, now))
        rows["park_row"].append((slot, "accept", text, now))
        await writer.commit(rows)
        return Hole(first, slot, text, who)
