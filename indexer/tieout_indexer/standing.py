"""What the ledger says of itself: proven ranges, lag, doubts, findings, and how its nodes do. Reads only."""

from typing import Any

import asyncpg

from tieout_database import Queries
from tieout_indexer.chain import missing

_SQL = Queries("tieout_indexer", "standing.sql")
_RATE_OVER_S = 60.0


async def read_standing(connection: asyncpg.Connection) -> dict[str, Any]:
    """One consistent picture: tracked, parked, holes, quarantine, findings, endpoints, tip (None: no daemon asked)."""
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        holes = await _rows(connection, "holes")
        endpoints = await _rows(connection, "endpoints")
        tip = max((e["finalized_slot"] for e in endpoints if e["finalized_slot"] is not None), default=None)
        coverage, listed = await _ranges(connection, "coverage"), await _ranges(connection, "listed")
        rates = {r["mint"]: r["slots_per_s"] for r in await connection.fetch(_SQL["rates"], _RATE_OVER_S)}
        tracked = []
        for row in await connection.fetch(_SQL["tracked"]):
            proven = coverage.get(row["mint"], [])
            tracked.append(
                {
                    "mint": row["mint"],
                    "opening": row["opening"],
                    "proven": proven,
                    "listed": listed.get(row["mint"], []),
                    "holes": _holes_within(proven, holes),
                    "frontier": proven[-1][1] if proven else None,
                    "lag_slots": max(tip - proven[-1][1], 0) if proven and tip is not None else None,
                    "slots_per_s": rates.get(row["mint"], 0.0),
                    "decimals": row["decimals"],
                    "supply": None if row["supply"] is None else str(int(row["supply"])),
                }
            )
        return {
            "tracked": tracked,
            "parked": await _rows(connection, "parked"),
            "holes": holes,
            "quarantine": await _rows(connection, "quarantine"),
            "findings": await _rows(connection, "findings"),
            "endpoints": endpoints,
            "tip": tip,
        }


def _holes_within(proven: list[list[int]], holes: list[dict[str, Any]]) -> list[list[int]]:
    """What was given up and not read since, from the first proven slot on."""
    left = []
    for hole in holes:
        if proven and hole["to_slot"] >= proven[0][0]:
            wanted = (max(hole["from_slot"], proven[0][0]), hole["to_slot"])
            left += [list(r) for r in missing(wanted, [(a, b) for a, b in proven])]
    return left


async def _rows(connection: asyncpg.Connection, name: str) -> list[dict[str, Any]]:
    return [dict(row) for row in await connection.fetch(_SQL[name])]


async def _ranges(connection: asyncpg.Connection, name: str) -> dict[str, list[list[int]]]:
    ranges: dict[str, list[list[int]]] = {}
    for row in await connection.fetch(_SQL[name]):
        ranges.setdefault(row["mint"], []).append([row["from_slot"], row["to_slot"]])
    return ranges
