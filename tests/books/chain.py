"""A book's chain, as rows of the ledger: each movement in a block of its own, touches with both sides' balances."""

import hashlib
import struct
from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import asyncpg

from books import coins
from books.model import Book, Move, Stock
from tieout_idl import base58

APART = 3
"""Slots from one block to the next: the ones between are skipped."""
FIRST = 100
NOBODY = ("issuance", "withheld", "confidential")


def address(name: str) -> str:
    """The address that a name stands for."""
    return base58.encode(hashlib.sha256(name.encode()).digest())


def signature(reference: str) -> str:
    """The signature of the transaction that a reference stands for."""
    return base58.encode(hashlib.sha512(reference.encode()).digest())


def token_account(name: str, stock: Stock) -> str:
    """An owner's token account."""
    return address(f"{stock.symbol} account of {name}")


def mint_of(stock: Stock) -> str:
    """A stock's mint."""
    return address(stock.mint)


@dataclass(frozen=True)
class Written:
    """The slot of the cut-off."""

    cut_off: int


async def write(db: asyncpg.Connection, book: Book) -> Written:
    """Store a book's chain in one batch."""
    rows = _Rows(book)
    async with db.transaction():
        await db.execute("insert into ledger.cluster_row (genesis_hash) values ('books')")
        await db.execute("select ledger.ensure_partition(0)")
        await db.execute(
            "insert into ledger.batch_row (batch, epoch, decoder_version, prev_hash, content_hash, hash) "
            "values (1, 1, 'books', $1, $1, $2)", bytes(32), hashlib.sha256(b"books").digest(),
        )  # fmt: skip
        for relation, values in rows.tables().items():
            if values:
                marks = ", ".join(f"${n + 1}" for n in range(len(values[0])))
                await db.executemany(f"insert into ledger.{relation} values ({marks})", values)
    return Written(rows.slot_of(book.cut_off))


