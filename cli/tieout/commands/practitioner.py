"""``tieout practitioner``: what an outside practitioner says of a report, signed by their own key."""

import hashlib
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from tieout import exits, settings
from tieout.commands.options import BIGINT_MAX, Dsn, Json, group, run
from tieout.commands.report import write_new
from tieout.output import OUTPUT, table

APP = group("Practitioners' statements on a report: detached, signed, of a closed list of engagements.")


@APP.command()
def engagements(as_json: Json = False) -> None:
    """List the engagements, with the assurance that each gives and what it may conclude."""
    from tieout_reconcile import ENGAGEMENTS

    lines = [
        {"engagement": name, "standard": e.standard, "assurance": e.assurance, "conclusions": list(e.conclusions)}
        for name, e in ENGAGEMENTS.items()
    ]
    rows = (
        (name, e.standard, e.assurance or "no assurance", ", ".join(e.conclusions)) for name, e in ENGAGEMENTS.items()
    )
    OUTPUT.result({"engagements": lines}, table("", ("engagement", "standard", "assurance", "concludes"), rows))


@APP.command()
def sign(
    path: Annotated[Path, typer.Argument(help="The bundle of the report.")],
    to: Annotated[Path, typer.Option("--to", help="The statement to write; a file that is there is not overwritten.")],
    key: Annotated[Path, typer.Option("--key", help="The practitioner's own key file (tieout key new).")],
    name: Annotated[str, typer.Option("--name", help="The practitioner's name, as it is to be shown.")],
    engagement: Annotated[str, typer.Option("--engagement", help="One of: tieout practitioner engagements.")],
    criteria: Annotated[str, typer.Option("--criteria", help="Against what, or which procedures were agreed.")],
    conclusion: Annotated[
        str, typer.Option("--conclusion", help="unmodified, qualified, adverse, disclaimer; findings of procedures.")
    ],
    matter: Annotated[
        str | None, typer.Option("--matter", help="The findings, or what the conclusion is modified for.")
    ] = None,
    dated: Annotated[
        datetime | None, typer.Option("--dated", formats=["%Y-%m-%d"], help="Its date; today's (UTC) when left out.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Sign a statement on a report, as its practitioner, offline. It says nothing of whether the report verifies."""
    from tieout_reconcile import Statement, read_report, read_signing_key, sign_statement

    signing_key = read_signing_key(key)
    _, body, report = read_report(path)
    day: date = (dated or datetime.now(UTC)).date()
    digest = hashlib.sha256(body).hexdigest()
    signed = sign_statement(Statement(digest, name, engagement, criteria, conclusion, matter, day), signing_key)
    write_new(to, signed.to_bytes())
    OUTPUT.result(
        {"path": str(to), "report": report["report"], **signed.to_json()},
        f"{to}: on report {report['report']}, {digest}, signed by {signed.public_key}",
        signed.to_json()["words"],
    )


@APP.command()
def attach(
    path: Annotated[Path, typer.Argument(help="The practitioner's statement.")],
    trust: Annotated[
        str, typer.Option("--trust", help="The practitioner's public key (base58), known to you from elsewhere.")
    ],
    key: Annotated[Path, typer.Option("--key", help="Your key file: who attaches it is logged.")],
    dsn: Dsn = None,
    as_json: Json = False,
) -> None:
    """Attach a statement to the report that it names, once it is verified. Nothing of the report changes."""
    from tieout_reconcile import attach_statement, read_signing_key

    made = run(attach_statement(settings.database_dsn(dsn), str(path), trust, read_signing_key(key)))
    said = made.to_json()
    if not made.holds:
        raise exits.UsageProblem(f"{path} was attached before, and its key {made.signed.public_key} works here by now")
    OUTPUT.result({"attached": said}, f"attached to report {made.report} by {made.actor}", said["words"])


@APP.command("list")
def list_(
    report: Annotated[int | None, typer.Option("--report", min=1, max=BIGINT_MAX, help="Of one report only.")] = None,
    dsn: Dsn = None,
    as_json: Json = False,
) -> None:
    """List what is attached. Exit 1 where one does not hold any more: its words are then shown nowhere."""
    from tieout_reconcile import list_statements_on_reports

    found = run(list_statements_on_reports(settings.database_dsn(dsn), report))
    shown: list[Any] = []
    for one in found:
        plain = one.to_json()
        words = plain.get("words", "does not hold: its signature, or a key that works in these books")
        shown.append(f"report {one.report}, {one.signed.statement.dated}, key {one.signed.public_key}: {words}")
    OUTPUT.result({"statements": [one.to_json() for one in found]}, *(shown or ["nothing is attached"]))
    if not all(one.holds for one in found):
        raise exits.Found
