"""``tieout instrument``: create and control tokenized stocks on the chain."""

from pathlib import Path
from typing import Annotated, Any

import typer

from tieout import exits, settings
from tieout.commands.look import multiplier_of
from tieout.commands.market import Mint, Raw
from tieout.commands.options import Dsn, Json, RpcUrl, group, instant, run
from tieout.issuer import JournalFile, Keypair, Keys, Signers, desk, issuer, raw_amount, receipt
from tieout.output import OUTPUT, table

APP = group("Instruments: create, look at and control tokenized stocks.")
Owner = Annotated[str, typer.Argument(help="Token account address.")]


def _landed(what: str, done: Any, **more: Any) -> None:
    OUTPUT.result({**receipt(done), **more}, f"{what} in slot {done.slot:,}\n{done.signature}")


@APP.command()
def create(
    symbol: Annotated[str, typer.Argument(help="Symbol, AAPLx.")],
    name: Annotated[str, typer.Option("--name", help="Name, Apple xStock.")],
    uri: Annotated[str, typer.Option("--uri", help="Where the metadata document is.")],
    decimals: Annotated[int, typer.Option("--decimals", min=0, max=18, help="Decimal places of a token.")] = 8,
    multiplier: Annotated[str, typer.Option("--multiplier", help="The multiplier it starts with.")] = "1",
    default_frozen: Annotated[
        bool, typer.Option("--default-frozen", help="New accounts start frozen: an allowlist.")
    ] = False,
    permanent_delegate: Annotated[
        bool, typer.Option(help="Somebody may move and burn the tokens of any account.")
    ] = True,
    pausable: Annotated[bool, typer.Option(help="Somebody may stop every movement.")] = True,
    scaled: Annotated[bool, typer.Option(help="It has a multiplier.")] = True,
    confidential: Annotated[bool, typer.Option(help="Confidential transfers may be approved later.")] = True,
    transfer_hook: Annotated[bool, typer.Option(help="A hook may be armed later.")] = True,
    hook_program: Annotated[str | None, typer.Option("--hook-program", help="Arm the hook from the start.")] = None,
    fee: Annotated[
        int | None, typer.Option("--transfer-fee", min=0, max=10_000, help="Basis points; with --no-confidential.")
    ] = None,
    fee_max: Annotated[str | None, typer.Option("--transfer-fee-max", help="The most one transfer pays, raw.")] = None,
    mint_key: Annotated[
        Path | None, typer.Option("--mint-key", help="Key file of the mint's address. Default: a new one.")
    ] = None,
    rpc_url: RpcUrl = None,
    keypair: Keypair = None,
    keys: Keys = None,
    signer: Signers = None,
    as_json: Json = False,
) -> None:
    """Create an instrument, with the live xStocks extension set unless told otherwise."""
    options: dict[str, Any] = {
        "default_frozen": default_frozen,
        "permanent_delegate": permanent_delegate,
        "pausable": pausable,
        "scaled": scaled,
        "confidential": confidential,
        "transfer_hook": transfer_hook,
        "fee_basis_points": fee,
    }
    if fee_max is not None and fee is None:
        raise exits.UsageProblem("--transfer-fee-max needs --transfer-fee")

    async def work() -> Any:
        from tieout_client import load_signer, parse_raw
        from tieout_client.keys import address

        if fee_max is not None:
            options["fee_raw_max"] = parse_raw(fee_max)
        if hook_program is not None:
            options["hook_program"] = address(hook_program, "program")
        key = None if mint_key is None else load_signer(mint_key)
        async with issuer(rpc_url, keypair, keys, signer) as connected:
            return await connected.create_instrument(
                symbol, name, uri, decimals, multiplier=multiplier, mint=key, **options
            )

    done = run(work())
    OUTPUT.result(
        {**receipt(done), "mint": done.mint},
        f"{symbol} is {done.mint}, created in slot {done.slot:,}\n{done.signature}",
    )


@APP.command("list")
def list_(dsn: Dsn = None, as_json: Json = False) -> None:
    """List the registered instruments with their supply as the ledger knows it."""
    from tieout_database import connect
    from tieout_reconcile import show_registry

    where = settings.database_dsn(dsn)

    async def work() -> list[dict[str, Any]]:
        registry = await show_registry(where)
        connection = await connect(where)
        try:
            known = {r["mint"]: r["supply"] for r in await connection.fetch("select mint, supply from ledger.supply")}
        finally:
            await connection.close()
        return [
            {"symbol": i.symbol, "mint": i.mint, "isin": i.isin, "decimals": i.decimals,
             "supply_raw": None if known.get(i.mint) is None else str(int(known[i.mint]))}
            for i in registry.instruments
        ]  # fmt: skip

    found = run(work())
    rows = ((i["symbol"], i["mint"], i["isin"], i["decimals"], i["supply_raw"] or "unknown") for i in found)
    OUTPUT.result({"instruments": found}, table("", ("symbol", "mint", "ISIN", "decimals>", "supply (raw)>"), rows))


