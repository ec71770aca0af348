"""solana-py and AnchorPy against a running node, with the solders that they pin: another Python runs them.

It is $TIEOUT_CLIENT_PYTHON, or that of the repository's own environment.
"""

import json
import os
import subprocess
from pathlib import Path

import pytest
from support.node import REPOSITORY, Node, free_ports

HERE = Path(__file__).parent / "clients"
PYTHON = os.environ.get("TIEOUT_CLIENT_PYTHON") or str(REPOSITORY / ".venv" / "bin" / "python")
RUN_TIMEOUT_S = 60


def has_the_clients() -> bool:
    if not Path(PYTHON).exists():
        return False
    found = subprocess.run([PYTHON, "-c", "import anchorpy, solana"], capture_output=True, check=False)
    return found.returncode == 0


def test_every_call_passes_typed_parsing(tmp_path: Path) -> None:
    if not has_the_clients():
        pytest.skip("no Python with solana and anchorpy: name it in TIEOUT_CLIENT_PYTHON")
    node = Node(free_ports(), tmp_path / "home", ("--slot-ms", "50", "--finalized-depth", "2")).up()
    try:
        line = [PYTHON, str(HERE / "python_clients.py"), str(node.port)]
        done = subprocess.run(line, capture_output=True, text=True, timeout=RUN_TIMEOUT_S, check=False)
    finally:
        node.down()
    assert done.returncode == 0, done.stdout + done.stderr
    passed = json.loads(done.stdout)
    assert len(passed) >= 60, passed
    assert "error SendTransactionPreflightFailureMessage" in passed
