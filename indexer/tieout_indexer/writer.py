"""The ledger's one writer: rows, evidence and progress in one transaction, under a fencing token.

A session lock keeps a second indexer out; the epoch stops one that lost its session without
noticing: each commit checks, under a row lock, that the epoch is still its own.
"""

import asyncio
import os
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from types import TracebackType
from typing import Any, Self

import asyncpg

from tieout_database import DatabaseUnreachable, Queries, check_schema, connect
from tieout_database.amounts import only_send_amounts
from tieout_database.content import COLUMNS, GENESIS_PREV_HASH, Row, chain_hash, parted_hash, parts_of
from tieout_indexer.continuity import Left
from tieout_indexer.decode import DECODER_VERSION
from tieout_indexer.errors import AnotherChain, ChangedBlock, Fenced, WriterBusy
from tieout_indexer.limits import IndexerLimits
from tieout_indexer.model import Touch
from tieout_indexer.rows import RowSet, for_copy
from tieout_rpc import Endpoint

_SQL = Queries("tieout_indexer", "writer.sql")
_LOCK_KEY = 7_401_685_301
_BESIDE_LOCK_KEY = 7_401_685_302
_LOCK_POLL_S = 0.2
_MARK_EVERY_BATCHES = 256
"""How often what was read is summed up: a reader of it goes through no more batches than this."""
DATABASE_OUTAGES = (
    DatabaseUnreachable,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # what is asked between the server's last word and the end of the connection
    ConnectionError,
)
"""What a server that goes away raises, here or there; the same work may succeed when it is back."""


@dataclass(frozen=True, slots=True)
class FirstTouch:
    """Where an account is first met in a range, and what the node said of it there."""

    slot: int
    tx_index: int
    signature: str
    touch: Touch


def _int(value: Decimal | None) -> int | None:
    return None if value is None else int(value)


@dataclass(frozen=True, slots=True)
class Stands:
    """Accounts that are open, with whether each is frozen (None: it is not known), and whether the mint is paused."""

    accounts: dict[str, bool | None]
    paused: bool


