"""``tieout period``: reporting periods, proposed by one person, signed by another, locked."""

from pathlib import Path
from typing import Annotated, Any

import typer

from tieout import exits, settings
from tieout.commands.breaks import Key, Note
from tieout.commands.options import BIGINT_MAX, Dsn, Json, group, instant, run
from tieout.output import OUTPUT, table

APP = group("Periods: one person proposes a period's figures, another signs; then they are locked.")
Name = Annotated[str, typer.Argument(help="The period's name, such as 2026-11.")]


@APP.command("open")
def open_(
    name: Name,
    to: Annotated[str, typer.Option("--to", help="Its last instant, with its zone (ISO 8601).")],
    key: Key,
    start: Annotated[
        str | None, typer.Option("--from", help="It begins after this instant; left out: where the last period ends.")
    ] = None,
    dsn: Dsn = None,
    as_json: Json = False,
) -> None:
    """Open a period, after the last one."""
    from tieout_reconcile import open_period, read_signing_key

    begins = None if start is None else instant("--from", start)
    signer = read_signing_key(key)
    _show(run(open_period(settings.database_dsn(dsn), name, begins, instant("--to", to), signer)))


@APP.command()
def propose(
    name: Name,
    key: Key,
    number: Annotated[
        int | None,
        typer.Option("--run", min=1, max=BIGINT_MAX, help="The run; by default the last one as of the period's end."),
    ] = None,
    note: Note = None,
    dsn: Dsn = None,
    as_json: Json = False,
) -> None:
    """Propose a period with a stored run as of its end; somebody else has to sign it."""
    from tieout_reconcile import propose_period, read_signing_key

    signer = read_signing_key(key)
    _show(run(propose_period(settings.database_dsn(dsn), name, signer, number=number, note=note)))


@APP.command()
def sign(name: Name, key: Key, note: Note = None, dsn: Dsn = None, as_json: Json = False) -> None:
    """Sign a proposed period: never your own proposal, nor on files that you handed in. It is locked then."""
    _decide("sign", name, key, note, dsn)


@APP.command()
def reject(name: Name, key: Key, note: Note = None, dsn: Dsn = None, as_json: Json = False) -> None:
    """Reject what waits: a proposal, or the wish to reopen or to withdraw."""
    _decide("reject", name, key, note, dsn)


@APP.command("ask-reopen")
def ask_reopen(
    name: Name,
    note: Annotated[str, typer.Option("--note", help="The reason; it is signed and stays.")],
    key: Key,
    dsn: Dsn = None,
    as_json: Json = False,
) -> None:
    """Ask for a locked period to be reopened; somebody else has to do it."""
    _decide("ask_reopen", name, key, note, dsn)


@APP.command()
def reopen(name: Name, key: Key, note: Note = None, dsn: Dsn = None, as_json: Json = False) -> None:
    """Reopen a locked period that somebody else asked for. What was signed stays in the history."""
    _decide("reopen", name, key, note, dsn)


@APP.command("ask-withdraw")
def ask_withdraw(
    name: Name,
    note: Annotated[str, typer.Option("--note", help="The reason; it is signed and stays.")],
    key: Key,
    dsn: Dsn = None,
    as_json: Json = False,
) -> None:
    """Ask for the last period to be withdrawn, opened with a wrong end and never locked; somebody else has to."""
    _decide("ask_withdraw", name, key, note, dsn)


@APP.command()
def withdraw(name: Name, key: Key, note: Note = None, dsn: Dsn = None, as_json: Json = False) -> None:
    """Withdraw a period that somebody else asked for. Its name may be opened again; the audit log keeps both."""
    _decide("withdraw", name, key, note, dsn)


@APP.command("list")
def list_(
    withdrawn: Annotated[bool, typer.Option("--withdrawn", help="Also the periods that were withdrawn.")] = False,
    dsn: Dsn = None,
    as_json: Json = False,
) -> None:
    """List the periods in order of time."""
    from tieout_reconcile import list_periods

    found = run(list_periods(settings.database_dsn(dsn), withdrawn=withdrawn))
    rows = ((p.period, f"{p.from_at:%Y-%m-%d %H:%M}", f"{p.to_at:%Y-%m-%d %H:%M}", p.standing.status, *_people(p))
            for p in found)  # fmt: skip
    columns = ("period", "after", "up to", "status", "run>", "proposed by", "signed by")
    OUTPUT.result(
        {"periods": [p.to_json() | {"content": None} for p in found]},
        table("", columns, rows) if found else "no period yet: tieout period open",
    )


