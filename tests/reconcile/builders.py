"""Ledger rows and business files for tests: a small book around one mint, written as an indexer would.

Slots are seconds: slot 100 has the block time T0 + 100 s. Amounts are raw, 8 decimals, so ``100 * ONE``
is a hundred tokens. Names stand for addresses.
"""

import hashlib
import itertools
import json
import struct
from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import zstandard

import tieout_reconcile
from tieout_database import connect
from tieout_database.content import batch_rows, chain_hash, parted_hash, parts_of, whole_hash
from tieout_idl import base58
from tieout_reconcile.movements import CustodyMovement

ONE = 10**8
T0 = datetime(2026, 11, 2, 14, 0, tzinfo=UTC)
ISIN = "US0378331005"
OTHER_ISIN = "US88160R1014"


def address(name: str) -> str:
    return base58.encode(hashlib.sha256(name.encode()).digest())


def signature(number: int) -> str:
    return base58.encode(hashlib.sha512(str(number).encode()).digest())


def at(slot: int) -> datetime:
    return T0 + timedelta(seconds=slot)


def iso(slot: int) -> str:
    return at(slot).isoformat()


MINT = address("mint")
REGISTRY = f"""
[[instruments]]
symbol = "AAPLx"
mint = "{MINT}"
isin = "{ISIN}"
decimals = 8

[[wallets]]
owner = "{address("treasury")}"
role = "treasury"
valid_from = 2026-01-01T00:00:00Z
source = "wallet list"

[[wallets]]
owner = "{address("redemption")}"
role = "redemption"
valid_from = 2026-01-01T00:00:00Z
source = "wallet list"

[[custodians]]
id = "alpaca"
name = "Alpaca Securities LLC"
quantum = "0.000000001"
[[custodians.accounts]]
id = "ITN-1"
"""


