"""``tieout report``: signed reports that anybody recomputes offline."""

from pathlib import Path
from typing import Annotated, Any

import typer

from tieout import exits, settings
from tieout.commands.breaks import RunNumber
from tieout.commands.options import Dsn, Json, group, run
from tieout.output import OUTPUT, table
from tieout.paths import is_there
from tieout.run_tables import verdict

APP = group("Reports: signed, with all that they were computed from; anybody recomputes one offline.")


@APP.command()
def export(
    to: Annotated[Path, typer.Option("--to", help="The bundle to write; a file that is there is not overwritten.")],
    key: Annotated[Path | None, typer.Option("--key", help="Key file that signs (tieout key new).")] = None,
    unsigned: Annotated[bool, typer.Option("--unsigned", help="Make it without a signature.")] = False,
    number: RunNumber = None,
    period: Annotated[
        str | None, typer.Option("--period", help="Of a locked period: its fixed run, with both signatures.")
    ] = None,
    dsn: Dsn = None,
    as_json: Json = False,
) -> None:
    """Write the report of a run with its evidence; the same run gives the same bytes. Exit 1 where it has a break."""
    from tieout_reconcile import export_report, read_signing_key

    if period is not None and number is not None:
        raise exits.UsageProblem("give either --run or --period: a locked period has its run")
    if (key is None) is not unsigned:
        raise exits.UsageProblem("give either --key FILE, or --unsigned for a report whose origin nobody can verify")
    signing_key = None if key is None else read_signing_key(key)
    if is_there(to):
        raise exits.UsageProblem(f"{to} is there already: name another file, a report is not overwritten")
    made = run(export_report(settings.database_dsn(dsn), number, signing_key, period=period))
    write_new(to, made.data)
    by = "unsigned" if made.public_key is None else f"signed by {made.public_key}"
    OUTPUT.result(
        {
            "report": made.report,
            "run": made.run,
            "period": period,
            "path": str(to),
            "bytes": len(made.data),
            "sha256": made.sha256,
            "public_key": made.public_key,
            "verdict": made.verdict,
        },
        f"report {made.report} of run {made.run}, {by}: {to}, {len(made.data):,} bytes",
        f"SHA-256 of the report: {made.sha256}",
        verdict(made.verdict),
    )
    if not made.clean:
        raise exits.Found


def write_new(path: Path, data: bytes) -> None:
    """Write a file that is not there yet. Raises UsageProblem."""
    try:
        with path.open("xb") as handle:
            handle.write(data)
    except FileExistsError:
        raise exits.UsageProblem(f"{path} is there already: name another file, it is not overwritten") from None
    except OSError as failed:
        raise exits.UsageProblem(f"{path} cannot be written: {failed}") from failed


@APP.command()
def verify(
    path: Annotated[Path, typer.Argument(help="The bundle.")],
    trust: Annotated[
        str | None, typer.Option("--trust", help="The issuer's public key (base58), known to you from elsewhere.")
    ] = None,
    previous: Annotated[
        Path | None, typer.Option("--previous", help="The bundle of the report before: checks that this one follows.")
    ] = None,
    period: Annotated[
        str | None, typer.Option("--period", help="The locked period that it has to be the report of.")
    ] = None,
    signed_by: Annotated[
        list[str] | None,
        typer.Option("--signed-by", help="A public key that has to be under the period's sign-off; twice for both."),
    ] = None,
    practitioner: Annotated[
        Path | None, typer.Option("--practitioner", help="A practitioner's statement on it, to be checked with it.")
    ] = None,
    trust_practitioner: Annotated[
        str | None,
        typer.Option("--trust-practitioner", help="The practitioner's public key, known to you from elsewhere."),
    ] = None,
    page: Annotated[
        Path | None, typer.Option("--page", help="Write the page (HTML), the statement beside it, where all holds.")
    ] = None,
    figures: Annotated[
        Path | None, typer.Option("--table", help="Write the table (CSV), the statement with it, where all holds.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Compute a report again from its bundle, without node or database. Exit 1 where anything does not hold."""
    from tieout_reconcile import verify_report

    if trust_practitioner is not None and practitioner is None:
        raise exits.UsageProblem("--trust-practitioner goes with --practitioner FILE, the statement that it signed")
    found = verify_report(
        path, trust, previous, period=period, signers=signed_by or (), practitioner=practitioner,
        trusted_practitioner=trust_practitioner,
    )  # fmt: skip
    plain = found.to_json()
    rows = (("holds" if c.holds else "FAILS", c.name, c.text) for c in found.checks)
    shown: list[Any] = [table("", ("", "check", "what was seen"), rows), ""]
    if found.holds:
        shown += [
            f"report {plain['report']} verifies; as of slot {plain['as_of_slot']:,} it says:",
            verdict(plain["verdict"]),
        ]
    else:
        about = {c.name for c in found.checks if not c.holds}
        alone = "the report verifies, and what the practitioner says of it does not"
        shown += [alone if about == {"practitioner"} else "the report does not verify"]
    if found.holds:
        for path_, data in zip((page, figures), found.pages(), strict=True):
            if path_ is not None:
                write_new(path_, data)
    OUTPUT.result(plain, *shown)
    if not found.holds:
        raise exits.Found


@APP.command("list")
def list_(dsn: Dsn = None, as_json: Json = False) -> None:
    """List the reports that were made, newest first."""
    from tieout_reconcile import list_reports

    found = run(list_reports(settings.database_dsn(dsn)))
    rows = (
        (r.report, f"{r.made_at:%Y-%m-%d %H:%M}", r.as_of_slot, r.run, verdict(r.verdict), r.period or "",
         ", ".join(r.signers) or "—",
         r.sha256[:16])
        for r in found
    )  # fmt: skip
    OUTPUT.result(
        {"reports": [r.to_json() for r in found]},
        table("", ("report>", "made", "slot>", "run>", "verdict", "period", "signed by", "SHA-256"), rows),
    )
