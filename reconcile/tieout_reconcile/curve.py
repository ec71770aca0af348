"""Whether an address can have a private key: a point of ed25519, or an address that only a program can sign for. Pure.

As the runtime decides it: the 32 bytes decompress to a point of the curve (RFC 8032, 5.1.3, without its
refusal of a negative zero and of values not reduced).
"""

_PRIME = 2**255 - 19
_D = -121665 * pow(121666, -1, _PRIME) % _PRIME
_BYTES = 32


def is_on_curve(key: bytes) -> bool:
    """Return whether 32 bytes are a point of the curve. Raises ValueError for another length."""
    if len(key) != _BYTES:
        raise ValueError(f"an address has {_BYTES} bytes, this has {len(key)}")
    y = int.from_bytes(key, "little") % 2**255 % _PRIME
    squared = (y * y - 1) * pow(_D * y * y + 1, -1, _PRIME) % _PRIME
    return squared == 0 or pow(squared, (_PRIME - 1) // 2, _PRIME) == 1
