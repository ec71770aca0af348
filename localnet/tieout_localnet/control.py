"""Start, stop and look at instances. Every function returns an Outcome; nothing here prints.

exit 0 done   1 not running, or it did not come up   2 bad usage: a taken port, a directory that is not ours
"""

import contextlib
import fcntl
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from tieout_localnet import agave, instances, ledger_dir, surfpool
from tieout_localnet.instances import Options, Record

READY_TIMEOUT_S: Final = {"embedded": 30.0, "agave": 120.0, "surfpool": 60.0}
POLL_S: Final = 0.05
STOP_TIMEOUT_S: Final = 15.0
CALL_TIMEOUT_S: Final = 5.0
LOG_TAIL_LINES: Final = 30


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a command came to: exit status, a sentence, and the facts for --json."""

    status: int
    text: str
    facts: dict[str, object] = field(default_factory=dict)


def reachable_host(options: Options) -> str:
    """Where this machine reaches an instance: a wildcard address is not one to call."""
    return "127.0.0.1" if options.host in ("0.0.0.0", "::", "localhost") else options.host


def call(options: Options, method: str, params: list[object] | None = None) -> object:
    """One JSON-RPC call to an instance; raises OSError when nobody answers, ValueError for rubbish."""
    body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params or []}
    request = urllib.request.Request(
        f"http://{reachable_host(options)}:{options.port}/",
        data=json.dumps(body).encode(),
        headers={"Content-Type": "application/json"},
    )
    # A proxy that the environment names is not the way to this machine.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=CALL_TIMEOUT_S) as response:
            answer = json.load(response)
        if "error" in answer:
            raise ValueError(answer["error"]["message"])
        return answer["result"]
    except http.client.HTTPException as cut:
        raise ConnectionError(f"the answer to {method} was cut off: {cut}") from cut
    except (TypeError, KeyError) as odd:
        raise ValueError(f"the answer to {method} is no JSON-RPC") from odd


def healthy(options: Options) -> bool:
    """Whether a node answers getHealth with ok."""
    try:
        return call(options, "getHealth") == "ok"
    except (OSError, ValueError):
        return False


def port_taken(host: str, port: int) -> bool:
    """Whether something listens on a port of an address."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            probe.listen(1)
        except OSError:
            return True
    return False


@contextlib.contextmanager
def only_command(port: int) -> Iterator[None]:
    """Commands on one instance run one after another."""
    directory = instances.directory(port)
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / instances.CONTROL_LOCK_FILE).open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def up(options: Options) -> Outcome:
    """Start an instance and wait until it answers."""
    with only_command(options.port):
        return _up(options)


def _up(options: Options) -> Outcome:
    known = instances.load(options.port)
    if known is not None and instances.alive(known):
        return _already_up(known, options)
    for port in (options.port, options.port + 1):
        if port_taken(reachable_host(options), port):
            return Outcome(2, f"Port {port} is in use by another program. Choose another with --port.")
    try:
        wrong = wrong_file(options)
        if wrong is not None:
            return Outcome(2, f"{wrong}.")
        ledger_dir.claim(Path(options.ledger))
        command = _command(options)
    except (ledger_dir.NotOurs, agave.NotFound) as error:
        return Outcome(2, f"{error}.")
    except OSError as error:
        return Outcome(2, f"The ledger directory {options.ledger} cannot be used: {error.strerror}.")
    return _start(options, command)


def wrong_file(options: Options) -> str | None:
    """What is wrong with the files that an instance is to read, if anything."""
    if not (options.chaos or options.accounts or options.account_dirs or options.programs):
        return None
    # Imported only here: the engine comes with them.
    from tieout_localnet.chaos import BadRule, load
    from tieout_localnet.preload import BadFile, Preload

    try:
        twin = None if options.chaos is None else load(Path(options.chaos))[2]
        for port in () if twin is None else (twin.port, twin.port + 1):
            if port in (options.port, options.port + 1) or port_taken(reachable_host(options), port):
                return f"Port {port}, which the twin is to have, is in use"
        Preload(options.accounts, options.account_dirs, options.programs).read()
    except (BadRule, BadFile) as error:
        return str(error)
    return None


