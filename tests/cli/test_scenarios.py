"""The scenarios, played: each finds exactly what it told, and one that is not so is a difference.

A few run with the other tests; ``make chaos`` (TIEOUT_CHAOS_SEEDS) plays all of them.
"""

import asyncio
import os
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from support.command import tieout
from support.database import query
from support.paths import LOCALNET, ROOT
from tieout.scenarios import SCENARIOS
from tieout.scenarios.running import Audience, play, theatre
from tieout.scenarios.stage import Stage, Stuck
from tieout.scenarios.telling import Moment, Telling

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(not (LOCALNET.parent / "localnet" / ".venv").exists(), reason="the localnet: make setup"),
]
FEW = ("dividend-reinvested", "treasury-raid", "missed-slots")
CHOSEN = [*SCENARIOS] if "TIEOUT_CHAOS_SEEDS" in os.environ else FEW


def quiet(*_: Any) -> None:
    pass


AUDIENCE = Audience(quiet, quiet, quiet, quiet, quiet)


async def gets_stuck(stage: Stage) -> None:
    await stage.list_instrument(1)
    raise Stuck("the other shoe did not drop")


async def test_each_finds_exactly_what_it_told_and_one_told_wrongly_does_not(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    tmp_path.chmod(0o755)
    raid = SCENARIOS["treasury-raid"]
    # the same telling over a story in which nothing goes wrong, and over one that does not end
    harmless = replace(raid, name="harmless", play=SCENARIOS["seizure"].play)
    unending = replace(raid, name="unending", telling=Telling((Moment("the close", "ties_out"),)), play=gets_stuck)
    async with theatre(AUDIENCE) as house:
        played = [await play(SCENARIOS[name], house, AUDIENCE) for name in CHOSEN]
        wrong, stuck = await play(harmless, house, AUDIENCE), await play(unending, house, AUDIENCE)
        runs = await query(played[0].dsn, "select verdict from recon.runs order by run")
    assert {p.scenario.name: p.differences for p in played} == dict.fromkeys(CHOSEN, ())
    assert [r["verdict"] for r in runs] == [m.verdict for m in played[0].scenario.telling.moments]
    assert not wrong.as_told
    assert wrong.differences[:3] == (
        "the close: the verdict is ties_out, told was does_not_tie_out",
        "the close: told and not found: B1 of -2 shares at AAPLx",
        "the close: told and not found: C5 of 12 shares at REQ-1",
    )
    assert stuck.differences[0] == "the story stopped: the other shoe did not drop"
    assert list(tmp_path.glob("tieout-scenario-*")) == []


async def test_a_kept_scenario_can_be_looked_at_and_ends_as_it_says(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    done = await tieout("scenario", "run", "unbacked-mint", "--keep", "--json", TMPDIR=str(tmp_path))
    assert done.code == 0, done.out + done.err
    assert done.json["schema"] == "tieout/scenario/1"
    (scenario,) = done.json["scenarios"]
    assert scenario["as_told"]
    assert scenario["found"] == scenario["told"]
    assert any("straight to an outsider" in step["text"] for step in scenario["story"])
    left = done.json["left_running"]
    try:
        dsn = left["database of unbacked-mint"].split("'")[1]
        breaks = await query(dsn, "select code, shares from recon.breaks where run = 1 order by code")
        again = await tieout("reconcile", "show", "1", "--dsn", dsn, "--json")
    finally:
        environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
        ending = await asyncio.create_subprocess_exec("bash", "-ec", left["end it"], cwd=ROOT, env=environment)
        code = await asyncio.wait_for(ending.wait(), 60)
    assert [(b["code"], b["shares"]) for b in breaks] == [("B1", -3), ("C1", 3)]
    assert (again.code, code) == (1, 0)
    assert list(tmp_path.glob("tieout-scenario-*")) == []
    deadline = time.monotonic() + 20
    while left_over := [p for p in Path("/proc").glob("[0-9]*/cmdline") if str(tmp_path).encode() in _read(p)]:
        assert time.monotonic() < deadline, left_over
        await asyncio.sleep(0.1)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""  # it ended meanwhile
