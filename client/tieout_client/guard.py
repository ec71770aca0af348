"""The guard account: the chain's own memory of a request.

It lies at an address derived from the key whose signature moves the value and from the request,
and is allocated in the same transaction. An account cannot be allocated twice, so across hosts,
lost disks and restored backups the second transaction fails as a whole. AllocateWithSeed instead
of CreateAccountWithSeed: nobody can block a request by paying lamports to the address before it.
An account with data that the System program owns can never be emptied or closed.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import msgspec
from solders.instruction import Instruction
from solders.pubkey import Pubkey
from solders.system_program import ID as SYSTEM
from solders.system_program import AllocateWithSeedParams, TransferParams, allocate_with_seed, transfer

from tieout_client.errors import AlreadyIssued, ProgramRefused
from tieout_client.memo import MemoKind, request_memo
from tieout_rpc import RpcClient

GuardMode = Literal["auto", "account", "none"]
"""``auto``: an account, except on a chain that is none of the known clusters."""

CLUSTERS: Final = {
    "5eykt4UsFv8P8NJdTREpY1vzqKqZKvdpKuc147dw2N9d": "mainnet-beta",
    "EtWTRABZaYq6iMfeYKouRu166VU2xqa1wcaWoxPkrZBG": "devnet",
    "4uhcVJyU9pJkvQyUS88uRDiswHXSCKY3zQawwpdk2NsY": "testnet",
}
"""Genesis hash → public cluster."""

GUARD_BYTES: Final = 1
_SEED_LENGTH: Final = 32
_PAGE: Final = 1_000
_PAGES_MAX: Final = 20


@dataclass(frozen=True, slots=True)
class GuardAccount:
    """A request's guard: base58 address, and the lamports that stay in it for good."""

    address: str
    lamports: int


class _Signature(msgspec.Struct):
    signature: str
    slot: int
    err: Any = None
    memo: str | None = None


def guard_seed(kind: MemoKind, request_id: str) -> str:
    """Return the seed of a request: 32 hexadecimal digits of a SHA-256 over its memo."""
    return hashlib.sha256(str(request_memo(kind, request_id)).encode()).hexdigest()[:_SEED_LENGTH]


def guard_address(base: Pubkey, kind: MemoKind, request_id: str) -> Pubkey:
    """Return the address of a request's guard; ``base`` is the key whose signature moves the value."""
    return Pubkey.create_with_seed(base, guard_seed(kind, request_id), SYSTEM)


def guard_instructions(
    base: Pubkey, payer: Pubkey, kind: MemoKind, request_id: str, lamports: int
) -> list[Instruction]:
    """Return the instructions that pay for the guard and allocate it, or fail when it exists."""
    at = guard_address(base, kind, request_id)
    allocating = AllocateWithSeedParams(
        address=at, base=base, seed=guard_seed(kind, request_id), space=GUARD_BYTES, owner=SYSTEM
    )
    return [
        transfer(TransferParams(from_pubkey=payer, to_pubkey=at, lamports=lamports)),
        allocate_with_seed(allocating),
    ]


def refused_by_guard(refused: ProgramRefused, instructions: Sequence[Instruction], guard: str) -> bool:
    """Return True when it was the allocation of this guard that the chain refused."""
    refusal = refused.refusal
    if refusal.name != "AccountAlreadyInUse" or refusal.index is None or refusal.index >= len(instructions):
        return False
    at = instructions[refusal.index]
    return at.program_id == SYSTEM and bool(at.accounts) and str(at.accounts[0].pubkey) == guard


async def already_issued(rpc: RpcClient, guard: str, kind: MemoKind, request_id: str) -> AlreadyIssued:
    """Return the error that names the transaction which made a guard, as far as the node's history shows it."""
    found: _Signature | None = None
    before: str | None = None
    memo = str(request_memo(kind, request_id))
    for _ in range(_PAGES_MAX):
        config = {"limit": _PAGE, "commitment": "confirmed"} | ({"before": before} if before else {})
        page: list[_Signature] = await rpc.call("getSignaturesForAddress", [guard, config], list[_Signature])
        # Others may pay lamports to the address: only the transaction with the request's memo made it.
        found = next((s for s in reversed(page) if s.err is None and memo in (s.memo or "")), found)
        if len(page) < _PAGE:
            break
        before = page[-1].signature
    if found is None:
        return AlreadyIssued(kind, request_id, guard, None, None)
    return AlreadyIssued(kind, request_id, guard, found.signature, found.slot)
