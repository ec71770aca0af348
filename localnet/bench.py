"""What the localnet does in a second, beside a real validator in the same run; how fast it restarts; memory.

    python bench.py [--transfers N] [--transactions N] [--no-memory]

Transfers of a Token-2022 token, signed beforehand, are sent one by one over HTTP on several kept-alive
connections by another process, without preflight; counted is what is in confirmed blocks. The node is held
to one core where the system can do that.
"""

import argparse
import asyncio
import base64
import json
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
from solders.hash import Hash
from solders.keypair import Keypair
from solders.message import Message
from solders.transaction import VersionedTransaction

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE / "tests"))

from support import tokens  # noqa: E402
from support.node import SOL, Node, free_ports, wait_until  # noqa: E402

CONNECTIONS = 16
ROUNDS = 3
RESTART_SLOTS = 10_000
SENDERS = 64
"""As many pairs of accounts, so that transfers of a real validator do not wait for each other's locks."""


@dataclass(frozen=True, slots=True)
class Market:
    """A token and the accounts that trade it."""

    payer: Keypair
    mint: Keypair
    owners: list[Keypair]


def prepare(node: Node) -> Market:
    """A mint with a supply in every account."""
    payer, mint = Keypair(), Keypair()
    owners = [Keypair() for _ in range(SENDERS)]
    node.call("requestAirdrop", str(payer.pubkey()), 1_000 * SOL)
    wait_until(lambda: node.value("getBalance", str(payer.pubkey()), {"commitment": "confirmed"}) > 0)
    rent = node.call("getMinimumBalanceForRentExemption", tokens.MINT_BYTES)
    key = payer.pubkey()
    settled(node, node.send_instructions(tokens.create_mint(key, mint.pubkey(), key, rent), payer, mint))
    for owner in owners:
        account = tokens.associated(owner.pubkey(), mint.pubkey())
        opened = [
            tokens.transfer_lamports(key, owner.pubkey(), SOL),
            tokens.create_associated(key, owner.pubkey(), mint.pubkey()),
            tokens.mint_to(mint.pubkey(), account, key, 10**12),
        ]
        signature = node.send_instructions(opened, payer)
    settled(node, signature)
    return Market(payer, mint, owners)


def settled(node: Node, signature: str) -> None:
    """Wait until a transaction is confirmed."""
    wait_until(lambda: node.call("getTransaction", signature, {"commitment": "confirmed"}))


def sign(node: Node, market: Market, count: int, first: int) -> list[bytes]:
    """Bodies of sendTransaction, each with a transfer that no other one equals."""
    blockhash = Hash.from_string(node.value("getLatestBlockhash", {"commitment": "confirmed"})["blockhash"])
    mint, bodies = market.mint.pubkey(), []
    accounts = [tokens.associated(owner.pubkey(), mint) for owner in market.owners]
    for number in range(first, first + count):
        owner, to = market.owners[number % SENDERS], accounts[(number + 1) % SENDERS]
        move = tokens.transfer_checked(accounts[number % SENDERS], mint, to, owner.pubkey(), 1 + number)
        message = Message.new_with_blockhash([move], owner.pubkey(), blockhash)
        wire = base64.b64encode(bytes(VersionedTransaction(message, [owner]))).decode()
        options = {"encoding": "base64", "skipPreflight": True, "preflightCommitment": "processed"}
        call = {"jsonrpc": "2.0", "id": number, "method": "sendTransaction", "params": [wire, options]}
        bodies.append(json.dumps(call).encode())
    return bodies


async def push(port: int, bodies: list[bytes]) -> None:
    """Send everything, so many at a time."""
    waiting = iter(bodies)
    headers = {"Content-Type": "application/json"}
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=CONNECTIONS)) as session:

        async def worker() -> None:
            for body in waiting:
                async with session.post(f"http://127.0.0.1:{port}/", data=body, headers=headers) as response:
                    await response.read()

        await asyncio.gather(*(worker() for _ in range(CONNECTIONS)))


def landed(node: Node, since: int) -> tuple[int, int]:
    """Transfers in confirmed blocks from a slot on, and the newest of these slots."""
    tip = int(node.call("getSlot", {"commitment": "confirmed"}))
    options = {
        "commitment": "confirmed",
        "transactionDetails": "accounts",
        "maxSupportedTransactionVersion": 0,
    }
    count = 0
    for slot in node.call("getBlocks", since, tip, {"commitment": "confirmed"}) if tip >= since else []:
        block = node.call("getBlock", slot, {**options, "rewards": False})
        keys = (
            [key["pubkey"] for key in item["transaction"]["accountKeys"]] for item in block["transactions"]
        )
        count += sum(str(tokens.TOKEN_2022) in item for item in keys)
    return count, tip


@dataclass(frozen=True, slots=True)
class Rate:
    """What one round came to."""

    per_second: float
    """From the first byte sent to the answer that has the last in a confirmed block."""
    per_cpu_second: float
    """The same against the processor time that the node took: what a core to itself would give."""
    landed: int


