"""Real data that lies beside the repository; tests that read it skip, saying so, where it is absent."""

import json
from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[2].parent / "shared"


@pytest.fixture
def shared_json():
    def load(path):
        file = SHARED / "data" / path
        if not file.exists():
            pytest.skip(f"the recorded data {path} is not here")
        return json.loads(file.read_text("utf-8"))

    return load
