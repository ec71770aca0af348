"""``tieout breaks``: what does not tie out, one by one, and the work on it."""

from datetime import UTC, datetime, timedelta
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any

import typer

from tieout import exits, settings
from tieout.commands.options import BIGINT_MAX, Dsn, Json, group, instant, run
from tieout.output import OUTPUT, shares, table

APP = group("Breaks: what does not tie out, one by one, and the work on it.")
RunNumber = Annotated[int | None, typer.Option("--run", min=1, max=BIGINT_MAX, help="The run; the latest by default.")]
Identity = Annotated[str, typer.Argument(help="The break's id, or the beginning of it.")]
Key = Annotated[Path, typer.Option("--key", help="Your personal key file: it says who you are, and signs the action.")]
Note = Annotated[str | None, typer.Option("--note", help="In your words; it changes no figure.")]
Proposal = Annotated[int, typer.Option("--proposal", min=1, max=BIGINT_MAX, help="The proposal's number.")]
Document = Annotated[
    int, typer.Option("--document", min=1, max=BIGINT_MAX, help="The load of the imported file that evidences it.")
]


@APP.command("list")
def list_(number: RunNumber = None, dsn: Dsn = None, as_json: Json = False) -> None:
    """List the breaks of a run with their age and the work on them. Exit 1 when there are any."""
    from tieout_reconcile import worked_breaks

    found = run(worked_breaks(settings.database_dsn(dsn), number))
    rows = (
        (
            w.finding.id,
            w.finding.code,
            w.finding.symbol,
            _age(w),
            w.work.status,
            w.work.assignee or "",
            _cover(w),
            w.finding.summary,
        )
        for w in found
    )
    shown = table("", ("id", "code", "instrument", "age", "status", "assignee", "cover", "what"), rows)
    OUTPUT.result({"breaks": [w.to_json() for w in found]}, shown if found else "no break")
    if found:
        raise exits.Found


@APP.command()
def show(identity: Identity, number: RunNumber = None, dsn: Dsn = None, as_json: Json = False) -> None:
    """Show one break with its evidence, its age, and all that was done about it."""
    from tieout_reconcile import worked_break

    _show(run(worked_break(settings.database_dsn(dsn), identity, number)))


@APP.command()
def assign(
    identity: Identity,
    to: Annotated[str, typer.Option("--to", help="The name of who takes it on.")],
    key: Key,
    note: Note = None,
    dsn: Dsn = None,
    as_json: Json = False,
) -> None:
    """Give a break to somebody."""
    _act(dsn, key, identity, "assign", assignee=to, note=note)


@APP.command()
def explain(
    identity: Identity,
    note: Annotated[str, typer.Option("--note", help="In your words; it changes no figure and stops no clock.")],
    key: Key,
    dsn: Dsn = None,
    as_json: Json = False,
) -> None:
    """Say in words what a break is about."""
    _act(dsn, key, identity, "explain", note=note)


@APP.command()
def propose(
    identity: Identity,
    line: Annotated[str, typer.Option("--line", help="A line of the closed list; tieout breaks lines shows it.")],
    document: Document,
    quantity: Annotated[str, typer.Option("--shares", help="How much of the break it explains, in shares.")],
    key: Key,
    days: Annotated[int, typer.Option("--days", min=1, max=40, help="For how many days it may stand.")] = 7,
    note: Note = None,
    dsn: Dsn = None,
    as_json: Json = False,
) -> None:
    """Propose a line that explains a quantity of a break; somebody else has to approve it."""
    expires_at = datetime.now(UTC) + timedelta(days=days)
    wanted = {"line": line, "document": document, "shares": _quantity(quantity), "expires_at": expires_at}
    _act(dsn, key, identity, "propose", note=note, **wanted)


@APP.command()
def cover(
    identity: Identity,
    assets: Annotated[str, typer.Option("--assets", help="Which own assets cover the shortfall.")],
    since: Annotated[str, typer.Option("--since", help="Since when, an instant with its zone (ISO 8601).")],
    quantity: Annotated[str, typer.Option("--shares", help="How much of the shortfall they cover, in shares.")],
    document: Document,
    key: Key,
    note: Note = None,
    dsn: Dsn = None,
    as_json: Json = False,
) -> None:
    """Record which own assets cover a shortfall; it stays one. A later cover takes the place of the one before."""
    wanted = {"assets": assets, "since": instant("--since", since), "shares": _quantity(quantity)}
    _act(dsn, key, identity, "cover", document=document, note=note, **wanted)


@APP.command()
def notify(
    identity: Identity,
    to: Annotated[str, typer.Option("--to", help="Who was told.")],
    when: Annotated[str, typer.Option("--at", help="When, an instant with its zone (ISO 8601).")],
    document: Document,
    key: Key,
    note: Note = None,
    dsn: Dsn = None,
    as_json: Json = False,
) -> None:
    """Record that somebody was told of a break: to whom, when, by which document."""
    _act(dsn, key, identity, "notify", recipient=to, since=instant("--at", when), document=document, note=note)


