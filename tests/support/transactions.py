"""Small transactions in the node's JSON, for what no recording holds."""

import json
from typing import Any

from tieout_idl import TOKEN_2022_PROGRAM, base58

MINT = base58.encode(b"\x01" * 32)
TREASURY = base58.encode(b"\x02" * 32)
ALICE = base58.encode(b"\x03" * 32)
BOB = base58.encode(b"\x04" * 32)
ISSUER = base58.encode(b"\x05" * 32)
MEMO = "MemoSq4gqABAXKb96qnH8TysNcWxMyWCqXgDLGmfcHr"
OTHER_PROGRAM = base58.encode(b"\x09" * 32)
KEYS = [ISSUER, MINT, TREASURY, ALICE, BOB, TOKEN_2022_PROGRAM, MEMO, OTHER_PROGRAM]
OWNERS = {TREASURY: ISSUER, ALICE: base58.encode(b"\x13" * 32), BOB: base58.encode(b"\x14" * 32)}


def instruction(
    data: bytes, *accounts: str, program: str = TOKEN_2022_PROGRAM, height: int | None = 1
) -> dict[str, Any]:
    """A compiled instruction over KEYS."""
    return {
        "programIdIndex": KEYS.index(program),
        "accounts": [KEYS.index(a) for a in accounts],
        "data": base58.encode(data),
        "stackHeight": height,
    }


def balances(**amounts: int) -> list[dict[str, Any]]:
    """Token balance rows of TREASURY, ALICE, BOB by lower-case name."""
    accounts = {"treasury": TREASURY, "alice": ALICE, "bob": BOB}
    return [
        {
            "accountIndex": KEYS.index(accounts[name]),
            "mint": MINT,
            "owner": OWNERS[accounts[name]],
            "programId": TOKEN_2022_PROGRAM,
            "uiTokenAmount": {"amount": str(amount), "decimals": 8, "uiAmount": None, "uiAmountString": ""},
        }
        for name, amount in amounts.items()
    ]


def transaction(
    *outer: dict[str, Any],
    pre: list[dict[str, Any]],
    post: list[dict[str, Any]],
    inner: list[dict[str, Any]] | None = None,
    err: Any = None,
    **more: Any,
) -> bytes:
    """A transaction's JSON."""
    meta = {
        "err": err,
        "status": {"Err": err} if err else {"Ok": None},
        "fee": 5000,
        "preBalances": [0] * len(KEYS),
        "postBalances": [0] * len(KEYS),
        "innerInstructions": inner or [],
        "logMessages": [],
        "preTokenBalances": pre,
        "postTokenBalances": post,
        "loadedAddresses": {"readonly": [], "writable": []},
    }
    message = {
        "accountKeys": KEYS,
        "header": {"numReadonlySignedAccounts": 0, "numReadonlyUnsignedAccounts": 3, "numRequiredSignatures": 1},
        "instructions": list(outer),
        "recentBlockhash": "1" * 32,
    }
    signed = {"message": message, "signatures": [base58.encode(b"\x07" * 64)]}
    return json.dumps({"meta": {**meta, **more}, "transaction": signed, "version": 0}).encode()
