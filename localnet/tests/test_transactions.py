"""Transactions: what executes, what lands, and the meta that a block keeps of it."""

import base64
import time
from collections.abc import Callable

import pytest
from solders.address_lookup_table_account import AddressLookupTableAccount
from solders.hash import Hash
from solders.instruction import AccountMeta, Instruction
from solders.keypair import Keypair
from solders.message import Message, MessageV0
from solders.pubkey import Pubkey
from solders.signature import Signature
from solders.system_program import (
    AdvanceNonceAccountParams,
    TransferParams,
    advance_nonce_account,
    create_nonce_account,
    transfer,
)
from solders.transaction import VersionedTransaction
from support import tokens
from support.node import SOL, Node, RpcFailed, wait_until

LOOKUP_TABLE = Pubkey.from_string("AddressLookupTab1e1111111111111111111111111")


@pytest.fixture(scope="module")
def issuer(node: Node) -> Keypair:
    wallet = node.funded()
    node.advance()
    return wallet


@pytest.fixture(scope="module")
def mint(node: Node, issuer: Keypair) -> Pubkey:
    """A Token-2022 mint, with 1,000 units in the issuer's account."""
    key = Keypair()
    rent = node.call("getMinimumBalanceForRentExemption", tokens.MINT_BYTES)
    node.send_instructions(
        tokens.create_mint(issuer.pubkey(), key.pubkey(), issuer.pubkey(), rent), issuer, key
    )
    account = tokens.associated(issuer.pubkey(), key.pubkey())
    node.send_instructions(
        [
            tokens.create_associated(issuer.pubkey(), issuer.pubkey(), key.pubkey()),
            tokens.mint_to(key.pubkey(), account, issuer.pubkey(), 1_000),
        ],
        issuer,
    )
    node.advance()
    return key.pubkey()


def pay(node: Node, issuer: Keypair, mint: Pubkey, amount: int) -> tuple[list[Instruction], Pubkey]:
    """Open an account for somebody new and pay it."""
    holder = Keypair().pubkey()
    source, target = tokens.associated(issuer.pubkey(), mint), tokens.associated(holder, mint)
    return [
        tokens.create_associated(issuer.pubkey(), holder, mint),
        tokens.transfer_checked(source, mint, target, issuer.pubkey(), amount),
    ], holder


def test_a_call_from_a_program_is_an_inner_instruction_and_token_balances_are_listed(
    node: Node, issuer: Keypair, mint: Pubkey
) -> None:
    before = node.token_amount(tokens.associated(issuer.pubkey(), mint))
    instructions, holder = pay(node, issuer, mint, 25)
    signature = node.send_instructions([*instructions, tokens.memo("ref 7")], issuer)
    node.advance()
    found = node.landed(signature)
    meta, keys = found["meta"], found["transaction"]["message"]["accountKeys"]
    inner = meta["innerInstructions"]
    assert [group["index"] for group in inner] == [0]
    assert [item["stackHeight"] for item in inner[0]["instructions"]] == [2, 2, 2, 2]
    pre = {row["accountIndex"]: row for row in meta["preTokenBalances"]}
    post = {keys[row["accountIndex"]]: row for row in meta["postTokenBalances"]}
    assert [row["uiTokenAmount"]["amount"] for row in pre.values()] == [str(before)]
    row = post[str(tokens.associated(holder, mint))]
    assert row["owner"] == str(holder)
    assert row["programId"] == str(tokens.TOKEN_2022)
    assert row["uiTokenAmount"] == {
        "amount": "25",
        "decimals": 8,
        "uiAmount": 2.5e-07,
        "uiAmountString": "0.00000025",
    }
    history = node.call("getSignaturesForAddress", str(mint), {"limit": 1, "commitment": "confirmed"})
    assert history[0]["signature"] == signature
    assert history[0]["memo"] == "[5] ref 7"