@APP.command()
def approve(
    identity: Identity, proposal: Proposal, key: Key, note: Note = None, dsn: Dsn = None, as_json: Json = False
) -> None:
    """Approve a proposal: never your own, nor on a document that you handed in."""
    _act(dsn, key, identity, "approve", proposal=proposal, note=note)


@APP.command()
def reject(
    identity: Identity, proposal: Proposal, key: Key, note: Note = None, dsn: Dsn = None, as_json: Json = False
) -> None:
    """Reject a proposal."""
    _act(dsn, key, identity, "reject", proposal=proposal, note=note)


@APP.command()
def reopen(identity: Identity, key: Key, note: Note = None, dsn: Dsn = None, as_json: Json = False) -> None:
    """Take back what was accepted: the break is open again, and always kept its age."""
    _act(dsn, key, identity, "reopen", note=note)


@APP.command()
def lines(as_json: Json = False) -> None:
    """List the lines that a proposal can name."""
    from tieout_reconcile import EXPLANATION_LINES

    OUTPUT.result({"lines": dict(EXPLANATION_LINES)}, table("", ("line", "what it means"), EXPLANATION_LINES.items()))


def _act(dsn: str | None, key: Path, identity: str, kind: str, **wanted: Any) -> None:
    from tieout_reconcile import Kind, Wish, act, read_signing_key

    signer = read_signing_key(key)
    _show(run(act(settings.database_dsn(dsn), Wish(identity, Kind(kind), **wanted), signer)))


def _quantity(text: str) -> Fraction:
    from tieout_reconcile import parse_quantity

    try:
        return parse_quantity(text)
    except ValueError as bad:
        raise exits.UsageProblem(f"--shares {text!r} {bad}") from None


def _show(worked: Any) -> None:
    plain = worked.finding.to_json()
    rows: list[tuple[Any, Any]] = [(name, value) for name, value in plain.items() if value not in (None, {}, "")]
    rows += [("age", _age(worked)), ("first run", worked.first_run), ("status", worked.work.status)]
    rows += [("assignee", worked.work.assignee or "nobody")]
    if worked.unexplained is not None:
        rows.append(("unexplained", f"{shares(worked.unexplained)} shares"))
    rows += _shortfall_rows(worked)
    done = table("done about it", ("n>", "when", "who", "what", "detail"), map(_action_row, worked.actions))
    OUTPUT.result({"break": worked.to_json() | {"actions": [a.to_json() for a in worked.actions]}},
                  table("", ("", ""), rows), *(["", done] if worked.actions else []))  # fmt: skip


def _shortfall_rows(worked: Any) -> list[tuple[str, str]]:
    """Cover and notifications; of a shortfall also that it has none."""
    rows = []
    cover = worked.work.cover
    if cover is not None:
        held = f"{shares(cover.shares)} shares by {cover.assets}, since {cover.since:%Y-%m-%d %H:%M}"
        rows.append(("covered", f"{held}, load {cover.document}, by {cover.actor}"))
    if worked.uncovered is not None:
        rows.append(("not covered", f"{shares(worked.uncovered)} shares"))
        if not worked.work.notifications:
            rows.append(("told", "nobody"))
    rows += [
        ("told", f"{n.recipient}, {n.since:%Y-%m-%d %H:%M}, load {n.document}, by {n.actor}")
        for n in worked.work.notifications
    ]
    return rows


def _action_row(action: Any) -> tuple[Any, ...]:
    parts = [
        f"to {action.assignee}" if action.assignee else "",
        f"{action.line}, {shares(action.shares)} shares, load {action.document}, until {action.expires_at:%Y-%m-%d}"
        if action.line
        else "",
        f"proposal {action.proposal}" if action.proposal else "",
        f"{action.assets}, {shares(action.shares)} shares, load {action.document}" if action.assets else "",
        f"told {action.recipient}, load {action.document}" if action.recipient else "",
        f"{action.since:%Y-%m-%d %H:%M}" if action.since else "",
        action.note or "",
    ]
    detail = "; ".join(part for part in parts if part)
    return (action.action, f"{action.at:%Y-%m-%d %H:%M}", action.actor, str(action.kind), detail)


def _cover(worked: Any) -> str:
    """How much of a shortfall is covered, and whether anybody was told; nothing for another break."""
    if worked.uncovered is None:
        return ""
    covered = "none" if worked.work.cover is None else "all" if not worked.uncovered else "part"
    return covered + (", told" if worked.work.notifications else ", nobody told")


def _age(worked: Any) -> str:
    age = worked.age
    if age is None:
        return "unknown"
    past = f", past {age.marks[-1]}" if age.marks else ""
    return f"{age.days} d, {age.business_days} business days by {age.calendar}{past}"


def breaks_table(found: Any) -> Any:
    """Breaks for people, each named."""
    return table("breaks", ("id", "code", "instrument", "what"), ((f.id, f.code, f.symbol, f.summary) for f in found))
