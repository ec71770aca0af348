"""The command line: runs the Typer application, turns every outcome into its exit code."""

import os
import sys
import tempfile
import traceback
from datetime import UTC, datetime
from functools import cache
from io import TextIOWrapper
from pathlib import Path
from typing import Annotated, Any, TextIO

import typer
from typer.exceptions import TyperException

from tieout import commands, exits
from tieout.output import OUTPUT

APP = typer.Typer(
    name="tieout",
    help="Tells, to the last raw unit, whether every tokenized share on Solana is backed by a share in custody.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"tieout {version('tieout')}")
        raise typer.Exit


@APP.callback()
def _main(
    show_version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    pass


commands.register(APP)

_NAMED_OTHERWISE = {"scenario-run": "scenario"}
"""What a scenario tells is a document of its own, whoever plays it."""
_TYPER_INTERRUPTED = 130
"""What Typer makes of Ctrl-C."""


def run_to_code(arguments: list[str], *, interrupted: bool = False) -> int:
    """Run the command line; return the exit code. ``interrupted``: before it could begin."""
    # whoever starts us may have closed them: then nobody reads, and that is no reason to fail either
    sys.stdout, sys.stderr = (stream or _nowhere() for stream in (sys.stdout, sys.stderr))
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            # A name that the terminal's encoding lacks is shown escaped; it is no reason to fail.
            stream.reconfigure(errors="backslashreplace")
    try:
        OUTPUT.start(_command_name(arguments), "--json" in arguments)
        if interrupted:
            return _interrupted()
        code = _program()(args=arguments, prog_name="tieout", standalone_mode=False)
    except TyperException as wrong:
        return _misused(wrong)
    except (typer.Abort, KeyboardInterrupt):
        return _interrupted()
    except exits.Found:
        return exits.FINDING
    except BrokenPipeError:
        return _unread()
    except SystemExit as left:
        # Typer's own way out of a broken pipe.
        return _unread() if isinstance(left.__context__, BrokenPipeError) else _failed(left)
    except BaseException as error:  # noqa: BLE001  the last line of defence
        return _failed(error)
    if code == _TYPER_INTERRUPTED:
        return _interrupted()
    return code if isinstance(code, int) else exits.DONE


def _unread() -> int:
    # Who reads us stopped reading: nothing more can be said, and nothing is wrong.
    sys.stdout = _nowhere()
    return exits.DONE


def _nowhere() -> TextIO:
    return open(os.devnull, "w", encoding="utf-8")  # until the process ends


def _interrupted() -> int:
    OUTPUT.error("interrupted", exits.INTERRUPTED)
    return exits.INTERRUPTED


def _misused(wrong: TyperException) -> int:
    show = getattr(wrong, "show", None)
    if type(wrong).__name__ == "NoArgsIsHelpError" and show is not None and not OUTPUT.json:
        show()
    else:
        OUTPUT.error(f"{wrong.format_message()} (tieout --help lists what there is)", exits.USAGE)
    return exits.USAGE


@cache
def _program() -> Any:
    # building all the commands takes longer than most of them do: once
    return typer.main.get_command(APP)


def _command_name(arguments: list[str]) -> str:
    """``index backfill`` → ``index-backfill``, as the JSON schema names it."""
    node: Any = _program()
    words = []
    for argument in arguments:
        node = getattr(node, "commands", {}).get(argument)
        if node is None:
            break
        words.append(argument)
    name = "-".join(words) or "tieout"
    return _NAMED_OTHERWISE.get(name, name)


def _failed(error: BaseException) -> int:
    if isinstance(error, ImportError) and (hint := exits.missing_extra(error)):
        OUTPUT.error(hint, exits.USAGE)
        return exits.USAGE
    code = exits.exit_code(error)
    if code is not None:
        OUTPUT.error(exits.sentence(error), code)
        return code
    where = _keep_traceback(error)
    OUTPUT.error(
        f"a defect of tieout: {type(error).__name__}; what led to it is in {where}, please report it", exits.DEFECT
    )
    return exits.DEFECT


def _keep_traceback(error: BaseException) -> Path:
    from tieout_database import redact_dsn

    text = "".join(redact_dsn(line) for line in traceback.format_exception(error))
    name = f"{datetime.now(UTC):%Y%m%dT%H%M%S%f}.txt"
    home = Path(os.environ.get("TIEOUT_HOME", "~/.local/state/tieout")).expanduser() / "defects"
    try:
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
        path = home / name
        path.write_text(text, "utf-8", "backslashreplace")
    except OSError:
        path = Path(tempfile.mkdtemp(prefix="tieout-defect-")) / name
        path.write_text(text, "utf-8", "backslashreplace")
    return path