def rate(node: Node, market: Market, count: int, first: int) -> Rate:
    """Send so many transfers and wait until they are in blocks."""
    bodies = sign(node, market, count, first)
    since = int(node.call("getSlot", {"commitment": "processed"})) + 1
    wait_until(lambda: node.call("getSlot", {"commitment": "processed"}) >= since)
    pid = pid_of(node)
    begun, busy = time.monotonic(), cpu_s(pid)
    asyncio.run(push(node.port, bodies))
    sent = time.monotonic()
    done = 0
    while done < count and time.monotonic() < sent + 20:
        found, tip = landed(node, since)
        done, since = done + found, tip + 1
    return Rate(done / (time.monotonic() - begun), done / (cpu_s(pid) - busy), done)


def cpu_s(pid: int) -> float:
    """Processor time that a process has taken."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def pid_of(node: Node) -> int:
    """The node's process."""
    return int(json.loads(node.run("status", "--json").stdout)["pid"])


def on_one_core(node: Node) -> None:
    """Hold the node to one core, and this process to the others."""
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_setaffinity") else []
    if len(cores) > 1:
        for task in Path(f"/proc/{pid_of(node)}/task").iterdir():
            os.sched_setaffinity(int(task.name), cores[:1])
        os.sched_setaffinity(0, cores[1:])


def resident_mb(node: Node) -> float:
    """Resident memory of the node."""
    pages = int(Path(f"/proc/{pid_of(node)}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1_000_000


@contextmanager
def running(home: Path, *flags: str) -> Iterator[Node]:
    """A node for as long as it is needed."""
    node = Node(free_ports(), home, flags)
    node.up()
    try:
        yield node
    finally:
        node.down()


def real_validator() -> str | None:
    """A solana-test-validator: named, on PATH, or beside the repository."""
    beside = HERE.parent.parent / "shared" / "bin" / "solana-test-validator"
    named = os.environ.get("TIEOUT_AGAVE") or shutil.which("solana-test-validator")
    return named or (str(beside) if beside.exists() else None)


def throughput(home: Path, count: int) -> None:
    """Both validators, round by round in turn."""
    agave = real_validator()
    kinds = {"localnet (one core)": ("--slot-ms", "400")}
    if agave is not None:
        os.environ["TIEOUT_AGAVE"] = agave
        kinds["solana-test-validator"] = ("--validator", "agave")
    rates: dict[str, list[Rate]] = {name: [] for name in kinds}
    for round_number in range(ROUNDS):
        for name, flags in kinds.items():
            with running(home / f"{round_number}-{flags[-1]}", *flags) as node:
                market = prepare(node)
                cores = os.sched_getaffinity(0)
                if name.startswith("localnet"):
                    on_one_core(node)
                found = rate(node, market, count, 0)
                os.sched_setaffinity(0, cores)
                rates[name].append(found)
                print(f"  {name}: {told(found)}, {found.landed:,} of {count:,} landed", flush=True)
    for name, found_rates in rates.items():
        wall = [found.per_second for found in found_rates]
        cpu = statistics.median(found.per_cpu_second for found in found_rates)
        middle = Rate(statistics.median(wall), cpu, 0)
        print(f"{name}: median {told(middle)}; spread {max(wall) - min(wall):,.0f}")
    if len(rates) == 2:
        ours, theirs = (statistics.median(each.per_second for each in found) for found in rates.values())
        print(f"ratio: {ours / theirs:.2f}")
    else:
        print("no solana-test-validator here: no figure beside it")


def told(found: Rate) -> str:
    """A rate in words."""
    return f"{found.per_second:,.0f} transfers/s ({found.per_cpu_second:,.0f} per second of its own CPU time)"


def restart(home: Path) -> None:
    """How long a long chain takes to come up again."""
    with running(home, "--manual") as node:
        for _ in range(RESTART_SLOTS // 1_000):
            node.call("requestAirdrop", str(Keypair().pubkey()), SOL)
            node.advance(1_000)
        node.down()
        begun = time.monotonic()
        node.up()
        print(f"restart of a chain of {RESTART_SLOTS:,} slots: {time.monotonic() - begun:.2f} s (under 3)")


def memory(home: Path, total: int) -> None:
    """Resident memory over many transactions."""
    step = max(total // 10, 1)
    with running(home, "--slot-ms", "200", "--finalized-depth", "4") as node:
        market = prepare(node)
        seen = [resident_mb(node)]
        for number in range(0, total, step):
            rate(node, market, step, number)
            seen.append(resident_mb(node))
    figures = ", ".join(f"{mb:.0f}" for mb in seen)
    print(f"resident MB, from the start in steps of {step:,} transactions: {figures}")
    print(f"growth over the second half of {total:,}: {seen[-1] - seen[len(seen) // 2]:+.0f} MB")


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--transfers", type=int, default=5_000, help="a round")
    parser.add_argument("--transactions", type=int, default=100_000, help="for the figure of memory")
    parser.add_argument("--no-memory", action="store_true", help="leave the longest part out")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        home = Path(directory)
        throughput(home, asked.transfers)
        restart(home / "restart")
        if not asked.no_memory:
            memory(home / "memory", asked.transactions)


if __name__ == "__main__":
    main()
