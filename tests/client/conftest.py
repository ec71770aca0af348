"""A running chain for the live tests, and real data that lies beside the repository."""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SHARED = ROOT.parent / "shared"
READY_WITHIN_S = 60


@pytest.fixture
def shared_json():
    def load(path):
        file = SHARED / "data" / path
        if not file.exists():
            pytest.skip(f"the recorded data {path} is not here")
        return json.loads(file.read_text("utf-8"))

    return load


@pytest.fixture(scope="session")
def chain(tmp_path_factory):
    """The URL of a running localnet: TIEOUT_TEST_CHAIN, the embedded one, else a real validator."""
    given = os.environ.get("TIEOUT_TEST_CHAIN")
    if given:
        yield given
        return
    port, ledger = free_ports(), tmp_path_factory.mktemp("chain") / "ledger"
    url = f"http://127.0.0.1:{port}"
    embedded, validator = ROOT / "localnet.sh", SHARED / "bin" / "solana-test-validator"
    if embedded.exists() and (ROOT / "localnet" / ".venv").exists():
        yield from run_embedded(embedded, port, ledger, url)
    elif validator.exists() and sys.platform == "linux":
        yield from run_validator(validator, port, ledger, url)
    else:
        pytest.skip("no localnet: localnet/.venv is not made and no solana-test-validator is at hand")


def run_embedded(script, port, ledger, url):
    options = ["--port", str(port), "--ledger", str(ledger), "--slot-ms", "50", "--finalized-depth", "2"]
    subprocess.run([str(script), "up", *options], check=True, capture_output=True, timeout=READY_WITHIN_S)
    try:
        yield url
    finally:
        subprocess.run([str(script), "down", "--port", str(port)], check=False, capture_output=True)


def run_validator(validator, port, ledger, url):
    options = ["--rpc-port", str(port), "--faucet-port", str(port + 2), "--ledger", str(ledger)]
    options += ["--limit-ledger-size", "50000000", "--bind-address", "127.0.0.1", "--quiet"]
    running = subprocess.Popen([str(validator), *options], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_until_it_answers(url)
        yield url
    finally:
        running.terminate()
        running.wait(timeout=30)


def wait_until_it_answers(url):
    ask = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "getSlot"}).encode()
    request = urllib.request.Request(url, ask, {"Content-Type": "application/json"})  # noqa: S310  our own localnet
    give_up_at = time.monotonic() + READY_WITHIN_S
    while time.monotonic() < give_up_at:
        try:
            with urllib.request.urlopen(request, timeout=2) as answer:  # noqa: S310
                if json.load(answer).get("result", 0) > 0:
                    return
        except OSError:
            pass
        time.sleep(0.2)
    pytest.fail(f"the chain at {url} did not answer within {READY_WITHIN_S} s")


def free_ports():
    """The first of three free ports in a row: HTTP, WebSocket, faucet."""
    for start in range(21_000 + os.getpid() % 1000 * 10, 60_000, 3):
        try:
            for offset in range(3):
                with socket.socket() as probe:
                    probe.bind(("127.0.0.1", start + offset))
        except OSError:
            continue
        return start
    raise AssertionError("no three free ports in a row")
