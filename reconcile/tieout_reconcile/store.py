"""Schema ``recon`` and the ledger's views, read and written: the only module that runs SQL.

Rows go in and out as the values of the pure core; quantities travel as exact ``numeric``.
"""

import json
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from fractions import Fraction
from typing import Any, TypeAlias

import asyncpg

from tieout_database import Queries, check_schema, clean_text, connect
from tieout_reconcile import inputs, loads
from tieout_reconcile.canonical import from_plain, to_plain
from tieout_reconcile.errors import NotFound
from tieout_reconcile.exact import fraction, numeric
from tieout_reconcile.files import InputFile
from tieout_reconcile.formats.ruled import form_of
from tieout_reconcile.inputs import Business, InputKind, Parsed
from tieout_reconcile.liability import Statement
from tieout_reconcile.lines import Chunk, CrossingLines
from tieout_reconcile.movements import Span
from tieout_reconcile.orders import Order
from tieout_reconcile.results import InstrumentResult, Run
from tieout_reconcile.saying import said_digests
from tieout_reconcile.statements import Position
from tieout_reconcile.trades import Trade

SQL = Queries("tieout_reconcile", "recon.sql")
INPUTS_SQL = Queries("tieout_reconcile", "inputs.sql")
_NAME_CHARACTERS_MAX = 255
CHUNKS_AT_ONCE = 64
"""How many chunks of lines are stored in one go: some ten megabytes."""

Database: TypeAlias = str | asyncpg.Connection
"""A connection string, or a connection of the caller's."""


@asynccontextmanager
async def session(database: Database) -> AsyncIterator[asyncpg.Connection]:
    """Give a connection: the caller's own, or one for this call. Raises DatabaseUnreachable, SchemaBehind."""
    if not isinstance(database, str):
        yield database
        return
    connection = await connect(database)
    try:
        await check_schema(connection)
        yield connection
    finally:
        await connection.close()


async def file_load(db: asyncpg.Connection, kind: str, content_sha256: bytes) -> int | None:
    """Return the load of a file that was taken before, by the digest of its bytes and declaration."""
    found: int | None = await db.fetchval(SQL["file_load"], kind, content_sha256)
    return found


async def new_load(
    db: asyncpg.Connection,
    kind: str,
    file: InputFile,
    content_sha256: bytes,
    rows: int,
    form: str | None = None,
    declared: str | None = None,
) -> int:
    """Record a file under the next load. Hold ``lock_loads`` already."""
    load: int = await db.fetchval(SQL["next_load"])
    name = clean_text(file.name, _NAME_CHARACTERS_MAX)[0]
    await db.execute(SQL["insert_load"], load, kind, name, file.sha256, content_sha256, rows, file.data, form, declared)
    return load


async def insert_saying(db: asyncpg.Connection, load: int, kind: str, records: Iterable[Any]) -> None:
    """Store what a file says, record by record, for whoever hands it in again in other words."""
    await db.execute(SQL["insert_saying"], load, said_digests(kind, records))


async def insert_positions(db: asyncpg.Connection, load: int, positions: Sequence[Position]) -> None:
    """Store the positions of a statement file."""
    await db.executemany(
        SQL["insert_position"],
        [(load, p.line, p.custodian, p.account, p.isin, numeric(p.quantity), p.basis, p.as_of) for p in positions],
    )
    await db.executemany(
        SQL["insert_encumbrance"],
        [(load, p.line, kind, numeric(quantity)) for p in positions for kind, quantity in p.encumbered],
    )


async def insert_orders(db: asyncpg.Connection, load: int, orders: Sequence[Order]) -> None:
    """Store order versions."""
    await db.executemany(
        SQL["insert_order"],
        [
            (
                load, o.line, o.request_id, o.side, o.mint, numeric(o.shares), o.raw, o.status, o.wallet, o.signature,
                o.created_at, o.settled_at, numeric(o.fee), o.network, o.settlement, numeric(o.cash_amount),
                o.cash_currency,
            )
            for o in orders
        ],
    )  # fmt: skip


