"""A real `solana-test-validator` behind the same commands.

It is found in $TIEOUT_AGAVE or on PATH. Its other ports are chosen free, so that instances do not meet.
"""

import os
import shutil
import socket
from pathlib import Path
from typing import Final

from tieout_localnet.instances import Options
from tieout_localnet.ledger_dir import AGAVE_DIRECTORY

PROGRAM: Final = "solana-test-validator"
LEDGER_SHREDS_MAX: Final = 50_000_000
"""Without a large limit it forgets its blocks within minutes."""

TICKS_A_SECOND: Final = 160
"""of its own clock; a slot is a number of them, 64 on mainnet"""
DYNAMIC_PORTS: Final = 32
FIRST_DYNAMIC_PORT: Final = 20_000
LAST_DYNAMIC_PORT: Final = 60_000


class NotFound(Exception):
    """There is no real validator here."""


def find() -> str:
    """The validator's program file."""
    named = os.environ.get("TIEOUT_AGAVE")
    if named:
        path = Path(named) / PROGRAM if Path(named).is_dir() else Path(named)
        if not os.access(path, os.X_OK):
            raise NotFound(f"TIEOUT_AGAVE names {path}, which cannot be run")
        return str(path)
    found = shutil.which(PROGRAM)
    if found is None:
        raise NotFound(f"{PROGRAM} is not on PATH; name it in TIEOUT_AGAVE")
    return found


def command(options: Options) -> list[str]:
    """The command line for an instance."""
    first = _free_block(options.port)
    arguments = [
        *("--ledger", str(Path(options.ledger) / AGAVE_DIRECTORY)),
        *("--limit-ledger-size", str(LEDGER_SHREDS_MAX)),
        *("--rpc-port", str(options.port)),
        *("--faucet-port", str(first)),
        *("--gossip-port", str(first + 1)),
        *("--dynamic-port-range", f"{first + 2}-{first + DYNAMIC_PORTS}"),
        *("--bind-address", options.host),
        *("--ticks-per-slot", str(max(1, round(options.slot_ms * TICKS_A_SECOND / 1000)))),
        "--quiet",
    ]
    return [find(), *arguments, *_preloaded(options)]


def _preloaded(options: Options) -> list[str]:
    """The accounts and programs that a new chain starts with."""
    flags: list[str] = []
    for address, file in options.accounts:
        flags += ["--account", address, file]
    for directory in options.account_dirs:
        flags += ["--account-dir", directory]
    for address, file in options.programs:
        flags += ["--bpf-program", address, file]
    return flags


def _free_block(port: int) -> int:
    """The first port of a free block; where to look depends on the instance, so that two looking at the
    same moment find different ones."""
    span = (LAST_DYNAMIC_PORT - FIRST_DYNAMIC_PORT) // DYNAMIC_PORTS
    for step in range(span):
        first = FIRST_DYNAMIC_PORT + (port * 7 + step) % span * DYNAMIC_PORTS
        if all(_free(candidate) for candidate in range(first, first + DYNAMIC_PORTS + 1)):
            return first
    raise NotFound("no free block of ports for the validator")


def _free(port: int) -> bool:
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        with socket.socket(socket.AF_INET, kind) as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                return False
    return True
