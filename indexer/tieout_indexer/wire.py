"""The node's JSON, split into blocks and transactions; exact bytes kept until they matter.

Shapes: ``getBlock`` with encoding ``json``, transactionDetails ``full``. ``null`` and absent are
told apart from empty: a list that is not there is unknown, never empty. ``gc=False``: values of a tree have no
cycles, and a block has tens of thousands of them for the collector to walk.
"""

import re
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Raw, UnsetType

Count = Annotated[int, msgspec.Meta(ge=0, le=2**62)]
Index = Annotated[int, msgspec.Meta(ge=0, le=2**16)]
StackHeight = Annotated[int, msgspec.Meta(ge=0, le=64)]
"""The protocol allows a handful; a hostile answer must not make us count further."""
Decimals = Annotated[int, msgspec.Meta(ge=0, le=255)]
UnixSeconds = Annotated[int, msgspec.Meta(ge=0, le=253_402_300_799)]
"""Up to the end of year 9999, as far as calendars go."""


class TokenAmount(msgspec.Struct, frozen=True, gc=False):
    """Only the raw amount: the ui figures are scaled or not depending on the call."""

    amount: str
    """an integer as text; ``parse_transaction`` holds it to that"""
    decimals: Decimals


class TokenBalance(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    """One row of pre- or postTokenBalances; owner is absent in old blocks."""

    account_index: Index
    mint: str
    ui_token_amount: TokenAmount
    owner: str | None = None


class WireInstruction(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    """One compiled instruction; stackHeight is 1 or null at the top, from 2 within."""

    program_id_index: Index
    accounts: list[Index]
    data: str
    stack_height: StackHeight | None = None


class InnerInstructions(msgspec.Struct, frozen=True, gc=False):
    """The instructions that a top-level one invoked, in execution order."""

    index: Index
    instructions: list[WireInstruction]


class LoadedAddresses(msgspec.Struct, frozen=True, gc=False):
    """What lookup tables added to the account keys: writable ones first."""

    writable: list[str] = []
    readonly: list[str] = []


class Meta(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    """The outcome of a transaction, whole."""

    err: Any
    inner_instructions: list[InnerInstructions]
    pre_token_balances: list[TokenBalance]
    post_token_balances: list[TokenBalance]
    loaded_addresses: LoadedAddresses | None = None


class Message(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    """The signed message."""

    account_keys: list[str]
    instructions: list[WireInstruction]


class SignedTransaction(msgspec.Struct, frozen=True, gc=False):
    """Signatures and message."""

    signatures: list[str]
    message: Message


class WireTransaction(msgspec.Struct, frozen=True, gc=False):
    """One transaction of a block, decoded in full."""

    transaction: SignedTransaction
    meta: Meta
    version: int | str | None = None


class _MetaHead(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    err: Raw | UnsetType = UNSET
    inner_instructions: Raw | UnsetType = UNSET
    pre_token_balances: Raw | UnsetType = UNSET
    post_token_balances: Raw | UnsetType = UNSET


class TransactionHead(msgspec.Struct, frozen=True, gc=False):
    """A transaction of which only its verifiability is read."""

    meta: _MetaHead | None = None


class Links(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    """What links a block to its parent, and its time."""

    blockhash: str
    parent_slot: Count
    previous_blockhash: str
    block_time: UnixSeconds | None = None


class Block(Links, frozen=True, gc=False, rename="camel"):
    """A block and its transactions as exact bytes: one pass over a block of which some may matter."""

    transactions: list[Raw] | None = None


class Heads(Links, frozen=True, gc=False, rename="camel"):
    """A block and its transactions' verifiability: one pass over a block of which none can matter."""

    transactions: list[TransactionHead] | None = None


UNREADABLE = (msgspec.MsgspecError, ValueError, RecursionError)
"""What reading hostile bytes may raise: another shape, bad UTF-8, endless nesting."""

_BLOCK = msgspec.json.Decoder(Block | None)
_HEADS = msgspec.json.Decoder(Heads | None)
_HEAD = msgspec.json.Decoder(TransactionHead)
_TRANSACTION = msgspec.json.Decoder(WireTransaction)
_NULL = b"null"
_LISTS = b'"innerInstructions":[', b'"preTokenBalances":[', b'"postTokenBalances":['
_AMOUNTS = re.compile("(?:(?:0|[1-9][0-9]{0,19}),)*")


def is_plain(*texts: str) -> bool:
    """Whether addresses, hashes and signatures are of letters and digits, as base 58 is."""
    # of bytes, only ASCII counts as alphanumeric; and it is seven times as fast as asking the text
    return "".join(texts).encode("utf-8", "replace").isalnum()


def parse_block(body: bytes) -> Block | None:
    """Read a getBlock result's links, split it into transactions; None is the node's null. Raises one of UNREADABLE."""
    block: Block | None = _BLOCK.decode(body)
    return block


def parse_heads(body: bytes) -> Heads | None:
    """Read a getBlock result's links, and of each transaction whether it can be verified. Raises as parse_block."""
    heads: Heads | None = _HEADS.decode(body)
    return heads


def parse_transaction(body: bytes) -> WireTransaction:
    """Decode one transaction whole. Raises one of UNREADABLE on a shape that is not understood."""
    transaction = _TRANSACTION.decode(body)
    meta, loaded = transaction.meta, transaction.meta.loaded_addresses or LoadedAddresses()
    keys = transaction.transaction.message.account_keys
    rows = meta.pre_token_balances + meta.post_token_balances
    mints, owners = [row.mint for row in rows], [row.owner for row in rows if row.owner]
    if not is_plain(*keys, *loaded.writable, *loaded.readonly, *transaction.transaction.signatures, *mints, *owners):
        raise ValueError("an address or signature is not base 58")
    # All amounts at once: a pattern on each would cost as much as the rest of their parsing.
    if not _AMOUNTS.fullmatch("".join([row.ui_token_amount.amount + "," for row in rows])):
        raise ValueError("an amount is no integer of up to 20 digits")
    if not transaction.transaction.signatures:
        raise ValueError("it has no signature")
    return transaction


class Verdict(msgspec.Struct, frozen=True, gc=False):
    """Of one transaction: why it cannot be verified (None: it can), and whether it failed on chain."""

    problem: str | None
    failed: bool


_GOOD = Verdict(None, False)
_FAILED = Verdict(None, True)


def judge(head: TransactionHead) -> Verdict:
    """Whether a transaction can be verified from this answer.

    Nodes that were set up otherwise at the time answer null for what they did not keep. What an
    error looks like is the node's affair: any that is not null is a failure.
    """
    meta = head.meta
    if meta is None:
        return Verdict("meta is null", False)
    for name, value in (
        ("innerInstructions", meta.inner_instructions),
        ("preTokenBalances", meta.pre_token_balances),
        ("postTokenBalances", meta.post_token_balances),
    ):
        if value is UNSET or _is_null(value):
            return Verdict(f"{name} is {'missing' if value is UNSET else 'null'}", False)
    if meta.err is UNSET:
        return Verdict("err is missing", False)
    return _GOOD if _is_null(meta.err) else _FAILED


def judge_bytes(transaction: bytes) -> Verdict:
    """As ``judge``, from a transaction's bytes. Raises one of UNREADABLE.

    Within JSON's strings a quote is escaped, so that what is searched for is a key and how its value begins, and the
    protocol has each of them once. Finding them is quicker than parsing all that lies between, most of a block's
    bytes; quicker yet one after the other, in the order in which nodes write them. Where one is null or missing, or
    written with spaces, the transaction is parsed; so is whatever goes on to be decoded.
    """
    err = at = transaction.find(b'"err":')
    for key in _LISTS:
        if at >= 0:
            at = transaction.find(key, at)
    if at >= 0 or (err >= 0 and all(key in transaction for key in _LISTS)):
        if transaction.startswith(b"null", err + 6):
            return _GOOD
        if transaction.startswith(b"{", err + 6):
            return _FAILED
    return judge(_HEAD.decode(transaction))


def _is_null(value: Raw) -> bool:
    # the length first: most values are kilobytes that need not be copied to be compared
    return len(value) == len(_NULL) and bytes(value) == _NULL
