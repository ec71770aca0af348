"""Audits against a node: a difference is stored with both values, and closed once both agree again."""

import asyncio
import base64
import json
import struct
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest
from solders.keypair import Keypair

from support.command import Done, tieout_here
from support.database import query, value
from support.replay import Answer, ReplayNode
from support.transactions import ALICE, BOB, ISSUER, MINT, OWNERS, balances, instruction, transaction
from tieout_client import Authorities, connect
from tieout_database import connect as connect_database
from tieout_idl import TOKEN_2022_PROGRAM, base58, encode
from tieout_rpc import RpcClient

SHARE = 10**8


async def vandalise(dsn: str, sql: str, *args: Any) -> None:
    connection = await connect_database(dsn)
    await connection.execute("set session_replication_role = replica")
    await connection.execute(sql, *args)
    await connection.close()


@dataclass
class Traded:
    url: str
    dsn: str
    mint: str
    last: int
    accounts: list[str]
    signatures: list[str]

    async def verify(self) -> Done:
        return await tieout_here(
            "index", "verify", "--rpc-url", self.url, "--dsn", self.dsn, "--mint", self.mint, "--json"
        )

    async def open_findings(self) -> dict[tuple[str, str], tuple[str, str]]:
        rows = await query(self.dsn, "select * from ledger.findings where closed_at is null")
        return {(r["audit"], r["subject"]): (r["expected"], r["found"]) for r in rows}


@pytest.fixture
async def traded(chain: str, dsn: str) -> AsyncIterator[Traded]:
    """A mint with three accounts, one of them frozen, one handed over, indexed from its creation."""
    payer, holders = Keypair(), [Keypair(), Keypair()]
    async with connect(chain, payer, Authorities.of(payer)) as issuer, RpcClient([chain]) as rpc:
        await issuer.airdrop(payer.pubkey(), 10**11)
        first: int = await rpc.call("getSlot", [{"commitment": "finalized"}], int)
        mint_key = Keypair()
        mint = str(mint_key.pubkey())
        await issuer.create_instrument("AAPLx", "Apple", "https://x.example", mint=mint_key)
        await issuer.open_account(mint, payer.pubkey())
        done = [await issuer.mint_to_treasury(mint, 100 * SHARE, "PRE")]
        for number, holder in enumerate(holders):
            done.append(await issuer.transfer(mint, (number + 1) * SHARE, payer, holder.pubkey()))
        kept = await issuer.open_account(mint, holders[1].pubkey())
        await issuer.freeze(mint, kept.account)
        now: int = await rpc.call("getSlot", [{"commitment": "confirmed"}], int)
        while await rpc.call("getSlot", [{"commitment": "finalized"}], int) < now:
            await asyncio.sleep(0.05)
        read = await tieout_here(
            "index", "backfill", "--rpc-url", chain, "--dsn", dsn, "--mint", mint,
            "--from-slot", str(first), "--to-slot", str(now),
        )  # fmt: skip
        assert read.code == 0, read.err
        accounts = [r["account"] for r in await query(dsn, "select account from ledger.balances order by amount desc")]
        yield Traded(chain, dsn, mint, now, accounts, [str(d.signature) for d in done])


async def test_a_sound_ledger_agrees_with_the_node_in_everything_and_stores_nothing(traded: Traded) -> None:
    batches = await value(traded.dsn, "select count(*) from ledger.batches")
    done = await traded.verify()
    assert done.code == 0, done.out
    assert (done.json["findings"], done.json["skipped"], done.json["batch"]) == ([], [], None)
    assert await value(traded.dsn, "select count(*) from ledger.batches") == batches