def test_the_classic_token_program_works_alike(node: Node, issuer: Keypair) -> None:
    key, program = Keypair(), tokens.TOKEN
    rent = node.call("getMinimumBalanceForRentExemption", tokens.MINT_BYTES)
    account = tokens.associated(issuer.pubkey(), key.pubkey(), program)
    signature = node.send_instructions(
        [
            *tokens.create_mint(issuer.pubkey(), key.pubkey(), issuer.pubkey(), rent, program),
            tokens.create_associated(issuer.pubkey(), issuer.pubkey(), key.pubkey(), program),
            tokens.mint_to(key.pubkey(), account, issuer.pubkey(), 5, program),
        ],
        issuer,
        key,
    )
    node.advance()
    rows = node.landed(signature)["meta"]["postTokenBalances"]
    assert [(row["programId"], row["uiTokenAmount"]["amount"]) for row in rows] == [(str(program), "5")]
    assert node.value("getTokenSupply", str(key.pubkey()), {"commitment": "confirmed"})["amount"] == "5"


def test_a_failed_transaction_lands_pays_its_fee_and_moves_nothing(
    node: Node, issuer: Keypair, mint: Pubkey
) -> None:
    instructions, _ = pay(node, issuer, mint, 10**15)
    signature = node.send_instructions(instructions, issuer, skip_preflight=True)
    node.advance()
    meta = node.landed(signature)["meta"]
    assert meta["err"] == {"InstructionError": [1, {"Custom": 1}]}
    assert meta["status"] == {"Err": meta["err"]}
    assert meta["preBalances"][0] - meta["postBalances"][0] == meta["fee"] == 5_000
    assert meta["preTokenBalances"] == meta["postTokenBalances"] != []
    assert meta["innerInstructions"]
    status = node.value("getSignatureStatuses", [signature])[0]
    assert status["err"] == meta["err"]


def test_preflight_refuses_with_the_simulation(node: Node, issuer: Keypair, mint: Pubkey) -> None:
    instructions, _ = pay(node, issuer, mint, 10**15)
    with pytest.raises(RpcFailed) as refused:
        node.send_instructions(instructions, issuer)
    error = refused.value.error
    assert error["code"] == -32002
    assert error["message"] == (
        "Transaction simulation failed: Error processing Instruction 1: custom program error: 0x1"
    )
    assert error["data"]["err"] == {"InstructionError": [1, {"Custom": 1}]}
    assert error["data"]["logs"]
    assert error["data"]["accounts"] is None


def test_a_v0_transaction_reads_its_keys_from_a_lookup_table(node: Node, issuer: Keypair) -> None:
    targets = [Keypair().pubkey() for _ in range(3)]
    recent = node.call("getSlot", {"commitment": "confirmed"})
    seeds = [bytes(issuer.pubkey()), recent.to_bytes(8, "little")]
    table, bump = Pubkey.find_program_address(seeds, LOOKUP_TABLE)
    keys = [
        AccountMeta(table, False, True),
        AccountMeta(issuer.pubkey(), True, True),
        AccountMeta(issuer.pubkey(), True, True),
        AccountMeta(tokens.SYSTEM, False, False),
    ]
    create = b"\0\0\0\0" + recent.to_bytes(8, "little") + bytes([bump])
    extend = b"\x02\0\0\0" + len(targets).to_bytes(8, "little") + b"".join(map(bytes, targets))
    node.send_instructions(
        [Instruction(LOOKUP_TABLE, create, keys), Instruction(LOOKUP_TABLE, extend, keys)], issuer
    )
    node.advance()
    instructions = [
        transfer(TransferParams(from_pubkey=issuer.pubkey(), to_pubkey=to, lamports=SOL)) for to in targets
    ]
    account = AddressLookupTableAccount(table, targets)
    message = MessageV0.try_compile(issuer.pubkey(), instructions, [account], node.blockhash())
    signature = node.send(VersionedTransaction(message, [issuer]))
    node.advance()
    found = node.landed(signature)
    assert found["version"] == 0
    assert sorted(found["meta"]["loadedAddresses"]["writable"]) == sorted(map(str, targets))
    assert found["meta"]["postBalances"][-3:] == [SOL] * 3
    lookups = found["transaction"]["message"]["addressTableLookups"]
    assert lookups[0]["accountKey"] == str(table)
    with pytest.raises(RpcFailed) as refused:
        node.call("getTransaction", signature, {"commitment": "confirmed"})
    assert refused.value.code == -32015
    slot = found["slot"]
    with pytest.raises(RpcFailed) as refused:
        node.call("getBlock", slot, {"commitment": "confirmed"})
    assert refused.value.code == -32015
    signatures = {"commitment": "confirmed", "transactionDetails": "signatures"}
    assert node.call("getBlock", slot, signatures)["signatures"] == [signature]


