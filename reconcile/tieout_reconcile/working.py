"""Work on breaks, stored: each action by an authenticated person, logged in the audit chain with its signature."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from fractions import Fraction
from typing import Any

import asyncpg
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tieout_database import Queries, append_audit, clean_text
from tieout_reconcile import store
from tieout_reconcile.ages import Age, age_of
from tieout_reconcile.calendars import Calendar
from tieout_reconcile.canonical import canonical_bytes, to_plain
from tieout_reconcile.errors import NotAllowed, NotFound
from tieout_reconcile.exact import exact_decimal
from tieout_reconcile.reports import signing
from tieout_reconcile.reports.practitioner import attachment_faults
from tieout_reconcile.results import Finding, Run
from tieout_reconcile.store import Database
from tieout_reconcile.workflow import (
    ASSETS_CHARACTERS_MAX,
    NOTE_CHARACTERS_MAX,
    Action,
    Case,
    Evidence,
    Kind,
    Person,
    Wish,
    Work,
    refuse_unless_allowed,
    work_of,
)

SQL = Queries("tieout_reconcile", "working.sql")
PERIODS_SQL = Queries("tieout_reconcile", "periods.sql")
PRACTITIONER_SQL = Queries("tieout_reconcile.reports", "practitioner.sql")

_EVER = datetime.max.replace(tzinfo=UTC)

Identity = Ed25519PrivateKey | str
"""Who acts: a personal key, which signs the action, or the name that a session has authenticated (the desk)."""


@dataclass(frozen=True, slots=True)
class WorkedBreak:
    """A break of a run with its age and the work on it. ``unexplained`` is what no accepted line explains."""

    finding: Finding
    age: Age | None
    first_run: int | None
    work: Work
    actions: tuple[Action, ...]

    @property
    def unexplained(self) -> Fraction | None:
        """The quantity that no accepted line explains, in shares; None for a break without one."""
        return None if self.finding.shares is None else abs(self.finding.shares) - self.work.explained_shares

    @property
    def uncovered(self) -> Fraction | None:
        """What of a shortfall own assets do not cover, in shares; None for a break that is no shortfall."""
        size = self.finding.shares
        return None if size is None or size >= 0 else max(Fraction(0), -size - self.work.covered_shares)

    def to_json(self) -> dict[str, Any]:
        """Return plain values: the finding's, and beside them age and work."""
        work = {"status": self.work.status, "assignee": self.work.assignee,
                "pending": None if self.work.pending is None else self.work.pending.to_json(),
                "accepted": [a.to_json() for a in self.work.accepted],
                "unexplained": _text(self.unexplained),
                "cover": None if self.work.cover is None else self.work.cover.to_json(),
                "uncovered": _text(self.uncovered),
                "notifications": [a.to_json() for a in self.work.notifications]}  # fmt: skip
        age = None if self.age is None else to_plain(self.age)
        return self.finding.to_json() | {"age": age, "first_run": self.first_run, "work": work}


def _text(shares: Fraction | None) -> str | None:
    return None if shares is None else str(exact_decimal(shares))


async def worked_breaks(database: Database, number: int | None = None) -> list[WorkedBreak]:
    """Return the breaks of a run (the latest by default) with age and work. Raises NotFound."""
    async with store.session(database) as db:
        run = await _run(db, number)
        return await _worked(db, run, run.breaks)


async def worked_break(database: Database, identity: str, number: int | None = None) -> WorkedBreak:
    """Return one break by its id (a beginning is enough) or its key. Raises NotFound."""
    async with store.session(database) as db:
        run = await _run(db, number)
        return (await _worked(db, run, [_named(run, identity)]))[0]


async def act(database: Database, wish: Wish, identity: Identity, *, after: int | None = None) -> WorkedBreak:
    """Do what somebody wishes, if they may, and return the break as it then stands.

    ``wish.key`` may be the break's id. ``after`` is the last action on the break that they had seen: if
    there is a later one they decide on what they did not see, or send the same form again, and are
    refused. Raises NotAllowed (why, and what to do), NotFound.
    """
    async with store.session(database) as db, db.transaction():
        await db.execute(SQL["lock_actions"])
        run = await _run(db, None)
        finding = _named(run, wish.key)
        people = await people_of(db)
        person = person_of(identity, people)
        actions = await _actions(db, [finding.key])
        last = actions[-1].action if actions else 0
        if after is not None and after != last:
            raise NotAllowed(f"something was done on this break since (action {last}): look at it again, then decide")
        wish = _cleaned(wish, finding.key)
        # a decision rests on the document that the proposal named, whatever the client sends
        proposed = next((a.document for a in actions if a.action == wish.proposal), None)
        evidence = await _evidence(db, proposed if wish.kind in (Kind.APPROVE, Kind.REJECT) else wish.document)
        now: datetime = await db.fetchval(SQL["now"])
        refuse_unless_allowed(wish, person, Case(finding.key, finding.shares, tuple(actions), evidence, now), people)
        with _refused_by_the_database():
            await _store(db, wish, person, identity, actions)
        return (await _worked(db, run, [finding]))[0]


