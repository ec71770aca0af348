"""``tieout index``: backfill a range, follow the chain, look at and audit the ledger."""

import asyncio
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from tieout import exits, settings
from tieout.commands.database import findings_json, findings_table
from tieout.commands.options import BIGINT_MAX, Dsn, Json, RpcUrl, group, run
from tieout.output import OUTPUT, table

APP = group("The indexer: finalized blocks → proven ledger rows.")

Mints = Annotated[list[str] | None, typer.Option("--mint", help="Mint address; repeat for several.")]
FromSlot = Annotated[int, typer.Option("--from-slot", min=0, max=BIGINT_MAX, help="First slot of the range.")]
ToSlot = Annotated[int, typer.Option("--to-slot", min=0, max=BIGINT_MAX, help="Last slot of the range, inclusive.")]


def _limits() -> Any:
    from tieout_indexer import IndexerLimits

    config = settings.load()
    return IndexerLimits(
        window_slots_max=config.window_slots_max,
        fetches_in_flight_max=config.fetches_in_flight_max,
        poll_interval_s=config.poll_interval_s,
    )


def _checked(mints: list[str] | None) -> list[str]:
    from tieout_indexer import check_mint_address

    try:
        return [check_mint_address(mint) for mint in mints or []]
    except ValueError as bad:
        raise exits.UsageProblem(f"--mint: {bad}") from bad


@APP.command()
def backfill(
    from_slot: FromSlot,
    to_slot: ToSlot,
    rpc_url: RpcUrl = None,
    dsn: Dsn = None,
    mint: Mints = None,
    as_json: Json = False,
) -> None:
    """Read, prove and commit a range of slots; resumes what an earlier run left.

    Exit 0 only when the whole range is committed and proven for every mint; 1 when a slot in it is
    parked or a transaction quarantined; 3 when no node answered.
    """
    from tieout_indexer import backfill as work

    if to_slot < from_slot:
        raise exits.UsageProblem(f"--to-slot {to_slot} is before --from-slot {from_slot}")
    if not mint:
        raise exits.UsageProblem("name at least one mint with --mint")
    mints, where = _checked(mint), settings.database_dsn(dsn)
    with _progress(from_slot, to_slot) as moved:
        done = run(
            work(
                settings.node_urls(rpc_url), where, mints, from_slot, to_slot,
                say=OUTPUT.note, progress=moved, limits=_limits(),
            )
        )  # fmt: skip
    OUTPUT.result(_backfill_json(done), *_backfill_lines(done))
    if not done.complete:
        raise exits.Found


def _backfill_json(done: Any) -> dict[str, Any]:
    return {
        "from_slot": done.from_slot,
        "to_slot": done.to_slot,
        "mints": done.mints,
        "complete": done.complete,
        "events": done.events,
        "parked": {"slot": done.parked.slot, "reason": done.parked.reason} if done.parked else None,
        "unproven": {mint: [list(r) for r in ranges] for mint, ranges in done.unproven.items()},
        "quarantined": [
            {"slot": slot, "signature": signature, "mint": mint, "reason": reason}
            for slot, signature, mint, reason in done.quarantined
        ],
    }


def _backfill_lines(done: Any) -> list[str]:
    lines = [f"{done.events} events written, slots {done.from_slot} to {done.to_slot}, {len(done.mints)} mints"]
    if done.complete:
        return [*lines, "all of it is committed and proven"]
    if done.parked:
        lines.append(f"slot {done.parked.slot} is parked: {done.parked.reason}")
    lines += [
        f"not proven for {mint}: slots {start} to {end}"
        for mint, ranges in done.unproven.items()
        for start, end in ranges
    ]
    lines += [f"quarantined: slot {slot} {signature} {reason}" for slot, signature, _, reason in done.quarantined]
    return lines


@contextmanager
def _progress(from_slot: int, to_slot: int) -> Iterator[Callable[[Any], None]]:
    if OUTPUT.json or not exits.is_terminal():
        yield lambda outcome: None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=OUTPUT.err, transient=True) as progress:
        task = progress.add_task("slots", total=to_slot - from_slot + 1)

        def moved(outcome: Any) -> None:
            progress.update(task, completed=outcome.segment.to_slot - from_slot + 1)

        yield moved


@APP.command("run")
def run_(
    rpc_url: RpcUrl = None,
    dsn: Dsn = None,
    mint: Mints = None,
    from_slot: Annotated[
        int | None,
        typer.Option("--from-slot", min=0, max=BIGINT_MAX, help="Where a new mint starts. Default: the finalized tip."),
    ] = None,
) -> None:
    """Follow the finalized chain until SIGTERM; the segment in hand is finished first."""
    from tieout_indexer import follow

    mints, where, urls = _checked(mint), settings.database_dsn(dsn), settings.node_urls(rpc_url)
    interrupted = False

    async def work() -> None:
        nonlocal interrupted
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()

        def on_interrupt() -> None:
            nonlocal interrupted
            interrupted = True
            stop.set()

        loop.add_signal_handler(signal.SIGTERM, stop.set)
        loop.add_signal_handler(signal.SIGINT, on_interrupt)
        await follow(urls, where, mints, stop, from_slot=from_slot, say=OUTPUT.note, progress=_told, limits=_limits())

    run(work())
    if interrupted:
        raise KeyboardInterrupt
    OUTPUT.note("stopped")


