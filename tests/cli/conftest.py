"""The command line within this process: fast, and open to being broken on purpose."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from database.rows import Rows
from support.command import Done
from tieout.main import run_to_code

Cli = Callable[..., Awaitable[Done]]


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Cli:
    """Run a command line in a directory and a state of its own; nothing names a database or node by chance."""
    for name in ("TIEOUT_DSN", "TIEOUT_RPC_URL", "PGHOST", "PGSERVICE", "PGPASSWORD"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TIEOUT_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)

    async def run(*arguments: str) -> Done:
        capsys.readouterr()
        code = await asyncio.to_thread(run_to_code, list(arguments))
        said = capsys.readouterr()
        return Done(code, said.out, said.err)

    return run


@pytest.fixture
async def rows(dsn: str) -> AsyncIterator[Rows]:
    """A writer of ledger rows into the test's database."""
    made = await Rows.open(dsn)
    yield made
    await made.db.close()
