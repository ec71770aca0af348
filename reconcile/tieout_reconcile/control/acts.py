"""What the issuer does beside crossings: mints into its own wallets, and changes of control. Pure.

A mint into treasury or inventory needs a completed inventory order of its quantity that names it, or that it
names; nothing is guessed by quantity. A step of the multiplier needs a corporate action that announced it, a freeze, a
pause, another hook or default state an entry of the registry (``surprises``). A change of an authority is
announced by nothing, so that it always alarms: until the authority is handed back.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from fractions import Fraction
from math import floor

from tieout_reconcile.chain_findings import act_text
from tieout_reconcile.control.alerts import RUNBOOK, TEXT_CHARACTERS_MAX, Alert
from tieout_reconcile.control.judging import Alarm, Judgement
from tieout_reconcile.corporate import CorporateAction
from tieout_reconcile.exact import decimal_text, rounded_text
from tieout_reconcile.facts import ControlAct, MultiplierStep, Position
from tieout_reconcile.findings import order_text, shares_text
from tieout_reconcile.orders import Order
from tieout_reconcile.registry import ANNOUNCED, Instrument, instant_text
from tieout_reconcile.surprises import Surprise
from tieout_reconcile.three_way import Paired, Step, is_wrong_rate, pair, steps_of

INVENTORY_MINT, AUTHORITY, MULTIPLIER = "inventory_mint", "authority", "multiplier"
ON_ACCOUNTS = ("freeze", "thaw")
CONTROLS = (AUTHORITY, MULTIPLIER, *ANNOUNCED)
_GRAVE = ("pause", "hook")
"""These touch every holder at once; the others are a warning."""
_POWERS = {
    "mint_tokens": "mint", "freeze_account": "freeze", "pause": "pause", "permanent_delegate": "seize and burn",
    "scaled_ui_amount": "set the multiplier",
}  # fmt: skip
"""The authorities whose holder can change what is owed or who can use it; the others are a warning."""
_EVER = datetime.max.replace(tzinfo=UTC)
_PLACES = 12


@dataclass(frozen=True, slots=True)
class Act:
    """A mint into the issuer's wallets, or a control. ``raw``, ``unit``, ``account``, ``owner``: of a mint."""

    key: str
    mint: str
    kind: str
    position: Position
    signature: str
    at: datetime
    raw: int | None = None
    unit: Fraction | None = None
    account: str | None = None
    owner: str | None = None
    memo: str | None = None
    authority: str | None = None
    details: Mapping[str, str | None] | None = None

    @property
    def power(self) -> str:
        """Which authority changed hands."""
        return str((self.details or {}).get("type"))

    @property
    def new(self) -> str | None:
        """Who has it now; None: nobody, for good."""
        return (self.details or {}).get("new")


def judge_mints(
    instrument: Instrument, acts: Mapping[int, Act], names: Mapping[int, frozenset[str]], orders: Sequence[Order],
    now: datetime,
) -> dict[int, Judgement]:  # fmt: skip
    """Judge an instrument's mints into its own wallets, all that name the same orders together, the first first."""
    allowed = {o.request_id: o for o in orders if o.side == "inventory" and o.mint == instrument.mint}
    signed = {o.signature: o for o in allowed.values() if o.signature is not None}
    used: set[str] = set()
    judged = {}
    for number, act in sorted(acts.items(), key=lambda item: item[1].position):
        named = next((allowed[r] for r in sorted(names[number]) if r in allowed), None)
        order = named or signed.get(act.signature)
        judged[number] = _mint(instrument, act, order, used, now)
    return judged


def _mint(instrument: Instrument, act: Act, order: Order | None, used: set[str], now: datetime) -> Judgement:
    if order is None:
        return _unauthorised(instrument, act, "no_order", "and no inventory order names it by request id or signature")
    text = order_text(order, instrument)
    status = order.status_at(now)
    if status != "completed":
        return _unauthorised(instrument, act, f"order_{status}", f"under {text}, which is {status}", order)
    if order.request_id in used:
        return _unauthorised(instrument, act, "order_filled", f"under {text}, which an earlier mint used up", order)
    used.add(order.request_id)
    if (wanted := _raw(order, act)) is None:
        why = f"under {text}: no multiplier is known to be in force"
        return _unauthorised(instrument, act, "multiplier_unknown", why, order)
    if wanted != act.raw:
        return _unauthorised(instrument, act, "other_quantity", f"under {text}, which is for {wanted} raw", order)
    return Judgement(None, "order", "", order.request_id)


def _raw(order: Order, act: Act) -> int | None:
    if order.raw is not None:
        return order.raw
    return None if order.shares is None or act.unit is None else floor(order.shares / act.unit)


def unread_mint(instrument: Instrument, act: Act, problem: str) -> Judgement:
    """Judge a mint while the order source cannot be relied on: it is unauthorised, whatever it names."""
    return _unauthorised(instrument, act, "stale_source", f"and no fresh order speaks for it: {problem}")


def _unauthorised(instrument: Instrument, act: Act, reason: str, why: str, order: Order | None = None) -> Judgement:
    shares = None if act.unit is None or act.raw is None else act.raw * act.unit
    text = f"{shares_text(shares, instrument, act.raw)} minted into the issuer's account {act.account} {_where(act)}"
    return Judgement(Alarm.INVENTORY, reason, f"{text}, {why}", None if order is None else order.request_id)


