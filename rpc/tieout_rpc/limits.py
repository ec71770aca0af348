"""Limits on what a node may cost us; each carries its unit in its name."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RpcLimits:
    """Time-outs, back-off and sizes of one RPC client."""

    connect_timeout_s: float = 4.0
    request_timeout_s: float = 30.0
    give_up_after_s: float = 8.0
    """How long one call is retried, over all endpoints, before it counts as unanswered; a node that stays
    silent for its share of this time is given up. An answer on its way may take ``request_timeout_s``."""
    backoff_initial_s: float = 0.1
    backoff_max_s: float = 2.0
    retry_after_max_s: float = 30.0
    """How long a node may ask us to stay away; waiting for that comes on top of ``give_up_after_s``."""
    lag_slots_max: int = 150
    """Behind the best endpoint by more than this, one is lagging and asked after the others."""
    body_bytes_max: int = 256 * 1024 * 1024
    connections_max: int = 16
    websocket_message_bytes_max: int = 32 * 1024 * 1024
    websocket_silence_max_s: float = 30.0
