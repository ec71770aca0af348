"""The journal: what was signed for which request, on disk before anything is sent.

One SQLite file (WAL, ``synchronous=FULL``, mode 0600), one row per signed transaction. A request is
(chain, kind, id); it gets a second row only when the first is dead or has failed on the chain.
Several processes may share the file: whoever commits first has signed, the others send its bytes.

States::

    signed → sent → landed      on the chain, succeeded
                  → failed      on the chain, refused by a program: nothing moved
                  → dead        proven never to land
"""

import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Literal, Self

import msgspec

from tieout_client.errors import BadInput, JournalUnavailable, OverLimit
from tieout_client.memo import MemoKind

JournalKind = MemoKind | Literal["transaction"]
"""What a request is; ``transaction``: none, but a transaction that was sent from a file."""

State = Literal["signed", "sent", "landed", "failed", "dead"]

_VERSION: Final = 1
_BUSY_TIMEOUT_S: Final = 30.0
_LOOK_AGAIN_S: Final = 0.01
_DAY_S: Final = 86_400
_SCHEMA: Final = """
create table if not exists attempts (
    chain text not null,
    kind text not null,
    request_id text not null,
    attempt integer not null,
    parameters text not null,
    mint text not null,
    amount text not null,
    state text not null check (state in ('signed', 'sent', 'landed', 'failed', 'dead')),
    signature text not null unique,
    transaction_bytes blob not null,
    blockhash text not null,
    last_valid_block_height integer not null,
    fetched_slot integer not null,
    guard text,
    guard_lamports integer not null default 0,
    slot integer,
    error text,
    signed_at real not null,
    updated_at real not null,
    primary key (chain, kind, request_id, attempt)
) strict
"""
_LATEST: Final = "select * from attempts where chain = ? and kind = ? and request_id = ? order by attempt desc limit 1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What is asked for under an id; ``raw`` units, ``details`` whatever else makes it this request and no other."""

    kind: JournalKind
    request_id: str
    mint: str
    raw: int
    details: Mapping[str, str]

    @property
    def memo_kind(self) -> MemoKind:
        """The kind as it stands in the memo; a transaction without a request has none."""
        assert self.kind != "transaction", "it carries no memo of ours"
        return self.kind

    @property
    def parameters(self) -> str:
        """The parameters as one text, the same for the same request."""
        fields = {"mint": self.mint, "raw": str(self.raw), **self.details}
        return ", ".join(f"{name} {fields[name]}" for name in sorted(fields))


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One signed transaction of a request. Times are unix seconds, ``amount`` is raw."""

    chain: str
    kind: JournalKind
    request_id: str
    attempt: int
    parameters: str
    mint: str
    amount: int
    state: State
    signature: str
    transaction_bytes: bytes
    blockhash: str
    last_valid_block_height: int
    fetched_slot: int
    guard: str | None
    guard_lamports: int
    slot: int | None
    error: str | None
    signed_at: float
    updated_at: float


class Journal:
    """The journal in one file, made when it is not there. Blocking; safe to share between threads.

    Raises BadInput for a file that is no journal or that others can read, JournalUnavailable
    when the disk or another process's lock stands in the way.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        # Re-entrant: several writes may be steps of one transaction.
        self._lock = threading.RLock()
        _make_private(self.path)
        with self._named():
            self._db = sqlite3.connect(
                self.path, timeout=_BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
            )
            self._db.row_factory = sqlite3.Row
            try:
                self._prepare()
            except BaseException:
                self._db.close()
                raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; what was recorded stays."""
        with self._lock:
            self._db.close()

    def find(self, chain: str, request: Request) -> Entry | None:
        """Return the latest attempt at a request, or None. Raises BadInput when it had other parameters."""
        with self._lock, self._named():
            return self._find(chain, request)

    def record(
        self, chain: str, request: Request, signed: Mapping[str, Any], *, after: int, day_max: int | None
    ) -> Entry:
        """Write a signed transaction as attempt ``after + 1`` and return it once it is on disk.

        When another process was first, its entry is returned and ours is forgotten: it was sent
        nowhere. Raises BadInput as ``find``, OverLimit when the raw units of the last 24 hours
        and this request exceed ``day_max``.
        """
        now = time.time()
        with self._lock, self._named(), self._transaction():
            found = self._find(chain, request)
            if found is not None and found.attempt > after:
                return found
            self._check_day(chain, request, day_max, now)
            row = {
                "chain": chain, "kind": request.kind, "request_id": request.request_id, "attempt": after + 1,
                "parameters": request.parameters, "mint": request.mint, "amount": str(request.raw),
                "state": "signed", "signed_at": now, "updated_at": now, **signed,
            }  # fmt: skip
            names, marks = ", ".join(row), ", ".join("?" for _ in row)
            self._db.execute(f"insert into attempts ({names}) values ({marks})", list(row.values()))
            made = self._find(chain, request)
        assert made is not None, "a row just written is there"
        return made

    def mark(self, entry: Entry, state: State, *, slot: int | None = None, error: str | None = None) -> None:
        """Note what became of a transaction; on disk when this returns."""
        with self._lock, self._named(), self._transaction():
            self._db.execute(
                "update attempts set state = ?, slot = coalesce(?, slot), error = ?, updated_at = ? "
                "where signature = ?",
                [state, slot, error, time.time(), entry.signature],
            )

    def together(self, steps: Sequence[Callable[[], Any]]) -> list[Any]:
        """Run several ``record`` and ``mark`` calls in one transaction: one wait for the disk, not one each.

        Returns each step's result, or the BadInput or OverLimit for which it wrote nothing. Raises
        JournalUnavailable, and then nothing of any step is in the journal.
        """
        with self._lock, self._named(), self._transaction():
            return [_outcome(step) for step in steps]

    def entries(self, chain: str | None = None, *, open_only: bool = False) -> list[Entry]:
        """Return all attempts, oldest first; ``open_only``: those whose outcome is not known yet."""
        wanted = "(? is null or chain = ?)" + (" and state in ('signed', 'sent')" if open_only else "")
        with self._lock, self._named():
            rows = self._db.execute(f"select * from attempts where {wanted} order by signed_at, rowid", [chain, chain])
            return [_entry(row) for row in rows]

    def _find(self, chain: str, request: Request) -> Entry | None:
        row = self._db.execute(_LATEST, [chain, request.kind, request.request_id]).fetchone()
        if row is None:
            return None
        found = _entry(row)
        if found.parameters != request.parameters:
            raise BadInput(
                f"the {request.kind} request {request.request_id} was signed before with {found.parameters}, and now "
                f"comes with {request.parameters}: give another request an id of its own"
            )
        return found

    def _check_day(self, chain: str, request: Request, day_max: int | None, now: float) -> None:
        if day_max is None:
            return
        rows = self._db.execute(
            "select amount from attempts where chain = ? and kind = ? and mint = ? and signed_at > ? "
            "and state in ('signed', 'sent', 'landed')",
            [chain, request.kind, request.mint, now - _DAY_S],
        )
        already = sum(int(row["amount"]) for row in rows)
        if already + request.raw > day_max:
            raise OverLimit(
                f"{already} raw of {request.mint} went out by {request.kind} in the last 24 hours, {request.raw} more "
                f"exceed the day's limit of {day_max}: raise the limit if this is meant"
            )

    def _prepare(self) -> None:
        self._write_ahead()
        self._db.execute("pragma synchronous = full")
        version: int = self._db.execute("pragma user_version").fetchone()[0]
        if version not in {0, _VERSION}:
            raise BadInput(
                f"the journal {self.path} is of version {version}, this program knows {_VERSION}: upgrade it"
            )
        if version == 0:
            with self._transaction():
                self._db.execute(_SCHEMA)
                self._db.execute(f"pragma user_version = {_VERSION}")

    def _write_ahead(self) -> None:
        give_up_at = time.monotonic() + _BUSY_TIMEOUT_S
        while True:
            try:
                self._db.execute("pragma journal_mode = wal")
                return
            except sqlite3.OperationalError:
                # SQLite does not wait here by itself when two processes open a new file at once.
                if time.monotonic() > give_up_at:
                    raise
                time.sleep(_LOOK_AGAIN_S)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        # Immediate: the lock is taken before the look, so that nobody writes between look and insert.
        begin, undo, keep = (
            ("savepoint step", "rollback to step", "release step")
            if self._db.in_transaction
            else ("begin immediate", "rollback", "commit")
        )
        self._db.execute(begin)
        try:
            yield
            self._db.execute(keep)
        except BaseException:
            # A full disk makes SQLite roll back by itself.
            if self._db.in_transaction:
                self._db.execute(undo)
            raise

    @contextmanager
    def _named(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError as bad:
            raise JournalUnavailable(
                f"the journal {self.path} cannot be used: {bad}; what it does not hold was not sent, "
                "free the disk or the lock and run the same request again"
            ) from bad
        except sqlite3.DatabaseError as bad:
            raise BadInput(f"{self.path} is no journal: {bad}") from bad


def _outcome(step: Callable[[], Any]) -> Any:
    try:
        return step()
    except BadInput as refused:
        return refused


def _entry(row: sqlite3.Row) -> Entry:
    # Amounts are text there: a u64 does not fit SQLite's signed integers.
    return msgspec.convert(dict(row) | {"amount": int(row["amount"])}, Entry)


def _make_private(path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        opened = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            mode = os.fstat(opened).st_mode & 0o777
        finally:
            os.close(opened)
        # The new name itself must survive a power cut, not only what is in the file.
        directory = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
    except OSError as bad:
        raise JournalUnavailable(f"cannot open the journal {path}: {bad.strerror or type(bad).__name__}") from None
    if mode & 0o077:
        raise BadInput(f"the journal {path} can be read by others, and its transactions can be sent: chmod 600 {path}")
