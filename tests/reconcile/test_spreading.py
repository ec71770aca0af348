"""A run whose work is shared by processes says the same, byte for byte, and fails as a whole."""

import asyncio
import os
from pathlib import Path

import pytest

import tieout_reconcile
from reconcile.builders import ISIN, MINT, ONE, REGISTRY, Book, address, issue, memo
from tieout_reconcile import runner, spreading, store, walking
from tieout_reconcile.registry import Instrument
from tieout_reconcile.spreading import WorkerFailed
from tieout_reconcile.walking import in_shares

SYMBOLS = {"AAPLx": MINT, "MSFTx": address("mint 2"), "TSLAx": address("mint 3")}
ISINS = {"AAPLx": ISIN, "MSFTx": "US5949181045", "TSLAx": "US88160R1014"}


@pytest.fixture
async def market(book: Book, monkeypatch: pytest.MonkeyPatch) -> Book:
    """Three instruments with a few orders each, each a share of its own, shared by processes however few there are."""
    monkeypatch.setattr(runner, "SPREAD_ORDERS_MIN", 0)
    monkeypatch.setattr(walking, "SHARE_INSTRUMENTS_MAX", 1)
    await book.commit()
    head, rest = REGISTRY.split("[[wallets]]", maxsplit=1)
    orders = []
    for symbol, mint in SYMBOLS.items():
        await book.open_mint(mint=mint)
        await book.mint(10, "treasury", 1000 * ONE, mint=mint)
        for n in range(3):
            await book.transfer(20 + n, "treasury", "ap", ONE, mint=mint, memo=memo("issue", f"{symbol}-{n}"))
            orders.append({**issue(f"{symbol}-{n}", "1"), "symbol": symbol})
        await book.track(100, mint=mint)
    await book.transfer(30, "treasury", "mallory", 2 * ONE)
    text = "".join(head.replace("AAPLx", s).replace(MINT, m).replace(ISIN, ISINS[s]) for s, m in SYMBOLS.items())
    await book.registry(text + "[[wallets]]" + rest)
    await book.orders(*orders)
    await book.statement("3", 90)
    await book.flush()
    return book


async def test_however_many_processes_share_it_a_run_has_the_same_bytes(market: Book) -> None:
    told: list[tuple[int, int]] = []
    alone = await tieout_reconcile.run(market.dsn, 90, keep=False, workers=1)
    assert len(alone.breaks) == 4
    for workers in (2, 5):
        shared = await tieout_reconcile.run(
            market.dsn, 90, keep=False, workers=workers, on_progress=lambda *now: told.append(now)
        )
        assert shared.canonical_json() == alone.canonical_json()
        assert [i.history for i in shared.instruments] == [i.history for i in alone.instruments]
    assert told == [(3, 9), (6, 9), (9, 9)] * 2
    assert (await tieout_reconcile.run(market.db, 90, keep=False)).digest == alone.digest
    walked = await tieout_reconcile.coverage(market.dsn, 90)
    assert walked.walked == tuple(SYMBOLS)
    assert [i.difference for i in walked.instruments] == [i.difference for i in alone.instruments]


async def test_workers_see_the_runs_own_snapshot(market: Book, monkeypatch: pytest.MonkeyPatch) -> None:
    before = await tieout_reconcile.run(market.dsn, 90, keep=False, workers=1)
    walk_spread = spreading.walk_spread

    async def changed_meanwhile(*given: object) -> object:
        # what is committed after the run began is not of it
        await market.db.execute(
            "insert into ledger.event_row select slot, block_time, tx_index + 1000, step, child, path, "
            "signature || 'x', program, kind, mint, source, source_owner, destination, destination_owner, authority, "
            "authority_role, amount, fee, memo, batch from ledger.event_row where kind = 'transfer'"
        )
        return await walk_spread(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(runner, "walk_spread", changed_meanwhile)
    shared = await tieout_reconcile.run(market.dsn, 90, keep=False, workers=2)
    assert shared.digest == before.digest


async def test_a_worker_that_is_killed_fails_the_run_and_leaves_nothing(
    market: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = spreading._asked

    async def killed(worker: asyncio.subprocess.Process, share: walking.Share) -> object:
        worker.kill()
        return await asked(worker, share)

    monkeypatch.setattr(spreading, "_asked", killed)
    with pytest.raises(WorkerFailed, match="ended with -9: run it again, or with one worker"):
        await tieout_reconcile.run(market.dsn, 90, workers=2)
    assert await market.db.fetchval("select count(*) from recon.run_row") == 0


async def test_lines_that_workers_stored_for_a_run_that_failed_are_the_next_ones(
    market: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def full(*_: object) -> None:
        raise OSError("no space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(store, "insert_run", full)
        with pytest.raises(OSError, match="no space left"):
            await tieout_reconcile.run(market.dsn, 90, workers=2)
    assert await market.db.fetchval("select count(*) from recon.run_row") == 0
    lines = await market.db.fetch("select sha256, xmin::text from recon.lines_row order by sha256")
    assert len(lines) == len(SYMBOLS)
    kept = await tieout_reconcile.run(market.dsn, 90, workers=2)
    assert await market.db.fetch("select sha256, xmin::text from recon.lines_row order by sha256") == lines
    stored = await tieout_reconcile.latest_run(market.dsn)
    assert stored is not None
    assert [list(i.crossings) for i in stored.instruments] == [list(i.crossings) for i in kept.instruments]
    assert sum(len(i.crossings) for i in stored.instruments) == 10


async def test_a_workers_own_failure_is_told_with_its_reason(market: Book, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = spreading._asked

    async def nonsense(worker: asyncio.subprocess.Process, share: walking.Share) -> object:
        return await asked(worker, "no share")  # type: ignore[arg-type]

    monkeypatch.setattr(spreading, "_asked", nonsense)
    with pytest.raises(WorkerFailed, match="AttributeError"):
        await tieout_reconcile.run(market.dsn, 90, workers=2)


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="no /proc to read arguments from")
async def test_no_argument_list_has_the_connection_string(market: Book, monkeypatch: pytest.MonkeyPatch) -> None:
    asked, seen = spreading._asked, []

    async def looked_at(worker: asyncio.subprocess.Process, share: walking.Share) -> object:
        seen.append(Path(f"/proc/{worker.pid}/cmdline").read_bytes())
        return await asked(worker, share)

    monkeypatch.setattr(spreading, "_asked", looked_at)
    await tieout_reconcile.run(market.dsn, 90, keep=False, workers=2)
    assert len(seen) == 3
    assert not any(b"postgres" in line or b"host=" in line for line in seen)
    assert spreading.cores() == len(os.sched_getaffinity(0))


def test_shares_hold_their_limits_and_every_instrument_once() -> None:
    instruments = [Instrument(f"S{n}", f"mint {n}", ISIN, 8) for n in range(450)]
    shares = in_shares(instruments, {"mint 3": 19_000, "mint 4": 1_500, "mint 5": 30_000})
    assert [i for share in shares for i in share.instruments] == instruments
    sizes = [(len(s.instruments), s.orders) for s in shares]
    assert sizes == [(4, 19_000), (1, 1_500), (1, 30_000), (200, 0), (200, 0), (44, 0)]
