"""Limits of the indexer: everything that grows has one, named with its unit."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class IndexerLimits:
    """How much one step of the indexer may take on."""

    window_slots_max: int = 256
    """Slots read and committed in one transaction."""
    batch_rows_max: int = 20_000
    """Rows after which a commit is due though the window is not read to its end."""
    fetches_in_flight_max: int = 6
    poll_interval_s: float = 0.4
    block_subscribe: bool = True
    """Whether a following indexer takes finalized blocks by blockSubscribe, where the node offers it."""
    wake_on_confirmations: bool = True
    """Whether slotsUpdatesSubscribe is listened to for confirmed blocks, so that they are shown at once."""
    listen_rest_s: float = 5.0
    """How long an endpoint is left alone whose subscription failed; doubled each time that it fails again."""
    listen_rest_max_s: float = 300.0
    pushed_bytes_max: int = 32 * 1024 * 1024
    """Blocks that came by blockSubscribe and are not read yet; the oldest go, and are asked for."""
    parked_retry_interval_s: float = 5.0
    reconnect_interval_s: float = 0.5
    """Between attempts to find the database again."""
    audit_interval_s: float = 0.0
    """Between audits against the node while following; 0: none."""
    audit_wait_s: float = 10.0
    """How long an audit waits for the ledger to reach the node's slot."""
    audit_signatures_max: int = 200_000
    """Listed transactions of a mint that one audit compares, newest first."""
    snapshot_attempts_max: int = 5
    """How often a mint that changes meanwhile is read again, before its snapshot is given up."""
    quorum_every_slots: int = 64
    """Of so many slots one is asked of every endpoint; 0: none."""
    endpoint_report_interval_s: float = 5.0
    lag_slots_max: int = 150
    """Behind the others by more than this, a node is lagging."""
    metrics_port: int = 0
    """Where ``index run`` serves /metrics and /healthz; 0: nowhere."""
    metrics_host: str = "127.0.0.1"
    getblocks_slots_max: int = 500_000
    """The span that a node answers in one getBlocks."""
    memo_characters_max: int = 4_000
    text_characters_max: int = 1_000
    quarantine_data_characters_max: int = 4_000
    provisional_slots_max: int = 512
    evidence_rows_at_once_max: int = 500
    redecode_slots_max: int = 5_000
    """Slots decoded again and corrected in one transaction."""
    writer_lock_wait_s: float = 10.0
