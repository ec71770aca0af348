"""``tieout token``: what lets a program read what is not public."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from tieout import exits, settings
from tieout.commands.audit import with_connection
from tieout.commands.options import Dsn, Json, group, run
from tieout.output import OUTPUT, table

APP = group("Tokens for programs, and passwords for people: what is not public needs one.")
AdminKey = Annotated[Path, typer.Option("--key", help="The admin's key file.")]
Label = Annotated[str, typer.Argument(help="What the token is for.")]
_DAYS_MAX = 366


@APP.command()
def create(
    label: Label,
    scopes: Annotated[list[str], typer.Option("--scope", help="breaks:read or reports:read; several.")],
    key: AdminKey,
    days: Annotated[int, typer.Option("--days", min=1, max=_DAYS_MAX, help="For how many days it counts.")] = 90,
    dsn: Dsn = None,
    as_json: Json = False,
) -> None:
    """Make a token and show it, this once; only its digest is kept."""
    from tieout_reconcile import read_signing_key
    from tieout_web.access import create_token

    admin = read_signing_key(key)
    made = run(with_connection(settings.database_dsn(dsn), lambda db: create_token(db, label, scopes, days, admin)))
    OUTPUT.result({"label": label, "token": made, "scopes": sorted(set(scopes)), "days": days}, made)


@APP.command()
def end(label: Label, key: AdminKey, dsn: Dsn = None, as_json: Json = False) -> None:
    """End every token of a label at once."""
    from tieout_reconcile import read_signing_key
    from tieout_web.access import end_tokens

    admin = read_signing_key(key)
    run(with_connection(settings.database_dsn(dsn), lambda db: end_tokens(db, label, admin)))
    OUTPUT.result({"label": label, "ended": True}, f"tokens labelled {label} count no more")


@APP.command("list")
def list_(dsn: Dsn = None, as_json: Json = False) -> None:
    """List the tokens, without what they are."""
    from tieout_web.access import list_tokens

    found: list[Any] = run(with_connection(settings.database_dsn(dsn), list_tokens))
    rows = (
        (t["label"], ", ".join(t["scopes"]), t["name"], f"{t['expires_at']:%Y-%m-%d}", "ended" if t["ended"] else "")
        for t in found
    )
    OUTPUT.result({"tokens": found}, table("", ("label", "scopes", "made by", "until", ""), rows))


@APP.command()
def password(
    name: Annotated[str, typer.Argument(help="The person's name.")],
    key: AdminKey,
    dsn: Dsn = None,
    as_json: Json = False,
) -> None:
    """Give a person a password for the desk; it is read from the terminal or from standard input, never from a flag."""
    from tieout_reconcile import read_signing_key
    from tieout_web.access import set_password

    admin = read_signing_key(key)
    secret = _secret(name)
    run(with_connection(settings.database_dsn(dsn), lambda db: set_password(db, name, secret, admin)))
    OUTPUT.result({"name": name, "set": True}, f"{name} has a new password; open sessions ended")


def _secret(name: str) -> str:
    if sys.stdin.isatty():
        return str(typer.prompt(f"new password of {name}", hide_input=True, confirmation_prompt=True))
    line = sys.stdin.readline().rstrip("\n")
    if not line:
        raise exits.UsageProblem("no password on standard input: give it there, or use a terminal")
    return line
