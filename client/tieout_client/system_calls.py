"""System program instructions taken apart, total: what solders' parsers cannot read is None."""

import struct
from collections.abc import Callable, Mapping
from typing import Any, Final

from solders import system_program as system
from solders.hash import Hash
from solders.instruction import Instruction
from solders.pubkey import Pubkey

# Tag → parser, and how many accounts it takes for granted: fewer would end the process, not raise.
_PARSERS: Final[Mapping[int, tuple[Callable[[Instruction], Any], int]]] = {
    0: (system.decode_create_account, 2),
    1: (system.decode_assign, 1),
    2: (system.decode_transfer, 2),
    3: (system.decode_create_account_with_seed, 2),
    4: (system.decode_advance_nonce_account, 3),
    5: (system.decode_withdraw_nonce_account, 5),
    6: (system.decode_initialize_nonce_account, 3),
    7: (system.decode_authorize_nonce_account, 2),
    8: (system.decode_allocate, 1),
    9: (system.decode_allocate_with_seed, 2),
}
TRANSFER: Final = 2
ALLOCATE_WITH_SEED: Final = 9


def system_tag(step: Instruction) -> int | None:
    """Return the number of a System instruction, None for another program's or too little data."""
    data = bytes(step.data)
    return struct.unpack_from("<I", data)[0] if step.program_id == system.ID and len(data) >= 4 else None


def parse_system(step: Instruction) -> dict[str, Any] | None:
    """Return a System instruction's parameters by solders' names, keys as base58; None where it cannot be read."""
    tag = system_tag(step)
    parser, accounts = _PARSERS.get(-1 if tag is None else tag, (None, 0))
    if parser is None or len(step.accounts) < accounts:
        return None
    try:
        found = parser(step)
    except Exception:  # noqa: BLE001  solders raises whatever its parser does
        return None
    return {name: str(value) if isinstance(value, Pubkey | Hash) else value for name, value in found.items()}
