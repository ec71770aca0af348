"""Making a report of a stored run: number, period, bundle; the same run always gives the same bytes."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from importlib.metadata import version
from typing import Any

import asyncpg
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tieout_reconcile import store
from tieout_reconcile.canonical import canonical_bytes
from tieout_reconcile.errors import NotFound, NotReady
from tieout_reconcile.period_work import sign_off_of
from tieout_reconcile.reports import bundle, signing
from tieout_reconcile.reports.build import Head, Material, Previous, build, head_of, recompute, sampled
from tieout_reconcile.reports.extract import SQL, read_content, read_evidence, read_material
from tieout_reconcile.reports.render import page, table
from tieout_reconcile.results import Run
from tieout_reconcile.store import Database
from tieout_reconcile.working import shortfall_lines


@dataclass(frozen=True, slots=True)
class Exported:
    """A report that was made: its number, its digest, the key that signed it (None: nobody), the bundle's bytes."""

    report: int
    run: int
    sha256: str
    public_key: str | None
    clean: bool
    verdict: str
    data: bytes


@dataclass(frozen=True, slots=True)
class ReportInfo:
    """One line of the list of reports."""

    report: int
    made_at: datetime
    as_of_slot: int
    as_of_time: datetime | None
    verdict: str
    sha256: str
    previous: int | None
    run: int
    period: str | None
    signers: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {name: getattr(self, name) for name in self.__slots__}


async def export_report(
    database: Database, number: int | None, key: Ed25519PrivateKey | None, *, period: str | None = None
) -> Exported:
    """Return the bundle of a stored run's report (the latest run's by default), signed where a key is given.

    With ``period``, of that locked period: its fixed run, with both signatures under it. Raises NotFound for a
    run or period that is not there, NotReady where the period is not locked, or the ledger no longer gives
    what the run says.
    """
    async with store.session(database) as db, db.transaction(isolation="repeatable_read"):
        await db.execute(SQL["lock_reports"])
        lock, number, sign_off = (None, number, None) if period is None else await sign_off_of(db, period)
        run = await store.load_run(db, number)
        if run is None:
            raise NotFound("nothing was reconciled yet: tieout reconcile run")
        kept = await db.fetchrow(SQL["report_of_run"], bytes.fromhex(run.digest), lock)
        head = await _head(db, run, kept, lock, sign_off)
        material = await _material(db, run, head)
        made = recompute(material)
        if made.canonical_json() != run.canonical_json():
            raise NotReady(_changed(run, made))
        report, files = build(head, made, material)
        body = canonical_bytes(report)
        await _keep(db, kept, head, made, body, lock)
        signature = None
        if key is not None:
            signature = signing.sign(key, body)
            await db.execute(SQL["insert_signature"], head.report, signing.public_text(key), signature)
    public_key = None if key is None else signing.public_text(key)
    data = pack_report(body, files, public_key, signature)
    digest = hashlib.sha256(body).hexdigest()
    return Exported(head.report, run.run or 0, digest, public_key, made.clean, str(made.verdict), data)


def pack_report(body: bytes, files: dict[str, bytes], public_key: str | None, signature: str | None) -> bytes:
    """Return the bundle's bytes: report, signature, what people read, and the files in order of their names."""
    # read back, so that page and table follow the bytes and not how they were made
    parts, report = {bundle.REPORT: body}, json.loads(body)
    if public_key is not None:
        signed = {
            "schema": "tieout/signature/1",
            "algorithm": "Ed25519",
            "public_key": public_key,
            "signature": signature,
        }
        parts[bundle.SIGNATURE] = canonical_bytes(signed)
    parts[bundle.PAGE], parts[bundle.TABLE] = page(report, body), table(report)
    return bundle.pack(parts | {name: files[name] for name in sorted(files)})


async def _material(db: asyncpg.Connection, run: Run, head: Head) -> Material:
    material = await read_material(db, run.inputs, in_part=head.in_part)
    drawn = sampled(run, material.replay.registries[-1][1], material, head)
    movements = [m for _, m in drawn]
    content = await read_content(db, material, movements)
    return replace(material, evidence=await read_evidence(db, movements, run.inputs.known_batch), content=content)


async def _head(
    db: asyncpg.Connection, run: Run, kept: Any, lock: int | None, sign_off: Mapping[str, Any] | None
) -> Head:
    """What the report has already where it was made, or the next number and what is recorded by now."""
    if kept is not None:
        return replace(head_of(json.loads(kept["body"])), software=_software())
    row = await db.fetchrow(SQL["previous_report"], run.inputs.as_of_slot, lock is not None)
    previous = None if row is None else Previous(**row)
    lines = await shortfall_lines(db, [f.key for f in run.breaks])
    return Head(await db.fetchval(SQL["next_report"]), _software(), previous, sign_off, lines)


def _software() -> str:
    return f"tieout {version('tieout')}"


async def _keep(db: asyncpg.Connection, kept: Any, head: Head, run: Run, body: bytes, lock: int | None) -> None:
    digest, run_digest = hashlib.sha256(body).digest(), bytes.fromhex(run.digest)
    if kept is not None:
        if kept["body"].encode() != body:
            was = hashlib.sha256(kept["body"].encode()).hexdigest()
            raise NotReady(
                f"report {head.report} was made as {was} and would now be {digest.hex()}: evidence was detached since, "
                "or another version of tieout made it; the bundle kept then is the report"
            )
        return
    await db.execute(
        SQL["insert_report"], head.report, run_digest, run.inputs.as_of_slot, run.inputs.as_of_time,
        run.inputs.known_load, str(run.verdict), head.previous.report if head.previous else None, digest, body.decode(),
        lock,
    )  # fmt: skip


def _changed(run: Run, made: Run) -> str:
    why = (
        f"it was made by rules {run.rules}, this version has rules {made.rules}: reconcile again"
        if run.rules != made.rules
        else f"its digest is {run.digest}, the ledger and the files now give {made.digest}: tieout db verify"
    )
    return f"run {run.run} cannot be computed again: {why}"


async def rebuild_bundle(database: Database, number: int) -> bytes:
    """Return the bundle of a report that was made, with its first signature, built anew. Raises NotFound, NotReady."""
    async with store.session(database) as db:
        kept = await db.fetchrow(SQL["report_by_number"], number)
        if kept is None:
            raise NotFound(f"there is no report {number}: tieout report list")
        run = await store.load_run(db, kept["run"])
        assert run is not None, "a report has a run"
        head = await _head(db, run, kept, None, None)
        material = await _material(db, run, head)
        report, files = build(head, recompute(material), material)
        body = canonical_bytes(report)
        if body != kept["body"].encode():
            raise NotReady(f"report {number} cannot be built again as it was: the bundle made then is the report")
        signed = await db.fetchrow(SQL["first_signature"], number)
    key, signature = (None, None) if signed is None else (signed["public_key"], signed["signature"])
    return pack_report(body, files, key, signature)


async def list_reports(database: Database, limit: int = 50) -> list[ReportInfo]:
    """Return the last reports, the newest first."""
    async with store.session(database) as db:
        rows = await db.fetch(SQL["reports"], limit)
    return [ReportInfo(**{**row, "signers": tuple(row["signers"] or ())}) for row in rows]