async def test_a_movement_of_the_wrong_amount_is_found_in_both_balances_and_closed_after_the_repair(
    traded: Traded,
) -> None:
    await vandalise(
        traded.dsn, "update ledger.event_row set amount = amount + 5 where signature = $1", traded.signatures[2]
    )
    done = await traded.verify()
    assert done.code == 1
    found = await traded.open_findings()
    treasury, second = traded.accounts[0], traded.accounts[1]
    assert found["balance", treasury] == (str(97 * SHARE), str(97 * SHARE - 5))
    assert found["balance", second] == (str(2 * SHARE), str(2 * SHARE + 5))
    assert any(audit == "content" for audit, _ in found), "the hash chain tells it too"
    status = await tieout_here("index", "status", "--dsn", traded.dsn, "--json")
    assert status.code == 1
    assert {f["audit"] for f in status.json["findings"]} >= {"balance", "content"}
    again = await traded.verify()
    assert (again.code, again.json["batch"]) == (1, None), "the same findings are not stored twice"

    await vandalise(
        traded.dsn, "update ledger.event_row set amount = amount - 5 where signature = $1", traded.signatures[2]
    )
    assert (await traded.verify()).code == 0
    assert await traded.open_findings() == {}
    closed = await query(traded.dsn, "select * from ledger.findings where audit = 'balance' and subject = $1", second)
    assert closed[0]["expected"] == str(2 * SHARE)
    assert closed[0]["closed_batch"] > closed[0]["opened_batch"]
    assert "both agree" in closed[0]["evidence"]
    assert (await tieout_here("index", "status", "--dsn", traded.dsn)).code == 0


async def test_a_transaction_that_the_ledger_lost_is_named_by_its_signature(traded: Traded) -> None:
    lost = traded.signatures[1]
    for table in ("proof_row", "touch_row", "evidence_row"):
        await vandalise(
            traded.dsn,
            f"delete from ledger.{table} t using ledger.event_row e "
            "where e.signature = $1 and t.slot = e.slot and t.tx_index = e.tx_index",
            lost,
        )
    for table in ("event_row", "control_row"):
        await vandalise(traded.dsn, f"delete from ledger.{table} where signature = $1", lost)
    done = await traded.verify()
    assert done.code == 1
    found = await traded.open_findings()
    expected, said = found["signatures", lost]
    assert "transfer" in expected
    assert said == "not in the ledger"
    repaired = await tieout_here(
        "index", "repair", "--rpc-url", traded.url, "--dsn", traded.dsn, "--from", "0", "--to", str(traded.last)
    )
    assert repaired.code == 0, repaired.err
    await traded.verify()
    assert ("signatures", lost) not in await traded.open_findings()


async def test_a_movement_that_never_happened_is_named(traded: Traded) -> None:
    await vandalise(
        traded.dsn, "update ledger.event_row set signature = 'invented' where signature = $1", traded.signatures[1]
    )
    await traded.verify()
    found = await traded.open_findings()
    assert found["signatures", "invented"][0] == "listed by the node"


async def test_a_wrong_supply_is_found_with_both_values(traded: Traded) -> None:
    await vandalise(
        traded.dsn, "update ledger.event_row set amount = amount + 1 where signature = $1", traded.signatures[0]
    )
    await traded.verify()
    assert (await traded.open_findings())["supply", traded.mint] == (str(100 * SHARE), str(100 * SHARE + 1))


def token_account(owner: str, amount: int, withheld: int) -> str:
    """A Token-2022 account with a transfer-fee extension, in base 64."""
    base = base58.decode(MINT) + base58.decode(owner) + struct.pack("<Q", amount) + bytes(36) + b"\x01" + bytes(56)
    return base64.b64encode(base + b"\x02" + struct.pack("<HHQ", 2, 8, withheld)).decode()


def fee_mint(supply: int, withheld: int) -> str:
    """A mint with a fee of 1 %, in base 64."""
    base = struct.pack("<I32sQBBI32s", 1, base58.decode(ISSUER), supply, 8, 1, 0, bytes(32))
    fee = struct.pack("<QQH", 0, 2**64 - 1, 100)
    config = bytes(64) + struct.pack("<Q", withheld) + fee + fee
    return base64.b64encode(base.ljust(165, b"\0") + b"\x01" + struct.pack("<HH", 1, len(config)) + config).decode()