class LedgerWriter:
    """An open, locked ledger. ``async with await LedgerWriter.open(dsn) as writer``.

    Commits and reads have a connection each, so that the next rows can be made while a commit is
    under way; a reader sees a batch once its commit has returned.
    """

    def __init__(self, connection: asyncpg.Connection, reader: asyncpg.Connection, epoch: int | None) -> None:
        self._connection = connection
        self._reader = reader
        self._cohorts: dict[frozenset[str], int] = {}
        self.epoch = epoch
        """None: beside the indexer, under whatever epoch is in force."""

    @classmethod
    async def open(cls, dsn: str, limits: IndexerLimits, *, beside: bool = False) -> Self:
        """Connect, check the schema, take the lock and the next epoch. Raises WriterBusy, DatabaseError.

        ``beside`` a running indexer: for corrections and findings, which touch no slot that it is
        still to read. Commits are serialised with its own; those who work beside it exclude each other.
        """
        connection = await connect(dsn)
        try:
            await check_schema(connection)
            await only_send_amounts(connection)
            await _take_lock(connection, _BESIDE_LOCK_KEY if beside else _LOCK_KEY, limits.writer_lock_wait_s)
            holder = f"{socket.gethostname()} process {os.getpid()}"
            epoch = None if beside else await connection.fetchval(_SQL["take_epoch"], holder)
            return cls(connection, await connect(dsn), epoch)
        except BaseException:
            await connection.close()
            raise

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._reader.close()
        await self._connection.close()

    async def bind_cluster(self, genesis_hash: str, epoch_schedule: dict[str, Any] | None) -> dict[str, Any] | None:
        """Record the chain on first use, compare it ever after. Returns the epoch schedule in force."""
        await self._connection.execute(_SQL["insert_cluster"], genesis_hash, epoch_schedule)
        row = await self._connection.fetchrow(_SQL["cluster"])
        assert row is not None, "the chain was recorded just above"
        if row["genesis_hash"] != genesis_hash:
            raise AnotherChain(
                f"the node is of the chain {genesis_hash}, the database holds the chain {row['genesis_hash']}: "
                "use a node of that chain, or another database"
            )
        schedule: dict[str, Any] | None = row["epoch_schedule"]
        return schedule

    async def epoch_schedule(self) -> dict[str, Any] | None:
        """The epoch schedule recorded with the chain."""
        row = await self._reader.fetchrow(_SQL["cluster"])
        schedule: dict[str, Any] | None = row["epoch_schedule"] if row else None
        return schedule

    async def genesis_hash(self) -> str | None:
        """The chain of this ledger, once it is recorded."""
        row = await self._reader.fetchrow(_SQL["cluster"])
        return row["genesis_hash"] if row else None

    async def fetch_rows(self, query: str, *args: Any) -> list[asyncpg.Record]:
        """Run a reading query of a sibling module on the writer's connection."""
        rows: list[asyncpg.Record] = await self._reader.fetch(query, *args)
        return rows

    async def tracked(self) -> dict[str, int]:
        """Tracked mints and the slot each is tracked from."""
        return {r["mint"]: r["from_slot"] for r in await self._reader.fetch(_SQL["tracked"])}

    async def read_ranges(self, mints: list[str]) -> dict[str, list[tuple[int, int]]]:
        """What has been read and committed for each mint: merged inclusive ranges."""
        ranges: dict[str, list[tuple[int, int]]] = {mint: [] for mint in mints}
        for row in await self._reader.fetch(_SQL["read_ranges"], mints):
            ranges[row["mint"]].append((row["from_slot"], row["to_slot"]))
        return ranges

    async def known_slots(self, from_slot: int, to_slot: int) -> dict[int, str]:
        """Slots of the range that the ledger has, with their blockhashes."""
        rows = await self._reader.fetch(_SQL["known_slots"], from_slot, to_slot)
        return {r["slot"]: r["blockhash"] for r in rows}

    async def evidence_known(self, from_slot: int, to_slot: int) -> set[tuple[int, int]]:
        """Transactions of the range whose evidence is stored."""
        rows = await self._reader.fetch(_SQL["evidence_known"], from_slot, to_slot)
        return {(r["slot"], r["tx_index"]) for r in rows}

    async def block_before(self, slot: int) -> tuple[int, str] | None:
        """The last accepted block before a slot."""
        row = await self._reader.fetchrow(_SQL["block_before"], slot)
        return (row["slot"], row["blockhash"]) if row else None

    async def check_block_after(self, slot: int, blockhash: str) -> None:
        """Check that the next accepted block after ``slot`` does not contradict it. Raises ChangedBlock."""
        row = await self._reader.fetchrow(_SQL["block_after"], slot)
        if row and row["parent_slot"] <= slot and (row["parent_slot"], row["parent_blockhash"]) != (slot, blockhash):
            raise ChangedBlock(
                f"the ledger's block {row['slot']} follows block {row['parent_slot']} {row['parent_blockhash']}, "
                f"the node now has block {slot} {blockhash} there: a finalized block changed, or an endpoint lies"
            )

    async def mint_controls(self, mints: list[str], before_slot: int) -> dict[str, list[tuple[int, str, Any]]]:
        """Controls before a slot that decide how instructions of each mint are read, in ledger order."""
        controls: dict[str, list[tuple[int, str, Any]]] = {mint: [] for mint in mints}
        for row in await self._reader.fetch(_SQL["mint_controls"], mints, before_slot):
            controls[row["mint"]].append((row["slot"], row["kind"], row["details"]))
        return controls

    async def last_touches(
        self, accounts: list[tuple[str, str]], since: dict[str, int], before_slot: int
    ) -> dict[tuple[str, str], Left]:
        """What each (mint, account) was left with before a slot, looking back no further than ``since[mint]``."""
        rows = await self._reader.fetch(
            _SQL["last_touches"],
            [mint for mint, _ in accounts],
            [account for _, account in accounts],
            [since[mint] for mint, _ in accounts],
            before_slot,
        )
        return {(r["mint"], r["account"]): Left(_int(r["post_amount"]), r["post_owner"]) for r in rows}

    async def first_touches(self, mint: str, from_slot: int, to_slot: int) -> list[FirstTouch]:
        """The first touch of each account of a mint in a range of slots."""
        rows = await self._reader.fetch(_SQL["first_touches"], mint, from_slot, to_slot)
        return [
            FirstTouch(
                r["slot"],
                r["tx_index"],
                r["signature"],
                Touch(
                    mint,
                    r["account"],
                    r["decimals"],
                    _int(r["pre_amount"]),
                    _int(r["post_amount"]),
                    r["pre_owner"],
                    r["post_owner"],
                ),
            )
            for r in rows
        ]

    async def openings(self, mints: list[str]) -> dict[str, list[int]]:
        """The slots at which each mint was read whole."""
        slots: dict[str, list[int]] = {mint: [] for mint in mints}
        for row in await self._reader.fetch(_SQL["openings"], mints):
            slots[row["mint"]].append(row["slot"])
        return slots

    @property
    def reader(self) -> asyncpg.Connection:
        """The connection for reading while a commit is under way."""
        return self._reader

    async def stands(self, mint: str, slot: int) -> Stands:
        """What the ledger holds for true of a mint's accounts that nothing touched after a slot."""
        rows = await self._reader.fetch(_SQL["standing_accounts"], mint, slot)
        paused = await self._reader.fetchval(_SQL["is_paused"], mint, slot)
        return Stands({row["account"]: row["frozen"] for row in rows}, bool(paused))

    async def listed(self, mints: list[str], from_slot: int, to_slot: int) -> set[str]:
        """Which of the mints were read by their signatures somewhere in the range."""
        return {r["mint"] for r in await self._reader.fetch(_SQL["listed"], mints, from_slot, to_slot)}

    async def listed_ranges(self, mint: str) -> list[tuple[int, int]]:
        """What of a mint was read by its signatures."""
        return [(r["from_slot"], r["to_slot"]) for r in await self._reader.fetch(_SQL["listed_ranges"], mint)]

    async def holes(self) -> list[tuple[int, int]]:
        """Slots given up for good, as merged inclusive ranges."""
        return [(r["from_slot"], r["to_slot"]) for r in await self._reader.fetch(_SQL["holes"])]

    async def parked(self, from_slot: int, to_slot: int) -> dict[int, str]:
        """Parked slots of the range with their reasons."""
        rows = await self._reader.fetch(_SQL["parked_slots"], from_slot, to_slot)
        return {r["slot"]: r["reason"] for r in rows}

    async def open_quarantine(self, mints: list[str], to_slot: int) -> list[asyncpg.Record]:
        """Quarantined transactions of these mints up to a slot."""
        rows: list[asyncpg.Record] = await self._reader.fetch(_SQL["open_quarantine"], mints, to_slot)
        return rows

    async def coverage(self, mints: list[str]) -> dict[str, list[tuple[int, int]]]:
        """Proven ranges of each mint, as the view shows them."""
        ranges: dict[str, list[tuple[int, int]]] = {mint: [] for mint in mints}
        for row in await self._reader.fetch(_SQL["coverage"], mints):
            ranges[row["mint"]].append((row["from_slot"], row["to_slot"]))
        return ranges

    async def commit(self, rows: RowSet, also: tuple[Any, ...] | None = None) -> int | None:
        """Write all rows as the next batch, in one transaction; None when there are none. Raises Fenced.

        ``also``: a query and its arguments that belong in the same transaction.
        """
        if rows.empty:
            return None
        async with self._connection.transaction():
            epoch = await self._check_epoch()
            await self._partitions(rows)
            last = await self._connection.fetchrow(_SQL["last_batch"])
            batch, prev_hash = (last["batch"] + 1, last["hash"]) if last else (1, GENESIS_PREV_HASH)
            cohorts, tables = await self._in_cohorts(rows)
            parts = parts_of(tables)
            content = parted_hash(parts)
            await self._connection.execute(
                _SQL["insert_batch"],
                batch,
                epoch,
                DECODER_VERSION,
                prev_hash,
                content,
                chain_hash(prev_hash, batch, DECODER_VERSION, content),
                parts.decode(),
            )
            for table, table_rows in tables.items():
                if table_rows:
                    await self._connection.copy_records_to_table(
                        table,
                        schema_name="ledger",
                        columns=[*COLUMNS[table], "batch"],
                        records=for_copy(table_rows, batch),
                    )
            if batch % _MARK_EVERY_BATCHES == 0:
                await self._connection.execute(_SQL["mark_coverage"], batch)
            if also is not None:
                await self._connection.execute(*also)
            await self._connection.execute(_SQL["notify"], str(batch))
        self._cohorts.update(cohorts)
        return int(batch)

    async def _in_cohorts(self, rows: RowSet) -> tuple[dict[frozenset[str], int], dict[str, list[Row]]]:
        """All tables' rows, with what was read told of cohorts; and the cohorts' numbers, good once it is committed.

        Called under the epoch's row lock: nobody else takes a number meanwhile.
        """
        numbers: dict[frozenset[str], int] = {}
        members: list[Row] = []
        for mints in dict.fromkeys(mints for mints, _, _ in rows.covered):
            assert mints, "a cohort has members: without any it would have another's number"
            if mints in self._cohorts:
                numbers[mints] = self._cohorts[mints]
                continue
            in_order = sorted(mints)
            number = await self._connection.fetchval(_SQL["cohort_of"], in_order)
            if number is None:
                number = max([await self._connection.fetchval(_SQL["last_cohort"]), *numbers.values()]) + 1
                members.extend((number, mint) for mint in in_order)
            numbers[mints] = number
        covered = [(numbers[mints], first, last) for mints, first, last in rows.covered]
        return numbers, {**rows.tables, "cohort_row": members, "cohort_coverage_row": covered}

    async def replace_provisional(self, columns: tuple[str, ...], records: list[tuple[Any, ...]]) -> None:
        """Replace all provisional rows: they are the chain's newest word, not the ledger's."""
        async with self._connection.transaction():
            await self._check_epoch()
            await self._connection.execute("delete from ledger.provisional_row")
            if records:
                await self._connection.copy_records_to_table(
                    "provisional_row", schema_name="ledger", columns=list(columns), records=records
                )
            await self._connection.execute(_SQL["notify_provisional"])

    async def report_endpoints(self, endpoints: Sequence[Endpoint]) -> None:
        """Replace what is known of the endpoints: how they do now, no ledger rows."""
        records = [
            (
                e.name, e.standing.value, e.requests, e.failures, e.rate_limited, e.disagreements, e.latency_s,
                e.finalized_slot, e.lag_slots, e.first_slot,
            )
            for e in {e.name: e for e in endpoints}.values()
        ]  # fmt: skip
        async with self._connection.transaction():
            await self._check_epoch()
            await self._connection.execute(_SQL["forget_endpoints"])
            await self._connection.executemany(_SQL["report_endpoint"], records)

    async def _check_epoch(self) -> int:
        current: int = await self._connection.fetchval(_SQL["lock_epoch"])
        if self.epoch is not None and current != self.epoch:
            raise Fenced(f"another indexer took over (epoch {current}, ours was {self.epoch}): this one stops")
        return current

    async def _partitions(self, rows: RowSet) -> None:
        slots = [
            row[0]
            for name in ("event_row", "control_row", "proof_row", "touch_row", "evidence_row")
            for row in rows[name]
        ]
        if slots:
            await self._connection.execute(_SQL["ensure_partitions"], min(slots), max(slots))


async def _take_lock(connection: asyncpg.Connection, key: int, wait_s: float) -> None:
    give_up_at = time.monotonic() + wait_s
    while not await connection.fetchval("select pg_try_advisory_lock($1)", key):
        if time.monotonic() > give_up_at:
            if key == _BESIDE_LOCK_KEY:
                raise WriterBusy("another correction or audit of this database is under way: wait for it to end")
            row = await connection.fetchrow(_SQL["holder"])
            who = f"{row['holder']}, since {row['acquired_at']:%Y-%m-%d %H:%M:%S} UTC" if row else "unknown"
            raise WriterBusy(f"another indexer writes to this database ({who}): stop it first, or wait for it to end")
        await asyncio.sleep(_LOCK_POLL_S)
