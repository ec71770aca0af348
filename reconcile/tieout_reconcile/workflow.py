"""The work on a break: who may do what next, and what stands. Pure.

A break is closed by evidence alone: a run that no longer finds it. People assign it, explain it in words,
and propose one line of a closed list for a quantity, with a document and an expiry; a second person
approves or rejects. For a shortfall they record which own assets cover it, and who was told. None of this
changes a figure, a verdict or the age of a shortfall.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from fractions import Fraction
from typing import Any

from tieout_reconcile.canonical import to_plain
from tieout_reconcile.errors import NotAllowed

EXPIRY_DAYS_MAX = 40
NOTE_CHARACTERS_MAX = 2000
ASSETS_CHARACTERS_MAX = 500


class Kind(StrEnum):
    """What a person can do with a break."""

    ASSIGN = "assign"
    EXPLAIN = "explain"
    PROPOSE = "propose"
    APPROVE = "approve"
    REJECT = "reject"
    REOPEN = "reopen"
    COVER = "cover"
    NOTIFY = "notify"


LINES: Mapping[str, str] = {
    "unsettled_trade": "a trade that a custodian or broker evidences, before its settlement date",
    "journal_before_mint": "shares booked before their tokens were released",
    "redemption_in_process": "tokens received, the share journal not yet booked",
    "corporate_action_receivable": "shares to come from a corporate action, with its pay date",
    "split_not_yet_booked": "a split in force on chain that the custodian has yet to book",
    "bridge_in_flight": "burned on one chain, not yet minted on the other",
    "custodian_error_confirmed": "an error that the custodian confirmed in writing",
    "own_assets_cover": "a shortfall covered from the issuer's own assets, until it is made good",
}
"""The closed list of explanations, each with what it means."""


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody with a name, roles and perhaps a public key of their own."""

    name: str
    roles: tuple[str, ...]
    public_key: str | None


@dataclass(frozen=True, slots=True)
class Wish:
    """What somebody wants to do. ``shares`` is positive; ``document`` is the load that evidences it.

    A cover names ``assets``, from ``since`` on; a notification its ``recipient``, who was told at ``since``.
    """

    key: str
    kind: Kind
    note: str | None = None
    assignee: str | None = None
    line: str | None = None
    document: int | None = None
    shares: Fraction | None = None
    expires_at: datetime | None = None
    proposal: int | None = None
    assets: str | None = None
    since: datetime | None = None
    recipient: str | None = None

    def body(self, actor: str, after: int, genesis_hash: str | None) -> dict[str, Any]:
        """Return what the actor signs: the wish, who, on which chain's books, after which action on this break."""
        signed = {"schema": "tieout/action/1", "actor": actor, "after": after, "genesis_hash": genesis_hash}
        return signed | to_plain(self)


@dataclass(frozen=True, slots=True)
class Action:
    """A wish that was granted."""

    action: int
    key: str
    kind: Kind
    actor: str
    at: datetime
    note: str | None = None
    assignee: str | None = None
    line: str | None = None
    document: int | None = None
    shares: Fraction | None = None
    expires_at: datetime | None = None
    proposal: int | None = None
    assets: str | None = None
    since: datetime | None = None
    recipient: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return to_plain(self)


@dataclass(frozen=True, slots=True)
class Work:
    """What stands after some actions. ``status``: open, assigned, proposed, explained, expired, reopened.

    ``cover`` is the last one recorded, which takes the place of any before it.
    """

    status: str
    assignee: str | None
    pending: Action | None
    accepted: tuple[Action, ...] = field(default=())
    cover: Action | None = None
    notifications: tuple[Action, ...] = field(default=())

    @property
    def explained_shares(self) -> Fraction:
        """How much of the break accepted lines explain, as of the instant asked for."""
        return sum((a.shares or Fraction(0) for a in self.accepted), Fraction(0))

    @property
    def covered_shares(self) -> Fraction:
        """How much of the shortfall own assets cover: it is still a shortfall."""
        return Fraction(0) if self.cover is None else self.cover.shares or Fraction(0)


