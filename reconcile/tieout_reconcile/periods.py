"""Reporting periods: proposed by one person, signed by another, locked. Pure.

A period (from, to] of the registry is proposed with one stored run, whose slot, batch and load are fixed
from then on, and signed by a second person. What is learned later never changes a locked figure: it is told
beside it, as a later adjustment, and in the next period as a prior-period adjustment.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from fractions import Fraction
from typing import Any

from tieout_reconcile.canonical import canonical_bytes
from tieout_reconcile.errors import NotAllowed
from tieout_reconcile.exact import decimal_text
from tieout_reconcile.registry import instant_text
from tieout_reconcile.reports import signing
from tieout_reconcile.results import Run
from tieout_reconcile.workflow import NOTE_CHARACTERS_MAX, Person

SCHEMA = "tieout/period/1"
ACTION_SCHEMA = "tieout/period-action/1"
FIGURES = (
    "verdict", "supply", "inventory", "in_transit", "circulating", "owed_returns", "owed_forced", "liability_raw",
    "in_flight", "escrowed", "multiplier", "other_chains", "liability", "custody", "unsettled", "difference",
)  # fmt: skip
"""What a period fixes of each instrument, by the names of a run."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,39}")


class PeriodKind(StrEnum):
    """What a person can do about a period that is open."""

    PROPOSE = "propose"
    SIGN = "sign"
    REJECT = "reject"
    ASK_REOPEN = "ask_reopen"
    REOPEN = "reopen"
    ASK_WITHDRAW = "ask_withdraw"
    WITHDRAW = "withdraw"


@dataclass(frozen=True, slots=True)
class PeriodAction:
    """Something that was done about a period. ``public_key`` is its maker's at the time."""

    action: int
    period: str
    kind: PeriodKind
    actor: str
    at: datetime
    note: str | None
    run: int | None
    proposal: int | None
    signature: str
    body: str
    public_key: str | None

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {name: getattr(self, name) for name in self.__slots__} | {"at": instant_text(self.at)}


@dataclass(frozen=True, slots=True)
class Standing:
    """How a period stands.

    ``status``: open, proposed, locked, reopening (asked for), reopened, withdrawing (asked for), withdrawn.
    """

    status: str
    pending: PeriodAction | None
    lock: PeriodAction | None


def standing_of(actions: Iterable[PeriodAction]) -> Standing:
    """Return what stands after some actions."""
    status, pending, lock = "open", None, None
    for action in sorted(actions, key=lambda a: a.action):
        match action.kind:
            case PeriodKind.PROPOSE:
                status, pending = "proposed", action
            case PeriodKind.SIGN:
                status, pending, lock = "locked", None, action
            case PeriodKind.ASK_REOPEN:
                status, pending = "reopening", action
            case PeriodKind.REOPEN:
                status, pending, lock = "reopened", None, None
            case PeriodKind.ASK_WITHDRAW:
                status, pending = "withdrawing", action
            case PeriodKind.WITHDRAW:
                status, pending = "withdrawn", None
            case PeriodKind.REJECT:
                status, pending = "locked" if lock else "open", None
    return Standing(status, pending, lock)


@dataclass(frozen=True, slots=True)
class Evidence:
    """A file that a proposal rests on, and who handed it in."""

    load: int
    kind: str
    importer: str | None


@dataclass(frozen=True, slots=True)
class PeriodCase:
    """A period as it stands when somebody wants to act on it.

    ``before`` is the period before it, where that is not locked; ``after`` the one after it, where that is.
    ``run_fault`` says why the run cannot be its figure. ``key`` is the public key of who acts. ``follower`` is the
    period after it, locked or not; ``locked_once`` says that it was ever signed.
    """

    period: str
    standing: Standing
    evidence: tuple[Evidence, ...] = ()
    before: str | None = None
    after: str | None = None
    run_fault: str | None = None
    key: str | None = None
    follower: str | None = None
    locked_once: bool = False


