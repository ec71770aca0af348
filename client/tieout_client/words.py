"""What a transaction's bytes would do, in words: for whoever is asked to sign them. Pure.

Nothing here comes from the file that carried the bytes. What cannot be put into words (another
program, an unknown instruction, accounts behind an address table) is a warning, and is not signed
unless it is forced.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from solders.instruction import Instruction
from solders.message import Message, MessageV0, from_bytes_versioned, to_bytes_versioned

from tieout_client.errors import BadInput
from tieout_client.nonce import nonce_of
from tieout_client.settling import instructions_of
from tieout_client.system_calls import parse_system, system_tag
from tieout_idl import (
    ASSOCIATED_TOKEN_PROGRAM,
    MEMO_PROGRAMS,
    SYSTEM_PROGRAM,
    TOKEN_2022_PROGRAM,
    Field,
    TokenFormatError,
    UnknownInstruction,
    decode,
)

COMPUTE_BUDGET_PROGRAM: Final = "ComputeBudget111111111111111111111111111111"
_AMOUNT_FIELDS: Final = frozenset({"amount", "fee"})


class _NotUnderstood(ValueError):
    """An instruction that cannot be put into words; it becomes a warning."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """A message in words. Addresses are base58.

    ``nonce`` is (account, value) of a durable nonce, else None; ``lines`` one sentence for each
    instruction, in order; ``warnings`` what is not understood: empty when everything is.
    """

    fee_payer: str
    signers: tuple[str, ...]
    blockhash: str
    nonce: tuple[str, str] | None
    lines: tuple[str, ...]
    warnings: tuple[str, ...]


def parse_message(raw: bytes) -> Message | MessageV0:
    """Return the message that bytes stand for, none of them left over. Raises BadInput."""
    try:
        message = from_bytes_versioned(raw)
    except ValueError as bad:
        raise BadInput(f"these bytes are no transaction message: {bad}; prepare the transaction again") from bad
    header, keys = message.header, len(message.account_keys)
    signing, fixed = header.num_required_signatures, header.num_readonly_unsigned_accounts
    sane = header.num_readonly_signed_accounts < signing <= keys - fixed
    if not sane or to_bytes_versioned(message) != raw:
        raise BadInput("these bytes are no transaction message, or more than one: prepare the transaction again")
    return message


def describe(message: Message | MessageV0) -> Words:
    """Return what a message would do."""
    steps, warnings, lines = instructions_of(message), [], []
    tables = getattr(message, "address_table_lookups", [])
    if tables:
        at = ", ".join(str(t.account_key) for t in tables)
        warnings.append(f"accounts come from the address tables {at}: these bytes do not say which")
    for number, step in enumerate(steps):
        try:
            if step is None:
                raise _NotUnderstood("it uses accounts of an address table")
            lines.append(_line(step))
        except _NotUnderstood as why:
            lines.append(f"NOT UNDERSTOOD: {why}")
            warnings.append(f"instruction {number}: {why}")
    keys = [str(key) for key in message.account_keys]
    nonce = nonce_of([s for s in steps[:1] if s is not None])
    return Words(
        fee_payer=keys[0],
        signers=tuple(keys[: message.header.num_required_signatures]),
        blockhash=str(message.recent_blockhash),
        nonce=None if nonce is None else (str(nonce[0]), str(message.recent_blockhash)),
        lines=tuple(lines),
        warnings=tuple(warnings),
    )


def _line(step: Instruction) -> str:
    program, data = str(step.program_id), bytes(step.data)
    accounts = [str(a.pubkey) for a in step.accounts]
    if program == TOKEN_2022_PROGRAM:
        return f"Token-2022: {_token(data, accounts)}"
    if program == SYSTEM_PROGRAM:
        return f"System: {_system(step)}"
    if program == ASSOCIATED_TOKEN_PROGRAM:
        return f"Associated Token: {_associated(data, accounts)}"
    if program in MEMO_PROGRAMS:
        return f"Memo: {_memo(data)!r}"
    if program == COMPUTE_BUDGET_PROGRAM:
        return f"Compute Budget: {_budget(data)}"
    raise _NotUnderstood(f"the program {program} is none that these transactions need; {len(data)} bytes of data")


def _token(data: bytes, accounts: Sequence[str]) -> str:
    try:
        decoded = decode(data)
    except TokenFormatError as bad:
        raise _NotUnderstood(f"Token-2022: {bad}") from None
    if isinstance(decoded, UnknownInstruction):
        raise _NotUnderstood(f"Token-2022: no instruction begins with {data[:8].hex() or 'nothing'}")
    if decoded.name == "batch":
        return _batch(decoded.args["data"], accounts)
    shown = [
        f"{field.name.replace('_', ' ')} {_value(field, decoded.args[field.name], decoded.args)}"
        for field in decoded.layout.fields
    ]
    args = ", ".join(shown)
    return f"{decoded.name.replace('_', ' ')}{': ' if args else ''}{args}{_places(decoded.layout.accounts, accounts)}"


def _batch(children: Sequence[Any], accounts: Sequence[str]) -> str:
    parts, taken = [], 0
    for child in children:
        parts.append(_token(child.data, accounts[taken : taken + child.number_of_accounts]))
        taken += child.number_of_accounts
    return "a batch of " + "; ".join(parts)


def _value(field: Field, value: Any, args: Any) -> str:
    decimals = args.get("decimals")
    if field.name in _AMOUNT_FIELDS and isinstance(value, int) and isinstance(decimals, int):
        tokens = f"{Decimal(value).scaleb(-decimals):f}"
        shown = tokens.rstrip("0").rstrip(".") if "." in tokens else tokens
        return f"{value:,} raw ({shown} before the multiplier)"
    if isinstance(value, bytes):
        return value.hex()
    if value is None:
        return "none"
    # Text is somebody's choice: quoted, it cannot pass for another line.
    return repr(value) if field.type == "string" else str(value)


def _places(layout: Sequence[Any], accounts: Sequence[str]) -> str:
    named = [a for a in layout if not a.is_optional] if len(accounts) < len(layout) else list(layout)
    if len(accounts) < len(named):
        raise _NotUnderstood(f"Token-2022: {len(accounts)} accounts, and {len(named)} are needed")
    shown = [f"{a.name.replace('_', ' ')} {at}" for a, at in zip(named, accounts, strict=False)]
    more = list(accounts[len(named) :])
    return "".join(f"; {s}" for s in shown) + (f"; with {', '.join(more)}" if more else "")


def _associated(data: bytes, accounts: Sequence[str]) -> str:
    if data not in {b"", b"\x00", b"\x01"} or len(accounts) < 6:
        raise _NotUnderstood("Associated Token: it is no opening of an account")
    unless = " unless it is open" if data == b"\x01" else ""
    payer, account, owner, mint = accounts[:4]
    return f"open the account {account} of {owner} for the mint {mint}{unless}; {payer} pays the rent"


def _memo(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise _NotUnderstood("Memo: its text is no UTF-8") from None


def _budget(data: bytes) -> str:
    if data[:1] == b"\x02" and len(data) == 5:
        return f"at most {struct.unpack_from('<I', data, 1)[0]:,} compute units"
    if data[:1] == b"\x03" and len(data) == 9:
        return f"bid {struct.unpack_from('<Q', data, 1)[0]:,} micro-lamports a compute unit"
    raise _NotUnderstood(f"Compute Budget: an instruction {data[:1].hex() or 'without data'}")


def _system(step: Instruction) -> str:
    tag, found = system_tag(step), parse_system(step)
    if tag is None or tag not in _SYSTEM:
        raise _NotUnderstood(f"System: the instruction {tag}")
    if found is None:
        raise _NotUnderstood(f"System: the instruction {tag} cannot be read")
    return _SYSTEM[tag].format(**found)


_SYSTEM: Final = {
    0: "{from_pubkey} pays {lamports:,} lamports for the new account {to_pubkey}, {space:,} bytes, of {owner}",
    1: "give the account {pubkey} to the program {owner}",
    2: "{from_pubkey} pays {lamports:,} lamports to {to_pubkey}",
    3: "{from_pubkey} pays {lamports:,} lamports for the new account {to_pubkey}, {space:,} bytes, of {owner}",
    4: "advance the nonce {nonce_pubkey}, by {authorized_pubkey}",
    5: "take {lamports:,} lamports from the nonce {nonce_pubkey} to {to_pubkey}, by {authorized_pubkey}",
    6: "make {nonce_pubkey} a nonce of {authority}",
    7: "hand the nonce {nonce_pubkey} from {authorized_pubkey} to {new_authority}",
    8: "allocate {space:,} bytes for the account {pubkey}",
    9: "allocate {space:,} bytes at {address} (seed {seed!r} of {base}), which can be done once, for {owner}",
}
