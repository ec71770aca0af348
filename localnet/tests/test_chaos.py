"""Misbehaviour: each kind does what it says, a seed replays it, and the stored chain never lies."""

import asyncio
import json
import tempfile
import urllib.error
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from solders.keypair import Keypair
from solders.pubkey import Pubkey
from support.chain import make_context, make_validator
from support.node import SOL, Node, RpcFailed, free_ports

from tieout_localnet.chaos import BadRule, Book, Rule, from_table, load
from tieout_localnet.chaos.rules import KINDS
from tieout_localnet.rpc import Context
from tieout_localnet.server import HttpApi
from tieout_localnet.subscriptions import Hub

WALLET = Keypair.from_seed(b"w" * 32).pubkey()
V0 = {"commitment": "confirmed", "maxSupportedTransactionVersion": 0}


@pytest.fixture
def begin(tmp_path: Path) -> Callable[..., tuple[Context, Callable[..., Any]]]:
    """A node in this process with rules; `call` answers the whole response."""

    def make(*rules: Rule, seed: int = 0) -> tuple[Context, Callable[..., Any]]:
        context = make_context(make_validator(tmp_path, seed=1), *rules, seed=seed)
        api = HttpApi(context, Hub(context.validator))

        def call(method: str, *params: object) -> Any:
            return api.one({"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)})

        return context, call

    return make


Begin = Callable[..., tuple[Context, Callable[..., Any]]]


def codes(call: Callable[..., Any], times: int, method: str, *params: object) -> list[int | None]:
    answers = [call(method, *params) for _ in range(times)]
    return [answer.get("error", {}).get("code") for answer in answers]


@pytest.mark.parametrize(
    ("kind", "code"),
    [("not_available", -32004), ("skipped", -32007), ("status_unavailable", -32014)],
)
def test_a_false_refusal_later_becomes_the_block(begin: Begin, kind: str, code: int) -> None:
    context, call = begin(Rule(kind, kind, slots=(2,), attempts=3))
    context.ticker.step(8)
    assert codes(call, 5, "getBlock", 2, V0) == [code, code, code, None, None]
    assert codes(call, 2, "getBlock", 1, V0) == [None, None]


def test_an_unhealthy_node_says_so_with_data(begin: Begin) -> None:
    _, call = begin(Rule("unhealthy", "ill", methods=("getSlot",), count=1))
    error = call("getSlot")["error"]
    assert (error["code"], error["data"]) == (-32005, {"numSlotsBehind": None})
    assert "result" in call("getSlot")


def test_nulls_in_place_of_block_meta_and_inner_instructions(begin: Begin) -> None:
    context, call = begin(
        Rule("null_block", "a", slots=(1,), attempts=1),
        Rule("meta_null", "b", slots=(2,), attempts=1),
        Rule("inner_null", "c", slots=(3,), attempts=1),
    )
    for _ in range(3):
        call("requestAirdrop", str(WALLET), SOL)
        context.ticker.step(1)
    assert call("getBlock", 1, V0)["result"] is None
    assert call("getBlock", 2, V0)["result"]["transactions"][0]["meta"] is None
    inner = call("getBlock", 3, V0)["result"]["transactions"][0]["meta"]
    assert inner["innerInstructions"] is None
    assert inner["preBalances"]
    for slot in (1, 2, 3):
        truth = call("getBlock", slot, V0)["result"]["transactions"][0]
        assert truth["meta"]["innerInstructions"] == []


def test_pruned_history_is_left_out_and_refused(begin: Begin) -> None:
    context, call = begin(Rule("pruned", "p", keep=2))
    context.ticker.step(10)
    first = context.validator.chain.root - 2
    assert call("getFirstAvailableBlock")["result"] == first
    assert call("getBlocks", 0, first + 1)["result"] == [first, first + 1]
    assert call("getBlocksWithLimit", 0, 3)["result"][:1] == [first]
    error = call("getBlock", 1)["error"]
    assert error["code"] == -32001
    assert error["message"].endswith(f"First available block: {first}")
    truth = call("localnet_canonical")["result"]
    assert [block["slot"] for block in truth["blocks"]] == list(range(11))


def test_a_dropped_transaction_is_accepted_and_never_lands(begin: Begin) -> None:
    import base64

    from support import tokens
    from support.chain import signed

    context, call = begin(Rule("drop", "d", count=1))
    payer = Keypair()
    call("requestAirdrop", str(payer.pubkey()), SOL)
    context.ticker.step(5)
    wire = base64.b64encode(bytes(signed(context.validator, [tokens.memo("x")], payer))).decode()
    options = {"encoding": "base64", "preflightCommitment": "processed"}
    signature = call("sendTransaction", wire, options)["result"]
    context.ticker.step(3)
    assert call("getSignatureStatuses", [signature])["result"]["value"] == [None]
    call("sendTransaction", wire, options)
    assert call("getSignatureStatuses", [signature])["result"]["value"][0]["err"] is None


def test_slots_are_skipped_in_a_run(begin: Begin) -> None:
    context, call = begin(Rule("skip", "s", slots=(3,), length=4))
    context.ticker.step(10)
    assert call("getBlocks", 0, 20, {"commitment": "confirmed"})["result"] == [0, 1, 2, 7, 8, 9, 10]
    assert call("getBlock", 7, V0)["result"]["parentSlot"] == 2
    assert codes(call, 1, "getBlock", 3) == [-32007]


def test_a_fork_at_a_slot_moves_its_transactions(begin: Begin) -> None:
    context, call = begin(Rule("fork", "f", slots=(2,), depth=3))
    context.ticker.step(1)
    signature = call("requestAirdrop", str(WALLET), SOL)["result"]
    context.ticker.step(3)
    assert call("getSignatureStatuses", [signature])["result"]["value"][0]["slot"] == 5
    context.ticker.step(2)
    assert call("getBlocks", 0, 9, {"commitment": "confirmed"})["result"] == [0, 1, 5, 6]
    assert call("getBlock", 5, V0)["result"]["parentSlot"] == 1


def test_a_duplicate_block_replaces_the_first(begin: Begin) -> None:
    context, call = begin()
    context.ticker.step(2)
    call("localnet_fork", {"duplicate": True})
    seen: list[str] = []
    context.validator.listeners.append(lambda event: seen.append(event.node.block.blockhash))
    context.ticker.step(1)
    assert len(seen) == 2
    assert call("getBlock", 3, V0)["result"]["blockhash"] == seen[1]
    assert context.validator.open.slot == 4


def test_a_fork_by_hand_and_back(begin: Begin) -> None:
    context, call = begin()
    context.ticker.step(2)
    assert "confirmed" in call("localnet_fork", {"depth": 1, "when": "now"})["error"]["message"]
    given_up = call("localnet_fork", {"depth": 1, "when": "now", "rollback": True})["result"]["givenUp"]
    assert [item["slot"] for item in given_up] == [2]
    context.ticker.step(1)
    back = call("localnet_fork", {"to": given_up[0]["blockhash"], "rollback": True})
    assert back["result"]["parent"] == 2
    assert call("localnet_skip", {"slots": 2})["result"]["slot"] == 6
    assert call("localnet_fork", {"depth": 32})["error"]["code"] == -32602


def story(seed: int) -> tuple[object, object]:
    """The same requests under the same rules: what was decided, and the chain that came of it."""
    rules = (
        Rule("skip", "s", probability=0.1, length=2),
        Rule("fork", "f", probability=0.1, depth=2, transactions="mixed"),
        Rule("duplicate", "u", probability=0.05),
        Rule("not_available", "n", probability=0.3),
        Rule("unhealthy", "h", probability=0.2, methods=("getSlot",)),
        Rule("drop", "d", probability=0.3),
    )
    with tempfile.TemporaryDirectory() as directory:
        context = make_context(make_validator(Path(directory), seed=1), *rules, seed=seed)
        api = HttpApi(context, Hub(context.validator))
        for number in range(60):
            for method, params in (
                ("requestAirdrop", [str(WALLET), 10_000_000 + number]),
                ("getSlot", []),
                ("getBlock", [number]),
            ):
                api.one({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
            context.ticker.step(1)
        truth = api.one({"jsonrpc": "2.0", "id": 1, "method": "localnet_canonical"})
        context.validator.store.close()
        return list(context.book.firings), truth


def test_each_seed_replays_the_same_misbehaviour() -> None:
    assert story(3) == story(3)
    firings, truth = story(3)
    others, other_truth = story(4)
    assert firings
    assert firings != others
    assert truth != other_truth


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**64 - 1), st.floats(0, 1))
def test_a_probability_is_met_and_no_decision_depends_on_another(seed: int, probability: float) -> None:
    rule = Rule("skip", "s", probability=probability)
    forward = {slot: Book(seed, [rule]).at_slot(("skip",), slot) for slot in range(300)}
    book = Book(seed, [rule])
    backward = {slot: book.at_slot(("skip",), slot) for slot in reversed(range(300))}
    assert forward == backward
    assert abs(sum(r is not None for r in forward.values()) / 300 - probability) < 0.2


def test_rules_are_added_listed_and_cleared(begin: Begin) -> None:
    _, call = begin()
    added = call("localnet_chaos", {"add": [{"kind": "skip", "count": 0}, {"kind": "drop"}], "seed": 9})
    assert [rule["name"] for rule in added["result"]["rules"]] == ["skip-0", "drop-1"]
    assert added["result"]["seed"] == 9
    assert len(call("localnet_chaos", {"clear": "skip-0"})["result"]["rules"]) == 1
    assert call("localnet_chaos", {"clear": True})["result"]["rules"] == []


BAD: list[tuple[Any, str]] = [
    ({"kind": "gossip"}, "`kind` must be one of"),
    ({"kind": "skip", "lenght": 3}, "unknown member `lenght`"),
    ({"kind": "fork", "depth": 32}, "`depth` must be a whole number from 1 to 31"),
    ({"kind": "fork", "transactions": "gone"}, "`transactions` must be one of"),
    ({"kind": "skip", "probability": 2}, "`probability` must be between 0 and 1"),
    ({"kind": "skip", "count": True}, "`count` must be a whole number"),
    ("skip", "a rule is a table"),
]


@pytest.mark.parametrize(("table", "message"), BAD)
def test_a_bad_rule_is_refused_with_a_sentence(begin: Begin, table: Any, message: str) -> None:
    with pytest.raises(BadRule, match=message):
        from_table(table, 0)
    _, call = begin()
    assert message in call("localnet_chaos", {"add": [table]})["error"]["message"]


def test_a_file_names_seed_rules_and_twin(tmp_path: Path) -> None:
    path = tmp_path / "chaos.toml"
    rules = "".join(f'[[rule]]\nkind = "{kind}"\n' for kind in sorted(KINDS))
    path.write_text(f"seed = 4\n{rules}[twin]\nport = 9000\nbehind = 5\n")
    seed, read, twin = load(path)
    assert (seed, len(read)) == (4, len(KINDS))
    assert twin is not None
    assert twin.behind == 5
    path.write_text('[[rule]]\nkind = "skip"\nslot = 3\n')
    with pytest.raises(BadRule, match="rule 1: unknown member `slot`"):
        load(path)


def test_the_rules_of_the_readme_can_be_loaded(tmp_path: Path) -> None:
    readme = (Path(__file__).parent.parent / "README.md").read_text()
    text = readme.split("```toml\n")[1].split("```")[0]
    path = tmp_path / "chaos.toml"
    path.write_text(text)
    seed, rules, twin = load(path)
    assert (seed, [rule.kind for rule in rules]) == (7, ["skip", "fork", "not_available", "rate_limit"])
    assert twin is not None
    table = [line for line in readme.splitlines() if line.startswith("| `")]
    assert all(any(f"`{kind}`" in line for line in table) for kind in KINDS)


def test_block_production_counts_the_skipped(begin: Begin) -> None:
    context, call = begin(Rule("skip", "s", slots=(2,), length=2))
    context.ticker.step(8)
    shown = call("getBlockProduction", {"commitment": "confirmed"})["result"]["value"]
    assert shown["byIdentity"] == {str(context.validator.identity.validator): [9, 7]}


# Over the wire.


@pytest.fixture(scope="module")
def wild(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A node with a twin five blocks behind; rules come by admin calls."""
    home, twin = tmp_path_factory.mktemp("home"), free_ports()
    file = home / "chaos.toml"
    file.write_text(f"seed = 1\n[twin]\nport = {twin}\nbehind = 5\n")
    flags = ("--manual", "--finalized-depth", "3", "--chaos", str(file), "--seed", "5")
    node = Node(free_ports(), home, flags)
    node.up()
    yield node, Node(twin, home)
    node.down()


Wild = tuple[Node, Node]


@pytest.fixture
def rule(wild: Wild) -> Any:
    """Add rules to the running node; they are gone after the test."""
    yield lambda **members: wild[0].call("localnet_chaos", {"add": members})
    wild[0].call("localnet_chaos", {"clear": True})


def test_a_rate_limit_with_and_without_the_header(wild: Wild, rule: Callable[..., Any]) -> None:
    rule(kind="rate_limit", methods=["getSlot"], count=1, retry_after_s=7)
    rule(kind="rate_limit", methods=["getSlot"], count=1)
    headers: list[str | None] = []
    for _ in range(2):
        with pytest.raises(urllib.error.HTTPError) as refused:
            wild[0].call("getSlot")
        assert refused.value.code == 429
        headers.append(refused.value.headers.get("Retry-After"))
        refused.value.close()
    assert headers == ["7", None]
    assert isinstance(wild[0].call("getSlot"), int)


def test_a_server_error(wild: Wild, rule: Callable[..., Any]) -> None:
    rule(kind="http_error", methods=["getSlot"], count=1, status=502)
    with pytest.raises(urllib.error.HTTPError) as refused:
        wild[0].call("getSlot")
    assert refused.value.code == 502
    refused.value.close()


async def fetch(node: Node, timeout_s: float = 5) -> bytes:
    async with (
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(timeout_s)) as session,
        session.post(
            f"http://127.0.0.1:{node.port}/", json={"jsonrpc": "2.0", "id": 1, "method": "getVersion"}
        ) as response,
    ):
        return await response.read()


async def test_invalid_truncated_and_missing_answers(wild: Wild, rule: Callable[..., Any]) -> None:
    node = wild[0]
    for kind in ("garbage", "truncate", "timeout", "half_open"):
        rule(kind=kind, methods=["getVersion"], count=1, delay_ms=50, name=kind)
    with pytest.raises(ValueError, match="Expecting"):
        json.loads((await fetch(node)).replace(b"NaN", b"?"))
    with pytest.raises(aiohttp.ClientPayloadError):
        await fetch(node)
    with pytest.raises(aiohttp.ServerDisconnectedError):
        await fetch(node)
    with pytest.raises(TimeoutError):
        await fetch(node, 0.3)
    assert b"solana-core" in await fetch(node)


async def test_a_slow_drip_arrives_whole(wild: Wild, rule: Callable[..., Any]) -> None:
    rule(kind="drip", methods=["getVersion"], count=1, delay_ms=200)
    before = asyncio.get_running_loop().time()
    assert b"solana-core" in await fetch(wild[0])
    assert asyncio.get_running_loop().time() - before > 0.1


async def notifications(node: Node, slots: int) -> list[int] | None:
    """The slots that a subscriber is told while so many are made; None when the connection ends."""
    told: list[int] = []
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(f"ws://127.0.0.1:{node.port + 1}/") as client,
    ):
        await client.send_json({"jsonrpc": "2.0", "id": 1, "method": "slotSubscribe"})
        await client.receive_json(timeout=5)
        await asyncio.to_thread(node.advance, slots)
        while True:
            try:
                message = await client.receive(timeout=0.3)
            except TimeoutError:
                return told
            if message.type is not aiohttp.WSMsgType.TEXT:
                return None
            told.append(json.loads(message.data)["params"]["result"]["slot"])


async def test_notifications_are_missed_doubled_and_late(wild: Wild, rule: Callable[..., Any]) -> None:
    node = wild[0]
    start = node.call("getSlot", {"commitment": "processed"})
    rule(kind="ws_miss", methods=["slot"], count=1)
    assert await notifications(node, 3) == [start + 2, start + 3]
    rule(kind="ws_duplicate", methods=["slot"], count=1)
    assert await notifications(node, 2) == [start + 4, start + 4, start + 5]
    rule(kind="ws_stall", methods=["slot"], count=1, delay_ms=600)
    assert await notifications(node, 1) == []
    rule(kind="ws_drop", methods=["slot"], count=1)
    assert await notifications(node, 1) is None
    assert len(await notifications(node, 1) or []) == 1


async def test_the_twin_serves_the_same_chain_some_blocks_late(wild: Wild) -> None:
    node, twin = wild
    wallet = Pubkey.new_unique()
    node.advance(20)
    signature = node.call("requestAirdrop", str(wallet), SOL)
    node.advance(1)
    tip = node.call("getSlot", {"commitment": "confirmed"})
    assert twin.call("getSlot", {"commitment": "confirmed"}) == tip - 5
    assert twin.call("getGenesisHash") == node.call("getGenesisHash")
    assert twin.call("getBlock", tip - 5, V0) == node.call("getBlock", tip - 5, V0)
    with pytest.raises(RpcFailed) as refused:
        twin.call("getBlock", tip, V0)
    assert refused.value.error["code"] == -32004
    with pytest.raises(RpcFailed) as refused:
        twin.call("getBalance", str(wallet), {"commitment": "confirmed", "minContextSlot": tip})
    assert refused.value.error["code"] == -32016
    assert refused.value.error["data"] == {"contextSlot": tip - 5}
    level = {"commitment": "confirmed"}
    assert (node.value("getBalance", str(wallet), level), twin.value("getBalance", str(wallet), level)) == (
        SOL,
        0,
    )
    assert twin.value("getSignatureStatuses", [signature]) == [None]
    node.advance(5)
    assert twin.value("getBalance", str(wallet), level) == SOL
    assert twin.value("getSignatureStatuses", [signature])[0]["err"] is None


def test_a_subscriber_sees_the_parent_jump_back(wild: Wild) -> None:
    node = wild[0]

    async def told() -> list[dict[str, int]]:
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(f"ws://127.0.0.1:{node.port + 1}/") as client,
        ):
            await client.send_json({"jsonrpc": "2.0", "id": 1, "method": "slotSubscribe"})
            await client.receive_json(timeout=5)
            await asyncio.to_thread(node.call, "localnet_fork", {"depth": 2})
            await asyncio.to_thread(node.advance, 3)
            return [(await client.receive_json(timeout=5))["params"]["result"] for _ in range(4)]

    open_slot = node.call("getSlot", {"commitment": "processed"})
    seen = asyncio.run(told())
    shown = [(item["slot"], item["parent"]) for item in seen]
    base = open_slot - 1
    # After the second block the same slot is told twice: on the branch given up, and on the one followed.
    assert shown == [
        (open_slot + 1, open_slot),
        (open_slot + 2, open_slot + 1),
        (open_slot + 2, base),
        (open_slot + 3, open_slot + 2),
    ]


def test_a_bad_file_is_refused_with_a_sentence(tmp_path: Path) -> None:
    file = tmp_path / "chaos.toml"
    file.write_text('[[rule]]\nkind = "gossip"\n')
    refused = Node(free_ports(), tmp_path / "home").run("up", "--chaos", str(file))
    assert refused.returncode == 2
    assert "rule 1: `kind` must be one of" in refused.stderr


def test_a_taken_port_of_the_twin_is_a_sentence(tmp_path: Path) -> None:
    port, file = free_ports(), tmp_path / "chaos.toml"
    file.write_text(f"[twin]\nport = {port}\nbehind = 2\n")
    refused = Node(port, tmp_path / "home").run("up", "--chaos", str(file))
    assert refused.returncode == 2
    assert f"Port {port}, which the twin is to have, is in use." in refused.stderr