def refuse_period(name: str, from_at: datetime, to_at: datetime, last: tuple[str, datetime] | None) -> None:
    """Raise NotAllowed for a period that has no proper name, ends before it begins, or leaves a gap or an overlap."""
    if not _NAME.fullmatch(name):
        raise NotAllowed(f"{name!r} is no name of a period: letters, digits, point, dash, underscore, at most 40")
    if from_at >= to_at:
        raise NotAllowed(f"a period ends after it begins: from {instant_text(from_at)}, to {instant_text(to_at)}")
    if last is not None and from_at != last[1]:
        raise NotAllowed(
            f"the period {last[0]} ends at {instant_text(last[1])}: the next one begins there, "
            f"not at {instant_text(from_at)}"
        )


def refuse_period_action(kind: PeriodKind, person: Person, case: PeriodCase, note: str | None = None) -> None:
    """Raise NotAllowed, saying why and what to do, unless this person may do this to the period now."""
    if note is not None and len(note) > NOTE_CHARACTERS_MAX:
        raise NotAllowed(f"the note has {len(note)} characters, at most {NOTE_CHARACTERS_MAX} are taken")
    asks = (PeriodKind.PROPOSE, PeriodKind.ASK_REOPEN, PeriodKind.ASK_WITHDRAW)
    needed = "preparer" if kind in asks else "approver"
    if needed not in person.roles:
        has = ", ".join(person.roles) or "no role"
        raise NotAllowed(f"{person.name} has {has}: to {words(kind)} needs the role {needed}")
    match kind:
        case PeriodKind.PROPOSE:
            _refuse_proposal(case)
        case PeriodKind.ASK_REOPEN:
            _refuse_asking(case, note)
        case PeriodKind.ASK_WITHDRAW:
            _refuse_withdrawing(case, note)
        case PeriodKind.WITHDRAW:
            _refuse_decision(kind, person, case)
            _refuse_following(case)
        case PeriodKind.SIGN | PeriodKind.REJECT | PeriodKind.REOPEN:
            _refuse_decision(kind, person, case)


def words(kind: PeriodKind) -> str:
    """Return what a person does, for a sentence."""
    return {"ask_reopen": "ask to reopen", "ask_withdraw": "ask to withdraw"}.get(kind, str(kind)) + " a period"


def _refuse_proposal(case: PeriodCase) -> None:
    if case.standing.status not in ("open", "reopened"):
        raise NotAllowed(f"the period {case.period} is {case.standing.status}: nothing can be proposed for it")
    if case.before is not None:
        raise NotAllowed(f"the period before, {case.before}, is not locked: sign it first, its closing is the opening")
    if case.run_fault is not None:
        raise NotAllowed(case.run_fault)


def _refuse_asking(case: PeriodCase, note: str | None) -> None:
    if case.standing.status != "locked":
        raise NotAllowed(f"the period {case.period} is {case.standing.status}: only a locked one is reopened")
    if not note or not note.strip():
        raise NotAllowed("reopening a locked period needs a reason: --note")
    if case.after is not None:
        raise NotAllowed(f"the period after, {case.after}, is locked on its closing: reopen that one first")


def _refuse_withdrawing(case: PeriodCase, note: str | None) -> None:
    if case.locked_once:
        raise NotAllowed(f"the period {case.period} was locked once: it is reopened and restated, never withdrawn")
    if case.standing.status != "open":
        raise NotAllowed(f"the period {case.period} is {case.standing.status}: reject what waits on it first")
    if not note or not note.strip():
        raise NotAllowed("withdrawing a period needs a reason: --note")
    _refuse_following(case)


def _refuse_following(case: PeriodCase) -> None:
    if case.follower is not None:
        raise NotAllowed(f"the period {case.follower} begins where {case.period} ends: withdraw that one first")