def work_of(actions: Sequence[Action], at: datetime) -> Work:
    """Return what stands at an instant. A reopened break starts anew; an expired line explains nothing any more.

    Cover and notifications are facts: reopening leaves them.
    """
    by_number = {a.action: a for a in actions}
    status, assignee, pending, cover = "open", None, None, None
    accepted: list[Action] = []
    notifications: list[Action] = []
    for action in sorted(actions, key=lambda a: a.action):
        match action.kind:
            case Kind.ASSIGN:
                assignee = action.assignee
                status = "assigned" if status in ("open", "reopened") else status
            case Kind.PROPOSE:
                pending, status = action, "proposed"
            case Kind.APPROVE | Kind.REJECT:
                if action.kind is Kind.APPROVE and action.proposal is not None:
                    accepted.append(by_number[action.proposal])
                pending = None
                status = "explained" if accepted else "assigned" if assignee else "open"
            case Kind.REOPEN:
                status, pending = "reopened", None
                accepted.clear()
            case Kind.COVER:
                cover = action
            case Kind.NOTIFY:
                notifications.append(action)
            case Kind.EXPLAIN:
                pass
    standing = tuple(a for a in accepted if a.expires_at is None or a.expires_at > at)
    if status == "explained" and not standing:
        status = "expired"
    return Work(status, assignee, pending, standing, cover, tuple(notifications))


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known of a load that somebody names: who handed it in, and where it counts already.

    ``used_by``: the breaks that it explains; ``covers``: those that own assets cover on its evidence.
    """

    load: int
    importer: str | None
    used_by: tuple[str, ...]
    covers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Case:
    """A break as it stands when somebody wants to act on it. ``size`` is its quantity in shares, if it has one."""

    key: str
    size: Fraction | None
    actions: tuple[Action, ...]
    evidence: Evidence | None
    now: datetime


def refuse_unless_allowed(wish: Wish, person: Person, case: Case, people: Iterable[Person]) -> None:
    """Raise NotAllowed, saying why and what to do, unless this person may do this now."""
    work = work_of(case.actions, case.now)
    if wish.note is not None and len(wish.note) > NOTE_CHARACTERS_MAX:
        raise NotAllowed(f"the note has {len(wish.note)} characters, at most {NOTE_CHARACTERS_MAX} are taken")
    needed = "approver" if wish.kind in (Kind.APPROVE, Kind.REJECT) else "preparer"
    if needed not in person.roles:
        has = ", ".join(person.roles) or "no role"
        raise NotAllowed(f"{person.name} has {has}: to {wish.kind} needs the role {needed}")
    match wish.kind:
        case Kind.ASSIGN:
            known = {p.name for p in people if p.roles}
            if wish.assignee not in known:
                raise NotAllowed(f"{wish.assignee!r} is nobody here: tieout people list shows who is")
        case Kind.EXPLAIN:
            if not wish.note:
                raise NotAllowed("an explanation in words needs words: --note")
        case Kind.PROPOSE:
            _refuse_proposal(wish, case, work)
        case Kind.APPROVE | Kind.REJECT:
            _refuse_decision(wish, person, case, work)
        case Kind.COVER:
            _refuse_cover(wish, case)
        case Kind.NOTIFY:
            _refuse_notification(wish, case)
        case Kind.REOPEN:
            if work.status in ("open", "assigned", "reopened"):
                raise NotAllowed(f"the break is {work.status} already: there is nothing to reopen")


def _refuse_proposal(wish: Wish, case: Case, work: Work) -> None:
    if wish.line not in LINES:
        raise NotAllowed(f"{wish.line!r} is not one of the lines {', '.join(LINES)}")
    if work.pending is not None:
        raise NotAllowed(f"proposal {work.pending.action} by {work.pending.actor} waits for its decision first")
    if case.evidence is None or wish.shares is None or wish.expires_at is None:
        raise NotAllowed("a proposal needs a document (the load of an imported file), a quantity and an expiry")
    if case.evidence.used_by:
        raise NotAllowed(f"load {wish.document} explains {case.evidence.used_by[0]} already: evidence counts once")
    if case.size is None:
        raise NotAllowed(
            "this break has no quantity in shares, so no quantity of it can be explained: explain it in words"
        )
    rest = abs(case.size) - work.explained_shares
    if not 0 < wish.shares <= rest:
        raise NotAllowed(f"{wish.shares} shares are not within the unexplained rest of the break, {rest}")
    latest = case.now + timedelta(days=EXPIRY_DAYS_MAX)
    if not case.now < wish.expires_at <= latest:
        raise NotAllowed(f"the expiry {wish.expires_at} is not within the next {EXPIRY_DAYS_MAX} days")


def _refuse_cover(wish: Wish, case: Case) -> None:
    if case.size is None or case.size >= 0:
        raise NotAllowed("this break is no shortfall: own assets cover a shortfall alone")
    if not wish.assets or wish.since is None or case.evidence is None or wish.shares is None or wish.shares <= 0:
        raise NotAllowed(
            "a cover needs which assets, since when, for how many shares, and a document (the load of an imported file)"
        )
    _refuse_long(wish.assets, "which assets")
    _refuse_ahead(wish.since, case.now)
    others = [key for key in case.evidence.covers if key != case.key]
    if others:
        raise NotAllowed(f"load {wish.document} covers {others[0]} already: the same assets cover one shortfall")


def _refuse_notification(wish: Wish, case: Case) -> None:
    if not wish.recipient or wish.since is None or case.evidence is None:
        raise NotAllowed("a notification needs to whom, when, and a document (the load of an imported file)")
    _refuse_long(wish.recipient, "to whom")
    _refuse_ahead(wish.since, case.now)


def _refuse_long(text: str, what: str) -> None:
    if len(text) > ASSETS_CHARACTERS_MAX:
        raise NotAllowed(f"{what} has {len(text)} characters, at most {ASSETS_CHARACTERS_MAX} are taken")


def _refuse_ahead(since: datetime, now: datetime) -> None:
    if since > now:
        raise NotAllowed(f"{since} has not come yet: what is recorded is what happened")


def _refuse_decision(wish: Wish, person: Person, case: Case, work: Work) -> None:
    pending = work.pending
    if pending is None or pending.action != wish.proposal:
        waiting = "none waits" if pending is None else f"proposal {pending.action} waits"
        raise NotAllowed(f"there is no proposal {wish.proposal} to {wish.kind} on this break: {waiting}")
    if pending.actor == person.name:
        raise NotAllowed(f"{person.name} made proposal {pending.action}: somebody else must {wish.kind} it")
    if wish.kind is Kind.REJECT:
        return
    if case.evidence is None or case.evidence.importer is None:
        raise NotAllowed(
            f"nobody is known to have handed in load {pending.document}: import the document under a key "
            "(--key), so that who approves is not who handed it in"
        )
    if case.evidence.importer == person.name:
        raise NotAllowed(f"{person.name} handed in load {pending.document}: somebody else must approve on it")
    if pending.expires_at is not None and pending.expires_at <= case.now:
        raise NotAllowed(f"proposal {pending.action} expired at {pending.expires_at}: reject it, and propose anew")