def test_a_blockhash_expires_after_150_blocks(node: Node, issuer: Keypair) -> None:
    blockhash = node.blockhash()
    ours = transfer(TransferParams(from_pubkey=issuer.pubkey(), to_pubkey=Keypair().pubkey(), lamports=SOL))
    transaction = VersionedTransaction(
        Message.new_with_blockhash([ours], issuer.pubkey(), blockhash), [issuer]
    )
    node.advance(150)
    processed = {"commitment": "processed"}
    assert node.value("isBlockhashValid", str(blockhash), processed) is True
    node.advance()
    assert node.value("isBlockhashValid", str(blockhash), processed) is False
    with pytest.raises(RpcFailed) as refused:
        node.send(transaction)
    assert refused.value.error["data"]["err"] == "BlockhashNotFound"
    signature = node.send(transaction, skip_preflight=True)
    node.advance(2)
    assert node.value("getSignatureStatuses", [signature]) == [None]


def test_the_same_transaction_lands_once(node: Node, issuer: Keypair) -> None:
    to = Keypair().pubkey()
    ours = transfer(TransferParams(from_pubkey=issuer.pubkey(), to_pubkey=to, lamports=SOL))
    message = Message.new_with_blockhash([ours], issuer.pubkey(), node.blockhash())
    transaction = VersionedTransaction(message, [issuer])
    first = node.send(transaction)
    node.advance()
    with pytest.raises(RpcFailed) as refused:
        node.send(transaction)
    assert refused.value.error["data"]["err"] == "AlreadyProcessed"
    assert node.send(transaction, skip_preflight=True) == first
    node.advance()
    assert node.value("getBalance", str(to), {"commitment": "confirmed"}) == SOL


def test_a_wrong_signature_never_lands(node: Node, issuer: Keypair) -> None:
    ours = transfer(TransferParams(from_pubkey=issuer.pubkey(), to_pubkey=Keypair().pubkey(), lamports=1))
    message = Message.new_with_blockhash([ours], issuer.pubkey(), node.blockhash())
    forged = VersionedTransaction.populate(message, [Signature.new_unique()])
    with pytest.raises(RpcFailed) as refused:
        node.send(forged)
    assert refused.value.code == -32002
    assert refused.value.error["data"]["err"] == "SignatureFailure"
    signature = node.send(forged, skip_preflight=True)
    node.advance()
    assert node.value("getSignatureStatuses", [signature]) == [None]


def test_a_durable_nonce_outlives_blockhashes_and_is_spent_by_failure_too(
    node: Node, issuer: Keypair
) -> None:
    nonce = Keypair()
    node.send_instructions(
        list(create_nonce_account(issuer.pubkey(), nonce.pubkey(), issuer.pubkey(), 2_000_000)), issuer, nonce
    )
    node.advance(160)

    def stored() -> Hash:
        account = node.value(
            "getAccountInfo", str(nonce.pubkey()), {"encoding": "base64", "commitment": "processed"}
        )
        return Hash.from_bytes(base64.b64decode(account["data"][0])[40:72])

    def spend(lamports: int) -> VersionedTransaction:
        advance = advance_nonce_account(
            AdvanceNonceAccountParams(nonce_pubkey=nonce.pubkey(), authorized_pubkey=issuer.pubkey())
        )
        move = transfer(
            TransferParams(from_pubkey=issuer.pubkey(), to_pubkey=Keypair().pubkey(), lamports=lamports)
        )
        message = Message.new_with_blockhash([advance, move], issuer.pubkey(), stored())
        return VersionedTransaction(message, [issuer])

    first = stored()
    signature = node.send(spend(SOL))
    node.advance()
    assert node.landed(signature)["meta"]["err"] is None
    second = stored()
    assert second != first
    signature = node.send(spend(10**18), skip_preflight=True)
    node.advance()
    assert node.landed(signature)["meta"]["err"] == {"InstructionError": [1, {"Custom": 1}]}
    assert stored() not in (first, second)


