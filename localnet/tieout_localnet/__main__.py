"""The command line: up, down, status, reset, logs, and serve (what up starts)."""

import argparse
import asyncio
import json
import logging
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from tieout_localnet import control, instances, ledger_dir
from tieout_localnet.control import Outcome
from tieout_localnet.instances import Options

DEFAULT_PORT = 8899
PORT_MAX = 65_534
SLOT_MS_MAX = 3_600_000
DEPTH_MAX = 250
LEADERS_MAX = 1_000


def number(least: int, most: int) -> Callable[[str], int]:
    """A parser for whole numbers in a range."""

    def parse(text: str) -> int:
        try:
            value = int(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number") from error
        if not least <= value <= most:
            raise argparse.ArgumentTypeError(f"{value} is not between {least} and {most}")
        return value

    return parse


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="localnet.sh", description="A local Solana validator for development.", allow_abbrev=False
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="up|down|status|reset|logs")
    up = commands.add_parser("up", help="start, and return when it answers")
    serve = commands.add_parser("serve", help="run in the foreground")
    down = commands.add_parser("down", help="stop; the chain stays on disk")
    status = commands.add_parser("status", help="pid, ports, slot, ledger; exit 1 when not running")
    reset = commands.add_parser("reset", help="forget the chain; start again if it was running")
    logs = commands.add_parser("logs", help="the end of the log")
    for each in (up, down, status, reset, logs, serve):
        each.add_argument(
            "--port", type=number(1, PORT_MAX), default=DEFAULT_PORT, help="RPC; WebSocket is +1"
        )
    for each in (up, down, status, reset, logs):
        each.add_argument("--json", action="store_true", help="print one JSON object")
    for each in (up, reset, serve):
        each.add_argument("--ledger", metavar="DIR", help="where the chain is kept")
    _chain_arguments(up)
    _chain_arguments(serve)
    up.add_argument("--validator", choices=("embedded", "agave", "surfpool"), default="embedded")
    logs.add_argument("--follow", "-f", action="store_true", help="go on printing")
    logs.add_argument("--lines", "-n", type=number(1, 1_000_000), default=control.LOG_TAIL_LINES)
    return parser


def _chain_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--slot-ms", type=number(1, SLOT_MS_MAX), default=400, help="length of a slot")
    parser.add_argument("--manual", action="store_true", help="make slots by localnet_advance only")
    parser.add_argument("--confirmed-depth", type=number(1, DEPTH_MAX), default=1, metavar="N")
    parser.add_argument("--seed", type=number(0, 2**64 - 1), metavar="N", help="of a new chain and of chaos")
    parser.add_argument("--chaos", metavar="FILE.toml", help="rules of misbehaviour")
    parser.add_argument("--leaders", type=number(1, LEADERS_MAX), default=1, metavar="N", help="take turns")
    parser.add_argument("--token-program", choices=("p-token", "classic"), default="p-token")
    parser.add_argument("--block-subscribe", action="store_true", help="offer blockSubscribe")
    parser.add_argument("--vote-subscribe", action="store_true", help="offer voteSubscribe")
    for flag, what in (("--account", "of a new chain, from JSON"), ("--program", "of a new chain, an .so")):
        parser.add_argument(
            flag, nargs=2, metavar=("ADDRESS", "FILE"), action="append", default=[], help=what
        )
    parser.add_argument("--account-dir", metavar="DIR", action="append", default=[])
    parser.add_argument("--finalized-depth", type=number(1, DEPTH_MAX), default=31, metavar="N")


def _options(arguments: argparse.Namespace) -> Options:
    ledger = arguments.ledger or str(instances.default_ledger(arguments.port))
    return Options(
        port=arguments.port,
        ledger=str(Path(ledger).resolve()),
        host=arguments.host,
        slot_ms=arguments.slot_ms,
        manual=arguments.manual,
        validator=getattr(arguments, "validator", "embedded"),
        confirmed_depth=arguments.confirmed_depth,
        finalized_depth=arguments.finalized_depth,
        seed=arguments.seed,
        chaos=None if arguments.chaos is None else str(Path(arguments.chaos).resolve()),
        leaders=arguments.leaders,
        token_program=arguments.token_program,
        block_subscribe=arguments.block_subscribe,
        vote_subscribe=arguments.vote_subscribe,
        accounts=tuple((address, str(Path(file).resolve())) for address, file in arguments.account),
        account_dirs=tuple(str(Path(directory).resolve()) for directory in arguments.account_dir),
        programs=tuple((address, str(Path(file).resolve())) for address, file in arguments.program),
    )


def _serve(options: Options) -> int:
    from tieout_localnet.chaos import BadRule
    from tieout_localnet.node import NodeOptions, serve
    from tieout_localnet.preload import BadFile, Preload
    from tieout_localnet.store import LedgerUnusable

    logging.basicConfig(
        level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    node = NodeOptions(
        options.host,
        options.port,
        Path(options.ledger),
        options.slot_ms,
        options.manual,
        options.confirmed_depth,
        options.finalized_depth,
        options.seed,
        None if options.chaos is None else Path(options.chaos),
        options.leaders,
        options.token_program == "classic",
        frozenset(["block"] * options.block_subscribe + ["vote"] * options.vote_subscribe),
        Preload(options.accounts, options.account_dirs, options.programs),
    )
    try:
        ledger_dir.claim(node.ledger)
        asyncio.run(serve(node))
    except (LedgerUnusable, BadFile, BadRule, ledger_dir.NotOurs, OSError) as error:
        print(f"{error}.", file=sys.stderr)
        return 2
    return 0


def _logs(port: int, lines: int, follow: bool) -> int:
    path = instances.log_file(port)
    if not path.exists():
        print(f"There is no log for port {port}.", file=sys.stderr)
        return 1
    print(control.log_tail(port, lines), flush=True)
    if not follow:
        return 0
    with path.open(errors="replace") as log:
        log.seek(0, 2)
        while True:
            text = log.read()
            if text:
                print(text, end="", flush=True)
            time.sleep(0.2)


def _run(arguments: argparse.Namespace) -> Outcome:
    if arguments.command == "up":
        return control.up(_options(arguments))
    if arguments.command == "down":
        return control.down(arguments.port)
    if arguments.command == "status":
        return control.status(arguments.port)
    if arguments.command == "logs":
        tail = control.log_tail(arguments.port, arguments.lines)
        return Outcome(0, tail, {"port": arguments.port, "log": tail})
    ledger = str(Path(arguments.ledger).resolve()) if arguments.ledger else None
    return control.reset(arguments.port, ledger)


def _report(command: str, outcome: Outcome, as_json: bool) -> None:
    if as_json:
        shown = {"schema": f"tieout/localnet-{command}/1", "status": outcome.status, "message": outcome.text}
        print(json.dumps({**shown, **outcome.facts}))
    else:
        print(outcome.text, file=sys.stdout if outcome.status == 0 or command == "status" else sys.stderr)


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit status."""
    arguments = _parser().parse_args(argv)
    try:
        if arguments.command == "serve":
            return _serve(_options(arguments))
        if arguments.command == "logs" and not arguments.json:
            return _logs(arguments.port, arguments.lines, arguments.follow)
        outcome = _run(arguments)
    except KeyboardInterrupt:
        return 4
    _report(arguments.command, outcome, arguments.json)
    return outcome.status


if __name__ == "__main__":
    sys.exit(main())
