"""Ed25519 signatures over a report's bytes, by a key file as ``tieout key new`` writes it."""

import json
import os
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from tieout_idl import base58
from tieout_reconcile.errors import BadInput

_KEY_BYTES = 64
_SEED_BYTES = 32
_SIGNATURE_BYTES = 64
_FILE_BYTES_MAX = 4096
_WORLD = 0o007


def read_key(path: Path | str) -> Ed25519PrivateKey:
    """Return the key of a file: a JSON array of 64 numbers. Raises BadInput; one that all may read is refused."""
    try:
        with Path(path).expanduser().open("rb") as handle:
            if os.fstat(handle.fileno()).st_mode & _WORLD:
                raise BadInput(str(path), ["everybody on this machine may read it: chmod 600 it, and replace the key"])
            data = handle.read(_FILE_BYTES_MAX + 1)
    except (OSError, ValueError) as failed:
        raise BadInput(str(path), [f"it cannot be read: {getattr(failed, 'strerror', None) or failed}"]) from failed
    try:
        numbers = json.loads(data)
        secret = bytes(numbers) if isinstance(numbers, list) else b""
    except (ValueError, TypeError, RecursionError):
        secret = b""
    if len(secret) != _KEY_BYTES:
        raise BadInput(str(path), ["it is no key file: a JSON array of 64 numbers is wanted (tieout key new)"])
    key = Ed25519PrivateKey.from_private_bytes(secret[:_SEED_BYTES])
    if key.public_key().public_bytes_raw() != secret[_SEED_BYTES:]:
        raise BadInput(str(path), ["its two halves do not belong together: it is damaged"])
    return key


def public_text(key: Ed25519PrivateKey) -> str:
    """Return the public key in base58, as an address is written."""
    return base58.encode(key.public_key().public_bytes_raw())


def sign(key: Ed25519PrivateKey, message: bytes) -> str:
    """Return the signature in base58; the same key and message always give the same."""
    return base58.encode(key.sign(message))


def is_signed_by(public_key: str, signature: str, message: bytes) -> bool:
    """Whether the signature is the key's over these bytes. Whatever is malformed is not."""
    try:
        key, made = base58.decode(public_key), base58.decode(signature)
        if len(key) != _SEED_BYTES or len(made) != _SIGNATURE_BYTES:
            return False
        Ed25519PublicKey.from_public_bytes(key).verify(made, message)
    except (ValueError, InvalidSignature):
        return False
    return True
