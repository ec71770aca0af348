"""solana-py's own calls and AnchorPy's, each answer through their typed parsers. Run by another Python.

    python python_clients.py PORT        prints one JSON object: the calls that passed

The packages of these clients pin another solders than the localnet does, so that they live elsewhere.
"""

import asyncio
import json
import struct
import sys
from typing import Any

from anchorpy import Idl, Program, Provider, Wallet
from solana.rpc.async_api import AsyncClient
from solana.rpc.commitment import Confirmed
from solana.rpc.core import RPCException
from solana.rpc.types import MemcmpOpts, TokenAccountOpts, TxOpts
from solana.rpc.websocket_api import connect
from solders.instruction import AccountMeta, Instruction
from solders.keypair import Keypair
from solders.message import MessageV0
from solders.pubkey import Pubkey
from solders.rpc.config import RpcTransactionLogsFilterMentions
from solders.system_program import CreateAccountParams, create_account
from solders.transaction import VersionedTransaction

TOKEN_2022 = Pubkey.from_string("TokenzQdBNbLqP5VEhdkAS6EPFLC1PHnBqCXEpPxuEb")
MEMO = Pubkey.from_string("MemoSq4gqABAXKb96qnH8TysNcWxMyWCqXgDLGmfcHr")
SOL = 1_000_000_000
MINT_BYTES, ACCOUNT_BYTES = 82, 165
NAMED = "Account"


def meta(key: Pubkey, *, signer: bool = False, writable: bool = True) -> AccountMeta:
    return AccountMeta(key, signer, writable)


async def signed(
    client: AsyncClient, instructions: list[Instruction], *signers: Keypair
) -> VersionedTransaction:
    blockhash = (await client.get_latest_blockhash(Confirmed)).value.blockhash
    message = MessageV0.try_compile(signers[0].pubkey(), instructions, [], blockhash)
    return VersionedTransaction(message, list(signers))


async def confirmed(client: AsyncClient, instructions: list[Instruction], *signers: Keypair) -> Any:
    transaction = await signed(client, instructions, *signers)
    options = TxOpts(preflight_commitment=Confirmed)
    signature = (await client.send_transaction(transaction, options)).value
    done = await client.confirm_transaction(signature, Confirmed, sleep_seconds=0.05)
    assert done.value[0] is not None
    assert done.value[0].err is None
    return signature


def opening(payer: Pubkey, new: Pubkey, rent: int, size: int) -> Instruction:
    return create_account(
        CreateAccountParams(from_pubkey=payer, to_pubkey=new, lamports=rent, space=size, owner=TOKEN_2022)
    )


