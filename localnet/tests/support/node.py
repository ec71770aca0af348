"""A localnet process for a test, through the command line that users have, and a plain client for it."""

import base64
import json
import os
import random
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from solders.hash import Hash
from solders.instruction import Instruction
from solders.keypair import Keypair
from solders.message import Message
from solders.pubkey import Pubkey
from solders.transaction import VersionedTransaction

REPOSITORY = Path(__file__).resolve().parents[3]
SCRIPT = REPOSITORY / "localnet.sh"
FIRST_PORT, LAST_PORT = 10_000, 20_000
SOL = 1_000_000_000


class RpcFailed(AssertionError):
    """The node answered with an error."""

    def __init__(self, error: dict[str, Any]) -> None:
        super().__init__(json.dumps(error)[:600])
        self.error = error
        self.code = error["code"]


def free_ports() -> int:
    """A port that is free together with the next one, and that the system gives to no outgoing connection:
    an instance that restarts must find its ports again."""
    while True:
        port = random.SystemRandom().randrange(FIRST_PORT, LAST_PORT, 2)
        with socket.socket() as first, socket.socket() as second:
            try:
                first.bind(("127.0.0.1", port))
                second.bind(("127.0.0.1", port + 1))
            except OSError:
                continue
            return port


@dataclass
class Node:
    """One instance, by its port."""

    port: int
    home: Path
    flags: tuple[str, ...] = ()
    request_id: int = field(default=0)

    def run(self, command: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command of the instance as a user would."""
        line = [sys.executable, "-m", "tieout_localnet", command, "--port", str(self.port), *arguments]
        environment = {**os.environ, "TIEOUT_LOCALNET_HOME": str(self.home)}
        return subprocess.run(line, capture_output=True, text=True, env=environment, timeout=120, check=False)

    def up(self) -> "Node":
        """Start it and insist that it came up."""
        done = self.run("up", *self.flags)
        assert done.returncode == 0, done.stdout + done.stderr
        return self

    def down(self) -> None:
        """Stop it."""
        done = self.run("down")
        assert done.returncode == 0, done.stdout + done.stderr

    def raw(self, body: object) -> Any:
        """The response to a body (text or something to encode)."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/", data=data, headers={"Content-Type": "application/json"}
        )
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=30) as response:
            text = response.read()
        return json.loads(text) if text else None

    def response(self, method: str, *params: object) -> dict[str, Any]:
        """The whole response to one call."""
        self.request_id += 1
        call = {"jsonrpc": "2.0", "id": self.request_id, "method": method, "params": list(params)}
        answer: dict[str, Any] = self.raw(call)
        return answer

    def call(self, method: str, *params: object) -> Any:
        """The result of one call; raises RpcFailed."""
        answer = self.response(method, *params)
        if "error" in answer:
            raise RpcFailed(answer["error"])
        return answer["result"]

    def value(self, method: str, *params: object) -> Any:
        """The `value` of a result with a context."""
        return self.call(method, *params)["value"]

    def advance(self, slots: int = 1) -> int:
        """Close slots by hand; the slot that is open then."""
        return int(self.call("localnet_advance", {"slots": slots})["slot"])

    def blockhash(self) -> Hash:
        """A fresh blockhash."""
        answer = self.value("getLatestBlockhash", {"commitment": "confirmed"})
        return Hash.from_string(answer["blockhash"])

    def funded(self, lamports: int = 100 * SOL) -> Keypair:
        """A new wallet with lamports."""
        wallet = Keypair()
        self.call("requestAirdrop", str(wallet.pubkey()), lamports)
        return wallet

    def send(self, transaction: VersionedTransaction, *, skip_preflight: bool = False) -> str:
        """Send a transaction; its signature."""
        text = base64.b64encode(bytes(transaction)).decode()
        options = {"encoding": "base64", "skipPreflight": skip_preflight, "preflightCommitment": "processed"}
        return str(self.call("sendTransaction", text, options))

    def send_instructions(
        self, instructions: list[Instruction], *signers: Keypair, skip_preflight: bool = False
    ) -> str:
        """Build, sign and send a legacy transaction; the first signer pays."""
        message = Message.new_with_blockhash(instructions, signers[0].pubkey(), self.blockhash())
        return self.send(VersionedTransaction(message, list(signers)), skip_preflight=skip_preflight)

    def landed(self, signature: str, encoding: str = "json") -> dict[str, Any]:
        """A transaction that is in a block, once it is confirmed."""
        options = {"encoding": encoding, "commitment": "confirmed", "maxSupportedTransactionVersion": 0}
        found: dict[str, Any] = wait_until(lambda: self.call("getTransaction", signature, options))
        return found

    def token_amount(self, account: Pubkey, commitment: str = "processed") -> int:
        """Raw amount of a token account."""
        answer = self.value("getTokenAccountBalance", str(account), {"commitment": commitment})
        return int(answer["amount"])


def wait_until(check: Callable[[], Any], timeout_s: float = 20.0) -> Any:
    """Call until the answer is true; the answer."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        found = check()
        if found:
            return found
        time.sleep(0.02)
    raise AssertionError("it did not happen in time")
