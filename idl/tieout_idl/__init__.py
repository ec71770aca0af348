"""The token program as data and arithmetic: instruction table, account state, multiplier.

Pure and total: no I/O beyond reading its own ``token_2022.json``, no clock, the standard
library alone. Token-2022 and the classic Token program share the table: the classic tags are
its first ones.

Errors::

    TokenFormatError (ValueError)
    ├── ShortData       the bytes end before the field; names what was read and where
    ├── BadValue        a field holds or was given a value outside its type
    └── UnknownName     no instruction or field of this name
"""

from tieout_idl import base58
from tieout_idl.codec import Instruction, UnknownInstruction, decode, encode
from tieout_idl.errors import PROGRAM_ERRORS, BadValue, ShortData, TokenFormatError, UnknownName, explain_error
from tieout_idl.multiplier import (
    ScaledUiAmount,
    exact_multiplier,
    multiplier_bits,
    nearest_multiplier,
    raw_from_shares,
    shares_from_raw,
)
from tieout_idl.programs import (
    ASSOCIATED_TOKEN_PROGRAM,
    MEMO_PROGRAMS,
    SYSTEM_PROGRAM,
    TOKEN_2022_PROGRAM,
    TOKEN_PROGRAM,
    TOKEN_PROGRAMS,
)
from tieout_idl.state import Extension, Mint, TokenAccount, mint_space, parse_account, parse_mint
from tieout_idl.table import IDL_JSON, INSTRUCTIONS, AccountMeta, Field, InstructionLayout

__all__ = [
    "ASSOCIATED_TOKEN_PROGRAM",
    "IDL_JSON",
    "INSTRUCTIONS",
    "MEMO_PROGRAMS",
    "PROGRAM_ERRORS",
    "SYSTEM_PROGRAM",
    "TOKEN_2022_PROGRAM",
    "TOKEN_PROGRAM",
    "TOKEN_PROGRAMS",
    "AccountMeta",
    "BadValue",
    "Extension",
    "Field",
    "Instruction",
    "InstructionLayout",
    "Mint",
    "ScaledUiAmount",
    "ShortData",
    "TokenAccount",
    "TokenFormatError",
    "UnknownInstruction",
    "UnknownName",
    "base58",
    "decode",
    "encode",
    "exact_multiplier",
    "explain_error",
    "mint_space",
    "multiplier_bits",
    "nearest_multiplier",
    "parse_account",
    "parse_mint",
    "raw_from_shares",
    "shares_from_raw",
]
