"""Payouts: one holder pays thousands of rows, several in a transaction, each row once.

Rows are cut into transactions in the order of the file, so that the same file always gives the
same requests ``<payout id>/<number>``. The journal knows each; running again pays what is missing.
"""

import asyncio
import hashlib
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from solders.instruction import Instruction
from solders.pubkey import Pubkey

from tieout_client import instructions as ix
from tieout_client.amounts import check_raw, parse_raw, shares_to_raw
from tieout_client.errors import BadInput, ClientError, JournalUnavailable
from tieout_client.exactly_once import Plan, Requests
from tieout_client.journal import Request
from tieout_client.keys import Address, Signer, address
from tieout_client.memo import memo_instruction, request_memo
from tieout_client.multisig import MultisigSigner
from tieout_client.reading import parse_balance, read_accounts
from tieout_client.rows import read_rows
from tieout_client.session import Session

ROWS_PER_TRANSACTION: Final = 7
"""What fits 1,232 bytes with the opening of each account, whether or not it is needed."""

_AT_ONCE: Final = 48
_READ_AT_ONCE: Final = 100


@dataclass(frozen=True, slots=True)
class PayoutRow:
    """One payment: the ``line`` of the file it stands in, the base58 owner who is paid, raw units above zero."""

    line: int
    owner: str
    raw: int


@dataclass(frozen=True, slots=True)
class PayoutLine:
    """What became of a row: its transaction and slot, or the ``error`` for which it is not paid or not known."""

    row: PayoutRow
    signature: str | None
    slot: int | None
    error: str | None

    @property
    def paid(self) -> bool:
        """True when the row's tokens have moved."""
        return self.error is None


def parse_payout(text: str, *, decimals: int, bits: bytes | None = None) -> list[PayoutRow]:
    """Return the rows of a CSV file with the columns ``owner`` and ``amount``.

    Amounts are shares at the multiplier of ``bits``, rounded down to whole units, or raw units
    where that is None. The whole file is refused, naming the lines, when any is wrong: BadInput.
    """

    def row(cells: dict[str, str], line: int) -> PayoutRow:
        owner, amount = address(cells["owner"], "owner"), cells["amount"].strip()
        raw = parse_raw(amount) if bits is None else shares_to_raw(amount, decimals, bits).raw
        return PayoutRow(line, str(owner), check_raw(raw, zero=False))

    return read_rows(text, "a payout file", [("owner", "amount")], row)


def _rows_per_transaction(holder: Signer) -> int:
    # Each member of a multisig takes the room of about one row: its key and its signature.
    members = len(holder.members) if isinstance(holder, MultisigSigner) else 0
    return max(ROWS_PER_TRANSACTION - members, 1)