class Book:
    """One database being filled. ``ata("alice")`` is alice's token account."""

    def __init__(self, dsn: str, db: asyncpg.Connection, folder: Path) -> None:
        self.dsn = dsn
        self.db = db
        self.folder = folder
        self.batch = 0
        self._head = bytes(32)
        self._numbers = itertools.count(1)
        self._balances: dict[str, int] = {}
        self._touches: dict[tuple[int, int, str, str], list[Any]] = {}

    @classmethod
    async def open(cls, dsn: str, folder: Path) -> "Book":
        db = await connect(dsn)
        await db.execute("insert into ledger.cluster_row (genesis_hash) values ('genesis')")
        return cls(dsn, db, folder)

    async def close(self) -> None:
        await self.db.close()

    async def flush(self) -> None:
        """Store the touches: one row an account and transaction, however many events it has there."""
        await self.db.executemany(
            "insert into ledger.touch_row values ($1, $2, $3, $4, 8, $5, $6, $7, $8, $9)",
            [(*key, *values) for key, values in self._touches.items()],
        )
        self._touches.clear()

    async def commit(self) -> int:
        await self.flush()
        self.batch += 1
        prev, content = self._head, bytes(32)
        self._head = hashlib.sha256(prev + f"{self.batch}\ntest\n".encode() + content).digest()
        await self.db.execute(
            "insert into ledger.batch_row (batch, epoch, decoder_version, prev_hash, content_hash, hash) "
            "values ($1, 1, 'test', $2, $3, $4)",
            self.batch, prev, content, self._head,
        )  # fmt: skip
        return self.batch

    async def seal(self, *, whole: Collection[int] = ()) -> None:
        """Hash what each batch holds by now, as a writer does before it commits; some whole, as older ones did."""
        await self.flush()
        async with self.db.transaction():
            await self.db.execute("set local session_replication_role = replica")
            await self._answered()
            await self.db.execute("delete from ledger.content_row")
            self._head = bytes(32)
            for batch in range(1, self.batch + 1):
                rows = await batch_rows(self.db, batch)
                parts, prev = parts_of(rows), self._head
                content = whole_hash(rows) if batch in whole else parted_hash(parts)
                self._head = chain_hash(prev, batch, "test", content)
                await self.db.execute(
                    "update ledger.batch_row set prev_hash = $2, content_hash = $3, hash = $4 where batch = $1",
                    batch, prev, content, self._head,
                )  # fmt: skip
                if batch not in whole:
                    await self.db.execute("insert into ledger.content_row values ($1, $2)", batch, parts.decode())

    async def _answered(self) -> None:
        """The node's answer for each transaction with an event, as the indexer stores it."""
        for row in await self.db.fetch(
            "select distinct on (slot, tx_index) slot, tx_index, signature, batch from ledger.event_row e where not "
            "exists (select from ledger.evidence_row n where n.slot = e.slot and n.tx_index = e.tx_index)"
        ):
            body = json.dumps({"transaction": {"signatures": [row["signature"]]}}).encode()
            await self.db.execute(
                "insert into ledger.evidence_row values ($1, $2, 'json', 'node', $3, $4, $5)", row["slot"],
                row["tx_index"], hashlib.sha256(body).digest(), zstandard.ZstdCompressor().compress(body), row["batch"],
            )  # fmt: skip

    async def open_mint(
        self, *, mint: str = MINT, slot: int = 1, decimals: int = 8, multiplier: float | None = 1.0
    ) -> None:
        await self.control("mint_open", slot, mint=mint, details={"decimals": decimals})
        if multiplier is not None:
            await self.multiplier(slot, multiplier, 0, mint=mint)

    async def track(self, to_slot: int, *, mint: str = MINT, from_slot: int = 0) -> None:
        await self.flush()
        await self.db.execute(
            "insert into ledger.tracked_row values ($1, $2, $3) on conflict do nothing", mint, from_slot, self.batch
        )
        await self.db.execute(
            "insert into ledger.coverage_row values ($1, $2, $3, $4)", mint, from_slot, to_slot, self.batch
        )
        await self.db.executemany(
            "insert into ledger.slot_row values ($1, $2, $3, $4, $5, 1, $6) on conflict do nothing",
            [
                (slot, slot - 1, f"hash{slot}", f"hash{slot - 1}", at(slot), self.batch)
                for slot in range(from_slot, to_slot + 1)
            ],
        )

    async def control(
        self,
        kind: str,
        slot: int,
        *,
        mint: str = MINT,
        account: str | None = None,
        details: dict[str, Any] | None = None,
        authority: str | None = None,
    ) -> str:
        number = next(self._numbers)
        await self.db.execute("select ledger.ensure_partition($1)", slot)
        await self.db.execute(
            "insert into ledger.control_row values ($1, $2, $3, 0, -1, '0', $4, $5, $6, $7, $10, $8, $9)",
            slot, at(slot), number, signature(number), kind, mint, account, details or {}, self.batch, authority,
        )  # fmt: skip
        return signature(number)

    async def multiplier(self, slot: int, value: float, effective_at: int, *, mint: str = MINT) -> None:
        seconds = 0 if not effective_at else int(at(effective_at).timestamp())
        details = {"bits": struct.pack("<d", value).hex(), "effective_timestamp": seconds}
        await self.control("multiplier", slot, mint=mint, details=details)

    async def event(
        self,
        kind: str,
        slot: int,
        source: str,
        destination: str,
        amount: int,
        *,
        mint: str = MINT,
        memo: str | None = None,
        role: str = "owner",
        fee: int = 0,
        owners: tuple[str | None, str | None] | None = None,
        tx: int | None = None,
        step: int = 0,
    ) -> str:
        """One event row and its touches; names stand for owners, pseudo-accounts for themselves."""
        number = tx or next(self._numbers)
        sides: list[tuple[str, str | None]] = []
        for name in (source, destination):
            pseudo = name in ("issuance", "withheld", "confidential")
            sides.append((name, None) if pseudo else (self.ata(name, mint), address(name)))
        if owners is not None:
            sides = [(account, address(o) if o else None) for (account, _), o in zip(sides, owners, strict=True)]
        await self.db.execute("select ledger.ensure_partition($1)", slot)
        await self.db.execute(
            "insert into ledger.event_row values "
            "($1, $2, $3, $4, -1, '0', $5, 'Tokenz', $6, $7, $8, $9, $10, $11, $9, $12, $13, $14, $15, $16)",
            slot, at(slot), number, step, signature(number), kind, mint, *sides[0], *sides[1], role, amount, fee, memo,
            self.batch,
        )  # fmt: skip
        for (account, owner), delta in zip(sides, (-amount, amount - fee), strict=True):
            if owner is not None:
                await self.touch(slot, number, account, owner, owner, delta, mint=mint)
        return signature(number)

    async def touch(
        self,
        slot: int,
        number: int,
        account: str,
        before: str | None,
        after: str | None,
        delta: int,
        *,
        mint: str = MINT,
    ) -> None:
        balance = self._balances.get(account, 0)
        self._balances[account] = balance + delta
        await self.db.execute("select ledger.ensure_partition($1)", slot)
        row = self._touches.setdefault(
            (slot, number, mint, account), [balance, balance + delta, before, after, self.batch]
        )
        row[1], row[3] = balance + delta, after

    async def hand_over(self, slot: int, account_of: str, new_owner: str, *, announced: bool = True) -> str:
        """The token account of one owner becomes another's, by SetAuthority."""
        account = self.ata(account_of)
        details = {"type": "account_owner", "new": address(new_owner)} if announced else {}
        sign = await self.control("owner", slot, account=account, details=details)
        number = await self.db.fetchval("select tx_index from ledger.control_row where signature = $1", sign)
        await self.touch(slot, number, account, address(account_of), address(new_owner), 0)
        return sign

    def ata(self, name: str, mint: str = MINT) -> str:
        return address(f"{mint} account of {name}")

    async def mint(self, slot: int, to: str, amount: int, **more: Any) -> str:
        return await self.event("mint", slot, "issuance", to, amount, role="mint_authority", **more)

    async def burn(self, slot: int, source: str, amount: int, **more: Any) -> str:
        return await self.event("burn", slot, source, "issuance", amount, **more)

    async def transfer(self, slot: int, source: str, destination: str, amount: int, **more: Any) -> str:
        return await self.event("transfer", slot, source, destination, amount, **more)

    def file(self, name: str, text: str | bytes) -> Path:
        path = self.folder / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    async def registry(self, text: str = REGISTRY) -> None:
        await self.flush()
        await tieout_reconcile.apply_registry(self.dsn, self.file("registry.toml", text))

    async def statement(self, quantity: str | None, slot: int, *, isin: str = ISIN, name: str = "") -> None:
        rows = [] if quantity is None else [f"alpaca,ITN-1,{isin},{quantity},settled,{iso(slot)}"]
        header = "custodian,account,isin,quantity,basis,as_of"
        path = self.file(name or f"positions-{next(self._numbers)}.csv", "\n".join([header, *rows]))
        await tieout_reconcile.import_statement(self.dsn, path)

    async def orders(self, *rows: dict[str, Any]) -> None:
        columns = (
            "request_id",
            "side",
            "symbol",
            "quantity",
            "raw",
            "status",
            "wallet",
            "signature",
            "created_at",
            "settled_at",
            "fee",
            "network",
            "settlement",
            "cash_amount",
            "cash_currency",
        )
        lines = [",".join(columns)]
        for row in rows:
            full = {"symbol": "AAPLx", "created_at": iso(1), **row}
            lines.append(",".join(str(full.get(c, "")) for c in columns))
        await tieout_reconcile.import_orders(self.dsn, self.file(f"orders-{next(self._numbers)}.csv", "\n".join(lines)))

    async def records(self, kind: str, *rows: dict[str, Any], declared: Any = None) -> tieout_reconcile.Imported:
        """A file of a kind, its columns those of the rows."""
        columns = list(dict.fromkeys(name for row in rows for name in row))
        lines = [",".join(columns), *(",".join(str(row.get(c, "")) for c in columns) for row in rows)]
        path = self.file(f"{kind}-{next(self._numbers)}.csv", "\n".join(lines))
        return await tieout_reconcile.import_records(self.dsn, kind, path, declared=declared)

    async def run(self, as_of: Any = None, **more: Any) -> tieout_reconcile.Run:
        await self.flush()
        return await tieout_reconcile.run(self.dsn, as_of, **more)