@APP.command()
def show(name: Name, dsn: Dsn = None, as_json: Json = False) -> None:
    """Show a period; of a locked one also later adjustments, and what caused them. Exit 1 where there are any."""
    from tieout_reconcile import show_period

    found = run(show_period(settings.database_dsn(dsn), name))
    _show(found)
    if found.later is not None and not found.later.unchanged:
        raise exits.Found


def _decide(kind: str, name: str, key: Path, note: str | None, dsn: str | None) -> None:
    from tieout_reconcile import PeriodKind, decide_period, read_signing_key

    signer = read_signing_key(key)
    _show(run(decide_period(settings.database_dsn(dsn), PeriodKind(kind), name, signer, note=note)))


def _people(found: Any) -> tuple[str, str, str]:
    made, lock = found.proposed, found.standing.lock
    return (str(made.run) if made and made.run else "", made.actor if made else "", lock.actor if lock else "")


def _show(found: Any) -> None:
    number, proposed_by, signed_by = _people(found)
    rows = [
        ("period", found.period), ("after", f"{found.from_at:%Y-%m-%d %H:%M:%S %Z}"),
        ("up to", f"{found.to_at:%Y-%m-%d %H:%M:%S %Z}"), ("status", found.standing.status), ("run", number or "none"),
        ("proposed by", proposed_by or "nobody"), ("signed by", signed_by or "nobody"),
    ]  # fmt: skip
    parts: list[Any] = [table("", ("", ""), rows)]
    if found.content is not None:
        parts += _content(found.content)
    if found.later is not None:
        parts += _later(found.later)
    done = ((a.action, f"{a.at:%Y-%m-%d %H:%M}", a.actor, str(a.kind).replace("_", " "), a.note or "")
            for a in found.actions)  # fmt: skip
    if found.actions:
        parts.append(table("done about it", ("n>", "when", "who", "what", "note"), done))
    OUTPUT.result({"period": found.to_json()}, *parts)


def _content(content: Any) -> list[Any]:
    figures = (
        (symbol, f["verdict"], f["liability"] or "unknown", f["custody"] or "unknown", f["difference"] or "unknown")
        for symbol, f in content["figures"].items()
    )
    columns = ("instrument", "verdict", "liability>", "custody>", "difference>")
    parts: list[Any] = [table("figures, in shares", columns, figures)]
    if content["breaks"]:
        rows = ((b["code"], b["symbol"], b["summary"], "yes" if b["key"] in content["carried_forward"] else "")
                for b in content["breaks"])  # fmt: skip
        parts.append(table("open breaks", ("code", "instrument", "what", "open before"), rows))
    opening = content["opening"]
    if opening is not None:
        told = opening["prior_period_adjustments"]["differences"]
        title = f"prior-period adjustments of {opening['period']}"
        parts.append(_differences(title, told) if told else f"opens with what {opening['period']} closed with")
    return parts


def _later(later: Any) -> list[Any]:
    if later.unchanged:
        late = f"; later files dated inside it: {len(later.late)}" if later.late else ""
        return [f"nothing learned since changes a figure{late}"]
    parts = [_differences("later adjustments: the locked figures stay", later.differences)]
    parts += [f"a break that is found now: {key}" for key in later.appeared]
    parts += [f"a break that is not found any more: {key}" for key in later.gone]
    parts += [f"a break that is of another size or wording now: {key}" for key in later.changed]
    causes = ((_cause(c), c.get("importer") or "", ", ".join(_moved(c))) for c in later.causes)
    return [*parts, table("what made the difference", ("cause", "handed in by", "what it changed"), causes)]


def _cause(cause: Any) -> str:
    if cause["by"] == "load":
        return f"load {cause['load']}, {cause['kind']} {cause['name']}"
    return "the ledger, corrected" if cause["by"] == "ledger" else "another version of tieout"


def _moved(cause: Any) -> list[str]:
    figures = [f"{d['symbol']} {d['figure']}" for d in cause["differences"]]
    return (
        figures
        + [f"+ {key}" for key in cause["appeared"]]
        + [f"− {key}" for key in cause["gone"]]
        + [f"~ {key}" for key in cause["changed"]]
    )


def _differences(title: str, found: Any) -> Any:
    rows = ((d["symbol"], d["figure"], d["locked"] or "unknown", d["restated"] or "unknown", d["difference"] or "")
            for d in found)  # fmt: skip
    return table(title, ("instrument", "figure", "locked>", "now>", "difference>"), rows)
