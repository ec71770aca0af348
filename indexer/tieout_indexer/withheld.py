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
from tieout_indexer.model import SNAPSHOT_INDEX
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
