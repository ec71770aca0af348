"""Methods that take transactions: send, simulate, price, airdrop, and the blockhashes they need."""

import base64
import binascii
import logging
from collections.abc import Sequence
from typing import Final

from solders.message import Message, MessageV0, from_bytes_versioned
from solders.pubkey import Pubkey
from solders.transaction import VersionedTransaction

from tieout_localnet import base58, encoding, runtime_errors
from tieout_localnet.accounts import AccountState
from tieout_localnet.balances import TokenBalance
from tieout_localnet.errors import (
    PREFLIGHT_FAILURE,
    SIGNATURE_VERIFICATION_FAILURE,
    RpcError,
    invalid_params,
)
from tieout_localnet.rpc.accounts import account_format
from tieout_localnet.rpc.params import Config, Params, blockhash, pubkey, sequence
from tieout_localnet.rpc.table import (
    Context,
    Method,
    Table,
    check_min_context_slot,
    with_context,
)
from tieout_localnet.transaction import (
    TransactionRefused,
    fee_of,
    first_signature,
    signatures_valid,
)
from tieout_localnet.validator import Simulation, StateView

PACKET_BYTES_MAX: Final = 1232
BASE64_TEXT_MAX: Final = 1644
BASE58_TEXT_MAX: Final = 1683
TRANSACTION_TYPE: Final = "solana_transaction::versioned::VersionedTransaction"
MESSAGE_TYPE: Final = "solana_message::non_bpf_modules::versions::VersionedMessage"
SIGNATURE_FAILURE_TEXT: Final = "Transaction signature verification failure"
BLOCKHASH_LIFE_BLOCKS: Final = 150

log = logging.getLogger(__name__)


def wire_bytes(value: str, name: str, kind: str) -> bytes:
    """A transaction or message out of its text encoding, not longer than a network packet."""
    if name == "base64":
        longest, too_long = BASE64_TEXT_MAX, len(value) > BASE64_TEXT_MAX
    elif name == "base58":
        longest, too_long = BASE58_TEXT_MAX, len(value) > BASE58_TEXT_MAX
    else:
        raise invalid_params(f"unsupported encoding: {name}. Supported encodings: base58, base64")
    if too_long:
        raise invalid_params(
            f"{name} encoded {kind} too large: {len(value)} bytes "
            f"(max: encoded/raw {longest}/{PACKET_BYTES_MAX})"
        )
    raw = _decoded(value, name)
    if len(raw) > PACKET_BYTES_MAX:
        raise invalid_params(f"decoded {kind} too large: {len(raw)} bytes (max: {PACKET_BYTES_MAX} bytes)")
    return raw


def _decoded(value: str, name: str) -> bytes:
    try:
        return base58.decode(value) if name == "base58" else base64.b64decode(value, validate=True)
    except base58.InvalidCharacter as error:
        raise invalid_params(
            f"invalid base58 encoding: InvalidCharacter {{ character: '{error.character}', "
            f"index: {error.index} }}"
        ) from error
    except (binascii.Error, ValueError) as error:
        raise invalid_params(f"invalid base64 encoding: {error}") from error


def transaction_from(value: str, name: str) -> VersionedTransaction:
    """A transaction out of its text encoding; -32602 with the reason when it is none."""
    raw = wire_bytes(value, name, TRANSACTION_TYPE)
    try:
        transaction = VersionedTransaction.from_bytes(raw)
    except Exception as error:
        raise invalid_params(f"failed to deserialize {TRANSACTION_TYPE}: {error}") from error
    try:
        transaction.sanitize()
    except Exception as error:
        raise invalid_params(f"invalid transaction: {error}") from error
    if len(transaction.signatures) == 0:
        raise invalid_params("invalid transaction: Transaction failed to sanitize accounts offsets correctly")
    return transaction


