"""Old evidence moves to files named by hash; rows and hashes stay, and the ledger can still be read again from them."""

import json
from pathlib import Path

import pytest

from support.command import tieout_here
from support.database import query, value
from support.ledger import ledger
from support.replay import GoldenDay, ReplayNode
from tieout_database import connect, create_roles
from tieout_indexer import backfill

BEFORE = 100


async def index(day: GoldenDay, dsn: str) -> None:
    async with ReplayNode(day.blocks()) as node:
        done = await backfill([node.url], dsn, list(day.mints.values()), day.first, day.last)
    assert done.complete


async def detach(dsn: str, folder: Path, before: int = BEFORE) -> None:
    done = await tieout_here("index", "evidence", "detach", "--to", str(folder), "--before", str(before), "--dsn", dsn)
    assert done.code == 0, done.err


async def test_bodies_move_rows_and_hashes_stay_and_everything_verifies(
    day: GoldenDay, dsn: str, tmp_path: Path
) -> None:
    await index(day, dsn)
    before = await ledger(dsn, batches=True)
    pieces = await query(dsn, "select slot, tx_index, sha256 from ledger.evidence order by 1, 2")
    done = await tieout_here(
        "index", "evidence", "detach", "--to", str(tmp_path), "--before", str(BEFORE), "--dsn", dsn, "--json"
    )
    assert done.code == 0, done.err
    old = [p for p in pieces if p["slot"] < BEFORE]
    assert done.json["files"] == len(old) > 10
    assert await query(dsn, "select slot, tx_index, sha256 from ledger.evidence order by 1, 2") == pieces
    gone = await query(dsn, "select slot, tx_index, sha256 from ledger.evidence where detached order by 1, 2")
    assert gone == old
    assert await ledger(dsn, batches=True) == before
    for piece in old:
        assert (tmp_path / piece["sha256"].hex()[:2] / f"{piece['sha256'].hex()}.json.zst").exists()
    verified = await tieout_here("index", "evidence", "verify", str(tmp_path), "--dsn", dsn, "--json")
    assert (verified.code, verified.json["verified"], verified.json["missing"]) == (0, len(old), [])
    assert verified.json["manifest_sha256"] == done.json["manifest_sha256"]
    recorded = await value(dsn, "select encode(manifest_sha256, 'hex') from ledger.detachments")
    assert recorded == done.json["manifest_sha256"]
    assert (await tieout_here("db", "verify", "--dsn", dsn)).code == 0, "the hash chain does not need the bodies"
    again = await tieout_here(
        "index", "evidence", "detach", "--to", str(tmp_path), "--before", str(BEFORE), "--dsn", dsn, "--json"
    )
    assert (again.code, again.json["files"]) == (0, 0)


async def test_the_ledger_is_read_again_from_the_files_and_not_without_them(
    day: GoldenDay, dsn: str, tmp_path: Path
) -> None:
    await index(day, dsn)
    truth = await ledger(dsn)
    await detach(dsn, tmp_path)
    connection = await connect(dsn)
    await connection.execute(
        "set session_replication_role = replica; delete from ledger.event_row where slot = "
        "(select min(slot) from ledger.event_row)"
    )
    await connection.close()
    without = await tieout_here("index", "redecode", "--dsn", dsn)
    assert without.code == 1
    assert "--evidence" in without.err
    done = await tieout_here("index", "redecode", "--dsn", dsn, "--evidence", str(tmp_path), "--json")
    assert done.code == 0, done.err
    assert done.json["appended"] >= 1
    assert await ledger(dsn) == truth


@pytest.mark.parametrize("damage", ["cut", "changed", "gone", "unnamed"])
async def test_a_damaged_folder_is_told_piece_by_piece(day: GoldenDay, dsn: str, tmp_path: Path, damage: str) -> None:
    await index(day, dsn)
    await detach(dsn, tmp_path)
    victim = sorted(tmp_path.glob("*/*.zst"))[0]
    body = victim.read_bytes()
    if damage == "cut":
        victim.write_bytes(body[:-3])
    elif damage == "changed":
        victim.write_bytes(next(p for p in sorted(tmp_path.glob("*/*.zst")) if p != victim).read_bytes())
    elif damage == "gone":
        victim.unlink()
    else:
        lines = (tmp_path / "manifest.jsonl").read_text().splitlines()
        head = {**json.loads(lines[0]), "entries": len(lines) - 2}
        (tmp_path / "manifest.jsonl").write_text("\n".join([json.dumps(head), *lines[1:-1]]) + "\n")
    done = await tieout_here("index", "evidence", "verify", str(tmp_path), "--dsn", dsn, "--json")
    assert done.code == 1
    assert len(done.json["damaged"]) + len(done.json["missing"]) == 1
    if damage != "unnamed":
        assert victim.name in done.json["damaged"][0]


async def test_what_is_no_folder_of_evidence_is_said_to_be_none(tmp_path: Path) -> None:
    (tmp_path / "manifest.jsonl").write_text("[]\n")
    done = await tieout_here("index", "evidence", "verify", str(tmp_path), "--json")
    assert done.code == 1
    assert "is no manifest" in done.json["error"]["message"]


async def test_only_the_owner_may_empty_evidence_and_only_what_the_files_hold(
    day: GoldenDay, dsn: str, tmp_path: Path
) -> None:
    import asyncpg

    await index(day, dsn)
    connection = await connect(dsn)
    try:
        await create_roles(connection)
        for role in ("tieout_writer", "tieout_reader", "tieout_auditor"):
            await connection.execute(f"set role {role}")
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute("select ledger.detach_evidence(100, 1)")
            await connection.execute("reset role")
        with pytest.raises(asyncpg.RaiseError, match="detach again"):
            await connection.execute("select ledger.detach_evidence(100, 1)")
        with pytest.raises(asyncpg.RestrictViolationError):
            await connection.execute("update ledger.evidence_row set body = ''")
    finally:
        await connection.close()
    await detach(dsn, tmp_path)
    connection = await connect(dsn)
    try:
        with pytest.raises(asyncpg.RestrictViolationError):
            await connection.execute("update ledger.evidence_row set body = ''")
        with pytest.raises(asyncpg.RestrictViolationError):
            await connection.execute("truncate ledger.evidence_row_000000")
    finally:
        await connection.close()
