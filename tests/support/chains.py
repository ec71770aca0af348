"""Running chains for tests: the embedded localnet, or a real validator, both through localnet.sh."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from support.paths import AGAVE, LOCALNET, ROOT

START_WITHIN_S = 120


def free_ports() -> int:
    """The first of four free ports in a row."""
    for start in range(21_000 + os.getpid() % 1_000 * 10, 60_000, 4):
        try:
            for offset in range(4):
                with socket.socket() as probe:
                    probe.bind(("127.0.0.1", start + offset))
        except OSError:
            continue
        return start
    raise AssertionError("no four free ports in a row")


def free_twin(start: int) -> int:
    """A free port with a free one after it, away from those that the chain itself takes."""
    for port in range(start, start + 2_000, 2):
        with suppress(OSError), socket.socket() as http, socket.socket() as ws:
            http.bind(("127.0.0.1", port))
            ws.bind(("127.0.0.1", port + 1))
            return port
    raise AssertionError("no two free ports in a row")


@contextmanager
def running_chain(kind: str, directory: Path, *more: str, finalized_depth: int = 2) -> Iterator[str]:
    """The URL of a chain of its own: ``embedded``, or ``agave`` where a real validator is at hand."""
    environment = {**os.environ, "TIEOUT_LOCALNET_HOME": str(directory / "instances")}
    options = ["--ledger", str(directory / "ledger")]
    if kind == "agave":
        validator = os.environ.get("TIEOUT_AGAVE") or (str(AGAVE) if AGAVE.exists() else "")
        if not validator or sys.platform != "linux":
            pytest.skip("no solana-test-validator is here: name one with TIEOUT_AGAVE")
        environment["TIEOUT_AGAVE"] = validator
        options += ["--validator", "agave", "--slot-ms", "200"]
    else:
        if not (ROOT / "localnet" / ".venv").exists():
            pytest.skip("the localnet is not installed: make setup")
        options += ["--slot-ms", "50", "--finalized-depth", str(finalized_depth), *more]
    port = str(free_ports())

    def localnet(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(LOCALNET), *arguments, "--port", port],
            env=environment, capture_output=True, text=True, timeout=START_WITHIN_S, check=False,
        )  # fmt: skip

    started = localnet("up", *options)
    if started.returncode != 0 and kind == "agave" and "shared libraries" in started.stdout + started.stderr:
        pytest.skip("the validator's system libraries are missing: libssl3 libudev1 libstdc++6")
    assert started.returncode == 0, started.stdout + started.stderr
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        stopped = localnet("down")
        assert stopped.returncode == 0, stopped.stdout + stopped.stderr
