"""What a transaction may use and what it bids: compute limit from simulation, priority fee from recent fees.

The fee of one transaction is ``limit x price / 1,000,000`` lamports on top of the base fee; price
is in micro-lamports for a compute unit.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import msgspec
from solders.compute_budget import set_compute_unit_limit, set_compute_unit_price
from solders.instruction import Instruction

from tieout_rpc import RpcClient

if TYPE_CHECKING:
    from tieout_client.sending import SendOptions

COMPUTE_UNITS_MAX: Final = 1_400_000
"""The most that a transaction may ask for (agave ``MAX_COMPUTE_UNIT_LIMIT``)."""

_BUDGET_UNITS: Final = 300
"""What the two budget instructions use themselves, 150 each."""
_ACCOUNTS_MAX: Final = 128


class _RecentFee(msgspec.Struct):
    slot: int
    fee: int = msgspec.field(name="prioritizationFee", default=0)


async def budget(
    rpc: RpcClient, options: "SendOptions", steps: Sequence[Instruction], units: int | None
) -> list[Instruction]:
    """Return the budget instructions, to stand at the end so that no other instruction changes its number."""
    if not options.budget or units is None:
        return []
    limit = compute_limit(units)
    writable = {str(a.pubkey) for step in steps for a in step.accounts if a.is_writable}
    recent: list[_RecentFee] = await rpc.call(
        "getRecentPrioritizationFees", [sorted(writable)[:_ACCOUNTS_MAX]], list[_RecentFee]
    )
    price = unit_price([r.fee for r in recent], limit, options.priority_fee_lamports_max)
    return [set_compute_unit_limit(limit), *([set_compute_unit_price(price)] if price else [])]


def compute_limit(units: int) -> int:
    """Return the limit for a transaction that used ``units`` in simulation: a fifth more, and the budget's own.

    Opening an account searches its address: the same instruction costs more for one owner than another.
    """
    return min(units + units // 5 + _BUDGET_UNITS, COMPUTE_UNITS_MAX)


def unit_price(recent: Sequence[int], limit: int, lamports_max: int) -> int:
    """Return the third quartile of recent prices, so capped that the whole fee is at most ``lamports_max``."""
    if not recent:
        return 0
    ordered = sorted(recent)
    wanted = ordered[min(len(ordered) * 3 // 4, len(ordered) - 1)]
    return min(wanted, lamports_max * 1_000_000 // limit)
