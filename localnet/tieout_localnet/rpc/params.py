"""Reading parameters: typed access to a JSON array, with the messages that nodes send for bad ones."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from solders.pubkey import Pubkey

from tieout_localnet import base58
from tieout_localnet.chain import Commitment
from tieout_localnet.errors import RpcError, invalid_params

U64_MAX: Final = 2**64 - 1
KEY_TEXT_MAX: Final = 44
SIGNATURE_TEXT_MAX: Final = 88


def shown(value: object) -> str:
    """A JSON value as nodes name it in "invalid type: …"."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return f"boolean `{str(value).lower()}`"
    if isinstance(value, int):
        return f"integer `{value}`"
    if isinstance(value, float):
        return f"floating point `{value}`"
    if isinstance(value, str):
        return f'string "{value}"'
    return "map" if isinstance(value, dict) else "sequence"


def wrong_type(value: object, expected: str) -> RpcError:
    """A parameter of another JSON type than the method takes."""
    return invalid_params(f"Invalid params: invalid type: {shown(value)}, expected {expected}.")


def u64(value: object) -> int:
    """An unsigned 64-bit integer."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise wrong_type(value, "u64")
    if not 0 <= value <= U64_MAX:
        raise invalid_params(f"Invalid params: invalid value: integer `{value}`, expected u64.")
    return value


def text(value: object) -> str:
    """A string."""
    if not isinstance(value, str):
        raise wrong_type(value, "a string")
    return value


def sequence(value: object) -> list[object]:
    """An array."""
    if not isinstance(value, list):
        raise wrong_type(value, "a sequence")
    return value


def pubkey(value: object, prefix: str = "Invalid param: ") -> Pubkey:
    """An address in base58."""
    return Pubkey.from_bytes(_base58(text(value), 32, KEY_TEXT_MAX, prefix))


def signature(value: object) -> str:
    """A transaction signature in base58."""
    checked = text(value)
    _base58(checked, 64, SIGNATURE_TEXT_MAX, "Invalid param: ")
    return checked


def blockhash(value: object) -> str:
    """A blockhash in base58."""
    checked = text(value)
    _base58(checked, 32, KEY_TEXT_MAX, "Invalid param: ")
    return checked


def _base58(value: str, length: int, longest: int, prefix: str) -> bytes:
    if len(value) > longest:
        raise invalid_params(f"{prefix}WrongSize")
    try:
        raw = base58.decode(value)
    except base58.InvalidCharacter as error:
        raise invalid_params(f"{prefix}Invalid") from error
    if len(raw) != length:
        raise invalid_params(f"{prefix}WrongSize")
    return raw


@dataclass(frozen=True, slots=True)
class Config:
    """A configuration object; members that a method does not know are ignored, as nodes do."""

    members: Mapping[str, object]

    def commitment(self, name: str = "commitment") -> Commitment:
        """The commitment level; anything unknown is finalized."""
        value = self.members.get(name)
        try:
            return Commitment(value) if isinstance(value, str) else Commitment.FINALIZED
        except ValueError:
            return Commitment.FINALIZED

    def optional_u64(self, name: str) -> int | None:
        """An integer member, or None when absent or null."""
        value = self.members.get(name)
        return None if value is None else u64(value)

    def flag(self, name: str, default: bool = False) -> bool:
        """A boolean member."""
        value = self.members.get(name)
        if value is None:
            return default
        if not isinstance(value, bool):
            raise wrong_type(value, "a boolean")
        return value

    def optional_text(self, name: str) -> str | None:
        """A string member, or None when absent or null."""
        value = self.members.get(name)
        return None if value is None else text(value)

    def nested(self, name: str) -> "Config | None":
        """An object member, or None when absent or null."""
        value = self.members.get(name)
        return None if value is None else config(value)


def config(value: object) -> Config:
    """A configuration object; absent and null are the empty one."""
    if value is None:
        return Config({})
    if not isinstance(value, dict):
        raise wrong_type(value, "struct RpcContextConfig")
    return Config(value)


@dataclass(frozen=True, slots=True)
class Params:
    """The parameters of one call."""

    values: list[object]

    def get(self, index: int) -> object:
        """A parameter, None when it was not given."""
        return self.values[index] if index < len(self.values) else None

    def u64(self, index: int) -> int:
        """An integer parameter."""
        return u64(self.get(index))

    def text(self, index: int) -> str:
        """A string parameter."""
        return text(self.get(index))

    def pubkey(self, index: int) -> Pubkey:
        """An address parameter."""
        return pubkey(self.get(index))

    def config(self, index: int) -> Config:
        """A configuration parameter."""
        return config(self.get(index))

    def list(self, index: int) -> "list[object]":
        """An array parameter."""
        return sequence(self.get(index))
