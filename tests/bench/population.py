"""A whole population in a database: many instruments, their crossings and orders, and everybody else's transfers.

Every instrument has the same life, spread over ``DAYS``: mints into treasury, then releases and returns in the
proportion three to two, each with its order (nine in ten named by memo, the rest found by wallet and quantity),
and between them transfers among outsiders, which are most of all events. Custody states its positions each day.
The rows are made in the server and the tables indexed afterwards, as they were: a fill of ten million events
takes minutes, not an hour.
"""

from dataclasses import dataclass

import asyncpg

from reconcile.builders import ONE, T0, Book, address

DAYS = 50
TREASURY_MINTS = 10
MINTED = 10_000_000 * ONE
SLOTS_MIN = 2_000
CUSTOMERS = 50
_INDEXED = ("event_row", "touch_row")


@dataclass(frozen=True, slots=True)
class Population:
    """How much there is: ``crossings`` of each instrument, each with an order; ``events`` in all."""

    events: int
    instruments: int
    crossings: int

    @property
    def orders(self) -> int:
        """All orders."""
        return self.instruments * self.crossings

    @property
    def lives(self) -> int:
        """Events of one instrument."""
        return self.events // self.instruments

    @property
    def pace(self) -> int:
        """Every how many events an instrument's crossing comes."""
        return (self.lives - TREASURY_MINTS) // self.crossings

    @property
    def per_slot(self) -> int:
        """Events in a slot."""
        return max(1, self.events // SLOTS_MIN)

    @property
    def last(self) -> int:
        """The last slot."""
        return 2 + self.events // self.per_slot

    @property
    def slot_s(self) -> float:
        """Seconds between two slots."""
        return DAYS * 86_400 / self.last


def _steps(population: Population) -> list[tuple[int, bool, int, int, int]]:
    """Each crossing of a life: (number, outward, raw, released by then, returned by then)."""
    steps, released, returned = [], 0, 0
    for n in range(population.crossings):
        outward, raw = n % 5 < 3, ONE + n % 977 * 1000
        released, returned = (released + raw, returned) if outward else (released, returned + raw)
        steps.append((n, outward, raw, released, returned))
    return steps


PLAN = """
create unlogged table planned as
select 2 + n / {per_slot} as slot, (n % {per_slot})::integer as tx, (n % {instruments})::integer as j,
       n / {instruments} as k,
       case when n / {instruments} >= {own} and (n / {instruments} - {own}) % {pace} = 0
            then (n / {instruments} - {own}) / {pace} end as i
from generate_series(0::bigint, {events} - 1) as n;
"""

# The crossings' order, the events and the touches. Every row's other side is an outsider.
FILL = (
    """
insert into ledger.event_row
select p.slot, {time}, p.tx, 0, -1, '0', rpad('s' || p.slot || '.' || p.tx, 88, 'x'), 'Tokenz',
       case when p.k < {own} then 'mint' else 'transfer' end, m.mint,
       case when p.k < {own} then 'issuance' when s.outward then m.treasury
            when s.n is not null then m.customer || p.i % {customers} else m.outsider || p.k % 997 end,
       case when p.k < {own} then null when s.outward then {treasury}
            when s.n is not null then 'customer ' || p.i % {customers} else 'outsider ' || p.k % 997 end,
       case when p.k < {own} then m.treasury when s.outward then m.customer || p.i % {customers}
            when s.n is not null then m.redemption else m.outsider || (p.k * 7 + 1) % 997 end,
       case when p.k < {own} then {treasury} when s.outward then 'customer ' || p.i % {customers}
            when s.n is not null then {redemption} else 'outsider ' || (p.k * 7 + 1) % 997 end,
       null, 'owner', case when p.k < {own} then {minted} else coalesce(s.raw, {one}) end, 0,
       case when s.n is not null and s.n % 10 <> 7
            then 'tieout/1 ' || case when s.outward then 'issue' else 'redeem' end || ' M' || p.j || '-' || s.n end, 1
from planned p join made m using (j) left join steps s on s.n = p.i and p.k >= {own}
""",
    """
insert into ledger.touch_row
select p.slot, p.tx, m.mint, case when p.k < {own} or s.outward then m.treasury else m.redemption end, 8, 0,
       case when p.k < {own} then {minted}::numeric * (p.k + 1)
            when s.outward then {minted}::numeric * {own} - s.released else s.returned end,
       case when p.k < {own} or s.outward then {treasury} else {redemption} end,
       case when p.k < {own} or s.outward then {treasury} else {redemption} end, 1
from planned p join made m using (j) left join steps s on s.n = p.i and p.k >= {own}
where p.k < {own} or s.n is not null
""",
    """
insert into ledger.touch_row
select p.slot, p.tx, m.mint, side.account, 8, 0, {one}, side.owner, side.owner, 1
from planned p join made m using (j)
cross join lateral (values (m.outsider || p.k % 997, 'outsider ' || p.k % 997),
                           (m.outsider || (p.k * 7 + 1) % 997, 'outsider ' || (p.k * 7 + 1) % 997))
    as side(account, owner)
where p.k >= {own} and p.i is null and p.k % 997 <> (p.k * 7 + 1) % 997
union all
select p.slot, p.tx, m.mint, m.customer || p.i % {customers}, 8, 0, {one}, 'customer ' || p.i % {customers},
       'customer ' || p.i % {customers}, 1
from planned p join made m using (j) where p.k >= {own} and p.i is not null
""",
    """
insert into ledger.control_row
select 1, {t0}, row_number() over (), 0, -1, '0', 'open ' || j, 'mint_open', mint, null, null, '{{"decimals": 8}}', 1
from made
""",
    "insert into ledger.coverage_row select mint, 0, {last}, 1 from made",
    "insert into ledger.tracked_row select mint, 0, 1 from made",
    """
insert into ledger.slot_row
select p.slot, p.slot - 1, 'h' || p.slot, 'h' || p.slot - 1, {time}, 1, 1 from generate_series(0, {last}) as p(slot)
""",
    """
insert into recon.order_row
    (load, line, request_id, side, mint, shares, raw, status, wallet, signature, created_at, settled_at)
select 2, 10 + row_number() over (), 'M' || p.j || '-' || s.n,
       case when s.outward then 'issue' else 'redeem' end, m.mint, null, s.raw,
       'completed', 'customer ' || s.n % {customers}, null, {time} - interval '1 hour', {time}
from planned p join made m using (j) join steps s on s.n = p.i where p.k >= {own}
""",
    # what is outside at each day's last slot is what custody holds then
    """
insert into recon.load_row (load, kind, name, sha256, content_sha256, rows, body, format)
select 2 + d, 'statement', 'day ' || d, sha256(('day ' || d)::bytea), sha256(('day ' || d)::bytea), {instruments},
       '\\x', 'csv'
from generate_series(1, {days}) as d
""",
    """
insert into recon.position_row (load, line, custodian, account, isin, quantity, basis, as_of)
select 2 + d, 2 + m.j, 'alpaca', 'ITN-1', m.isin, coalesce(x.released - x.returned, 0)::numeric / {one}, 'settled',
       (select block_time from ledger.slot_row where slot = {last} * d / {days})
from generate_series(1, {days}) as d
cross join made m
left join lateral (
    -- the last crossing whose global place lies at or before the day's last slot
    select s.released, s.returned from steps s
    where s.n <= floor(((({last} * d / {days} - 1) * {per_slot} - 1 - m.j)::numeric / {instruments} - {own}) / {pace})
    order by s.n desc limit 1) x on true
""",
)


async def fill(book: Book, population: Population) -> int:
    """Fill a database; return its last slot."""
    db = book.db
    await book.commit()
    made = [
        (j, address(f"mint {j}"), address(f"treasury of {j}"), address(f"redemption of {j}"), f"customer/{j}/",
         f"out/{j}/", isin_of(j))
        for j in range(population.instruments)
    ]  # fmt: skip
    await book.registry(registry_text([(f"S{row[0]}", row[1], row[6]) for row in made]))
    await book.orders({"request_id": "FIRST", "side": "issue", "symbol": "S0", "raw": 1, "status": "pending"})
    await db.execute(
        'create unlogged table made (j int, mint text collate "C", treasury text, redemption text, customer text, '
        "outsider text, isin text)"
    )
    await db.copy_records_to_table("made", records=made)
    await db.execute(
        "create unlogged table steps (n bigint primary key, outward bool, raw numeric, released numeric, "
        "returned numeric)"
    )
    await db.copy_records_to_table("steps", records=_steps(population))
    values = _values(population)
    await db.execute(PLAN.format(**values), timeout=3600)
    await db.execute("analyze made, steps, planned")
    async with db.transaction():
        for slot in {1, population.last}:
            await db.execute(f"select ledger.ensure_partition({slot})")
        indexes = await _drop_indexes(db)
        for statement in FILL:
            await db.execute(statement.format(**values), timeout=3600)
        for index in indexes:
            await db.execute(index, timeout=3600)
    await db.execute("drop table planned, made, steps")
    await db.execute("vacuum analyze", timeout=3600)
    # what the fill left to be written is not the runs'
    await db.execute("checkpoint", timeout=3600)
    return population.last


def _values(population: Population) -> dict[str, object]:
    t0 = f"'{T0.isoformat()}'::timestamptz"
    return {
        "per_slot": population.per_slot, "instruments": population.instruments, "own": TREASURY_MINTS,
        "pace": population.pace, "events": population.events, "last": population.last, "days": DAYS, "t0": t0,
        "time": f"{t0} + p.slot * interval '{population.slot_s} seconds'", "minted": MINTED, "one": ONE,
        "customers": CUSTOMERS, "treasury": f"'{address('treasury')}'", "redemption": f"'{address('redemption')}'",
    }  # fmt: skip


async def _drop_indexes(db: asyncpg.Connection) -> list[str]:
    """Take the indexes off the two large tables; return what makes them again, the very same."""
    again = []
    for table in _INDEXED:
        keys = await db.fetch(
            "select conname, pg_get_constraintdef(oid) as text from pg_constraint "
            "where conrelid = $1::regclass and contype = 'p'",
            f"ledger.{table}",
        )
        for key in keys:
            await db.execute(f"alter table ledger.{table} drop constraint {key['conname']}")
            again.append(f"alter table ledger.{table} add constraint {key['conname']} {key['text']}")
        indexes = await db.fetch(
            "select indexrelid::regclass as name, pg_get_indexdef(indexrelid) as text from pg_index "
            "where indrelid = $1::regclass",
            f"ledger.{table}",
        )
        for index in indexes:
            await db.execute(f"drop index {index['name']}")
            again.append(index["text"].replace(" ON ONLY ", " ON "))
    return again


def registry_text(instruments: list[tuple[str, str, str]]) -> str:
    """The registry of (symbol, mint, isin), with one treasury, one redemption wallet and one custody account."""
    text = "".join(
        f'[[instruments]]\nsymbol = "{symbol}"\nmint = "{mint}"\nisin = "{isin}"\ndecimals = 8\n'
        for symbol, mint, isin in instruments
    )
    for role in ("treasury", "redemption"):
        text += f'[[wallets]]\nowner = "{address(role)}"\nrole = "{role}"\nsource = "s"\n'
        text += "valid_from = 2026-01-01T00:00:00Z\n"
    return text + '[[custodians]]\nid = "alpaca"\nname = "A"\n[[custodians.accounts]]\nid = "ITN-1"\n'


def isin_of(number: int) -> str:
    """A valid ISIN."""
    from stdnum import isin

    body = f"US{number:09d}"
    return body + str(isin.calc_check_digit(body))
