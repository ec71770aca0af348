"""What an instance may be started with: accounts, programs, leaders, the classic token program, topics."""

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from solders.instruction import AccountMeta, Instruction
from solders.keypair import Keypair
from solders.pubkey import Pubkey
from support import tokens
from support.chain import make_validator
from support.node import SOL, Node, free_ports

from tieout_localnet.engine import Engine
from tieout_localnet.preload import BadFile, Preload, account_file

Start = Callable[..., Node]


def account_json(path: Path, key: Pubkey, lamports: int, data: bytes = b"", owner: str | None = None) -> Path:
    shown = {
        "lamports": lamports,
        "data": [base64.b64encode(data).decode(), "base64"],
        "owner": owner or str(Pubkey.default()),
        "executable": False,
        "rentEpoch": 2**64 - 1,
        "space": len(data),
    }
    path.write_text(json.dumps({"pubkey": str(key), "account": shown}))
    return path


@pytest.fixture
def memo_elf(tmp_path: Path) -> Path:
    """The code of the memo program, as a file to load at another address."""
    state = Engine().builtin_accounts()[tokens.MEMO]
    path = tmp_path / "program.so"
    path.write_bytes(state.data)
    return path


def test_a_new_chain_starts_with_the_given_accounts_and_programs(
    start: Start, tmp_path: Path, memo_elf: Path
) -> None:
    one, two, three = (Keypair() for _ in range(3))
    program = Pubkey.new_unique()
    directory = tmp_path / "accounts"
    directory.mkdir()
    account_json(directory / "two.json", two.pubkey(), 2 * SOL)
    named = account_json(tmp_path / "one.json", one.pubkey(), SOL)
    other = account_json(tmp_path / "three.json", one.pubkey(), 3 * SOL)
    node = start(
        "--manual",
        *("--account", "-", str(named), "--account", str(three.pubkey()), str(other)),
        *("--account-dir", str(directory), "--program", str(program), str(memo_elf)),
    )

    def held() -> list[int]:
        return [node.value("getBalance", str(key.pubkey())) for key in (one, two, three)]

    assert held() == [SOL, 2 * SOL, 3 * SOL]
    call = Instruction(program, b"hello", [AccountMeta(one.pubkey(), True, False)])
    for _ in range(2):
        signature = node.send_instructions([call], one)
        node.advance()
        landed = node.landed(signature)
        assert landed["meta"]["err"] is None
        assert any(str(program) in line for line in landed["meta"]["logMessages"])
        # The program and the accounts are the chain's own: they are there after a restart.
        node.down()
        node.up()


def test_files_that_are_no_accounts_or_programs_are_named(tmp_path: Path) -> None:
    bad = tmp_path / "bad.json"
    bad.write_text("{}")
    with pytest.raises(BadFile, match=r"bad\.json is not an account"):
        account_file("-", bad)
    with pytest.raises(BadFile, match="cannot be read"):
        account_file("-", tmp_path / "none.json")
    with pytest.raises(BadFile, match="is not a directory"):
        Preload(account_dirs=(str(tmp_path / "none"),)).read()
    good = account_json(tmp_path / "good.json", Pubkey.new_unique(), 1)
    with pytest.raises(BadFile, match="'0OIl' is not an address"):
        account_file("0OIl", good)
    with pytest.raises(BadFile, match="is not a program"):
        Preload(programs=((str(Pubkey.new_unique()), str(bad)),)).read()
    refused = Node(free_ports(), tmp_path / "home").run("up", "--account", "-", str(bad))
    assert refused.returncode == 2
    assert "is not an account" in refused.stderr


def test_the_classic_token_program_writes_its_instruction_lines(start: Start) -> None:
    node = start("--manual", "--token-program", "classic")
    issuer, mint = node.funded(), Keypair()
    node.advance()
    rent = node.call("getMinimumBalanceForRentExemption", tokens.MINT_BYTES)
    signature = node.send_instructions(
        tokens.create_mint(issuer.pubkey(), mint.pubkey(), issuer.pubkey(), rent, tokens.TOKEN), issuer, mint
    )
    node.advance()
    logs = node.landed(signature)["meta"]["logMessages"]
    assert "Program log: Instruction: InitializeMint2" in logs


def test_leaders_take_turns_of_four_slots(tmp_path: Path) -> None:
    validator = make_validator(tmp_path, seed=1)
    validator.leaders = 3
    turns = [str(validator.leader(slot)) for slot in range(16)]
    assert turns[:4] == [turns[0]] * 4
    assert turns[0] == str(validator.identity.validator)
    assert len(set(turns)) == 3
    assert turns[12:] == turns[:4]
    validator.store.close()


def test_a_seed_gives_the_same_chain(start: Start) -> None:
    one, two, three = (start("--manual", "--seed", seed) for seed in ("5", "5", "6"))
    facts = [(node.call("getGenesisHash"), node.call("getIdentity")) for node in (one, two, three)]
    assert facts[0] == facts[1] != facts[2]
    for node in (one, two):
        node.call("requestAirdrop", "77L8h1yhh9sJkqzaUfXC3tyfRUhtrrCkMVKBFL3E995d", SOL)
        node.advance(3)

    def blocks(node: Node) -> list[tuple[str, Any]]:
        found = node.call("localnet_canonical", {"from": 1})["blocks"]
        return [(block["blockhash"], block["transactions"]) for block in found]

    assert blocks(one) == blocks(two)


async def test_whole_blocks_and_votes_are_told_when_asked_for(start: Start) -> None:
    node = start("--manual", "--finalized-depth", "2", "--block-subscribe", "--vote-subscribe")
    wallet = Keypair().pubkey()
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(f"ws://127.0.0.1:{node.port + 1}/") as client,
    ):

        async def ask(method: str, *params: object) -> Any:
            await client.send_json({"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)})
            return await client.receive_json(timeout=5)

        options = {"commitment": "confirmed", "encoding": "json", "maxSupportedTransactionVersion": 0}
        everything = (await ask("blockSubscribe", "all", options))["result"]
        mine = (await ask("blockSubscribe", {"mentionsAccountOrProgram": str(wallet)}, options))["result"]
        assert "error" in await ask("blockSubscribe", "all", {"commitment": "processed"})
        assert "error" in await ask("blockSubscribe", "some")
        votes = (await ask("voteSubscribe"))["result"]
        signatures = [node.call("requestAirdrop", str(to), SOL) for to in (wallet, Keypair().pubkey())]
        node.advance()
        told = [(await client.receive_json(timeout=5))["params"] for _ in range(3)]
    by_id = {item["subscription"]: item["result"] for item in told}
    value = by_id[everything]["value"]
    assert value["err"] is None
    assert value["slot"] == 1
    expected = node.call("getBlock", 1, {**options, "rewards": False})
    assert value["block"] == expected
    of_wallet = by_id[mine]["value"]["block"]["transactions"]
    assert [item["transaction"]["signatures"] for item in of_wallet] == [signatures[:1]]
    assert by_id[votes]["slots"] == [1]
