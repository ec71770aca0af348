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

from tieout_client.errors import BadInput, OutcomeUnknown, program_refused
from tieout_client.nonce import nonce_of, parse_nonce
from tieout_client.refusal import explain
from tieout_rpc import RpcClient

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedTransaction:
    """A transaction as it will be sent, any number of times: nothing in it changes any more.

    ``fetched_slot`` is the slot at which its blockhash was read: it cannot have landed before.
    Over a durable nonce, ``blockhash`` is the nonce's value and no block height ends it.
    """

    raw: bytes
    signature: str
    blockhash: str
    last_valid_block_height: int
    instructions: tuple[Instruction, ...]
    fetched_slot: int = 0

    @property
    def nonce(self) -> Pubkey | None:
        """The nonce account that it is signed over, or None."""
        found = nonce_of(self.instructions)
        return None if found is None else found[0]


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


class _Account(msgspec.Struct):
    data: tuple[str, str]
    owner: str


class _AccountAnswer(msgspec.Struct):
    value: _Account | None
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

    One node must say all of it: its finalized block height is past the last valid one (or the
    nonce it is signed over has another value, finalized), it has processed that finalized slot,
    its history reaches back to when the blockhash was read, and it knows no status. Raises
    OutcomeUnknown when its history begins too late to tell.
    """
    # Height or nonce first, status after it: the other way round it could land in between.
    over = await _over(rpc, signed)
    if over is None:
        return False
    since, node = over
    first, historian = await _ask(rpc, "getFirstAvailableBlock", [], int)
    query = [[signed.signature], {"searchTransactionHistory": True}]
    answer, witness = await _ask(rpc, "getSignatureStatuses", query, StatusAnswer)
    if answer.value[0] is not None or not node == historian == witness or answer.context.slot < since:
        return False
    if first > signed.fetched_slot:
        why = f"{node} keeps blocks from slot {first} only, it was signed at slot {signed.fetched_slot}"
        raise OutcomeUnknown(signed.signature, signed.last_valid_block_height, why)
    return True


async def _over(rpc: RpcClient, signed: SignedTransaction) -> tuple[int, str] | None:
    """Return the finalized slot at which a node no longer takes the transaction, and the node; None while it does."""
    if signed.nonce is None:
        info, node = await _ask(rpc, "getEpochInfo", [{"commitment": "finalized"}], _EpochInfo)
        return (info.absolute_slot, node) if info.block_height > signed.last_valid_block_height else None
    config = {"encoding": "base64", "commitment": "finalized"}
    answer, node = await _ask(rpc, "getAccountInfo", [str(signed.nonce), config], _AccountAnswer)
    if answer.value is None:
        # Closed, and a new one at its address would have another value; or too new for this level.
        return (answer.context.slot, node) if answer.context.slot > signed.fetched_slot else None
    try:
        found = parse_nonce(signed.nonce, (answer.value.owner, base64.b64decode(answer.value.data[0])))
    except BadInput:
        return answer.context.slot, node
    return None if found.value == signed.blockhash else (answer.context.slot, node)


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
        raise program_refused(refusal, None, landed=False, logs=tuple(found.logs or ()))
    return found.units


async def simulate_signed(rpc: RpcClient, signed: SignedTransaction) -> None:
    """Run signed bytes on a node without sending them. Raises ProgramRefused with the program's error by name."""
    body = base64.b64encode(signed.raw).decode()
    config = {"encoding": "base64", "commitment": "confirmed", "sigVerify": True}
    answer: _SimulationAnswer = await rpc.call("simulateTransaction", [body, config], _SimulationAnswer)
    if answer.value.err is not None:
        refusal = explain(answer.value.err, signed.instructions)
        raise program_refused(refusal, signed.signature, landed=False, logs=tuple(answer.value.logs or ()))


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
    steps = instructions_of(transaction.message)
    return SignedTransaction(
        raw=raw,
        signature=str(transaction.signatures[0]),
        blockhash=str(transaction.message.recent_blockhash),
        last_valid_block_height=last_valid_block_height,
        instructions=tuple(step or _OUT_OF_A_TABLE for step in steps),
        fetched_slot=fetched_slot,
    )


_OUT_OF_A_TABLE = Instruction(Pubkey.default(), b"", [])


def instructions_of(message: Message | MessageV0) -> list[Instruction | None]:
    """Return a message's instructions; None for one whose accounts or program come from an address table."""
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
    return [
        Instruction(keys[step.program_id_index], step.data, [metas[n] for n in step.accounts])
        if max([step.program_id_index, *step.accounts]) < len(keys)
        else None
        for step in message.instructions
    ]


async def _ask(rpc: RpcClient, method: str, params: list[Any], result_type: type[T]) -> tuple[T, str]:
    raw, node = await rpc.call_raw(method, params)
    return msgspec.json.decode(raw, type=result_type), node
