"""WebSocket subscriptions: who wants to hear what, and the notifications that a closed slot causes.

Pure apart from the outboxes: `Hub.slot_closed` turns an event into messages and hands each to a client's
outbox (a callable that must not block). Identical subscriptions of one client share an id; ids are
server-wide. Order within a slot: slotsUpdates, roots, what the slot did (processed), what became confirmed,
what became final, outcomes of signatures, the next slot.
"""

import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from solders.pubkey import Pubkey

from tieout_localnet.accounts import AccountState
from tieout_localnet.chain import Commitment, Signature, Slot, SlotNode
from tieout_localnet.errors import RpcError, invalid_params, method_not_found
from tieout_localnet.rpc.accounts import AccountFormat, Filter, account_filters, account_format
from tieout_localnet.rpc.blocks import (
    BlockFormat,
    block_format,
    history_commitment,
    record_keys,
    transaction_encoding,
)
from tieout_localnet.rpc.history import recent_outcome
from tieout_localnet.rpc.params import Params, config, pubkey, signature
from tieout_localnet.slots import SlotClosed, Switched
from tieout_localnet.store import StoredTransaction
from tieout_localnet.validator import Validator

Outbox: TypeAlias = Callable[[str], None]

BAD_KEY: Final = "Invalid Request: Invalid pubkey provided"
BAD_SIGNATURE: Final = "Invalid Request: Invalid signature provided"
ON_REQUEST: Final = ("block", "vote")
"""Subscriptions that a node offers only when it is started so."""

NO_SIGNATURE: Final = "1" * 64
SUBSCRIPTIONS_PER_CLIENT_MAX: Final = 1_000


@dataclass(frozen=True, slots=True)
class Logs:
    """Logs of all transactions, or of those that mention an address."""

    mentions: str | None


@dataclass(frozen=True, slots=True)
class Account:
    """Changes of one account."""

    key: Pubkey
    shape: AccountFormat


@dataclass(frozen=True, slots=True)
class Program:
    """Changes of a program's accounts."""

    key: Pubkey
    shape: AccountFormat
    filters: tuple[Filter, ...]


@dataclass(frozen=True, slots=True)
class SignatureWatch:
    """The outcome of one transaction; ends with its first notification."""

    signature: Signature
    received: bool


@dataclass(frozen=True, slots=True)
class Blocks:
    """Whole blocks, or of each the transactions that name an address."""

    mentions: str | None
    shape: BlockFormat


Topic: TypeAlias = Blocks | Logs | Account | Program | SignatureWatch | str
"""What is subscribed to; "slot", "root" and "slotsUpdates" have no parameters."""


@dataclass(frozen=True, slots=True)
class Subscription:
    """One client's interest."""

    number: int
    method: str
    topic: Topic
    commitment: Commitment
    outbox: Outbox
    same_as: str
    """Canonical text of the request: equal ones of a client share a subscription."""

    def send(self, result: object) -> None:
        """Notify the client."""
        params = {"result": result, "subscription": self.number}
        message = {"jsonrpc": "2.0", "method": f"{self.method}Notification", "params": params}
        self.outbox(json.dumps(message, separators=(",", ":")))

    def send_at(self, slot: int, value: object) -> None:
        """Notify the client of a value as of a slot."""
        self.send({"context": {"slot": slot}, "value": value})


