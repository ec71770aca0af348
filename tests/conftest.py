"""What every test may ask for: a fresh database, a running chain, the recorded day, real data."""

import signal
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from support.chains import running_chain
from support.database import fresh_database, make_template, running_server
from support.paths import load_shared, shared_file
from support.replay import GoldenDay

# No test asserts a time, of an example neither: a busy machine is no defect.
settings.register_profile("tieout", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("tieout")

# Where the tests run in the background SIGINT is ignored, and would be by each command that they start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def _home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No test reads or writes the developer's own state."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TIEOUT_HOME", str(tmp_path_factory.mktemp("home")))
        yield


@pytest.fixture(scope="session")
def server_dsn() -> Iterator[str]:
    with running_server(durable=False) as dsn:
        yield dsn


@pytest.fixture(scope="session")
def template(server_dsn: str) -> str:
    return make_template(server_dsn)


@pytest.fixture
async def dsn(server_dsn: str, template: str) -> AsyncIterator[str]:
    """A fresh, migrated database."""
    async with fresh_database(server_dsn, template) as name:
        yield name


@pytest.fixture
async def empty_dsn(server_dsn: str) -> AsyncIterator[str]:
    """A fresh database without our schemas."""
    async with fresh_database(server_dsn, None) as name:
        yield name


@pytest.fixture
def shared_json() -> Callable[[str], Any]:
    return load_shared


@pytest.fixture(scope="session")
def golden_directory() -> Path:
    return shared_file("golden/day-1")


@pytest.fixture(scope="session")
def day(golden_directory: Path) -> GoldenDay:
    """The day recorded from a real validator."""
    return GoldenDay(golden_directory)


@pytest.fixture(scope="session")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of an embedded localnet, one for the session."""
    with running_chain("embedded", tmp_path_factory.mktemp("chain")) as url:
        yield url
