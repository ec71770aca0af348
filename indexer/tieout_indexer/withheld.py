"""Transfer fees withheld, account by account, replayed from the ledger's events and stored evidence.

A fee stays in the account that received the transfer. HarvestWithheldTokensToMint moves it to the mint, the two
WithdrawWithheldTokens pay it out; which accounts they empty is in their bytes alone. Source: token-2022.md §3.1.
"""

import json
from collections.abc import Iterable
from typing import NamedTuple

import asyncpg

from tieout_database import Queries
from tieout_idl import TokenFormatError, UnknownInstruction, decode, parse_mint
from tieout_idl.programs import TOKEN_PROGRAMS
from tieout_indexer.accounts import parse_accounts, withheld_of
from tieout_indexer.errors import BadEvidence
from tieout_indexer.evidence import stored_body
from tieout_indexer.model import SNAPSHOT_INDEX, Doubt, Event, TransactionResult
from tieout_indexer.steps import Step, account_keys, batch_children, execution_steps
from tieout_indexer.wire import UNREADABLE, parse_transaction
from tieout_rpc import MalformedAnswer

_SQL = Queries("tieout_indexer", "withheld.sql")
_BATCH = b"\xff"


class Fee(NamedTuple):
    """A fee that a transfer left in an account, raw."""

    account: str
    amount: int


class Sweep(NamedTuple):
    """Accounts whose fees go to the mint (``harvest``) or are paid out; the mint's own address stands for its part."""

    sources: tuple[str, ...]
    to_mint: bool


def replay(opening: dict[str, int], steps: Iterable[Fee | Sweep], mint: str) -> dict[str, int]:
    """What each account, and under its own address the mint, holds back after the steps; zeros are left out."""
    held = dict(opening)
    for step in steps:
        if isinstance(step, Fee):
            held[step.account] = held.get(step.account, 0) + step.amount
            continue
        taken = sum(held.pop(source, 0) for source in dict.fromkeys(step.sources))
        if step.to_mint:
            held[mint] = held.get(mint, 0) + taken
    return {address: amount for address, amount in held.items() if amount}


def sweeps_of(body: bytes, mint: str) -> dict[tuple[int, int], Sweep]:
    """The sweeps of a mint in a transaction's bytes, by (step, child). Raises one of wire.UNREADABLE."""
    transaction = parse_transaction(body)
    found = {}
    for step in execution_steps(transaction, account_keys(transaction), TOKEN_PROGRAMS):
        for place, accounts, data in _opened(step):
            sweep = _sweep(accounts, data, mint)
            if sweep is not None:
                found[place] = sweep
    return found


def _opened(step: Step) -> Iterable[tuple[tuple[int, int], tuple[str, ...], bytes]]:
    data = step.raw_data()
    if data[:1] != _BATCH:
        return [((step.place.step, step.place.child), step.accounts, data)]
    batch = decode(data)
    if isinstance(batch, UnknownInstruction):
        return []
    return [((p.step, p.child), accounts, child) for p, accounts, child in batch_children(step, batch.args["data"])]


def _sweep(accounts: tuple[str, ...], data: bytes, mint: str) -> Sweep | None:
    try:
        instruction = decode(data)
    except TokenFormatError:
        return None
    if isinstance(instruction, UnknownInstruction) or accounts[:1] != (mint,):
        return None
    match instruction.name:
        case "harvest_withheld_tokens_to_mint":
            return Sweep(accounts[1:], to_mint=True)
        case "withdraw_withheld_tokens_from_mint":
            return Sweep((mint,), to_mint=False)
        case "withdraw_withheld_tokens_from_accounts":
            count = instruction.args["num_token_accounts"]
            return Sweep(accounts[len(accounts) - count :], to_mint=False)
    return None


