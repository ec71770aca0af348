"""Finalized blocks → proven ledger rows.

source → chain → decode → proof → continuity → writer: which slots exist and what is in them, is
each block linked to the last, what did each instruction do, does the node agree, does each
account begin where it was left, and one transaction that commits rows, evidence and progress.
Errors: see ``tieout_indexer.errors``. Findings are rows, not errors.
"""

from tieout_indexer.audit import ChainMark, verify_chain, verify_chain_after
from tieout_indexer.audit_node import AuditResult, audit_against_node
from tieout_indexer.backfilling import BackfillResult, backfill, check_mint_address
from tieout_indexer.daemon import follow
from tieout_indexer.decode import DECODER_VERSION
from tieout_indexer.errors import (
    AnotherChain,
    BadEvidence,
    ChangedBlock,
    Fenced,
    IndexerError,
    NotAMint,
    NotParked,
    WriterBusy,
)
from tieout_indexer.evidence import Detached, FolderVerdict, missing_from, verify_folder
from tieout_indexer.evidence import detach as detach_evidence
from tieout_indexer.findings import Audited, AuditFinding, store_findings
from tieout_indexer.limits import IndexerLimits
from tieout_indexer.listing import ListingResult, read_listed
from tieout_indexer.multipliers import DeclaredRule, declare_multiplier_rule, read_multiplier_rule
from tieout_indexer.parking import Hole, accept_parked, whoami
from tieout_indexer.pipeline import SegmentOutcome
from tieout_indexer.redecode import redecode
from tieout_indexer.repair import RepairResult, repair
from tieout_indexer.snapshot import Opening, take_snapshot
from tieout_indexer.source import Parked
from tieout_indexer.standing import read_standing
from tieout_indexer.stream import START, Final, LedgerEvent, Position, Provisional, Retracted, Withdrawn, events
from tieout_indexer.tracking import track

__all__ = [
    "DECODER_VERSION",
    "START",
    "AnotherChain",
    "AuditFinding",
    "AuditResult",
    "Audited",
    "BackfillResult",
    "BadEvidence",
    "ChainMark",
    "ChangedBlock",
    "DeclaredRule",
    "Detached",
    "Fenced",
    "Final",
    "FolderVerdict",
    "Hole",
    "IndexerError",
    "IndexerLimits",
    "LedgerEvent",
    "ListingResult",
    "NoSnapshot",
    "NotAMint",
    "NotParked",
    "Opening",
    "Parked",
    "Position",
    "Provisional",
    "RepairResult",
    "Retracted",
    "SegmentOutcome",
    "Withdrawn",
    "WriterBusy",
    "accept_parked",
    "audit_against_node",
    "backfill",
    "check_mint_address",
    "declare_multiplier_rule",
    "detach_evidence",
    "events",
    "follow",
    "missing_from",
    "read_listed",
    "read_multiplier_rule",
    "read_standing",
    "redecode",
    "repair",
    "store_findings",
    "take_snapshot",
    "track",
    "verify_chain",
    "verify_chain_after",
    "verify_folder",
    "whoami",
]