async def calls(client: AsyncClient) -> list[str]:
    """Every reading method of the client, on a chain with one token."""
    payer, mint, account = Keypair(), Keypair(), Keypair()
    dropped = (await client.request_airdrop(payer.pubkey(), 10 * SOL, Confirmed)).value
    await client.confirm_transaction(dropped, Confirmed, sleep_seconds=0.05)
    key, level = payer.pubkey(), Confirmed
    mint_rent, rent = [
        (await client.get_minimum_balance_for_rent_exemption(size)).value
        for size in (MINT_BYTES, ACCOUNT_BYTES)
    ]
    begin = bytes([20, 8]) + bytes(key) + b"\x00"
    of_account = Instruction(TOKEN_2022, b"\x12" + bytes(key), [meta(account.pubkey()), meta(mint.pubkey())])
    mint_to = [meta(mint.pubkey()), meta(account.pubkey()), meta(key, signer=True)]
    approve = [meta(account.pubkey()), meta(mint.pubkey()), meta(key, signer=True)]
    signature = await confirmed(
        client,
        [
            opening(key, mint.pubkey(), mint_rent, MINT_BYTES),
            Instruction(TOKEN_2022, begin, [meta(mint.pubkey())]),
            opening(key, account.pubkey(), rent, ACCOUNT_BYTES),
            of_account,
            Instruction(TOKEN_2022, b"\x07" + struct.pack("<Q", 500), mint_to),
            Instruction(TOKEN_2022, b"\x04" + struct.pack("<Q", 5), approve),
        ],
        *(payer, mint, account),
    )
    slot = (await client.get_signature_statuses([signature], search_transaction_history=True)).value[0].slot
    while (await client.get_slot()).value < slot:  # noqa: ASYNC110 - what is waited for is another process
        await asyncio.sleep(0.05)
    memo = Instruction(MEMO, b"hello", [])
    transaction = await signed(client, [memo], payer)
    of_token = TokenAccountOpts(mint=mint.pubkey())
    waiting: dict[str, Any] = {
        "get_account_info": client.get_account_info(mint.pubkey(), level),
        "get_account_info zstd": client.get_account_info(mint.pubkey(), level, "base64+zstd"),
        "get_account_info_json_parsed": client.get_account_info_json_parsed(mint.pubkey(), level),
        "get_balance": client.get_balance(key, level),
        "get_block json": client.get_block(slot, "json", 0),
        "get_block base64": client.get_block(slot, "base64", 0),
        "get_block jsonParsed": client.get_block(slot, "jsonParsed", 0),
        "get_block_commitment": client.get_block_commitment(slot),
        "get_block_height": client.get_block_height(),
        "get_block_time": client.get_block_time(slot),
        "get_blocks": client.get_blocks(0, slot),
        "get_cluster_nodes": client.get_cluster_nodes(),
        "get_epoch_info": client.get_epoch_info(),
        "get_epoch_schedule": client.get_epoch_schedule(),
        "get_fee_for_message": client.get_fee_for_message(transaction.message, level),
        "get_first_available_block": client.get_first_available_block(),
        "get_genesis_hash": client.get_genesis_hash(),
        "get_identity": client.get_identity(),
        "get_inflation_governor": client.get_inflation_governor(),
        "get_inflation_rate": client.get_inflation_rate(),
        "get_inflation_reward": client.get_inflation_reward([key]),
        "get_largest_accounts": client.get_largest_accounts(),
        "get_latest_blockhash": client.get_latest_blockhash(),
        "get_leader_schedule": client.get_leader_schedule(),
        "get_minimum_ledger_slot": client.get_minimum_ledger_slot(),
        "get_multiple_accounts": client.get_multiple_accounts([mint.pubkey(), key], level),
        "get_multiple_accounts_json_parsed": client.get_multiple_accounts_json_parsed([mint.pubkey()], level),
        "get_program_accounts": client.get_program_accounts(
            TOKEN_2022, level, "base64", filters=[ACCOUNT_BYTES, MemcmpOpts(0, str(mint.pubkey()))]
        ),
        "get_program_accounts_json_parsed": client.get_program_accounts_json_parsed(TOKEN_2022, level),
        "get_recent_performance_samples": client.get_recent_performance_samples(4),
        "get_signature_statuses": client.get_signature_statuses([signature]),
        "get_signatures_for_address": client.get_signatures_for_address(key, limit=5, commitment=level),
        "get_slot_leader": client.get_slot_leader(),
        "get_supply": client.get_supply(),
        "get_token_account_balance": client.get_token_account_balance(account.pubkey(), level),
        "get_token_accounts_by_delegate": client.get_token_accounts_by_delegate(
            mint.pubkey(), of_token, level
        ),
        "get_token_accounts_by_delegate_json_parsed": client.get_token_accounts_by_delegate_json_parsed(
            mint.pubkey(), of_token, level
        ),
        "get_token_accounts_by_owner": client.get_token_accounts_by_owner(key, of_token, level),
        "get_token_accounts_by_owner_json_parsed": client.get_token_accounts_by_owner_json_parsed(
            key, of_token, level
        ),
        "get_token_largest_accounts": client.get_token_largest_accounts(mint.pubkey(), level),
        "get_token_supply": client.get_token_supply(mint.pubkey(), level),
        "get_transaction": client.get_transaction(signature, "json", level, 0),
        "get_transaction jsonParsed": client.get_transaction(signature, "jsonParsed", level, 0),
        "get_transaction_count": client.get_transaction_count(),
        "get_version": client.get_version(),
        "get_vote_accounts": client.get_vote_accounts(),
        "simulate_transaction": client.simulate_transaction(transaction, True, level),
        "send_raw_transaction": client.send_raw_transaction(
            bytes(transaction), TxOpts(preflight_commitment=Confirmed)
        ),
    }
    for name, call in waiting.items():
        answer = await call
        # An answer that the typed parser does not know comes out as something without a value.
        assert hasattr(answer, "value"), (name, answer)
    assert await client.is_connected()
    overdraw = Instruction(TOKEN_2022, b"\x07" + struct.pack("<Q", 2**64 - 1), mint_to)
    try:
        await client.send_transaction(await signed(client, [overdraw], payer))
    except RPCException as error:
        waiting[f"error {type(error.args[0]).__name__}"] = None
    return list(waiting)


