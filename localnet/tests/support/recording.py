"""The recordings of a real validator, kept beside the repository; tests skip where they are absent."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.node import REPOSITORY

GOLDEN = REPOSITORY.parent / "shared" / "data" / "golden"

needs_recording = pytest.mark.skipif(
    not GOLDEN.is_dir(), reason="the recordings of a real validator are not beside this repository"
)


def calls() -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Every recorded request with its response."""
    for line in (GOLDEN / "day-1" / "rpc.jsonl").read_text().splitlines():
        entry = json.loads(line)
        yield entry["request"], entry["response"]


def block(slot: int, encoding: str) -> dict[str, Any]:
    """A recorded block."""
    path: Path = GOLDEN / "day-1" / "blocks" / f"{slot}.{encoding}.json"
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def slots() -> list[int]:
    """The recorded slots."""
    return sorted(int(path.name.split(".")[0]) for path in (GOLDEN / "day-1" / "blocks").glob("*.json.json"))


def final_slot() -> int:
    """The slot that was final when the recorded questions were asked."""
    found: int = next(answer["result"] for request, answer in calls() if request["method"] == "getSlot")
    return found


def shape(value: object) -> object:
    """The keys and JSON types of a value; lists by the shapes of their items; numbers are one type."""
    if isinstance(value, dict):
        return {key: shape(item) for key, item in sorted(value.items())}
    if isinstance(value, list):
        kinds: list[object] = []
        for item in value:
            if shape(item) not in kinds:
                kinds.append(shape(item))
        return kinds
    if value is None or isinstance(value, bool | str):
        return type(value).__name__
    return "number"
