"""Verification offline: the whole report computed again from its bundle. Neither node nor database is asked."""

import hashlib
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from tieout_reconcile.canonical import canonical_bytes, from_plain, to_plain
from tieout_reconcile.errors import BadInput, NotReady
from tieout_reconcile.files import read_file
from tieout_reconcile.loads import Load, Replay
from tieout_reconcile.periods import sign_off_faults
from tieout_reconcile.reports import bundle, signing
from tieout_reconcile.reports.build import (
    IN_PART_RULES,
    REPORT_RULES,
    SCHEMA,
    AuthorityHeld,
    Batch,
    Material,
    build,
    head_of,
    recompute,
)
from tieout_reconcile.reports.content import Rows, rows_of
from tieout_reconcile.reports.mint_rows import MintRows, balance_differences, mint_rows_of, venue_differences
from tieout_reconcile.reports.practitioner import SignedStatement, faults, keys_in, read_statement, words
from tieout_reconcile.reports.proven import block_shown, detached_before, differences, evidence_digests, unlisted
from tieout_reconcile.reports.render import page, table
from tieout_reconcile.reports.shortfalls import shortfall_faults
from tieout_reconcile.results import RULES, Inputs, Run
from tieout_reconcile.token_payments import tokens_named, transactions_asked

_SHOWN_DIFFERENCES = 3
_SHOWN_CHARACTERS = 60
_RENDERED = frozenset({bundle.REPORT, bundle.SIGNATURE, bundle.PAGE, bundle.TABLE})
_HASH_BYTES = 32


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was checked: whether it holds, and what was seen."""

    name: str
    holds: bool
    text: str


@dataclass(frozen=True, slots=True)
class Verified:
    """The outcome: every check, and the report as the bundle has it (None: it is no report at all).

    ``practitioner``: the statement on it that was given, once it was checked and is the trusted practitioner's.
    """

    checks: tuple[Check, ...]
    report: dict[str, Any] | None
    practitioner: SignedStatement | None = None

    @property
    def holds(self) -> bool:
        """Whether every check held."""
        return all(check.holds for check in self.checks)

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        report = self.report or {}
        run = report.get("run", {})
        return {
            "verified": self.holds,
            "checks": [{"name": c.name, "holds": c.holds, "text": c.text} for c in self.checks],
            "report": report.get("report"),
            "verdict": run.get("verdict"),
            "as_of_slot": run.get("inputs", {}).get("as_of_slot"),
            "registry_changes": report.get("registry_changes", []),
            "period": _period_said(report.get("period")),
            "practitioner": None if self.practitioner is None else self.practitioner.to_json(),
        }

    def pages(self) -> tuple[bytes, bytes]:
        """Return the page and the table, with the practitioner's statement beside the report. Raises NotReady."""
        if not self.holds or self.report is None:
            raise NotReady("the report does not verify, or the statement on it: no page is made of it")
        said = self.practitioner
        return page(self.report, canonical_bytes(self.report), said), table(self.report, said)


def _period_said(sign_off: Any) -> dict[str, Any] | None:
    """Who signed which period, as the report says; None for a report of no period, or one that says nonsense."""
    try:
        return {
            "period": sign_off["content"]["period"],
            **{
                part: {"actor": sign_off[part]["actor"], "public_key": sign_off[part]["public_key"]}
                for part in ("proposed", "signed")
            },
        }
    except (KeyError, TypeError):
        return None


class _Broken(Exception):
    """A check failed so that the next ones have nothing to stand on."""


