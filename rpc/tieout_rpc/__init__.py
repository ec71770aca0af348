"""One way to talk to nodes: endpoints and their scores, the error table as data, limits, WebSocket.

Errors::

    RpcError
    ├── NodeUnreachable    no endpoint answered in time; trying again may help
    ├── NodeRefused        a JSON-RPC error: code, message, data and what the table says to do
    └── MalformedAnswer    an answer that is not JSON-RPC, or too large to be read
"""

from tieout_rpc.client import RpcClient
from tieout_rpc.endpoint import Endpoint, Standing, redact_url, websocket_url
from tieout_rpc.errors import (
    ERROR_TABLE,
    Action,
    ErrorRule,
    MalformedAnswer,
    NodeRefused,
    NodeUnreachable,
    RpcError,
    is_outage,
    rule_for,
)
from tieout_rpc.limits import RpcLimits
from tieout_rpc.websocket import subscribe

__all__ = [
    "ERROR_TABLE",
    "Action",
    "Endpoint",
    "ErrorRule",
    "MalformedAnswer",
    "NodeRefused",
    "NodeUnreachable",
    "RpcClient",
    "RpcError",
    "RpcLimits",
    "Standing",
    "is_outage",
    "redact_url",
    "rule_for",
    "subscribe",
    "websocket_url",
]
