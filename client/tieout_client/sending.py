"""Sign once, send the same bytes until they are on the chain or provably dead.

A transaction is signed over a recent blockhash, sent, and its status polled; the same bytes go
out again every two seconds. When they are dead is for ``settling.is_dead`` to prove.
"""

import asyncio
import base64
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import msgspec
from solders.hash import Hash
from solders.instruction import Instruction
from solders.keypair import Keypair
from solders.message import Message, MessageV0, to_bytes_versioned
from solders.pubkey import Pubkey
from solders.signature import Signature
from solders.transaction import VersionedTransaction

from tieout_client.errors import BadInput, Expired, OutcomeUnknown, program_refused
from tieout_client.guard import GuardAccount
from tieout_client.hints import pause, settled_hint
from tieout_client.keys import Signer, checked_signature, signature_of
from tieout_client.multisig import resolve
from tieout_client.refusal import Refusal, explain
from tieout_client.settling import (
    Context,
    SignatureStatus,
    SignedTransaction,
    compile_message,
    is_dead,
)
from tieout_client.statuses import Statuses
from tieout_rpc import Action, NodeRefused, RpcClient, RpcError

Commitment = Literal["processed", "confirmed", "finalized"]

TRANSACTION_BYTES_MAX = 1232
"""The most that fits a packet (agave ``PACKET_DATA_SIZE``)."""

_RANK = {"processed": 0, "confirmed": 1, "finalized": 2}
_PREFLIGHT_FAILURE = -32002
# The node's clock may be behind or ahead of ours, or the bytes may be there already: the status will tell.
_INCONCLUSIVE = frozenset({"AlreadyProcessed", "BlockhashNotFound"})
_REMEMBERED_SIGNATURES = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class SendOptions:
    """How a transaction is sent, and when it counts as done.

    ``accept_failure``: a transaction that lands and fails gives a ``Receipt`` with its
    ``refusal`` instead of raising; with ``skip_preflight`` it does land.
    """

    commitment: Commitment = "confirmed"
    skip_preflight: bool = False
    accept_failure: bool = False
    legacy: bool = False
    """Build a legacy message instead of a version 0 one."""
    budget: bool = True
    """Set a compute limit from simulation and a priority fee from recent ones, where a transaction is simulated."""
    priority_fee_lamports_max: int = 100_000
    """The most that one transaction bids on top of its base fee."""
    resend_every_s: float = 2.0
    blockhash_reuse_s: float = 0.0
    """How long one blockhash serves: many transactions in a row need not each ask for one."""
    poll_first_s: float = 0.05
    poll_max_s: float = 0.4
    websocket_after_s: float = 0.5
    """When a WebSocket is asked to tell of the outcome; polling goes on beside it."""
    give_up_after_s: float = 180.0
    """How long the outcome is waited for when the chain itself stands still."""


