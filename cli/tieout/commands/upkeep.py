"""``tieout instrument authority | hook | allowlist | metadata | bulk``: keeping an instrument."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from tieout import exits
from tieout.commands.market import Mint
from tieout.commands.options import Json, RpcUrl, read_text, rows_bar, run, write_rows
from tieout.issuer import Keypair, Keys, Signers, issuer, receipt
from tieout.output import OUTPUT

_FILE_BYTES_MAX = 32 * 1024 * 1024
_RESULT = ("line", "account", "owner", "state", "signature", "slot", "error")


class Freezing(StrEnum):
    """What is done to every account of a file."""

    freeze = "freeze"
    thaw = "thaw"


def register(app: typer.Typer) -> None:
    """Add these to the instrument commands."""
    for command in (authority, hook, allowlist, metadata, bulk):
        app.command(command.__name__)(command)


def authority(
    mint: Mint,
    kind: Annotated[
        str, typer.Argument(help="mint_tokens, freeze_account, scaled_ui_amount, pause, permanent_delegate …")
    ],
    new_key: Annotated[
        Path | None,
        typer.Option("--new-key", help="Key file of the new authority: it signs too, and so shows that it can."),
    ] = None,
    new: Annotated[
        str | None, typer.Option("--to", help="Address of the new authority, where it cannot sign; with --unproven.")
    ] = None,
    unproven: Annotated[
        bool, typer.Option("--unproven", help="Hand over though nobody has shown that the new address can sign.")
    ] = False,
    give_up: Annotated[bool, typer.Option("--give-up", help="Nobody holds it afterwards, for good.")] = False,
    rpc_url: RpcUrl = None,
    keypair: Keypair = None,
    keys: Keys = None,
    signer: Signers = None,
    as_json: Json = False,
) -> None:
    """Hand an authority to a key that signs the same transaction, or give it up for good."""
    if [new_key is not None, new is not None, give_up].count(True) != 1:
        raise exits.UsageProblem("name the new authority with --new-key FILE or --to ADDRESS, or say --give-up")

    async def work() -> Any:
        from tieout_client import load_signer

        async with issuer(rpc_url, keypair, keys, signer) as connected:
            if give_up:
                return await connected.set_authority(mint, kind, None)
            to = new if new_key is None else await connected.acting(load_signer(new_key))
            return await connected.rotate(mint, kind, to, unproven=unproven)

    _landed(f"{kind} {'given up' if give_up else 'handed over'}", run(work()))


def hook(
    mint: Mint,
    arm: Annotated[
        str | None, typer.Option("--arm", help="Address of the program that every transfer is to run.")
    ] = None,
    disarm: Annotated[bool, typer.Option("--disarm", help="No program is run any more.")] = False,
    rpc_url: RpcUrl = None,
    keypair: Keypair = None,
    keys: Keys = None,
    signer: Signers = None,
    as_json: Json = False,
) -> None:
    """Arm or disarm the transfer hook. While it is armed, transfers need the hook's own accounts."""
    if (arm is None) != disarm:
        raise exits.UsageProblem("name the program with --arm, or say --disarm")
    _one("hook disarmed" if disarm else f"hook {arm} armed", "set_hook", (rpc_url, keypair, keys, signer), mint, arm)


def allowlist(
    mint: Mint,
    on: Annotated[bool, typer.Option("--on/--off", help="Whether new accounts start frozen.")],
    rpc_url: RpcUrl = None,
    keypair: Keypair = None,
    keys: Keys = None,
    signer: Signers = None,
    as_json: Json = False,
) -> None:
    """Have new accounts start frozen, to be thawed for those who are allowed; open ones stay as they are."""
    _one(f"allowlist {'on' if on else 'off'}", "set_allowlist", (rpc_url, keypair, keys, signer), mint, on)


def metadata(
    mint: Mint,
    name: Annotated[str | None, typer.Option("--name", help="New name.")] = None,
    symbol: Annotated[str | None, typer.Option("--symbol", help="New symbol.")] = None,
    uri: Annotated[str | None, typer.Option("--uri", help="Where the metadata document is.")] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", help="A field of your own: isin=CH1436219252.")] = None,
    remove: Annotated[list[str] | None, typer.Option("--remove", help="A field of your own to remove.")] = None,
    rpc_url: RpcUrl = None,
    keypair: Keypair = None,
    keys: Keys = None,
    signer: Signers = None,
    as_json: Json = False,
) -> None:
    """Change name, symbol (a symbol change), document, or fields of your own."""
    changes = {key: value for key, value in (("name", name), ("symbol", symbol), ("uri", uri)) if value is not None}
    for text in set_ or []:
        key, equals, value = text.partition("=")
        if not equals or key in {"name", "symbol", "uri"}:
            raise exits.UsageProblem(f"--set {text!r} is no field of your own: write field=value")
        changes[key] = value
    _one("metadata changed", "update_metadata", (rpc_url, keypair, keys, signer), mint, changes, remove or [])


def bulk(
    mint: Mint,
    what: Annotated[Freezing, typer.Argument(help="What to do to each account.")],
    file: Annotated[Path, typer.Argument(help="CSV file with a column owner, or account.")],
    open_missing: Annotated[
        bool, typer.Option("--open", help="Open the accounts that owners do not have yet: puts them on an allowlist.")
    ] = False,
    result: Annotated[Path | None, typer.Option("--result", help="CSV file to write: what became of each row.")] = None,
    rpc_url: RpcUrl = None,
    keypair: Keypair = None,
    keys: Keys = None,
    signer: Signers = None,
    as_json: Json = False,
) -> None:
    """Freeze or thaw every account of a file; run again, it does what is missing. Exit 1 when some is left."""
    text = read_text(file, "accounts file", _FILE_BYTES_MAX)

    async def work() -> list[Any]:
        from tieout_client import parse_accounts

        rows = parse_accounts(text, mint)
        async with issuer(rpc_url, keypair, keys, signer) as connected:
            with rows_bar(f"{what.value}ing", len(rows)) as advance:
                lines: list[Any] = await connected.set_frozen(
                    mint, rows, what is Freezing.freeze, open_missing=open_missing, progress=advance
                )
        return lines

    lines = run(work())
    if result is not None:
        write_rows(result, _RESULT, map(_result, lines))
    failed = [line for line in lines if line.error is not None]
    counts = {state: sum(line.state == state for line in lines) for state in ("done", "already", "failed")}
    plain = {
        "rows": len(lines),
        **counts,
        "errors": [{"line": line.row.line, "account": line.row.account, "error": line.error} for line in failed],
    }
    said = [f"line {line.row.line}: {line.error}" for line in failed[:20]]
    OUTPUT.result(plain, f"{counts['done']:,} done, {counts['already']:,} were so already, {len(failed):,} not", *said)
    if failed:
        raise exits.Found


def _result(line: Any) -> list[Any]:
    row = line.row
    return [row.line, row.account, row.owner, line.state, line.signature, line.slot, line.error]


def _one(what: str, method: str, hands: tuple[Any, Any, Any, Any], *args: Any) -> None:
    async def work() -> Any:
        async with issuer(*hands) as connected:
            return await getattr(connected, method)(*args)

    _landed(what, run(work()))


def _landed(what: str, done: Any) -> None:
    OUTPUT.result(receipt(done), f"{what} in slot {done.slot:,}\n{done.signature}")
