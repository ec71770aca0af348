"""``tieout index status``: what is proven, how far, and what stands in the way of more."""

import asyncio
import sys
from dataclasses import dataclass
from typing import Annotated, Any

import typer
from rich.console import Group
from rich.live import Live

from tieout import exits, settings
from tieout.commands.options import Dsn, Json, run
from tieout.output import OUTPUT, table

_REFRESH_S = 1.0


def register(app: typer.Typer) -> None:
    """Add the commands to ``tieout index``."""
    app.command("status")(status)


@dataclass(frozen=True, slots=True)
class Standing:
    """What the ledger says of itself: each list as ``--json`` prints it."""

    tracked: list[dict[str, Any]]
    parked: list[dict[str, Any]]
    holes: list[dict[str, Any]]
    quarantine: list[dict[str, Any]]
    findings: list[dict[str, Any]]
    endpoints: list[dict[str, Any]]
    tip: int | None

    @property
    def sound(self) -> bool:
        """Whether nothing asks for a person."""
        return not (self.parked or self.quarantine or self.findings or any(t["holes"] for t in self.tracked))


def status(
    dsn: Dsn = None,
    as_json: Json = False,
    watch: Annotated[bool, typer.Option("--watch", help="Show it live on a terminal until Ctrl-C.")] = False,
) -> None:
    """Show what is proven for each tracked mint, how far behind it is, and what stands in the way of more."""
    where = settings.database_dsn(dsn)
    if watch and not OUTPUT.json and sys.stdout.isatty():
        run(_live(where))
        return
    found = run(standing(where))
    OUTPUT.result(
        {
            "tip": found.tip,
            "tracked": found.tracked,
            "parked": found.parked,
            "accepted": found.holes,
            "quarantine": found.quarantine,
            "findings": found.findings,
            "endpoints": found.endpoints,
        },
        *_tables(found),
    )
    if not found.sound:
        raise exits.Found


async def _live(where: str) -> None:
    with Live(console=OUTPUT.out, refresh_per_second=2, screen=True) as live:
        while True:
            live.update(Group(*_tables(await standing(where))))
            await asyncio.sleep(_REFRESH_S)


def _tables(found: Standing) -> list[Any]:
    shown = [_tracked_table(found)]
    for rows, made in (
        (found.parked, parked_table),
        (found.holes, holes_table),
        (found.quarantine, _quarantine_table),
        (found.findings, _findings_table),
        (found.endpoints, _endpoints_table),
    ):
        if rows:
            shown.append(made(rows))
    return shown


def _tracked_table(found: Standing) -> Any:
    title = "tracked mints" if found.tip is None else f"tracked mints, finalized tip {found.tip}"
    columns = ("mint", "opening", "proven slots", "only listed", "lag>", "slots/s>", "supply (raw)>")
    return table(title, columns, (
        (t["mint"], t["opening"], _ranges(t["proven"]) or "none", _ranges(t["listed"]), _known(t["lag_slots"]),
         f"{t['slots_per_s']:.1f}", _known(t["supply"]))
        for t in found.tracked
    ))  # fmt: skip


def _ranges(ranges: list[list[int]]) -> str:
    return ", ".join(f"{a}–{b}" for a, b in ranges)


def _known(value: Any) -> str:
    return "unknown" if value is None else str(value)


async def standing(where: str) -> Standing:
    """Read what the ledger says of itself. Raises DatabaseError."""
    from tieout_database import check_schema, connect
    from tieout_indexer import read_standing

    connection = await connect(where)
    try:
        await check_schema(connection)
        return Standing(**await read_standing(connection))
    finally:
        await connection.close()


def _quarantine_table(quarantine: list[dict[str, Any]]) -> Any:
    rows = ((q["slot"], q["signature"], q["reason"]) for q in quarantine)
    return table("quarantined", ("slot>", "signature", "reason"), rows)


def parked_table(parked: list[dict[str, Any]]) -> Any:
    """Slots in doubt, for people."""
    return table(
        "parked slots",
        ("slot>", "since", "reason"),
        ((p["slot"], f"{p['since']:%Y-%m-%d %H:%M:%S}", p["reason"]) for p in parked),
    )


def holes_table(holes: list[dict[str, Any]]) -> Any:
    """Slots given up, for people."""
    rows = (
        (f"{h['from_slot']}–{h['to_slot']}", f"{h['accepted_at']:%Y-%m-%d %H:%M:%S}", h["accepted_by"], h["reason"])
        for h in holes
    )
    return table("given up", ("slots", "when", "by", "reason"), rows)


def _findings_table(findings: list[dict[str, Any]]) -> Any:
    columns = ("audit", "subject", "expected", "found", "since")
    return table("open findings", columns, (
        (f["audit"], f["subject"], f["expected"], f["found"], f"{f['opened_at']:%Y-%m-%d %H:%M:%S}") for f in findings
    ))  # fmt: skip


def _endpoints_table(endpoints: list[dict[str, Any]]) -> Any:
    columns = ("endpoint", "standing", "finalized>", "lag>", "requests>", "failed>", "limited>", "latency>")
    return table("endpoints", columns, (
        (e["endpoint"], e["standing"], _known(e["finalized_slot"]), _known(e["lag_slots"]), e["requests"],
         e["failures"], e["rate_limited"], f"{e['latency_s'] * 1000:.0f} ms")
        for e in endpoints
    ))  # fmt: skip
