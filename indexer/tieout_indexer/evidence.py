"""The node's exact bytes: checked against their hash, moved to files named by it, and verified there.

A folder of evidence is readable without this program: ``manifest.jsonl`` has one JSON object a line, the first
about the folder, the others (slot, tx_index, encoding, endpoint, sha256) in ledger order; the bytes lie in
``ab/abcdef….json.zst``, zstandard without a dictionary, named by the SHA-256 of what they were before compression.
"""

import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import zstandard

from tieout_database import Queries, check_schema, connect
from tieout_indexer.errors import BadEvidence
from tieout_indexer.limits import IndexerLimits
from tieout_indexer.rows import RowSet
from tieout_indexer.writer import LedgerWriter

_SQL = Queries("tieout_indexer", "evidence.sql")
_BODY_BYTES_MAX = 64 * 1024 * 1024
MANIFEST = "manifest.jsonl"
_SCHEMA = "tieout/evidence-manifest/1"


def stored_body(body: bytes, sha256: bytes) -> bytes:
    """Return the decompressed evidence. Raises BadEvidence when it is not what was hashed."""
    try:
        exact = zstandard.ZstdDecompressor().decompress(body, max_output_size=_BODY_BYTES_MAX)
    except zstandard.ZstdError as bad:
        raise BadEvidence(f"stored evidence cannot be decompressed: {bad}") from bad
    if hashlib.sha256(exact).digest() != sha256:
        raise BadEvidence("stored evidence does not have the hash recorded with it")
    return exact


def path_of(folder: Path, sha256: bytes) -> Path:
    """Where a folder keeps the bytes of a hash."""
    name = sha256.hex()
    return folder / name[:2] / f"{name}.json.zst"


def detached_body(folder: Path, sha256: bytes) -> bytes:
    """Return evidence from a folder. Raises BadEvidence when it is not there, or not what was hashed."""
    path = path_of(folder, sha256)
    try:
        return stored_body(path.read_bytes(), sha256)
    except OSError as missing:
        raise BadEvidence(f"{path} cannot be read: {missing.strerror}") from missing
    except BadEvidence as bad:
        raise BadEvidence(f"{path}: {bad}") from bad


@dataclass(frozen=True, slots=True)
class Detached:
    """What was moved: pieces of evidence, their compressed bytes, the hash of the manifest."""

    before_slot: int
    files: int
    size: int
    manifest_sha256: str


async def detach(dsn: str, folder: Path, before_slot: int, limits: IndexerLimits | None = None) -> Detached:
    """Move the evidence of all slots before one to files, and empty it in the ledger once they were read back.

    Rows and hashes stay. Needs a login that may act as the owner of the ledger (tieout_owner). Raises
    BadEvidence, OSError; nothing is emptied then.
    """
    limits = limits or IndexerLimits()
    async with await LedgerWriter.open(dsn, limits, beside=True) as writer:
        written: list[dict[str, Any]] = []
        size, after = 0, (-1, -1, -1)
        while records := await writer.fetch_rows(_SQL["before"], before_slot, *after, limits.evidence_rows_at_once_max):
            for record in records:
                stored_body(record["body"], record["sha256"])
                _write(path_of(folder, record["sha256"]), record["body"])
                detached_body(folder, record["sha256"])
                size += len(record["body"])
                written.append(_entry(record))
            last = records[-1]
            after = (last["slot"], last["tx_index"], last["batch"])
        if not written:
            return Detached(before_slot, 0, 0, "")
        digest = _add_to_manifest(folder, await writer.genesis_hash(), before_slot, written)
        rows = RowSet()
        rows["detachment_row"].append((before_slot, len(written), size, digest, datetime.now(UTC)))
        await writer.commit(rows, also=(_SQL["detach"], before_slot, len(written)))
        return Detached(before_slot, len(written), size, digest.hex())


def _entry(record: Any) -> dict[str, Any]:
    plain = {name: record[name] for name in ("slot", "tx_index", "encoding", "endpoint")}
    return {**plain, "sha256": record["sha256"].hex()}


def _write(path: Path, body: bytes) -> None:
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    with part.open("wb") as file:
        file.write(body)
        file.flush()
        os.fsync(file.fileno())
    part.rename(path)


def _add_to_manifest(folder: Path, genesis_hash: str | None, before_slot: int, entries: list[dict[str, Any]]) -> bytes:
    """Rewrite the manifest with what is new; one folder serves many detachments. Returns its SHA-256."""
    path = folder / MANIFEST
    known = list(_entries(path)) if path.exists() else []
    seen = {(e["slot"], e["tx_index"], e["sha256"]) for e in known}
    merged = known + [e for e in entries if (e["slot"], e["tx_index"], e["sha256"]) not in seen]
    merged.sort(key=lambda e: (e["slot"], e["tx_index"], e["sha256"]))
    head = {"schema": _SCHEMA, "genesis_hash": genesis_hash, "before_slot": before_slot, "entries": len(merged)}
    text = "".join(json.dumps(line, sort_keys=True) + "\n" for line in (head, *merged)).encode()
    part = path.with_suffix(".part")
    with part.open("wb") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    part.rename(path)
    return hashlib.sha256(text).digest()


def _head_and_entries(path: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    try:
        lines = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
        head, entries = lines[0], lines[1:]
        sound = head["schema"] == _SCHEMA and all(
            len(bytes.fromhex(e["sha256"])) == hashlib.sha256().digest_size for e in entries
        )
    except (ValueError, KeyError, IndexError, TypeError, AttributeError) as bad:
        raise BadEvidence(f"{path} is no manifest of evidence: {bad}") from bad
    except OSError as missing:
        raise BadEvidence(f"{path} cannot be read: {missing.strerror}") from missing
    if not sound:
        raise BadEvidence(f"{path} is no manifest of the schema {_SCHEMA}")
    return head, entries


def _entries(path: Path) -> Iterator[dict[str, Any]]:
    yield from _head_and_entries(path)[1]


@dataclass(frozen=True, slots=True)
class FolderVerdict:
    """What a folder of evidence is worth: pieces verified, and each that is missing or damaged."""

    verified: int
    damaged: tuple[str, ...]
    manifest_sha256: str


def verify_folder(folder: Path) -> FolderVerdict:
    """Read back every file that the manifest names. Needs neither node nor database. Raises BadEvidence."""
    path = folder / MANIFEST
    head, entries = _head_and_entries(path)
    damaged = []
    if head.get("entries") != len(entries):
        damaged.append(f"{path} says {head.get('entries')} entries and has {len(entries)}")
    for entry in entries:
        try:
            detached_body(folder, bytes.fromhex(entry["sha256"]))
        except BadEvidence as bad:
            damaged.append(f"slot {entry.get('slot')} transaction {entry.get('tx_index')}: {bad}")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return FolderVerdict(len(entries) - len(damaged), tuple(damaged), digest)


async def missing_from(dsn: str, folder: Path) -> list[str]:
    """Evidence that the ledger moved to files and this folder's manifest does not name."""
    named = {entry["sha256"] for entry in _entries(folder / MANIFEST)}
    connection = await connect(dsn)
    try:
        await check_schema(connection)
        rows = await connection.fetch(_SQL["detached"])
    finally:
        await connection.close()
    return [f"slot {r['slot']} transaction {r['tx_index']}" for r in rows if r["sha256"].hex() not in named]