@APP.command()
def multiplier(
    mint: Mint,
    value: Annotated[str, typer.Argument(help="The new multiplier: 1.0032690125398187, or a ratio such as 10/1.")],
    at: Annotated[
        str | None, typer.Option("--at", help="When it takes effect (ISO 8601 with a zone). Default: now.")
    ] = None,
    rpc_url: RpcUrl = None,
    keypair: Keypair = None,
    keys: Keys = None,
    signer: Signers = None,
    as_json: Json = False,
) -> None:
    """Set the multiplier now, or schedule it: the value in force is asserted again before it."""

    async def work() -> Any:
        async with issuer(rpc_url, keypair, keys, signer) as connected:
            if at is None:
                return await connected.set_multiplier_now(mint, value)
            return await connected.schedule_multiplier(mint, value, timestamp(at))

    done = run(work())
    _landed(f"multiplier {done.multiplier.as_float}", done, multiplier=multiplier_of(done.multiplier), error=done.error)


def timestamp(text: str) -> int:
    """Read an instant with a zone as unix seconds. Raises UsageProblem."""
    return int(instant("--at", text).timestamp())


@APP.command()
def pause(
    mint: Mint,
    rpc_url: RpcUrl = None,
    keypair: Keypair = None,
    keys: Keys = None,
    signer: Signers = None,
    as_json: Json = False,
) -> None:
    """Halt transfers, mints and burns."""
    _one("paused", "pause", (rpc_url, keypair, keys, signer), mint)


@APP.command()
def resume(
    mint: Mint,
    rpc_url: RpcUrl = None,
    keypair: Keypair = None,
    keys: Keys = None,
    signer: Signers = None,
    as_json: Json = False,
) -> None:
    """Let transfers, mints and burns go on."""
    _one("resumed", "resume", (rpc_url, keypair, keys, signer), mint)


@APP.command()
def freeze(
    mint: Mint,
    account: Owner,
    rpc_url: RpcUrl = None,
    keypair: Keypair = None,
    keys: Keys = None,
    signer: Signers = None,
    as_json: Json = False,
) -> None:
    """Freeze one token account."""
    _one("frozen", "freeze", (rpc_url, keypair, keys, signer), mint, account)


@APP.command()
def thaw(
    mint: Mint,
    account: Owner,
    rpc_url: RpcUrl = None,
    keypair: Keypair = None,
    keys: Keys = None,
    signer: Signers = None,
    as_json: Json = False,
) -> None:
    """Thaw one token account."""
    _one("thawed", "thaw", (rpc_url, keypair, keys, signer), mint, account)


def _one(what: str, method: str, hands: tuple[Any, Any, Any, Any], *args: str) -> None:
    async def work() -> Any:
        async with issuer(*hands) as connected:
            return await getattr(connected, method)(*args)

    _landed(what, run(work()))


@APP.command()
def seize(
    mint: Mint,
    account: Owner,
    amount: Annotated[str, typer.Argument(help="Shares at the multiplier in force, raw units with --raw, or all.")],
    case: Annotated[str, typer.Option("--case", help="Case number; written into the transaction's memo.")],
    raw: Raw = False,
    rpc_url: RpcUrl = None,
    keypair: Keypair = None,
    keys: Keys = None,
    signer: Signers = None,
    journal: JournalFile = None,
    as_json: Json = False,
) -> None:
    """Move a holder's tokens to the treasury by the permanent delegate, and leave the account frozen, all at once."""
    _taken("seized", "seize", (rpc_url, keypair, keys, signer, journal), (mint, account, amount, raw), case)


@APP.command("forced-burn")
def forced_burn(
    mint: Mint,
    account: Owner,
    amount: Annotated[str, typer.Argument(help="Shares at the multiplier in force, raw units with --raw, or all.")],
    case: Annotated[str, typer.Option("--case", help="Case number; written into the transaction's memo.")],
    raw: Raw = False,
    rpc_url: RpcUrl = None,
    keypair: Keypair = None,
    keys: Keys = None,
    signer: Signers = None,
    journal: JournalFile = None,
    as_json: Json = False,
) -> None:
    """Burn a holder's tokens by the permanent delegate, in one transaction; a frozen account is frozen again."""
    _taken("burned", "forced_burn", (rpc_url, keypair, keys, signer, journal), (mint, account, amount, raw), case)


def _taken(
    what: str, method: str, hands: tuple[Any, Any, Any, Any, Any], taken: tuple[str, str, str, bool], case: str
) -> None:
    mint, account, amount, raw = taken

    async def work() -> Any:
        async with desk(*hands) as connected:
            units = None if amount == "all" else await raw_amount(connected, mint, amount, raw)
            return await getattr(connected, method)(mint, account, units, case)

    _landed(what, run(work()))
