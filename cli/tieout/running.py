"""What the daemons share: how they tell what they do, and how they are told to stop."""

import asyncio
import os
import signal
import socket
import sys
import threading
from collections.abc import Awaitable, Callable
from typing import Any

from tieout import exits
from tieout.output import OUTPUT


def speaker(log_format: str) -> Callable[..., None]:
    """Who tells what the daemon does: sentences for people, or one JSON object a line for programs, both on stderr."""
    if log_format == "text":
        return lambda text, **_: OUTPUT.note(text)
    import structlog

    processors: list[Any] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.JSONRenderer(),
    ]
    log = structlog.wrap_logger(structlog.PrintLogger(sys.stderr), processors=processors)
    return lambda text, event="note", **values: log.info(event, message=text, **values)


def listening(host: str, port: int, named_by: str) -> socket.socket:
    """Listen on a port. Raises UsageProblem where it cannot be, with what chooses another: a flag or a setting."""
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        return socket.create_server((str(address[0]), port), family=family)
    except OSError as bad:
        why = bad.strerror if isinstance(bad, socket.gaierror) else os.strerror(bad.errno or 0)
        raise exits.UsageProblem(f"cannot listen on {host}:{port}: {why}; choose another with {named_by}") from bad


def check_metrics_port(host: str, port: int, named_by: str) -> None:
    """See that metrics can be served there; 0 is nowhere. Raises UsageProblem."""
    if port:
        listening(host, port, named_by).close()


def told_to_stop() -> threading.Event:
    """Note SIGTERM from now on: it may come while we are still being loaded."""
    told = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: told.set())
    return told


def run_until_stopped(work: Callable[[asyncio.Event], Awaitable[None]], told: threading.Event) -> None:
    """Run a daemon until SIGTERM; Ctrl-C ends it as tidily, and raises KeyboardInterrupt."""
    interrupted = False

    async def attended() -> None:
        stop, loop = asyncio.Event(), asyncio.get_running_loop()

        def on_interrupt() -> None:
            nonlocal interrupted
            interrupted = True
            stop.set()

        loop.add_signal_handler(signal.SIGTERM, stop.set)
        loop.add_signal_handler(signal.SIGINT, on_interrupt)
        if told.is_set():
            stop.set()
        await work(stop)

    asyncio.run(attended())
    if interrupted:
        raise KeyboardInterrupt