def _already_up(known: Record, asked: Options) -> Outcome:
    port = asked.port
    if Path(known.options.ledger).resolve() != Path(asked.ledger).resolve():
        return Outcome(2, f"A localnet runs on port {port}, on another ledger: {known.options.ledger}.")
    if not _wait_ready(known, time.monotonic() + READY_TIMEOUT_S[known.options.validator]):
        return Outcome(1, f"Process {known.pid} runs on port {port} and does not answer. Try `down`.")
    return Outcome(0, f"Already running on port {port} (pid {known.pid}).", _facts(known))


def _command(options: Options) -> list[str]:
    if options.validator == "agave":
        return agave.command(options)
    if options.validator == "surfpool":
        return surfpool.command(options)
    command = [sys.executable, "-m", "tieout_localnet", "serve", "--host", options.host]
    command += ["--port", str(options.port), "--ledger", options.ledger, "--slot-ms", str(options.slot_ms)]
    command += ["--confirmed-depth", str(options.confirmed_depth)]
    command += ["--finalized-depth", str(options.finalized_depth)]
    return command + _further(options)


def _further(options: Options) -> list[str]:
    """Flags that are passed on only when they were given."""
    flags: list[str] = []
    if options.seed is not None:
        flags += ["--seed", str(options.seed)]
    if options.chaos is not None:
        flags += ["--chaos", options.chaos]
    if options.leaders != 1:
        flags += ["--leaders", str(options.leaders)]
    if options.token_program != "p-token":
        flags += ["--token-program", options.token_program]
    flags += ["--block-subscribe"] * options.block_subscribe + ["--vote-subscribe"] * options.vote_subscribe
    return flags + ["--manual"] * options.manual + preload_flags(options)


def preload_flags(options: Options) -> list[str]:
    """The accounts and programs that a new chain starts with, as flags."""
    flags: list[str] = []
    for address, file in options.accounts:
        flags += ["--account", address, file]
    for directory in options.account_dirs:
        flags += ["--account-dir", directory]
    for address, file in options.programs:
        flags += ["--program", address, file]
    return flags


def _start(options: Options, command: list[str]) -> Outcome:
    started = time.monotonic()
    with instances.log_file(options.port).open("ab") as log:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    record = Record(options, process.pid, instances.started_ticks(process.pid))
    instances.save(record)
    if _wait_ready(record, started + READY_TIMEOUT_S[options.validator], process):
        return Outcome(0, _ready_text(record), _facts(record))
    code = process.poll()
    why = "did not answer in time" if code is None else f"ended with status {code}"
    _terminate(record)
    instances.save(instances.stopped(record))
    return Outcome(1, f"The validator {why}. The end of its log:\n{log_tail(options.port)}")


def _wait_ready(record: Record, deadline: float, process: "subprocess.Popen[bytes] | None" = None) -> bool:
    first_slot: object = None
    while time.monotonic() < deadline:
        if process is not None and process.poll() is not None:
            return False
        if not instances.alive(record):
            return False
        if record.options.validator == "embedded":
            # Asked by a method that no rule of misbehaviour spoils: it is up, whatever it is told to answer.
            if _is_it(record):
                return True
        elif healthy(record.options):
            # The real one says ok before it makes blocks: wait until a slot has passed.
            slot = _processed_slot(record.options)
            first_slot = slot if first_slot is None else first_slot
            if slot is not None and slot != first_slot:
                return True
        time.sleep(POLL_S)
    return False


def _processed_slot(options: Options) -> object:
    try:
        return call(options, "getSlot", [{"commitment": "processed"}])
    except (OSError, ValueError):
        return None


def _is_it(record: Record) -> bool:
    """Whether what answers on the port is this process, and not one that was faster."""
    return _info(record.options).get("pid") == record.pid


def _info(options: Options) -> dict[str, Any]:
    """localnet_info's answer; empty while there is none."""
    try:
        info = call(options, "localnet_info")
    except (OSError, ValueError):
        return {}
    return info if isinstance(info, dict) else {}


def _ready_text(record: Record) -> str:
    host, port = reachable_host(record.options), record.options.port
    return f"Ready: RPC http://{host}:{port}, WebSocket ws://{host}:{port + 1} (pid {record.pid})."