async def insert_trades(db: asyncpg.Connection, load: int, trades: Sequence[Trade]) -> None:
    """Store trade versions."""
    await db.executemany(
        SQL["insert_trade"],
        [
            (
                load, t.line, t.custodian, t.account, t.isin, t.reference, t.side, numeric(t.quantity), t.traded_at,
                t.settles_on, t.status, t.status_at, t.action_id,
            )
            for t in trades
        ],
    )  # fmt: skip


async def insert_records(db: asyncpg.Connection, kind: InputKind, load: int, parsed: Parsed) -> None:
    """Store the records of a file of a kind, and the periods that it covers."""
    await db.copy_records_to_table(
        kind.relation,
        schema_name="recon",
        columns=("load", *inputs.columns(kind)),
        records=[inputs.stored_values(kind, load, record) for record in parsed.records],
    )
    spans = [(load, s.custodian, s.account, s.start, s.end) for s in parsed.spans]
    await db.executemany(INPUTS_SQL["insert_span"], spans)


async def records_known(db: asyncpg.Connection, kind: InputKind, known_load: int) -> list[Any]:
    """Return the records of a kind in the version known at a load."""
    return [inputs.record_of(kind, dict(row)) for row in await db.fetch(INPUTS_SQL[f"known_{kind.kind}"], known_load)]


async def business_known(db: asyncpg.Connection, known_load: int) -> Business:
    """Return all that files of these kinds said, as known at a load."""
    judged = {name: kind for name, kind in inputs.KINDS.items() if kind.judged}
    records = {name: await records_known(db, kind, known_load) for name, kind in judged.items()}
    return inputs.business_of(records, await spans_known(db, known_load))


async def spans_known(db: asyncpg.Connection, known_load: int) -> list[Span]:
    """Return the periods of which each account's movements are known."""
    return [
        Span(row["custodian"], row["account"], row["from_at"], row["to_at"])
        for row in await db.fetch(INPUTS_SQL["known_spans"], known_load)
    ]


async def trades_known(db: asyncpg.Connection, known_load: int) -> list[Trade]:
    """Return all trades in the version known at a load."""
    rows = await db.fetch(SQL["trades_known"], known_load)
    return [Trade(**{**row, "quantity": Fraction(row["quantity"])}) for row in rows]


def _order(row: Any) -> Order:
    (line, request_id, side, mint, shares, raw, status, wallet, signature, created_at, settled_at, fee, network, _,
     settlement, amount, currency) = row  # fmt: skip
    return Order(
        line, request_id, side, mint, fraction(shares), None if raw is None else int(raw), status, wallet, signature,
        created_at, settled_at, fraction(fee), network, settlement, fraction(amount), currency,
    )  # fmt: skip


async def orders_of(db: asyncpg.Connection, request_ids: Iterable[str]) -> dict[str, Order]:
    """Return the latest version of each of these orders."""
    return {row["request_id"]: _order(row) for row in await db.fetch(SQL["orders_of"], list(request_ids))}


async def orders_named(db: asyncpg.Connection, known_load: int, request_ids: Iterable[str]) -> list[Order]:
    """Return the orders of some request ids in the version known at a load, whichever instrument's they are."""
    return [_order(row) for row in await db.fetch(SQL["orders_named"], known_load, sorted(request_ids))]


async def orders_known(db: asyncpg.Connection, known_load: int, mints: Sequence[str]) -> list[Order]:
    """Return the orders of some mints in the version known at a load."""
    return [_order(row) for row in await db.fetch(SQL["orders_known"], known_load, list(mints))]


async def order_counts(db: asyncpg.Connection, known_load: int, mints: Sequence[str]) -> dict[str, int]:
    """Return how many order versions each of some mints has."""
    return {row["mint"]: row["orders"] for row in await db.fetch(SQL["order_counts"], known_load, list(mints))}


async def statements_known(
    db: asyncpg.Connection, known_load: int, cut_off: datetime | None
) -> tuple[dict[tuple[str, str], Statement], dict[tuple[str, str], datetime]]:
    """Return, by account, the settled statement that counts at a cut-off, and the first one after it."""
    if cut_off is None:
        return {}, {}
    statements: dict[tuple[str, str], Statement] = {}
    for row in await db.fetch(SQL["statements_known"], known_load, cut_off):
        key = (row["custodian"], row["account"])
        statement = statements.setdefault(key, Statement(*key, row["as_of"], row["load"], {}, {}))
        statement.quantities[row["isin"]] = Fraction(row["quantity"])
        held = row["encumbered"] or {}
        statement.encumbered[row["isin"]] = {kind: Fraction(held[kind]) for kind in sorted(held)}
    later = await db.fetch(SQL["statements_later"], known_load, cut_off)
    return statements, {(row["custodian"], row["account"]): row["as_of"] for row in later}


