"""``tieout statement``: custodian positions."""

from pathlib import Path
from typing import Annotated, Any

import typer

from tieout import settings
from tieout.commands.options import Dsn, Json, group, instant, run
from tieout.output import OUTPUT, table

APP = group("Custodian statements: positions by account, ISIN, basis and cut-off.")
Files = Annotated[list[Path], typer.Argument(help="Files; several of one kind.")]
PersonalKey = Annotated[
    Path | None, typer.Option("--key", help="Your personal key file: hands the file in under your name.")
]
FORMATS = "csv, alpaca-positions, ibkr-flex, mt535, semt002"


@APP.command("import")
def import_(
    paths: Files,
    file_format: Annotated[
        str | None, typer.Option("--format", help=f"One of {FORMATS}; told by the content when left out.")
    ] = None,
    map_path: Annotated[
        Path | None, typer.Option("--map", help="TOML: columns, number style, time zone, basis, custodian, account.")
    ] = None,
    custodian: Annotated[
        str | None, typer.Option(help="The custodian, where the account's name is not enough.")
    ] = None,
    account: Annotated[str | None, typer.Option(help="The account, where the file names none.")] = None,
    as_of: Annotated[
        str | None, typer.Option("--as-of", help="The instant with its zone (ISO 8601), where the file names none.")
    ] = None,
    correct: Annotated[
        bool, typer.Option("--correct", help="The date declared earlier for these bytes was wrong; needs --key.")
    ] = False,
    key: PersonalKey = None,
    dsn: Dsn = None,
    as_json: Json = False,
) -> None:
    """Take in statement files; each is taken whole or refused whole, and taken once."""
    from tieout_reconcile import import_statement

    signer = signing_key(key)
    where = settings.database_dsn(dsn)
    at = None if as_of is None else instant("--as-of", as_of)

    async def work() -> list[Any]:
        return [
            await import_statement(
                where,
                path,
                file_format=file_format,
                map_path=map_path,
                custodian=custodian,
                account=account,
                as_of=at,
                correct=correct,
                key=signer,
            )
            for path in paths
        ]

    show_imported(run(work()))


def signing_key(path: Path | None) -> Any:
    """The personal key of a file, None for none."""
    from tieout_reconcile import read_signing_key

    return None if path is None else read_signing_key(path)


def show_imported(taken: list[Any]) -> None:
    """Say what became of each file."""
    OUTPUT.result(
        {"imported": [i.to_json() for i in taken]},
        *(
            f"{i.path}: {i.stored} of {i.rows} rows stored ({i.format})" if i.new else f"{i.path}: taken in before"
            for i in taken
        ),
    )


@APP.command("list")
def list_(dsn: Dsn = None, as_json: Json = False) -> None:
    """List the statements taken in, superseded ones included."""
    from tieout_reconcile import list_statements

    found = run(list_statements(settings.database_dsn(dsn)))
    OUTPUT.result(
        {"statements": [s.to_json() for s in found]},
        table("", ("as of", "custodian", "account", "basis", "positions>", "format", "file", "standing"), (
            (f"{s.as_of:%Y-%m-%d %H:%M %Z}", s.custodian, s.account, s.basis, s.positions, s.format, s.name,
             "superseded" if s.superseded else "in force")
            for s in found
        )),
    )  # fmt: skip
