"""``tieout issue | redeem | burn | transfer``: tokens move against requests."""

from pathlib import Path
from typing import Annotated, Any

import typer

from tieout import exits
from tieout.commands.options import Json, RpcUrl, run
from tieout.issuer import Guard, JournalFile, Keypair, Keys, Signers, desk, holder_of, issuer, raw_amount, receipt
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
    signer: Signers = None,
    journal: JournalFile = None,
    guard: Guard = None,
    as_json: Json = False,
) -> None:
    """Release tokens from the treasury against a request; from then on they are owed in shares."""

    async def work() -> tuple[int, Any]:
        async with desk(rpc_url, keypair, keys, signer, journal, guard) as connected:
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
    signer: Signers = None,
    journal: JournalFile = None,
    as_json: Json = False,
) -> None:
    """Return a holder's tokens to the redemption wallet; they stay owed until the shares are delivered."""

    async def work() -> tuple[int, Any]:
        async with desk(rpc_url, keypair, keys, signer, journal) as connected:
            units = await raw_amount(connected, mint, amount, raw)
            done = await connected.redeem(mint, units, await holder_of(connected, holder), request)
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
    signer: Signers = None,
    journal: JournalFile = None,
    as_json: Json = False,
) -> None:
    """Burn tokens from the treasury, or a holder's own."""

    async def work() -> tuple[int, Any]:
        async with desk(rpc_url, keypair, keys, signer, journal) as connected:
            units = await raw_amount(connected, mint, amount, raw)
            owner = None if holder is None else await holder_of(connected, holder)
            return units, await connected.burn(mint, units, request, holder=owner)

    _done("burned", *run(work()))


def transfer(
    mint: Mint,
    amount: Amount,
    holder: Holder,
    to: Annotated[str | None, typer.Option("--to", help="Owner who receives the tokens.")] = None,
    to_account: Annotated[
        str | None, typer.Option("--to-account", help="Token account that receives them, instead of an owner.")
    ] = None,
    memo: Annotated[
        str | None, typer.Option("--memo", help="A memo. Where the receiver requires one, there is always one.")
    ] = None,
    raw: Raw = False,
    rpc_url: RpcUrl = None,
    keypair: Keypair = None,
    keys: Keys = None,
    signer: Signers = None,
    as_json: Json = False,
) -> None:
    """Move a holder's tokens to another owner, or to a token account."""
    if (to is None) == (to_account is None):
        raise exits.UsageProblem("name the owner with --to, or a token account with --to-account")

    async def work() -> tuple[int, Any]:
        async with issuer(rpc_url, keypair, keys, signer) as connected:
            units = await raw_amount(connected, mint, amount, raw)
            owner = await holder_of(connected, holder)
            return units, await connected.transfer(mint, units, owner, to, memo=memo, destination=to_account)

    units, done = run(work())
    fee = f", of which {done.fee:,} raw are the issuer's fee" if done.fee else ""
    plain = {**receipt(done), "raw": str(units), "fee_raw": str(done.fee)}
    OUTPUT.result(plain, f"transferred {units:,} raw{fee}, in slot {done.slot:,}\n{done.signature}")
