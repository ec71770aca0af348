"""Durable nonces: transactions that name a stored nonce where others name a recent blockhash."""

import hashlib
from typing import Final

from solders.hash import Hash
from solders.pubkey import Pubkey

from tieout_localnet import programs
from tieout_localnet.accounts import AccountState
from tieout_localnet.transaction import ReadAccount, Resolved

ADVANCE: Final = 4
NONCE_INSTRUCTIONS: Final = range(4, 8)
NONCE_ACCOUNT_BYTES: Final = 80
AUTHORITY_AT: Final = 8
VALUE_AT: Final = 40
INITIALIZED: Final = (1).to_bytes(4, "little")


def next_nonce(blockhash: Hash) -> Hash:
    """The nonce that advancing under a blockhash stores."""
    return Hash.from_bytes(hashlib.sha256(b"DURABLE_NONCE" + bytes(blockhash)).digest())


def _system_tags(resolved: Resolved) -> list[int | None]:
    """Per top-level instruction: the system program's tag, or None for another program."""
    return [
        int.from_bytes(bytes(instruction.data)[:4], "little")
        if resolved.keys[instruction.program_id_index] == programs.SYSTEM
        else None
        for instruction in resolved.instructions
    ]


def touches_nonce(resolved: Resolved) -> bool:
    """Whether an instruction reads or writes a nonce, so that the bank's blockhash matters to it."""
    return any(tag in NONCE_INSTRUCTIONS for tag in _system_tags(resolved) if tag is not None)


def usable_nonce(resolved: Resolved, read: ReadAccount, blockhash: Hash) -> Pubkey | None:
    """The nonce account of a transaction whose recent blockhash is that account's current nonce."""
    tags = _system_tags(resolved)
    if not tags or tags[0] != ADVANCE:
        return None
    indexes = bytes(resolved.instructions[0].accounts)
    if not indexes or indexes[0] >= len(resolved.keys) or not resolved.writable[indexes[0]]:
        return None
    key = resolved.keys[indexes[0]]
    state = read(key)
    if state is None or not _is_current(state, resolved, blockhash):
        return None
    return key


def _is_current(state: AccountState, resolved: Resolved, blockhash: Hash) -> bool:
    if state.owner != programs.SYSTEM or len(state.data) != NONCE_ACCOUNT_BYTES:
        return False
    if state.data[4:8] != INITIALIZED:
        return False
    stored = state.data[VALUE_AT : VALUE_AT + 32]
    asked = bytes(resolved.transaction.message.recent_blockhash)
    signers = resolved.keys[: resolved.transaction.message.header.num_required_signatures]
    authority = Pubkey.from_bytes(state.data[AUTHORITY_AT : AUTHORITY_AT + 32])
    return stored == asked and asked != bytes(next_nonce(blockhash)) and authority in signers


def advanced(state: AccountState, blockhash: Hash) -> AccountState:
    """A nonce account after it was advanced, which happens even when its transaction fails."""
    data = state.data[:VALUE_AT] + bytes(next_nonce(blockhash)) + state.data[VALUE_AT + 32 :]
    return AccountState(state.lamports, data, state.owner, state.executable)
