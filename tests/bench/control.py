"""How soon a release or an inventory mint without an order is told: from the chain's root notification to its receipt.

The local chain with slots of 200 ms, ``tieout index run`` and ``tieout control run`` as processes of their own,
a receiver in this one. Half of them have their order, and must tell nothing. Two figures each: from this process's
own root notification of the slot, and from the COMMIT of its batch, to the receipt of the alert.
"""

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from solders.keypair import Keypair

from reconcile.controlling import SECRET, Desk, desk
from support.chains import running_chain
from support.database import fresh_database, make_template, query, running_server
from tieout_client import Authorities, Issuer, connect
from tieout_reconcile import apply_registry, import_orders
from tieout_reconcile.control import control_status
from tieout_rpc import subscribe, websocket_url

SHARE = 10**8
SLOT_MS = 200
CROSSINGS = 50
MINTS_PER_CROSSING = 5
"""Releases for each mint into inventory."""
REGISTRY = """
[[instruments]]
symbol = "AAPLx"
mint = "{mint}"
isin = "US0378331005"
decimals = 8
inventory_authorised = true
[[wallets]]
owner = "{treasury}"
role = "treasury"
valid_from = 2020-01-01T00:00:00Z
source = "bench"
"""


def daemon(*arguments: str, **environment: str) -> "subprocess.Popen[bytes]":
    """A process of its own, which ends with this one's ``ExitStack``."""
    return subprocess.Popen(
        [sys.executable, "-m", "tieout", *arguments], env={**os.environ, **environment}, start_new_session=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip


def ended(process: "subprocess.Popen[bytes]") -> None:
    """SIGTERM, and exit 0."""
    process.terminate()
    assert process.wait(30) == 0, process.args


async def take_in(dsn: str, folder: Path, mint: str, treasury: str, count: int) -> None:
    """The registry, and an order for every second release, and every second mint into inventory."""
    registry, orders = folder / "registry.toml", folder / "orders.csv"
    registry.write_text(REGISTRY.format(mint=mint, treasury=treasury))
    now = datetime.now(UTC).isoformat()
    rows = [f"REQ-{n},issue,AAPLx,{SHARE},completed,{now}" for n in range(0, count, 2)]
    rows += [f"INV-{n},inventory,AAPLx,{SHARE},completed,{now}" for n in range(0, count // MINTS_PER_CROSSING, 2)]
    rows.append(f"PRE,inventory,AAPLx,{10 * count * SHARE},completed,{now}")
    orders.write_text("\n".join(["request_id,side,symbol,raw,status,created_at", *rows]))
    await apply_registry(dsn, registry)
    await import_orders(dsn, orders)


async def caught_up(dsn: str, batches: int = 1) -> None:
    """Until control has checked all that is committed."""
    async with asyncio.timeout(60):
        while True:
            status = await control_status(dsn)
            if status.batch >= batches and status.batch == status.last_batch and status.receivers:
                return
            await asyncio.sleep(0.05)


class Heard:
    """When each slot was rooted, and when each alert came: perf_counter and wall-clock seconds."""

    def __init__(self) -> None:
        self.rooted: dict[int, float] = {}
        self.came: dict[str, tuple[int, float, float]] = {}

    async def listen(self, url: str) -> None:
        """Note roots for ever."""
        async for root in subscribe(websocket_url(url), "rootSubscribe"):
            if root is not None:
                self.rooted.setdefault(root, time.perf_counter())

    async def take(self, request: Any) -> Any:
        """Note an alert that fires for a crossing or a mint."""
        from aiohttp import web

        now, wall = time.perf_counter(), time.time()
        (alert,) = (await request.json())["alerts"]
        if alert["labels"]["alertname"].startswith(("Crossing", "Inventory")):
            said = alert["annotations"]
            self.came.setdefault(said["signature"], (int(said["slot"]), now, wall))
        return web.Response()


async def play(issuer: Issuer, mint: str, heard: Heard, count: int) -> dict[str, list[str]]:
    """The releases and mints, one after another; the signatures of those without an order, by kind."""
    loose: dict[str, list[str]] = {"release": [], "inventory mint": []}
    for number in range(count):
        receipt = await issuer.issue(mint, SHARE, Keypair().pubkey(), f"REQ-{number}")
        if number % 2:
            loose["release"].append(str(receipt.signature))
    for number in range(count // MINTS_PER_CROSSING):
        receipt = await issuer.mint_to_treasury(mint, SHARE, f"INV-{number}")
        if number % 2:
            loose["inventory mint"].append(str(receipt.signature))
    async with asyncio.timeout(60):
        while not set().union(*loose.values()) <= heard.came.keys():
            await asyncio.sleep(0.02)
    return loose


async def measure(dsn: str, url: str, folder: Path, count: int) -> dict[str, tuple[list[float], list[float]]]:
    """Milliseconds from root and from COMMIT to receipt of each alert, by kind."""
    payer, key, heard = Keypair(), Keypair(), Heard()
    listener = asyncio.create_task(heard.listen(url))
    async with connect(url, payer, Authorities.of(payer)) as issuer, desk(answer=heard.take) as receiver:
        await issuer.airdrop(payer.pubkey(), 10**11)
        await issuer.create_instrument("AAPLx", "Apple", "https://x.example", mint=key)
        mint = str(key.pubkey())
        await take_in(dsn, folder, mint, str(payer.pubkey()), count)
        with ExitStack() as running:
            running.callback(
                ended, daemon("index", "run", "--mint", mint, "--from-slot", "0", "--rpc-url", url, TIEOUT_DSN=dsn)
            )
            running.callback(ended, daemon("control", "run", **_settings(dsn, receiver)))
            await issuer.mint_to_treasury(mint, 10 * count * SHARE, "PRE")
            await caught_up(dsn)
            loose = await play(issuer, mint, heard, count)
            await asyncio.sleep(1)
    listener.cancel()
    committed = {
        row["signature"]: row["committed_at"].timestamp()
        for row in await query(
            dsn,
            "select e.signature, b.committed_at from ledger.events e join ledger.batches b using (batch) "
            "where e.kind in ('transfer', 'mint')",
        )
    }
    told = set().union(*loose.values())
    assert set(heard.came) == told, "an alert for each release and mint without an order, and for no other"
    return {
        kind: (
            [(heard.came[s][1] - heard.rooted[heard.came[s][0]]) * 1000 for s in signatures],
            [(heard.came[s][2] - committed[s]) * 1000 for s in signatures],
        )
        for kind, signatures in loose.items()
    }


def _settings(dsn: str, receiver: Desk) -> dict[str, str]:
    told = [{"name": "desk", "url": receiver.url, "secret_env": "DESK_SECRET"}]
    return {
        "TIEOUT_DSN": dsn,
        "TIEOUT_CONTROL__RECEIVERS": json.dumps(told),
        "DESK_SECRET": SECRET.decode(),
        "TIEOUT_CONTROL__RIPCORD_AFTER_S": "3600",
    }


def show(name: str, times: list[float]) -> None:
    """One line: how many, median, 99th of a hundred, slowest."""
    ordered = sorted(times)
    p99 = ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))]
    p50, slowest = statistics.median(ordered), ordered[-1]
    print(f"{name:<52} n {len(ordered)}  p50 {p50:6.1f}  p99 {p99:6.1f}  slowest {slowest:6.1f} ms")


async def main() -> None:
    """Measure and print."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--crossings", type=int, default=CROSSINGS)
    count = arguments.parse_args().crossings
    with running_server() as server, tempfile.TemporaryDirectory() as folder:
        template = await asyncio.to_thread(make_template, server)
        with running_chain("embedded", Path(folder), "--slot-ms", str(SLOT_MS)) as url:
            async with fresh_database(server, template) as dsn:
                found = await measure(dsn, url, Path(folder), count)
    mints = count // MINTS_PER_CROSSING
    print(f"\n{count} releases, {mints} inventory mints, every second one without an order; slots of {SLOT_MS} ms")
    for kind, (from_root, from_commit) in found.items():
        show(f"{kind}: root notification → alert received", from_root)
        show(f"{kind}: COMMIT → alert received", from_commit)


if __name__ == "__main__":
    asyncio.run(main())