class _Rows:
    def __init__(self, book: Book) -> None:
        self.book = book
        moments = {
            book.cut_off,
            *(m.at for m in book.moves),
            *(c.at for c in book.controls),
            *(d.at for d in book.doubts),
        }
        moments |= {s.sent_at for stock in book.stocks for s in stock.steps}
        moments |= {b.as_of for b in book.balances}
        moments |= {p.at for p in coins.by_coin(book)}
        self.moments = sorted(moments)
        self.slots = {at: FIRST + APART * n for n, at in enumerate(self.moments)}
        self.last = self.slots[self.moments[-1]] + 1
        self.balances: dict[str, int] = {}
        self.events: list[tuple[Any, ...]] = []
        self.controls: list[tuple[Any, ...]] = []
        self.touches: list[tuple[Any, ...]] = []
        self.skipped: set[int] = set()
        self.counts: Counter[int] = Counter()

    def slot_of(self, at: datetime) -> int:
        return self.slots[at]

    def tables(self) -> dict[str, list[tuple[Any, ...]]]:
        self._write_controls()
        moves = sorted(self.book.moves, key=lambda m: m.at)
        for move in (m for m in moves if m.at <= self.book.cut_off):
            for _ in range(2 if move.twice else 1):
                self._move(move, self.slots[move.at])
            if move.blockless:
                self.skipped.add(self.slots[move.at])
        coin = self._coins()
        self._miscount()
        for move in (m for m in moves if m.at > self.book.cut_off):
            self._move(move, self.slots[move.at])
        quarantined, found = self._doubts()
        return {
            "slot_row": self._blocks(), "event_row": self.events, "control_row": self.controls,
            "touch_row": self.touches, "quarantine_row": quarantined, "finding_row": found,
            "tracked_row": [(mint_of(s), 0, 1) for s in (*self.book.stocks, coin)],
            "coverage_row": [*self._coverage(), (mint_of(coin), 0, self.last, 1)],
        }  # fmt: skip

    def _write_controls(self) -> None:
        for stock in self.book.stocks:
            first = stock.steps[0]
            self._control(
                stock, first.sent_at, f"opens {stock.symbol}", "mint_open", None, {"decimals": stock.decimals}
            )
            for step in stock.steps:
                bits = struct.pack("<d", step.value).hex()
                asked = 0 if step.asked is None else int(step.asked.timestamp())
                details = {"bits": bits, "effective_timestamp": asked}
                self._control(stock, step.sent_at, step.reference, "multiplier", None, details)
        for control in self.book.controls:
            account = None if control.account is None else token_account(control.account, control.stock)
            self._control(control.stock, control.at, control.reference, control.kind, account, control.details)

    def _control(
        self, stock: Stock, at: datetime, reference: str, kind: str, account: str | None, details: dict[str, Any]
    ) -> None:
        self.controls.append(
            (self.slots[at], at, self._number(self.slots[at]), 0, -1, "0", signature(reference), kind, mint_of(stock),
             account, address("authority"), details, 1)
        )  # fmt: skip

    def _number(self, slot: int) -> int:
        """The next transaction of a block."""
        self.counts[slot] += 1
        return self.counts[slot]

    def _move(self, move: Move, slot: int) -> None:
        tx, sides = self._number(slot), list[str | None]()
        for name in (move.source, move.destination):
            sides += [name, None] if name in NOBODY else [token_account(name, move.stock), address(name)]
        self.events.append(
            (slot, move.at, tx, 0, -1, "0", signature(move.reference), "Tokenz", move.kind, mint_of(move.stock), *sides,
             sides[1], move.role, move.raw, 0, move.memo, 1)
        )  # fmt: skip
        for (account, owner), change in zip((sides[:2], sides[2:]), (-move.raw, move.raw), strict=True):
            if owner is not None and account is not None:
                self._touch(slot, tx, move.stock, account, owner, change)

    def _touch(self, slot: int, tx: int, stock: Stock, account: str, owner: str, change: int) -> None:
        before = self.balances.get(account, 0)
        self.balances[account] = before + change
        self.touches.append(
            (slot, tx, mint_of(stock), account, stock.decimals, before, before + change, owner, owner, 1)
        )

    def _coins(self) -> Stock:
        """The stablecoin: its mint, what was there from the start, and the payments by transactions."""
        coin, first = coins.coin_of(self.book), self.moments[0]
        self._control(coin, first, "opens the coin", "mint_open", None, {"decimals": coin.decimals})
        for name in (coins.DESK, coins.EXCHANGE):
            self._move(
                Move(first, coin, "mint", "issuance", name, coins.STOCKED, f"coins of the {name}"), self.slots[first]
            )
        for move in coins.moves(self.book, coin):
            self._move(move, self.slots[move.at])
        return coin

    def _miscount(self) -> None:
        """Accounts of which the node's own balances say more than any movement brought."""
        for stock in self.book.stocks:
            if (said := self.book.miscounted.get(stock.symbol)) is not None:
                slot = self.slots[self.book.cut_off]
                self._touch(slot, self._number(slot), stock, token_account(said[0], stock), address(said[0]), said[1])

    def _doubts(self) -> tuple[list[tuple[Any, ...]], list[tuple[Any, ...]]]:
        quarantined, found = [], []
        for doubt in self.book.doubts:
            slot, mint = self.slots[doubt.at], mint_of(doubt.stock)
            if doubt.kind == "quarantine":
                quarantined.append((slot, 5, 0, -1, signature(doubt.reference), "0", mint, doubt.text, "", 1))
            else:
                subject = mint if doubt.kind in ("supply", "multiplier") else doubt.reference
                found.append((doubt.kind, subject, mint, slot, "open", "100", doubt.text, "e", doubt.at, 1))
        return quarantined, found

    def _coverage(self) -> list[tuple[Any, ...]]:
        rows = []
        for stock in self.book.stocks:
            last = self.slots[self.book.cut_off] - 1 if stock.symbol in self.book.unproven else self.last
            rows.append((mint_of(stock), 0, last, 1))
        return rows

    def _blocks(self) -> list[tuple[Any, ...]]:
        rows: list[tuple[Any, ...]] = []
        parent = 0
        for at in self.moments:
            slot = self.slots[at]
            if slot not in self.skipped:
                rows.append((slot, parent, f"block{slot}", f"block{parent}", at, 1, 1))
                parent = slot
        return rows
