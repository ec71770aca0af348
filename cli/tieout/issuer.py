"""The issuer's connection as the command line gives it: a node, a fee payer, a folder of role keys."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import fields
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from pydantic import Field, ValidationError

from tieout import exits, settings

Keypair = Annotated[
    Path | None,
    typer.Option("--keypair", help="Key file of the fee payer, who holds every role without a key of its own."),
]
Keys = Annotated[
    Path | None,
    typer.Option("--keys", help="Folder of role keys: treasury.json, mint_authority.json, redemption_wallet.json …"),
]


JournalFile = Annotated[
    Path | None,
    typer.Option(
        "--journal",
        help="File that keeps what was signed for which request. Default: in the state folder.",
    ),
]
Guard = Annotated[
    str | None,
    typer.Option(
        "--guard",
        help="account: the chain itself refuses a second issue of the request, for about 0.0009 SOL; none; "
        "auto: account on public clusters.",
    ),
]


class DeskSettings(settings.Settings):
    """What a desk lets through, and how it sends."""

    journal: Path | None = None
    guard: Literal["auto", "account", "none"] = "auto"
    operation_shares_max: Decimal = Field(Decimal(100_000), gt=0, allow_inf_nan=False)
    day_shares_max: Decimal = Field(Decimal(1_000_000), gt=0, allow_inf_nan=False)
    priority_fee_lamports_max: int = Field(100_000, ge=0)

    @property
    def journal_file(self) -> Path:
        """Where the journal is kept."""
        return (self.journal or self.state_directory / "journal.sqlite").expanduser()


def desk_settings(journal: Path | None = None, guard: str | None = None) -> DeskSettings:
    """Read the settings of the desk. Raises UsageProblem naming the one that is wrong."""
    given = {name: value for name, value in {"journal": journal, "guard": guard}.items() if value is not None}
    try:
        return DeskSettings(**given)  # type: ignore[arg-type]  # checked by pydantic, which names what is wrong
    except ValidationError as bad:
        first = bad.errors()[0]
        name = ".".join(map(str, first["loc"]))
        raise exits.UsageProblem(f"setting {name} cannot be {first.get('input')!r}: {first['msg'].lower()}") from bad
    except ValueError as bad:
        raise exits.UsageProblem(f"tieout.toml cannot be read: {bad}") from bad


@asynccontextmanager
async def desk(
    rpc_url: list[str] | None,
    keypair: Path | None,
    keys: Path | None,
    journal: Path | None = None,
    guard: str | None = None,
) -> AsyncIterator[Any]:
    """Connect as the issuer with a journal, guard and limits: requests happen once. Raises as ``issuer``."""
    from tieout_client import AmountLimits, SendOptions

    wanted = desk_settings(journal, guard)
    limits = AmountLimits(
        operation_shares_max=Fraction(wanted.operation_shares_max), day_shares_max=Fraction(wanted.day_shares_max)
    )
    options = SendOptions(priority_fee_lamports_max=wanted.priority_fee_lamports_max)
    more = {"journal": wanted.journal_file, "guard": wanted.guard, "amounts": limits, "options": options}
    async with issuer(rpc_url, keypair, keys, **more) as connected:
        yield connected


@asynccontextmanager
async def issuer(rpc_url: list[str] | None, keypair: Path | None, keys: Path | None, **more: Any) -> AsyncIterator[Any]:
    """Connect as the issuer. Raises UsageProblem where no key is named, BadInput for a bad key file."""
    from tieout_client import Authorities, connect, load_keypair

    if keypair is None:
        raise exits.UsageProblem("no fee payer named: give --keypair FILE")
    payer = load_keypair(keypair)
    roles = {
        field.name: load_keypair(keys / f"{field.name}.json")
        for field in fields(Authorities)
        if keys is not None and (keys / f"{field.name}.json").exists()
    }
    if keys is not None and not roles:
        names = ", ".join(f"{field.name}.json" for field in fields(Authorities))
        raise exits.UsageProblem(f"the folder {keys} holds no role key: name its files {names}")
    async with connect(settings.node_urls(rpc_url), payer, Authorities.of(payer, **roles), **more) as connected:
        yield connected


def receipt(done: Any) -> dict[str, Any]:
    """A receipt as plain values, with the guard account where one was made."""
    plain: dict[str, Any] = {"signature": done.signature, "slot": done.slot}
    if done.guard is not None:
        plain["guard"] = {"address": done.guard.address, "lamports": done.guard.lamports}
    return plain


async def raw_amount(connected: Any, mint: str, amount: str, raw: bool) -> int:
    """Turn AMOUNT into raw units: it is shares at the multiplier in force, or raw with ``--raw``."""
    from tieout_client import parse_raw, shares_to_raw

    if raw:
        return parse_raw(amount)
    instrument = await connected.show(mint)
    return shares_to_raw(amount, instrument.decimals, instrument.multiplier.bits).raw