class FeeNode(ReplayNode):
    """A fee-bearing mint from its creation: a hundred issued to Alice, fifty of them sent to Bob at one percent."""

    withheld = 500

    def __init__(self) -> None:
        fee = {
            "transfer_fee_config_authority": None, "withdraw_withheld_authority": None,
            "transfer_fee_basis_points": 100, "maximum_fee": 2**64 - 1,
        }  # fmt: skip
        mint = {"decimals": 8, "mint_authority": ISSUER, "freeze_authority": None}
        opening = [
            instruction(encode("initialize_transfer_fee_config", fee), MINT),
            instruction(encode("initialize_mint2", mint), MINT),
            *(
                instruction(encode("initialize_account3", {"owner": OWNERS[a]}), a, MINT) for a in (ALICE, BOB)
            ),
            instruction(encode("mint_to", {"amount": 100_000}), MINT, ALICE, ISSUER),
        ]  # fmt: skip
        moved = instruction(encode("transfer_checked", {"amount": 50_000, "decimals": 8}), ALICE, MINT, BOB, ISSUER)
        first = transaction(*opening, pre=[], post=balances(alice=100_000, bob=0))
        second = transaction(moved, pre=balances(alice=100_000, bob=0), post=balances(alice=50_000, bob=49_500))
        bodies = [json.loads(first), json.loads(second)]
        for body, letter in zip(bodies, "ab", strict=True):
            body["transaction"]["signatures"] = [letter * 64]
        blocks = {
            slot: {
                "blockhash": f"hash{slot}", "previousBlockhash": f"hash{max(slot - 1, 0)}",
                "parentSlot": max(slot - 1, 0), "blockTime": 1_700_000_000 + slot,
                "transactions": [bodies[slot - 1]] if slot in (1, 2) else [],
            }
            for slot in range(4)
        }  # fmt: skip
        super().__init__(blocks)

    def _context(self, result: Any) -> Answer:
        return {"result": {"context": {"slot": 3}, "value": result}}

    def _getAccountInfo(self, address: str, *_: Any) -> Answer:  # noqa: N802
        data = fee_mint(100_000, 0)
        return self._context({"owner": TOKEN_2022_PROGRAM, "data": [data, "base64"], "lamports": 1})

    def _getTokenSupply(self, *_: Any) -> Answer:  # noqa: N802
        return self._context({"amount": "100000", "decimals": 8})

    def _getProgramAccounts(self, *_: Any) -> Answer:  # noqa: N802
        held = {ALICE: (50_000, 0), BOB: (49_500, self.withheld)}
        return self._context(
            [{"pubkey": a, "account": {"data": [token_account(OWNERS[a], *held[a]), "base64"]}} for a in (ALICE, BOB)]
        )


async def test_withheld_fees_are_held_against_the_accounts_own_extension(dsn: str) -> None:
    async with FeeNode() as node:
        read = await tieout_here(
            "index",
            "backfill",
            "--rpc-url",
            node.url,
            "--dsn",
            dsn,
            "--mint",
            MINT,
            "--from-slot",
            "0",
            "--to-slot",
            "3",
        )
        assert read.code == 0, read.out + read.err
        verify = ("index", "verify", "--rpc-url", node.url, "--dsn", dsn, "--json")
        sound = await tieout_here(*verify)
        assert sound.json["findings"] == []
        assert all(s.startswith("signatures") for s in sound.json["skipped"]), "this node lists no transactions"
        assert sound.code == 0
        node.withheld = 499
        done = await tieout_here(*verify)
    assert done.code == 1
    rows = await query(
        dsn, "select audit, subject, expected, found from ledger.findings where closed_at is null order by 1"
    )
    assert rows == [
        {"audit": "withheld", "subject": MINT, "expected": "499", "found": "500"},
        {"audit": "withheld_account", "subject": BOB, "expected": "499", "found": "500"},
    ]