class Withholding:
    """What a run of slots withholds and sweeps, mint by mint, carried on from what was withheld before it."""

    def __init__(self) -> None:
        self._steps: dict[str, list[Fee | Sweep]] = {}
        self._before: dict[str, dict[str, int] | None] = {}

    def wants(self, mint: str) -> bool:
        """Whether what was withheld before must be looked up (``begin``) for a check."""
        return mint not in self._before

    def begin(self, mint: str, before: dict[str, int] | None) -> None:
        """Set what each account, and under its own address the mint, held back before; None: it is not known."""
        self._before[mint] = before

    def note(self, result: TransactionResult) -> None:
        """Carry on over a transaction."""
        for mint in _sweeping(result) | {e.mint for e in result.events if e.fee}:
            self._steps.setdefault(mint, []).extend(step for step, _ in _steps_of(result, mint))

    def check(self, result: TransactionResult, mint: str) -> Doubt | None:
        """Whether a transaction, not noted yet, pays out just what was withheld; None too where that is not known."""
        before = self._before.get(mint)
        if before is None:
            return None
        held = replay(before, self._steps.get(mint, ()), mint)
        for step, event in _steps_of(result, mint):
            due = sum(held.get(source, 0) for source in dict.fromkeys(step.sources)) if isinstance(step, Sweep) else 0
            if event is not None and event.amount != due:
                told = f"{event.amount} are paid out of withheld fees, {due} were withheld where it takes them from"
                return Doubt(event.place, mint, told, "")
            held = replay(held, [step], mint)
        return None


def paid_out(result: TransactionResult) -> set[str]:
    """The mints of which a transaction pays out withheld fees."""
    return {event.mint for event in result.events if event.kind == "fee_withdrawal"}


def _sweeping(result: TransactionResult) -> set[str]:
    return paid_out(result) | {control.mint for control in result.controls if control.kind == "harvest"}


def _steps_of(result: TransactionResult, mint: str) -> list[tuple[Fee | Sweep, Event | None]]:
    """A transaction's fees and sweeps of a mint in order; beside a sweep that pays out, its event."""
    sweeps = sweeps_of(result.body, mint) if mint in _sweeping(result) else {}
    events = [e for e in result.events if e.mint == mint]
    paying = {(e.place.step, e.place.child): e for e in events if e.kind == "fee_withdrawal"}
    placed: list[tuple[tuple[int, int], Fee | Sweep, Event | None]] = [
        ((e.place.step, e.place.child), Fee(e.destination, e.fee), None) for e in events if e.fee
    ]
    placed += [(place, sweep, paying.get(place)) for place, sweep in sweeps.items()]
    return [(step, event) for _, step, event in sorted(placed, key=lambda one: one[0])]


async def withheld_by_account(connection: asyncpg.Connection, mint: str, at: int) -> dict[str, int] | None:
    """The replay up to a slot, from the mint's creation or its snapshot; None where evidence is away or damaged."""
    after = await connection.fetchval(_SQL["counted_after"], mint, at)
    try:
        opening = {} if after < 0 else await _opening(connection, mint, after)
        steps = await _steps(connection, mint, after, at)
    except (BadEvidence, LookupError, MalformedAnswer, *UNREADABLE):
        return None
    return replay(opening, steps, mint)


async def _opening(connection: asyncpg.Connection, mint: str, slot: int) -> dict[str, int]:
    """What a snapshot found. Raises LookupError where its bytes are not in the ledger."""
    for record in await connection.fetch(_SQL["evidence"], slot, SNAPSHOT_INDEX):
        told = json.loads(stored_body(record["body"], record["sha256"]))
        accounts = parse_accounts(told["accounts"].encode(), mint, "the stored snapshot").accounts
        if accounts:
            own = withheld_of(parse_mint(bytes.fromhex(told["mint"])))
            return {mint: own, **{address: withheld_of(account) for address, account in accounts.items()}}
    raise LookupError(f"the snapshot of {mint} at slot {slot} is not in the ledger")


async def _steps(connection: asyncpg.Connection, mint: str, after: int, at: int) -> list[Fee | Sweep]:
    steps: list[Fee | Sweep] = []
    known: dict[tuple[int, int], dict[tuple[int, int], Sweep]] = {}
    for row in await connection.fetch(_SQL["steps"], mint, after, at):
        if row["fee"] is not None:
            steps.append(Fee(row["account"], int(row["fee"])))
            continue
        place = row["slot"], row["tx_index"]
        if place not in known:
            records = await connection.fetch(_SQL["evidence"], *place)
            if not records:
                raise LookupError(f"the evidence of transaction {place[1]} of slot {place[0]} is not in the ledger")
            record = records[0]  # where nodes told it in other bytes, they told the same
            known[place] = sweeps_of(stored_body(record["body"], record["sha256"]), mint)
        steps.append(known[place][row["step"], row["child"]])
    return steps
