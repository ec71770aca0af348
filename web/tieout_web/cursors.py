"""Cursors: where the next page begins. Opaque to clients, checked when they come back. Pure."""

import base64
import binascii
import json

_INTEGER_MAX = 2**63 - 1
_TEXT_MAX = 400


def encode(*parts: int) -> str:
    """Return a cursor of whole numbers."""
    return base64.urlsafe_b64encode(json.dumps(parts).encode()).decode().rstrip("=")


def decode(text: str, length: int) -> tuple[int, ...]:
    """Return the numbers of a cursor. Raises ValueError for anything that ``encode`` would not have made."""
    try:
        if len(text) > _TEXT_MAX or not text.isascii():
            raise ValueError
        parts = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
        if not isinstance(parts, list) or len(parts) != length or encode(*parts) != text:
            raise ValueError
        if not all(type(part) is int and -1 <= part <= _INTEGER_MAX for part in parts):
            raise ValueError
    except (ValueError, binascii.Error, RecursionError, TypeError):
        raise ValueError("it is no cursor of ours: take next_cursor of the page before, or leave it out") from None
    return tuple(parts)