def verify_report(
    path: Path | str,
    trusted: str | None = None,
    previous: Path | str | None = None,
    *,
    period: str | None = None,
    signers: Sequence[str] = (),
    practitioner: Path | str | None = None,
    trusted_practitioner: str | None = None,
) -> Verified:
    """Check a bundle: origin, files, completeness, and the figures by computing them again.

    ``trusted`` is the public key (base58) that the verifier knows to be the issuer's; without it the origin
    is not verified. ``previous`` is the bundle of the report before. ``period`` is the locked period that it
    has to be the report of, ``signers`` the public keys that have to be those under its sign-off.
    ``practitioner`` is the file of a practitioner's statement on it, ``trusted_practitioner`` the public key that the
    verifier knows to be the practitioner's. Raises BadInput for what is no bundle.
    """
    files, body, report = read_report(path)
    checks = [_origin(files, body, trusted)]
    before = None if previous is None else bundle.unpack(previous)
    if before is not None:
        checks.append(_chained(report, before))
    try:
        checks += _contents(files, report, body, before)
        checks += _signed_off(report, before, period, signers)
    except _Broken as broken:
        checks.append(Check("computed", False, str(broken)))
    except (BadInput, ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError) as bad:
        # whatever a hostile bundle holds, it is a failed check and no failure of the verifier
        checks.append(
            Check("computed", False, f"the report cannot be computed from it: {str(bad) or type(bad).__name__}")
        )
    said = None
    if practitioner is not None:
        check, said = _stated(files, report, body, practitioner, trusted_practitioner)
        checks.append(check)
    return Verified(tuple(checks), report, said)


def read_report(path: Path | str) -> tuple[dict[str, bytes], bytes, dict[str, Any]]:
    """Return a bundle's files, its report's bytes and the report. Raises BadInput for what is no bundle of one."""
    files = bundle.unpack(path)
    body = files.get(bundle.REPORT)
    if body is None:
        raise BadInput(str(path), [f"it is no bundle of a report: {bundle.REPORT} is not in it"])
    return files, body, _report(str(path), body)


def _stated(
    files: Mapping[str, bytes], report: dict[str, Any], body: bytes, path: Path | str, trusted: str | None
) -> tuple[Check, SignedStatement | None]:
    """Whether a practitioner's statement is one on this report, by the key that is trusted as the practitioner's."""
    try:
        file = read_file(path)
        signed = read_statement(file.name, file.data)
        said = report["run"]["inputs"]["as_of_time"]
        as_of = None if said is None else datetime.fromisoformat(said)
        wrong = faults(signed, hashlib.sha256(body).hexdigest(), as_of, keys_in(files, report))
    except BadInput as bad:
        return Check("practitioner", False, "; ".join(bad.problems)), None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as bad:
        return Check("practitioner", False, f"it cannot be held against this report: {bad}"), None
    key = signed.public_key
    if trusted is None:
        wrong.append(f"origin not verified: signed by {key}; give the practitioner's key that you know from elsewhere")
    elif key != trusted:
        wrong.append(f"signed by {key}, not by the trusted practitioner's key {trusted}")
    if wrong:
        return Check("practitioner", False, "; ".join(wrong)), None
    return Check("practitioner", True, f"signed by the trusted key {key}: {words(signed.statement)}"), signed


def _report(path: str, body: bytes) -> dict[str, Any]:
    try:
        report = json.loads(body)
        if not isinstance(report, dict) or report.get("schema") != SCHEMA:
            raise ValueError(f"its schema is not {SCHEMA}")
        if canonical_bytes(report) != body:
            raise ValueError("it is not in canonical form (RFC 8785)")
    except (ValueError, TypeError, RecursionError) as bad:
        raise BadInput(path, [f"{bundle.REPORT} is no report: {bad}"]) from None
    return report


def _origin(files: Mapping[str, bytes], body: bytes, trusted: str | None) -> Check:
    try:
        signed = json.loads(files[bundle.SIGNATURE])
        key, signature = signed["public_key"], signed["signature"]
        valid = isinstance(key, str) and isinstance(signature, str) and signing.is_signed_by(key, signature, body)
    except KeyError:
        return Check("origin", False, "origin not verified: the bundle is not signed")
    except (ValueError, TypeError, RecursionError):
        return Check("origin", False, "origin not verified: its signature cannot be read")
    if not valid:
        return Check("origin", False, "the signature is not that key's over this report: it was changed after signing")
    if trusted is None:
        return Check("origin", False, f"origin not verified: signed by {key}; give the key that you trust (--trust)")
    if key != trusted:
        return Check("origin", False, f"signed by {key}, not by the trusted key {trusted}")
    return Check("origin", True, f"signed by the trusted key {key}")


def _chained(report: dict[str, Any], files: Mapping[str, bytes]) -> Check:
    digest = hashlib.sha256(files.get(bundle.REPORT, b"")).hexdigest()
    named = (report.get("previous") or {}).get("sha256")
    holds = digest == named
    said = "no report" if named is None else named
    return Check("previous", holds, f"it follows {said}" + ("" if holds else f"; the bundle given is {digest}"))