LAND_FAILURES = SendOptions(skip_preflight=True, accept_failure=True)
"""Options under which a failing transaction lands on the chain and is reported, not raised."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """A transaction on the chain: base58 signature, slot, and the refusal when it failed there."""

    signature: str
    slot: int
    refusal: Refusal | None = None
    guard: GuardAccount | None = None
    """The account that keeps the chain from doing the same request again, where one was made."""

    @property
    def succeeded(self) -> bool:
        """True when its instructions took effect."""
        return self.refusal is None


class _Blockhash(msgspec.Struct):
    blockhash: str
    last_valid_block_height: int = msgspec.field(name="lastValidBlockHeight")


class BlockhashAnswer(msgspec.Struct):
    """The result of getLatestBlockhash."""

    value: _Blockhash
    context: Context = msgspec.field(default_factory=Context)


class _Simulation(msgspec.Struct):
    err: Any = None
    logs: list[str] | None = None


class Sender:
    """Signs and sends through one ``RpcClient``; the fee payer signs first."""

    keeps: ClassVar[bool] = False
    """True for one that keeps what it is given instead of signing it."""

    def __init__(self, rpc: RpcClient, payer: Signer, options: SendOptions | None = None) -> None:
        self.rpc, self.payer, self.options = rpc, payer, options or SendOptions()
        self._signed: deque[str] = deque(maxlen=_REMEMBERED_SIGNATURES)
        self._blockhash: tuple[float, BlockhashAnswer] | None = None
        self._statuses = Statuses(rpc)

    def using(self, options: SendOptions) -> "Sender":
        """Return a sender with other options that shares the connection and the memory of what was signed."""
        other = type(self)(self.rpc, self.payer, options)
        other._signed, other._statuses = self._signed, self._statuses
        return other

    async def send(self, instructions: Sequence[Instruction], signers: Sequence[Signer] = ()) -> Receipt:
        """Sign, submit and wait. Raises what ``sign`` and ``submit`` raise."""
        return await self.submit(await self.sign(instructions, signers))

    async def sign(self, instructions: Sequence[Instruction], signers: Sequence[Signer] = ()) -> SignedTransaction:
        """Return the instructions as a transaction signed over a fresh blockhash.

        Raises BadInput when it is too large, or a signer is missing.
        """
        steps, keys = resolve(instructions, signers)
        while True:
            answer = await self.recent_blockhash()
            message = _message(steps, self.payer.pubkey(), answer.value.blockhash, legacy=self.options.legacy)
            by_key, body = _needed(message, [self.payer, *keys]), to_bytes_versioned(message)
            signatures = await asyncio.gather(*(signature_of(signer, body) for signer in by_key.values()))
            lasts = (answer.value.last_valid_block_height, answer.context.slot)
            signed = _signed(message, list(signatures), steps, lasts)
            if signed.signature not in self._signed:
                self._signed.append(signed.signature)
                return signed
            self._blockhash = None
            # The same instructions over the same blockhash are the same transaction, and a chain
            # runs it once: the second of two equal payments needs a later blockhash.
            await asyncio.sleep(self.options.poll_first_s)

    async def recent_blockhash(self) -> BlockhashAnswer:
        """Return a blockhash to sign over, asked for or, within ``blockhash_reuse_s``, kept."""
        kept = self._blockhash
        if kept is not None and time.monotonic() - kept[0] < self.options.blockhash_reuse_s:
            return kept[1]
        asked = time.monotonic()
        answer: BlockhashAnswer = await self.rpc.call(
            "getLatestBlockhash", [{"commitment": "confirmed"}], BlockhashAnswer
        )
        self._blockhash = (asked, answer)
        return answer

    async def submit(self, signed: SignedTransaction, *, preflight: bool = True) -> Receipt:
        """Send signed bytes until they land or are dead; safe to call again with the same ones.

        ``preflight`` False leaves the node's simulation out: its refusal says nothing about the
        same bytes that may have gone out before.

        Raises ProgramRefused, Expired, OutcomeUnknown; NodeRefused when the node takes no such
        transaction at all.
        """
        await self._broadcast(signed, first=preflight)
        options = self.options
        async with settled_hint(self.rpc, signed.signature, options.commitment, options.websocket_after_s) as told:
            return await self._settle(signed, told)

    async def _settle(self, signed: SignedTransaction, told: asyncio.Event) -> Receipt:
        started = resent = time.monotonic()
        pause_s = self.options.poll_first_s
        # The first look goes through the history: these bytes may have landed days ago.
        deep = True
        while True:
            try:
                receipt = await self._outcome(signed, search_history=deep)
                deep = False
                if receipt is not None:
                    return receipt
                if time.monotonic() - resent >= self.options.resend_every_s:
                    if await is_dead(self.rpc, signed):
                        raise Expired(signed.signature, signed.last_valid_block_height)
                    await self._broadcast(signed, first=False)
                    resent, deep = time.monotonic(), True
            except RpcError as gone:
                raise OutcomeUnknown(signed.signature, signed.last_valid_block_height, str(gone)) from gone
            if time.monotonic() - started > self.options.give_up_after_s:
                why = f"the chain has not settled it in {self.options.give_up_after_s:.0f} s"
                raise OutcomeUnknown(signed.signature, signed.last_valid_block_height, why)
            await pause(told, pause_s)
            pause_s = min(pause_s * 1.5, self.options.poll_max_s)

    async def status(self, signature: str, *, search_history: bool = True) -> SignatureStatus | None:
        """Return the node's status of a signature, None when it knows none."""
        return await self._statuses.of(signature, search_history=search_history)

    async def airdrop(self, to: Pubkey, lamports: int) -> Receipt:
        """Ask the node's faucet for lamports and wait until they are there. Raises what the node answers."""
        signature: str = await self.rpc.call("requestAirdrop", [str(to), lamports], str)
        give_up_at = time.monotonic() + self.options.give_up_after_s
        while time.monotonic() < give_up_at:
            status = await self.status(signature, search_history=False)
            if status is not None and self._settled(status):
                return Receipt(signature=signature, slot=status.slot)
            await asyncio.sleep(self.options.poll_first_s)
        raise OutcomeUnknown(signature, 0, f"the faucet's payment to {to} has not settled")

    async def _broadcast(self, signed: SignedTransaction, *, first: bool) -> None:
        config = {
            "encoding": "base64",
            # Only the first copy is worth simulating: of later ones the status tells.
            "skipPreflight": self.options.skip_preflight or not first,
            "preflightCommitment": "confirmed",
        }
        query = [base64.b64encode(signed.raw).decode(), config]
        try:
            if first or len(self.rpc.endpoints) == 1:
                await self.rpc.call("sendTransaction", query)
                return
            # Whichever node reaches the leader: one that takes a transaction may still lose it.
            async with asyncio.timeout(self.options.resend_every_s):
                await self.rpc.ask_each("sendTransaction", query)
        except TimeoutError:
            # A slow node holds up nothing: the others have it.
            return
        except NodeRefused as refused:
            if first and refused.code == _PREFLIGHT_FAILURE:
                _raise_if_conclusive(refused, signed)
            elif first and refused.rule.action is not Action.RETRY:
                raise
        except RpcError:
            # The bytes may have arrived though the answer did not: the status will tell.
            return

    async def _outcome(self, signed: SignedTransaction, *, search_history: bool) -> Receipt | None:
        status = await self.status(signed.signature, search_history=search_history)
        if status is None or not self._settled(status):
            return None
        return self._receipt(signed, status)

    def _settled(self, status: SignatureStatus) -> bool:
        # A node that gives no level has rooted the transaction (agave: confirmations null).
        reached = status.confirmation_status or "finalized"
        return _RANK.get(reached, 0) >= _RANK[self.options.commitment]

    def _receipt(self, signed: SignedTransaction, status: SignatureStatus) -> Receipt:
        if status.err is None:
            return Receipt(signature=signed.signature, slot=status.slot)
        refusal = explain(status.err, signed.instructions)
        if not self.options.accept_failure:
            raise program_refused(refusal, signed.signature, landed=True)
        return Receipt(signature=signed.signature, slot=status.slot, refusal=refusal)


