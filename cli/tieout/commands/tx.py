"""``tieout tx``: transactions that are prepared, signed and submitted in separate steps, through files.

What a file says is never believed: what is shown comes from the bytes that are signed.
"""

from pathlib import Path
from typing import Annotated, Any

import typer

from tieout import exits, settings
from tieout.commands.options import Json, RpcUrl, group, run
from tieout.issuer import (
    PREPARING,
    JournalFile,
    Keypair,
    PreparedInstead,
    Preparing,
    desk_settings,
    fee_payer,
    issuer,
    receipt,
)
from tieout.output import OUTPUT
from tieout.paths import is_there

APP = group("Transactions through files: prepare here, sign where the keys are, submit once.")
NONCE = group("Durable nonces: a transaction over one stays valid until the nonce advances.")
APP.add_typer(NONCE, name="nonce")

File = Annotated[Path, typer.Argument(help="Transaction file.")]
Account = Annotated[str, typer.Argument(help="Nonce account address.")]
Force = Annotated[
    bool, typer.Option("--force", help="Go on though something in the transaction is not understood. Rarely right.")
]


@APP.command(
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True, "allow_interspersed_args": False}
)
def prepare(
    context: typer.Context,
    path: Annotated[Path, typer.Argument(metavar="FILE", help="Transaction file to write; must not exist.")],
    nonce: Annotated[
        str | None, typer.Option("--nonce", help="Nonce account; without one the transaction lives for a minute.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Run COMMAND (issue …, instrument pause …) up to its signing and leave the transaction in FILE, unsigned.

    Keys may be addresses: a file that holds an address alone, treasury.pub in the folder of --keys.
    """
    from tieout_client import write_transaction

    if not context.args:
        raise exits.UsageProblem(
            "name what to prepare: tieout tx prepare FILE issue MINT 250.5 --to OWNER --request ID"
        )
    if is_there(path):
        raise exits.UsageProblem(f"{path} is there already: a transaction is never overwritten, name another file")
    token = PREPARING.set(Preparing(nonce))
    try:
        _run_other(context.args)
    except PreparedInstead as prepared:
        write_transaction(path, prepared.transaction, new=True)
        _tell(path, prepared.transaction)
    else:
        raise exits.UsageProblem(f"{context.args[0]} signs nothing: there is nothing to prepare")
    finally:
        PREPARING.reset(token)


def _run_other(arguments: list[str]) -> None:
    import typer.main

    from tieout.main import APP as WHOLE

    if arguments[0] == "tx":
        raise exits.UsageProblem("a transaction of tieout tx is sent as it is: run the command itself")
    typer.main.get_command(WHOLE).main(arguments, standalone_mode=False)


@APP.command()
def show(path: File, as_json: Json = False) -> None:
    """Show in words what a file's bytes would do, and who has signed; exit 1 when something is not understood."""
    from tieout_client import read_transaction

    found = read_transaction(path)
    _tell(path, found)
    if found.words.warnings:
        raise exits.Found


@APP.command()
def sign(
    path: File,
    keypair: Annotated[
        Path | None, typer.Option("--keypair", help="Key file of a signer. Default: the key in TIEOUT_KEY.")
    ] = None,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Show in words what is signed, then add a signature to the file. Needs no node."""
    from tieout_client import read_transaction, write_transaction

    found = read_transaction(path)
    if not OUTPUT.json:
        _tell(path, found)
    signed = run(found.signed_by(fee_payer(keypair), forced=force))
    write_transaction(path, signed)
    left = ", ".join(signed.missing)
    OUTPUT.result(_plain(path, signed), f"signed; {f'still to sign: {left}' if left else 'everybody has signed'}")


@APP.command()
def submit(
    paths: Annotated[list[Path], typer.Argument(metavar="FILE…", help="The file, or copies signed by several people.")],
    force: Force = False,
    rpc_url: RpcUrl = None,
    journal: JournalFile = None,
    as_json: Json = False,
) -> None:
    """Send a transaction that everybody has signed, once; run again, it tells what became of it."""
    from tieout_client import read_transaction

    first, *others = [read_transaction(path) for path in paths]
    merged = first.with_signatures_of(others)

    async def work() -> Any:
        async with _submitting(rpc_url, journal) as connected:
            return await connected.submit(merged, forced=force)

    done = run(work())
    plain = {**receipt(done), "summary": list(merged.words.lines)}
    OUTPUT.result(plain, *merged.words.lines, f"landed in slot {done.slot:,}\n{done.signature}")


def _submitting(rpc_url: list[str] | None, journal: Path | None) -> Any:
    from fractions import Fraction

    from solders.keypair import Keypair as Key

    from tieout_client import AmountLimits, connect

    wanted = desk_settings(journal)
    limits = AmountLimits(
        operation_shares_max=Fraction(wanted.operation_shares_max), day_shares_max=Fraction(wanted.day_shares_max)
    )
    # Nothing is signed here: a throw-away key stands where a signer is asked for.
    return connect(settings.node_urls(rpc_url), Key(), journal=wanted.journal_file, amounts=limits)


@NONCE.command("create")
def nonce_create(
    authority: Annotated[
        str | None, typer.Option("--authority", help="Who advances it. Default: the fee payer.")
    ] = None,
    rpc_url: RpcUrl = None,
    keypair: Keypair = None,
    as_json: Json = False,
) -> None:
    """Make a nonce account; the fee payer funds it."""

    async def work() -> Any:
        async with issuer(rpc_url, keypair, None) as connected:
            return await connected.create_nonce(authority)

    made, done = run(work())
    OUTPUT.result(
        {**receipt(done), **_nonce(made)}, f"nonce {made.address}, advanced by {made.authority}\n{done.signature}"
    )


@NONCE.command("show")
def nonce_show(account: Account, rpc_url: RpcUrl = None, as_json: Json = False) -> None:
    """Show who may advance a nonce, and its value of now."""

    async def work() -> Any:
        from solders.keypair import Keypair as Key

        from tieout_client import connect

        async with connect(settings.node_urls(rpc_url), Key()) as connected:
            return await connected.show_nonce(account)

    found = run(work())
    OUTPUT.result(_nonce(found), f"{found.address}, advanced by {found.authority}, is at {found.value}")


@NONCE.command("advance")
def nonce_advance(
    account: Account,
    authority: Annotated[
        Path | None, typer.Option("--authority", help="Key file of who may advance it. Default: the fee payer's.")
    ] = None,
    rpc_url: RpcUrl = None,
    keypair: Keypair = None,
    as_json: Json = False,
) -> None:
    """Advance a nonce: every transaction signed over its value of now is dead, sent or not."""

    async def work() -> Any:
        from tieout_client import load_signer

        async with issuer(rpc_url, keypair, None) as connected:
            holder = None if authority is None else load_signer(authority)
            return await connected.advance_nonce(account, holder)

    done = run(work())
    OUTPUT.result(
        receipt(done), f"advanced in slot {done.slot:,}: what was signed over it before is dead\n{done.signature}"
    )


def _nonce(found: Any) -> dict[str, str]:
    return {"nonce": found.address, "authority": found.authority, "value": found.value}


def _plain(path: Path, found: Any) -> dict[str, Any]:
    words = found.words
    return {
        "file": str(path),
        "chain": found.chain,
        "fee_payer": words.fee_payer,
        "nonce": None if words.nonce is None else {"account": words.nonce[0], "value": words.nonce[1]},
        "summary": list(words.lines),
        "warnings": list(words.warnings),
        "signed": [key for key in words.signers if key in found.signatures],
        "missing": list(found.missing),
    }


def _tell(path: Path, found: Any) -> None:
    words = found.words
    lasts = (
        "valid for about a minute from its preparation"
        if words.nonce is None
        else f"valid until the nonce {words.nonce[0]} advances"
    )
    lines = [f"{number}. {line}" for number, line in enumerate(words.lines, 1)]
    loud = [f"WARNING: {warning}" for warning in words.warnings]
    signed = [f"{'signed' if key in found.signatures else 'MISSING'}  {key}" for key in words.signers]
    OUTPUT.result(
        _plain(path, found), *lines, f"fee payer {words.fee_payer}, chain {found.chain}, {lasts}", *signed, *loud
    )
