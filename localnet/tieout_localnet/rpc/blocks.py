"""Methods that read blocks."""

from dataclasses import dataclass
from typing import Final

from tieout_localnet import encoding
from tieout_localnet.chain import Block, Commitment, Slot
from tieout_localnet.errors import block_not_available, invalid_params, slot_skipped, unsupported_version
from tieout_localnet.rpc.params import Config, Params, config, text, u64
from tieout_localnet.rpc.table import Context, Method, Table, check_min_context_slot
from tieout_localnet.store import StoredTransaction
from tieout_localnet.transaction import Resolved, from_stored
from tieout_localnet.validator import Validator

SLOT_RANGE_MAX: Final = 500_000
NO_VARIANT: Final = (
    "Invalid params: data did not match any variant of untagged enum RpcEncodingConfigWrapper."
)
DETAILS: Final = ("full", "accounts", "signatures", "none")


def encoding_config(value: object) -> Config:
    """The second parameter of getBlock and getTransaction: an object, or just the encoding."""
    if isinstance(value, str):
        return config({"encoding": value})
    if value is not None and not isinstance(value, dict):
        raise invalid_params(NO_VARIANT)
    return config(value)


def transaction_encoding(asked: Config) -> str:
    """The encoding of transactions; json when none is named."""
    name = asked.members.get("encoding", "json")
    if name is None:
        return "json"
    if name not in encoding.TRANSACTION_ENCODINGS:
        raise invalid_params(NO_VARIANT)
    return text(name)


def supported_version(asked: Config) -> int | None:
    """The newest transaction version that the client can read; None: only legacy."""
    value = asked.members.get("maxSupportedTransactionVersion")
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= 255:
        raise invalid_params(NO_VARIANT)
    return value


def history_commitment(asked: Config) -> Commitment:
    """Reads of history know confirmed and finalized only."""
    commitment = asked.commitment()
    if commitment is Commitment.PROCESSED:
        raise invalid_params("Method does not support commitment below `confirmed`")
    return commitment


def find_block(validator: Validator, slot: int, commitment: Commitment) -> Block:
    """The block of a slot at a commitment level, by the decision table of real nodes."""
    if slot > validator.position(commitment):
        raise block_not_available(slot)
    node = validator.chain.node(Slot(slot))
    block = validator.store.block(slot) if node is None else node.block
    if block is None:
        raise (
            slot_skipped(slot)
            if slot <= validator.position(Commitment.FINALIZED)
            else block_not_available(slot)
        )
    return block


def resolved_of(record: StoredTransaction, version: int | None) -> Resolved:
    """A stored transaction for showing; -32015 when the client cannot read its version."""
    resolved = from_stored(record.wire, record.loaded, record.loaded_writable)
    if version is None and not resolved.is_legacy:
        raise unsupported_version(0)
    return resolved


@dataclass(frozen=True, slots=True)
class BlockFormat:
    """How a client wants blocks."""

    name: str
    version: int | None
    details: str
    rewards: bool

    def show(self, validator: Validator, block: Block, mentions: str | None = None) -> encoding.Json:
        """A block in this format; with `mentions`, only the transactions that name an address."""
        answer = encoding.block_header(block)
        if self.rewards:
            answer["rewards"] = [encoding.reward_json(reward) for reward in block.rewards]
        answer.update(_details(validator, block, self, mentions))
        return answer


def block_format(asked: Config, name: str, *, rewards: bool) -> BlockFormat:
    """The format that a configuration asks for."""
    details = asked.optional_text("transactionDetails") or "full"
    if details not in DETAILS:
        raise invalid_params(NO_VARIANT)
    return BlockFormat(name, supported_version(asked), details, rewards)


def get_block(context: Context, params: Params) -> object:
    """A block with its transactions, in one of the forms that clients ask for."""
    slot, asked = params.u64(0), encoding_config(params.get(1))
    shape = block_format(asked, transaction_encoding(asked), rewards=asked.flag("rewards", True))
    commitment = history_commitment(asked)
    check_min_context_slot(asked, context.validator.position(commitment))
    return shape.show(context.validator, find_block(context.validator, slot, commitment))