def sign(
    instructions: Sequence[Instruction],
    signers: Sequence[Keypair],
    blockhash: str,
    last_valid_block_height: int,
    *,
    legacy: bool = False,
    fetched_slot: int = 0,
) -> SignedTransaction:
    """Return the instructions signed by keys at hand; the first signer pays. Raises BadInput. Pure."""
    message = _message(instructions, signers[0].pubkey(), blockhash, legacy=legacy)
    by_key, body = _needed(message, signers), to_bytes_versioned(message)
    signatures = [checked_signature(key, signer.sign_message(body), body) for key, signer in by_key.items()]
    return _signed(message, signatures, instructions, (last_valid_block_height, fetched_slot))


def _message(steps: Sequence[Instruction], payer: Pubkey, blockhash: str, *, legacy: bool) -> Message | MessageV0:
    return compile_message(steps, payer, Hash.from_string(blockhash), legacy=legacy)


def _needed(message: Message | MessageV0, signers: Sequence[Signer]) -> dict[Pubkey, Signer]:
    """Return the signers that a message asks for, in its order."""
    needed = message.account_keys[: message.header.num_required_signatures]
    by_key: dict[Pubkey, Signer] = {signer.pubkey(): signer for signer in signers}
    missing = [str(key) for key in needed if key not in by_key]
    if missing:
        raise BadInput(f"the transaction needs the signatures of {', '.join(missing)}: give their keys")
    return {key: by_key[key] for key in needed}


def _signed(
    message: Message | MessageV0,
    signatures: list[Signature],
    instructions: Sequence[Instruction],
    lasts: tuple[int, int],
) -> SignedTransaction:
    raw = bytes(VersionedTransaction.populate(message, signatures))
    if len(raw) > TRANSACTION_BYTES_MAX:
        raise BadInput(
            f"the transaction has {len(raw)} bytes and {TRANSACTION_BYTES_MAX} fit: shorten texts or split it"
        )
    return SignedTransaction(
        raw=raw,
        signature=str(signatures[0]),
        blockhash=str(message.recent_blockhash),
        last_valid_block_height=lasts[0],
        instructions=tuple(instructions),
        fetched_slot=lasts[1],
    )


def _raise_if_conclusive(refused: NodeRefused, signed: SignedTransaction) -> None:
    try:
        found = msgspec.convert(refused.data, _Simulation)
    except msgspec.ValidationError:
        # Some proxies drop the data; what is left is the message.
        found = _Simulation(err=refused.message)
    if isinstance(found.err, str) and found.err in _INCONCLUSIVE:
        return
    refusal = explain(found.err, signed.instructions)
    raise program_refused(refusal, signed.signature, landed=False, logs=tuple(found.logs or ())) from refused