def _told(outcome: Any) -> None:
    if outcome.events:
        OUTPUT.note(f"slots {outcome.segment.from_slot} to {outcome.proven_to}: {outcome.events} events")


@APP.command()
def status(dsn: Dsn = None, as_json: Json = False) -> None:
    """Show what is proven for each tracked mint, and what stands in the way of more."""
    tracked, parked, quarantine = run(_standing(settings.database_dsn(dsn)))
    OUTPUT.result(
        {"tracked": tracked, "parked": parked, "quarantine": quarantine},
        table("tracked mints", ("mint", "opening", "proven slots", "supply (raw)>"), (
            (t["mint"], t["opening"], ", ".join(f"{a}–{b}" for a, b in t["proven"]) or "none", _known(t["supply"]))
            for t in tracked
        )),
        *([_parked_table(parked)] if parked else []),
        *([_quarantine_table(quarantine)] if quarantine else []),
    )  # fmt: skip
    if parked or quarantine:
        raise exits.Found


def _known(supply: str | None) -> str:
    return "unknown" if supply is None else supply


_TRACKED = """
select t.mint, t.opening, s.decimals, s.supply
from ledger.tracked t join ledger.supply s using (mint) order by t.mint
"""


async def _standing(where: str) -> tuple[list[dict[str, Any]], list[dict[str, Any]], list[dict[str, Any]]]:
    from tieout_database import check_schema, connect

    connection = await connect(where)
    try:
        await check_schema(connection)
        coverage = await connection.fetch("select mint, from_slot, to_slot from ledger.coverage")
        tracked = [
            {
                "mint": row["mint"],
                "opening": row["opening"],
                "proven": [[c["from_slot"], c["to_slot"]] for c in coverage if c["mint"] == row["mint"]],
                "decimals": row["decimals"],
                "supply": None if row["supply"] is None else format(row["supply"], "f").split(".")[0],
            }
            for row in await connection.fetch(_TRACKED)
        ]
        parked = [
            dict(r) for r in await connection.fetch("select slot, reason, since from ledger.parked order by slot")
        ]
        quarantine = [
            dict(r)
            for r in await connection.fetch(
                "select slot, signature, mint, path, reason from ledger.quarantine order by slot"
            )
        ]
        return tracked, parked, quarantine
    finally:
        await connection.close()


def _quarantine_table(quarantine: list[dict[str, Any]]) -> Any:
    rows = ((q["slot"], q["signature"], q["reason"]) for q in quarantine)
    return table("quarantined", ("slot>", "signature", "reason"), rows)


def _parked_table(parked: list[dict[str, Any]]) -> Any:
    return table(
        "parked slots",
        ("slot>", "since", "reason"),
        ((p["slot"], f"{p['since']:%Y-%m-%d %H:%M:%S}", p["reason"]) for p in parked),
    )


@APP.command()
def parked(dsn: Dsn = None, as_json: Json = False) -> None:
    """List the slots in doubt; nothing beyond one is committed."""
    _, slots, _ = run(_standing(settings.database_dsn(dsn)))
    OUTPUT.result({"parked": slots}, _parked_table(slots) if slots else "no slot is parked")
    if slots:
        raise exits.Found


@APP.command()
def redecode(from_slot: FromSlot = 0, to_slot: ToSlot = 2**62, dsn: Dsn = None, as_json: Json = False) -> None:
    """Decode the stored evidence again, without a node; append only what differs."""
    from tieout_indexer import redecode as work

    appended, retracted = run(work(settings.database_dsn(dsn), from_slot, to_slot, limits=_limits()))
    OUTPUT.result(
        {"appended": appended, "retracted": retracted},
        f"{appended} rows appended, {retracted} retracted"
        if appended or retracted
        else "nothing differs: nothing written",
    )


@APP.command()
def verify(rpc_url: RpcUrl = None, dsn: Dsn = None, mint: Mints = None, as_json: Json = False) -> None:
    """Check the ledger: its hash chain, supply = Σ balances, and supply against the node."""
    from tieout_indexer import verify_chain, verify_supply

    where, mints = settings.database_dsn(dsn), _checked(mint)

    async def work() -> list[Any]:
        _, findings = await verify_chain(where)
        every = mints or [t["mint"] for t in (await _standing(where))[0]]
        return findings + await verify_supply(settings.node_urls(rpc_url), where, every)

    findings = run(work())
    OUTPUT.result(
        {"findings": findings_json(findings)},
        findings_table(findings) if findings else "the ledger holds: chain, identities, and the node's own supply",
    )
    if findings:
        raise exits.Found