@contextmanager
def _refused_by_the_database() -> Iterator[None]:
    try:
        yield
    except asyncpg.RestrictViolationError as refused:
        raise NotAllowed(str(refused)) from refused


def _cleaned(wish: Wish, key: str) -> Wish:
    return replace(
        wish,
        key=key,
        note=_clean(wish.note, NOTE_CHARACTERS_MAX),
        assets=_clean(wish.assets, ASSETS_CHARACTERS_MAX),
        recipient=_clean(wish.recipient, ASSETS_CHARACTERS_MAX),
    )


def _clean(text: str | None, characters_max: int) -> str | None:
    # one more than may be taken, so that what is too long is refused and not cut
    return None if text is None else clean_text(text, characters_max + 1)[0]


async def _store(
    db: asyncpg.Connection, wish: Wish, person: Person, identity: Identity, actions: Sequence[Action]
) -> None:
    after = actions[-1].action if actions else 0
    body = canonical_bytes(wish.body(person.name, after, await db.fetchval(SQL["genesis_hash"])))
    signature = None if isinstance(identity, str) else signing.sign(identity, body)
    details = {"body": body.decode(), "signature": signature}
    entry = await append_audit(db, person.name, f"break.{wish.kind}", wish.key, details)
    head = await db.fetchrow(SQL["next_action"])
    assert head is not None, "an aggregate has one row"
    await db.execute(
        SQL["insert_action"], head["action"], wish.key, str(wish.kind), person.name, head["at"], wish.note,
        wish.assignee, wish.line, wish.document, None if wish.shares is None else exact_decimal(wish.shares),
        wish.expires_at, wish.proposal, signature, body.decode(), entry, wish.assets, wish.since, wish.recipient,
    )  # fmt: skip


async def people_of(db: asyncpg.Connection) -> list[Person]:
    """Return everybody who was ever named, in their newest version."""
    return [Person(row["name"], tuple(row["roles"]), row["public_key"]) for row in await db.fetch(SQL["people"])]


def person_of(identity: Identity, people: Sequence[Person]) -> Person:
    """Return who acts. Raises NotAllowed for a key or name that is nobody's."""
    if isinstance(identity, str):
        found = [p for p in people if p.name == identity]
        who = identity
    else:
        who = signing.public_text(identity)
        found = [p for p in people if p.public_key == who]
    if not found:
        raise NotAllowed(f"the key {who} belongs to nobody here: an admin adds its owner (tieout people add)")
    return found[0]


def person_body(name: str, roles: Sequence[str], public_key: str | None) -> bytes:
    """Return what an admin signs who sets a person's roles and key."""
    return canonical_bytes({
        "schema": "tieout/person/1", "name": name, "roles": sorted(set(roles)), "public_key": public_key,
    })  # fmt: skip


def _unsigned_people(rows: Sequence[Any]) -> list[str]:
    """Say which changes of people no admin's key signed, from the first signed one on: before it none were."""
    faults: list[str] = []
    signed_before = False
    for row in rows:
        details = json.loads(row["details"])
        signature = details.get("signature")
        body = person_body(row["name"], details.get("roles", ()), details.get("public_key"))
        if signature is not None and signing.is_signed_by(row["public_key"] or "", signature, body):
            signed_before = True
        elif signature is not None or signed_before:
            faults.append(f"person {row['name']}, version {row['version']}: {row['actor']} did not sign it")
    return faults


async def sign_load(db: asyncpg.Connection, load: int, sha256: bytes, key: Ed25519PrivateKey) -> str:
    """Record who handed in a file, in the transaction that stores it; return the name. Raises NotAllowed."""
    person = person_of(key, await people_of(db))
    if "preparer" not in person.roles:
        raise NotAllowed(f"{person.name} has not the role preparer, which handing in a file under a name needs")
    signature = signing.sign(key, _load_message(sha256))
    details = {"sha256": sha256.hex(), "signature": signature}
    entry = await append_audit(db, person.name, "load.import", str(load), details)
    await db.execute(SQL["insert_load_actor"], load, person.name, entry)
    return person.name


async def claim_load(db: asyncpg.Connection, load: int, sha256: bytes, key: Ed25519PrivateKey) -> None:
    """Record who hands in a file again that nobody was known to have handed in. Raises NotAllowed.

    Whoever handed it in first stays; so does a file of other bytes that says the same.
    """
    row = await db.fetchrow(SQL["unclaimed"], load)
    if row is not None and row["sha256"] == sha256.hex():
        await sign_load(db, load, sha256, key)


def _load_message(sha256: bytes) -> bytes:
    return b"tieout/load/1\n" + sha256


