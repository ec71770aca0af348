"""Instances for tests. `node` makes slots by hand and is shared by the tests of a module."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from support.node import Node, free_ports

# No test asserts a time, of an example neither: a busy machine is no defect.
settings.register_profile("localnet", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("localnet")


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Node]]:
    """Start instances that are stopped when the test ends."""
    started: list[Node] = []

    def begin(*flags: str) -> Node:
        node = Node(free_ports(), tmp_path / "home", flags)
        started.append(node)
        return node.up()

    yield begin
    for node in started:
        node.down()


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """An instance with manual slots, final after three."""
    home = tmp_path_factory.mktemp("home")
    found = Node(free_ports(), home, ("--manual", "--finalized-depth", "3"))
    found.up()
    yield found
    found.down()
