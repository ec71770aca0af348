"""The JavaScript clients, @solana/kit and @solana/web3.js 1.x, against a running node.

The packages are those of tests/node/package-lock.json, installed by `npm ci`, from its cache if it can.
"""

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.node import Node, free_ports

HERE = Path(__file__).parent / "node"
INSTALL_TIMEOUT_S = 120
RUN_TIMEOUT_S = 60

pytestmark = pytest.mark.skipif(
    shutil.which("node") is None or shutil.which("npm") is None, reason="node and npm are not here"
)


@pytest.fixture(scope="module")
def packages() -> None:
    """The pinned packages; a skip where they can be had neither from the cache nor from the network."""
    done = HERE / "node_modules" / ".package-lock.json"
    if done.exists() and done.stat().st_mtime >= (HERE / "package-lock.json").stat().st_mtime:
        return
    # The addon of another validator is not needed here.
    line = ["npm", "ci", "--prefer-offline", "--no-audit", "--no-fund", "--ignore-scripts", "--omit=optional"]
    try:
        installed = subprocess.run(
            line, cwd=HERE, capture_output=True, text=True, timeout=INSTALL_TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired:
        pytest.skip("npm ci did not end in time")
    if installed.returncode:
        pytest.skip(f"npm ci failed: {installed.stderr[-300:]}")


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """A node with short slots."""
    node = Node(free_ports(), tmp_path_factory.mktemp("home"), ("--slot-ms", "100", "--finalized-depth", "4"))
    node.up()
    yield node
    node.down()


@pytest.mark.parametrize("client", ["kit", "web3"])
def test_a_token_is_made_moved_and_read_back(packages: None, running: Node, client: str) -> None:
    urls = (f"http://127.0.0.1:{running.port}", f"ws://127.0.0.1:{running.port + 1}")
    done = subprocess.run(
        ["node", f"{client}.mjs", *urls],
        cwd=HERE,
        capture_output=True,
        text=True,
        timeout=RUN_TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads(done.stdout)
    assert running.landed(told["signature"])["slot"] == told["slot"]
