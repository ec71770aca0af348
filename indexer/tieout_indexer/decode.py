"""A transaction's instructions → what they did to the tracked mints, and whether the node agrees.

Pure: no I/O, no clock, no logging. Never reads logs. A failed transaction yields nothing.
"""

from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from tieout_database import marked_text
from tieout_idl import TokenFormatError, UnknownInstruction, decode
from tieout_idl.programs import INCINERATOR, MEMO_PROGRAMS, SYSTEM_PROGRAM, TOKEN_PROGRAMS
from tieout_indexer import mint_state, proof, rules
from tieout_indexer.limits import IndexerLimits
from tieout_indexer.mint_state import EpochOf, MintState
from tieout_indexer.model import PSEUDO_ACCOUNTS, Control, Doubt, Event, Place, TransactionResult
from tieout_indexer.steps import Step, account_keys, batch_children, execution_steps
from tieout_indexer.wire import WireTransaction, parse_transaction

DECODER_VERSION = "3"
"""Recorded with each batch: rows of different versions may differ, evidence lets the newer one replace the older."""
_PROGRAMS = TOKEN_PROGRAMS | MEMO_PROGRAMS
_UNKNOWN = MintState()
_BATCH = b"\xff"


@dataclass(frozen=True, slots=True)
class Scope:
    """What to decode for: the tracked mints (None: every mint), their states so far, the epoch rule."""

    tracked: Container[str] | None
    states: dict[str, MintState]
    epoch_of: EpochOf
    limits: IndexerLimits = field(default_factory=IndexerLimits)

    def tracks(self, mint: str | None) -> bool:
        """Whether rows of this mint are wanted."""
        return mint is not None and (self.tracked is None or mint in self.tracked)


@dataclass(slots=True)
class _Reading:
    """One transaction while it is being read."""

    scope: Scope
    epoch: int
    result: TransactionResult
    mint_of: dict[str, str]
    owner_of: dict[str, str | None]
    states: dict[str, MintState]
    unsolved: list[int] = field(default_factory=list)
    memos: list[bytes] = field(default_factory=list)

    def state(self, mint: str) -> MintState:
        return self.states.get(mint) or self.scope.states.get(mint) or _UNKNOWN


def decode_transaction(scope: Scope, slot: int, tx_index: int, body: bytes) -> TransactionResult | None:
    """Decode one transaction from the node's bytes; None when it failed on chain or concerns no tracked mint.

    ``scope.states`` moves on to the state after the transaction. Raises one of wire.UNREADABLE on
    an unexpected shape: the caller parks the slot.
    """
    transaction = parse_transaction(body)
    if transaction.meta.err is not None:
        return None
    result = TransactionResult(tx_index, transaction.transaction.signatures[0], body=body)
    reading = _Reading(scope, scope.epoch_of(slot), result, {}, {}, {})
    keys = account_keys(transaction)
    try:
        _known_accounts(reading, transaction, keys)
        for step in execution_steps(transaction, keys, _PROGRAMS):
            _read_step(reading, step)
    except IndexError:
        raise ValueError("it refers to an account key that it lacks") from None
    proof.prove(result, transaction, keys, scope.tracked, reading.unsolved, reading.owner_of)
    if not (result.status or result.doubts):
        return None
    result.memo = _memo(reading)
    doubtful = {doubt.mint for doubt in result.doubts}
    scope.states.update({mint: state for mint, state in reading.states.items() if mint not in doubtful})
    return result


def _known_accounts(reading: _Reading, transaction: WireTransaction, keys: list[str]) -> None:
    # Before the transaction, as the node saw it; an account opened in it may show only afterwards.
    for row in (*transaction.meta.post_token_balances, *transaction.meta.pre_token_balances):
        reading.mint_of[keys[row.account_index]] = row.mint
    for row in transaction.meta.pre_token_balances:
        reading.owner_of[keys[row.account_index]] = row.owner


def _read_step(reading: _Reading, step: Step) -> None:
    if step.program in MEMO_PROGRAMS:
        reading.memos.append(step.raw_data())
        return
    data = step.raw_data()
    if data[:1] != _BATCH:
        _read_instruction(reading, step.program, step.place, step.accounts, data)
        return
    for place, accounts, child in _opened(reading, step, data):
        _read_instruction(reading, step.program, place, accounts, child)


def _opened(reading: _Reading, step: Step, data: bytes) -> Iterator[tuple[Place, tuple[str, ...], bytes]]:
    try:
        batch = decode(data)
        assert not isinstance(batch, UnknownInstruction)
        yield from batch_children(step, batch.args["data"])
    except TokenFormatError as bad:
        _doubt(reading, step.place, step.accounts, f"undecodable batch: {bad}", data)


def _read_instruction(reading: _Reading, program: str, place: Place, accounts: tuple[str, ...], data: bytes) -> None:
    try:
        instruction = decode(data)
    except TokenFormatError as bad:
        _doubt(reading, place, accounts, f"undecodable instruction: {bad}", data)
        return
    name = "" if isinstance(instruction, UnknownInstruction) else instruction.name
    if isinstance(instruction, UnknownInstruction) or name == rules.CONTAINER:
        _doubt(reading, place, accounts, f"unknown instruction: data begins with {data[:8].hex() or 'nothing'}", data)
        return
    if name in rules.SILENT:
        return
    named = _Accounts(instruction.layout.position_in(instruction.args), accounts)
    try:
        if name in rules.MOVES:
            _move(reading, program, place, rules.MOVES[name], named, instruction.args)
        else:
            _control(reading, place, rules.CONTROLS[name], named, instruction.args)
    except LookupError:
        _doubt(reading, place, accounts, f"{name} names only {len(accounts)} accounts", data)


