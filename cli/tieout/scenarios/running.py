"""Plays scenarios: one chain and one database server for all of them, a database of its own for each."""

import time
import zlib
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tieout.scenarios.stage import Heard, Stage, Step, Stuck
from tieout.scenarios.telling import Moment, Scenario, Telling, differences
from tieout.stack import Localnet, copied, left_running, localnet, postgres, workspace

if TYPE_CHECKING:
    from tieout_reconcile import Run

FINALIZED_DEPTH = 8
"""Blocks between confirmed and final: room for a fork, and still final in under half a second."""
_CHAIN = ("--slot-ms", "50", "--finalized-depth", str(FINALIZED_DEPTH), "--seed", "2026")


@dataclass(frozen=True, slots=True)
class Played:
    """What came of one scenario; ``differences`` is empty where all was found as it was told."""

    scenario: Scenario
    steps: tuple[Step, ...]
    found: Telling
    differences: tuple[str, ...]
    dsn: str
    seconds: float

    @property
    def as_told(self) -> bool:
        """Whether found is exactly what was told."""
        return not self.differences

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            **described(self.scenario),
            "as_told": self.as_told,
            "differences": self.differences,
            "told": self.scenario.telling.to_json(),
            "found": self.found.to_json(),
            "story": [step.to_json() for step in self.steps],
            "seconds": self.seconds,
        }


def described(scenario: Scenario) -> dict[str, str]:
    """What a scenario is about, as plain values."""
    return {name: getattr(scenario, name) for name in ("name", "purpose", "concerns", "mirrors")}


@dataclass(frozen=True, slots=True)
class Audience:
    """Who is told while it happens: of a scenario's beginning, each step, each run, and its end."""

    begins: Callable[[Scenario], None]
    step: Callable[[Step], None]
    run: Callable[["Run", Moment], None]
    ends: Callable[[Played], None]
    note: Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Theatre:
    """A running chain and database server, and where files go."""

    chain: Localnet
    server_dsn: str
    directory: Path

    def left_running(self, played: Sequence[Played]) -> dict[str, str]:
        """How to reach what was left running."""
        common = left_running(self.chain, self.directory)
        first = played[0]
        return {
            "chain": common["chain"],
            **{f"database of {p.scenario.name}": f"psql '{p.dsn}'" for p in played},
            "look around": f"export TIEOUT_DSN='{first.dsn}' TIEOUT_RPC_URL={self.chain.url}; tieout reconcile history",
            "files": str(self.directory),
            "end it": common["end it"],
        }


@asynccontextmanager
async def theatre(audience: Audience, *, keep: bool = False) -> AsyncIterator[Theatre]:
    """Start a chain and a database server; both are gone at the end unless ``keep``. Raises UsageProblem."""
    async with workspace("scenario", keep=keep) as directory:
        audience.note("starting the embedded Postgres and a local chain")
        async with postgres(directory, keep=keep) as dsn, localnet(directory, *_CHAIN, keep=keep) as chain:
            yield Theatre(chain, dsn, directory)


async def play(scenario: Scenario, house: Theatre, audience: Audience) -> Played:
    """Play one scenario and compare what it found with what it told. Raises what its parts raise."""
    from tieout_client import connect

    started = time.monotonic()
    audience.begins(scenario)
    folder = house.directory / scenario.name
    folder.mkdir()
    dsn = await copied(house.server_dsn, scenario.name)
    heard = Heard(audience.step, audience.run)
    stage = Stage(zlib.crc32(scenario.name.encode()), house.chain.url, dsn, folder, heard)
    async with connect(house.chain.url, stage.signer("payer"), stage.authorities()) as issuer:
        await stage.enter(issuer)
        stopped = await _played(scenario, stage)
    found = heard.telling
    seconds = round(time.monotonic() - started, 1)
    wrong = (*stopped, *differences(scenario.telling, found))
    played = Played(scenario, tuple(heard.steps), found, wrong, dsn, seconds)
    audience.ends(played)
    return played


async def _played(scenario: Scenario, stage: Stage) -> tuple[str, ...]:
    """Play to the end, or to where it stopped; returns why it did."""
    try:
        await scenario.play(stage)
    except Stuck as stopped:
        return (f"the story stopped: {stopped}",)
    return ()
