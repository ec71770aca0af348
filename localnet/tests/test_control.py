"""up, down, status, reset, logs: as a user meets them, on real processes."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from solders.pubkey import Pubkey
from support.node import REPOSITORY, SCRIPT, SOL, Node, free_ports, wait_until

from tieout_localnet import agave
from tieout_localnet.instances import Options

Start = Callable[..., Node]


def real_validator() -> str | None:
    """A solana-test-validator: named, on PATH, or kept beside the repository."""
    beside = REPOSITORY.parent / "shared" / "bin" / "solana-test-validator"
    named = os.environ.get("TIEOUT_AGAVE") or shutil.which("solana-test-validator")
    return named or (str(beside) if beside.exists() else None)


AGAVE = real_validator()


def pid_of(node: Node) -> int:
    return int(json.loads(node.run("status", "--json").stdout)["pid"])


def test_up_returns_when_the_node_answers_and_down_stops_it(start: Start) -> None:
    node = start()
    assert node.call("getHealth") == "ok"
    node.down()
    assert node.run("status").returncode == 1


def test_status_names_pid_ports_slot_ledger_and_version(start: Start) -> None:
    node = start()
    facts = json.loads(node.run("status", "--json").stdout)
    assert facts["schema"] == "tieout/localnet-status/1"
    assert facts["websocket_port"] == node.port + 1
    assert {"pid", "slot", "ledger", "solana_core", "genesis_hash", "log"} <= facts.keys()


def test_a_second_up_says_that_it_is_already_running(start: Start) -> None:
    node = start()
    again = node.run("up")
    assert again.returncode == 0
    assert "Already running" in again.stdout


def test_down_is_idempotent(start: Start) -> None:
    node = start()
    node.down()
    assert "Nothing runs" in node.run("down").stdout


def test_a_port_of_another_program_is_refused_with_a_sentence(tmp_path: Path) -> None:
    port = free_ports()
    with socket.socket() as other:
        other.bind(("127.0.0.1", port + 1))
        other.listen(1)
        refused = Node(port, tmp_path).run("up")
    assert refused.returncode == 2
    assert f"Port {port + 1} is in use by another program" in refused.stderr


def test_the_chain_continues_after_a_restart(start: Start) -> None:
    node = start("--manual")
    wallet = node.funded(7 * SOL)
    signature = node.call("getSignaturesForAddress", str(wallet.pubkey()), {"commitment": "confirmed"})
    node.advance(5)
    signature = node.call("getSignaturesForAddress", str(wallet.pubkey()), {"commitment": "confirmed"})
    genesis, tip = node.call("getGenesisHash"), node.call("getSlot", {"commitment": "confirmed"})
    before = node.call("getBlock", tip, {"commitment": "confirmed"})
    node.down()
    node.up()
    assert node.call("getGenesisHash") == genesis
    assert node.value("getBalance", str(wallet.pubkey())) == 7 * SOL
    assert node.call("getSlot") == tip
    node.advance()
    after = node.call("getBlock", tip + 1, {"commitment": "confirmed"})
    assert after["previousBlockhash"] == before["blockhash"]
    assert node.call("getTransaction", signature[0]["signature"])["slot"] == signature[0]["slot"]


def test_a_killed_process_leaves_a_chain_that_continues(start: Start) -> None:
    node = start("--slot-ms", "20", "--finalized-depth", "2")
    wallet = node.funded(3 * SOL)
    wait_until(lambda: node.value("getBalance", str(wallet.pubkey())) == 3 * SOL)
    genesis, slot = node.call("getGenesisHash"), node.call("getSlot")
    os.kill(pid_of(node), signal.SIGKILL)
    wait_until(lambda: node.run("status").returncode == 1)
    node.up()
    assert node.call("getGenesisHash") == genesis
    assert node.call("getSlot") >= slot
    assert node.value("getBalance", str(wallet.pubkey())) == 3 * SOL
    wait_until(lambda: node.call("getSlot") > slot + 5)


def test_reset_forgets_the_chain_and_starts_again(start: Start) -> None:
    node = start("--manual")
    genesis = node.call("getGenesisHash")
    node.advance(4)
    done = node.run("reset")
    assert done.returncode == 0, done.stderr
    assert node.call("getGenesisHash") != genesis
    assert node.call("getSlot", {"commitment": "processed"}) == 1
    assert node.call("localnet_info")["mode"] == "manual"


def test_reset_of_a_stopped_instance_leaves_it_stopped(start: Start) -> None:
    node = start()
    ledger = Path(json.loads(node.run("status", "--json").stdout)["ledger"])
    node.down()
    assert node.run("reset").returncode == 0
    assert not ledger.exists()
    assert node.run("status").returncode == 1


def test_a_directory_that_is_not_ours_is_neither_used_nor_deleted(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "thesis.txt").write_text("years of work")
    node = Node(free_ports(), tmp_path / "home")
    assert node.run("up", "--ledger", str(precious)).returncode == 2
    refused = node.run("reset", "--ledger", str(precious))
    assert refused.returncode == 2
    assert "nothing was deleted" in refused.stderr
    assert (precious / "thesis.txt").exists()


def test_a_given_ledger_directory_holds_the_chain(start: Start, tmp_path: Path) -> None:
    ledger = tmp_path / "elsewhere" / "chain"
    node = start("--ledger", str(ledger))
    genesis = node.call("getGenesisHash")
    assert (ledger / "ledger.sqlite3").exists()
    node.down()
    node.up()
    assert node.call("getGenesisHash") == genesis


def test_two_instances_have_two_chains(start: Start) -> None:
    one, two = start(), start()
    assert one.call("getGenesisHash") != two.call("getGenesisHash")
    one.down()
    assert two.call("getHealth") == "ok"


def test_one_ledger_is_not_shared_by_two_processes(start: Start, tmp_path: Path) -> None:
    ledger = str(tmp_path / "chain")
    start("--ledger", ledger)
    refused = Node(free_ports(), tmp_path / "home").run("up", "--ledger", ledger)
    assert refused.returncode == 1
    assert "in use by another localnet" in refused.stderr


def test_a_bad_flag_is_exit_two_with_its_name(tmp_path: Path) -> None:
    refused = Node(free_ports(), tmp_path).run("up", "--slot-ms", "soon")
    assert refused.returncode == 2
    assert "soon" in refused.stderr


def test_logs_prints_the_log(start: Start) -> None:
    assert "of chain" in start().run("logs").stdout


def test_without_an_installation_the_script_says_what_to_run(tmp_path: Path) -> None:
    script = tmp_path / "localnet.sh"
    shutil.copy(SCRIPT, script)
    refused = subprocess.run([script, "up"], capture_output=True, text=True, check=False)
    assert refused.returncode == 2
    assert "make setup" in refused.stderr


def test_an_agave_that_is_not_there_is_a_sentence(tmp_path: Path) -> None:
    node = Node(free_ports(), tmp_path)
    os.environ["TIEOUT_AGAVE"] = str(tmp_path / "nothing")
    try:
        refused = node.run("up", "--validator", "agave")
    finally:
        del os.environ["TIEOUT_AGAVE"]
    assert refused.returncode == 2
    assert "TIEOUT_AGAVE names" in refused.stderr


@pytest.mark.parametrize(("slot_ms", "ticks"), [(400, "64"), (100, "16"), (1, "1")])
def test_a_real_validator_is_told_how_long_a_slot_is_in_ticks(
    monkeypatch: pytest.MonkeyPatch, slot_ms: int, ticks: str
) -> None:
    monkeypatch.setenv("TIEOUT_AGAVE", sys.executable)
    command = agave.command(Options(free_ports(), "ledger", slot_ms=slot_ms))
    assert command[command.index("--ticks-per-slot") + 1] == ticks


@pytest.mark.skipif(AGAVE is None, reason="there is no solana-test-validator here")
def test_a_real_validator_obeys_the_same_commands(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIEOUT_AGAVE", str(AGAVE))
    node = start("--validator", "agave", "--slot-ms", "100")
    genesis = node.call("getGenesisHash")
    assert "Already running" in node.run("up", "--validator", "agave").stdout
    signature = node.call("requestAirdrop", str(Pubkey.new_unique()), SOL)
    assert node.landed(signature)["meta"]["err"] is None
    node.down()
    node.up()
    assert node.call("getGenesisHash") == genesis


SURFPOOL = Path(__file__).parent / "node" / "node_modules" / "@solana" / "surfpool-linux-x64-gnu"


@pytest.mark.skipif(
    not (SURFPOOL.is_dir() or os.environ.get("TIEOUT_SURFPOOL")) or shutil.which("node") is None,
    reason="the npm package of surfpool or node is not here",
)
def test_surfpool_obeys_the_same_commands(start: Start) -> None:
    node = start("--validator", "surfpool", "--slot-ms", "100")
    assert "surfnet-version" in node.call("getVersion")
    assert "Already running" in node.run("up", "--validator", "surfpool").stdout
    node.call("requestAirdrop", str(Pubkey.new_unique()), SOL)
    node.down()
    assert node.run("status").returncode == 1


def test_a_missing_surfpool_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIEOUT_SURFPOOL", str(tmp_path / "nothing"))
    refused = Node(free_ports(), tmp_path).run("up", "--validator", "surfpool")
    assert refused.returncode == 2
    assert "surfpool" in refused.stderr or "node is not on PATH" in refused.stderr


def test_an_airdrop_is_a_transaction_in_a_block(start: Start) -> None:
    node = start("--slot-ms", "20")
    to = str(Pubkey.new_unique())
    first, second = (node.call("requestAirdrop", to, SOL) for _ in range(2))
    assert first != second
    assert node.landed(first)["meta"]["err"] is None
    assert node.landed(second)["meta"]["postBalances"][1] == 2 * SOL


@pytest.mark.parametrize("kind", ["rate_limit", "http_error", "truncate", "garbage", "unhealthy", "timeout"])
def test_an_instance_that_is_told_to_spoil_every_answer_comes_up_and_shows_itself(
    start: Start, tmp_path: Path, kind: str
) -> None:
    """What up, status and down ask themselves is none of the misbehaviour that they were asked to set up."""
    rules = tmp_path / "rules.toml"
    named = ["getSlot", "getHealth", "getGenesisHash", "getVersion"]
    rules.write_text(f'[[rule]]\nkind = "{kind}"\nmethods = {json.dumps(named)}\ndelay_ms = 20\n')
    node = start("--chaos", str(rules))
    again = node.run("up", "--json")
    assert again.returncode == 0, again.stdout + again.stderr
    facts = json.loads(again.stdout)
    assert facts["genesis_hash"] == node.call("localnet_info")["genesisHash"]
    assert facts["solana_core"] == "4.1.1"
    shown = json.loads(node.run("status", "--json").stdout)
    assert shown["running"] is True
    assert shown["slot"] >= facts["slot"]
    assert shown["healthy"] is False, "getHealth is spoiled, and that is what it says"
    node.down()
