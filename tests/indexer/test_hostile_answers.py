"""A node may say anything: an answer is read, or its slot is parked; it never breaks the indexer or the database."""

import copy
import json
import random
from datetime import datetime
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from support.database import value
from support.replay import GoldenDay, ReplayNode
from support.transactions import ALICE, BOB, ISSUER, MINT, balances, instruction, transaction
from tieout_database.text import CUT
from tieout_idl import encode
from tieout_indexer import IndexerLimits, backfill, wire
from tieout_indexer.decode import Scope, decode_transaction
from tieout_indexer.model import DecodedBlock
from tieout_indexer.pipeline import decode_block
from tieout_indexer.rows import RowSet, add_block, for_copy
from tieout_indexer.source import Fetched, Parked, naming, verifiable
from tieout_indexer.wire import UNREADABLE, TransactionHead, Verdict, judge, judge_bytes

SEED = 31
HOSTILE: list[Any] = [
    None, True, False, -1, 0, 2**63, 2**64, 10**400, 1.5, "", "0", "-5", "1_000", " 7 ", "٣", "18446744073709551616",
    "nul\x00", "\ud800", "\x1b[2J", "x" * 70_000, [], {}, [[]], {"": None}, "1" * 32, "O0Il", [None] * 70, [65536],
    [-1],
]  # fmt: skip


