"""Methods that find transactions: by signature, by address, and how sure they are."""

from typing import Final

from tieout_localnet import encoding
from tieout_localnet.chain import Commitment, Signature, Slot
from tieout_localnet.errors import filter_transaction_not_found, invalid_params
from tieout_localnet.rpc.blocks import (
    encoding_config,
    history_commitment,
    resolved_of,
    supported_version,
    transaction_encoding,
)
from tieout_localnet.rpc.params import Config, Params, signature, u64
from tieout_localnet.rpc.table import Context, Method, Table, check_min_context_slot, with_context
from tieout_localnet.validator import Validator

STATUSES_PER_CALL_MAX: Final = 256
HISTORY_LIMIT_MAX: Final = 1_000


def get_transaction(context: Context, params: Params) -> object:
    """A transaction that is at least confirmed, or null."""
    wanted, asked = signature(params.get(0)), encoding_config(params.get(1))
    name, version = transaction_encoding(asked), supported_version(asked)
    validator = context.validator
    tip = validator.position(history_commitment(asked))
    place = validator.store.place(wanted)
    if place is None or place[0] > tip:
        return None
    record = validator.transaction(place[0], place[1], Signature(wanted))
    if record is None:
        return None
    resolved = resolved_of(record, version)
    shown = encoding.full_transaction(
        resolved, record.meta, name, rewards=True, versioned=version is not None
    )
    block = validator.store.block(record.slot)
    return {
        **shown,
        "blockTime": None if block is None else block.block_time,
        "slot": record.slot,
        "transactionIndex": record.index,
    }


def confirmation_status(validator: Validator, slot: int) -> Commitment:
    """How sure a slot is now."""
    if slot <= validator.position(Commitment.FINALIZED):
        return Commitment.FINALIZED
    if slot <= validator.position(Commitment.CONFIRMED):
        return Commitment.CONFIRMED
    return Commitment.PROCESSED


def recent_outcome(validator: Validator, wanted: Signature) -> tuple[Slot, object] | None:
    """Slot and error of a transaction that is in the open slot or the status cache."""
    if wanted in validator.open.errors:
        return validator.open.slot, validator.open.errors[wanted]
    slot = validator.chain.landed(wanted)
    node = None if slot is None else validator.chain.node(slot)
    return None if node is None else (node.block.slot, node.errors[wanted])


def _status(validator: Validator, wanted: Signature, search: bool) -> encoding.Json | None:
    found = recent_outcome(validator, wanted)
    if found is None and search:
        place = validator.store.place(wanted)
        found = None if place is None else (place[0], place[2])
    if found is None:
        return None
    slot, err = found
    if slot > validator.position(Commitment.PROCESSED):
        return None
    level = confirmation_status(validator, slot)
    depth = None if level is Commitment.FINALIZED else len(validator.chain.after(slot))
    return {
        "confirmationStatus": str(level),
        "confirmations": depth,
        "err": err,
        "slot": slot,
        "status": encoding.status_of(err),
    }


def get_signature_statuses(context: Context, params: Params) -> object:
    """Outcome and certainty of transactions, the open slot included."""
    given, asked = params.list(0), params.config(1)
    if len(given) > STATUSES_PER_CALL_MAX:
        raise invalid_params(f"Too many inputs provided; max {STATUSES_PER_CALL_MAX}")
    wanted = [Signature(signature(value)) for value in given]
    search = asked.flag("searchTransactionHistory")
    validator = context.validator
    slot = validator.position(Commitment.PROCESSED)
    return with_context(slot, [_status(validator, item, search) for item in wanted])


def _limit(asked: Config) -> int:
    limit = asked.members.get("limit")
    number = HISTORY_LIMIT_MAX if limit is None else u64(limit)
    if not 1 <= number <= HISTORY_LIMIT_MAX:
        raise invalid_params(f"Invalid limit; max {HISTORY_LIMIT_MAX}")
    return number


def _cursor(validator: Validator, asked: Config, name: str) -> tuple[int, int] | None:
    value = asked.members.get(name)
    if value is None:
        return None
    wanted = signature(value)
    place = validator.store.place(wanted)
    if place is None:
        raise filter_transaction_not_found(wanted)
    return place[0], place[1]


def get_signatures_for_address(context: Context, params: Params) -> object:
    """Transactions that name an address, newest first, `before` and `until` exclusive."""
    address, asked = params.pubkey(0), params.config(1)
    limit, commitment = _limit(asked), history_commitment(asked)
    validator = context.validator
    tip = validator.position(commitment)
    check_min_context_slot(asked, tip)
    before, until = (_cursor(validator, asked, name) for name in ("before", "until"))
    rows = validator.store.history(bytes(address), tip, before, until, limit)
    times = {slot: _block_time(validator, slot) for slot in {row.slot for row in rows}}
    return [
        {
            "blockTime": times[row.slot],
            "confirmationStatus": str(confirmation_status(validator, row.slot)),
            "err": row.err,
            "memo": row.memo,
            "signature": row.signature,
            "slot": row.slot,
            "transactionIndex": row.index,
        }
        for row in rows
    ]


def _block_time(validator: Validator, slot: Slot) -> int | None:
    node = validator.chain.node(slot)
    block = validator.store.block(slot) if node is None else node.block
    return None if block is None else block.block_time


METHODS: Table = {
    "getTransaction": Method(get_transaction, 1, 2),
    "getSignatureStatuses": Method(get_signature_statuses, 1, 2),
    "getSignaturesForAddress": Method(get_signatures_for_address, 1, 2),
}
