"""RPC errors, and the table that says what each code means for us.

Codes: agave ``rpc-client-api/src/custom_error.rs``, JSON-RPC 2.0, and what providers add.
An error code is never proof of a skipped slot: the table can send a slot to the park, not past it.
"""

from dataclasses import dataclass
from enum import Enum
from typing import Any


class Action(Enum):
    """What to do about an error: the first question is whether trying again would help."""

    RETRY = "retry"
    """the same node may answer soon"""
    FAIL_OVER = "fail over"
    """this node cannot answer, another may"""
    PARK = "park"
    """no node's word settles it: the slot waits for proof"""
    STOP = "stop"
    """a person is needed: our request or version is wrong"""


@dataclass(frozen=True, slots=True)
class ErrorRule:
    """One row of the error table."""

    code: int
    name: str
    action: Action


ERROR_TABLE: dict[int, ErrorRule] = {
    rule.code: rule
    for rule in (
        ErrorRule(-32001, "BlockCleanedUp", Action.FAIL_OVER),
        ErrorRule(-32002, "SendTransactionPreflightFailure", Action.STOP),
        ErrorRule(-32003, "TransactionSignatureVerificationFailure", Action.STOP),
        ErrorRule(-32004, "BlockNotAvailable", Action.RETRY),
        ErrorRule(-32005, "NodeUnhealthy", Action.FAIL_OVER),
        ErrorRule(-32006, "TransactionPrecompileVerificationFailure", Action.STOP),
        ErrorRule(-32007, "SlotSkipped", Action.PARK),
        ErrorRule(-32008, "NoSnapshot", Action.FAIL_OVER),
        ErrorRule(-32009, "LongTermStorageSlotSkipped", Action.PARK),
        ErrorRule(-32010, "KeyExcludedFromSecondaryIndex", Action.FAIL_OVER),
        ErrorRule(-32011, "TransactionHistoryNotAvailable", Action.FAIL_OVER),
        ErrorRule(-32012, "ScanError", Action.RETRY),
        ErrorRule(-32013, "TransactionSignatureLenMismatch", Action.STOP),
        ErrorRule(-32014, "BlockStatusNotAvailableYet", Action.RETRY),
        ErrorRule(-32015, "UnsupportedTransactionVersion", Action.STOP),
        ErrorRule(-32016, "MinContextSlotNotReached", Action.RETRY),
        ErrorRule(-32017, "EpochRewardsPeriodActive", Action.RETRY),
        ErrorRule(-32018, "SlotNotEpochBoundary", Action.STOP),
        ErrorRule(-32019, "LongTermStorageUnreachable", Action.RETRY),
        ErrorRule(-32020, "FilterTransactionNotFound", Action.FAIL_OVER),
        ErrorRule(-32021, "NoSlotHistory", Action.FAIL_OVER),
        ErrorRule(-32600, "InvalidRequest", Action.STOP),
        ErrorRule(-32601, "MethodNotFound", Action.FAIL_OVER),
        ErrorRule(-32602, "InvalidParams", Action.STOP),
        ErrorRule(-32603, "InternalError", Action.RETRY),
        ErrorRule(-32700, "ParseError", Action.STOP),
        # Rate limits are a proxy's convention: the number differs by provider.
        ErrorRule(429, "TooManyRequests", Action.RETRY),
        ErrorRule(-32429, "TooManyRequests", Action.RETRY),
        ErrorRule(-32029, "TooManyRequests", Action.RETRY),
    )
}


def rule_for(code: int) -> ErrorRule:
    """Return the rule of a code; an unknown one is another node's to answer."""
    return ERROR_TABLE.get(code, ErrorRule(code, "Unknown", Action.FAIL_OVER))


class RpcError(Exception):
    """A node was asked and no usable answer came."""


class NodeUnreachable(RpcError):
    """No endpoint answered in time."""


class MalformedAnswer(RpcError):
    """An endpoint answered with something that is not JSON-RPC, or is too large."""


def is_outage(error: BaseException) -> bool:
    """Whether a daemon waits for it to pass: no node, no sense in its answer, or a refusal that no person need mend."""
    if isinstance(error, NodeRefused):
        return error.rule.action is not Action.STOP
    return isinstance(error, NodeUnreachable | MalformedAnswer)


class NodeRefused(RpcError):
    """A JSON-RPC error; ``rule.action`` says whether trying again would help."""

    def __init__(self, method: str, code: int, message: str, data: Any, endpoint: str) -> None:
        self.method, self.code, self.message, self.data, self.endpoint = method, code, message, data, endpoint
        self.rule = rule_for(code)
        super().__init__(f"{endpoint} answered {method} with {code} {self.rule.name}: {message}")
