"""Reporting periods, stored: each step by a personal key that signs it, logged in the audit chain."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import asyncpg
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tieout_database import append_audit, clean_text
from tieout_reconcile import store
from tieout_reconcile.canonical import canonical_bytes
from tieout_reconcile.errors import NotAllowed, NotFound, NotReady
from tieout_reconcile.periods import (
    SCHEMA,
    Evidence,
    PeriodAction,
    PeriodCase,
    PeriodKind,
    Standing,
    action_body,
    breaks_of,
    carried,
    content_sha256,
    figures_of,
    plain_of,
    refuse_period,
    refuse_period_action,
    standing_of,
)
from tieout_reconcile.registry import instant_text
from tieout_reconcile.registry_rows import registry_at
from tieout_reconcile.reports import signing
from tieout_reconcile.restating import SQL, Restated, restate
from tieout_reconcile.results import Run
from tieout_reconcile.runner import slot_of
from tieout_reconcile.store import SQL as RECON_SQL
from tieout_reconcile.store import Database
from tieout_reconcile.workflow import NOTE_CHARACTERS_MAX, Person
from tieout_reconcile.working import people_of, person_of, worked_breaks


@dataclass(frozen=True, slots=True)
class ReportingPeriod:
    """A period (from_at, to_at] and how it stands.

    ``opening`` counts the periods of this name: those before it were withdrawn. ``content`` is what the last
    proposal fixes (plain values, None before one): once locked, the period's figure. ``later`` is what is known
    now beside it, where that was asked for.
    """

    period: str
    from_at: datetime
    to_at: datetime
    standing: Standing
    actions: tuple[PeriodAction, ...]
    content: Mapping[str, Any] | None
    later: Restated | None = None
    opening: int = 1

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        lock, pending = self.standing.lock, self.standing.pending
        return {
            "period": self.period,
            "from": instant_text(self.from_at),
            "to": instant_text(self.to_at),
            "status": self.standing.status,
            "opening": self.opening,
            "lock": None if lock is None else lock.action,
            "proposed_by": None if (made := self.proposed) is None else made.actor,
            "signed_by": None if lock is None else lock.actor,
            "pending": None if pending is None else pending.to_json(),
            "actions": [a.to_json() for a in self.actions],
            "content": self.content,
            "later_adjustments": None if self.later is None else self.later.to_json(),
        }

    @property
    def proposed(self) -> PeriodAction | None:
        """The proposal that is locked, else the one that waits."""
        lock, pending = self.standing.lock, self.standing.pending
        if lock is not None:
            return next(a for a in self.actions if a.action == lock.proposal)
        return pending if pending is not None and pending.kind is PeriodKind.PROPOSE else None


async def list_periods(database: Database, *, withdrawn: bool = False) -> list[ReportingPeriod]:
    """Return all periods in order of time; on request those that were withdrawn, after them."""
    async with store.session(database) as db:
        found = await _periods(db)
        return [*found, *await _periods(db, "withdrawn_periods")] if withdrawn else found


async def show_period(database: Database, name: str, *, later: bool = True) -> ReportingPeriod:
    """Return a period; of a locked one also what its figures would be by now. Raises NotFound."""
    async with store.session(database) as db:
        found = _named(await _periods(db), name)
        if not later or found.standing.lock is None or found.content is None:
            return found
        return replace(found, later=await restate(db, found.content))


async def open_period(
    database: Database, name: str, from_at: datetime | None, to_at: datetime, key: Ed25519PrivateKey
) -> ReportingPeriod:
    """Open a period after the last one, whose end it begins at. Raises NotAllowed."""
    async with store.session(database) as db, db.transaction():
        await db.execute(SQL["lock_periods"])
        person = person_of(key, await people_of(db))
        if "preparer" not in person.roles:
            raise NotAllowed(f"{person.name} has not the role preparer, which opening a period needs")
        known = await _periods(db)
        last = (known[-1].period, known[-1].to_at) if known else None
        begins = from_at or (last[1] if last else None)
        if begins is None:
            raise NotAllowed("the first period needs to be told where it begins: --from")
        if any(p.period == name for p in known):
            raise NotAllowed(f"there is a period {name} already")
        refuse_period(name, begins, to_at, last)
        opening = 1 + sum(p.period == name for p in await _periods(db, "withdrawn_periods"))
        body = canonical_bytes({
            "schema": "tieout/period-action/1", "kind": "open", "actor": person.name, "period": name,
            "from": instant_text(begins), "to": instant_text(to_at),
            "genesis_hash": await db.fetchval(RECON_SQL["genesis_hash"]), **_again(opening),
        })  # fmt: skip
        signature = signing.sign(key, body)
        entry = await append_audit(db, person.name, "period.open", name, _logged(body, signature))
        await db.execute(
            SQL["insert_period"], name, begins, to_at, person.name, signature, body.decode(), entry
        )  # fmt: skip
        return _named(await _periods(db), name)


def _again(opening: int) -> dict[str, int]:
    """What tells the actions on a name opened again from those on the one that was withdrawn."""
    return {"opening": opening} if opening > 1 else {}


def _logged(body: bytes, signature: str) -> dict[str, str]:
    return {"body": body.decode(), "signature": signature}


async def propose_period(
    database: Database, name: str, key: Ed25519PrivateKey, *, number: int | None = None, note: str | None = None
) -> ReportingPeriod:
    """Propose a period with a stored run as of its end (the last such run by default).

    Raises NotAllowed, NotFound, NotReady.
    """
    async with store.session(database) as db:
        known = await _periods(db)
        found = _named(known, name)
        run = await _run_of(db, found, number)
        before = _neighbour(known, name, -1)
        case = await _case(db, found, known, key, run_fault=await _run_fault(db, found, run))
        # nothing is worked out for who may not propose
        refuse_period_action(PeriodKind.PROPOSE, person_of(key, await people_of(db)), case, note)
        content = await _content(db, found, run, before)
        return await _act(db, PeriodKind.PROPOSE, name, key, note, content=content, run=run)


async def decide_period(
    database: Database, kind: PeriodKind, name: str, key: Ed25519PrivateKey, *, note: str | None = None
) -> ReportingPeriod:
    """Sign or reject a proposal, ask to reopen a locked period or reopen it, ask to withdraw one or withdraw it.

    Raises NotAllowed, NotFound.
    """
    async with store.session(database) as db:
        return await _act(db, kind, name, key, note)


async def _act(
    db: asyncpg.Connection, kind: PeriodKind, name: str, key: Ed25519PrivateKey, note: str | None, *,
    content: Mapping[str, Any] | None = None, run: Run | None = None,
) -> ReportingPeriod:  # fmt: skip
    async with db.transaction():
        await db.execute(SQL["lock_periods"])
        known = await _periods(db)
        found = _named(known, name)
        person = person_of(key, await people_of(db))
        note = None if note is None else clean_text(note, NOTE_CHARACTERS_MAX + 1)[0]
        refuse_period_action(kind, person, await _case(db, found, known, key), note)
        pending = found.standing.pending
        decides = kind in (PeriodKind.SIGN, PeriodKind.REJECT, PeriodKind.REOPEN, PeriodKind.WITHDRAW)
        proposal = pending.action if decides and pending is not None else None
        signed = content if content is not None else found.content if kind is PeriodKind.SIGN else None
        await _store(db, kind, person, found, key, note, proposal, signed, run)
        gone = kind is PeriodKind.WITHDRAW
        return _named((await _periods(db, "withdrawn_periods"))[::-1] if gone else await _periods(db), name)


async def _store(
    db: asyncpg.Connection, kind: PeriodKind, person: Person, found: ReportingPeriod, key: Ed25519PrivateKey,
    note: str | None, proposal: int | None, signed: Mapping[str, Any] | None, run: Run | None,
) -> None:  # fmt: skip
    sha256 = None if signed is None else content_sha256(signed)
    after = found.actions[-1].action if found.actions else 0
    genesis = await db.fetchval(RECON_SQL["genesis_hash"])
    said = action_body(kind, person.name, found.period, after, genesis, sha256, proposal, note)
    body = canonical_bytes(said | _again(found.opening))
    signature = signing.sign(key, body)
    entry = await append_audit(db, person.name, f"period.{kind}", found.period, _logged(body, signature))
    content = canonical_bytes(signed).decode() if kind is PeriodKind.PROPOSE and signed is not None else None
    await db.execute(
        SQL["insert_action"], found.period, str(kind), person.name, note, None if run is None else run.run, content,
        proposal, signature, body.decode(), entry, found.opening,
    )  # fmt: skip


async def _periods(db: asyncpg.Connection, which: str = "periods") -> list[ReportingPeriod]:
    found = []
    for row in await db.fetch(SQL[which]):
        actions = tuple(
            [
                PeriodAction(**{**a, "kind": PeriodKind(a["kind"])})
                for a in await db.fetch(SQL["actions"], row["period"], row["opening"])
            ]
        )
        bare = ReportingPeriod(
            row["period"], row["from_at"], row["to_at"], standing_of(actions), actions, None, opening=row["opening"]
        )
        made = bare.proposed
        text = None if made is None or made.run is None else await db.fetchval(SQL["content"], made.action)
        found.append(replace(bare, content=None if text is None else json.loads(text)))
    return found


def _named(known: list[ReportingPeriod], name: str) -> ReportingPeriod:
    for found in known:
        if found.period == name:
            return found
    raise NotFound(f"there is no period {name!r}: tieout period list")


def _neighbour(known: list[ReportingPeriod], name: str, step: int) -> ReportingPeriod | None:
    place = [p.period for p in known].index(name) + step
    return known[place] if 0 <= place < len(known) else None


async def _case(
    db: asyncpg.Connection, found: ReportingPeriod, known: list[ReportingPeriod], key: Ed25519PrivateKey,
    run_fault: str | None = None,
) -> PeriodCase:  # fmt: skip
    before, after = _neighbour(known, found.period, -1), _neighbour(known, found.period, 1)
    return PeriodCase(
        found.period,
        found.standing,
        await _evidence(db, found, before),
        before.period if before is not None and before.standing.lock is None else None,
        after.period if after is not None and after.standing.lock is not None else None,
        run_fault,
        signing.public_text(key),
        None if after is None else after.period,
        any(a.kind is PeriodKind.SIGN for a in found.actions),
    )


async def _evidence(
    db: asyncpg.Connection, found: ReportingPeriod, before: ReportingPeriod | None
) -> tuple[Evidence, ...]:
    """The files that a proposal rests on: all since the period before was fixed, and what of older ones it names."""
    if found.content is None:
        return ()
    since = before.content["run"]["load"] if before is not None and before.content is not None else 0
    loads = set(range(since + 1, found.content["run"]["load"] + 1)) | set(found.content["rests_on"])
    rows = await db.fetch(SQL["importers"], sorted(loads))
    return tuple([Evidence(row["load"], row["kind"], row["importer"]) for row in rows])


async def _run_of(db: asyncpg.Connection, found: ReportingPeriod, number: int | None) -> Run:
    if number is None:
        number = await db.fetchval(SQL["run_at_slot"], await _slot_at_end(db, found))
    run = None if number is None else await store.load_run(db, number)
    if run is None:
        raise NotFound(
            f"no run was stored as of the end of {found.period}: "
            f"tieout reconcile run --as-of {instant_text(found.to_at)}"
        )
    return run


async def _slot_at_end(db: asyncpg.Connection, found: ReportingPeriod) -> int:
    known = await registry_at(db, 2**62)
    if known is None:
        raise NotReady("no registry is applied yet: tieout registry apply FILE")
    return await slot_of(db, found.to_at, known[1], (await db.fetchval(RECON_SQL["max_batch"])))


async def _run_fault(db: asyncpg.Connection, found: ReportingPeriod, run: Run) -> str | None:
    slot = await _slot_at_end(db, found)
    if run.inputs.as_of_slot != slot:
        return (
            f"run {run.run} is as of slot {run.inputs.as_of_slot}, the last slot of {found.period} is {slot}: "
            f"tieout reconcile run --as-of {instant_text(found.to_at)}"
        )
    return None


async def _content(
    db: asyncpg.Connection, found: ReportingPeriod, run: Run, before: ReportingPeriod | None
) -> dict[str, Any]:
    """All that the two of them sign: the run's figures, its breaks with the work on them, what was open before."""
    plain, inputs = plain_of(run), run.inputs
    breaks, worked = breaks_of(plain), {w.finding.key: w for w in await worked_breaks(db, run.run)}
    locked = None if before is None else before.content
    opening = None
    if before is not None and locked is not None and before.standing.lock is not None:
        restated = await restate(db, locked, inputs.known_batch, inputs.known_load)
        opening = {
            "period": before.period,
            "lock": before.standing.lock.action,
            "content_sha256": content_sha256(locked),
            "figures": locked["figures"],
            "prior_period_adjustments": restated.to_json(),
        }
        opens = {"slot": locked["run"]["slot"], "time": locked["run"]["time"]}
    else:
        row = await db.fetchrow(SQL["opening_slot"], found.from_at)
        opens = {"slot": row["slot"] if row else None, "time": instant_text(row["block_time"]) if row else None}
    return {
        "schema": SCHEMA,
        "period": found.period,
        "from": instant_text(found.from_at),
        "to": instant_text(found.to_at),
        "run": {
            "digest": run.digest, "slot": inputs.as_of_slot, "time": instant_text(inputs.as_of_time),
            "blockhash": inputs.blockhash, "batch": inputs.known_batch, "batch_hash": inputs.batch_hash,
            "load": inputs.known_load, "loads_sha256": inputs.loads_sha256, "registry_load": inputs.registry_load,
            "rules": run.rules, "verdict": str(run.verdict),
        },
        "opens": opens,
        "opening": opening,
        "figures": figures_of(plain),
        "rests_on": sorted({inputs.registry_load, *(a.load for i in run.instruments for a in i.accounts if a.load)}),
        "breaks": [b | {"work": _work(worked.get(b["key"]))} for b in breaks],
        **carried(locked, breaks),
    }  # fmt: skip


def _work(worked: Any) -> dict[str, Any] | None:
    if worked is None:
        return None
    plain = worked.to_json()
    return {"age": plain["age"], **{name: plain["work"][name] for name in _WORK}}


_WORK = ("status", "assignee", "unexplained", "accepted", "uncovered", "cover", "notifications")


async def sign_off_of(db: asyncpg.Connection, name: str) -> tuple[int, int, dict[str, Any]]:
    """Return a locked period's signature number, its run, and the sign-off as it goes into a report.

    Raises NotFound, NotReady for a period that is not locked.
    """
    found = _named(await _periods(db), name)
    lock, made = found.standing.lock, found.proposed
    if lock is None or made is None or made.run is None:
        raise NotReady(f"the period {name} is {found.standing.status}: it has a report once it is signed")
    sign_off = {
        "content": found.content,
        "proposed": _signature(made),
        "signed": _signature(lock),
    }
    return lock.action, made.run, sign_off


def _signature(action: PeriodAction) -> dict[str, Any]:
    return {"action": action.action, "actor": action.actor, "at": instant_text(action.at),
            "public_key": action.public_key, "body": action.body, "signature": action.signature}  # fmt: skip
