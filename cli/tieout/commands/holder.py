"""``tieout portfolio | delegate | revoke | close``: what a holder has, and who else may spend it."""

from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from tieout import settings
from tieout.commands.instrument import timestamp
from tieout.commands.market import Amount, Holder, Mint, Raw
from tieout.commands.options import Json, RpcUrl, run
from tieout.issuer import Keypair, Signers, holder_of, issuer, raw_amount, receipt
from tieout.output import OUTPUT, exact, shares, table


def register(app: typer.Typer) -> None:
    """Add the holders' commands."""
    for command in (portfolio, delegate, revoke, close):
        app.command(command.__name__)(command)


def portfolio(
    owner: Annotated[str, typer.Argument(help="Owner's address.")],
    at: Annotated[
        str | None, typer.Option("--at", help="Instant whose multiplier counts (ISO 8601 with a zone). Default: now.")
    ] = None,
    rpc_url: RpcUrl = None,
    as_json: Json = False,
) -> None:
    """Show an owner's tokens in raw units and in shares, at the multiplier of an instant."""
    when = None if at is None else timestamp(at)

    async def work() -> Any:
        from solders.keypair import Keypair as Key

        from tieout_client import connect

        # Reading needs no key of anybody's.
        async with connect(settings.node_urls(rpc_url), Key()) as connected:
            return await connected.portfolio(owner, at=when)

    found = run(work())
    holdings = [_plain(holding) for holding in found.holdings]
    plain = {"owner": found.owner, "at": _instant(found.at), "slot": found.slot, "holdings": holdings}
    rows = [
        (h.instrument.symbol, shares(h.shares), h.balance.raw, repr(h.multiplier.as_float), h.balance.state,
         h.balance.address)
        for h in found.holdings
    ]  # fmt: skip
    columns = ("symbol", "shares>", "raw>", "multiplier>", "state", "account")
    OUTPUT.result(plain, table(f"{found.owner} at {_instant(found.at)}", columns, rows))


def delegate(
    mint: Mint,
    amount: Amount,
    to: Annotated[str, typer.Option("--to", help="Who may spend it.")],
    holder: Holder,
    raw: Raw = False,
    rpc_url: RpcUrl = None,
    keypair: Keypair = None,
    signer: Signers = None,
    as_json: Json = False,
) -> None:
    """Let somebody spend up to AMOUNT from a holder's account, in place of any earlier delegate."""

    async def work() -> tuple[int, Any]:
        async with issuer(rpc_url, keypair, None, signer) as connected:
            units = await raw_amount(connected, mint, amount, raw)
            return units, await connected.approve(mint, units, await holder_of(connected, holder), to)

    units, done = run(work())
    OUTPUT.result(
        {**receipt(done), "raw": str(units)},
        f"{to} may spend {units:,} raw, since slot {done.slot:,}\n{done.signature}",
    )


def revoke(
    mint: Mint,
    holder: Holder,
    rpc_url: RpcUrl = None,
    keypair: Keypair = None,
    signer: Signers = None,
    as_json: Json = False,
) -> None:
    """Take back what a delegate may spend."""

    async def work() -> Any:
        async with issuer(rpc_url, keypair, None, signer) as connected:
            return await connected.revoke(mint, await holder_of(connected, holder))

    done = run(work())
    OUTPUT.result(receipt(done), f"revoked in slot {done.slot:,}\n{done.signature}")


def close(
    mint: Mint,
    holder: Holder,
    rent_to: Annotated[str | None, typer.Option("--rent-to", help="Who gets its rent. Default: the holder.")] = None,
    rpc_url: RpcUrl = None,
    keypair: Keypair = None,
    signer: Signers = None,
    as_json: Json = False,
) -> None:
    """Close a holder's empty account."""

    async def work() -> Any:
        async with issuer(rpc_url, keypair, None, signer) as connected:
            return await connected.close_account(mint, await holder_of(connected, holder), rent_to=rent_to)

    done = run(work())
    OUTPUT.result(receipt(done), f"closed in slot {done.slot:,}\n{done.signature}")


def _plain(holding: Any) -> dict[str, Any]:
    balance, instrument = holding.balance, holding.instrument
    return {
        "mint": instrument.address,
        "symbol": instrument.symbol,
        "account": balance.address,
        "raw": str(balance.raw),
        "decimals": instrument.decimals,
        "shares": exact(holding.shares),
        "multiplier": {"value": repr(holding.multiplier.as_float), "bits": holding.multiplier.bits.hex()},
        "state": balance.state,
        "delegate": balance.account.delegate,
        "delegated_raw": str(balance.account.delegated_amount),
    }


def _instant(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()