def judge_authorities(instrument: Instrument, acts: Mapping[int, Act]) -> dict[int, Judgement]:
    """Judge all changes of an instrument's authorities: each alarms until what it took is handed back."""
    ordered = sorted(acts.items(), key=lambda item: item[1].position)
    undone: set[int] = set()
    open_: dict[str, list[tuple[int, Act]]] = {}
    for number, act in ordered:
        waiting = open_.setdefault(act.power, [])
        # through however many hands it came back to whom it was taken from
        back = [place for place, (_, one) in enumerate(waiting) if act.new is not None and one.authority == act.new]
        if back:
            undone |= {number, *(taken for taken, _ in waiting[back[-1] :])}
            del waiting[back[-1] :]
        else:
            waiting.append((number, act))
    return {n: Judgement(None, "handed_back", "") if n in undone else _authority(instrument, a) for n, a in ordered}


def _authority(instrument: Instrument, act: Act) -> Judgement:
    may = _POWERS.get(act.power)
    what = f"the authority {act.power.replace('_', ' ')}" + ("" if may is None else f" (who may {may})")
    whose = "nobody, for good" if act.new is None else act.new
    text = f"{instrument.symbol}: {what} went from {act.authority} to {whose} {_where(act)}"
    return Judgement(Alarm.AUTHORITY, "authority_changed", text)


def judge_multipliers(
    instrument: Instrument, acts: Mapping[int, Act], steps: Sequence[MultiplierStep], actions: Sequence[CorporateAction]
) -> dict[int, Judgement]:
    """Judge the settings of an instrument's multiplier by the corporate actions declared for its ISINs.

    The first setting, a repetition of the same number, and one that was replaced before its time change nothing.
    """
    standing, _ = steps_of(steps, _EVER)
    found = {p.step.announced.position: p for p in pair(actions, standing) if p.step is not None}
    return {n: _multiplier(instrument, act, found.get(act.position)) for n, act in acts.items()}


def _multiplier(instrument: Instrument, act: Act, paired: Paired | None) -> Judgement:
    if paired is None or paired.step is None:
        return Judgement(None, "no_step", "")
    step, action = paired.step, paired.action
    if action is None:
        return _step(instrument, act, step, "no_action", "and no corporate action announced it")
    if action.status != "announced":
        return _step(instrument, act, step, "action_cancelled", f"and {action.action_id} was cancelled")
    if is_wrong_rate(action, step):
        return _step(instrument, act, step, "wrong_rate", f"and {action.action_id} says {action.factor}")
    if step.is_backdated:
        return _step(instrument, act, step, "backdated", "made after the instant that it names")
    if action.announced_at > step.at:
        said = instant_text(action.announced_at)
        return _step(instrument, act, step, "announced_late", f"and {action.action_id} was announced at {said} only")
    return Judgement(None, "announced", "", action.action_id)


def _step(instrument: Instrument, act: Act, step: Step, reason: str, why: str) -> Judgement:
    ratio = rounded_text(step.ratio, _PLACES)
    text = f"{instrument.symbol}: the multiplier steps by {ratio} at {instant_text(step.at)}, {why} {_where(act)}"
    return Judgement(Alarm.MULTIPLIER, reason, text)


def judge_controls(instrument: Instrument, acts: Mapping[int, Act], found: Sequence[Surprise]) -> dict[int, Judgement]:
    """Judge an instrument's freezes, pauses, hooks and default states by what of them nothing announced.

    One that was undone since, or that an announced one followed, alarms no more.
    """
    waiting = {one.act.position: one.act for one in found if not one.undone}
    return {
        n: _control(instrument, act, waiting[act.position])
        if act.position in waiting
        else Judgement(None, "announced", "")
        for n, act in acts.items()
    }


def _control(instrument: Instrument, act: Act, row: ControlAct) -> Judgement:
    text = f"{instrument.symbol}: {act_text(row)} by {act.authority} {_where(act)}, and nothing announced it"
    return Judgement(Alarm.CONTROL, "not_announced", text)


def act_alert(act: Act, number: int, instrument: Instrument, judgement: Judgement) -> Alert:
    """Return the alert of an act that nothing authorised."""
    assert judgement.alarm is not None
    grave = act.kind not in ANNOUNCED or act.kind in _GRAVE
    critical = act.power in _POWERS if act.kind == AUTHORITY else grave
    labels = {
        "alertname": str(judgement.alarm),
        "severity": "critical" if critical else "warning",
        "symbol": instrument.symbol,
        "mint": instrument.mint,
        "kind": act.power if act.kind == AUTHORITY else act.kind,
        "act": act.key,
    }
    said = {
        "summary": judgement.text[:TEXT_CHARACTERS_MAX],
        "reason": judgement.reason,
        "raw": None if act.raw is None else str(act.raw),
        "shares": None if act.raw is None or act.unit is None else decimal_text(act.raw * act.unit),
        "at": instant_text(act.at),
        "slot": str(act.position.slot),
        "signature": act.signature,
        "authority": act.authority,
        "account": act.account if act.kind in ON_ACCOUNTS else None,
        "new_authority": act.new if act.kind == AUTHORITY else None,
        "request_id": judgement.request_id,
        "runbook": f"{RUNBOOK}#actsunauthorised",
    }
    annotations = {name: text for name, text in said.items() if text is not None}
    return Alert(labels, annotations, judgement.reason, instrument.mint, act=number)


def _where(act: Act) -> str:
    return f"in transaction {act.signature} at slot {act.position.slot}"