def test_simulation_shows_effects_and_keeps_none(node: Node, issuer: Keypair, mint: Pubkey) -> None:
    instructions, holder = pay(node, issuer, mint, 3)
    message = Message.new_with_blockhash(instructions, issuer.pubkey(), Hash.default())
    text = base64.b64encode(bytes(VersionedTransaction(message, [issuer]))).decode()
    target = str(tokens.associated(holder, mint))
    value = node.value(
        "simulateTransaction",
        text,
        {
            "encoding": "base64",
            "replaceRecentBlockhash": True,
            "innerInstructions": True,
            "commitment": "processed",
            "accounts": {"encoding": "base64", "addresses": [target]},
        },
    )
    assert value["err"] is None
    assert value["replacementBlockhash"]["blockhash"] == str(node.blockhash())
    assert base64.b64decode(value["accounts"][0]["data"][0])[64:72] == (3).to_bytes(8, "little")
    assert value["unitsConsumed"] > 0
    assert value["innerInstructions"][0]["index"] == 0
    assert "3" in {row["uiTokenAmount"]["amount"] for row in value["postTokenBalances"]}
    assert node.value("getAccountInfo", target, {"commitment": "processed"}) is None


def test_a_scheduled_multiplier_takes_effect_when_the_clock_is_moved(node: Node, issuer: Keypair) -> None:
    mint = Keypair()
    rent = node.call("getMinimumBalanceForRentExemption", tokens.SCALED_MINT_BYTES)
    account = tokens.associated(issuer.pubkey(), mint.pubkey())
    node.send_instructions(
        [
            *tokens.create_scaled_mint(issuer.pubkey(), mint.pubkey(), issuer.pubkey(), rent),
            tokens.create_associated(issuer.pubkey(), issuer.pubkey(), mint.pubkey()),
            tokens.mint_to(mint.pubkey(), account, issuer.pubkey(), 10**8),
        ],
        issuer,
        mint,
    )
    due = node.call("localnet_info")["unixTimestamp"] + 3_600
    node.send_instructions([tokens.update_multiplier(mint.pubkey(), issuer.pubkey(), 1.5, due)], issuer)
    node.advance()
    confirmed = {"commitment": "confirmed"}
    assert node.value("getTokenSupply", str(mint.pubkey()), confirmed)["uiAmountString"] == "1"
    assert node.call("localnet_setClock", {"unixTimestamp": due})["unixTimestamp"] == due
    node.advance()
    assert node.value("getTokenSupply", str(mint.pubkey()), confirmed)["uiAmountString"] == "1.5"
    assert node.value("getTokenSupply", str(mint.pubkey()), confirmed)["amount"] == str(10**8)
    tip = node.call("getSlot", confirmed)
    assert node.call("getBlockTime", tip) == due
    with pytest.raises(RpcFailed):
        node.call("localnet_setClock", {"unixTimestamp": due - 10})
    assert node.call("localnet_warp", {"seconds": 86_400})["unixTimestamp"] >= due + 86_400


def test_a_paused_chain_makes_no_blocks_until_resumed(start: Callable[..., Node]) -> None:
    node, processed = start("--slot-ms", "10"), {"commitment": "processed"}
    assert node.call("localnet_pause")["mode"] == "paused"
    slot = node.call("getSlot", processed)
    to = str(Keypair().pubkey())
    node.call("requestAirdrop", to, SOL)
    time.sleep(0.1)
    assert node.call("getSlot", processed) == slot
    assert node.value("getBalance", to, processed) == SOL
    assert node.call("localnet_resume")["mode"] == "running"
    wait_until(lambda: node.call("getSlot", processed) > slot)


def test_fee_for_message_counts_signatures_and_priority(node: Node, issuer: Keypair) -> None:
    from solders.compute_budget import set_compute_unit_limit, set_compute_unit_price

    ours = transfer(TransferParams(from_pubkey=issuer.pubkey(), to_pubkey=Keypair().pubkey(), lamports=SOL))
    instructions = [set_compute_unit_limit(100_000), set_compute_unit_price(25_000), ours]
    message = Message.new_with_blockhash(instructions, issuer.pubkey(), node.blockhash())
    text = base64.b64encode(bytes(message)).decode()
    assert node.value("getFeeForMessage", text, {"commitment": "processed"}) == 5_000 + 2_500
    signature = node.send(VersionedTransaction(message, [issuer]))
    node.advance()
    assert node.landed(signature)["meta"]["fee"] == 7_500
