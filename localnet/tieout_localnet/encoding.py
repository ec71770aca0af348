"""Transactions, blocks and accounts in the shapes that nodes send them.

Encodings of a transaction: json (indexes), jsonParsed (keys spelled out, known programs parsed), base64,
base58. Pure: values in, JSON-able values out.
"""

import base64
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import zstandard
from solders.pubkey import Pubkey

from tieout_localnet import base58, parsed
from tieout_localnet.accounts import RENT_EXEMPT_EPOCH, AccountState
from tieout_localnet.balances import TokenBalance, unscaled_ui_amount
from tieout_localnet.chain import Block, Reward
from tieout_localnet.engine import Execution, InnerInstruction
from tieout_localnet.transaction import Resolved

Json = dict[str, object]

BASE58_DATA_BYTES_MAX: Final = 128
"""Nodes refuse to show longer account data in base58."""

TRANSACTION_ENCODINGS: Final = ("binary", "base64", "base58", "json", "jsonParsed")


@dataclass(frozen=True, slots=True)
class Balances:
    """Lamports and tokens of a transaction's accounts, before and after."""

    pre: Sequence[int]
    post: Sequence[int]
    pre_tokens: Sequence[TokenBalance]
    post_tokens: Sequence[TokenBalance]


def status_of(err: object) -> Json:
    """The older spelling of an outcome."""
    return {"Ok": None} if err is None else {"Err": err}


def token_row(row: TokenBalance) -> Json:
    """One row of preTokenBalances or postTokenBalances."""
    return {
        "accountIndex": row.account_index,
        "mint": row.mint,
        "owner": row.owner,
        "programId": row.program,
        "uiTokenAmount": unscaled_ui_amount(row.amount, row.decimals),
    }


def loaded_addresses(resolved: Resolved) -> Json:
    """What lookup tables added."""
    return {
        "readonly": [str(key) for key in resolved.loaded_readonly],
        "writable": [str(key) for key in resolved.loaded_writable],
    }


def return_data(execution: Execution) -> Json | None:
    """What the last program returned, if any returned anything."""
    if execution.return_data is None:
        return None
    program, data = execution.return_data
    return {"data": [base64.b64encode(data).decode(), "base64"], "programId": str(program)}


def inner_groups(execution: Execution) -> list[Json]:
    """Inner instructions by outer instruction; instructions that called nothing are left out."""
    return [
        {"index": index, "instructions": [_inner(inner) for inner in group]}
        for index, group in enumerate(execution.inner)
        if group
    ]


def _inner(inner: InnerInstruction) -> Json:
    return {
        "accounts": list(inner.accounts),
        "data": base58.encode(inner.data),
        "programIdIndex": inner.program_index,
        "stackHeight": inner.stack_height,
    }


def meta_of(resolved: Resolved, execution: Execution, balances: Balances, cost_units: int) -> Json:
    """The `meta` of a transaction in a block, in its stored form (encoding json, rewards empty)."""
    meta: Json = {
        "computeUnitsConsumed": execution.units,
        "costUnits": cost_units,
        "err": execution.err,
        "fee": execution.fee,
        "innerInstructions": inner_groups(execution),
        "loadedAddresses": loaded_addresses(resolved),
        "logMessages": list(execution.logs),
        "postBalances": list(balances.post),
        "postTokenBalances": [token_row(row) for row in balances.post_tokens],
        "preBalances": list(balances.pre),
        "preTokenBalances": [token_row(row) for row in balances.pre_tokens],
        "rewards": [],
        "status": status_of(execution.err),
    }
    returned = return_data(execution)
    if returned is not None:
        meta["returnData"] = returned
    return meta


def message_json(resolved: Resolved) -> Json:
    """A message with indexes, as encoding json has it."""
    message = resolved.transaction.message
    header = message.header
    shown: Json = {
        "accountKeys": [str(key) for key in resolved.keys[: resolved.static_count]],
        "header": {
            "numReadonlySignedAccounts": header.num_readonly_signed_accounts,
            "numReadonlyUnsignedAccounts": header.num_readonly_unsigned_accounts,
            "numRequiredSignatures": header.num_required_signatures,
        },
        "instructions": [
            {
                "accounts": list(bytes(instruction.accounts)),
                "data": base58.encode(bytes(instruction.data)),
                "programIdIndex": instruction.program_id_index,
                "stackHeight": 1,
            }
            for instruction in resolved.instructions
        ],
        "recentBlockhash": str(message.recent_blockhash),
    }
    if not resolved.is_legacy:
        shown["addressTableLookups"] = _table_lookups(resolved)
    return shown


def _table_lookups(resolved: Resolved) -> list[Json]:
    lookups = getattr(resolved.transaction.message, "address_table_lookups", ())
    return [
        {
            "accountKey": str(lookup.account_key),
            "readonlyIndexes": list(bytes(lookup.readonly_indexes)),
            "writableIndexes": list(bytes(lookup.writable_indexes)),
        }
        for lookup in lookups
    ]


def account_keys(resolved: Resolved) -> list[Json]:
    """Keys with what the transaction may do with them, as jsonParsed and `accounts` have them."""
    signed = resolved.transaction.message.header.num_required_signatures
    return [
        {
            "pubkey": str(key),
            "signer": index < signed,
            "source": "transaction" if index < resolved.static_count else "lookupTable",
            "writable": resolved.writable[index],
        }
        for index, key in enumerate(resolved.keys)
    ]