def _contents(
    files: Mapping[str, bytes], report: dict[str, Any], body: bytes, before: Mapping[str, bytes] | None
) -> Iterator[Check]:
    rules, known = (report["rules"], report["run"]["rules"]), (IN_PART_RULES, RULES)
    if rules not in ((REPORT_RULES, RULES), known):
        raise _Broken(f"it was made by rules {rules}; this version has {known}: verify with {report['software']}")
    yield _manifest(files, report["files"])
    loads = [_load(files, line) for line in json.loads(files[bundle.LOADS])["loads"]]
    yield _loads(loads, report, before)
    material = _material(files, report, Replay(loads))
    yield _batches(material, report)
    rows = rows_of(material.content, material.batches, material.mints.keys(), material.slots_in_part)
    yield _rows(rows, material)
    yield from _mints(material)
    yield _sample(material, report, rows)
    made = recompute(material)
    said = from_plain(Run, report["run"])
    yield Check(
        "figures",
        made.canonical_json() == said.canonical_json() and canonical_bytes(report["run"]) == made.canonical_json(),
        f"computed again: verdict {made.verdict}, {len(made.breaks)} breaks, run {made.digest}"
        + _differences(report["run"], made.to_json()),
    )
    again, made_files = build(head_of(report), made, material)
    same = canonical_bytes(again) == body and all(files.get(n) == data for n, data in made_files.items())
    yield Check("report", same, "the whole report, byte for byte" + _differences(report, again))
    readable = files.get(bundle.PAGE) == page(report, body) and files.get(bundle.TABLE) == table(report)
    yield Check("pages", readable, "the page and the table say what the report says")


def _signed_off(
    report: dict[str, Any], before: Mapping[str, bytes] | None, period: str | None, signers: Sequence[str]
) -> Iterator[Check]:
    """Who signed the period, and whether it opens where the one before closed; what was recorded of shortfalls."""
    faults = shortfall_faults(report["shortfalls"], report["run"])
    told = f"{len(report['shortfalls'])} covers and notifications, each as it was signed"
    yield Check("shortfalls", not faults, "; ".join(faults[:_SHOWN_DIFFERENCES]) or told)
    sign_off = report["period"]
    if sign_off is None:
        wanted = f"it is the report of no locked period; {period or 'a signed one'} is wanted"
        yield Check("period", period is None and not signers, "of no locked period" if period is None else wanted)
        return
    closed = None if before is None else json.loads(before[bundle.REPORT]).get("period")
    faults = sign_off_faults(sign_off, report["run"], report["roll_forward"], closed)
    name, keys = sign_off["content"]["period"], [sign_off[who]["public_key"] for who in ("proposed", "signed")]
    if period is not None and name != period:
        faults.append(f"it is the report of {name}, not of {period}")
    faults += [f"{key} did not sign it" for key in signers if key not in keys]
    who = [f"{sign_off[part]['actor']} ({sign_off[part]['public_key']})" for part in ("proposed", "signed")]
    yield Check("period", not faults, "; ".join([f"{name}: proposed by {who[0]}, signed by {who[1]}", *faults]))


def _manifest(files: Mapping[str, bytes], listed: Mapping[str, str]) -> Check:
    missing = sorted(listed.keys() - files.keys())
    extra = sorted(files.keys() - listed.keys() - _RENDERED)
    wrong = sorted(n for n in listed.keys() & files.keys() if hashlib.sha256(files[n]).hexdigest() != listed[n])
    sorts = (("missing", missing), ("not listed", extra), ("changed", wrong))
    faults = [f"{what}: {', '.join(names[:_SHOWN_DIFFERENCES])}" for what, names in sorts if names]
    return Check("files", not faults, "; ".join(faults) or f"{len(listed)} files have the digests that were signed")


