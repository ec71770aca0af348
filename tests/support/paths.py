"""Where things are: the repository, and the real data that lies beside it."""

import json
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
SHARED = ROOT.parent / "shared"
LOCALNET = ROOT / "localnet.sh"
AGAVE = SHARED / "bin" / "solana-test-validator"


def shared_file(path: str) -> Path:
    """A file of the shared data, ``golden/day-1``; the test is skipped, saying so, where it is absent."""
    file = SHARED / "data" / path
    if not file.exists():
        pytest.skip(f"the recorded data {path} is not here")
    return file


def load_shared(path: str) -> Any:
    """The JSON of a shared file."""
    return json.loads(shared_file(path).read_text("utf-8"))
