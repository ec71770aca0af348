"""The directory of a ledger: what is in it, and the marker that says that it is ours to delete."""

import shutil
from pathlib import Path
from typing import Final

MARKER_FILE: Final = ".tieout-localnet"
LOCK_FILE: Final = "lock"
LEDGER_FILE: Final = "ledger.sqlite3"
AGAVE_DIRECTORY: Final = "agave"


class NotOurs(Exception):
    """A directory that the localnet did not make."""


def claim(directory: Path) -> None:
    """Make a ledger directory, or recognise one; refuses a directory with other contents."""
    if directory.exists() and not directory.is_dir():
        raise NotOurs(f"{directory} is not a directory")
    if (directory / MARKER_FILE).exists():
        return
    if directory.exists() and any(directory.iterdir()):
        raise NotOurs(f"{directory} is not empty and not a ledger of the localnet; choose another directory")
    directory.mkdir(parents=True, exist_ok=True)
    (directory / MARKER_FILE).write_text("A ledger of the tieout localnet: `localnet.sh reset` deletes it.\n")


def forget(directory: Path) -> bool:
    """Delete a ledger; False when there is none. Refuses a directory without the marker."""
    if not directory.exists():
        return False
    if not (directory / MARKER_FILE).exists():
        raise NotOurs(
            f"{directory} has no {MARKER_FILE}: the localnet did not make it and does not delete it"
        )
    shutil.rmtree(directory)
    return True
