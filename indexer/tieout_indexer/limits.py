"""Limits of the indexer: everything that grows has one, named with its unit."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class IndexerLimits:
    """How much one step of the indexer may take on."""

    window_slots_max: int = 128
    """Slots read and committed in one transaction."""
    batch_rows_max: int = 20_000
    """Rows after which a commit is due though the window is not read to its end."""
    fetches_in_flight_max: int = 6
    poll_interval_s: float = 0.4
    parked_retry_interval_s: float = 5.0
    getblocks_slots_max: int = 500_000
    """The span that a node answers in one getBlocks."""
    memo_characters_max: int = 4_000
    text_characters_max: int = 1_000
    quarantine_data_characters_max: int = 4_000
    provisional_slots_max: int = 512
    writer_lock_wait_s: float = 10.0
