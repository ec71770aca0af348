"""What a payout costs: rows paid a second through the journal, beside bare transactions of the same shape.

One process held to one core, the local chain on another, rounds interleaved, medians. The
yardstick signs and sends the same number of transactions with the same instructions to other
owners: no journal, no request ids, no look before and after; it ends when all are confirmed.
"""

import asyncio
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

from solders.instruction import Instruction
from solders.keypair import Keypair

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from client.desks import House, house_on
from support.chains import running_chain
from tieout_client import ROWS_PER_TRANSACTION, Issuer, PayoutRow, SendOptions, Signer
from tieout_client.keys import address

ROUNDS = 3
ROWS = 5_000
AT_ONCE = 48
_BARE = SendOptions(skip_preflight=True, blockhash_reuse_s=1.0, poll_first_s=0.15)


def rows_of(count: int) -> list[PayoutRow]:
    """Rows to owners that nobody has paid before: every row opens an account."""
    return [PayoutRow(n + 2, str(Keypair().pubkey()), 1 + n % 5) for n in range(count)]


async def paid(house: House, folder: Path, number: int) -> float:
    """Rows a second of a payout."""
    rows = rows_of(ROWS)
    async with house.desk(folder / f"{number}.sqlite") as issuer:
        started = time.perf_counter()
        lines = await issuer.payout(house.mint, rows, house.roles.treasury, f"round-{number}")
        seconds = time.perf_counter() - started
    assert all(line.paid for line in lines)
    return ROWS / seconds


async def bare(house: House) -> float:
    """Rows a second of the same transactions without a journal."""
    rows, holder, free = rows_of(ROWS), house.roles.treasury, asyncio.Semaphore(AT_ONCE)
    async with house.desk() as issuer:
        sender = issuer.sender.using(_BARE)

        async def send(chunk: list[PayoutRow]) -> None:
            async with free:
                await sender.send(steps(issuer, house.mint, chunk, holder), [holder])

        started = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            for first in range(0, ROWS, ROWS_PER_TRANSACTION):
                group.create_task(send(rows[first : first + ROWS_PER_TRANSACTION]))
        return ROWS / (time.perf_counter() - started)


def steps(issuer: Issuer, mint: str, chunk: list[PayoutRow], holder: Signer) -> list[Instruction]:
    """The instructions of one transaction of a payout."""
    return issuer._steps(address(mint), chunk, holder.pubkey(), 8)


async def measure(url: str, folder: Path) -> None:
    """Print the medians of interleaved rounds."""
    async with house_on(url, inventory=10**9) as house:
        async with house.desk() as issuer:
            await issuer.airdrop(house.payer.pubkey(), 1_000 * 10**9)
        ours, yardstick = [], []
        for number in range(ROUNDS):
            ours.append(await paid(house, folder, number))
            yardstick.append(await bare(house))
    first, second = statistics.median(ours), statistics.median(yardstick)
    print(f"{ROWS:,} rows, {ROWS_PER_TRANSACTION} a transaction, an account opened for each, one core")
    print(f"{'payout, journaled and settled':<48} {first:9.0f} rows/s  ({min(ours):.0f} to {max(ours):.0f})")
    print(f"{'bare transactions, no journal':<48} {second:9.0f} rows/s  ({min(yardstick):.0f} to {max(yardstick):.0f})")
    print(f"{'ratio':<48} {first / second:9.2f}")


def main() -> None:
    """Measure against a local chain of its own."""
    with tempfile.TemporaryDirectory() as folder, running_chain("embedded", Path(folder)) as url:
        # After the chain has started: it keeps all cores, this process one.
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
        asyncio.run(measure(url, Path(folder)))


if __name__ == "__main__":
    main()
