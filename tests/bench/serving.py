"""What serving costs: GET /v1/reserves beside a bare route with the same bytes, and a thousand open event streams.

The server is ``tieout serve`` as a process of its own on one core; this client and the database have the
other. Latency of an offered rate counts from when a request was due, not from when it was sent: a server
that stalls cannot hide behind a client that waits for it.
"""

import argparse
import asyncio
import json
import os
import resource
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from reconcile.builders import ONE, Book
from support.database import fresh_database, make_template, running_server
from web.service import fill

CONNECTIONS = 32
OFFERED_PER_S = 500
SECONDS = 8.0
ROUNDS = 3
READERS = 1_000
SILENT = 50
PACED = 20
PACE_S = 0.5
FLOOD = 340
FLOOD_BATCH = 20
FLOOD_MEMO = "x" * 4_000
# as over a distant line: else the loopback's large segments let the kernel keep megabytes for each
SILENT_BUFFER_BYTES = 4_096
SILENT_SEGMENT_BYTES = 536
CHROMIUM = os.environ.get("TIEOUT_CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
CHROMIUM_ARGUMENTS = ["--no-sandbox", "--disable-background-networking", "--no-first-run"]
OBSERVE = """
window.seen = [];
new MutationObserver(() => window.seen.push(Date.now()))
    .observe(document.querySelector('#events tbody'), {childList: true});
"""
START_WAIT_S = 60.0
READ_WAIT_S = 120.0
YARDSTICK = """
import sys, uvicorn
from pathlib import Path
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route
body = Path(sys.argv[2]).read_bytes()
async def answer(request):
    return Response(body, media_type="application/json")
app = Starlette(routes=[Route("/v1/reserves", answer)])
uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="warning", access_log=False)
"""


def cores() -> tuple[int, int]:
    """The server's core and this process's; the same one on a machine with one."""
    own = sorted(os.sched_getaffinity(0))
    return own[-1], own[0]


def free_port() -> int:
    """A port that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def process(core: int, port: int, *arguments: str, **environment: str) -> Iterator[int]:
    """A Python process on one core that listens on a port; gives its pid."""
    command = ["taskset", "-c", str(core), sys.executable, *arguments]
    running = subprocess.Popen(command, env={**os.environ, **environment})
    try:
        give_up_at = time.monotonic() + START_WAIT_S
        while True:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            if running.poll() is not None or time.monotonic() > give_up_at:
                raise SystemExit(f"the server did not start: exit {running.poll()}")
            time.sleep(0.1)
        yield running.pid
    finally:
        running.kill()
        running.wait()


def resident_mb(pid: int) -> float:
    """Resident memory now."""
    status = Path(f"/proc/{pid}/status").read_text("ascii")
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS")) / 1024


class Connection:
    """One keep-alive connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, port: int) -> "Connection":
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    async def get(self) -> bytes:
        """The body of the reserves; refuses anything but 200."""
        self._writer.write(b"GET /v1/reserves HTTP/1.1\r\nHost: bench\r\n\r\n")
        head = (await self._reader.readuntil(b"\r\n\r\n")).lower()
        assert head.startswith(b"http/1.1 200"), head
        length = int(head.split(b"content-length:")[1].split(b"\r\n")[0])
        return await self._reader.readexactly(length)

    def close(self) -> None:
        self._writer.close()


async def load(port: int, per_s: float | None) -> dict[str, float]:
    """Requests answered a second and latencies, ms, at an offered rate or (None) as fast as they come back."""
    connections = [await Connection.open(port) for _ in range(CONNECTIONS)]
    taken: list[float] = []
    started = time.perf_counter()
    number = 0

    async def ask(connection: Connection) -> None:
        nonlocal number
        while True:
            now = time.perf_counter()
            due = now if per_s is None else started + number / per_s
            if due - started >= SECONDS:
                return
            number += 1
            if due > now:
                await asyncio.sleep(due - now)
            await connection.get()
            taken.append(time.perf_counter() - due)

    await asyncio.gather(*(ask(c) for c in connections))
    seconds = time.perf_counter() - started
    for connection in connections:
        connection.close()
    cuts = statistics.quantiles(taken, n=100)
    return {"per_s": len(taken) / seconds, "p50_ms": cuts[49] * 1000, "p99_ms": cuts[98] * 1000}