def send_transaction(context: Context, params: Params) -> object:
    """Check a transaction as asked, run it into the open slot, answer its signature."""
    asked = params.config(1)
    name = asked.optional_text("encoding") or "base58"
    transaction = transaction_from(params.text(0), name)
    valid = signatures_valid(transaction)
    if not asked.flag("skipPreflight"):
        _preflight(context, transaction, asked, valid)
    if not valid:
        log.info("dropped %s: its signatures are wrong", first_signature(transaction))
        return first_signature(transaction)
    if context.book.on_request(("drop",), "sendTransaction", context.validator.open.slot) is not None:
        return first_signature(transaction)
    try:
        return context.validator.submit(transaction)
    except TransactionRefused as refused:
        # A node forwards the transaction and knows nothing of its fate; neither does the client.
        log.info("dropped %s: %s", first_signature(transaction), refused.err)
        return first_signature(transaction)


def _preflight(context: Context, transaction: VersionedTransaction, asked: Config, valid: bool) -> None:
    view = context.validator.view(asked.commitment("preflightCommitment"))
    check_min_context_slot(asked, view.slot)
    if not valid:
        raise _preflight_failure("SignatureFailure", None)
    try:
        simulation = context.validator.simulate(transaction, view)
    except TransactionRefused as refused:
        raise _preflight_failure(refused.err, None) from refused
    if simulation.execution.err is not None:
        raise _preflight_failure(simulation.execution.err, simulation)


def _preflight_failure(err: object, simulation: Simulation | None) -> RpcError:
    data: encoding.Json = {
        "accounts": None,
        "err": err,
        "fee": None if simulation is None else simulation.execution.fee,
        "innerInstructions": None,
        "loadedAccountsDataSize": 0 if simulation is None else simulation.loaded_bytes,
        "loadedAddresses": None,
        "logs": [] if simulation is None else list(simulation.execution.logs),
        "postBalances": None,
        "postTokenBalances": None,
        "preBalances": None,
        "preTokenBalances": None,
        "replacementBlockhash": None,
        "returnData": None if simulation is None else encoding.return_data(simulation.execution),
        "unitsConsumed": 0 if simulation is None else simulation.execution.units,
    }
    message = f"Transaction simulation failed: {runtime_errors.describe(err)}"
    return RpcError(PREFLIGHT_FAILURE, message, data)


def simulate_transaction(context: Context, params: Params) -> object:
    """Run a transaction without keeping it, and show what it would do."""
    asked = params.config(1)
    transaction = transaction_from(params.text(0), asked.optional_text("encoding") or "base58")
    replace, verify = asked.flag("replaceRecentBlockhash"), asked.flag("sigVerify")
    if replace and verify:
        raise invalid_params("sigVerify may not be used with replaceRecentBlockhash")
    if verify and not signatures_valid(transaction):
        raise RpcError(SIGNATURE_VERIFICATION_FAILURE, SIGNATURE_FAILURE_TEXT)
    view = context.view(asked)
    replacement = _latest_blockhash(context, view) if replace else None
    try:
        simulation = context.validator.simulate(transaction, view, replace_blockhash=replace)
    except TransactionRefused as refused:
        return with_context(view.slot, _refused_simulation(refused.err, asked, replacement))
    return with_context(view.slot, _simulated(simulation, asked, view, replacement))


def _refused_simulation(err: object, asked: Config, replacement: object) -> encoding.Json:
    accounts = asked.nested("accounts")
    wanted = [] if accounts is None else sequence(accounts.members.get("addresses"))
    return {
        "accounts": None if accounts is None else [None for _ in wanted],
        "err": err,
        "fee": None,
        "innerInstructions": None,
        "loadedAccountsDataSize": 0,
        "loadedAddresses": {"readonly": [], "writable": []},
        "logs": [],
        "postBalances": None,
        "postTokenBalances": None,
        "preBalances": None,
        "preTokenBalances": None,
        "replacementBlockhash": replacement,
        "returnData": None,
        "unitsConsumed": 0,
    }


def _simulated(simulation: Simulation, asked: Config, view: StateView, replacement: object) -> encoding.Json:
    execution, shown = simulation.execution, simulation.balances
    inner = encoding.inner_groups(execution) if asked.flag("innerInstructions") else None
    return {
        "accounts": _asked_accounts(simulation, asked, view),
        "err": execution.err,
        "fee": execution.fee,
        "innerInstructions": inner,
        "loadedAccountsDataSize": simulation.loaded_bytes,
        "loadedAddresses": encoding.loaded_addresses(simulation.resolved),
        "logs": list(execution.logs),
        "postBalances": list(shown.post),
        "postTokenBalances": _rows(shown.post_tokens),
        "preBalances": list(shown.pre),
        "preTokenBalances": _rows(shown.pre_tokens),
        "replacementBlockhash": replacement,
        "returnData": encoding.return_data(execution),
        "unitsConsumed": execution.units,
    }