async def loads_digest(db: asyncpg.Connection, known_load: int) -> str:
    """Return one SHA-256 over the identities of all files known at a load."""
    rows = await db.fetch(SQL["loads_known"], known_load)
    return loads.loads_digest((row["load"], row["kind"], row["sha256"], row["declared"]) for row in rows)


async def insert_run(db: asyncpg.Connection, run: Run) -> Run:
    """Store a run and return it with its number and time; content equal to an earlier run's is stored once."""
    digest = bytes.fromhex(run.digest)
    without_lines = replace(run, instruments=tuple(replace(i, crossings=CrossingLines()) for i in run.instruments))
    async with db.transaction():
        await db.execute(SQL["lock_runs"])
        number: int = await db.fetchval(SQL["next_run"])
        earlier: int | None = await db.fetchval(SQL["run_with_digest"], digest)
        ran_at = await db.fetchval(
            SQL["insert_run"], number, run.inputs.as_of_slot, run.inputs.as_of_time, run.inputs.known_batch,
            run.inputs.known_load, run.rules, str(run.verdict), len(run.breaks), digest, earlier or number,
            None if earlier else without_lines.canonical_json().decode(),
        )  # fmt: skip
        if earlier is None:
            await _insert_content(db, number, run)
        await _keep_history(db, earlier or number, run)
    return replace(run, run=number, ran_at=ran_at)


async def _keep_history(db: asyncpg.Connection, number: int, run: Run) -> None:
    """Keep the closed histories that a run found, unless those of a run that knew more are there."""
    known = run.inputs
    if known.as_of_time is None or await db.fetchval(
        SQL["history_newer"], known.as_of_slot, known.known_batch, known.known_load
    ):
        return
    await db.execute(SQL["forget_history"])
    closed = [(i.symbol, i.mint, i.history) for i in run.instruments if i.history is not None]
    await db.executemany(
        SQL["insert_history"],
        [
            (
                symbol, mint, number, run.rules, known.registry_load, known.known_load, known.known_batch,
                known.as_of_slot, known.as_of_time, history.until,
            )
            for symbol, mint, history in closed
        ],
    )  # fmt: skip
    await db.copy_records_to_table(
        "history_chunk",
        schema_name="recon",
        columns=("symbol", "from_micros", "from_slot", "steps"),
        records=((symbol, *chunk) for symbol, _, history in closed for chunk in history.chunks()),
    )


async def _insert_content(db: asyncpg.Connection, number: int, run: Run) -> None:
    await db.executemany(SQL["insert_result"], [_result_values(number, i) for i in run.instruments])
    await db.executemany(
        SQL["insert_custody"],
        [
            (
                number, i.symbol, a.custodian, a.account, numeric(a.shares), a.as_of, a.load, numeric(a.aggregate),
                numeric(a.encumbered),
            )
            for i in run.instruments
            for a in i.accounts
        ],
    )  # fmt: skip
    await db.executemany(
        SQL["insert_cash"],
        [
            (
                number, i.symbol, c.request_id, c.kind, c.currency, numeric(c.agreed), numeric(c.owed),
                numeric(c.paid), numeric(c.returned), numeric(c.outstanding), numeric(c.overdue),
                numeric(c.overpaid), c.state, c.owed_since, c.due_on, c.tokens_at, c.paid_at, c.ahead,
                list(c.payments),
            )
            for i in run.instruments
            for c in i.cash_legs
        ],
    )  # fmt: skip
    every = [(i.symbol, n, chunk) for i in run.instruments for n, chunk in enumerate(i.crossings.chunks)]
    await keep_lines(db, [chunk for _, _, chunk in every])
    await db.executemany(
        SQL["insert_run_lines"],
        [(number, symbol, n, chunk.count, *chunk.slots, chunk.sha256) for symbol, n, chunk in every],
    )
    await db.executemany(
        SQL["insert_finding"],
        [
            (
                number, f.id, f.key, f.code, f.name, f.severity, f.symbol, f.raw, numeric(f.shares), f.at, f.signature,
                f.request_id, f.summary, f.details,
            )
            for f in run.findings
        ],
    )  # fmt: skip


