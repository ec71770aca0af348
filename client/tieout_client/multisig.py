"""Token multisigs (m of n): an account of 355 bytes whose members sign in its stead.

In an instruction the multisig stands in the authority's place without signing, and the members
that sign follow the named accounts. Source: token-2022 ``processor::validate_owner``.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from solders.instruction import AccountMeta, Instruction
from solders.pubkey import Pubkey
from solders.signature import Signature
from solders.system_program import CreateAccountParams, create_account

from tieout_client.errors import BadInput
from tieout_client.keys import Signer
from tieout_client.program import TOKEN_2022, build
from tieout_idl import TOKEN_2022_PROGRAM
from tieout_idl.codec import find_layout

MULTISIG_BYTES: Final = 355
MEMBERS_MAX: Final = 11
_KEYS_OFFSET: Final = 3


@dataclass(frozen=True, slots=True)
class Multisig:
    """A multisig account: ``needed`` of its ``members``, base58, must sign."""

    address: str
    needed: int
    members: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class MultisigSigner:
    """A multisig as an authority, with the members who sign for it. Stands wherever a ``Signer`` does."""

    address: Pubkey
    members: tuple[Signer, ...]

    def pubkey(self) -> Pubkey:
        """The multisig's address."""
        return self.address

    def sign_message(self, message: bytes) -> Signature:  # noqa: ARG002  the protocol's
        """Raises BadInput: only its members sign."""
        raise BadInput(f"{self.address} is a multisig and signs nothing itself: it cannot pay fees or guard requests")


def parse_multisig(address: str, account: tuple[str, bytes] | None) -> Multisig | None:
    """Return an account's bytes, as (owning program, data), as a multisig; None when it is none."""
    if account is None or account[0] != TOKEN_2022_PROGRAM or len(account[1]) != MULTISIG_BYTES:
        return None
    needed, count, initialized = account[1][:_KEYS_OFFSET]
    if not initialized or count > MEMBERS_MAX:
        return None
    keys = account[1][_KEYS_OFFSET : _KEYS_OFFSET + 32 * count]
    members = tuple(str(Pubkey(keys[n : n + 32])) for n in range(0, len(keys), 32))
    return Multisig(address, needed, members)


def signer_for(multisig: Multisig, keys: Iterable[Signer]) -> MultisigSigner:
    """Return a multisig with the first keys that are members of it, as many as it needs. Raises BadInput."""
    by_address = {str(key.pubkey()): key for key in keys}
    chosen = [by_address[m] for m in dict.fromkeys(multisig.members) if m in by_address][: multisig.needed]
    if len(chosen) < multisig.needed:
        raise BadInput(
            f"{multisig.address} is a multisig, {multisig.needed} of {len(multisig.members)}, and only "
            f"{len(chosen)} of its members are named: add --signer for more of {', '.join(multisig.members)}"
        )
    return MultisigSigner(Pubkey.from_string(multisig.address), tuple(chosen))


def create_multisig(
    payer: Pubkey, multisig: Pubkey, members: Sequence[Pubkey], needed: int, lamports: int
) -> list[Instruction]:
    """Return the instructions that make a multisig; the payer and the multisig's own key sign. Raises BadInput."""
    if not 1 <= len(members) <= MEMBERS_MAX or len(set(members)) != len(members):
        raise BadInput(f"a multisig has 1 to {MEMBERS_MAX} different members, not {len(members)}")
    if not 1 <= needed <= len(members):
        # The program itself would take it, and nothing could ever be signed.
        raise BadInput(f"{needed} of {len(members)} members can never sign: ask for 1 to {len(members)}")
    account = CreateAccountParams(
        from_pubkey=payer, to_pubkey=multisig, lamports=lamports, space=MULTISIG_BYTES, owner=TOKEN_2022
    )
    keys = [AccountMeta(member, False, False) for member in members]
    return [
        create_account(account),
        build("initialize_multisig2", {"multisig": multisig}, {"m": needed}, remaining=keys),
    ]


def resolve(steps: Sequence[Instruction], signers: Sequence[Signer]) -> tuple[list[Instruction], list[Signer]]:
    """Return the steps with each multisig's members behind the accounts, and the keys that really sign."""
    multisigs = {s.address: s for s in signers if isinstance(s, MultisigSigner)}
    if not multisigs:
        return list(steps), list(signers)
    flat: list[Signer] = []
    for signer in signers:
        flat += signer.members if isinstance(signer, MultisigSigner) else [signer]
    return [_with_members(step, multisigs) for step in steps], flat


def _with_members(step: Instruction, multisigs: dict[Pubkey, MultisigSigner]) -> Instruction:
    layout = find_layout(bytes(step.data)) if step.program_id == TOKEN_2022 else None
    if layout is None:
        return step
    metas = list(step.accounts)
    for position, account in enumerate(layout.accounts[: len(metas)]):
        found = multisigs.get(metas[position].pubkey)
        if found is None or not metas[position].is_signer:
            continue
        if not account.is_multisig:
            raise BadInput(f"{layout.name} takes a single key as its {account.name}, not the multisig {found.address}")
        metas[position] = AccountMeta(found.address, False, metas[position].is_writable)
        end = len(layout.accounts)
        metas[end:end] = [AccountMeta(member.pubkey(), True, False) for member in found.members]
        return Instruction(step.program_id, bytes(step.data), metas)
    return step