class Payouts(Session):
    """Paying many holders from one account."""

    async def payout(
        self,
        mint: Address,
        rows: Sequence[PayoutRow],
        holder: Signer,
        payout_id: str,
        *,
        progress: Callable[[int], None] | None = None,
    ) -> list[PayoutLine]:
        """Pay each row once from the holder's account, opening accounts that are missing; needs a journal.

        ``progress`` is told how many more rows are settled. A transaction that fails leaves its
        rows unpaid with the reason, and the others go on. Raises BadInput (and its kinds) before
        anything is signed, JournalUnavailable when the journal fails on the way.
        """
        journal, at = self.desk.journal, address(mint, "mint")
        if journal is None:
            raise BadInput("a payout is taken up again from its journal: name one")
        requests = self._paying()
        size = _rows_per_transaction(holder)
        chunks = [rows[n : n + size] for n in range(0, len(rows), size)]
        asked = [self._chunk(at, chunk, holder, payout_id, n) for n, chunk in enumerate(chunks)]
        chain = await requests.chain()
        known = [await asyncio.to_thread(journal.find, chain, request) for request in asked]
        missing = sum(r.raw for r, entry in zip(asked, known, strict=True) if entry is None)
        await self._check_payout(at, holder, sum(r.raw for r in rows), missing, fresh=not any(known))
        wanting = await self._wanting_memos(at, [c for c, entry in zip(chunks, known, strict=True) if entry is None])
        decimals, free = await self._decimals_of(at), asyncio.Semaphore(_AT_ONCE)

        async def pay(chunk: Sequence[PayoutRow], request: Request) -> list[PayoutLine]:
            async with free:
                steps = partial(self._steps, at, chunk, holder.pubkey(), decimals, wanting)
                lines = await self._pay(requests, chunk, request, holder, steps)
            if progress is not None:
                progress(len(chunk))
            return lines

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(pay(c, r)) for c, r in zip(chunks, asked, strict=True)]
        return [line for task in tasks for line in task.result()]

    async def _pay(
        self,
        requests: Requests,
        chunk: Sequence[PayoutRow],
        request: Request,
        holder: Signer,
        steps: Callable[[], list[Instruction]],
    ) -> list[PayoutLine]:
        async def prepare() -> Plan:
            return Plan(steps=steps(), signers=[holder])

        try:
            done = await requests.perform(request, prepare)
        except JournalUnavailable:
            raise
        except ClientError as failed:
            return [PayoutLine(row, None, None, str(failed)) for row in chunk]
        return [PayoutLine(row, done.signature, done.slot, None) for row in chunk]

    def _steps(
        self,
        mint: Pubkey,
        chunk: Sequence[PayoutRow],
        owner: Pubkey,
        decimals: int,
        wanting: Container[Pubkey] = frozenset(),
    ) -> list[Instruction]:
        source, payer = ix.token_account(mint, owner), self.signer.pubkey()
        steps: list[Instruction] = []
        for row in chunk:
            to = Pubkey.from_string(row.owner)
            account = ix.token_account(mint, to)
            steps.append(ix.open_account(mint, to, payer))
            if account in wanting:
                # Right before the transfer: the request's own memo stands too far off.
                steps.append(memo_instruction("payout"))
            steps.append(ix.transfer(mint, source, account, owner, raw=row.raw, decimals=decimals))
        return steps

    async def _wanting_memos(self, mint: Pubkey, chunks: Sequence[Sequence[PayoutRow]]) -> set[Pubkey]:
        """Return the receiving accounts that take transfers only right behind a memo."""
        accounts = [ix.token_account(mint, Pubkey.from_string(row.owner)) for chunk in chunks for row in chunk]
        wanting = set()
        for first in range(0, len(accounts), _READ_AT_ONCE):
            part = accounts[first : first + _READ_AT_ONCE]
            slot, found = await read_accounts(self.rpc, part, "confirmed")
            for at, account in zip(part, found, strict=True):
                if account is not None and parse_balance(at, slot, account).wants_memo:
                    wanting.add(at)
        return wanting

    async def _check_payout(self, mint: Pubkey, holder: Signer, total: int, missing: int, *, fresh: bool) -> None:
        source = ix.token_account(mint, holder.pubkey())
        scene = await self._scene(mint, [source], total)
        if self._checking:
            # What is under way may have left the account already.
            scene.debit(source, total if fresh else missing)

    def _paying(self) -> Requests:
        # Checked as a whole, so not simulated one by one; the chain refuses what has changed since.
        options = replace(
            self.sender.options,
            skip_preflight=True,
            accept_failure=False,
            blockhash_reuse_s=1.0,
            poll_first_s=0.15,
            # Many are asked for at once: a WebSocket for each would only cost more.
            websocket_after_s=self.sender.options.give_up_after_s,
        )
        return Requests(self.sender.using(options), self.desk)

    @staticmethod
    def _chunk(mint: Pubkey, chunk: Sequence[PayoutRow], holder: Signer, payout_id: str, number: int) -> Request:
        text = "\n".join(f"{row.owner} {row.raw}" for row in chunk)
        request_id = f"{payout_id}/{number}"
        request_memo("payout", request_id)
        details = {"of": str(holder.pubkey()), "rows": hashlib.sha256(text.encode()).hexdigest()[:16]}
        return Request(
            kind="payout", request_id=request_id, mint=str(mint), raw=sum(row.raw for row in chunk), details=details
        )