class _Accounts(msgspec.Struct, frozen=True, gc=False):
    """An instruction's accounts by their names in the table."""

    position: Mapping[str, int]
    accounts: tuple[str, ...]

    def __getitem__(self, name: str) -> str:
        return self.accounts[self.position[name]]

    def get(self, name: str | None) -> str | None:
        return self.accounts[self.position[name]] if name is not None and name in self.position else None


def _move(
    reading: _Reading, program: str, place: Place, move: rules.Move, named: _Accounts, args: Mapping[str, Any]
) -> None:
    source = move.source if move.source in PSEUDO_ACCOUNTS else named[move.source]
    destination = move.destination if move.destination in PSEUDO_ACCOUNTS else named[move.destination]
    mint = named.get("mint") or reading.mint_of.get(source) or reading.mint_of.get(destination)
    if mint is None or not reading.scope.tracks(mint):
        return
    amount = args[move.amount] if move.amount else 0
    if move.amount is None:
        reading.unsolved.append(len(reading.result.events))
    authority = named[move.authority]
    reading.result.events.append(
        Event(
            place=place,
            program=program,
            kind=move.kind,
            mint=mint,
            source=source,
            source_owner=reading.owner_of.get(source),
            destination=destination,
            destination_owner=reading.owner_of.get(destination),
            authority=authority,
            authority_role=_role(reading, move, mint, destination if source in PSEUDO_ACCOUNTS else source, authority),
            amount=amount,
            fee=0 if source == destination else _fee(reading, move, mint, amount, args),
        )
    )
    for account in (source, destination):
        reading.mint_of.setdefault(account, mint)


def _fee(reading: _Reading, move: rules.Move, mint: str, amount: int, args: Mapping[str, Any]) -> int:
    if move.fee == "mint":
        return reading.state(mint).fee(amount, reading.epoch)
    return int(args[move.fee]) if move.fee else 0


def _role(reading: _Reading, move: rules.Move, mint: str, holder: str, authority: str) -> str | None:
    """Who acted: the program tries the permanent delegate first, then the delegate, then the owner."""
    if move.role != "holder":
        return move.role
    owner = reading.owner_of.get(holder)
    if authority == owner:
        return "owner"
    state = reading.state(mint)
    if authority == state.permanent_delegate:
        return "permanent_delegate"
    if move.kind == "burn" and owner in {SYSTEM_PROGRAM, INCINERATOR}:
        return "anyone"
    # Neither owner nor permanent delegate, and the program let it pass: a delegate. But only
    # where both are known.
    return "delegate" if state.known and owner is not None else None


def _control(reading: _Reading, place: Place, rule: rules.Rule, named: _Accounts, args: Mapping[str, Any]) -> None:
    kind, account = rule.kind, named.get(rule.account)
    mint = named.get(rule.mint)
    if mint is None and account is not None:
        mint = reading.mint_of.get(account)
        if mint is None:
            # No token account of that address: set_authority and close also work on mints.
            mint, account = account, None
    details = {name: _storable(value, reading.scope.limits) for name, value in rule.details(args).items()}
    if kind == "open":
        details["owner"] = args.get("owner") or named["owner"]
        reading.mint_of[account or ""] = mint or ""
        reading.owner_of[account or ""] = details["owner"]
        state = reading.state(mint or "")
        details["frozen"] = state.default_frozen if state.known else None
    elif kind == "authority":
        kind, details = _authority(reading, account, details)
    elif kind == "delegate":
        details.setdefault("delegate", named.get("delegate"))
    elif kind == "close" and account is None:
        kind = "mint_close"
    if mint is None or not reading.scope.tracks(mint):
        return
    reading.states[mint] = mint_state.after(reading.state(mint), kind, details, reading.epoch)
    reading.result.controls.append(Control(place, kind, mint, account, named.get(rule.authority), details))
    reading.result.status.setdefault(mint, "exact")


def _authority(reading: _Reading, account: str | None, details: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    new = {"type": details["authority_type"], "new": details["new_authority"]}
    if account is not None and new["type"] == "account_owner":
        # Ownership of a balance changes here without any transfer.
        new["old"] = reading.owner_of.get(account)
        reading.owner_of[account] = new["new"]
        return "owner", new
    return "authority", new


def _storable(value: Any, limits: IndexerLimits) -> Any:
    if isinstance(value, str):
        return marked_text(value, limits.text_characters_max)
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, tuple | list):
        return [_storable(item, limits) for item in value]
    return value


def _memo(reading: _Reading) -> str | None:
    if not reading.memos:
        return None
    return marked_text(b"\n".join(reading.memos), reading.scope.limits.memo_characters_max)


def _doubt(reading: _Reading, place: Place, accounts: tuple[str, ...], reason: str, data: bytes) -> None:
    """Quarantine the transaction for the mints that the instruction may concern."""
    resolved = {reading.mint_of[a] for a in accounts if a in reading.mint_of} | {
        a for a in accounts if a in set(reading.mint_of.values())
    }
    # An instruction of which we know nothing, not even an account, may concern any mint here.
    concerned = resolved or set(reading.mint_of.values())
    if reading.scope.tracked is not None:
        concerned |= {a for a in accounts if reading.scope.tracks(a)}
    shown = marked_text(data.hex(), reading.scope.limits.quarantine_data_characters_max)
    for mint in sorted(m for m in concerned if reading.scope.tracks(m)):
        reading.result.doubts.append(Doubt(place, mint, reason, shown))
