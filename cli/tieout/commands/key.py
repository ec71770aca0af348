"""``tieout key``: key files for local chains and small desks."""

from pathlib import Path
from typing import Annotated, Any

import typer

from tieout import settings
from tieout.commands.options import Json, RpcUrl, group, run
from tieout.issuer import Keypair, issuer, receipt
from tieout.output import OUTPUT

APP = group("Key files, as solana-keygen writes them.")
File = Annotated[Path, typer.Argument(help="Key file.")]
_LAMPORTS_PER_SOL = 1_000_000_000


@APP.command()
def new(path: File, as_json: Json = False) -> None:
    """Make a key and write it to a file that its owner alone can read; an existing file is never overwritten."""
    from solders.keypair import Keypair

    from tieout_client import write_keypair

    keypair = Keypair()
    path.parent.mkdir(parents=True, exist_ok=True)
    write_keypair(path, keypair)
    OUTPUT.result({"path": str(path), "address": str(keypair.pubkey())}, f"{keypair.pubkey()}")


@APP.command()
def show(path: File, as_json: Json = False) -> None:
    """Print the address of a key file."""
    from tieout_client import load_keypair

    address = str(load_keypair(path).pubkey())
    OUTPUT.result({"path": str(path), "address": address}, address)


@APP.command()
def fund(
    path: File,
    sol: Annotated[int, typer.Option("--sol", min=1, max=1_000_000, help="How much, in SOL.")] = 10,
    rpc_url: RpcUrl = None,
    as_json: Json = False,
) -> None:
    """Have the faucet of a local chain pay the key's address."""
    from tieout_client import airdrop, load_keypair

    address = str(load_keypair(path).pubkey())
    done = run(airdrop(settings.node_urls(rpc_url), address, sol * _LAMPORTS_PER_SOL))
    OUTPUT.result({"address": address, "signature": done.signature, "slot": done.slot}, f"{address} has {sol} SOL more")


@APP.command()
def multisig(
    member: Annotated[list[str], typer.Option("--member", help="Address of a member; once for each, at most 11.")],
    needed: Annotated[int, typer.Option("--needed", min=1, max=11, help="How many of them must sign.")],
    rpc_url: RpcUrl = None,
    keypair: Keypair = None,
    as_json: Json = False,
) -> None:
    """Make a token multisig on the chain: an authority or owner for whom so many of its members sign."""

    async def work() -> Any:
        async with issuer(rpc_url, keypair, None) as connected:
            return await connected.create_multisig(member, needed)

    made, done = run(work())
    OUTPUT.result(
        {**receipt(done), "address": made.address, "needed": made.needed, "members": list(made.members)},
        f"{made.address}, {made.needed} of {len(made.members)}\n{done.signature}",
    )
