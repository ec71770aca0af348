"""A registry's rows, written and read."""

from fractions import Fraction
from typing import Any

import asyncpg

from tieout_reconcile.calendars import Calendar
from tieout_reconcile.exact import fraction, numeric
from tieout_reconcile.registry import (
    Announcement,
    Custodian,
    CustodyAccount,
    Instrument,
    PaymentToken,
    Registry,
    Role,
    Venue,
    Wallet,
    sorted_registry,
)
from tieout_reconcile.sources import Source
from tieout_reconcile.store import SQL


async def insert_registry(db: asyncpg.Connection, load: int, registry: Registry) -> None:
    """Store a whole registry under a load."""
    await db.executemany(
        SQL["insert_instrument"],
        [
            (
                load, i.symbol, i.mint, i.isin, i.decimals, i.name, numeric(i.buffer_shares), i.valid_from, i.valid_to,
                list(i.chains), i.chain_age_hours_max, i.bridge_hours_max, i.late_days_max, i.redemption_days_max,
                numeric(i.large_share), i.inventory_authorised, i.calendar, i.price_days_max,
            )
            for i in registry.instruments
        ],
    )  # fmt: skip
    await db.executemany(
        SQL["insert_calendar"],
        [(load, c.calendar, list(c.closed), list(c.weekend)) for c in registry.calendars],
    )
    await db.executemany(SQL["insert_venue"], [(load, v.venue, v.name, v.max_age_hours) for v in registry.venues])
    await db.executemany(
        SQL["insert_source"],
        [
            (load, s.kind, s.name, s.every_minutes, list(s.due_at) or None, s.time_zone, s.calendar, s.grace_minutes)
            for s in registry.sources
        ],
    )
    await db.executemany(
        SQL["insert_announcement"],
        [
            (load, n, a.kind, a.instrument, a.account, a.valid_from, a.valid_to, a.source)
            for n, a in enumerate(registry.announced)
        ],
    )
    await db.executemany(
        SQL["insert_payment_token"], [(load, t.currency, t.mint, t.decimals) for t in registry.payment_tokens]
    )
    await db.executemany(
        SQL["insert_wallet"],
        [
            (
                load, n, w.address, w.kind, str(w.role), w.instrument, w.valid_from, w.valid_to, w.source, w.evidence,
                w.venue, w.holder, w.proven_at, w.wrapper,
            )
            for n, w in enumerate(registry.wallets)
        ],
    )  # fmt: skip
    await db.executemany(
        SQL["insert_custodian"],
        [
            (load, c.custodian, c.name, c.currency, numeric(c.quantum), c.max_age_hours, c.calendar, c.evidence)
            for c in registry.custodians
        ],
    )
    await db.executemany(
        SQL["insert_custody_account"],
        [
            (load, c.custodian, a.account, list(a.instruments), a.valid_from, a.valid_to)
            for c in registry.custodians
            for a in c.accounts
        ],
    )


async def registry_at(db: asyncpg.Connection, known_load: int) -> tuple[int, Registry] | None:
    """Return the registry as known at a load, with its own load; None when there was none."""
    head = await db.fetchrow(SQL["registry_load"], known_load)
    if head is None:
        return None
    load = head["load"]
    instruments = [
        Instrument(
            **{
                **row,
                "buffer_shares": Fraction(row["buffer_shares"]),
                "large_share": fraction(row["large_share"]),
                "chains": tuple(row["chains"]),
            }
        )
        for row in await _dicts(db, "registry_instruments", load)
    ]
    wallets = [Wallet(**{**row, "role": Role(row["role"])}) for row in await _dicts(db, "registry_wallets", load)]
    accounts: dict[str, list[CustodyAccount]] = {}
    for row in await _dicts(db, "registry_accounts", load):
        custodian = row.pop("custodian")
        accounts.setdefault(custodian, []).append(CustodyAccount(**{**row, "instruments": tuple(row["instruments"])}))
    custodians = [
        Custodian(
            **{
                **row,
                "quantum": Fraction(row["quantum"]),
                "accounts": tuple(sorted(accounts.get(row["custodian"], []), key=lambda a: a.account)),
            }
        )
        for row in await _dicts(db, "registry_custodians", load)
    ]
    calendars = [
        Calendar(row["calendar"], tuple(row["closed"]), tuple(row["weekend"]))
        for row in await _dicts(db, "registry_calendars", load)
    ]
    venues = [Venue(**row) for row in await _dicts(db, "registry_venues", load)]
    sources = [
        Source(**{**row, "due_at": tuple(row["due_at"] or ())}) for row in await _dicts(db, "registry_sources", load)
    ]
    announced = [Announcement(**row) for row in await _dicts(db, "registry_announced", load)]
    tokens = [PaymentToken(**row) for row in await _dicts(db, "registry_payment_tokens", load)]
    return load, sorted_registry(instruments, wallets, custodians, calendars, venues, sources, announced, tokens)


async def _dicts(db: asyncpg.Connection, query: str, *values: Any) -> list[dict[str, Any]]:
    return [dict(row) for row in await db.fetch(SQL[query], *values)]
