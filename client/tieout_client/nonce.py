"""Durable nonces: a transaction over one stays valid until the nonce advances, so that signers have time.

A nonce account (80 bytes, System program) holds a value that stands where a blockhash would. The
first instruction of the transaction advances it, on success and on failure alike, so the same bytes
run at most once; advancing it otherwise kills them. Layout: solana ``nonce::state::Versions``. Pure.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from solders.hash import Hash
from solders.instruction import Instruction
from solders.pubkey import Pubkey
from solders.system_program import ID as SYSTEM
from solders.system_program import (
    AdvanceNonceAccountParams,
    advance_nonce_account,
    create_nonce_account,
)

from tieout_client.errors import BadInput
from tieout_idl import SYSTEM_PROGRAM

NONCE_BYTES: Final = 80
_ADVANCE: Final = struct.pack("<I", 4)
_INITIALIZED: Final = 1


@dataclass(frozen=True, slots=True)
class Nonce:
    """A nonce account: base58 ``address``, who may advance it, and the ``value`` it holds now."""

    address: str
    authority: str
    value: str


def create_nonce(payer: Pubkey, nonce: Pubkey, authority: Pubkey, lamports: int) -> list[Instruction]:
    """Return the instructions that make a nonce account; the payer and the nonce's own key sign."""
    return list(create_nonce_account(payer, nonce, authority, lamports))


def advance_nonce(nonce: Pubkey, authority: Pubkey) -> Instruction:
    """Return the instruction that gives a nonce its next value: whatever was signed over the old one is dead."""
    return advance_nonce_account(AdvanceNonceAccountParams(nonce_pubkey=nonce, authorized_pubkey=authority))


def nonce_of(instructions: Sequence[Instruction]) -> tuple[Pubkey, Pubkey] | None:
    """Return (nonce account, its authority) of a transaction over a nonce: its first instruction advances one."""
    if not instructions or instructions[0].program_id != SYSTEM or bytes(instructions[0].data)[:4] != _ADVANCE:
        return None
    accounts = instructions[0].accounts
    return (accounts[0].pubkey, accounts[2].pubkey) if len(accounts) >= 3 else None


def parse_nonce(address: Pubkey, account: tuple[str, bytes] | None) -> Nonce:
    """Return a nonce account's bytes as a nonce. Raises BadInput."""
    if account is None:
        raise BadInput(f"there is no account at {address}: make the nonce first, with tieout tx nonce create")
    owner, data = account
    if owner != SYSTEM_PROGRAM or len(data) != NONCE_BYTES or struct.unpack_from("<I", data, 4)[0] != _INITIALIZED:
        raise BadInput(f"{address} is no nonce account: make one with tieout tx nonce create")
    return Nonce(str(address), str(Pubkey(data[8:40])), str(Hash(data[40:72])))