def _rows(rows: Sequence[TokenBalance]) -> list[encoding.Json]:
    return [encoding.token_row(row) for row in rows]


def _asked_accounts(simulation: Simulation, asked: Config, view: StateView) -> list[object] | None:
    """The accounts that the client wants to see afterwards; all null when the transaction fails."""
    accounts = asked.nested("accounts")
    if accounts is None:
        return None
    shape = account_format(accounts, "base64")
    if shape.encoding in ("binary", "base58"):
        raise invalid_params("base58 encoding not supported")
    addresses = [pubkey(value) for value in sequence(accounts.members.get("addresses"))]
    if len(addresses) > len(simulation.resolved.keys):
        raise invalid_params(f"Too many accounts provided; max {len(simulation.resolved.keys)}")
    if simulation.execution.err is not None:
        return [None for _ in addresses]
    after = (_after(simulation, view, address) for address in addresses)
    return [None if state is None else shape.show(state, view) for state in after]


def _after(simulation: Simulation, view: StateView, key: Pubkey) -> AccountState | None:
    post = simulation.execution.post
    return post[key] if key in post else view.get(key)


def _latest_blockhash(context: Context, view: StateView) -> encoding.Json:
    """The newest blockhash in a state, and the last height at which it is accepted."""
    chain = context.validator.chain
    node = chain.node(view.slot)
    block = chain.tip.block if node is None else node.block
    height = chain.open_height if node is None else block.height
    return {"blockhash": block.blockhash, "lastValidBlockHeight": height + BLOCKHASH_LIFE_BLOCKS}


def get_latest_blockhash(context: Context, params: Params) -> object:
    """A blockhash to build a transaction on."""
    view = context.view(params.config(0))
    return with_context(view.slot, _latest_blockhash(context, view))


def is_blockhash_valid(context: Context, params: Params) -> object:
    """Whether a transaction on this blockhash may still land."""
    value, view = blockhash(params.get(0)), context.view(params.config(1))
    return with_context(view.slot, context.validator.chain.accepts_blockhash(value, view.slot))


def get_fee_for_message(context: Context, params: Params) -> object:
    """Lamports that a message costs; null when its blockhash is not (or no longer) known."""
    raw = wire_bytes(params.text(0), "base64", MESSAGE_TYPE)
    view = context.view(params.config(1))
    try:
        message = from_bytes_versioned(raw)
    except Exception as error:
        raise invalid_params(f"failed to deserialize {MESSAGE_TYPE}: {error}") from error
    if not isinstance(message, Message | MessageV0):
        return with_context(view.slot, None)
    known = context.validator.chain.accepts_blockhash(str(message.recent_blockhash), view.slot)
    return with_context(view.slot, fee_of(message).total if known else None)


def request_airdrop(context: Context, params: Params) -> object:
    """Lamports from the faucet, by a real transaction."""
    to, lamports, asked = params.pubkey(0), params.u64(1), params.config(2)
    recent = asked.members.get("recentBlockhash")
    try:
        return context.validator.airdrop(to, lamports, None if recent is None else blockhash(recent))
    except TransactionRefused as refused:
        raise RpcError(-32603, f"Airdrop refused: {runtime_errors.describe(refused.err)}") from refused


METHODS: Table = {
    "sendTransaction": Method(send_transaction, 1, 2),
    "simulateTransaction": Method(simulate_transaction, 1, 2),
    "getLatestBlockhash": Method(get_latest_blockhash, 0, 1),
    "isBlockhashValid": Method(is_blockhash_valid, 1, 2),
    "getFeeForMessage": Method(get_fee_for_message, 1, 2),
    "requestAirdrop": Method(request_airdrop, 2, 3),
}
