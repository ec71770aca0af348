"""What a transaction weighs: the data that it loads, and its cost units as block packing counts them.

Numbers of the network's cost model; they reproduce `costUnits` of a recorded day where the programs have the
same size.
"""

from typing import Final

from solders.pubkey import Pubkey

from tieout_localnet import programs
from tieout_localnet.accounts import AccountState
from tieout_localnet.transaction import ReadAccount, Resolved

ACCOUNT_OVERHEAD_BYTES: Final = 64
PROGRAM_HEADER_BYTES: Final = 36
SIGNATURE_COST: Final = 720
WRITE_LOCK_COST: Final = 300
DATA_BYTES_PER_COST: Final = 4
PAGE_BYTES: Final = 32 * 1024
PAGE_COST: Final = 8


def loaded_bytes(keys: tuple[Pubkey, ...], read: ReadAccount) -> int:
    """Bytes of all accounts that a transaction loads, the code of its programs included."""
    total = 0
    for key in keys:
        state = read(key)
        if state is None:
            continue
        total += len(state.data) + ACCOUNT_OVERHEAD_BYTES
        code = _code(state, read)
        if code is not None:
            total += len(code.data) + ACCOUNT_OVERHEAD_BYTES
    return total


def _code(state: AccountState, read: ReadAccount) -> AccountState | None:
    """The account that holds an upgradeable program's code."""
    if state.owner != programs.UPGRADEABLE_LOADER or len(state.data) != PROGRAM_HEADER_BYTES:
        return None
    return read(Pubkey.from_bytes(state.data[4:PROGRAM_HEADER_BYTES]))


def cost_units(resolved: Resolved, units: int, loaded: int) -> int:
    """Cost of a transaction that consumed `units` and loaded so many bytes."""
    signatures = len(resolved.transaction.signatures)
    data = sum(len(bytes(instruction.data)) for instruction in resolved.instructions)
    return (
        units
        + SIGNATURE_COST * signatures
        + WRITE_LOCK_COST * sum(resolved.writable)
        + data // DATA_BYTES_PER_COST
        + PAGE_COST * -(-loaded // PAGE_BYTES)
    )