def issue(request_id: str, quantity: str, **more: Any) -> dict[str, Any]:
    return {"request_id": request_id, "side": "issue", "quantity": quantity, "status": "completed", **more}


def redeem(request_id: str, quantity: str, **more: Any) -> dict[str, Any]:
    return {"request_id": request_id, "side": "redeem", "quantity": quantity, "status": "completed", **more}


def cash(amount: str, currency: str = "USD") -> dict[str, str]:
    """The cash leg of an order."""
    return {"settlement": "cash", "cash_amount": amount, "cash_currency": currency}


def payment(
    reference: str, direction: str, amount: str, slot: int, request_id: str = "", **more: Any
) -> dict[str, Any]:
    return {"reference": reference, "direction": direction, "amount": amount, "currency": "USD", "paid_at": iso(slot),
            "request_id": request_id, "source": "bank statement", **more}  # fmt: skip


def step(action_id: str, slot: int, factor: str, **more: Any) -> dict[str, Any]:
    """A declared split, or what ``more`` makes of it, that takes effect at a slot."""
    return {"action_id": action_id, "isin": ISIN, "kind": "split", "status": "announced", "announced_at": iso(1),
            "effective_at": iso(slot), "factor": factor, **more}  # fmt: skip


def codes(run: tieout_reconcile.Run, *, notices: bool = False) -> list[str]:
    return sorted(f.code for f in run.findings if notices or f.is_break)


def memo(verb: str, request_id: str) -> str:
    return f"tieout/1 {verb} {request_id}"


def instrument(symbol: str, mint: str, isin: str) -> str:
    return f'[[instruments]]\nsymbol = "{symbol}"\nmint = "{mint}"\nisin = "{isin}"\ndecimals = 8\n'


def wallet(kind: str, name: str, role: str, valid_from: str = "2026-01-01T00:00:00Z", more: str = "") -> str:
    """One more wallet; kind: owner or account, the given address."""
    return f'[[wallets]]\n{kind} = "{name}"\nrole = "{role}"\nvalid_from = {valid_from}\nsource = "s"\n{more}\n'


def places_asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """Return a list that grows each time when a movement is asked for its place: how often movements are looked at."""
    asked: list[tuple[str, str]] = []

    def place(movement: CustodyMovement) -> tuple[str, str]:
        asked.append((movement.custodian, movement.account))
        return asked[-1]

    monkeypatch.setattr(CustodyMovement, "place", property(place))
    return asked
