"""Desks as processes that are killed at a chosen step; a step is a call to the node or to the journal."""

import asyncio
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass, fields
from multiprocessing.forkserver import ensure_running
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from solders.keypair import Keypair

from tieout_client import (
    AlreadyIssued,
    Authorities,
    ClientError,
    Journal,
    SendOptions,
    connect,
    token_program,
)
from tieout_rpc import RpcClient, RpcError, RpcLimits

token_program()  # built once, in the process that the desks are forked from
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["support.chaos"])
_OPTIONS = SendOptions(resend_every_s=0.3, give_up_after_s=20)
_LIMITS = RpcLimits(give_up_after_s=2, backoff_initial_s=0.02, backoff_max_s=0.2)
_TRIES = 40


@dataclass(frozen=True)
class Job:
    """One desk's attempt at one request; ``die_at`` the step at which it is killed, None to live."""

    url: str
    payer: bytes
    roles: dict[str, bytes]
    mint: str
    raw: int
    owner: str
    request_id: str
    journal: Path
    guard: str
    die_at: int | None = None
    result: Path | None = None


def keys_of(roles: Authorities) -> dict[str, bytes]:
    """The role keys, to be sent to another process."""
    return {field.name: bytes(getattr(roles, field.name)) for field in fields(roles)}


def warm() -> None:
    """Start the process that desks are forked from, everything imported."""
    # Python 3.11 does not hand sys.path on to it, and then preloads nothing, silently.
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
    try:
        ensure_running()
    finally:
        if before is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = before


def start(job: Job) -> BaseProcess:
    """Start a desk; it ends by itself, by its own SIGKILL, or by the caller's."""
    process = CONTEXT.Process(target=_work, args=(job,), daemon=True)
    process.start()
    return process


def _work(job: Job) -> None:
    if job.die_at is not None:
        _die_at(job.die_at)
    asyncio.run(_issue(job))


def _die_at(step: int) -> None:
    steps = iter(range(step))

    def count() -> None:
        if next(steps, None) is None:
            os.kill(os.getpid(), signal.SIGKILL)

    for name in ("find", "record", "mark"):
        setattr(Journal, name, _counted(getattr(Journal, name), count))
    call_raw = RpcClient.call_raw

    async def counted(self: RpcClient, *args: Any, **more: Any) -> Any:
        count()
        answer = await call_raw(self, *args, **more)
        count()
        return answer

    RpcClient.call_raw = counted  # type: ignore[method-assign]


def _counted(method: Callable[..., Any], count: Callable[[], None]) -> Callable[..., Any]:
    def counted(*args: Any, **more: Any) -> Any:
        count()
        answer = method(*args, **more)
        count()
        return answer

    return counted


async def _issue(job: Job) -> None:
    payer, roles = Keypair.from_bytes(job.payer), {n: Keypair.from_bytes(k) for n, k in job.roles.items()}
    outcome = "gave up"
    for _ in range(_TRIES if job.result else 1):
        try:
            async with connect(
                job.url, payer, Authorities(**roles), options=_OPTIONS, limits=_LIMITS, journal=job.journal,
                guard=job.guard,  # type: ignore[arg-type]  # one of the three
            ) as issuer:  # fmt: skip
                done = await issuer.issue(job.mint, job.raw, job.owner, job.request_id)
            outcome = f"landed {done.signature}"
            break
        except AlreadyIssued as known:
            outcome = f"known {known.signature}"
            break
        except (ClientError, RpcError) as failed:
            outcome = f"{type(failed).__name__}: {failed}"
    if job.result:
        job.result.write_text(outcome)