def _refuse_decision(kind: PeriodKind, person: Person, case: PeriodCase) -> None:
    pending = case.standing.pending
    wanted = {PeriodKind.SIGN: (PeriodKind.PROPOSE,), PeriodKind.REOPEN: (PeriodKind.ASK_REOPEN,),
              PeriodKind.WITHDRAW: (PeriodKind.ASK_WITHDRAW,)}  # fmt: skip
    if pending is None or pending.kind not in wanted.get(kind, tuple(PeriodKind)):
        raise NotAllowed(f"nothing waits on the period {case.period} to {kind}: it is {case.standing.status}")
    if pending.actor == person.name or (case.key is not None and case.key == pending.public_key):
        raise NotAllowed(f"{person.name} made action {pending.action} on it: somebody else must {kind}")
    if kind is PeriodKind.SIGN:
        for evidence in case.evidence:
            _refuse_evidence(person, evidence)


def _refuse_evidence(person: Person, evidence: Evidence) -> None:
    if evidence.importer is None:
        raise NotAllowed(
            f"nobody is known to have handed in load {evidence.load} ({evidence.kind}): hand the same file in again "
            "under a key (--key), so that who signs is not who handed it in"
        )
    if evidence.importer == person.name:
        raise NotAllowed(f"{person.name} handed in load {evidence.load}: somebody else must sign on it")


def plain_of(run: Run) -> dict[str, Any]:
    """Return what a period fixes of a run as plain values; none of its movements, of which there may be millions."""
    instruments = [
        {"symbol": i.symbol, **{name: _plain(getattr(i, name)) for name in FIGURES}} for i in run.instruments
    ]
    return {"instruments": instruments, "findings": [f.to_json() for f in run.findings]}


def _plain(value: Any) -> str | None:
    if value is None:
        return None
    return decimal_text(value) if isinstance(value, Fraction) else str(value)