def _loads(loads: Sequence[Load], report: dict[str, Any], before: Mapping[str, bytes] | None) -> Check:
    """The files of the business: without a gap, and with all those that the report before had."""
    numbers = [load.load for load in loads]
    known = report["run"]["inputs"]["known_load"]
    holes = sorted(set(range(1, known + 1)) - set(numbers))
    if holes or numbers != list(range(1, known + 1)):
        lacking = ", ".join(map(str, holes[:_SHOWN_DIFFERENCES]))
        return Check("loads", False, f"of {known} files of the business these are missing or out of order: {lacking}")
    told = f"all {known} files of the business, numbered without a gap"
    if before is None:
        signed = "; their number is anchored by who signed the period"
        nobody = "; that the last of them is not left out is not anchored: give the report before (--previous)"
        return Check("loads", True, told + (nobody if report["period"] is None else signed))
    earlier = [(x["load"], x["sha256"]) for x in json.loads(before[bundle.LOADS])["loads"]]
    kept = {(load.load, load.sha256.hex()) for load in loads}
    lost = [str(number) for number, digest in earlier if (number, digest) not in kept]
    if lost:
        return Check("loads", False, f"the report before had files that this one has not: {', '.join(lost)}")
    later = known - len(earlier)
    told += f", among them the {len(earlier)} of the report before"
    told += f"; the {later} since then are anchored by the next report alone" if later else ""
    return Check("loads", True, told)


def _batches(material: Material, report: dict[str, Any]) -> Check:
    prev, number = bytes(_HASH_BYTES), 1
    for batch in material.batches:
        if not batch.follows(prev, number):
            return Check("batches", False, f"the hash chain of the ledger's commits breaks at batch {batch.batch}")
        prev, number = batch.hash, number + 1
    head = report["run"]["inputs"]["batch_hash"]
    holds = bool(material.batches) and head == prev.hex()
    return Check("batches", holds, f"{number - 1} commits of the ledger, chained up to {head}")


def _rows(rows: Rows, material: Material) -> Check:
    """Whether all that is said of the mints follows from the ledger's rows, none of them left out."""
    inputs = material.inputs
    wrong = differences(rows, material.mints, inputs.as_of_slot, inputs.genesis_hash, material.in_part)
    wrong += _in_part_faults(rows, material)
    unproven = [mint for mint, one in material.mints.items() if not one.coverage]
    wrong += [f"{m} was read and is not among the mints told of" for m in unlisted(rows, material.tracked, unproven)]
    if not block_shown(rows, inputs.blockhash, inputs.as_of_time, inputs.as_of_slot):
        wrong.append(f"no row of the ledger is the cut-off's block {inputs.blockhash} with its time")
    whole, every = rows.whole, len(material.batches)
    how = f"{every - whole} by the digests of their parts, {whole} by all of their rows"
    told = len(material.mints) - len(material.in_part)
    text = f"all rows of {told} mints are those that {every} commits hashed ({how}), none is left out"
    if material.in_part:
        text += f"; of {len(material.in_part)} payment tokens, all of the transactions that payments name"
    return Check("rows", not wrong, "; ".join(wrong[:_SHOWN_DIFFERENCES]) or text)


def _in_part_faults(rows: Rows, material: Material) -> list[str]:
    """Where a payment token may not be told in part: it was opened, or a named transaction is not among its events."""
    opened = {row["mint"] for row in rows["opening_row"]} & material.in_part.keys()
    faults = [f"{mint} was opened from a snapshot: it has to be told whole" for mint in sorted(opened)]
    for mint, named in sorted(material.in_part.items()):
        absent = sorted(named - {e.signature for e in material.mints[mint].events})
        faults += [f"{mint}: nothing of the transaction {one} is in it: it has to be told whole" for one in absent]
    return faults


def _mints(material: Material) -> Iterator[Check]:
    registry, lines = material.replay.registries[-1][1], material.replay.business().venue
    instruments = {i.mint for i in registry.instruments}
    for mint, rows in sorted(material.mints.items()):
        wrong = balance_differences(rows) if rows.openings else []
        if mint in instruments:
            wrong += venue_differences(rows, registry, lines, material.inputs.as_of_slot, material.inputs.as_of_time)
        text = (
            f"{mint}: {len(rows.events)} events add up to the balances of {len(rows.accounts)} accounts and the supply"
        )
        if mint in material.in_part:
            text = f"{mint}: {len(rows.events)} events of {len(material.in_part[mint])} transactions that payments name"
        if wrong:
            text = f"{mint} is not complete: " + "; ".join(wrong[:_SHOWN_DIFFERENCES])
        yield Check("complete", not wrong, text)