async def requests(port: int, yardstick: int) -> dict[str, dict[str, float]]:
    """Medians of interleaved rounds."""
    seen: dict[str, list[dict[str, float]]] = {}
    for _ in range(ROUNDS):
        for name, where in (("reserves", port), ("bare route", yardstick)):
            for kind, rate in ((f"{OFFERED_PER_S}/s offered", OFFERED_PER_S), ("unlimited", None)):
                seen.setdefault(f"{name}, {kind}", []).append(await load(where, rate))
    return {
        name: {key: statistics.median(r[key] for r in rounds) for key in rounds[0]}
        | {"p99_ms_min": min(r["p99_ms"] for r in rounds), "p99_ms_max": max(r["p99_ms"] for r in rounds)}
        for name, rounds in seen.items()
    }


class Readers:
    """Open event streams: what each received, and when. The silent ones never read."""

    def __init__(self) -> None:
        self.received: dict[str, list[float]] = {}
        self.ended = 0
        self.silent: list[socket.socket] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._ready = 0

    async def open(self, port: int) -> None:
        """Open all of them; return when each has its first bytes."""
        for number in range(READERS):
            own = socket.socket()
            if number < SILENT:
                own.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SILENT_BUFFER_BYTES)
                own.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, SILENT_SEGMENT_BYTES)
            own.setblocking(False)
            await asyncio.get_running_loop().sock_connect(own, ("127.0.0.1", port))
            request = b"GET /v1/events/stream HTTP/1.1\r\nHost: bench\r\n\r\n"
            await asyncio.get_running_loop().sock_sendall(own, request)
            if number < SILENT:
                self.silent.append(own)
            else:
                self._tasks.append(asyncio.create_task(self._read(own)))
        async with asyncio.timeout(READ_WAIT_S):
            while self._ready < READERS - SILENT:
                await asyncio.sleep(0.05)

    async def _read(self, own: socket.socket) -> None:
        reader, writer = await asyncio.open_connection(sock=own, limit=2**20)
        await reader.readuntil(b"retry: 2000\n\n")
        self._ready += 1
        try:
            while line := await reader.readline():
                if line.startswith(b"id: "):
                    self.received.setdefault(line[4:].strip().decode(), []).append(time.perf_counter())
        finally:
            self.ended += 1
            writer.close()

    async def have(self, identity: str) -> None:
        """Wait until every reader that still listens has a message."""
        async with asyncio.timeout(READ_WAIT_S):
            while len(self.received.get(identity, ())) + self.ended < READERS - SILENT:
                await asyncio.sleep(0.005)

    async def close(self) -> None:
        """Close everything."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for own in self.silent:
            own.close()


async def movements(book: Book, slot: int, count: int, memo: str | None = None) -> tuple[str, float]:
    """Commit a batch as the indexer does; the last one's id, and when INSERT began."""
    started = time.perf_counter()
    async with book.db.transaction():
        await book.commit()
        for _ in range(count):
            await book.mint(slot, "treasury", ONE, memo=memo)
        await book.flush()
        await book.db.execute("select pg_notify('tieout_ledger', $1)", str(book.batch))
    return f"{book.batch}.{count}", started


async def streams(book: Book, port: int, pid: int, metrics_port: int) -> dict[str, float]:
    """A thousand readers: memory, deliveries, time to receipt, and what becomes of those who do not read."""
    readers = Readers()
    before = resident_mb(pid)
    await readers.open(port)
    opened = resident_mb(pid)
    taken: list[float] = []
    commits: list[float] = []
    for number in range(PACED):
        identity, started = await movements(book, 200 + number, 1)
        commits.append(time.perf_counter() - started)
        await readers.have(identity)
        taken += [at - started for at in readers.received[identity]]
        await asyncio.sleep(PACE_S)
    print(f"{READERS} streams are open, {PACED} movements were received by each that reads")
    flooded = time.perf_counter()
    for number in range(FLOOD // FLOOD_BATCH):
        identity, _ = await movements(book, 1_000 + number, FLOOD_BATCH, FLOOD_MEMO)
        await readers.have(identity)
        print(f"{(number + 1) * FLOOD_BATCH} large movements after {time.perf_counter() - flooded:.1f} s", flush=True)
    flood_s = time.perf_counter() - flooded
    after = resident_mb(pid)
    await asyncio.sleep(1)
    listening = await listeners(metrics_port)
    delivered, ended = sum(map(len, readers.received.values())), readers.ended
    await readers.close()
    cuts = statistics.quantiles(taken, n=100)
    return {
        "readers": READERS, "silent": SILENT, "mb_before": before, "mb_open": opened, "mb_after_flood": after,
        "events": PACED + FLOOD, "delivered": delivered, "readers_that_read_let_go": ended,
        "silent_let_go": READERS - ended - listening,
        "receipt_p50_ms": cuts[49] * 1000, "receipt_p99_ms": cuts[98] * 1000,
        "commit_p50_ms": statistics.median(commits) * 1000,
        "flood_messages_per_s": FLOOD * (READERS - SILENT) / flood_s,
    }  # fmt: skip


async def page(book: Book, port: int) -> dict[str, float]:
    """A browser on an instrument's page: from a mint's INSERT to its row on the page, by the same clock."""
    from playwright.async_api import async_playwright

    taken: list[float] = []
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_ARGUMENTS)
        watched = await browser.new_page(bypass_csp=True)  # a predicate that is polled is `eval`
        await watched.goto(f"http://127.0.0.1:{port}/instruments/AAPLx")
        await watched.wait_for_function("document.getElementById('live-status').textContent.startsWith('Live')")
        await watched.evaluate(OBSERVE)
        for number in range(PACED):
            started = time.time()
            await movements(book, 10_000 + number, 1)
            await watched.wait_for_function("n => window.seen.length > n", arg=len(taken))
            seen = await watched.evaluate("window.seen")
            taken.append(seen[len(taken)] / 1000 - started)
            await asyncio.sleep(PACE_S)
        await browser.close()
    return {
        "mints": PACED, "p50_ms": statistics.median(taken) * 1000, "slowest_ms": max(taken) * 1000,
    }  # fmt: skip


