"""``tieout instrument``: create and control tokenized stocks on the chain."""

import json
import tomllib
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from tieout import exits, settings
from tieout.commands.market import Amount, Mint, Raw
from tieout.commands.options import Dsn, Json, RpcUrl, group, run
from tieout.issuer import JournalFile, Keypair, Keys, desk, issuer, raw_amount, receipt
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
    decimals: Annotated[int, typer.Option("--decimals", min=0, max=18)] = 8,
    mint_key: Annotated[
        Path | None, typer.Option("--mint-key", help="Key file of the mint's address. Default: a new one.")
    ] = None,
    rpc_url: RpcUrl = None,
    keypair: Keypair = None,
    keys: Keys = None,
    as_json: Json = False,
) -> None:
    """Create an instrument with the live xStocks extension set."""

    async def work() -> Any:
        from tieout_client import load_keypair

        key = None if mint_key is None else load_keypair(mint_key)
        async with issuer(rpc_url, keypair, keys) as connected:
            return await connected.create_instrument(symbol, name, uri, decimals, mint=key)

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
def show(
    mint: Mint,
    profile: Annotated[
        Path | None,
        typer.Option(
            "--profile", help="TOML or JSON with what it should be, named as in --json; exit 1 if it differs."
        ),
    ] = None,
    rpc_url: RpcUrl = None,
    as_json: Json = False,
) -> None:
    """Show a mint as the chain has it: supply, multipliers, authorities and who holds them, extensions, risks."""
    from tieout_client import differences, risks

    expected = None if profile is None else _profile(profile)
    found, holders = run(_show(mint, rpc_url))
    plain = _plain(found)
    plain["holders"] = {role: holder.detail for role, holder in holders.items()}
    plain["risks"] = {risk.code: risk.sentence for risk in risks(found, holders)}
    lines: list[Any] = [table("", ("", ""), ((k, _line(v)) for k, v in plain.items()))]
    differs: list[tuple[str, Any, Any]] = []
    if expected is not None:
        differs = differences(expected, plain)
        plain["differences"] = [{"field": at, "expected": e, "found": f} for at, e, f in differs]
        rows = [(at, _line(e), _line(f)) for at, e, f in differs]
        lines.append(
            table("differs from the profile", ("field", "expected", "found"), rows) if rows else "as the profile says"
        )
    OUTPUT.result(plain, *lines)
    if differs:
        raise exits.Found


def _profile(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text("utf-8")
        found = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except OSError as bad:
        raise exits.UsageProblem(f"cannot read the profile {path}: {bad.strerror or type(bad).__name__}") from bad
    except (ValueError, RecursionError) as bad:
        raise exits.UsageProblem(f"the profile {path} is neither TOML nor, named .json, JSON: {bad}") from bad
    if not isinstance(found, dict) or not found:
        raise exits.UsageProblem(f"the profile {path} names nothing to compare: take fields of instrument show --json")
    # What show --json says of itself and of the moment is no part of a profile.
    return {name: value for name, value in found.items() if name not in {"schema", "slot"}}


def _plain(found: Any) -> dict[str, Any]:
    pending = found.pending
    return {
        "mint": found.address,
        "slot": found.slot,
        "symbol": found.symbol,
        "name": found.name,
        "uri": found.uri,
        "decimals": found.decimals,
        "supply_raw": str(found.supply),
        "space": found.space,
        "paused": found.paused,
        "multiplier": _multiplier(found.multiplier),
        "pending": None if pending is None else _multiplier(pending),
        "authorities": dict(found.authorities),
        "extensions": [e.name for e in found.mint.extensions],
    }


def _line(value: Any) -> str:
    if isinstance(value, dict):
        return "\n".join(f"{k}: {v}" for k, v in value.items())
    return ", ".join(value) if isinstance(value, list) else str(value)


def _multiplier(value: Any) -> dict[str, Any]:
    # Beyond year 9999 there is no date to show: the seconds say it.
    seconds = value.effective_timestamp
    shown = datetime.fromtimestamp(seconds, UTC).isoformat() if 0 <= seconds < 253_402_300_800 else str(seconds)
    return {"value": str(value.as_float), "bits": value.bits.hex(), "effective_at": shown}


async def _show(mint: str, rpc_url: list[str] | None) -> tuple[Any, Any]:
    from solders.keypair import Keypair as Key

    from tieout_client import connect

    # Reading needs no key of anybody's: a throw-away one stands where a signer is asked for.
    async with connect(settings.node_urls(rpc_url), Key()) as connected:
        found = await connected.show(mint)
        return found, await connected.holders(found)


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
    as_json: Json = False,
) -> None:
    """Set the multiplier now, or schedule it: the value in force is asserted again before it."""

    async def work() -> Any:
        async with issuer(rpc_url, keypair, keys) as connected:
            if at is None:
                return await connected.set_multiplier_now(mint, value)
            return await connected.schedule_multiplier(mint, value, timestamp(at))

    done = run(work())
    _landed(f"multiplier {done.multiplier.as_float}", done, multiplier=_multiplier(done.multiplier), error=done.error)


