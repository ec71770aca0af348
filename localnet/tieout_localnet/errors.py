"""JSON-RPC errors as data: code, message, data, in the words of a real node.

RpcError        answered to the client; everything else that escapes a handler is -32603 and a traceback
"""

from collections.abc import Mapping
from typing import Final

PARSE_ERROR: Final = -32700
INVALID_REQUEST: Final = -32600
METHOD_NOT_FOUND: Final = -32601
INVALID_PARAMS: Final = -32602
INTERNAL_ERROR: Final = -32603

BLOCK_CLEANED_UP: Final = -32001
PREFLIGHT_FAILURE: Final = -32002
SIGNATURE_VERIFICATION_FAILURE: Final = -32003
BLOCK_NOT_AVAILABLE: Final = -32004
NODE_UNHEALTHY: Final = -32005
SLOT_SKIPPED: Final = -32007
NO_SNAPSHOT: Final = -32008
BLOCK_STATUS_NOT_AVAILABLE: Final = -32014
UNSUPPORTED_TRANSACTION_VERSION: Final = -32015
MIN_CONTEXT_SLOT_NOT_REACHED: Final = -32016
FILTER_TRANSACTION_NOT_FOUND: Final = -32020


class RpcError(Exception):
    """An answer that is an error."""

    def __init__(self, code: int, message: str, data: object = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.data = data

    def to_json(self) -> Mapping[str, object]:
        """The `error` member of the response."""
        answer: dict[str, object] = {"code": self.code, "message": self.message}
        if self.data is not None:
            answer["data"] = self.data
        return answer


def method_not_found() -> RpcError:
    """An unknown method or subscription."""
    return RpcError(METHOD_NOT_FOUND, "Method not found")


def invalid_params(message: str) -> RpcError:
    """Parameters that cannot be used."""
    return RpcError(INVALID_PARAMS, message)


def block_not_available(slot: int) -> RpcError:
    """Not rooted yet, or beyond the tip."""
    return RpcError(BLOCK_NOT_AVAILABLE, f"Block not available for slot {slot}")


def slot_skipped(slot: int) -> RpcError:
    """The root has passed the slot, and it has no block."""
    return RpcError(
        SLOT_SKIPPED, f"Slot {slot} was skipped, or missing due to ledger jump to recent snapshot"
    )


def block_cleaned_up(slot: int, first: int) -> RpcError:
    """Older than anything that the node still has."""
    return RpcError(
        BLOCK_CLEANED_UP,
        f"Block {slot} cleaned up, does not exist on node. First available block: {first}",
    )


def block_status_not_available(slot: int) -> RpcError:
    """The block is there, the status of its transactions is not written yet."""
    return RpcError(BLOCK_STATUS_NOT_AVAILABLE, f"Block status not yet available for slot {slot}")


def node_unhealthy() -> RpcError:
    """The node has fallen behind and does not know how far."""
    return RpcError(NODE_UNHEALTHY, "Node is unhealthy", {"numSlotsBehind": None})


def min_context_slot_not_reached(slot: int) -> RpcError:
    """The node's state is older than the client insists on."""
    return RpcError(
        MIN_CONTEXT_SLOT_NOT_REACHED, "Minimum context slot has not been reached", {"contextSlot": slot}
    )


def unsupported_version(version: int) -> RpcError:
    """A versioned transaction, and a client that did not say that it can read one."""
    return RpcError(
        UNSUPPORTED_TRANSACTION_VERSION,
        f"Transaction version ({version}) is not supported by the requesting client. Please try the request "
        f'again with the following configuration parameter: "maxSupportedTransactionVersion": {version}',
    )


def filter_transaction_not_found(signature: str) -> RpcError:
    """A `before` or `until` that the node does not know."""
    return RpcError(FILTER_TRANSACTION_NOT_FOUND, f"Transaction {signature} not found")