async def listeners(port: int) -> int:
    """How many streams the server says are open."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET /metrics HTTP/1.0\r\n\r\n")
    text = (await reader.read()).decode()
    writer.close()
    return int(float(next(x.split()[1] for x in text.splitlines() if x.startswith("tieout_stream_listeners "))))


async def measure(only: str | None) -> dict[str, Any]:
    """Fill a book, serve it, measure both."""
    found: dict[str, Any] = {"load_average": os.getloadavg()[0]}
    with running_server() as server, tempfile.TemporaryDirectory() as folder:
        template = await asyncio.to_thread(make_template, server)
        async with fresh_database(server, template) as dsn:
            book = await Book.open(dsn, Path(folder))
            await fill(book)
            theirs, ours = cores()
            port, metrics_port, bare_port = free_port(), free_port(), free_port()
            options = ("--chain-age-max-s", "999999999", "--statement-age-max-s", "999999999",
                       "--requests-per-s", "1000000", "--requests-burst", "1000000")  # fmt: skip
            serve = ("-m", "tieout", "serve", "--port", str(port), "--metrics-port", str(metrics_port), *options)
            with process(theirs, port, *serve, TIEOUT_DSN=dsn) as pid:
                os.sched_setaffinity(0, {ours})
                if only in (None, "page") and CHROMIUM is not None:
                    found["page"] = await page(book, port)
                if only in (None, "requests"):
                    connection = await Connection.open(port)
                    body = Path(folder) / "body.json"
                    body.write_bytes(await connection.get())
                    connection.close()
                    found["body_bytes"] = body.stat().st_size
                    with process(theirs, bare_port, "-c", YARDSTICK, str(bare_port), str(body)):
                        found["requests"] = await requests(port, bare_port)
                if only in (None, "streams"):
                    found["streams"] = await streams(book, port, pid, metrics_port)
            await book.close()
    return found


def show(found: dict[str, Any]) -> None:
    """Print what was seen."""
    print(
        f"load average at the start {found['load_average']:.1f}; the server on one core, client and database on another"
    )
    for name, seen in found.get("requests", {}).items():
        spread = f"({seen['p99_ms_min']:.1f} to {seen['p99_ms_max']:.1f})"
        print(
            f"{name:<32} {seen['per_s']:8.0f}/s  p50 {seen['p50_ms']:7.1f} ms  p99 {seen['p99_ms']:7.1f} ms  {spread}"
        )
    if "page" in found:
        seen = found["page"]
        print(
            f"{seen['mints']} mints, from INSERT to a row on the page: p50 {seen['p50_ms']:.0f} ms, "
            f"slowest {seen['slowest_ms']:.0f} ms"
        )
    elif CHROMIUM is None:
        print("no Chromium is here: the page was not measured")
    for name, value in found.get("streams", {}).items():
        print(f"{name.replace('_', ' '):<32} {value:10,.1f}")


def main() -> None:
    """Measure, print, and write ``--json FILE``."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--json", type=Path, help="write the figures as one JSON object")
    options.add_argument("--only", choices=("requests", "streams", "page"), help="measure one part")
    given = options.parse_args()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 8_192)), hard))
    found = asyncio.run(measure(given.only))
    show(found)
    if given.json:
        given.json.write_text(json.dumps({"schema": "tieout/bench-serving/1", **found}, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