def _facts(record: Record) -> dict[str, object]:
    options = record.options
    facts: dict[str, object] = {
        "pid": record.pid,
        "port": options.port,
        "websocket_port": options.port + 1,
        "ledger": options.ledger,
        "log": str(instances.log_file(options.port)),
        "validator": options.validator,
    }
    if options.validator == "embedded":
        info = _info(options)
        if info:
            facts["slot"] = info["slots"]["processed"]
            facts["genesis_hash"] = info["genesisHash"]
            facts["solana_core"] = info["solanaCore"]
        return facts
    with contextlib.suppress(OSError, ValueError):
        facts["slot"] = call(options, "getSlot", [{"commitment": "processed"}])
        facts["genesis_hash"] = call(options, "getGenesisHash")
        version = call(options, "getVersion")
        facts["solana_core"] = version.get("solana-core") if isinstance(version, dict) else None
    return facts


def down(port: int) -> Outcome:
    """Stop an instance; one that does not run is already down."""
    with only_command(port):
        return _down(port)


def _down(port: int) -> Outcome:
    record = instances.load(port)
    if record is None or not instances.alive(record):
        if record is not None and record.pid is not None:
            instances.save(instances.stopped(record))
        return Outcome(0, f"Nothing runs on port {port}.", {"port": port, "stopped": False})
    how = _terminate(record)
    instances.save(instances.stopped(record))
    return Outcome(0, f"Stopped the localnet on port {port}{how}.", {"port": port, "stopped": True})


def _terminate(record: Record) -> str:
    """SIGTERM, then SIGKILL to the process that we started; says so if it came to that."""
    if record.pid is None or not instances.alive(record):
        return ""
    os.kill(record.pid, signal.SIGTERM)
    if _gone(record, STOP_TIMEOUT_S):
        return ""
    with contextlib.suppress(ProcessLookupError):
        os.kill(record.pid, signal.SIGKILL)
    _gone(record, STOP_TIMEOUT_S)
    return " (it had to be killed)"


def _gone(record: Record, timeout_s: float) -> bool:
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        # A child of this very process (up that failed, tests) must be reaped to be gone.
        with contextlib.suppress(ChildProcessError):
            os.waitpid(record.pid or 0, os.WNOHANG)
        if not instances.alive(record):
            return True
        time.sleep(POLL_S)
    return False


def status(port: int) -> Outcome:
    """Whether an instance runs, and where its chain stands."""
    record = instances.load(port)
    if record is None or not instances.alive(record):
        return Outcome(1, f"Not running on port {port}.", {"port": port, "running": False})
    facts = {"running": True, "healthy": healthy(record.options), **_facts(record)}
    lines = [f"{name.replace('_', ' ')}: {value}" for name, value in facts.items()]
    return Outcome(0 if facts["healthy"] else 1, "\n".join(lines), facts)


def reset(port: int, ledger: str | None) -> Outcome:
    """Forget the chain; an instance that ran is started again, on a new one."""
    with only_command(port):
        record = instances.load(port)
        was_up = record is not None and instances.alive(record)
        known = record.options.ledger if record is not None else str(instances.default_ledger(port))
        if was_up and ledger is not None and Path(ledger).resolve() != Path(known).resolve():
            return Outcome(2, f"The localnet on port {port} runs on another ledger: {known}.")
        target = Path(ledger or known)
        if target.exists() and not (target / ledger_dir.MARKER_FILE).exists():
            return Outcome(2, f"{target} was not made by the localnet; nothing was deleted.")
        if was_up:
            _down(port)
        forgotten = ledger_dir.forget(target)
        text = f"Forgot the ledger {target}." if forgotten else f"There was no ledger at {target}."
        if record is None or not was_up:
            return Outcome(0, text, {"port": port, "ledger": str(target), "forgotten": forgotten})
        again = _up(record.options)
        return Outcome(again.status, f"{text} {again.text}", again.facts)


def log_tail(port: int, lines: int = LOG_TAIL_LINES) -> str:
    """The end of an instance's log."""
    try:
        text = instances.log_file(port).read_text(errors="replace")
    except OSError:
        return "(no log)"
    return "\n".join(text.splitlines()[-lines:])
