"""surfpool behind the same commands: its npm package, a Node addon, behind two forwarded ports.

The package `@solana/surfpool-linux-x64-gnu` is found in $TIEOUT_SURFPOOL (its directory, or a directory
`node_modules`) or among the packages of the tests. It keeps nothing on disk, starts at a slot of its own, and
knows neither depths nor `--manual`.
"""

import os
import shutil
from pathlib import Path
from typing import Final

from tieout_localnet.agave import NotFound
from tieout_localnet.instances import Options

PACKAGE: Final = Path("@solana") / "surfpool-linux-x64-gnu"
LAUNCHER: Final = Path(__file__).with_name("surfpool.cjs")
OF_THE_TESTS: Final = Path(__file__).parent.parent / "tests" / "node" / "node_modules"


def find() -> Path:
    """The directory of the package."""
    named = os.environ.get("TIEOUT_SURFPOOL")
    places = [Path(named), Path(named) / PACKAGE] if named else [OF_THE_TESTS / PACKAGE]
    for place in places:
        if (place / "package.json").exists() and place.name == PACKAGE.name:
            return place.resolve()
    if named:
        raise NotFound(f"TIEOUT_SURFPOOL names {named}, which holds no {PACKAGE}")
    raise NotFound(f"the npm package {PACKAGE} is not installed; name its directory in TIEOUT_SURFPOOL")


def command(options: Options) -> list[str]:
    """The command line for an instance."""
    node = shutil.which("node")
    if node is None:
        raise NotFound("node is not on PATH, and surfpool is a package for it")
    package = str(find())
    return [node, str(LAUNCHER), package, options.host, str(options.port), str(options.slot_ms)]
