"""A transaction on its way between signers: the message, the signatures so far, and nothing to be believed.

JSON, ``"schema": "tieout/transaction/1"``. What people read in the file (``summary``, ``signers``)
is compared with the bytes before anything is signed or sent; a file that says something else is
refused. Pure but for ``read_transaction`` and ``write_transaction``.
"""

import base64
import binascii
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import msgspec
from solders.message import to_bytes_versioned
from solders.pubkey import Pubkey
from solders.signature import Signature
from solders.transaction import VersionedTransaction

from tieout_client.errors import BadInput
from tieout_client.keys import Signer, signature_of
from tieout_client.words import Words, describe, parse_message

SCHEMA: Final = "tieout/transaction/1"
_FILE_BYTES_MAX: Final = 64 * 1024


class _Plain(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    schema: str
    chain: str
    message: str
    signatures: dict[str, str]
    prepared_slot: int
    signers: list[str]
    summary: list[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class TransactionFile:
    """A message with some of its signatures (base58, by signer).

    ``chain`` is the genesis hash it is meant for; ``prepared_slot`` the slot at which its
    blockhash or nonce was read.
    """

    chain: str
    message: bytes
    signatures: Mapping[str, str]
    prepared_slot: int

    @property
    def words(self) -> Words:
        """What the bytes would do."""
        return describe(parse_message(self.message))

    @property
    def missing(self) -> tuple[str, ...]:
        """The addresses that still have to sign."""
        return tuple(key for key in self.words.signers if key not in self.signatures)

    def understood(self, *, forced: bool = False) -> "TransactionFile":
        """Return itself. Raises BadInput when something in it is not understood, unless ``forced``."""
        warnings = self.words.warnings
        if warnings and not forced:
            raise BadInput(
                f"not everything in this transaction is understood: {'; '.join(warnings)}. Do not sign or send what "
                "nobody can read; --force does it all the same"
            )
        return self

    async def signed_by(self, signer: Signer, *, forced: bool = False) -> "TransactionFile":
        """Return it with one more signature. Raises BadInput when the key is not asked for, or as ``understood``."""
        key = str(signer.pubkey())
        if key not in self.words.signers:
            raise BadInput(f"{key} is not asked to sign this: {', '.join(self.missing) or 'everybody has signed'}")
        self.understood(forced=forced)
        signature = await signature_of(signer, self.message)
        return replace(self, signatures={**self.signatures, key: str(signature)})

    def with_signatures_of(self, others: Sequence["TransactionFile"]) -> "TransactionFile":
        """Return it with the signatures of other copies too. Raises BadInput when one is of another transaction."""
        merged = dict(self.signatures)
        for other in others:
            if (other.chain, other.message) != (self.chain, self.message):
                raise BadInput("the files are of different transactions: each signer must sign the same one")
            merged |= other.signatures
        return replace(self, signatures=merged)

    def transaction_bytes(self) -> bytes:
        """Return the bytes to send. Raises BadInput naming who has not signed."""
        if self.missing:
            raise BadInput(f"these have not signed yet: {', '.join(self.missing)} (tieout tx sign)")
        message = parse_message(self.message)
        signatures = [Signature.from_string(self.signatures[key]) for key in self.words.signers]
        return bytes(VersionedTransaction.populate(message, signatures))

    def to_json(self) -> str:
        """Return the file's text."""
        words = self.words
        plain = {
            "schema": SCHEMA,
            "chain": self.chain,
            "summary": list(words.lines),
            "signers": list(words.signers),
            "signatures": dict(self.signatures),
            "prepared_slot": self.prepared_slot,
            "message": base64.b64encode(self.message).decode(),
        }
        return json.dumps(plain, indent=1) + "\n"


def make_transaction(message: Any, chain: str, prepared_slot: int) -> TransactionFile:
    """Return an unsigned transaction of a compiled message."""
    return TransactionFile(chain=chain, message=to_bytes_versioned(message), signatures={}, prepared_slot=prepared_slot)


def parse_transaction(text: str | bytes) -> TransactionFile:
    """Return a file's text as a transaction, everything in it checked against its bytes. Raises BadInput."""
    try:
        plain = msgspec.json.decode(text, type=_Plain)
        message = base64.b64decode(plain.message, validate=True)
    except (msgspec.MsgspecError, UnicodeDecodeError, binascii.Error, RecursionError) as bad:
        raise BadInput(f"this is no transaction file: {bad}") from None
    if plain.schema != SCHEMA:
        raise BadInput(f"the transaction file is of the form {plain.schema[:60]!r}, this program knows {SCHEMA}")
    file = TransactionFile(
        chain=plain.chain, message=message, signatures=plain.signatures, prepared_slot=plain.prepared_slot
    )
    words = file.words
    for said, found in ((plain.summary, words.lines), (plain.signers, words.signers)):
        for claim, truth in zip([*said, *[""] * len(found)], [*found, *[""] * len(said)], strict=False):
            if claim != truth:
                raise BadInput(f"the file says {claim[:200]!r}, and its bytes say {truth[:200]!r}: do not trust it")
    return _verified(file)


def read_transaction(path: str | os.PathLike[str]) -> TransactionFile:
    """Read a transaction file. Raises BadInput naming it."""
    file = Path(path)
    try:
        with file.open("rb") as opened:
            text = opened.read(_FILE_BYTES_MAX + 1)
    except OSError as bad:
        raise BadInput(f"cannot read the transaction file {file}: {bad.strerror or type(bad).__name__}") from bad
    if len(text) > _FILE_BYTES_MAX:
        raise BadInput(f"{file} is no transaction file: it has over {_FILE_BYTES_MAX} bytes")
    try:
        return parse_transaction(text)
    except BadInput as bad:
        raise BadInput(f"{file}: {bad}") from bad


def write_transaction(path: str | os.PathLike[str], transaction: TransactionFile, *, new: bool = False) -> None:
    """Write a transaction file, whole or not at all; ``new`` refuses to overwrite. Raises BadInput."""
    file = Path(path)
    if new and file.exists():
        raise BadInput(f"{file} is there already: a transaction is never overwritten, name another file")
    part = file.with_name(f".{file.name}.{os.getpid()}.part")
    try:
        part.write_text(transaction.to_json(), "utf-8")
        part.replace(file)
    except OSError as bad:
        raise BadInput(f"cannot write the transaction file {file}: {bad.strerror or type(bad).__name__}") from bad


def _verified(file: TransactionFile) -> TransactionFile:
    asked = file.words.signers
    for key, text in file.signatures.items():
        if key not in asked:
            raise BadInput(f"the file has a signature of {key[:60]}, who is not asked to sign")
        try:
            good = Signature.from_string(text).verify(Pubkey.from_string(key), file.message)
        except ValueError:
            good = False
        if not good:
            raise BadInput(f"the signature of {key} does not belong to these bytes: have it signed again")
    return file
