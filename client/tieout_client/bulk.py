"""Freezing or thawing every account of a file: many in a transaction, and again only what is missing.

Nothing is journaled: the state of the accounts is the progress. A run looks at each first and
leaves alone what is as wanted; one that was killed is simply run again.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from solders.instruction import Instruction
from solders.pubkey import Pubkey

from tieout_client import instructions as ix
from tieout_client.checks import look
from tieout_client.errors import BadInput, ClientError, ProgramRefused
from tieout_client.keys import Address, address
from tieout_client.reading import parse_balance, read_accounts
from tieout_client.rows import read_rows
from tieout_client.session import Session

ACCOUNTS_PER_TRANSACTION: Final = 16
OPENED_PER_TRANSACTION: Final = 7
_READ_AT_ONCE: Final = 100
_AT_ONCE: Final = 16


@dataclass(frozen=True, slots=True)
class BulkRow:
    """One account: the ``line`` of the file, its base58 address, and its owner where the file names that."""

    line: int
    account: str
    owner: str | None


@dataclass(frozen=True, slots=True)
class BulkLine:
    """What became of a row: done now, so already, or failed with the ``error``."""

    row: BulkRow
    state: Literal["done", "already", "failed"]
    signature: str | None = None
    slot: int | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class _Step:
    row: BulkRow
    opens: bool
    changes: bool


def parse_accounts(text: str, mint: Address) -> list[BulkRow]:
    """Return the rows of a CSV file with a column ``owner`` or ``account``; each account once.

    The whole file is refused, naming the lines, when any is wrong: BadInput.
    """
    at = address(mint, "mint")

    def row(cells: dict[str, str], line: int) -> BulkRow:
        column = "account" if "account" in cells else "owner"
        key = address(cells[column].strip(), column)
        if column == "account":
            return BulkRow(line, str(key), None)
        return BulkRow(line, str(ix.token_account(at, key)), str(key))

    rows: dict[str, BulkRow] = {}
    for found in read_rows(text, "a file of accounts", [("account",), ("owner",)], row):
        rows.setdefault(found.account, found)
    return list(rows.values())


class Bulk(Session):
    """The freeze authority's work on many accounts."""

    async def set_frozen(
        self,
        mint: Address,
        rows: Sequence[BulkRow],
        frozen: bool,
        *,
        open_missing: bool = False,
        progress: Callable[[int], None] | None = None,
    ) -> list[BulkLine]:
        """Freeze or thaw each account, opening an owner's that is missing if ``open_missing``.

        A transaction that is refused is tried again account by account, so that one bad row does
        not hold up the others. Raises BadInput for a wrong freeze authority, RpcError.
        """
        at, free, found = address(mint, "mint"), asyncio.Semaphore(_AT_ONCE), dict[str, BulkLine]()
        scene = await look(self.rpc, at, [], "confirmed")
        if self._checking:
            scene.authority("freeze_account", self.authorities.freeze_authority.pubkey())
        starts_frozen = scene.instrument.starts_frozen

        async def work(chunk: Sequence[_Step]) -> None:
            async with free:
                found.update(await self._frozen_chunk(at, chunk, frozen))
            if progress is not None:
                progress(len(chunk))

        todo, opening = await self._sorted_rows(at, rows, frozen, open_missing, starts_frozen, found)
        if progress is not None:
            progress(len(found))
        async with asyncio.TaskGroup() as group:
            for part, size in ((todo, ACCOUNTS_PER_TRANSACTION), (opening, OPENED_PER_TRANSACTION)):
                for first in range(0, len(part), size):
                    group.create_task(work(part[first : first + size]))
        return [found[row.account] for row in rows]

    async def _sorted_rows(
        self,
        mint: Pubkey,
        rows: Sequence[BulkRow],
        frozen: bool,
        open_missing: bool,
        starts_frozen: bool,
        found: dict[str, BulkLine],
    ) -> tuple[list[_Step], list[_Step]]:
        """Put what needs nothing, or cannot be done, into ``found``; return the rest, those to open apart."""
        todo: list[_Step] = []
        opening: list[_Step] = []
        for first in range(0, len(rows), _READ_AT_ONCE):
            part = rows[first : first + _READ_AT_ONCE]
            slot, accounts = await read_accounts(self.rpc, [Pubkey.from_string(r.account) for r in part], "confirmed")
            for row, account in zip(part, accounts, strict=True):
                if account is None:
                    if open_missing and row.owner is not None:
                        opening.append(_Step(row, opens=True, changes=starts_frozen != frozen))
                    else:
                        found[row.account] = BulkLine(row, "failed", error="there is no such token account")
                    continue
                try:
                    balance = parse_balance(Pubkey.from_string(row.account), slot, account)
                except BadInput as bad:
                    found[row.account] = BulkLine(row, "failed", error=str(bad))
                    continue
                if balance.mint != str(mint):
                    found[row.account] = BulkLine(row, "failed", error=f"it is of the mint {balance.mint}")
                elif balance.frozen == frozen:
                    found[row.account] = BulkLine(row, "already")
                else:
                    todo.append(_Step(row, opens=False, changes=True))
        return todo, opening

    async def _frozen_chunk(self, mint: Pubkey, chunk: Sequence[_Step], frozen: bool) -> dict[str, BulkLine]:
        authority = self.authorities.freeze_authority
        steps = [step for item in chunk for step in self._freezing_steps(mint, item, frozen)]
        try:
            done = await self._send(steps, authority)
        except ProgramRefused as refused:
            if len(chunk) == 1:
                return {chunk[0].row.account: BulkLine(chunk[0].row, "failed", error=str(refused))}
            apart = [await self._frozen_chunk(mint, [item], frozen) for item in chunk]
            return {account: line for part in apart for account, line in part.items()}
        except ClientError as failed:
            return {item.row.account: BulkLine(item.row, "failed", error=str(failed)) for item in chunk}
        return {item.row.account: BulkLine(item.row, "done", done.signature, done.slot) for item in chunk}

    def _freezing_steps(self, mint: Pubkey, item: _Step, frozen: bool) -> list[Instruction]:
        authority, account = self.authorities.freeze_authority.pubkey(), Pubkey.from_string(item.row.account)
        change = (ix.freeze if frozen else ix.thaw)(mint, account, authority)
        if not item.opens:
            return [change]
        assert item.row.owner is not None, "only an owner's account can be opened"
        opening = ix.open_account(mint, Pubkey.from_string(item.row.owner), self.signer.pubkey())
        return [opening, change] if item.changes else [opening]
