"""``tieout journal``: what this desk signed for which request, and what became of it."""

from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from tieout import exits, settings
from tieout.commands.options import Json, RpcUrl, group, run
from tieout.issuer import JournalFile, desk_settings
from tieout.output import OUTPUT, table
from tieout.paths import is_there

APP = group("The journal of requests: what was signed, and what became of it.")


@APP.command("list")
def list_(
    open_only: Annotated[bool, typer.Option("--open", help="Only those whose outcome is not known yet.")] = False,
    journal: JournalFile = None,
    as_json: Json = False,
) -> None:
    """List the journaled transactions, oldest first."""
    from tieout_client import Journal

    path = desk_settings(journal).journal_file
    if not is_there(path):
        raise exits.UsageProblem(f"there is no journal at {path}: the first request makes one")
    with Journal(path) as kept:
        found = [_plain(entry) for entry in kept.entries(open_only=open_only)]
    columns = ("kind", "request", "attempt", "state", "signed", "slot", "signature", "error")
    rows = ([entry[c] if entry[c] is not None else "" for c in columns] for entry in found)
    OUTPUT.result({"entries": found}, table("", columns, rows))


@APP.command()
def resume(rpc_url: RpcUrl = None, journal: JournalFile = None, as_json: Json = False) -> None:
    """Send again what was signed and is open, until it has landed or is dead; exit 1 when some did not land."""

    async def work() -> Any:
        from solders.keypair import Keypair

        from tieout_client import connect

        # Nothing is signed: a throw-away key stands where a signer is asked for.
        path = desk_settings(journal).journal_file
        async with connect(settings.node_urls(rpc_url), Keypair(), journal=path) as connected:
            return await connected.settle_open()

    found = [_settled(entry, outcome) for entry, outcome in run(work())]
    rows = ((s["kind"], s["request"], s["outcome"], s["signature"]) for s in found)
    OUTPUT.result({"settled": found}, table("", ("kind", "request", "outcome", "signature"), rows))
    if not all(s["landed"] for s in found):
        raise exits.Found


def _plain(entry: Any) -> dict[str, Any]:
    return {
        "kind": entry.kind,
        "request": entry.request_id,
        "attempt": entry.attempt,
        "state": entry.state,
        "parameters": entry.parameters,
        "chain": entry.chain,
        "signature": entry.signature,
        "slot": entry.slot,
        "guard": entry.guard,
        "error": entry.error,
        "signed": datetime.fromtimestamp(entry.signed_at, UTC).isoformat(timespec="seconds"),
    }


def _settled(entry: Any, outcome: Any) -> dict[str, Any]:
    landed = not isinstance(outcome, Exception) and outcome.succeeded
    told = f"landed in slot {outcome.slot}" if landed else str(getattr(outcome, "refusal", None) or outcome)
    return {
        "kind": entry.kind,
        "request": entry.request_id,
        "signature": entry.signature,
        "landed": landed,
        "outcome": told,
    }
