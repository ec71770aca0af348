"""``tieout index``: other ways into the ledger than blocks from the beginning: listed mints, snapshots, signatures."""

from typing import Annotated

import typer

from tieout import exits, settings
from tieout.commands.index_options import FromSlot, Mints, ToSlot, checked_mints, limits
from tieout.commands.options import BIGINT_MAX, Dsn, Json, RpcUrl, run
from tieout.output import OUTPUT

OneMint = Annotated[str, typer.Option("--mint", help="Mint address.")]


def register(app: typer.Typer) -> None:
    """Add the commands to ``tieout index``."""
    app.command("track")(track)
    app.command("snapshot")(snapshot)
    app.command("list")(listed)


def track(
    rpc_url: RpcUrl = None,
    dsn: Dsn = None,
    mint: Mints = None,
    from_slot: Annotated[
        int | None,
        typer.Option("--from-slot", min=0, max=BIGINT_MAX, help="Where they start. Default: the finalized tip."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Add mints to the list; a running indexer takes them up and reads them up without stopping the others."""
    from tieout_indexer import track as work

    if not mint:
        raise exits.UsageProblem("name at least one mint with --mint")
    where, urls = settings.database_dsn(dsn), settings.node_urls(rpc_url)
    added = run(work(urls, where, checked_mints(mint), from_slot, limits=limits()))
    OUTPUT.result(
        {"added": [{"mint": address, "from_slot": slot} for address, slot in added.items()]},
        *(f"{address} is tracked from slot {slot}" for address, slot in added.items()),
        *([] if added else ["already tracked: nothing written"]),
    )


def snapshot(mint: OneMint, rpc_url: RpcUrl = None, dsn: Dsn = None, as_json: Json = False) -> None:
    """Open a mint from a picture of all its accounts at the finalized slot; what follows is proven from there."""
    from tieout_indexer import take_snapshot

    where, urls = settings.database_dsn(dsn), settings.node_urls(rpc_url)
    opening = run(take_snapshot(urls, where, checked_mints([mint])[0], limits=limits()))
    OUTPUT.result(
        {
            "mint": opening.mint,
            "slot": opening.slot,
            "decimals": opening.decimals,
            "supply": str(opening.supply),
            "withheld": str(opening.withheld),
            "hidden": str(opening.hidden),
            "accounts": opening.accounts,
        },
        f"{opening.mint} is open at slot {opening.slot}: supply {opening.supply} in {opening.accounts} accounts; "
        f"read on from slot {opening.slot + 1}",
    )


def listed(
    mint: OneMint,
    from_slot: FromSlot,
    to_slot: ToSlot,
    rpc_url: RpcUrl = None,
    dsn: Dsn = None,
    as_json: Json = False,
) -> None:
    """Read a range through getSignaturesForAddress, without access to blocks: weaker, and never called proven.

    Each transaction is proven by itself; that none is missing is only the node's word.
    """
    from tieout_indexer import read_listed

    if to_slot < from_slot:
        raise exits.UsageProblem(f"--to-slot {to_slot} is before --from-slot {from_slot}")
    where, urls = settings.database_dsn(dsn), settings.node_urls(rpc_url)
    done = run(read_listed(urls, where, checked_mints([mint])[0], from_slot, to_slot, limits=limits()))
    OUTPUT.result(
        {
            "mint": done.mint,
            "from_slot": done.from_slot,
            "to_slot": done.to_slot,
            "proven": False,
            "listed": done.listed,
            "transactions": done.transactions,
            "events": done.events,
            "unread": done.unread,
            "cut_at": done.cut_at,
        },
        f"{done.listed} transactions listed, {done.transactions} of them about its tokens: {done.events} events",
        "weaker than blocks: that nothing is missing is the node's word",
        *(f"listed, and no node has it: {signature}" for signature in done.unread),
        *([] if done.cut_at is None else [_cut(done.cut_at)]),
    )
    if done.unread or done.cut_at is not None:
        raise exits.Found


def _cut(slot: int) -> str:
    return (
        f"nothing is read up to slot {slot}: the list has more transactions than audit_signatures_max; "
        "raise it (TIEOUT_AUDIT_SIGNATURES_MAX) and run again"
    )
