"""``tieout index``: backfill a range, follow the chain. Looking and caring: ``index_status``, ``index_care``."""

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from tieout import exits, settings
from tieout.commands import index_care, index_sources, index_status
from tieout.commands.index_options import FromSlot, Mints, ToSlot, checked_mints, limits
from tieout.commands.options import BIGINT_MAX, Dsn, Json, RpcUrl, group, run
from tieout.output import OUTPUT
from tieout.running import check_metrics_port, run_until_stopped, speaker, told_to_stop

APP = group("The indexer: finalized blocks → proven ledger rows.")
_TOLD_EVERY_S = 30.0
index_status.register(APP)
index_care.register(APP)
index_sources.register(APP)


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
    mints, where = checked_mints(mint), settings.database_dsn(dsn)
    with _progress(from_slot, to_slot) as moved:
        done = run(
            work(
                settings.node_urls(rpc_url), where, mints, from_slot, to_slot,
                say=OUTPUT.note, progress=moved, limits=limits(),
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
    lines = [f"{done.events} events written, slots {done.from_slot} to {done.to_slot}, {_mints(len(done.mints))}"]
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


def _teller(to_slot: int) -> Callable[[Any], None]:
    # a log has no bar: a line now and then, so that nobody takes a long range for one that hangs
    told_at = time.monotonic()

    def moved(outcome: Any) -> None:
        nonlocal told_at
        if outcome.proven_to is not None and time.monotonic() - told_at >= _TOLD_EVERY_S:
            told_at = time.monotonic()
            OUTPUT.note(f"proven to slot {outcome.proven_to:,} of {to_slot:,}")

    return moved


def _mints(count: int) -> str:
    return "1 mint" if count == 1 else f"{count} mints"


@contextmanager
def _progress(from_slot: int, to_slot: int) -> Iterator[Callable[[Any], None]]:
    if OUTPUT.json or not exits.is_terminal():
        yield _teller(to_slot)
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
    terminated = told_to_stop()
    from tieout_indexer import follow

    mints, where, urls = checked_mints(mint), settings.database_dsn(dsn), settings.node_urls(rpc_url)
    config = settings.load()
    check_metrics_port(config.metrics_host, config.metrics_port, "metrics_port (TIEOUT_METRICS_PORT)")
    say = speaker(config.log_format)

    def told(outcome: Any) -> None:
        if outcome.events:
            first, last = outcome.segment.from_slot, outcome.proven_to
            say(
                f"slots {first} to {last}: {outcome.events} events",
                event="committed", from_slot=first, to_slot=last, events=outcome.events,
            )  # fmt: skip

    async def work(stop: asyncio.Event) -> None:
        await follow(urls, where, mints, stop, from_slot=from_slot, say=say, progress=told, limits=limits())

    run_until_stopped(work, terminated)
    say("stopped", event="stopped")
