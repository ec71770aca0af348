"""``tieout issue | redeem | burn | transfer``: tokens move against requests."""

from pathlib import Path
from typing import Annotated, Any

import typer

from tieout.commands.options import Json, RpcUrl, run
from tieout.issuer import Guard, JournalFile, Keypair, Keys, desk, issuer, raw_amount, receipt
from tieout.output import OUTPUT

Mint = Annotated[str, typer.Argument(help="Mint address.")]
Amount = Annotated[str, typer.Argument(help="Shares at the multiplier in force (250.5), or raw units with --raw.")]
Raw = Annotated[bool, typer.Option("--raw", help="AMOUNT is in raw units.")]
Request = Annotated[str, typer.Option("--request", help="Request id; written into the transaction's memo.")]
Holder = Annotated[Path, typer.Option("--holder", help="Key file of the holder whose tokens move.")]


def register(app: typer.Typer) -> None:
    """Add the market commands."""
    for command in (issue, redeem, burn, transfer):
        app.command(command.__name__)(command)


def _done(verb: str, amount: int, done: Any) -> None:
    lines = [f"{verb} {amount:,} raw in slot {done.slot:,}", done.signature]
    if done.guard is not None:
        lines.append(f"guard account {done.guard.address} keeps {done.guard.lamports:,} lamports for good")
    OUTPUT.result({**receipt(done), "raw": str(amount)}, "\n".join(lines))


def issue(
    mint: Mint,
    amount: Amount,
    to: Annotated[str, typer.Option("--to", help="Owner who receives the tokens.")],
    request: Request,
    mint_first: Annotated[bool, typer.Option("--mint", help="Mint into the treasury in the same transaction.")] = False,
    raw: Raw = False,
    rpc_url: RpcUrl = None,
    keypair: Keypair = None,
    keys: Keys = None,
    journal: JournalFile = None,
    guard: Guard = None,
    as_json: Json = False,
) -> None:
    """Release tokens from the treasury against a request; from then on they are owed in shares."""

    async def work() -> tuple[int, Any]:
        async with desk(rpc_url, keypair, keys, journal, guard) as connected:
            units = await raw_amount(connected, mint, amount, raw)
            return units, await connected.issue(mint, units, to, request, mint_first=mint_first)

    _done("issued", *run(work()))


def redeem(
    mint: Mint,
    amount: Amount,
    holder: Holder,
    request: Request,
    sweep: Annotated[
        bool, typer.Option("--sweep", help="Move them on from the redemption wallet to the treasury.")
    ] = False,
    raw: Raw = False,
    rpc_url: RpcUrl = None,
    keypair: Keypair = None,
    keys: Keys = None,
    journal: JournalFile = None,
    as_json: Json = False,
) -> None:
    """Return a holder's tokens to the redemption wallet; they stay owed until the shares are delivered."""

    async def work() -> tuple[int, Any]:
        from tieout_client import load_keypair

        async with desk(rpc_url, keypair, keys, journal) as connected:
            units = await raw_amount(connected, mint, amount, raw)
            done = await connected.redeem(mint, units, load_keypair(holder), request)
            return units, await connected.sweep(mint, units, request) if sweep else done

    _done("redeemed", *run(work()))


def burn(
    mint: Mint,
    amount: Amount,
    request: Request,
    holder: Annotated[
        Path | None, typer.Option("--holder", help="Burn a holder's tokens with its key; else the treasury's.")
    ] = None,
    raw: Raw = False,
    rpc_url: RpcUrl = None,
    keypair: Keypair = None,
    keys: Keys = None,
    journal: JournalFile = None,
    as_json: Json = False,
) -> None:
    """Burn tokens from the treasury, or a holder's own."""

    async def work() -> tuple[int, Any]:
        from tieout_client import load_keypair

        async with desk(rpc_url, keypair, keys, journal) as connected:
            units = await raw_amount(connected, mint, amount, raw)
            owner = None if holder is None else load_keypair(holder)
            return units, await connected.burn(mint, units, request, holder=owner)

    _done("burned", *run(work()))


def transfer(
    mint: Mint,
    amount: Amount,
    to: Annotated[str, typer.Option("--to", help="Owner who receives the tokens.")],
    holder: Holder,
    memo: Annotated[str | None, typer.Option("--memo", help="A memo for the transaction.")] = None,
    raw: Raw = False,
    rpc_url: RpcUrl = None,
    keypair: Keypair = None,
    keys: Keys = None,
    as_json: Json = False,
) -> None:
    """Move a holder's tokens to another owner."""

    async def work() -> tuple[int, Any]:
        from tieout_client import load_keypair

        async with issuer(rpc_url, keypair, keys) as connected:
            units = await raw_amount(connected, mint, amount, raw)
            return units, await connected.transfer(mint, units, load_keypair(holder), to, memo=memo)

    _done("transferred", *run(work()))
