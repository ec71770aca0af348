"""The values that flow through the indexer, from decoded instruction to stored row."""

from datetime import datetime
from typing import Any

import msgspec

ISSUANCE = "issuance"
WITHHELD = "withheld"
CONFIDENTIAL = "confidential"
PSEUDO_ACCOUNTS = frozenset({ISSUANCE, WITHHELD, CONFIDENTIAL})
"""The other side of a mint, a fee, a hidden balance: every stored movement has two sides."""
SNAPSHOT_INDEX = 2**31 - 1
"""tx_index of what a snapshot says of a slot: after every transaction of it."""


class Place(msgspec.Struct, frozen=True, gc=False):
    """Where in a transaction: execution step, ordinal in a Batch (or -1), and the path for people."""

    step: int
    child: int
    path: str


WHOLE = Place(-1, -1, "")
"""The place of a doubt that concerns a transaction as a whole."""


class Event(msgspec.Struct, frozen=True, gc=False):
    """One movement of a visible balance or the supply. Amounts raw; ``fee`` is part of ``amount``."""

    place: Place
    program: str
    kind: str
    mint: str
    source: str
    source_owner: str | None
    destination: str
    destination_owner: str | None
    authority: str | None
    authority_role: str | None
    amount: int
    fee: int


class Control(msgspec.Struct, frozen=True, gc=False):
    """A change of who may do what, or of how amounts are displayed."""

    place: Place
    kind: str
    mint: str
    account: str | None
    authority: str | None
    details: dict[str, Any]


class Touch(msgspec.Struct, frozen=True, gc=False):
    """The node's own figures for one account of a mint around a transaction; None: it did not exist."""

    mint: str
    account: str
    decimals: int | None
    pre_amount: int | None
    post_amount: int | None
    pre_owner: str | None
    post_owner: str | None


class Doubt(msgspec.Struct, frozen=True, gc=False):
    """Why a transaction is quarantined for a mint."""

    place: Place
    mint: str
    reason: str
    data: str


class TransactionResult(msgspec.Struct):
    """All that one successful transaction says about the tracked mints."""

    tx_index: int
    signature: str
    memo: str | None = None
    events: list[Event] = msgspec.field(default_factory=list)
    controls: list[Control] = msgspec.field(default_factory=list)
    touches: list[Touch] = msgspec.field(default_factory=list)
    doubts: list[Doubt] = msgspec.field(default_factory=list)
    status: dict[str, str] = msgspec.field(default_factory=dict)
    """mint → exact | derived | unproven"""
    body: bytes = b""


class BlockHeader(msgspec.Struct, frozen=True):
    """What links a block to its parent."""

    slot: int
    parent_slot: int
    blockhash: str
    previous_blockhash: str
    block_time: datetime | None
    transactions: int


class DecodedBlock(msgspec.Struct, frozen=True):
    """A linked block and its transactions that concern the tracked mints, in order."""

    header: BlockHeader
    endpoint: str
    results: tuple[TransactionResult, ...]
