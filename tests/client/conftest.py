"""The chain of these tests: the embedded localnet, or with ``TIEOUT_TEST_VALIDATOR=agave`` a real validator.

The tests are the same. What asks the localnet for more than a validator can do (``localnet_…``
methods, an expiry within seconds) asks for the fixture ``localnet`` and is skipped elsewhere.
"""

import os
from collections.abc import Iterator
from contextlib import ExitStack, closing
from typing import Any

import pytest

from support.chains import running_chain
from tieout_client import Journal

KIND = os.environ.get("TIEOUT_TEST_VALIDATOR", "embedded")


@pytest.fixture(scope="session")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of the chain, one for the session."""
    with running_chain(KIND, tmp_path_factory.mktemp("chain")) as url:
        yield url


@pytest.fixture
def localnet(chain: str) -> str:
    """The URL of the chain where it is the embedded one."""
    if KIND != "embedded":
        pytest.skip("needs methods that only the embedded localnet has")
    return chain


@pytest.fixture(autouse=True)
def _journals_are_closed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What a test opens for a look is closed at its end; from Python 3.13 on, a file that is not is a warning."""
    opened = Journal.__init__
    with ExitStack() as stack:

        def tidily(journal: Journal, *path: Any) -> None:
            opened(journal, *path)
            stack.enter_context(closing(journal))

        monkeypatch.setattr(Journal, "__init__", tidily)
        yield
