"""The ledger on disk: one SQLite file, written once per slot in one transaction.

What a slot executed and the accounts it changed are committed together, so that a killed process leaves
the chain as of its last complete slot. Write-ahead log, synchronous NORMAL: safe against the death of the
process; a power cut may lose the newest slots, never tear one.
"""

import contextlib
import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from solders.pubkey import Pubkey

from tieout_localnet.accounts import AccountState, Changes
from tieout_localnet.chain import Block, Blockhash, Detour, Reward, Signature, Slot

FORMAT: Final = "1"

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS blocks (
    slot INTEGER PRIMARY KEY, parent_slot INTEGER NOT NULL, height INTEGER NOT NULL, blockhash TEXT NOT NULL,
    previous_blockhash TEXT NOT NULL, block_time INTEGER NOT NULL, rewards TEXT NOT NULL,
    transaction_count INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS transactions (
    slot INTEGER NOT NULL, tx_index INTEGER NOT NULL, signature TEXT NOT NULL, err TEXT, memo TEXT,
    wire BLOB NOT NULL, loaded BLOB NOT NULL, loaded_writable INTEGER NOT NULL, meta TEXT NOT NULL,
    PRIMARY KEY (slot, tx_index));
CREATE UNIQUE INDEX IF NOT EXISTS transactions_signature ON transactions (signature);
CREATE TABLE IF NOT EXISTS addresses (
    address BLOB NOT NULL, slot INTEGER NOT NULL, tx_index INTEGER NOT NULL,
    PRIMARY KEY (address, slot, tx_index)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS accounts (
    address BLOB PRIMARY KEY, lamports INTEGER NOT NULL, owner BLOB NOT NULL, executable INTEGER NOT NULL,
    data BLOB NOT NULL) WITHOUT ROWID;
"""

BLOCK_COLUMNS: Final = (
    "slot, parent_slot, height, blockhash, previous_blockhash, block_time, rewards, transaction_count"
)


class LedgerUnusable(Exception):
    """The directory holds something that is not a ledger of this version."""


@dataclass(frozen=True, slots=True)
class StoredTransaction:
    """A transaction of a complete block; `loaded` are the keys that lookup tables added (32 bytes each)."""

    slot: Slot
    index: int
    signature: Signature
    err: object
    memo: str | None
    wire: bytes
    loaded: bytes
    loaded_writable: int
    meta: dict[str, object]


@dataclass(frozen=True, slots=True)
class SignatureRow:
    """A signature in the history of an address."""

    slot: Slot
    index: int
    signature: Signature
    err: object
    memo: str | None


class Store:
    """The ledger file; every method is one statement or one transaction."""

    def __init__(self, path: Path) -> None:
        self._db = sqlite3.connect(path, isolation_level=None)
        try:
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = NORMAL")
            self._db.executescript(SCHEMA)
        except sqlite3.DatabaseError as error:
            self._db.close()
            raise LedgerUnusable(f"{path} is not a ledger: {error}") from error
        found = self.fact("format")
        if found not in (None, FORMAT):
            self._db.close()
            raise LedgerUnusable(f"{path} has ledger format {found}; this version reads {FORMAT}: reset it")

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def fact(self, name: str) -> str | None:
        """A named value of the chain, such as its genesis hash."""
        row = self._db.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
        return None if row is None else str(row[0])

    def write_slot(
        self,
        block: Block,
        transactions: Sequence[StoredTransaction],
        addresses: Iterable[tuple[bytes, int]],
        changes: Changes,
        facts: Mapping[str, str] | None = None,
    ) -> None:
        """Commit a complete slot: `addresses` are (account, tx_index); `facts` are named values."""
        with self._committed():
            self._insert_slot(block, transactions, addresses)
            self._write_accounts(changes)
            self._db.executemany("INSERT OR REPLACE INTO facts VALUES (?, ?)", (facts or {}).items())

    def switch(self, detour: Detour, changes: Changes) -> None:
        """Replace the blocks of one branch by those of another; `changes` is the state that follows."""
        with self._committed():
            for node in detour.undone:
                slot = node.block.slot
                rows = ((address, slot, index) for address, index in node.addresses)
                self._db.executemany(
                    "DELETE FROM addresses WHERE address = ? AND slot = ? AND tx_index = ?", rows
                )
                self._db.execute("DELETE FROM transactions WHERE slot = ?", (slot,))
                self._db.execute("DELETE FROM blocks WHERE slot = ?", (slot,))
            for node in detour.redone:
                self._insert_slot(node.block, node.records, node.addresses)
            self._write_accounts(changes)

    @contextlib.contextmanager
    def _committed(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._db.execute("COMMIT")
        except BaseException:
            self._db.execute("ROLLBACK")
            raise

    def _insert_slot(
        self, block: Block, transactions: Sequence[StoredTransaction], addresses: Iterable[tuple[bytes, int]]
    ) -> None:
        self._insert_block(block)
        self._insert_transactions(transactions)
        rows = ((address, block.slot, index) for address, index in addresses)
        self._db.executemany("INSERT INTO addresses VALUES (?, ?, ?)", rows)

    def _insert_block(self, block: Block) -> None:
        rewards = json.dumps([asdict(reward) for reward in block.rewards])
        self._db.execute(
            f"INSERT INTO blocks ({BLOCK_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                block.slot,
                block.parent_slot,
                block.height,
                block.blockhash,
                block.previous_blockhash,
                block.block_time,
                rewards,
                block.transaction_count,
            ),
        )

    def _insert_transactions(self, transactions: Sequence[StoredTransaction]) -> None:
        rows = (
            (
                row.slot,
                row.index,
                row.signature,
                None if row.err is None else json.dumps(row.err),
                row.memo,
                row.wire,
                row.loaded,
                row.loaded_writable,
                json.dumps(row.meta, separators=(",", ":")),
            )
            for row in transactions
        )
        self._db.executemany("INSERT INTO transactions VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)

    def _write_accounts(self, changes: Changes) -> None:
        gone = [(bytes(key),) for key, state in changes.items() if state is None]
        kept = [
            (bytes(key), state.lamports, bytes(state.owner), state.executable, state.data)
            for key, state in changes.items()
            if state is not None
        ]
        self._db.executemany("DELETE FROM accounts WHERE address = ?", gone)
        self._db.executemany("INSERT OR REPLACE INTO accounts VALUES (?, ?, ?, ?, ?)", kept)

    def accounts(self) -> Iterator[tuple[Pubkey, AccountState]]:
        """All accounts as of the newest complete slot."""
        for address, lamports, owner, executable, data in self._db.execute(
            "SELECT address, lamports, owner, executable, data FROM accounts"
        ):
            state = AccountState(lamports, data, Pubkey.from_bytes(owner), bool(executable))
            yield Pubkey.from_bytes(address), state

    def newest_blocks(self, count: int) -> list[Block]:
        """The newest blocks, oldest of them first."""
        rows = self._db.execute(f"SELECT {BLOCK_COLUMNS} FROM blocks ORDER BY slot DESC LIMIT ?", (count,))
        return [_block(row) for row in reversed(rows.fetchall())]

    def block(self, slot: int) -> Block | None:
        """The block of a slot."""
        row = self._db.execute(f"SELECT {BLOCK_COLUMNS} FROM blocks WHERE slot = ?", (slot,)).fetchone()
        return None if row is None else _block(row)

    def slots(self, first: int, last: int, limit: int) -> list[int]:
        """Slots with a block in an inclusive range; one that begins after its end is empty."""
        if first > last:
            return []
        rows = self._db.execute(
            "SELECT slot FROM blocks WHERE slot BETWEEN ? AND ? ORDER BY slot LIMIT ?", (first, last, limit)
        )
        return [row[0] for row in rows]

    def transactions(self, slot: int) -> list[StoredTransaction]:
        """The transactions of a block, in order."""
        rows = self._db.execute("SELECT * FROM transactions WHERE slot = ? ORDER BY tx_index", (slot,))
        return [_transaction(row) for row in rows]

    def signatures(self, slot: int) -> list[str]:
        """The first signatures of a block's transactions, in order."""
        rows = self._db.execute(
            "SELECT signature FROM transactions WHERE slot = ? ORDER BY tx_index", (slot,)
        )
        return [row[0] for row in rows]

    def outcomes(self, slot: int) -> list[tuple[str, object]]:
        """Signatures and errors of a block's transactions, in order."""
        rows = self._db.execute(
            "SELECT signature, err FROM transactions WHERE slot = ? ORDER BY tx_index", (slot,)
        )
        return [(row[0], _err(row[1])) for row in rows]

    def transaction(self, signature: str) -> StoredTransaction | None:
        """A transaction by its signature."""
        row = self._db.execute("SELECT * FROM transactions WHERE signature = ?", (signature,)).fetchone()
        return None if row is None else _transaction(row)

    def place(self, signature: str) -> tuple[Slot, int, object] | None:
        """Slot, index and error of a transaction."""
        row = self._db.execute(
            "SELECT slot, tx_index, err FROM transactions WHERE signature = ?", (signature,)
        ).fetchone()
        return None if row is None else (Slot(row[0]), row[1], _err(row[2]))

    def errors(self, first_slot: int) -> Iterator[tuple[Slot, Signature, object]]:
        """Outcomes of all transactions from a slot on, in order."""
        for slot, signature, err in self._db.execute(
            "SELECT slot, signature, err FROM transactions WHERE slot >= ? ORDER BY slot, tx_index",
            (first_slot,),
        ):
            yield Slot(slot), Signature(signature), _err(err)

    def history(
        self,
        address: bytes,
        last_slot: int,
        before: tuple[int, int] | None,
        until: tuple[int, int] | None,
        limit: int,
    ) -> list[SignatureRow]:
        """Signatures that name an address, newest first, between two places, both exclusive."""
        rows = self._db.execute(
            "SELECT t.slot, t.tx_index, t.signature, t.err, t.memo FROM addresses a "
            "JOIN transactions t ON t.slot = a.slot AND t.tx_index = a.tx_index "
            "WHERE a.address = ? AND a.slot <= ? AND (a.slot, a.tx_index) < (?, ?) "
            "AND (a.slot, a.tx_index) > (?, ?) ORDER BY a.slot DESC, a.tx_index DESC LIMIT ?",
            (address, last_slot, *(before or (last_slot + 1, 0)), *(until or (-1, -1)), limit),
        )
        return [SignatureRow(Slot(r[0]), r[1], Signature(r[2]), _err(r[3]), r[4]) for r in rows]


def _err(text: str | None) -> object:
    return None if text is None else json.loads(text)


def _block(row: tuple[int, int, int, str, str, int, str, int]) -> Block:
    slot, parent, height, blockhash, previous, block_time, rewards, count = row
    return Block(
        Slot(slot),
        Slot(parent),
        height,
        Blockhash(blockhash),
        Blockhash(previous),
        block_time,
        tuple(Reward(**reward) for reward in json.loads(rewards)),
        count,
    )


def _transaction(
    row: tuple[int, int, str, str | None, str | None, bytes, bytes, int, str],
) -> StoredTransaction:
    slot, index, signature, err, memo, wire, loaded, loaded_writable, meta = row
    return StoredTransaction(
        Slot(slot),
        index,
        Signature(signature),
        _err(err),
        memo,
        wire,
        loaded,
        loaded_writable,
        json.loads(meta),
    )
