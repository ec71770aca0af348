"""Options that several commands share, and how their commands run."""

import asyncio
from collections.abc import Coroutine
from typing import Annotated, Any, TypeVar

import typer

T = TypeVar("T")

BIGINT_MAX = 2**63 - 1
"""The largest slot, batch or run number that the database takes."""

Dsn = Annotated[
    str | None,
    typer.Option(
        "--dsn", help="Postgres connection string, without a password. Default: TIEOUT_DSN, or the embedded one."
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
RpcUrl = Annotated[
    list[str] | None, typer.Option("--rpc-url", help="A node's address; several to fail over. Default: TIEOUT_RPC_URL.")
]
Signer = Annotated[str | None, typer.Option("--keypair", help="Key file of the fee payer, as solana-keygen writes it.")]


def group(text: str) -> typer.Typer:
    """A group of commands."""
    return typer.Typer(help=text, no_args_is_help=True, rich_markup_mode=None)


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run a command's asynchronous work to its end."""
    return asyncio.run(work)
