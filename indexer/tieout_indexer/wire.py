"""The node's JSON, split into blocks and transactions; exact bytes kept until they matter.

Shapes: ``getBlock`` with encoding ``json``, transactionDetails ``full``. ``null`` and absent are
told apart from empty: a list that is not there is unknown, never empty.
"""

from typing import Any

import msgspec
from msgspec import UNSET, Raw, UnsetType


class TokenAmount(msgspec.Struct, frozen=True):
    """Only the raw amount: the ui figures are scaled or not depending on the call."""

    amount: str
    decimals: int


class TokenBalance(msgspec.Struct, frozen=True, rename="camel"):
    """One row of pre- or postTokenBalances; owner is absent in old blocks."""

    account_index: int
    mint: str
    ui_token_amount: TokenAmount
    owner: str | None = None


class WireInstruction(msgspec.Struct, frozen=True, rename="camel"):
    """One compiled instruction; stackHeight is 1 or null at the top, from 2 within."""

    program_id_index: int
    accounts: list[int]
    data: str
    stack_height: int | None = None


class InnerInstructions(msgspec.Struct, frozen=True):
    """The instructions that a top-level one invoked, in execution order."""

    index: int
    instructions: list[WireInstruction]


class LoadedAddresses(msgspec.Struct, frozen=True):
    """What lookup tables added to the account keys: writable ones first."""

    writable: list[str] = []
    readonly: list[str] = []


class Meta(msgspec.Struct, frozen=True, rename="camel"):
    """The outcome of a transaction, whole."""

    err: Any
    inner_instructions: list[InnerInstructions]
    pre_token_balances: list[TokenBalance]
    post_token_balances: list[TokenBalance]
    loaded_addresses: LoadedAddresses | None = None


class Message(msgspec.Struct, frozen=True, rename="camel"):
    """The signed message."""

    account_keys: list[str]
    instructions: list[WireInstruction]


class SignedTransaction(msgspec.Struct, frozen=True):
    """Signatures and message."""

    signatures: list[str]
    message: Message


class WireTransaction(msgspec.Struct, frozen=True):
    """One transaction of a block, decoded in full."""

    transaction: SignedTransaction
    meta: Meta
    version: int | str | None = None


class _MetaHead(msgspec.Struct, frozen=True, rename="camel"):
    err: Raw | UnsetType = UNSET
    inner_instructions: Raw | UnsetType = UNSET
    pre_token_balances: Raw | UnsetType = UNSET
    post_token_balances: Raw | UnsetType = UNSET


class TransactionHead(msgspec.Struct, frozen=True):
    """A transaction of which only its verifiability is read."""

    meta: _MetaHead | None = None


class Block(msgspec.Struct, frozen=True, rename="camel"):
    """A block as fetched; its transactions stay bytes until one of them matters."""

    blockhash: str
    parent_slot: int
    previous_blockhash: str
    block_time: int | None = None
    transactions: list[Raw] | None = None


class Heads(msgspec.Struct, frozen=True, rename="camel"):
    """A block of which only the links and the transactions' verifiability are read."""

    blockhash: str
    parent_slot: int
    previous_blockhash: str
    block_time: int | None = None
    transactions: list[TransactionHead] | None = None


_BLOCK = msgspec.json.Decoder(Block | None)
_HEADS = msgspec.json.Decoder(Heads | None)
_HEAD = msgspec.json.Decoder(TransactionHead)
_TRANSACTION = msgspec.json.Decoder(WireTransaction)
_NULL = b"null"
_REQUIRED = ("err", "inner_instructions", "pre_token_balances", "post_token_balances")


def parse_block(body: bytes) -> Block | None:
    """Split a getBlock result; None is the node's null. Raises msgspec.MsgspecError on any other shape."""
    block: Block | None = _BLOCK.decode(body)
    return block


def parse_heads(body: bytes) -> Heads | None:
    """Read a getBlock result whose transactions do not matter: a third of the time of splitting and checking it."""
    heads: Heads | None = _HEADS.decode(body)
    return heads


def parse_transaction(body: bytes) -> WireTransaction:
    """Decode one transaction whole. Raises msgspec.MsgspecError on a shape that is not understood."""
    return _TRANSACTION.decode(body)


class Verdict(msgspec.Struct, frozen=True):
    """Of one transaction: why it cannot be verified (None: it can), and whether it failed on chain."""

    problem: str | None
    failed: bool


_GOOD = Verdict(None, False)
_FAILED = Verdict(None, True)


def judge(body: bytes | Raw) -> Verdict:
    """Whether a transaction can be verified from this answer.

    Nodes that were set up otherwise at the time answer null for what they did not keep. What an
    error looks like is the node's affair: any that is not null is a failure.
    """
    try:
        return judge_head(_HEAD.decode(body))
    except msgspec.MsgspecError as bad:
        return Verdict(f"a transaction is not of the expected shape: {bad}", False)


def judge_head(head: TransactionHead) -> Verdict:
    """The verdict on a head that was read with its block."""
    meta = head.meta
    if meta is None:
        return Verdict("meta is null", False)
    for name in _REQUIRED:
        value = getattr(meta, name)
        if value is UNSET or (name != "err" and bytes(value) == _NULL):
            return Verdict(f"{name} is {'missing' if value is UNSET else 'null'}", False)
    assert meta.err is not UNSET, "ruled out above"
    return _GOOD if bytes(meta.err) == _NULL else _FAILED
