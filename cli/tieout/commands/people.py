"""``tieout people``: who may do what, by their own keys."""

from pathlib import Path
from typing import Annotated

import typer

from tieout import settings
from tieout.commands.options import Dsn, Json, group, run
from tieout.output import OUTPUT, table

APP = group("People: names, roles and personal keys; who changed what is in the audit log.")
Name = Annotated[str, typer.Argument(help="The person's name.")]
AdminKey = Annotated[Path | None, typer.Option("--key", help="The admin's key file; the first admin needs none.")]


@APP.command("set")
def set_(
    name: Name,
    roles: Annotated[list[str], typer.Option("--role", help="viewer, preparer, approver, auditor or admin; several.")],
    public_key: Annotated[
        str | None,
        typer.Option("--public-key", help="The key they act by (base58, tieout key show); kept if left out."),
    ] = None,
    key: AdminKey = None,
    dsn: Dsn = None,
    as_json: Json = False,
) -> None:
    """Add a person, or give one other roles or another key."""
    _set(dsn, name, roles, public_key, key)


@APP.command()
def disable(name: Name, key: AdminKey = None, dsn: Dsn = None, as_json: Json = False) -> None:
    """Take all roles from a person; what they did stays."""
    _set(dsn, name, [], None, key)


@APP.command("list")
def list_(dsn: Dsn = None, as_json: Json = False) -> None:
    """List everybody and their roles."""
    from tieout_web.people import list_people

    found = run(list_people(settings.database_dsn(dsn)))
    rows = (
        (p.name, ", ".join(p.roles) or "no role any more", p.public_key or "none", f"{p.since:%Y-%m-%d}", p.changed_by)
        for p in found
    )
    OUTPUT.result(
        {"people": [p.to_json() for p in found]},
        table("", ("name", "roles", "public key", "since", "by"), rows) if found else "nobody yet: tieout people set",
    )


def _set(dsn: str | None, name: str, roles: list[str], public_key: str | None, key: Path | None) -> None:
    from tieout_reconcile import read_signing_key
    from tieout_web.people import set_person

    admin = None if key is None else read_signing_key(key)
    person = run(set_person(settings.database_dsn(dsn), name, roles, public_key, admin))
    has = ", ".join(person.roles) or "no role any more"
    OUTPUT.result({"person": person.to_json()}, f"{person.name}: {has}; key {person.public_key or 'none'}")
