"""The ``tieout`` command as a process of its own, as a user runs it."""

import asyncio
import io
import json
import os
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from typing import Any

import pytest

_SCRUBBED = ("TIEOUT_DSN", "TIEOUT_RPC_URL", "PGHOST", "PGSERVICE", "PGPASSWORD")


@dataclass(frozen=True, slots=True)
class Done:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one JSON object that it printed."""
        return json.loads(self.out)


async def start_tieout(*arguments: str, **environment: str) -> asyncio.subprocess.Process:
    """Start the command; variables that would name a database or node by chance are not passed on."""
    inherited = {name: value for name, value in os.environ.items() if name not in _SCRUBBED}
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tieout", *arguments,
        env={**inherited, **environment}, stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip


async def tieout(*arguments: str, timeout_s: float = 120, **environment: str) -> Done:
    """Run the command to its end."""
    process = await start_tieout(*arguments, **environment)
    try:
        out, err = await asyncio.wait_for(process.communicate(), timeout_s)
    except TimeoutError:
        process.kill()
        await process.wait()
        raise
    assert process.returncode is not None
    return Done(process.returncode, out.decode(), err.decode())


async def tieout_here(*arguments: str, **environment: str) -> Done:
    """Run the command in this process, off its event loop: a tenth of the time, where a process proves nothing."""
    from tieout.main import run_to_code

    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        for name in _SCRUBBED:
            patch.delenv(name, raising=False)
        for name, value in environment.items():
            patch.setenv(name, value)
        code = await asyncio.to_thread(run_to_code, list(arguments))
    return Done(code, out.getvalue(), err.getvalue())
