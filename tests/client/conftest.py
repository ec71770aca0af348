"""The chain of these tests: the embedded localnet, or with ``TIEOUT_TEST_VALIDATOR=agave`` a real validator.

The tests are the same. What asks the localnet for more than a validator can do (``localnet_…``
methods, an expiry within seconds) asks for the fixture ``localnet`` and is skipped elsewhere.
"""

import os
from collections.abc import Iterator

import pytest

from support.chains import running_chain

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