class Hub:
    """All subscriptions of all clients."""

    def __init__(self, validator: Validator, enabled: frozenset[str] = frozenset()) -> None:
        self._validator = validator
        self._closed = frozenset(ON_REQUEST) - enabled
        self._subscriptions: dict[int, Subscription] = {}
        self._next = 0

    def subscribe(self, method: str, params: list[object], outbox: Outbox) -> int:
        """Register a client's interest; `method` is the name without "Subscribe"."""
        build = TOPICS.get(method)
        if build is None or method in self._closed:
            raise method_not_found()
        topic, commitment = build(Params(params))
        same_as = json.dumps([method, params], sort_keys=True)
        held = [s for s in self._subscriptions.values() if s.outbox is outbox]
        for subscription in held:
            if subscription.same_as == same_as:
                return subscription.number
        if len(held) >= SUBSCRIPTIONS_PER_CLIENT_MAX:
            raise RpcError(-32603, "Internal Error: Subscription refused. Node subscription limit reached")
        number = self._next
        self._next += 1
        self._subscriptions[number] = Subscription(number, method, topic, commitment, outbox, same_as)
        return number

    def answered(self, number: int) -> None:
        """The client knows its id now: tell a signature's outcome at once if it is already there."""
        subscription = self._subscriptions.get(number)
        if subscription is not None and isinstance(subscription.topic, SignatureWatch):
            self._signature(subscription)

    def unsubscribe(self, method: str, params: list[object], outbox: Outbox) -> bool:
        """End a client's interest."""
        number = params[0] if params else None
        held = self._subscriptions.get(number) if isinstance(number, int) else None
        if method not in TOPICS or method in self._closed:
            raise method_not_found()
        if held is None or held.outbox is not outbox or held.method != method:
            raise invalid_params("Invalid subscription id.")
        del self._subscriptions[held.number]
        return True

    def forget(self, outbox: Outbox) -> None:
        """Drop everything of a client that has gone."""
        gone = [number for number, s in self._subscriptions.items() if s.outbox is outbox]
        for number in gone:
            del self._subscriptions[number]

    def _of(self, method: str, commitment: Commitment | None = None) -> list[Subscription]:
        return [
            s
            for s in self._subscriptions.values()
            if s.method == method and commitment in (None, s.commitment)
        ]

    def received(self, wanted: Signature) -> None:
        """A transaction arrived: tell those who asked to know that, too."""
        for subscription in self._of("signature"):
            topic = subscription.topic
            if isinstance(topic, SignatureWatch) and topic.received and topic.signature == wanted:
                subscription.send_at(self._validator.open.slot, "receivedSignature")

    # One slot became a block.

    def slot_closed(self, event: SlotClosed) -> None:
        """Notify everybody of what a closed slot means to them."""
        if not self._subscriptions:
            return
        self._updates(event)
        self._roots(event)
        self._level(Commitment.PROCESSED, [event.node])
        self._level(Commitment.CONFIRMED, event.confirmed)
        self._level(Commitment.FINALIZED, event.final)
        self._blocks(Commitment.CONFIRMED, event.confirmed)
        self._blocks(Commitment.FINALIZED, event.final)
        self._votes(event)
        for subscription in self._of("signature"):
            self._signature(subscription)
        slot = {
            "slot": event.opened,
            "parent": event.node.block.slot,
            "root": self._validator.position(Commitment.FINALIZED),
        }
        for subscription in self._of("slot"):
            subscription.send(slot)

    def switched(self, event: Switched) -> None:
        """Another branch is followed, or a slot skipped: tell the new bank, and at `processed` the values
        that accounts have there. What was told of transactions of the branch given up is not taken back."""
        if not self._subscriptions:
            return
        base = event.parent
        changed = {key: self._validator.account_at(key, base) for key in event.changed}
        self._accounts(self._of("account", Commitment.PROCESSED), base, changed)
        self._programs(self._of("program", Commitment.PROCESSED), base, changed)
        now_ms = int(time.time() * 1000)
        for subscription in self._of("slotsUpdates"):
            for node in event.undone:
                if node.block.slot >= event.opened:
                    dead = {"type": "dead", "slot": node.block.slot, "err": "duplicate block"}
                    subscription.send({**dead, "timestamp": now_ms})
            created = {"type": "createdBank", "slot": event.opened, "parent": base}
            subscription.send({**created, "timestamp": now_ms})
        slot = {"slot": event.opened, "parent": base, "root": self._validator.position(Commitment.FINALIZED)}
        for subscription in self._of("slot"):
            subscription.send(slot)

    def _updates(self, event: SlotClosed) -> None:
        subscribers = self._of("slotsUpdates")
        if not subscribers:
            return
        now_ms = int(time.time() * 1000)
        for update in _slot_updates(event):
            for subscription in subscribers:
                subscription.send({**update, "timestamp": now_ms})

    def _roots(self, event: SlotClosed) -> None:
        for node in event.final:
            for subscription in self._of("root"):
                # A real node tells each root twice: as the newest, and again before the next one.
                subscription.send(node.parent.block.slot if node.parent else node.block.slot)
                subscription.send(node.block.slot)

    def _level(self, level: Commitment, nodes: Sequence[SlotNode]) -> None:
        logs, accounts, program = (self._of(name, level) for name in ("logs", "account", "program"))
        if not (logs or accounts or program):
            return
        for node in nodes:
            slot = node.block.slot
            if logs and node.errors:
                self._logs(logs, slot, self._validator.transactions(slot))
            if (accounts or program) and node.pre_images:
                changed = {key: self._validator.account_at(key, slot) for key in node.pre_images}
                self._accounts(accounts, slot, changed)
                self._programs(program, slot, changed)

    def _blocks(self, level: Commitment, nodes: Sequence[SlotNode]) -> None:
        subscribers = self._of("block", level)
        for node in nodes if subscribers else ():
            for subscription in subscribers:
                topic = subscription.topic
                if isinstance(topic, Blocks):
                    subscription.send_at(node.block.slot, self._block(topic, node))

    def _block(self, topic: Blocks, node: SlotNode) -> dict[str, object]:
        slot = node.block.slot
        try:
            return {
                "slot": slot,
                "err": None,
                "block": topic.shape.show(self._validator, node.block, topic.mentions),
            }
        except RpcError:
            # A transaction whose version the client cannot read.
            return {"slot": slot, "err": "BlockStoreError", "block": None}

    def _votes(self, event: SlotClosed) -> None:
        """One vote a block, as the single validator would cast it; it is in no block."""
        block = event.node.block
        for subscription in self._of("vote"):
            subscription.send(
                {
                    "votePubkey": str(self._validator.identity.vote),
                    "slots": [block.slot],
                    "hash": block.blockhash,
                    "timestamp": block.block_time,
                    "signature": NO_SIGNATURE,
                }
            )

    def _logs(
        self, subscribers: list[Subscription], slot: Slot, records: Sequence[StoredTransaction]
    ) -> None:
        for record in records:
            value = {"signature": record.signature, "err": record.err, "logs": record.meta["logMessages"]}
            mentioned: frozenset[str] | None = None
            for subscription in subscribers:
                topic = subscription.topic
                wanted = topic.mentions if isinstance(topic, Logs) else None
                if wanted is not None and mentioned is None:
                    mentioned = record_keys(record)
                if wanted is None or (mentioned is not None and wanted in mentioned):
                    subscription.send_at(slot, value)

    def _accounts(
        self, subscribers: list[Subscription], slot: Slot, changed: dict[Pubkey, AccountState | None]
    ) -> None:
        for subscription in subscribers:
            topic = subscription.topic
            if isinstance(topic, Account) and topic.key in changed:
                state = changed[topic.key] or AccountState(0, b"", Pubkey.default())
                subscription.send_at(slot, topic.shape.show(state, self._validator.view_at(slot)))

    def _programs(
        self,
        subscribers: list[Subscription],
        slot: Slot,
        changed: dict[Pubkey, AccountState | None],
    ) -> None:
        for subscription in subscribers:
            topic = subscription.topic
            if not isinstance(topic, Program):
                continue
            for key, state in changed.items():
                if state is None or state.owner != topic.key:
                    continue
                if all(accepts(state) for accepts in topic.filters):
                    shown = topic.shape.show(state, self._validator.view_at(slot))
                    subscription.send_at(slot, {"pubkey": str(key), "account": shown})

    def _signature(self, subscription: Subscription) -> None:
        """Notify once the transaction has reached the level, and end the subscription."""
        topic = subscription.topic
        if not isinstance(topic, SignatureWatch):
            return
        found = recent_outcome(self._validator, topic.signature)
        if found is None or found[0] >= self._validator.open.slot:
            return
        if found[0] > self._validator.position(subscription.commitment):
            return
        subscription.send_at(self._validator.position(subscription.commitment), {"err": found[1]})
        self._subscriptions.pop(subscription.number, None)