async def verify_signatures(database: Database) -> list[str]:
    """Return what does not hold among the signatures of actions, periods, acknowledgements, files and statements.

    Each is checked against the key that its maker had at the time: a later key changes nothing.
    """
    async with store.session(database) as db:
        actions, loads = await db.fetch(SQL["signed_actions"]), await db.fetch(SQL["signed_loads"])
        periods = await db.fetch(PERIODS_SQL["signed"])
        seen = await db.fetch(SQL["signed_acknowledgements"])
        bare, people = await db.fetch(SQL["unsigned_actions"]), await db.fetch(SQL["people_set"])
        attached = await db.fetch(PRACTITIONER_SQL["signed"])
    faults = [f"action {row['action']}: {row['actor']} signed it with no key, and had no session then" for row in bare]
    faults += _unsigned_people(people)
    faults += attachment_faults(attached)
    faults += [
        f"action {row['action']}: the signature is not {row['actor']}'s over what is stored"
        for row in actions
        if not signing.is_signed_by(row["public_key"] or "", row["signature"], row["body"].encode())
    ]
    faults += [
        f"acknowledgement {row['acknowledgement']}: the signature is not {row['actor']}'s over what is stored"
        for row in seen
        if not signing.is_signed_by(row["public_key"] or "", row["signature"], row["body"].encode())
    ]
    faults += [
        f"{row['what']}: the signature is not {row['actor']}'s over what is stored"
        for row in periods
        if not signing.is_signed_by(row["public_key"] or "", row["signature"], row["body"].encode())
    ]
    for row in loads:
        signature = str(json.loads(row["details"]).get("signature"))
        if not signing.is_signed_by(row["public_key"] or "", signature, _load_message(bytes.fromhex(row["sha256"]))):
            faults.append(f"load {row['load']}: the signature is not {row['actor']}'s over the file that is stored")
    return faults


async def _run(db: asyncpg.Connection, number: int | None) -> Run:
    run = await store.load_run(db, number, lines=False, figures=False)
    if run is None:
        raise NotFound("nothing was reconciled yet: tieout reconcile run")
    return run


def _named(run: Run, identity: str) -> Finding:
    found = [f for f in run.breaks if f.key == identity or (identity and f.id.startswith(identity))]
    if len(found) != 1:
        raise NotFound(f"{identity!r} names {len(found)} breaks of run {run.run}, not one: tieout breaks list")
    return found[0]


async def _worked(db: asyncpg.Connection, run: Run, findings: Sequence[Finding]) -> list[WorkedBreak]:
    keys = [f.key for f in findings]
    lives = {row["key"]: row for row in await db.fetch(SQL["lives"], keys)}
    by_key: dict[str, list[Action]] = {}
    for action in await _actions(db, keys):
        by_key.setdefault(action.key, []).append(action)
    now: datetime = await db.fetchval(SQL["now"])
    symbols = sorted({f.symbol for f in findings})
    calendars = {
        row["symbol"]: Calendar(row["calendar"], tuple(row["closed"]), tuple(row["weekend"]))
        for row in await db.fetch(SQL["calendars"], run.inputs.registry_load, symbols)
    }
    worked = []
    for finding in findings:
        life, actions = lives.get(finding.key), tuple(by_key.get(finding.key, ()))
        since = finding.at or (life["event_at"] if life else None)
        first = life["first_run"] if life else None
        age = age_of(since, run.inputs.as_of_time, calendars.get(finding.symbol))
        worked.append(WorkedBreak(finding, age, first, work_of(actions, now), actions))
    return worked


async def _actions(db: asyncpg.Connection, keys: Sequence[str]) -> list[Action]:
    return [
        Action(**{
            **row,
            "kind": Kind(row["kind"]),
            "shares": None if row["shares"] is None else Fraction(row["shares"]),
        })
        for row in await db.fetch(SQL["actions"], list(keys))
    ]  # fmt: skip


async def shortfall_lines(db: asyncpg.Connection, keys: Sequence[str]) -> tuple[dict[str, Any], ...]:
    """Return the covers that stand and all notifications of some breaks, as a report carries them, in order."""
    rows = {row["action"]: row for row in await db.fetch(SQL["shortfall_actions"], list(keys))}
    actions = await _actions(db, keys)
    works = [work_of([a for a in actions if a.key == key], _EVER) for key in keys]
    kept = [a for work in works for a in (work.cover, *work.notifications) if a is not None]
    return tuple(
        a.to_json() | {name: rows[a.action][name] for name in ("body", "signature", "public_key")}
        for a in sorted(kept, key=lambda a: a.action)
    )


async def _evidence(db: asyncpg.Connection, load: int | None) -> Evidence | None:
    row = None if load is None else await db.fetchrow(SQL["evidence"], load)
    return None if row is None else Evidence(row["load"], row["importer"], tuple(row["used_by"]), tuple(row["covers"]))
