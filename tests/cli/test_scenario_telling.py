"""What a scenario tells, and the commands around it; that the stories are true is ``test_scenarios``'s."""

import json
import re
from dataclasses import replace
from fractions import Fraction

import pytest

from cli.conftest import Cli
from support.paths import ROOT
from tieout.scenarios import SCENARIOS
from tieout.scenarios.telling import Fact, Line, Moment, Telling, differences, noticed, told

MINTED = told("C1", 3, "the mint")
SHORT = told("B1", -3, "AAPLx")
TELLING = Telling((Moment("open", "ties_out"), Moment("close", "does_not_tie_out", (SHORT, MINTED))), (Fact("n", 1),))


def with_close(*lines: Line, verdict: str = "does_not_tie_out") -> Telling:
    return replace(TELLING, moments=(TELLING.moments[0], Moment("close", verdict, lines)))


def test_what_is_found_as_it_was_told_is_no_difference_in_whatever_order() -> None:
    assert differences(TELLING, with_close(MINTED, SHORT)) == []


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (with_close(SHORT), ["close: told and not found: C1 of 3 shares at the mint"]),
        (with_close(SHORT, MINTED, MINTED), ["close: found and not told: C1 of 3 shares at the mint"]),
        (
            with_close(SHORT, told("C1", "3.00000001", "the mint")),
            ["close: told and not found: C1 of 3 shares at the mint",
             "close: found and not told: C1 of 3.00000001 shares at the mint"],
        ),
        (
            with_close(SHORT, told("C1", 3, "REQ-1")),
            ["close: told and not found: C1 of 3 shares at the mint",
             "close: found and not told: C1 of 3 shares at REQ-1"],
        ),
        (
            with_close(SHORT, noticed("C1", 3, "the mint")),
            ["close: told and not found: C1 of 3 shares at the mint",
             "close: found and not told: C1 of 3 shares at the mint (a notice)"],
        ),
        (
            with_close(SHORT, Line("C1", Fraction(3), "the mint", "raw")),
            ["close: told and not found: C1 of 3 shares at the mint",
             "close: found and not told: C1 of 3 raw at the mint"],
        ),
        (
            with_close(SHORT, MINTED, verdict="incomplete"),
            ["close: the verdict is incomplete, told was does_not_tie_out"],
        ),
        (replace(TELLING, facts=()), ["told and not found: n = 1"]),
        (replace(TELLING, facts=(Fact("n", 2),)), ["told and not found: n = 1", "found and not told: n = 2"]),
        (Telling(TELLING.moments[:1]), ["told were the moments open, close; found were open"]),
        (Telling(()), ["told were the moments open, close; found were none"]),
    ],
)  # fmt: skip
def test_whatever_is_missing_surplus_or_other_is_said(found: Telling, said: list[str]) -> None:
    assert differences(TELLING, found) == said


def test_each_scenario_is_named_in_kebab_case_and_tells_a_verdict_a_purpose_and_its_case() -> None:
    assert len(SCENARIOS) >= 18
    for name, scenario in SCENARIOS.items():
        assert name == scenario.name
        assert re.fullmatch(r"[a-z]+(-[a-z]+)*", name)
        assert all((scenario.purpose, scenario.concerns, scenario.mirrors))
        assert "\n" not in scenario.purpose
        assert scenario.telling.moments


def test_the_how_to_has_a_row_for_each() -> None:
    page = (ROOT / "docs" / "how-to-scenarios.md").read_text("utf-8")
    assert re.findall(r"^\| `([a-z-]+)` \|", page, re.MULTILINE) == [*SCENARIOS]


async def test_list_shows_each_with_its_purpose(cli: Cli) -> None:
    done = await cli("scenario", "list", "--json")
    assert done.code == 0
    data = json.loads(done.out)
    assert data["schema"] == "tieout/scenario-list/1"
    assert {s["name"]: s["purpose"] for s in data["scenarios"]} == {n: s.purpose for n, s in SCENARIOS.items()}
    shown = await cli("scenario", "list")
    assert all(name in shown.out for name in SCENARIOS)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("unbaked-mint",), "there is no scenario 'unbaked-mint': did you mean unbacked-mint"),
        (("day-in-balance", "bridge"), "did you mean bridge-"),
        (("zzzzzzzzz",), "tieout scenario list shows them"),
        ((), "name the scenarios to play, or --all"),
        (("--all", "seizure"), "name the scenarios to play, or --all"),
        (("--no-such-option",), "tieout --help"),
    ],
)
async def test_an_unknown_name_or_none_is_2_with_what_is_near(cli: Cli, arguments: tuple[str, ...], said: str) -> None:
    done = await cli("scenario", "run", *arguments, "--json")
    error = json.loads(done.out)
    assert (done.code, error["schema"]) == (2, "tieout/scenario/1")
    assert said in error["error"]["message"]
