"""The instruction table: ``token_2022.json`` read once into layouts.

The file is in the legacy Anchor format, which AnchorPy reads as it is, with additions that
AnchorPy ignores: ``discriminator`` (1, 2 or 8 bytes) on an instruction, ``isMultisig`` on an
account (the key itself or a multisig followed by its signers), ``zeroable`` on a field (32 zero
bytes mean none), ``remainder`` on a last field (no length prefix: it runs to the end), and
``extensions`` (layouts of the TLV entries of mints and accounts).
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from importlib import resources
from types import MappingProxyType
from typing import Any, Final

IDL_JSON: Final[str] = resources.files("tieout_idl").joinpath("token_2022.json").read_text("utf-8")
"""The IDL as text, for AnchorPy's ``Idl.from_json``."""

_RAW: Final[dict[str, Any]] = json.loads(IDL_JSON)


def snake(name: str) -> str:
    """``mintTo`` → ``mint_to``, the form in which Python and AnchorPy name things."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


@dataclass(frozen=True, slots=True)
class Field:
    """One field of an instruction or an extension: its name and its Anchor type."""

    name: str
    type: Any
    zeroable: bool = False
    remainder: bool = False


@dataclass(frozen=True, slots=True)
class AccountMeta:
    """One account that an instruction names, in its place."""

    name: str
    is_writable: bool
    is_signer: bool
    is_optional: bool = False
    is_multisig: bool = False


@dataclass(frozen=True)
class InstructionLayout:
    """One instruction: its discriminator, its accounts in order, its fields in order."""

    name: str
    discriminator: bytes
    accounts: tuple[AccountMeta, ...]
    fields: tuple[Field, ...]

    @cached_property
    def position(self) -> Mapping[str, int]:
        """Account name → index in the instruction's account list (optional ones count)."""
        return MappingProxyType({a.name: i for i, a in enumerate(self.accounts)})

    @cached_property
    def proof_offsets(self) -> tuple[str, ...]:
        """The fields that say where each zero-knowledge proof is: an instruction so far away, or 0 for an account."""
        return tuple(f.name for f in self.fields if f.name.endswith("proof_instruction_offset"))

    def position_in(self, args: Mapping[str, Any]) -> Mapping[str, int]:
        """Account name → index in the list of an instruction with these arguments.

        The program reads the instructions sysvar where any proof is an instruction of the transaction, and an
        account for each proof that is none: what is not read is not in the list. Source: the program's own
        builders, extension/confidential_transfer/instruction.rs.
        """
        if not self.proof_offsets or not any(a.is_optional for a in self.accounts):
            return self.position
        return _positions(self.name, tuple(args[name] == 0 for name in self.proof_offsets))


@cache
def _positions(name: str, in_account: tuple[bool, ...]) -> Mapping[str, int]:
    present = iter((not all(in_account), *in_account))
    named = [a.name for a in INSTRUCTIONS[name].accounts if not a.is_optional or next(present)]
    return MappingProxyType({name: index for index, name in enumerate(named)})


def _field(raw: Mapping[str, Any]) -> Field:
    return Field(snake(raw["name"]), raw["type"], raw.get("zeroable", False), raw.get("remainder", False))


def _instruction(raw: Mapping[str, Any]) -> InstructionLayout:
    accounts = tuple(
        AccountMeta(snake(a["name"]), a["isMut"], a["isSigner"], a.get("isOptional", False), a.get("isMultisig", False))
        for a in raw["accounts"]
    )
    return InstructionLayout(
        snake(raw["name"]), bytes(raw["discriminator"]), accounts, tuple(_field(f) for f in raw["args"])
    )


INSTRUCTIONS: Final[Mapping[str, InstructionLayout]] = MappingProxyType(
    {layout.name: layout for layout in map(_instruction, _RAW["instructions"])}
)
"""Instruction name → layout, all of Token-2022."""

BY_DISCRIMINATOR: Final[Mapping[bytes, InstructionLayout]] = MappingProxyType(
    {layout.discriminator: layout for layout in INSTRUCTIONS.values()}
)
"""Discriminator → layout."""

TYPES: Final[Mapping[str, Any]] = MappingProxyType({t["name"]: t["type"] for t in _RAW["types"]})
"""Defined type name → its Anchor definition."""

EXTENSIONS: Final[Mapping[int, tuple[str, tuple[Field, ...]]]] = MappingProxyType(
    {e["type"]: (snake(e["name"]), tuple(_field(f) for f in e["fields"])) for e in _RAW["extensions"]}
)
"""Extension type number → (name, fields of its TLV value)."""

PROGRAM_ERROR_TABLE: Final[dict[int, tuple[str, str]]] = {e["code"]: (e["name"], e["msg"]) for e in _RAW["errors"]}
