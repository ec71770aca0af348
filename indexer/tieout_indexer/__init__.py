"""Finalized blocks → proven ledger rows.

source → chain → decode → proof → continuity → writer: which slots exist and what is in them, is
each block linked to the last, what did each instruction do, does the node agree, does each
account begin where it was left, and one transaction that commits rows, evidence and progress.
Errors: see ``tieout_indexer.errors``. Findings are rows, not errors.
"""

from tieout_indexer.audit import AuditFinding, verify_chain, verify_supply
from tieout_indexer.daemon import BackfillResult, backfill, check_mint_address, follow
from tieout_indexer.decode import DECODER_VERSION
from tieout_indexer.errors import AnotherChain, ChangedBlock, Fenced, IndexerError, NotAMint, WriterBusy
from tieout_indexer.limits import IndexerLimits
from tieout_indexer.pipeline import SegmentOutcome
from tieout_indexer.redecode import redecode
from tieout_indexer.source import Parked
from tieout_indexer.stream import START, Final, LedgerEvent, Position, Provisional, Retracted, Withdrawn, events

__all__ = [
    "DECODER_VERSION",
    "START",
    "AnotherChain",
    "AuditFinding",
    "BackfillResult",
    "ChangedBlock",
    "Fenced",
    "Final",
    "IndexerError",
    "IndexerLimits",
    "LedgerEvent",
    "NotAMint",
    "Parked",
    "Position",
    "Provisional",
    "Retracted",
    "SegmentOutcome",
    "Withdrawn",
    "WriterBusy",
    "backfill",
    "check_mint_address",
    "events",
    "follow",
    "redecode",
    "verify_chain",
    "verify_supply",
]