def _spelled_out(
    resolved: Resolved, program: int, accounts: Sequence[int], data: str, height: object
) -> Json:
    keys = [str(resolved.keys[index]) for index in accounts]
    program_id = resolved.keys[program]
    shown: Json = {"programId": str(program_id), "stackHeight": height}
    known = parsed.instruction(program_id, base58.decode(data), keys)
    return {**shown, "accounts": keys, "data": data} if known is None else {**shown, **known}


def message_parsed(resolved: Resolved) -> Json:
    """A message with keys in place of indexes, as encoding jsonParsed has it."""
    shown: Json = {
        "accountKeys": account_keys(resolved),
        "instructions": [
            _spelled_out(
                resolved,
                instruction.program_id_index,
                bytes(instruction.accounts),
                base58.encode(bytes(instruction.data)),
                1,
            )
            for instruction in resolved.instructions
        ],
        "recentBlockhash": resolved.recent_blockhash,
    }
    if not resolved.is_legacy:
        shown["addressTableLookups"] = _table_lookups(resolved)
    return shown


def meta_parsed(resolved: Resolved, meta: Mapping[str, object]) -> Json:
    """A stored `meta` as encoding jsonParsed has it: keys in place of indexes, no loadedAddresses."""
    shown = {key: value for key, value in meta.items() if key != "loadedAddresses"}
    groups: list[Json] = []
    for group in _list(meta["innerInstructions"]):
        instructions = [
            _spelled_out(
                resolved, inner["programIdIndex"], inner["accounts"], inner["data"], inner["stackHeight"]
            )
            for inner in group["instructions"]
        ]
        groups.append({"index": group["index"], "instructions": instructions})
    shown["innerInstructions"] = groups
    return shown


def _list(value: object) -> list[dict]:  # type: ignore[type-arg]
    return value if isinstance(value, list) else []


def encoded_transaction(resolved: Resolved, encoding: str) -> object:
    """The `transaction` member in one of the encodings."""
    if encoding == "base64":
        return [base64.b64encode(resolved.wire).decode(), "base64"]
    if encoding == "base58":
        return [base58.encode(resolved.wire), "base58"]
    if encoding == "binary":
        return base58.encode(resolved.wire)
    message = message_parsed(resolved) if encoding == "jsonParsed" else message_json(resolved)
    return {"message": message, "signatures": [str(s) for s in resolved.transaction.signatures]}


def full_transaction(
    resolved: Resolved, meta: Mapping[str, object], encoding: str, *, rewards: bool, versioned: bool
) -> Json:
    """A transaction as getBlock and getTransaction answer it."""
    shown = meta_parsed(resolved, meta) if encoding == "jsonParsed" else dict(meta)
    shown["rewards"] = [] if rewards else None
    answer: Json = {"meta": shown, "transaction": encoded_transaction(resolved, encoding)}
    if versioned:
        answer["version"] = "legacy" if resolved.is_legacy else 0
    return answer


ACCOUNTS_META: Final = (
    "err",
    "fee",
    "postBalances",
    "postTokenBalances",
    "preBalances",
    "preTokenBalances",
    "status",
)


def accounts_transaction(
    resolved: Resolved, meta: Mapping[str, object], *, rewards: bool, versioned: bool
) -> Json:
    """A transaction as getBlock answers it with transactionDetails `accounts`."""
    shown: Json = {key: meta[key] for key in ACCOUNTS_META}
    shown["rewards"] = [] if rewards else None
    signatures = [str(s) for s in resolved.transaction.signatures]
    answer: Json = {
        "meta": shown,
        "transaction": {"accountKeys": account_keys(resolved), "signatures": signatures},
    }
    if versioned:
        answer["version"] = "legacy" if resolved.is_legacy else 0
    return answer


def reward_json(reward: Reward) -> Json:
    """One entry of a block's rewards."""
    return {
        "commission": None,
        "lamports": reward.lamports,
        "postBalance": reward.post_balance,
        "pubkey": reward.pubkey,
        "rewardType": reward.reward_type,
    }


def block_header(block: Block) -> Json:
    """The members of a block that do not depend on its transactions."""
    return {
        "blockHeight": block.height,
        "blockTime": block.block_time,
        "blockhash": block.blockhash,
        "parentSlot": block.parent_slot,
        "previousBlockhash": block.previous_blockhash,
    }


def account_json(
    state: AccountState,
    encoding: str,
    data_slice: tuple[int, int] | None,
    read: Callable[[Pubkey], AccountState | None],
    unix_s: int,
) -> Json:
    """An account; the caller has checked that the encoding can hold it. `read` and the time (which scales
    amounts) are those of the state that the account is from."""
    shown = parsed.account_data(state, read, unix_s) if encoding == "jsonParsed" else None
    data = state.data
    if data_slice is not None:
        offset, length = data_slice
        data = data[offset : offset + length]
    return {
        "data": account_data(data, encoding) if shown is None else shown,
        "executable": state.executable,
        "lamports": state.lamports,
        "owner": str(state.owner),
        "rentEpoch": RENT_EXEMPT_EPOCH,
        "space": len(state.data),
    }


def account_data(data: bytes, encoding: str) -> object:
    """Account data in an encoding; jsonParsed falls back to base64, as for programs a node cannot parse."""
    if encoding == "binary":
        return base58.encode(data)
    if encoding == "base58":
        return [base58.encode(data), "base58"]
    if encoding == "base64+zstd":
        return [base64.b64encode(compressed(data)).decode(), "base64+zstd"]
    return [base64.b64encode(data).decode(), "base64"]


def compressed(data: bytes) -> bytes:
    """Data as a zstd stream of unstated length, as nodes write it."""
    stream = zstandard.ZstdCompressor().compressobj()
    return stream.compress(data) + stream.flush()
