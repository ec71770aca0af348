"""A mint's multiplier fields, observed and replayed; and from which slot on the program has the rule of today.

UpdateMultiplier of the program before token-2022 #522 (merged on 2025-06-25) did not take over what had come into
force, so a second scheduled update made it fall back. ``ledger.multiplier_steps`` replays both rules. When a public
cluster's program changed is not written on the chain: it is declared here, or where both rules differ it is unknown.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from fractions import Fraction

import asyncpg

from tieout_database import Queries, check_schema, connect, marked_text
from tieout_idl import BadValue, Mint, exact_multiplier, multiplier_bits
from tieout_indexer.limits import IndexerLimits
from tieout_indexer.rows import RowSet
from tieout_indexer.writer import LedgerWriter

_SQL = Queries("tieout_indexer", "multipliers.sql")
NO_MULTIPLIER = "no multiplier"
RULE_UNKNOWN = (
    "it depends on the program's rule of that time, which is not declared: "
    "tieout index multiplier-rule --from-slot SLOT --reason TEXT"
)


@dataclass(frozen=True, slots=True)
class MultiplierFields:
    """The extension's fields: ``multiplier`` until ``effective_timestamp`` (unix s), ``new`` from then on.

    ``multiplier`` is None where the replay cannot know it.
    """

    multiplier: bytes | None
    effective_timestamp: int
    new: bytes

    def __str__(self) -> str:
        first = "unknown" if self.multiplier is None else _shown(self.multiplier)
        return f"{first} until {self.effective_timestamp}, {_shown(self.new)} from then on"


def _shown(bits: bytes) -> str:
    """The number as the chain's own tools print it, with the bytes, since two numbers may print alike."""
    try:
        value: Fraction | str = exact_multiplier(bits)
    except BadValue:
        value = "no number"
    return f"{float(value)!r} ({bits.hex()})" if isinstance(value, Fraction) else f"{value} ({bits.hex()})"


def observed_multiplier(mint: Mint) -> MultiplierFields | None:
    """What the mint's account says; None: it has no such extension."""
    scaled = mint.extension("scaled_ui_amount_config")
    if scaled is None:
        return None
    old, new = (multiplier_bits(scaled.fields[name]) for name in ("multiplier", "new_multiplier"))
    return MultiplierFields(old, int(scaled.fields["new_multiplier_effective_timestamp"]), new)


def replayed_multiplier(row: asyncpg.Record | None) -> MultiplierFields | None:
    """What a row of ``ledger.multiplier_state_at`` says; None: nothing was ever announced."""
    if row is None:
        return None
    return MultiplierFields(row["multiplier"], int(row["effective_seconds"]), bytes(row["new_multiplier"]))


@dataclass(frozen=True, slots=True)
class DeclaredRule:
    """From this slot on UpdateMultiplier follows the rule of today; before it, the older one."""

    from_slot: int
    reason: str
    declared_by: str


async def declare_multiplier_rule(
    dsn: str, from_slot: int, reason: str, declared_by: str, *, limits: IndexerLimits | None = None
) -> DeclaredRule:
    """Store from which slot on the program has the rule of today, beside a running indexer; the last one counts."""
    limits = limits or IndexerLimits()
    async with await LedgerWriter.open(dsn, limits, beside=True) as writer:
        text, who = (marked_text(t, limits.text_characters_max) for t in (reason, declared_by))
        rows = RowSet()
        rows["multiplier_rule_row"].append((from_slot, text, who, datetime.now(UTC)))
        await writer.commit(rows)
        return DeclaredRule(from_slot, text, who)


async def read_multiplier_rule(dsn: str) -> DeclaredRule | None:
    """What was declared last; None: nothing."""
    connection = await connect(dsn)
    try:
        await check_schema(connection)
        row = await connection.fetchrow(_SQL["declared"])
        return DeclaredRule(**dict(row)) if row else None
    finally:
        await connection.close()