def _details(validator: Validator, block: Block, shape: BlockFormat, mentions: str | None) -> encoding.Json:
    if shape.details == "none":
        return {}
    records = validator.transactions(block.slot)
    if mentions is not None:
        records = [record for record in records if mentions in record_keys(record)]
    if shape.details == "signatures":
        return {"signatures": [record.signature for record in records]}
    flags = {"rewards": shape.rewards, "versioned": shape.version is not None}
    shown: list[encoding.Json] = []
    for record in records:
        resolved = resolved_of(record, shape.version)
        if shape.details == "accounts":
            shown.append(encoding.accounts_transaction(resolved, record.meta, **flags))
        else:
            shown.append(encoding.full_transaction(resolved, record.meta, shape.name, **flags))
    return {"transactions": shown}


def record_keys(record: StoredTransaction) -> frozenset[str]:
    """All addresses that a transaction names."""
    resolved = from_stored(record.wire, record.loaded, record.loaded_writable)
    return frozenset(str(key) for key in resolved.keys)


def get_blocks(context: Context, params: Params) -> object:
    """Slots with a block, both ends included; the end is clipped to the commitment's slot."""
    first = params.u64(0)
    second = params.get(1)
    last: int | None = None
    asked = params.config(2)
    if isinstance(second, dict):
        asked = config(second)
    elif second is not None:
        last = u64(second)
    tip = context.validator.position(history_commitment(asked))
    check_min_context_slot(asked, tip)
    last = min(first + SLOT_RANGE_MAX if last is None else last, tip)
    if last < first:
        return []
    if last - first > SLOT_RANGE_MAX:
        raise invalid_params(f"Slot range too large; max {SLOT_RANGE_MAX}")
    return context.validator.store.slots(first, last, SLOT_RANGE_MAX + 1)


def get_blocks_with_limit(context: Context, params: Params) -> object:
    """The first so many slots with a block, from a slot on."""
    first, limit = params.u64(0), params.u64(1)
    asked = params.config(2)
    if limit > SLOT_RANGE_MAX:
        raise invalid_params(f"Limit too large; max {SLOT_RANGE_MAX}")
    tip = context.validator.position(history_commitment(asked))
    check_min_context_slot(asked, tip)
    return context.validator.store.slots(first, tip, limit) if limit else []


def get_block_time(context: Context, params: Params) -> object:
    """Unix time of a block, of any complete one."""
    slot = params.u64(0)
    return find_block(context.validator, slot, Commitment.CONFIRMED).block_time


def get_block_commitment(context: Context, params: Params) -> object:
    """Stake that voted for a block: all of it at its depth while it is young, null once it is old."""
    slot = params.u64(0)
    chain = context.validator.chain
    counts: list[int] | None = None
    if chain.root < slot <= chain.tip.block.slot:
        depth = min(len(chain.after(Slot(slot))), 31)
        counts = [TOTAL_STAKE if index == depth else 0 for index in range(32)]
    return {"commitment": counts, "totalStake": TOTAL_STAKE}


TOTAL_STAKE: Final = 1_000_000_000_000
"""Lamports that the single validator has staked."""


def get_first_available_block(context: Context, params: Params) -> object:
    """The oldest block on disk: the ledger keeps them all."""
    return 0


METHODS: Table = {
    "getBlock": Method(get_block, 1, 2),
    "getBlocks": Method(get_blocks, 1, 3),
    "getBlocksWithLimit": Method(get_blocks_with_limit, 2, 3),
    "getBlockTime": Method(get_block_time, 1, 1),
    "getBlockCommitment": Method(get_block_commitment, 1, 1),
    "getFirstAvailableBlock": Method(get_first_available_block, 0, 0),
    "minimumLedgerSlot": Method(get_first_available_block, 0, 0),
}