def paths(node: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [at]
    children = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for name, child in children:
        found += paths(child, (*at, name))
    return found


def damaged(block: Any, dice: random.Random) -> Any:
    block = copy.deepcopy(block)
    *way, last = dice.choice(paths(block)[1:])
    holder = block
    for name in way:
        holder = holder[name]
    what = dice.random()
    if what < 0.15:
        del holder[last]
    elif what < 0.25 and isinstance(holder, dict):
        holder[last] = holder.get(dice.choice(list(holder)))
    else:
        holder[last] = dice.choice(HOSTILE)
    return block


def storable(cell: Any) -> bool:
    """Whether Postgres takes the value in the column types that we have."""
    if isinstance(cell, str):
        return "\x00" not in cell and not any("\ud800" <= c <= "\udfff" for c in cell)
    if isinstance(cell, Decimal):
        return 0 <= cell < 2**64
    if isinstance(cell, bool) or cell is None:
        return True
    if isinstance(cell, int):
        return -(2**63) <= cell < 2**63
    return isinstance(cell, bytes | datetime | dict)


@pytest.mark.parametrize("chunk", range(4))
def test_a_damaged_block_is_read_or_parked_and_what_is_read_can_be_stored(day: GoldenDay, chunk: int) -> None:
    dice = random.Random(SEED + chunk)
    blocks = day.blocks()
    busy = [slot for slot in sorted(blocks) if slot not in day.idle_slots()]
    relevant = naming(day.mints.values())
    outcomes = {Fetched: 0, Parked: 0}
    for _ in range(500):
        slot = dice.choice(busy)
        body = json.dumps(damaged(blocks[slot], dice)).encode()
        found = verifiable(slot, body, "node", relevant)
        decoded: DecodedBlock | Fetched | Parked = found
        if isinstance(found, Fetched):
            decoded = decode_block(Scope(frozenset(day.mints.values()), {}, lambda s: 0, IndexerLimits()), found)
        if isinstance(decoded, DecodedBlock):
            rows = RowSet()
            add_block(rows, decoded, False, set())
            for table, made in rows.tables.items():
                for row in for_copy(made, 1):
                    assert all(map(storable, row)), (table, row)
        outcomes[Fetched if isinstance(decoded, DecodedBlock) else Parked] += 1
    assert min(outcomes.values()) > 50


def judged_whole(transaction: bytes) -> Verdict:
    return judge(msgspec.json.decode(transaction, type=TransactionHead))


def test_a_transaction_is_judged_by_its_bytes_as_by_its_whole(day: GoldenDay) -> None:
    dice = random.Random(SEED)
    whole = [t for block in day.blocks().values() if block for t in block["transactions"]]
    seen = set()
    for _ in range(2_000):
        told = damaged(dice.choice(whole), dice)
        if dice.random() < 0.5 and isinstance(told.get("meta"), dict):
            name = dice.choice(["err", "innerInstructions", "preTokenBalances", "postTokenBalances"])
            dice.choice([
                lambda at, name: at.pop(name, None),
                lambda at, name: at.update({name: None}),
                lambda at, name: at.update({name: {"InstructionError": [0, {"Custom": 1}]}}),
                lambda at, name: at.update({name: at.pop(name, None)}),
            ])(told["meta"], name)  # fmt: skip
        body = json.dumps(told, separators=dice.choice([(",", ":"), (", ", ": ")])).encode()
        try:
            wanted = judged_whole(body)
        except UNREADABLE:
            continue
        assert judge_bytes(body) == wanted, body
        seen.add(wanted)
    assert {v.problem for v in seen} >= {None, "err is missing", "innerInstructions is null", "meta is null"}
    assert {v.failed for v in seen} == {True, False}


@pytest.mark.parametrize("by_name", [False, True])
def test_a_nodes_own_transactions_are_judged_without_parsing_them(
    day: GoldenDay, monkeypatch: pytest.MonkeyPatch, by_name: bool
) -> None:
    """Nodes write a transaction's parts as declared, or by name."""
    monkeypatch.setattr(wire, "_HEAD", None)
    judged = [
        judge_bytes(json.dumps(told, separators=(",", ":"), sort_keys=by_name).encode())
        for block in day.blocks().values() for told in block["transactions"]
    ]  # fmt: skip
    assert {v.failed for v in judged} == {True, False}


def test_words_in_a_log_are_no_keys() -> None:
    logged = json.dumps('Program log: "err":null,"innerInstructions":[],"preTokenBalances":[],"postTokenBalances":[]')
    meta = '{"logMessages":[%s],"err":%s,"preTokenBalances":%s,"postTokenBalances":[]%s}'
    inner = ',"innerInstructions":[]'
    for err, pre, rest in (("null", "[]", ""), ("null", "null", inner), ('{"A":1}', "[]", inner), ('"A"', "[]", inner)):
        body = ('{"meta":' + meta % (logged, err, pre, rest) + ',"transaction":{}}').encode()
        assert judge_bytes(body) == judged_whole(body)


@pytest.mark.parametrize("amount", ["", "007", "+5", " 5", "5\n", "1_000", "1,2", "٣", "1.5", str(2**64), "9" * 21])
def test_an_amount_that_no_account_can_hold_is_refused(amount: str) -> None:
    body = transaction(
        instruction(encode("transfer_checked", {"amount": 5, "decimals": 8}), ALICE, MINT, BOB, ISSUER),
        pre=balances(alice=5, bob=0),
        post=balances(alice=0, bob=5),
    )
    told = json.loads(body)
    told["meta"]["postTokenBalances"][0]["uiTokenAmount"]["amount"] = amount
    with pytest.raises(UNREADABLE):
        decode_transaction(Scope(None, {}, lambda slot: 0, IndexerLimits()), 1, 0, json.dumps(told).encode())


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b'{"blockhash":',
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b'"\\ud800"',
        b"1e999",
    ],
)
def test_what_is_no_block_parks_the_slot(body: bytes) -> None:
    assert isinstance(verifiable(1, body, "node", lambda body: True), Parked)
    assert isinstance(verifiable(1, body, "node", lambda body: False), Parked)


@pytest.mark.parametrize("words", ["nul\x00 \x1b[2J " + "x" * 10_000, "lone surrogate \ud800"])
async def test_a_nodes_hostile_words_are_stored_as_a_reason_and_break_nothing(
    day: GoldenDay, dsn: str, words: str
) -> None:
    refusal = {"error": {"code": -32007, "message": words}}
    async with ReplayNode(day.blocks()) as node:
        node.override = lambda method, params: refusal if method == "getBlock" and params[0] == 66 else None
        done = await backfill([node.url], dsn, list(day.mints.values()), day.first, day.last)
    assert done.parked is not None
    reason = await value(dsn, "select reason from ledger.parked where slot = 66")
    assert "\x00" not in reason
    limit = IndexerLimits().text_characters_max
    assert len(reason) <= limit or (len(reason), reason[limit:]) == (limit + len(CUT), CUT)
