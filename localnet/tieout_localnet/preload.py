"""Accounts and programs that a new chain starts with, from the files of `solana-test-validator`.

An account file is what `solana account --output json` writes: {"pubkey": …, "account": {"lamports", "data":
[base64, "base64"], "owner", "executable", …}}. A program file is an ELF (.so). Like the real one, they are
read when the ledger is made; a chain that continues has its own.
"""

import base64
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from solders.pubkey import Pubkey

from tieout_localnet import base58
from tieout_localnet.accounts import AccountState
from tieout_localnet.engine import program_accounts

FROM_FILE: Final = "-"
"""In place of an address: the one in the file."""


class BadFile(Exception):
    """A file that is not an account or a program; the message names it."""


@dataclass(frozen=True, slots=True)
class Preload:
    """What to read: (address, file) pairs, and directories of account files."""

    accounts: tuple[tuple[str, str], ...] = ()
    account_dirs: tuple[str, ...] = ()
    programs: tuple[tuple[str, str], ...] = ()

    def read(self) -> dict[Pubkey, AccountState]:
        """Everything that is named; raises BadFile."""
        found: dict[Pubkey, AccountState] = {}
        for address, file in (*self.accounts, *_in_directories(self.account_dirs)):
            key, state = account_file(address, Path(file))
            found[key] = state
        for address, file in self.programs:
            found.update(_program(address, Path(file)))
        return found


def _in_directories(directories: Iterable[str]) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for directory in directories:
        if not Path(directory).is_dir():
            raise BadFile(f"{directory} is not a directory")
        found += [(FROM_FILE, str(path)) for path in sorted(Path(directory).glob("*.json"))]
    return found


def _key(address: str, what: str) -> Pubkey:
    try:
        return Pubkey.from_bytes(base58.decode(address))
    except (base58.InvalidCharacter, ValueError) as error:
        raise BadFile(f"{what}: {address!r} is not an address") from error


def account_file(address: str, path: Path) -> tuple[Pubkey, AccountState]:
    """An account out of its JSON file; `-` takes the address that the file names."""
    try:
        content = json.loads(path.read_text())
        shown = content["account"]
        text, encoding = shown["data"]
        if encoding != "base64":
            raise BadFile(f"{path}: data must be in base64, not {encoding}")
        named = content["pubkey"] if address == FROM_FILE else address
        data = base64.b64decode(text, validate=True)
        owner = _key(shown["owner"], str(path))
        state = AccountState(int(shown["lamports"]), data, owner, bool(shown["executable"]))
    except OSError as error:
        raise BadFile(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise BadFile(f"{path} is not an account as `solana account --output json` writes it") from error
    return _key(named, str(path)), state


def _program(address: str, path: Path) -> dict[Pubkey, AccountState]:
    try:
        elf = path.read_bytes()
    except OSError as error:
        raise BadFile(f"{path} cannot be read: {error.strerror}") from error
    key = _key(address, str(path))
    found = program_accounts(key, elf)
    if not found:
        raise BadFile(f"{path} is not a program that can be loaded")
    return found
