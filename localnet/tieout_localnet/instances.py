"""What is known about an instance between commands: a directory per port, with a record and a log.

$TIEOUT_LOCALNET_HOME/<port>/instance.json, log, ledger/
"""

import json
import os
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final

RECORD_FILE: Final = "instance.json"
LOG_FILE: Final = "log"
CONTROL_LOCK_FILE: Final = "control.lock"


@dataclass(frozen=True, slots=True)
class Options:
    """How an instance is run; kept, so that `reset` can start it again the same way."""

    port: int
    ledger: str
    host: str = "127.0.0.1"
    slot_ms: int = 400
    manual: bool = False
    validator: str = "embedded"
    confirmed_depth: int = 1
    finalized_depth: int = 31
    seed: int | None = None
    chaos: str | None = None
    leaders: int = 1
    token_program: str = "p-token"
    block_subscribe: bool = False
    vote_subscribe: bool = False
    accounts: tuple[tuple[str, str], ...] = ()
    account_dirs: tuple[str, ...] = ()
    programs: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Record:
    """An instance: its options, and its process while it runs."""

    options: Options
    pid: int | None
    started_ticks: str | None
    """Start time of the process as the kernel has it: tells it from a later one with the same pid."""


def home() -> Path:
    """Where instances are kept for this user."""
    explicit = os.environ.get("TIEOUT_LOCALNET_HOME")
    if explicit:
        return Path(explicit)
    state = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    return Path(state) / "tieout" / "localnet"


def directory(port: int) -> Path:
    """Where the instance of a port is kept."""
    return home() / str(port)


def default_ledger(port: int) -> Path:
    """Where an instance keeps its chain unless told otherwise."""
    return directory(port) / "ledger"


def log_file(port: int) -> Path:
    """The log of an instance."""
    return directory(port) / LOG_FILE


def load(port: int) -> Record | None:
    """What is known about a port; a damaged record counts as none."""
    try:
        raw = json.loads((directory(port) / RECORD_FILE).read_text())
        return Record(Options(**raw["options"]), raw["pid"], raw["started_ticks"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def save(record: Record) -> None:
    """Remember an instance; the file is replaced in one step."""
    path = directory(record.options.port) / RECORD_FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_suffix(".new")
    scratch.write_text(json.dumps(asdict(record), indent=1) + "\n")
    scratch.replace(path)


def stopped(record: Record) -> Record:
    """The same instance without a process."""
    return replace(record, pid=None, started_ticks=None)


def started_ticks(pid: int) -> str | None:
    """When a process started, as an opaque text; None when there is no such (living) process."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return _without_proc(pid)
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] == "Z" else fields[19]


def _without_proc(pid: int) -> str | None:
    """Where there is no /proc, all that can be known is whether the process exists."""
    if Path("/proc/self/stat").exists():
        return None
    try:
        os.kill(pid, 0)
    except OSError:
        return None
    return "unknown"


def alive(record: Record) -> bool:
    """Whether the process of an instance is still that process."""
    if record.pid is None:
        return False
    ticks = started_ticks(record.pid)
    return ticks is not None and ticks == record.started_ticks
