"""The issuer's connection as the command line gives it: a node, a fee payer, a folder of role keys."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass, fields, replace
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from pydantic import Field, ValidationError

from tieout import exits, settings
from tieout.paths import is_there

Keypair = Annotated[
    Path | None,
    typer.Option(
        "--keypair",
        help="Key file of the fee payer, who holds every role without a key of its own. Default: TIEOUT_KEY.",
    ),
]
Keys = Annotated[
    Path | None,
    typer.Option(
        "--keys",
        help="Folder of role keys: treasury.json, mint_authority.json …; treasury.pub where only the address is here.",
    ),
]
Signers = Annotated[
    list[Path] | None,
    typer.Option("--signer", help="Key file of a member who signs for a multisig; several for several."),
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


@dataclass(frozen=True, slots=True)
class Preparing:
    """That a command is to leave its transaction unsigned, over this nonce account if one is named."""

    nonce: str | None


class PreparedInstead(Exception):
    """A command came to the point of signing while ``PREPARING``: its transaction, for others to sign."""

    def __init__(self, transaction: Any) -> None:
        self.transaction = transaction
        super().__init__("the transaction was prepared and not sent")


PREPARING: ContextVar[Preparing | None] = ContextVar("preparing", default=None)


@asynccontextmanager
async def desk(
    rpc_url: list[str] | None,
    keypair: Path | None,
    keys: Path | None,
    signers: list[Path] | None = None,
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
    kept = None if PREPARING.get() else wanted.journal_file
    if kept is None:
        # The day is counted in the journal of the desk that sends.
        limits = replace(limits, day_shares_max=None)
    more = {"journal": kept, "guard": wanted.guard, "amounts": limits, "options": options}
    async with issuer(rpc_url, keypair, keys, signers, **more) as connected:
        yield connected


@asynccontextmanager
async def issuer(
    rpc_url: list[str] | None, keypair: Path | None, keys: Path | None, signers: list[Path] | None = None, **more: Any
) -> AsyncIterator[Any]:
    """Connect as the issuer. Raises UsageProblem where no key is named, BadInput for a bad key file.

    While ``PREPARING`` is set, an operation raises PreparedInstead where it would sign.
    """
    from tieout_client import AddressOnly, Authorities, Captured, connect, load_signer

    payer = fee_payer(keypair)
    roles = _roles(keys)
    members = [load_signer(path) for path in signers or []]
    urls = settings.node_urls(rpc_url)
    async with connect(urls, payer, Authorities.of(payer, **roles), members=members, **more) as opened:
        wanted = PREPARING.get()
        away = any(isinstance(role, AddressOnly) for role in roles.values())
        connected = await opened.with_multisigs() if away else opened
        if wanted is None:
            yield connected
            return
        try:
            yield connected.preparing()
        except Captured as caught:
            raise PreparedInstead(await connected.captured(caught, nonce=wanted.nonce)) from None


def fee_payer(keypair: Path | None) -> Any:
    """Return the fee payer of ``--keypair`` or TIEOUT_KEY. Raises UsageProblem where neither is given."""
    from tieout_client import keypair_from_environment, load_signer

    payer = keypair_from_environment("TIEOUT_KEY") if keypair is None else load_signer(keypair)
    if payer is None:
        raise exits.UsageProblem("no fee payer named: give --keypair FILE, or the key itself in TIEOUT_KEY")
    return payer


def _roles(keys: Path | None) -> dict[str, Any]:
    from tieout_client import Authorities, keypair_from_environment, load_signer

    found: dict[str, Any] = {}
    for field in fields(Authorities):
        files = [] if keys is None else [keys / f"{field.name}{suffix}" for suffix in (".json", ".pub")]
        named = next((file for file in files if is_there(file)), None)
        key = keypair_from_environment(f"TIEOUT_KEY_{field.name.upper()}") if named is None else load_signer(named)
        if key is not None:
            found[field.name] = key
    if keys is not None and not found:
        names = ", ".join(f"{field.name}.json" for field in fields(Authorities))
        raise exits.UsageProblem(f"the folder {keys} holds no role key: name its files {names}, or .pub for an address")
    return found


async def holder_of(connected: Any, path: Path) -> Any:
    """Return a holder's key file as a signer; an address that is a multisig acts by the keys of ``--signer``."""
    from tieout_client import load_signer

    return await connected.acting(load_signer(path))


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