async def notifications(client: AsyncClient, port: int) -> list[str]:
    """Each subscription of the client that is offered, and one notification of each."""
    payer = Keypair()
    async with connect(f"ws://127.0.0.1:{port + 1}") as socket:
        await socket.account_subscribe(payer.pubkey(), Confirmed, "base64")
        await socket.logs_subscribe(RpcTransactionLogsFilterMentions(payer.pubkey()), Confirmed)
        await socket.program_subscribe(Pubkey.default(), Confirmed, "base64")
        await socket.slot_subscribe()
        await socket.slots_updates_subscribe()
        await socket.root_subscribe()
        told: set[str] = set()
        asked = False
        async for messages in socket:
            told |= {type(message).__name__ for message in messages}
            if not asked and told:
                signature = (await client.request_airdrop(payer.pubkey(), SOL)).value
                await socket.signature_subscribe(signature, Confirmed)
                asked = True
            if len(told) >= 8:
                return sorted(told)
    return sorted(told)


async def anchor(client: AsyncClient) -> list[str]:
    """A program of an IDL through AnchorPy: build, send, simulate, read accounts."""
    payer = Keypair()
    dropped = (await client.request_airdrop(payer.pubkey(), SOL)).value
    await client.confirm_transaction(dropped, Confirmed, sleep_seconds=0.05)
    provider = Provider(client, Wallet(payer), TxOpts(preflight_commitment=Confirmed))
    kind = {"kind": "struct", "fields": [{"name": "value", "type": "u64"}]}
    idl = {
        "version": "0.1.0",
        "name": "memo",
        "instructions": [{"name": "note", "accounts": [], "args": [{"name": "value", "type": "u64"}]}],
        "accounts": [{"name": NAMED, "type": kind}],
    }
    program = Program(Idl.from_json(json.dumps(idl)), TOKEN_2022, provider)
    assert await program.account[NAMED].all() == []
    built = program.instruction["note"](7)
    assert bytes(built.data)[8:] == struct.pack("<Q", 7)
    transaction = await signed(client, [Instruction(MEMO, b"anchor", [])], payer)
    assert (await provider.simulate(transaction)).value.err is None
    signature = await provider.send(transaction)
    await client.confirm_transaction(signature, Confirmed, sleep_seconds=0.05)
    return ["Program.account.all", "Program.instruction", "Provider.simulate", "Provider.send"]


async def main(port: int) -> None:
    async with AsyncClient(f"http://127.0.0.1:{port}") as client:
        passed = [*await calls(client), *await notifications(client, port), *await anchor(client)]
    print(json.dumps(passed))


if __name__ == "__main__":
    asyncio.run(asyncio.wait_for(main(int(sys.argv[1])), 50))
