"""``docs/commands.md`` from the commands themselves: every command, argument and flag, as ``--help`` tells them.

``python tests/docs/commands.py`` writes it; a test holds it to what ``--help`` says.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from tieout.main import APP

PAGE = Path(__file__).parents[2] / "docs" / "commands.md"
HEAD = """# Commands, flag by flag

What `--help` says of each command; this page is made from it (`make docs`). The [reference](reference.md) says what \
each command is for, with files, settings and views.

Flags that mean the same everywhere: `--json` prints one JSON object (all commands but `index run`, `control run` and \
`serve`), `--dsn` names the database (without a password; `TIEOUT_DSN`, or the embedded one), `--rpc-url` a node, \
several to fail over (`TIEOUT_RPC_URL`), `--keypair` the fee payer's key file (`TIEOUT_KEY`), `--keys` the folder of \
role keys, `--signer` a member's key file who signs for a multisig, `--help` the text below.
"""
EVERYWHERE = {"--json", "--dsn", "--rpc-url", "--keypair", "--keys", "--signer"}


def leaves(node: Any, words: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Return each command with its words, groups left out, in the order of ``--help``."""
    children = getattr(node, "commands", None)
    if not children:
        yield words, node
        return
    for name, child in children.items():
        yield from leaves(child, (*words, name))


def page() -> str:
    """Return the page."""
    parts = [HEAD]
    for words, command in leaves(typer.main.get_command(APP)):
        parts.append(f"## tieout {' '.join(words)}\n\n{_section(words, command)}")
    return "\n".join(parts)


def _section(words: tuple[str, ...], command: Any) -> str:
    arguments = [p for p in command.params if p.param_type_name == "argument"]
    options = [p for p in command.params if p.param_type_name == "option" and p.name != "help"]
    shared = [p.opts[0] for p in options if p.opts[0] in EVERYWHERE]
    synopsis = " ".join(["tieout", *words, *(_argument(a) for a in arguments)])
    lines = [f"`{synopsis}`", "", _paragraphs(command.help), ""]
    lines += [f"- `{_argument(a)}` {_sentence(a.help)}" for a in arguments if a.help]
    lines += [_option(o) for o in options if o.opts[0] not in EVERYWHERE]
    lines += [f"- also {', '.join(f'`{name}`' for name in shared)}"] if shared else []
    return "\n".join(lines).rstrip() + "\n"


def _paragraphs(text: str) -> str:
    return "\n\n".join(" ".join(part.split()) for part in text.split("\n\n"))


def _argument(argument: Any) -> str:
    name = argument.name.upper() + ("…" if argument.nargs == -1 else "")
    return name if argument.required else f"[{name}]"


def _option(option: Any) -> str:
    names = "`, `".join([*option.opts, *option.secondary_opts])
    notes = ["required"] if option.required else []
    notes += ["may be given several times"] if option.multiple else []
    if option.default not in (None, False, "") and not option.required:
        shown = option.opts[0] if option.default is True else option.default
        notes.append(f"default `{shown}`")
    return f"- `{names}` {_sentence(option.help)}" + (f" ({', '.join(notes)})" if notes else "")


def _sentence(text: str | None) -> str:
    return " ".join((text or "").split())


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
