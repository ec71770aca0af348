"""What an importer declares about a file where its format is silent: the options, and the declaration itself."""

from pathlib import Path
from typing import Annotated, Any

import typer

from tieout.commands.options import instant

Custodian = Annotated[
    str | None, typer.Option(help="Whose it is, where the account's name is not enough, or the file has no row.")
]
Account = Annotated[str | None, typer.Option(help="The account of that custodian.")]
TimeZone = Annotated[str | None, typer.Option(help="The zone of days and of times without one.")]
CutOff = Annotated[str | None, typer.Option(help="The time of day that a day alone stands for, like 17:30.")]
Map = Annotated[
    Path | None,
    typer.Option("--map", help="TOML, as of the same custodian's statements: tickers' ISINs, account, zone, cut-off."),
]


def declared_of(
    given: dict[str, str | None], map_path: Path | None, start: str | None = None, end: str | None = None
) -> Any:
    """The declaration: what the options say goes before what the map says."""
    from tieout_reconcile import Period, read_map

    from_at = None if start is None else instant("--from", start)
    to_at = None if end is None else instant("--to", end)
    said, isins = ({}, {}) if map_path is None else read_map(map_path)
    names = ("custodian", "account", "time_zone", "cut_off")
    custodian, account, time_zone, cut_off = (given[name] or said.get(name) for name in names)
    return Period(from_at, to_at, custodian, account, time_zone, cut_off, isins)
