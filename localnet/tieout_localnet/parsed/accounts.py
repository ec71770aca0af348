"""Accounts as nodes parse them: mints, token accounts, multisigs, lookup tables, nonces."""

from collections.abc import Callable, Sequence
from typing import Final

from solders.pubkey import Pubkey

from tieout_localnet import programs
from tieout_localnet.accounts import AccountState
from tieout_localnet.balances import (
    EXTENSIONS_AT,
    MULTISIG_BYTES,
    parse_mint,
    parse_token_account,
    scaled_ui_amount,
)
from tieout_localnet.nonce import NONCE_ACCOUNT_BYTES
from tieout_localnet.parsed.extensions import Json, account_state, extensions
from tieout_localnet.parsed.reader import Reader, Unreadable
from tieout_localnet.transaction import TABLE_HEADER_BYTES

ReadAccount = Callable[[Pubkey], AccountState | None]

SIGNERS_MAX: Final = 11


def account_data(state: AccountState, read: ReadAccount, unix_s: int) -> Json | None:
    """The `data` of an account in jsonParsed; None when nodes cannot parse it. `read` finds the mint."""
    try:
        found = _parsed(state, read, unix_s)
    except (Unreadable, IndexError):
        return None
    if found is None:
        return None
    program, parsed = found
    return {"parsed": parsed, "program": program, "space": len(state.data)}


def _parsed(state: AccountState, read: ReadAccount, unix_s: int) -> tuple[str, Json] | None:
    if state.owner in programs.TOKEN_PROGRAMS:
        program = "spl-token" if state.owner == programs.TOKEN else "spl-token-2022"
        shown = _token(state, read, unix_s)
        return None if shown is None else (program, shown)
    if state.owner == programs.LOOKUP_TABLE:
        return "address-lookup-table", _lookup_table(state.data)
    if state.owner == programs.SYSTEM and len(state.data) == NONCE_ACCOUNT_BYTES:
        return "nonce", _nonce(state.data)
    return None


def _token(state: AccountState, read: ReadAccount, unix_s: int) -> Json | None:
    if len(state.data) == MULTISIG_BYTES:
        return {"info": _multisig(state.data), "type": "multisig"}
    if parse_mint(state) is not None:
        return {"info": _mint(state.data), "type": "mint"}
    info = _account(state, read, unix_s)
    return None if info is None else {"info": info, "type": "account"}


def _with_extensions(info: Json, data: bytes) -> Json:
    found = extensions(data, EXTENSIONS_AT)
    return {**info, "extensions": found} if found else info


def _mint(data: bytes) -> Json:
    reader = Reader(data)
    info: Json = {
        "mintAuthority": reader.padded_key(),
        "supply": str(reader.u64()),
        "decimals": reader.u8(),
        "isInitialized": reader.flag(),
        "freezeAuthority": reader.padded_key(),
    }
    return _with_extensions(info, data)


def _account(state: AccountState, read: ReadAccount, unix_s: int) -> Json | None:
    token = parse_token_account(state)
    holder = None if token is None else read(token.mint)
    mint = None if holder is None else parse_mint(holder)
    if token is None or mint is None:
        return None
    reader = Reader(state.data, 72)
    delegate, status = reader.padded_key(), reader.u8()
    native, reserve = reader.number(4) == 1, reader.u64()
    delegated, close_authority = reader.u64(), reader.padded_key()
    info: Json = {
        "isNative": native,
        "mint": str(token.mint),
        "owner": str(token.owner),
        "state": account_state(status),
        "tokenAmount": scaled_ui_amount(token.amount, mint, unix_s),
    }
    if delegate is not None:
        info["delegate"] = delegate
        info["delegatedAmount"] = scaled_ui_amount(delegated, mint, unix_s)
    if native:
        info["rentExemptReserve"] = scaled_ui_amount(reserve, mint, unix_s)
    if close_authority is not None:
        info["closeAuthority"] = close_authority
    return _with_extensions(info, state.data)


def _multisig(data: bytes) -> Json:
    reader = Reader(data)
    required, valid, initialized = reader.u8(), reader.u8(), reader.flag()
    signers: Sequence[str | None] = [reader.key_or_zero() for _ in range(SIGNERS_MAX)]
    return {
        "numRequiredSigners": required,
        "numValidSigners": valid,
        "isInitialized": initialized,
        "signers": [signer for signer in signers if signer is not None],
    }


def _lookup_table(data: bytes) -> Json:
    reader = Reader(data)
    if reader.number(4) != 1:
        return {"type": "uninitialized"}
    deactivation, extended, start = reader.u64(), reader.u64(), reader.u8()
    authority = reader.tagged_key()
    addresses = data[TABLE_HEADER_BYTES:]
    info: Json = {
        "addresses": [str(Pubkey.from_bytes(addresses[i : i + 32])) for i in range(0, len(addresses), 32)],
        "deactivationSlot": str(deactivation),
        "lastExtendedSlot": str(extended),
        "lastExtendedSlotStartIndex": start,
    }
    if authority is not None:
        info["authority"] = authority
    return {"info": info, "type": "lookupTable"}


def _nonce(data: bytes) -> Json:
    reader = Reader(data, 4)
    if reader.number(4) != 1:
        return {"info": {}, "type": "uninitialized"}
    return {
        "info": {
            "authority": reader.key(),
            "blockhash": reader.key(),
            "feeCalculator": {"lamportsPerSignature": str(reader.u64())},
        },
        "type": "initialized",
    }