async def keep_lines(db: asyncpg.Connection, chunks: Sequence[Chunk]) -> None:
    """Store the chunks that are not stored yet; which run's they are is told by ``run_lines_row``.

    They are in order of their digests: whoever else stores the same ones waits for them, and not crosswise.
    """
    every = {chunk.sha256: chunk for chunk in chunks}
    digests = sorted(every)
    for start in range(0, len(digests), CHUNKS_AT_ONCE):
        some = digests[start : start + CHUNKS_AT_ONCE]
        stored = {row["sha256"] for row in await db.fetch(SQL["lines_stored"], some)}
        new = [(digest, every[digest].text().decode()) for digest in some if digest not in stored]
        await db.executemany(SQL["insert_lines"], new)


def _result_values(number: int, i: InstrumentResult) -> tuple[Any, ...]:
    return (
        number, i.symbol, i.mint, i.isin, str(i.verdict), i.supply, i.inventory, i.in_transit, i.circulating,
        i.owed_returns, i.owed_forced, i.liability_raw, i.multiplier_bits, numeric(i.multiplier),
        numeric(i.liability), numeric(i.custody), numeric(i.difference), numeric(i.tolerance_short),
        numeric(i.tolerance_over), list(i.reasons), numeric(i.unsettled), numeric(i.custody_traded),
    )  # fmt: skip


async def load_run(
    db: asyncpg.Connection, number: int | None, *, lines: bool = True, figures: bool = True
) -> Run | None:
    """Return a stored run, the latest when no number is given; None when nothing was ever run.

    Without ``lines`` its instruments lack their crossings: enough for verdicts and findings, and small. Without
    ``figures`` it has no instruments: enough for findings.
    """
    row = await db.fetchrow(SQL["run_body"], number)
    if row is None:
        if number is None:
            return None
        raise NotFound(f"there is no run {number}: tieout reconcile history lists them")
    plain = json.loads(row["body"])
    found = from_plain(Run, plain if figures else plain | {"instruments": []})
    chunks: dict[str, list[Chunk]] = {}
    for part in await db.fetch(SQL["run_lines"], row["run"]) if lines and figures else ():
        chunks.setdefault(part["symbol"], []).append(Chunk(part["lines"].encode(), part["count"]))
    # a run from before has its lines in its body
    instruments = [
        replace(i, crossings=CrossingLines(chunks[i.symbol])) if i.symbol in chunks else i for i in found.instruments
    ]
    return replace(found, instruments=tuple(instruments), run=row["run"], ran_at=row["ran_at"])


@dataclass(frozen=True, slots=True)
class RunSummary:
    """One line of the history of runs."""

    run: int
    ran_at: datetime
    as_of_slot: int
    as_of_time: datetime | None
    known_batch: int
    known_load: int
    verdict: str
    breaks: int
    digest: str

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return to_plain(self)


@dataclass(frozen=True, slots=True)
class StatementInfo:
    """One statement (custodian, account, basis, as_of) of one imported file."""

    load: int
    name: str
    sha256: str
    recorded_at: datetime
    custodian: str
    account: str
    basis: str
    as_of: datetime
    positions: int
    superseded: bool
    format: str

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return to_plain(self)


async def history(db: asyncpg.Connection, limit: int) -> list[RunSummary]:
    """Return the last runs, the newest first."""
    return [RunSummary(**dict(row)) for row in await db.fetch(SQL["run_history"], limit)]


async def statements(db: asyncpg.Connection) -> list[StatementInfo]:
    """Return all statements ever imported, in order of import."""
    found = await db.fetch(SQL["list_statements"])
    return [StatementInfo(**{**dict(row), "format": form_of(row["format"])}) for row in found]


async def orders(db: asyncpg.Connection) -> list[Order]:
    """Return all orders in their latest version."""
    return [_order(row) for row in await db.fetch(SQL["list_orders"])]
