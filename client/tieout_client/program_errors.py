"""Errors of the programs that token transactions go through, by the number that the chain shows.

The token program's own are in ``tieout_idl``. The others: solana-system-interface ``SystemError``,
spl-associated-token-account ``AssociatedTokenAccountError``, and the enums of the interfaces that
Token-2022 carries, whose first number is a hash of the name (``TokenMetadataError``,
``TokenGroupError``, ``TransferHookError``, ``AccountResolutionError``, ``TlvError``).
"""

from collections.abc import Mapping
from typing import Final

from tieout_idl import (
    ASSOCIATED_TOKEN_PROGRAM,
    PROGRAM_ERRORS,
    SYSTEM_PROGRAM,
    TOKEN_PROGRAMS,
)

NamedError = tuple[str, str]
"""Name and sentence of an error."""

SYSTEM_ERRORS: Final[Mapping[int, NamedError]] = dict(
    enumerate(
        (
            ("AccountAlreadyInUse", "an account with this address exists already"),
            ("ResultWithNegativeLamports", "the paying account has too few lamports"),
            ("InvalidProgramId", "cannot assign an account to this program id"),
            ("InvalidAccountDataLength", "cannot allocate account data of this length"),
            ("MaxSeedLengthExceeded", "the requested seed is too long"),
            ("AddressWithSeedMismatch", "the address does not match the derived seed"),
            ("NonceNoRecentBlockhashes", "advancing a nonce needs recent blockhashes"),
            ("NonceBlockhashNotExpired", "the stored nonce is still in recent blockhashes"),
            ("NonceUnexpectedBlockhashValue", "the nonce in the instruction is not the stored one"),
        )
    )
)
ASSOCIATED_TOKEN_ERRORS: Final[Mapping[int, NamedError]] = {
    0: ("InvalidOwner", "the associated account is not owned by this wallet"),
    # Of the programs that it calls: System pays the rent, Token-2022 does the rest.
    1: SYSTEM_ERRORS[1],
}
INTERFACE_ERRORS: Final[Mapping[int, NamedError]] = {
    901_952_957: ("TokenMetadataIncorrectAccount", "the metadata is kept in another account"),
    901_952_958: ("TokenMetadataMintHasNoMintAuthority", "the mint has no mint authority to sign for metadata"),
    901_952_959: ("TokenMetadataIncorrectMintAuthority", "the signer is not the mint authority"),
    901_952_960: ("TokenMetadataIncorrectUpdateAuthority", "the signer is not the metadata's update authority"),
    901_952_961: ("TokenMetadataImmutable", "the metadata has no update authority: nobody can change it"),
    901_952_962: ("TokenMetadataKeyNotFound", "the metadata has no field of this name"),
    1_202_666_432: ("TlvTypeNotFound", "the account has no entry of this type"),
    1_202_666_433: ("TlvTypeAlreadyExists", "the account has an entry of this type already"),
    2_110_272_652: ("TransferHookIncorrectAccount", "the hook's program or its list of accounts was not passed"),
    2_110_272_653: ("TransferHookMintHasNoMintAuthority", "the mint has no mint authority to sign for the hook"),
    2_110_272_654: ("TransferHookIncorrectMintAuthority", "the signer is not the mint authority"),
    2_110_272_655: ("TransferHookOutsideOfTransfer", "the hook was called outside of a transfer"),
    2_724_315_840: ("AccountResolutionIncorrectAccount", "an account that the hook asks for was not passed"),
    2_724_315_849: ("AccountResolutionInvalidSeed", "the hook's list of accounts has a seed that cannot be read"),
    2_724_315_851: ("AccountResolutionInstructionDataTooSmall", "the hook's seeds reach beyond the instruction"),
    2_724_315_852: ("AccountResolutionAccountNotFound", "the hook's list names an account that is not there"),
    2_724_315_854: ("AccountResolutionAccountDataNotFound", "the hook's list reads an account that is empty"),
    2_724_315_855: ("AccountResolutionAccountDataTooSmall", "the hook's list reads beyond an account's end"),
    3_406_457_176: ("TokenGroupSizeExceedsNewMaxSize", "the group has more members than the new maximum"),
    3_406_457_177: ("TokenGroupSizeExceedsMaxSize", "the group is full"),
    3_406_457_178: ("TokenGroupImmutable", "the group has no update authority: nobody can change it"),
    3_406_457_179: ("TokenGroupIncorrectMintAuthority", "the signer is not the mint authority"),
    3_406_457_180: ("TokenGroupIncorrectUpdateAuthority", "the signer is not the group's update authority"),
    3_406_457_181: ("TokenGroupMemberIsGroup", "a group cannot be its own member"),
}
OTHER_PROGRAM_ERRORS: Final[tuple[NamedError, ...]] = (
    *SYSTEM_ERRORS.values(),
    ASSOCIATED_TOKEN_ERRORS[0],
    *INTERFACE_ERRORS.values(),
)
"""All but the token program's own, each name once."""

UNKNOWN: Final[NamedError] = ("UnknownError", "a code that is in no table of ours for this program")

# Instructions that call the System program, whose refusal comes out under its own number.
_CALLS_SYSTEM: Final = frozenset({"reallocate", "create_native_mint"})


def custom_error(program: str, instruction: str | None, code: int) -> NamedError:
    """Return a program's own error number as name and sentence; ``instruction`` is the token program's, if known."""
    if program in TOKEN_PROGRAMS:
        called = SYSTEM_ERRORS if instruction in _CALLS_SYSTEM and code == 1 else {}
        return called.get(code) or PROGRAM_ERRORS.get(code) or INTERFACE_ERRORS.get(code) or UNKNOWN
    if program == SYSTEM_PROGRAM:
        return SYSTEM_ERRORS.get(code, UNKNOWN)
    if program == ASSOCIATED_TOKEN_PROGRAM:
        return ASSOCIATED_TOKEN_ERRORS.get(code) or PROGRAM_ERRORS.get(code, UNKNOWN)
    return UNKNOWN
