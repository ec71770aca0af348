"""Signers, the authorities of an instrument, addresses, and key files as solana-keygen writes them."""

import inspect
import json
import os
from collections.abc import Awaitable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, Self

from solders.keypair import Keypair
from solders.pubkey import Pubkey
from solders.signature import Signature

from tieout_client.errors import BadInput
from tieout_idl import base58

Address = Pubkey | str
"""An address as solders' ``Pubkey`` or in base58."""

_KEY_BYTES = 64
_KEY_FILE_BYTES_MAX = 4096
_ADDRESS_LENGTH_MAX = 44
_WORLD = 0o007


class Signer(Protocol):
    """Whatever can sign: a solders ``Keypair`` is one; so is a key in a KMS or an HSM, asked over the network.

    ``sign_message`` may be an ordinary method or an ``async`` one. What it returns is checked
    against the message before it goes anywhere.
    """

    def pubkey(self) -> Pubkey:
        """The address that it signs for."""

    def sign_message(self, message: bytes) -> Signature | Awaitable[Signature]:
        """The Ed25519 signature over a serialized message."""


async def signature_of(signer: Signer, message: bytes) -> Signature:
    """Return a signer's signature, asked for and checked. Raises BadInput when it is none of this key's."""
    answer = signer.sign_message(message)
    return checked_signature(signer.pubkey(), await answer if inspect.isawaitable(answer) else answer, message)


def checked_signature(key: Pubkey, signature: object, message: bytes) -> Signature:
    """Return a signature that belongs to the key and the message. Raises BadInput."""
    if not isinstance(signature, Signature) or not signature.verify(key, message):
        raise BadInput(
            f"the signer of {key} gave what is no signature of that key over these bytes: look at the signer"
        )
    return signature


@dataclass(frozen=True, slots=True)
class AddressOnly:
    """The address of a key that is elsewhere: it can be named in a transaction, not sign it."""

    address: Pubkey

    def pubkey(self) -> Pubkey:
        """The address."""
        return self.address

    def sign_message(self, message: bytes) -> Signature:  # noqa: ARG002  the protocol's
        """Raises BadInput."""
        raise BadInput(
            f"only the address of {self.address} is here, not its key: prepare the transaction in a file "
            "(tieout tx prepare) and have it signed where the key is"
        )


@dataclass(frozen=True, slots=True)
class Authorities:
    """Who signs for what. ``Authorities.of(signer)`` gives every role to one key.

    As on the live xStocks mints, the permanent delegate is also the authority of metadata,
    transfer hook and confidential transfers.
    """

    mint_authority: Signer
    treasury: Signer
    redemption_wallet: Signer
    freeze_authority: Signer
    pause_authority: Signer
    permanent_delegate: Signer
    multiplier_authority: Signer

    @classmethod
    def of(
        cls,
        signer: Signer,
        *,
        mint_authority: Signer | None = None,
        treasury: Signer | None = None,
        redemption_wallet: Signer | None = None,
        freeze_authority: Signer | None = None,
        pause_authority: Signer | None = None,
        permanent_delegate: Signer | None = None,
        multiplier_authority: Signer | None = None,
    ) -> Self:
        """Return authorities that are ``signer`` unless named; pausing falls to the freeze authority first."""
        return cls(
            mint_authority=mint_authority or signer,
            treasury=treasury or signer,
            redemption_wallet=redemption_wallet or signer,
            freeze_authority=freeze_authority or signer,
            pause_authority=pause_authority or freeze_authority or signer,
            permanent_delegate=permanent_delegate or signer,
            multiplier_authority=multiplier_authority or signer,
        )


def address(value: Address, what: str = "address") -> Pubkey:
    """Return an address as a ``Pubkey``. Raises BadInput naming ``what`` it was meant to be."""
    if isinstance(value, Pubkey):
        return value
    try:
        return Pubkey.from_string(value)
    except (ValueError, TypeError) as bad:
        raise BadInput(f"{str(value)[:60]!r} is no {what}: an address is 32 bytes in base 58") from bad


def load_keypair(path: str | os.PathLike[str]) -> Keypair:
    """Read a key file: a JSON array of 64 bytes, secret then public.

    Raises BadInput naming the file, and never showing anything of what is in it; also for a file
    that the whole machine may read.
    """
    file = Path(path)
    try:
        with file.open("rb") as opened:
            if os.fstat(opened.fileno()).st_mode & _WORLD:
                raise BadInput(f"the key file {file} can be read by everybody on this machine: chmod 600 {file}")
            text = opened.read(_KEY_FILE_BYTES_MAX + 1)
    except OSError as bad:
        raise BadInput(f"cannot read the key file {file}: {bad.strerror or type(bad).__name__}") from None
    return _keypair(_key_bytes(text), f"the key file {file}")


def load_signer(path: str | os.PathLike[str]) -> "Keypair | AddressOnly":
    """Read a key file, or a file with an address alone, whose key is elsewhere. Raises BadInput."""
    file = Path(path)
    try:
        with file.open("rb") as opened:
            text = opened.read(_KEY_FILE_BYTES_MAX).strip()
    except OSError as bad:
        raise BadInput(f"cannot read the key file {file}: {bad.strerror or type(bad).__name__}") from None
    # Anything longer may be a secret, and is not to be quoted in an error.
    if text.isalnum() and len(text) <= _ADDRESS_LENGTH_MAX:
        return AddressOnly(address(text.decode("ascii", "replace"), f"address, as it stands in {file}"))
    return load_keypair(file)


def keypair_from_environment(name: str) -> Keypair | None:
    """Return the key of an environment variable, a JSON array or base58 of 64 bytes; None where it is not set.

    Raises BadInput naming the variable, and never showing anything of what is in it.
    """
    text = os.environ.get(name, "").strip()
    if not text:
        return None
    if text.startswith("["):
        return _keypair(_key_bytes(text.encode()), f"the variable {name}")
    try:
        raw = base58.decode(text)
    except ValueError:
        raw = b""
    return _keypair(raw if len(raw) == _KEY_BYTES else None, f"the variable {name}")


def _keypair(raw: bytes | None, what: str) -> Keypair:
    if raw is None:
        # No cause is chained: a parser's message would quote the secret.
        raise BadInput(f"{what} is no key: solana-keygen writes a JSON array of {_KEY_BYTES} numbers, 0 to 255")
    keypair = Keypair.from_seed(raw[:32])
    if bytes(keypair.pubkey()) != raw[32:]:
        raise BadInput(f"{what} is damaged: its public half does not belong to its secret half")
    return keypair


def _key_bytes(text: bytes) -> bytes | None:
    try:
        numbers = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(numbers, list) or len(numbers) != _KEY_BYTES:
        return None
    if not all(type(n) is int and 0 <= n <= 255 for n in numbers):
        return None
    return bytes(numbers)


def write_keypair(path: str | os.PathLike[str], keypair: Keypair) -> None:
    """Write a key file, readable by its owner alone. Raises BadInput when there is a file already."""
    file = Path(path)
    try:
        opened = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as bad:
        raise BadInput(f"cannot write the key file {file}: {bad.strerror or type(bad).__name__}") from None
    with os.fdopen(opened, "w") as out:
        json.dump(list(bytes(keypair)), out)
