"""The docs keep their word: the tutorial runs, links lead somewhere, commands and views exist."""

import asyncio
import os
import re
import sys
from pathlib import Path

import pytest
import typer

from docs import commands
from support.chains import free_ports
from support.command import tieout
from support.database import query
from support.paths import ROOT
from tieout import exits
from tieout.issuer import DeskSettings
from tieout.main import APP
from tieout.settings import ControlSettings
from tieout_reconcile.findings import NAMES

DOCS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


async def test_the_tutorial_runs_as_it_is_written(tmp_path: Path) -> None:
    if not (ROOT / "localnet" / ".venv").exists():
        pytest.skip("the localnet is not installed: make setup")
    text = (ROOT / "docs" / "tutorial.md").read_text("utf-8")
    script = "set -euo pipefail\n" + "\n".join(re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL))
    script = script.replace("18899", str(free_ports()))
    home = tmp_path / "home"
    tmp_path.chmod(0o755)
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("TIEOUT", "PG"))}
    environment |= {
        "TIEOUT": str(ROOT),
        "TIEOUT_HOME": str(home),
        "TIEOUT_LOCALNET_HOME": str(tmp_path / "instances"),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }
    work = tmp_path / "work"
    work.mkdir()
    process = await asyncio.create_subprocess_exec(
        "bash", "-c", script, cwd=work, env=environment,
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    out, _ = await asyncio.wait_for(process.communicate(), 180)
    said = out.decode()
    if process.returncode != 0:
        await tieout("db", "stop", TIEOUT_HOME=str(home))
    assert process.returncode == 0, said
    assert "ties out" in said
    assert "0 shares, 0 raw" in said
    assert re.search(r"C1 +AAPLx +10 shares", said), said


@pytest.mark.parametrize("path", DOCS, ids=lambda p: str(p.relative_to(ROOT)))
def test_relative_links_lead_to_files(path: Path) -> None:
    targets = re.findall(r"\]\((?!https?:)([^)#]+)[^)]*\)", path.read_text("utf-8"))
    missing = [target for target in targets if not (path.parent / target).exists()]
    assert missing == []


async def test_every_command_of_the_reference_exists() -> None:
    text = (ROOT / "docs" / "reference.md").read_text("utf-8")
    named = set(re.findall(r"`tieout ([a-z]+)", text.split("### Exit codes")[0]))
    done = await tieout("--help")
    listed = set(re.findall(r"^  ([a-z]+) ", done.out.split("Commands:")[1], re.MULTILINE))
    assert done.code == 0
    assert named == listed


def test_the_page_of_commands_is_what_the_commands_say_of_themselves() -> None:
    assert commands.PAGE.read_text("utf-8") == commands.page(), "run: python tests/docs/commands.py"


def test_every_argument_and_flag_of_every_command_has_a_word_of_help() -> None:
    silent = [
        (" ".join(words), p.name)
        for words, command in commands.leaves(typer.main.get_command(APP))
        for p in command.params
        if not (p.help or "").strip()
    ]
    assert silent == []


def test_every_setting_code_of_a_break_and_exit_code_is_in_the_docs() -> None:
    reference = (ROOT / "docs" / "reference.md").read_text("utf-8")
    breaks = (ROOT / "docs" / "explanation" / "breaks.md").read_text("utf-8")
    settings = {*DeskSettings.model_fields, *ControlSettings.model_fields} - {"control"}
    assert [name for name in sorted(settings) if f"`{name}`" not in reference] == []
    assert [code for code, name in NAMES.items() if f"{code} {name}" not in breaks] == []
    table = reference.split("### Exit codes")[1].split("## ")[0]
    listed = {int(code) for code in re.findall(r"^\| (\d+) \|", table, re.MULTILINE)}
    assert listed == {exits.DONE, exits.FINDING, exits.USAGE, exits.UNREACHABLE, exits.INTERRUPTED, exits.DEFECT}


async def test_every_view_is_in_the_reference(dsn: str) -> None:
    text = (ROOT / "docs" / "reference.md").read_text("utf-8")
    views = await query(
        dsn,
        "select schemaname as schema, viewname as name from pg_views "
        "where schemaname in ('ledger', 'recon', 'access', 'audit') order by 1, 2",
    )
    assert len(views) > 60
    missing = [f"{v['schema']}.{v['name']}" for v in views if not re.search(rf"`({v['schema']}\.)?{v['name']}`", text)]
    assert missing == []


async def test_every_function_of_the_reference_exists(dsn: str) -> None:
    text = (ROOT / "docs" / "reference.md").read_text("utf-8").split("## SQL: schema `ledger`")[1]
    named = set(re.findall(r"`(ledger|audit)\.([a-z_0-9]+)\(", text))
    assert len(named) > 6
    for schema, name in named:
        found = await query(
            dsn,
            "select from pg_proc where pronamespace = $1::text::regnamespace and proname = $2",
            schema,
            name,
        )
        assert found, f"{schema}.{name}"


async def test_the_views_of_the_reference_have_the_columns_that_it_lists(dsn: str) -> None:
    text = (ROOT / "docs" / "reference.md").read_text("utf-8")
    rows = re.findall(
        r"^\| `([a-z_]+)` \| [^|]+ \| ([^|]+) \|$",
        text.split("## SQL: schema `ledger`")[1].split("| function")[0],
        re.M,
    )
    assert len(rows) == 28
    for view, listed in rows:
        columns = [
            r["column_name"]
            for r in await query(
                dsn,
                "select column_name from information_schema.columns where table_schema = 'ledger' and table_name = $1 "
                "order by ordinal_position",
                view,
            )
        ]
        assert columns, view
        if not listed.startswith("as `events`"):
            assert [re.sub(r" \(.*?\)", "", c).strip() for c in re.split(r",(?![^(]*\))", listed)] == columns, view