def figures_of(run: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return a run's figures by symbol, from its plain values."""
    return {i["symbol"]: {name: i[name] for name in FIGURES} for i in run["instruments"]}


def breaks_of(run: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the breaks of a run, from its plain values: what each is, and of what size."""
    names = ("key", "code", "symbol", "raw", "shares", "summary")
    return [{name: f[name] for name in names} for f in run["findings"] if f["severity"] == "break"]


def differences(
    locked: Mapping[str, Mapping[str, Any]], restated: Mapping[str, Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Return each figure that is another now: both values, and their difference where both are numbers."""
    found = []
    for symbol in sorted(locked.keys() | restated.keys()):
        was, now = locked.get(symbol, {}), restated.get(symbol, {})
        found += [
            {"symbol": symbol, "figure": name, "locked": was.get(name), "restated": now.get(name),
             "difference": _difference(name, was.get(name), now.get(name))}
            for name in FIGURES
            if was.get(name) != now.get(name)
        ]  # fmt: skip
    return found


def _difference(name: str, was: str | None, now: str | None) -> str | None:
    if name == "verdict" or was is None or now is None:
        return None
    return decimal_text(Fraction(now) - Fraction(was))


def content_sha256(content: Mapping[str, Any]) -> str:
    """Return the digest of what is signed."""
    return hashlib.sha256(canonical_bytes(content)).hexdigest()


def action_body(
    kind: PeriodKind,
    actor: str,
    period: str,
    after: int,
    genesis_hash: str | None,
    sha256: str | None,
    proposal: int | None,
    note: str | None,
) -> dict[str, Any]:
    """Return what somebody signs: what they do, to what, on which chain's books, after which action on the period."""
    return {"schema": ACTION_SCHEMA, "kind": str(kind), "actor": actor, "period": period, "after": after,
            "genesis_hash": genesis_hash, "content_sha256": sha256, "proposal": proposal, "note": note}  # fmt: skip


def carried(before: Mapping[str, Any] | None, breaks: Sequence[Mapping[str, Any]]) -> dict[str, list[str]]:
    """Return the keys of breaks that the period before left open: still there, and gone since."""
    left = [] if before is None else [b["key"] for b in before["breaks"]]
    here = {b["key"] for b in breaks}
    return {"carried_forward": [k for k in left if k in here], "cleared": [k for k in left if k not in here]}


def sign_off_faults(
    sign_off: Mapping[str, Any], run: Mapping[str, Any], rolled: Sequence[Mapping[str, Any]],
    before: Mapping[str, Any] | None,
) -> list[str]:  # fmt: skip
    """Return what does not hold of a locked period's sign-off beside the run that was computed again.

    Two persons with two keys signed this very content; it fixes this run, its figures and its breaks; what it
    opens with is what ``before`` (the sign-off of the period before, where it is given) closed with; and what
    the events show outside at its opening differs from that by the adjustments that are told, and by no more.
    """
    content, made, signed = sign_off["content"], sign_off["proposed"], sign_off["signed"]
    faults = [fault for kind, one in ((PeriodKind.PROPOSE, made), (PeriodKind.SIGN, signed))
              if (fault := _signature_fault(kind, one, content, made["action"])) is not None]  # fmt: skip
    if made["actor"] == signed["actor"] or made["public_key"] == signed["public_key"]:
        faults.append(f"{made['actor']} proposed and signed it alone")
    if any(content["run"][name] != run["inputs"][of] for name, of in _RUN_INPUTS.items()):
        faults.append("it was signed for another run than this one")
    if content["figures"] != figures_of(run):
        faults.append("the figures that were signed are not those of the run")
    told = [{name: b[name] for name in b if name != "work"} for b in content["breaks"]]
    if told != breaks_of(run):
        faults.append("the breaks that were signed are not those of the run")
    return faults + _opening_faults(content, rolled, before)


_RUN_INPUTS = {"slot": "as_of_slot", "time": "as_of_time", "blockhash": "blockhash", "batch": "known_batch",
               "batch_hash": "batch_hash", "load": "known_load", "loads_sha256": "loads_sha256",
               "registry_load": "registry_load"}  # fmt: skip


def _signature_fault(
    kind: PeriodKind, one: Mapping[str, Any], content: Mapping[str, Any], proposal: int
) -> str | None:  # fmt: skip
    body = json.loads(one["body"])
    wanted = {"schema": ACTION_SCHEMA, "kind": str(kind), "actor": one["actor"], "period": content["period"],
              "content_sha256": content_sha256(content),
              "proposal": proposal if kind is PeriodKind.SIGN else None}  # fmt: skip
    odd = [name for name, value in wanted.items() if body.get(name) != value]
    if odd:
        return f"what {one['actor']} signed ({kind}) says another {odd[0]}"
    if not signing.is_signed_by(one["public_key"] or "", one["signature"], one["body"].encode()):
        return f"the signature of {one['actor']} ({kind}) is not that of {one['public_key']}"
    return None


def _opening_faults(
    content: Mapping[str, Any], rolled: Sequence[Mapping[str, Any]], before: Mapping[str, Any] | None
) -> list[str]:  # fmt: skip
    opening = content["opening"]
    if opening is None:
        return [] if before is None else ["it opens with nothing, and there is a period before"]
    faults = []
    if before is not None and opening["content_sha256"] != content_sha256(before["content"]):
        faults.append(f"it does not open with what {before['content']['period']} closed with")
    told = {
        d["symbol"]: int(d["difference"])
        for d in opening["prior_period_adjustments"]["differences"]
        if d["figure"] == "circulating" and d["difference"] is not None
    }
    for one in rolled:
        locked = opening["figures"].get(one["symbol"], {}).get("circulating")
        if locked is None:
            continue
        odd = int(one["outside_raw"]["opening"]) - int(locked) - told.get(one["symbol"], 0)
        if odd:
            faults.append(f"{one['symbol']} opens {odd} raw off what the period before closed with, and is not told")
    return faults
