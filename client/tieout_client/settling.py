"""What is known before a transaction is sent and after: simulation, budget, proof of death, bytes restored."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec
from solders.hash import Hash
from solders.instruction import AccountMeta, Instruction
from solders.message import Message, MessageV0
from solders.pubkey import Pubkey
from solders.signature import Signature
from solders.transaction import VersionedTransaction

from tieout_client.errors import OutcomeUnknown, ProgramRefused
from tieout_client.refusal import explain
from tieout_rpc import RpcClient

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedTransaction:
    """A transaction as it will be sent, any number of times: nothing in it changes any more.

    ``fetched_slot`` is the slot at which its blockhash was read: it cannot have landed before.
    """

    raw: bytes
    signature: str
    blockhash: str
    last_valid_block_height: int
    instructions: tuple[Instruction, ...]
    fetched_slot: int = 0


class SignatureStatus(msgspec.Struct, frozen=True):
    """What a node knows of a signature: slot, the TransactionError or None, the level reached."""

    slot: int
    err: Any = None
    confirmation_status: str | None = msgspec.field(name="confirmationStatus", default=None)


class Context(msgspec.Struct):
    """The slot at which a node answered."""

    slot: int = 0


class StatusAnswer(msgspec.Struct):
    """The result of getSignatureStatuses."""

    value: list[SignatureStatus | None]
    context: Context = msgspec.field(default_factory=Context)


class _EpochInfo(msgspec.Struct):
    absolute_slot: int = msgspec.field(name="absoluteSlot")
    block_height: int = msgspec.field(name="blockHeight")


class _Simulated(msgspec.Struct):
    err: Any = None
    logs: list[str] | None = None
    units: int | None = msgspec.field(name="unitsConsumed", default=None)


class _SimulationAnswer(msgspec.Struct):
    value: _Simulated


async def is_dead(rpc: RpcClient, signed: SignedTransaction) -> bool:
    """Return True when the transaction can provably never land any more.

    One node must say all of it: its finalized block height is past the last valid one, it has
    processed that finalized slot, its history reaches back to when the blockhash was read, and it
    knows no status. Raises OutcomeUnknown when its history begins too late to tell.
    """
    # Height first, status after it: the other way round it could land in between.
    info, node = await _ask(rpc, "getEpochInfo", [{"commitment": "finalized"}], _EpochInfo)
    if info.block_height <= signed.last_valid_block_height:
        return False
    first, historian = await _ask(rpc, "getFirstAvailableBlock", [], int)
    query = [[signed.signature], {"searchTransactionHistory": True}]
    answer, witness = await _ask(rpc, "getSignatureStatuses", query, StatusAnswer)
    if answer.value[0] is not None or not node == historian == witness or answer.context.slot < info.absolute_slot:
        return False
    if first > signed.fetched_slot:
        why = f"{node} keeps blocks from slot {first} only, it was signed at slot {signed.fetched_slot}"
        raise OutcomeUnknown(signed.signature, signed.last_valid_block_height, why)
    return True


async def simulate(
    rpc: RpcClient, instructions: Sequence[Instruction], payer: Pubkey, *, legacy: bool = False
) -> int | None:
    """Run instructions on a node without signing or sending. Returns the compute units used, where told.

    Raises ProgramRefused with the program's error by name; nothing can have been sent.
    """
    message = compile_message(instructions, payer, Hash.default(), legacy=legacy)
    blank = [Signature.default()] * message.header.num_required_signatures
    body = base64.b64encode(bytes(VersionedTransaction.populate(message, blank))).decode()
    config = {"encoding": "base64", "commitment": "confirmed", "sigVerify": False, "replaceRecentBlockhash": True}
    answer: _SimulationAnswer = await rpc.call("simulateTransaction", [body, config], _SimulationAnswer)
    found = answer.value
    if found.err is not None:
        refusal = explain(found.err, instructions)
        raise ProgramRefused(refusal, None, landed=False, logs=tuple(found.logs or ()))
    return found.units


def compile_message(
    instructions: Sequence[Instruction], payer: Pubkey, recent: Hash, *, legacy: bool = False
) -> Message | MessageV0:
    """Return the message of the instructions, version 0 unless ``legacy``."""
    if legacy:
        return Message.new_with_blockhash(list(instructions), payer, recent)
    return MessageV0.try_compile(payer, list(instructions), [], recent)


def restore(raw: bytes, last_valid_block_height: int, fetched_slot: int) -> SignedTransaction:
    """Return a signed transaction from its bytes, its instructions taken from them too."""
    transaction = VersionedTransaction.from_bytes(raw)
    message = transaction.message
    keys, header = list(message.account_keys), message.header
    signers, fixed = header.num_required_signatures, header.num_readonly_unsigned_accounts
    metas = [
        AccountMeta(
            key,
            n < signers,
            n < signers - header.num_readonly_signed_accounts if n < signers else n < len(keys) - fixed,
        )
        for n, key in enumerate(keys)
    ]
    return SignedTransaction(
        raw=raw,
        signature=str(transaction.signatures[0]),
        blockhash=str(message.recent_blockhash),
        last_valid_block_height=last_valid_block_height,
        instructions=tuple(
            Instruction(keys[step.program_id_index], step.data, [metas[n] for n in step.accounts])
            for step in message.instructions
        ),
        fetched_slot=fetched_slot,
    )


async def _ask(rpc: RpcClient, method: str, params: list[Any], result_type: type[T]) -> tuple[T, str]:
    raw, node = await rpc.call_raw(method, params)
    return msgspec.json.decode(raw, type=result_type), node