def _sample(material: Material, report: dict[str, Any], rows: Rows) -> Check:
    """Each sampled movement has the node's answer, by its digest in the ledger; or it was moved to files, on record."""
    lines, digests, since = report["sample"]["movements"], evidence_digests(rows), detached_before(rows)
    wrong, moved = [], 0
    for line in lines:
        place = (line["slot"], line["tx_index"])
        body, named = material.evidence.get(place), digests.get(place, set())
        detached = body is None and line["slot"] < since
        moved += detached
        if not detached and (fault := _evidence_fault(line["signature"], body, named)) is not None:
            wrong.append(fault)
    text = f"{len(lines) - moved - len(wrong)} of {len(lines)} sampled movements have the node's answer"
    text += f"; moved to files, by the ledger's own record: {moved}" if moved else ""
    return Check("sample", not wrong, "; ".join([text, *wrong[:_SHOWN_DIFFERENCES]]))


def _evidence_fault(signature: str, body: bytes | None, digests: Collection[bytes]) -> str | None:
    if body is None:
        return f"the node's answer for {signature} is not in it, and no record of the ledger says that it was moved"
    if hashlib.sha256(body).digest() not in digests:
        return f"the evidence of {signature} is not what the ledger hashed"
    if signature not in json.loads(body)["transaction"]["signatures"]:
        return f"the evidence of {signature} is of another transaction"
    return None


def _material(files: Mapping[str, bytes], report: dict[str, Any], replay: Replay) -> Material:
    index = json.loads(files[bundle.INDEX])
    mints: dict[str, MintRows] = {}
    for line in (*report["population"]["registered"], *report["population"]["payment_tokens"]):
        mint = line["mint"]
        mints[mint] = mint_rows_of(mint, files[bundle.mint_name(mint)])
    batches = [from_plain(Batch, json.loads(line)) for line in files[bundle.BATCHES].splitlines()]
    evidence = {}
    for line in report["sample"]["movements"]:
        name = bundle.evidence_name(line["slot"], line["tx_index"])
        if line["evidence"] is not None:
            evidence[line["slot"], line["tx_index"]] = files[name]
    held = tuple(from_plain(AuthorityHeld, line) for line in index["authorities"])
    inputs = from_plain(Inputs, report["run"]["inputs"])
    if canonical_bytes(to_plain(inputs)) != canonical_bytes(report["run"]["inputs"]):
        raise _Broken("its inputs hold more than this version knows")
    told = {line["mint"] for line in report["population"]["payment_tokens"] if line.get("in_part")}
    tokens = tokens_named(replay.registries[-1][1], replay.business())
    in_part = {t.mint: transactions_asked(t, replay.business(), inputs.as_of_time) for t in tokens if t.mint in told}
    return Material(
        inputs, replay, mints, tuple(index["tracked"]), tuple(batches), evidence, files[bundle.CONTENT], held, in_part
    )


def _load(files: Mapping[str, bytes], line: dict[str, Any]) -> Load:
    load = Load(line["load"], line["kind"], line["name"], line["format"], line["declared"],
                files[bundle.load_name(line["load"])])  # fmt: skip
    if load.sha256.hex() != line["sha256"]:
        raise _Broken(f"load {load.load} ({load.name}) is not the file that was signed")
    return load


def _differences(said: Any, made: Any) -> str:
    found = list(_walk(said, made, ""))[:_SHOWN_DIFFERENCES]
    return "".join(f"; {place or 'the whole'}: it says {one}, computed {other}" for place, one, other in found)


def _walk(said: Any, made: Any, place: str) -> Iterator[tuple[str, str, str]]:
    if isinstance(said, dict) and isinstance(made, dict):
        for key in sorted(said.keys() | made.keys()):
            yield from _walk(said.get(key), made.get(key), f"{place}.{key}".lstrip("."))
    elif isinstance(said, list) and isinstance(made, list) and len(said) == len(made):
        for number, (one, other) in enumerate(zip(said, made, strict=True)):
            yield from _walk(one, other, f"{place}[{number}]")
    elif said != made:
        yield place, _short(said), _short(made)


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=True, default=str)
    return text if len(text) <= _SHOWN_CHARACTERS else text[: _SHOWN_CHARACTERS - 1] + "…"
