"""A mint and all its token accounts as a node has them, at one slot. The accounts are found by the mint at their
first 32 bytes and by program, never by size: accounts grow.
"""

import base64
from dataclasses import dataclass
from typing import Any

import msgspec

from tieout_idl import Mint, TokenAccount, TokenFormatError, parse_account, parse_mint
from tieout_idl.programs import TOKEN_PROGRAMS
from tieout_indexer.errors import NoSnapshot
from tieout_rpc import MalformedAnswer, RpcClient


@dataclass(frozen=True, slots=True)
class MintAt:
    """A mint account at a slot: its program, its exact bytes, what they say."""

    slot: int
    program: str
    data: bytes
    mint: Mint


@dataclass(frozen=True, slots=True)
class AccountsAt:
    """All token accounts of a mint at a slot, by address; ``answer`` is the node's own JSON."""

    slot: int
    accounts: dict[str, TokenAccount]
    answer: bytes


def withheld_of(account: Mint | TokenAccount) -> int:
    """Raw transfer fees that this account or mint holds back."""
    for extension in account.extensions:
        if extension.name in {"transfer_fee_amount", "transfer_fee_config"}:
            return int(extension.fields["withheld_amount"])
    return 0


async def read_mint(rpc: RpcClient, address: str) -> MintAt:
    """Read a mint at the finalized slot. Raises NoSnapshot where there is none, RpcError."""
    answer: Any = await rpc.call("getAccountInfo", [address, {"encoding": "base64", "commitment": "finalized"}])
    try:
        slot, value = int(answer["context"]["slot"]), answer["value"]
        if value is None or value["owner"] not in TOKEN_PROGRAMS:
            raise NoSnapshot(f"{address} is no mint at slot {slot}: check the address, and the node's cluster")
        data = base64.b64decode(value["data"][0], validate=True)
        return MintAt(slot, value["owner"], data, parse_mint(data))
    except (KeyError, TypeError, IndexError, ValueError) as bad:
        raise MalformedAnswer(f"a node answered getAccountInfo of {address} in an unexpected form: {bad}") from bad


async def read_accounts(rpc: RpcClient, mint: str, program: str) -> AccountsAt:
    """Read every token account of a mint at the finalized slot. Raises RpcError."""
    config = {
        "encoding": "base64",
        "commitment": "finalized",
        "withContext": True,
        "filters": [{"memcmp": {"offset": 0, "bytes": mint}}],
    }
    raw, endpoint = await rpc.call_raw("getProgramAccounts", [program, config])
    return parse_accounts(raw, mint, endpoint)


def parse_accounts(raw: bytes, mint: str, endpoint: str) -> AccountsAt:
    """Read a getProgramAccounts answer with context. Raises MalformedAnswer."""

    try:
        answer = msgspec.json.decode(raw)
        accounts = {}
        for entry in answer["value"]:
            account = parse_account(base64.b64decode(entry["account"]["data"][0], validate=True))
            if account.mint == mint and account.state != "uninitialized":
                accounts[str(entry["pubkey"])] = account
        return AccountsAt(int(answer["context"]["slot"]), accounts, raw)
    except (msgspec.MsgspecError, KeyError, TypeError, IndexError, ValueError, TokenFormatError) as bad:
        raise MalformedAnswer(f"{endpoint} answered getProgramAccounts of {mint} in an unexpected form: {bad}") from bad
