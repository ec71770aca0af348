"""``tieout scenario``: stories played on a local chain, each of which says beforehand what must be found."""

import difflib
from typing import Annotated, Any

import typer
from rich.text import Text

from tieout import exits
from tieout.commands.options import Json, group, run
from tieout.output import OUTPUT
from tieout.run_tables import verdict

APP = group("Stories played on a local chain: each says what must be found, and compares.")


@APP.command("list")
def list_(as_json: Json = False) -> None:
    """List the scenarios: what each shows, and whom it concerns."""
    from tieout.scenarios import SCENARIOS
    from tieout.scenarios.running import described

    known = SCENARIOS.values()
    shown = (Text.assemble((s.name, "bold"), f"\n  {s.purpose}\n  for: {s.concerns}") for s in known)
    OUTPUT.result({"scenarios": [described(s) for s in known]}, *shown)


@APP.command("run")
def run_(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="NAME…", help="As tieout scenario list has them.")
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="Play all of them, one after another.")] = False,
    keep: Annotated[
        bool, typer.Option("--keep", help="Leave chain and databases running, and say how to reach them.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Play scenarios on a real local chain, indexed, reconciled, and compared with what each told beforehand.

    Exit 0 only if everything found is exactly what was told; 1 otherwise, with the difference.
    """
    chosen = _chosen(names or [], every)
    data = run(_run(chosen, keep))
    OUTPUT.result(data, *_last_words(data))
    if not data["as_told"]:
        raise exits.Found


def _chosen(names: list[str], every: bool) -> list[Any]:
    from tieout.scenarios import SCENARIOS

    if every == bool(names):
        raise exits.UsageProblem("name the scenarios to play, or --all: tieout scenario list shows them")
    for name in names:
        if name not in SCENARIOS:
            near = difflib.get_close_matches(name, SCENARIOS, n=3, cutoff=0.4)
            hint = f"did you mean {' or '.join(near)}?" if near else "tieout scenario list shows them"
            raise exits.UsageProblem(f"there is no scenario {name!r}: {hint}")
    return list(SCENARIOS.values()) if every else [SCENARIOS[name] for name in dict.fromkeys(names)]


async def _run(chosen: list[Any], keep: bool) -> dict[str, Any]:
    from tieout.scenarios.running import Audience, play, theatre

    audience = Audience(_begins, _step, _shown, _ends, _note)
    async with theatre(audience, keep=keep) as house:
        played = [await play(scenario, house, audience) for scenario in chosen]
        return {
            "as_told": all(p.as_told for p in played),
            "scenarios": [p.to_json() for p in played],
            "left_running": house.left_running(played) if keep else None,
        }


def _begins(scenario: Any) -> None:
    OUTPUT.heading(scenario.name)
    if not OUTPUT.json:
        for line in (scenario.purpose, f"for: {scenario.concerns}", f"the case: {scenario.mirrors}"):
            OUTPUT.out.print(Text(line, style="italic"))


def _step(step: Any) -> None:
    if not OUTPUT.json:
        OUTPUT.out.print(Text.assemble((f"{step.at:%a %Y-%m-%d %H:%M:%S}  ", "dim"), step.text))


def _shown(done: Any, moment: Any) -> None:
    if OUTPUT.json:
        return
    OUTPUT.out.print(Text.assemble("  tieout: ", verdict(moment.verdict)))
    for instrument in done.instruments:
        for reason in instrument.reasons:
            OUTPUT.out.print(f"  {reason}", markup=False)
    for line in moment.lines:
        OUTPUT.out.print(f"  {line}", markup=False)


def _ends(played: Any) -> None:
    if OUTPUT.json:
        return
    for fact in played.found.facts:
        OUTPUT.out.print(f"  {fact.what}: {fact.value}", markup=False)
    if played.as_told:
        said = Text.assemble(("✓ ", "bold green"), f"found exactly what was told, in {played.seconds} s")
    else:
        said = Text.assemble(("✗ ", "bold red"), f"found something else than was told, in {played.seconds} s")
    OUTPUT.out.print(said)
    for difference in played.differences:
        OUTPUT.out.print(f"  {difference}", markup=False)


def _note(text: str) -> None:
    if not OUTPUT.json:
        OUTPUT.err.print(f"· {text}", style="dim", markup=False)


def _last_words(data: dict[str, Any]) -> list[Any]:
    done = data["scenarios"]
    lines: list[Any] = ["", f"{sum(s['as_told'] for s in done)} of {len(done)} scenarios went as told"]
    if data["left_running"]:
        lines.append(Text("\nleft running", style="bold"))
        lines += [Text(f"  {what:<12}  {how}") for what, how in data["left_running"].items()]
    return lines