def timestamp(text: str) -> int:
    """Read an instant with a zone as unix seconds. Raises UsageProblem."""
    try:
        instant = datetime.fromisoformat(text)
    except ValueError as bad:
        raise exits.UsageProblem(f"--at {text!r} is no instant: write 2026-12-01T00:30:00+00:00") from bad
    if instant.tzinfo is None:
        raise exits.UsageProblem(f"--at {text!r} has no time zone: write 2026-12-01T00:30:00+00:00")
    return int(instant.timestamp())


@APP.command()
def pause(
    mint: Mint, rpc_url: RpcUrl = None, keypair: Keypair = None, keys: Keys = None, as_json: Json = False
) -> None:
    """Halt transfers, mints and burns."""
    _one("paused", "pause", rpc_url, keypair, keys, mint)


@APP.command()
def resume(
    mint: Mint, rpc_url: RpcUrl = None, keypair: Keypair = None, keys: Keys = None, as_json: Json = False
) -> None:
    """Let transfers, mints and burns go on."""
    _one("resumed", "resume", rpc_url, keypair, keys, mint)


@APP.command()
def freeze(
    mint: Mint,
    account: Owner,
    rpc_url: RpcUrl = None,
    keypair: Keypair = None,
    keys: Keys = None,
    as_json: Json = False,
) -> None:
    """Freeze one token account."""
    _one("frozen", "freeze", rpc_url, keypair, keys, mint, account)


@APP.command()
def thaw(
    mint: Mint,
    account: Owner,
    rpc_url: RpcUrl = None,
    keypair: Keypair = None,
    keys: Keys = None,
    as_json: Json = False,
) -> None:
    """Thaw one token account."""
    _one("thawed", "thaw", rpc_url, keypair, keys, mint, account)


def _one(
    what: str, method: str, rpc_url: list[str] | None, keypair: Path | None, keys: Path | None, *args: str
) -> None:
    async def work() -> Any:
        async with issuer(rpc_url, keypair, keys) as connected:
            return await getattr(connected, method)(*args)

    _landed(what, run(work()))


@APP.command()
def seize(
    mint: Mint,
    account: Owner,
    amount: Amount,
    case: Annotated[str, typer.Option("--case", help="Case number; written into the transaction's memo.")],
    raw: Raw = False,
    rpc_url: RpcUrl = None,
    keypair: Keypair = None,
    keys: Keys = None,
    journal: JournalFile = None,
    as_json: Json = False,
) -> None:
    """Move a holder's tokens to the treasury by the permanent delegate, in one transaction."""

    async def work() -> Any:
        async with desk(rpc_url, keypair, keys, journal) as connected:
            return await connected.seize(mint, account, await raw_amount(connected, mint, amount, raw), case)

    _landed("seized", run(work()))


@APP.command()
def authority(
    mint: Mint,
    kind: Annotated[
        str, typer.Argument(help="mint_tokens, freeze_account, scaled_ui_amount, pause, permanent_delegate …")
    ],
    new: Annotated[str | None, typer.Option("--to", help="The new authority's address.")] = None,
    give_up: Annotated[bool, typer.Option("--give-up", help="Nobody holds it afterwards, for good.")] = False,
    rpc_url: RpcUrl = None,
    keypair: Keypair = None,
    keys: Keys = None,
    as_json: Json = False,
) -> None:
    """Hand an authority over, or give it up for good."""
    if (new is None) != give_up:
        raise exits.UsageProblem("name the new authority with --to, or say --give-up")

    async def work() -> Any:
        async with issuer(rpc_url, keypair, keys) as connected:
            return await connected.set_authority(mint, kind, new)

    _landed(f"{kind} handed over", run(work()))