def _slot_updates(event: SlotClosed) -> Iterator[dict[str, object]]:
    """The slotsUpdates of a closed slot, without their timestamp."""
    slot, errors = event.node.block.slot, event.node.errors
    failed = sum(err is not None for err in errors.values())
    stats = {
        "numTransactionEntries": len(errors),
        "numSuccessfulTransactions": len(errors) - failed,
        "numFailedTransactions": failed,
        "maxTransactionsPerEntry": min(len(errors), 1),
    }
    yield {"type": "frozen", "slot": slot, "stats": stats}
    for node in event.final:
        yield {"type": "root", "slot": node.block.slot}
    yield {"type": "completed", "slot": slot}
    for node in event.confirmed:
        yield {"type": "optimisticConfirmation", "slot": node.block.slot}
    yield {"type": "createdBank", "slot": event.opened, "parent": slot}


# What each subscription's parameters mean.


def _at_least(params: Params, count: int) -> None:
    if len(params.values) < count:
        raise invalid_params(f"`params` should have at least {count} argument(s)")


def _plain(name: str) -> Callable[[Params], tuple[Topic, Commitment]]:
    return lambda _: (name, Commitment.PROCESSED)


def _logs_topic(params: Params) -> tuple[Topic, Commitment]:
    _at_least(params, 1)
    which, commitment = params.get(0), params.config(1).commitment()
    if which in ("all", "allWithVotes"):
        return Logs(None), commitment
    if not isinstance(which, dict) or not isinstance(which.get("mentions"), list):
        raise invalid_params("Invalid params: expected `all`, `allWithVotes` or `mentions`.")
    mentions = which["mentions"]
    if len(mentions) != 1:
        raise invalid_params("Invalid Request: Only 1 address supported")
    return Logs(str(_key(mentions[0]))), commitment


