"""Processes die, nodes lie, desks race: the chain shows each request once, and the journals say so.

``TIEOUT_CHAOS_SEEDS`` is how many seeds are run, 20 by default; ``TIEOUT_CHAOS_FIRST`` the first of them.
"""

import asyncio
import os
import sys
from collections import Counter
from dataclasses import replace
from random import Random
from typing import Any

from solders.keypair import Keypair

from client.desks import SOL, House, house_on
from support.chaos import Job, keys_of, start, warm
from support.lying import LyingProxy
from tieout_client import Journal

SEEDS = int(os.environ.get("TIEOUT_CHAOS_SEEDS", "20"))
FIRST = int(os.environ.get("TIEOUT_CHAOS_FIRST", "0"))
AT_ONCE = 6
STEPS_MAX = 50
JOIN_WITHIN_S = 60


async def ended(processes):
    for process in processes:
        await asyncio.to_thread(process.join, JOIN_WITHIN_S)
        if process.is_alive():
            process.kill()
            await asyncio.to_thread(process.join)
    codes = [process.exitcode for process in processes]
    for process in processes:
        process.close()
    return codes


async def run_seed(house: House, other: House, seed: int, directory, counts: Counter) -> None:
    random = Random(seed)
    owner = str(Keypair().pubkey())
    hosts = random.choice([1, 1, 2])
    async with LyingProxy(house.chain, seed, expires=seed % 4 == 0) as proxy:
        jobs = [
            Job(
                proxy.url, bytes(at.payer), keys_of(house.roles), house.mint, 1 + seed, owner, f"chaos-{seed}",
                directory / f"{seed}-{host}.sqlite", "account" if hosts == 2 else "none",
            )
            for host, at in zip(range(hosts), (house, other), strict=False)
        ]  # fmt: skip
        for _ in range(random.randint(1, 3)):
            racers = random.choices(jobs, k=random.randint(1, 2))
            racing = [replace(job, die_at=random.randint(1, STEPS_MAX)) for job in racers]
            codes = await ended([start(job) for job in racing])
            counts["killed"] += codes.count(-9)
        proxy.lying = False
        last = [replace(job, result=directory / f"{seed}-{n}.result") for n, job in enumerate(jobs)]
        # Whatever ends a desk from outside, starting it again is all that an operator does.
        for _ in range(3):
            if await ended([start(job) for job in last]) == [0] * hosts:
                break
    counts.update(proxy.told)
    await verify(
        house,
        seed,
        owner,
        [job.journal for job in jobs],
        [str(job.result and job.result.read_text()) for job in last],
        counts,
    )


async def verify(house: House, seed: int, owner: str, journals, outcomes, counts: Counter) -> None:
    async with house.desk() as issuer:
        account = issuer.account_address(house.mint, owner)
        found: list[dict[str, Any]] = await issuer.rpc.call(
            "getSignaturesForAddress", [account, {"commitment": "confirmed"}]
        )
        assert (await issuer.balance(account)).raw == 1 + seed, outcomes
    (landed,) = [f["signature"] for f in found if f["err"] is None]
    assert {o.split()[-1] for o in outcomes} == {landed}, outcomes
    entries = [entry for path in journals for entry in Journal(path).entries()]
    assert {e.signature for e in entries if e.state == "landed"} == {landed}
    assert not [e for e in entries if e.state in {"signed", "sent"}]
    counts["raced hosts"] += len(journals) == 2
    counts["signed again"] += max(e.attempt for e in entries) > 1


async def test_each_request_is_on_the_chain_once_whatever_happens(chain, tmp_path):
    warm()
    counts = Counter()
    waiting = asyncio.Semaphore(AT_ONCE)
    async with house_on(chain, inventory=10**9) as house, house.desk() as issuer:
        other = replace(house, payer=Keypair())
        await issuer.airdrop(other.payer.pubkey(), 100 * SOL)

        async def one(seed: int) -> str:
            async with waiting:
                try:
                    await run_seed(house, other, seed, tmp_path, counts)
                except AssertionError as wrong:
                    return f"seed {seed}: {wrong}"
            return ""

        wrong = await asyncio.gather(*(one(seed) for seed in range(FIRST, FIRST + SEEDS)))
    sys.stdout.write(f"\n{SEEDS} seeds: {', '.join(f'{what} {count}' for what, count in sorted(counts.items()))}\n")
    assert [w for w in wrong if w] == []
    assert counts["killed"] > SEEDS // 4
