"""Errors of this package, and the token program's own error codes by name."""

from tieout_idl.table import PROGRAM_ERROR_TABLE

PROGRAM_ERRORS: dict[int, tuple[str, str]] = PROGRAM_ERROR_TABLE
"""Custom error code of the token program → (name, sentence)."""


class TokenFormatError(ValueError):
    """Bytes or values do not fit the token program's formats."""


class ShortData(TokenFormatError):
    """The bytes end before a field does."""


class BadValue(TokenFormatError):
    """A field holds, or was given, a value outside its type."""


class UnknownName(TokenFormatError):
    """No instruction or field has this name."""


def explain_error(code: int) -> str:
    """Return ``Name: sentence`` for a custom error code of the token program."""
    known = PROGRAM_ERRORS.get(code)
    return f"{known[0]}: {known[1]}" if known else f"error {code}, which this version of the program's table lacks"