def _block_topic(params: Params) -> tuple[Topic, Commitment]:
    _at_least(params, 1)
    which, asked = params.get(0), params.config(1)
    mentions: str | None = None
    if isinstance(which, dict) and "mentionsAccountOrProgram" in which:
        mentions = str(_key(which["mentionsAccountOrProgram"]))
    elif which != "all":
        raise invalid_params("Invalid params: expected `all` or `mentionsAccountOrProgram`.")
    name = "base64" if asked.members.get("encoding") is None else transaction_encoding(asked)
    shape = block_format(asked, name, rewards=asked.flag("showRewards"))
    return Blocks(mentions, shape), history_commitment(asked)


def _key(value: object) -> Pubkey:
    try:
        return pubkey(value)
    except RpcError as error:
        raise invalid_params(BAD_KEY) from error


def _account_topic(params: Params) -> tuple[Topic, Commitment]:
    _at_least(params, 1)
    asked = params.config(1)
    return Account(_key(params.get(0)), account_format(asked)), asked.commitment()


def _program_topic(params: Params) -> tuple[Topic, Commitment]:
    _at_least(params, 1)
    asked = params.config(1)
    filters = tuple(account_filters(asked.members.get("filters")))
    return Program(_key(params.get(0)), account_format(asked), filters), asked.commitment()


def _signature_topic(params: Params) -> tuple[Topic, Commitment]:
    _at_least(params, 1)
    try:
        wanted = Signature(signature(params.get(0)))
    except RpcError as error:
        raise invalid_params(BAD_SIGNATURE) from error
    asked = config(params.get(1))
    return SignatureWatch(wanted, asked.flag("enableReceivedNotification")), asked.commitment()


TOPICS: Final[dict[str, Callable[[Params], tuple[Topic, Commitment]]]] = {
    "block": _block_topic,
    "vote": _plain("vote"),
    "slot": _plain("slot"),
    "root": _plain("root"),
    "slotsUpdates": _plain("slotsUpdates"),
    "logs": _logs_topic,
    "account": _account_topic,
    "program": _program_topic,
    "signature": _signature_topic,
}
