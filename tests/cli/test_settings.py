"""tieout.toml, overridden by TIEOUT_…, overridden by flags; a wrong value is named."""

import json
from pathlib import Path

import pytest

from cli.conftest import Cli
from rpc.nodes import closed_port


async def database_of(cli: Cli, *flags: str) -> str:
    """The name of the database that a command reads."""
    done = await cli("db", "status", "--json", *flags)
    assert done.code == 0, done.err
    return str(json.loads(done.out)["dsn"])


async def test_the_environment_names_the_database(cli: Cli, dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIEOUT_DSN", dsn)
    assert await database_of(cli) == dsn


async def test_the_file_in_the_working_directory_names_the_database(cli: Cli, dsn: str, tmp_path: Path) -> None:
    (tmp_path / "tieout.toml").write_text(f'dsn = "{dsn}"\n')
    assert await database_of(cli) == dsn


async def test_the_environment_wins_over_the_file_and_a_flag_over_both(
    cli: Cli, dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tieout.toml").write_text('dsn = "postgresql://u@file.invalid/d"\n')
    monkeypatch.setenv("TIEOUT_DSN", dsn)
    assert await database_of(cli) == dsn
    monkeypatch.setenv("TIEOUT_DSN", "postgresql://u@environment.invalid/d")
    assert await database_of(cli, "--dsn", dsn) == dsn


async def test_a_password_in_the_environment_is_taken_and_not_shown(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    async with closed_port() as url:
        monkeypatch.setenv("TIEOUT_DSN", f"postgresql://u:QZX987@127.0.0.1:{url.rpartition(':')[2]}/d")
        done = await cli("db", "status")
    assert done.code == 3
    assert "u:***@" in done.err
    assert "QZX987" not in done.err


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("window_slots_max = 'many'", "window_slots_max"),
        ("window_slots_max = 0", "window_slots_max"),
        ("fetches_in_flight_max = -1", "fetches_in_flight_max"),
        ("poll_interval_s = 0", "poll_interval_s"),
        ("poll_interval_s = nan", "poll_interval_s"),
        ("dsn = 5", "dsn"),
        ("dsn = ", "tieout.toml"),
        ("\udcff", "tieout.toml"),
    ],
)
async def test_a_wrong_value_in_the_file_is_named(cli: Cli, tmp_path: Path, text: str, named: str) -> None:
    (tmp_path / "tieout.toml").write_bytes(text.encode("utf-8", "surrogateescape"))
    done = await cli("index", "status")
    assert done.code == 2, done
    assert named in done.err
    assert len(done.err.splitlines()) == 1


async def test_a_wrong_value_in_the_environment_is_named(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIEOUT_POLL_INTERVAL_S", "soon")
    done = await cli("index", "status")
    assert done.code == 2
    assert "poll_interval_s" in done.err
    assert "'soon'" in done.err
