"""The issuer's connection as the command line gives it: a node, a fee payer, a folder of role keys."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any

import typer

from tieout import exits, settings

Keypair = Annotated[
    Path | None,
    typer.Option("--keypair", help="Key file of the fee payer, who holds every role without a key of its own."),
]
Keys = Annotated[
    Path | None,
    typer.Option("--keys", help="Folder of role keys: treasury.json, mint_authority.json, redemption_wallet.json …"),
]


@asynccontextmanager
async def issuer(rpc_url: list[str] | None, keypair: Path | None, keys: Path | None) -> AsyncIterator[Any]:
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
    async with connect(settings.node_urls(rpc_url), payer, Authorities.of(payer, **roles)) as connected:
        yield connected


def receipt(done: Any) -> dict[str, Any]:
    """A receipt as plain values."""
    return {"signature": done.signature, "slot": done.slot}


async def raw_amount(connected: Any, mint: str, amount: str, raw: bool) -> int:
    """Turn AMOUNT into raw units: it is shares at the multiplier in force, or raw with ``--raw``."""
    from tieout_client import parse_raw, shares_to_raw

    if raw:
        return parse_raw(amount)
    instrument = await connected.show(mint)
    return shares_to_raw(amount, instrument.decimals, instrument.multiplier.bits).raw
