"""Base58 with the Bitcoin alphabet, as keys, signatures, hashes and instruction data are written."""

from typing import Final

ALPHABET: Final = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_VALUE: Final = {character: index for index, character in enumerate(ALPHABET)}


class InvalidCharacter(ValueError):
    """A character that is not in the alphabet, and where."""

    def __init__(self, character: str, index: int) -> None:
        super().__init__(f"{character!r} at {index}")
        self.character = character
        self.index = index


def encode(data: bytes) -> str:
    """Bytes as base58."""
    zeros = len(data) - len(data.lstrip(b"\0"))
    number = int.from_bytes(data, "big")
    digits: list[str] = []
    while number:
        number, rest = divmod(number, 58)
        digits.append(ALPHABET[rest])
    return "1" * zeros + "".join(reversed(digits))


def decode(text: str) -> bytes:
    """Base58 as bytes; raises InvalidCharacter."""
    number = 0
    for index, character in enumerate(text):
        value = _VALUE.get(character)
        if value is None:
            raise InvalidCharacter(character, index)
        number = number * 58 + value
    zeros = len(text) - len(text.lstrip("1"))
    return b"\0" * zeros + number.to_bytes((number.bit_length() + 7) // 8, "big")
