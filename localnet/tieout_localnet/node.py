"""The process: one ledger, one validator, one ticker, two listening ports, until told to stop."""

import asyncio
import fcntl
import logging
import signal
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO

from aiohttp import web

from tieout_localnet import genesis
from tieout_localnet.chaos import Book, Twin, load
from tieout_localnet.chaos.slots import Producer
from tieout_localnet.clock import ChainClock
from tieout_localnet.engine import Engine
from tieout_localnet.forks import Forks
from tieout_localnet.ledger_dir import LEDGER_FILE, LOCK_FILE
from tieout_localnet.preload import Preload
from tieout_localnet.rpc import Context
from tieout_localnet.server import HttpApi, WebSocketApi
from tieout_localnet.store import LedgerUnusable, Store
from tieout_localnet.subscriptions import Hub
from tieout_localnet.ticker import SlotTicker
from tieout_localnet.twin import LaggingValidator, LateHub
from tieout_localnet.validator import Validator

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class NodeOptions:
    """How to run a node."""

    host: str
    port: int
    ledger: Path
    slot_ms: int
    manual: bool
    confirmed_depth: int
    finalized_depth: int
    seed: int | None = None
    chaos: Path | None = None
    leaders: int = 1
    classic_token: bool = False
    subscriptions: frozenset[str] = frozenset()
    preload: Preload = field(default_factory=Preload)


def lock(ledger: Path) -> IO[str]:
    """Hold the ledger: two processes that write one chain would tear it."""
    handle = (ledger / LOCK_FILE).open("w")
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        handle.close()
        raise LedgerUnusable(f"{ledger} is in use by another localnet") from error
    return handle


def start_validator(options: NodeOptions, store: Store) -> Validator:
    """A validator on a ledger: its chain continues, or begins."""
    # Read in any case: a file that is wrong is told even when the chain exists already.
    extra = options.preload.read()
    identity = genesis.load_or_create(store, int(time.time()), options.seed, extra)
    newest = store.newest_blocks(1)[0].block_time
    start = max(time.time(), float(newest))
    clock = ChainClock(start, running=not options.manual, slot_s=options.slot_ms / 1000)
    return Validator(
        store,
        Engine(classic_token=options.classic_token),
        identity,
        clock,
        confirmed_depth=options.confirmed_depth,
        finalized_depth=options.finalized_depth,
        leaders=options.leaders,
    )


@asynccontextmanager
async def listening(app: web.Application, host: str, port: int) -> AsyncIterator[None]:
    """A server on a port."""
    runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=1.0)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port, backlog=1024).start()
        yield
    finally:
        await runner.cleanup()


@asynccontextmanager
async def endpoint(context: Context, hub: Hub, host: str) -> AsyncIterator[None]:
    """HTTP on the context's port, WebSocket on the next one."""
    http, sockets = HttpApi(context, hub).application(), WebSocketApi(context, hub).application()
    async with listening(sockets, host, context.port + 1), listening(http, host, context.port):
        yield


def _twin(context: Context, twin: Twin, subscriptions: frozenset[str]) -> tuple[Context, Hub]:
    """The same chain, some blocks late, with the same subscriptions on offer."""
    validator = LaggingValidator(context.validator, twin.behind)
    hub = Hub(validator, subscriptions)
    late = LateHub(hub, twin.behind)
    context.validator.listeners.append(late.slot_closed)
    context.validator.switch_listeners.append(late.switched)
    return replace(context, validator=validator, port=twin.port), hub


async def serve(options: NodeOptions) -> None:
    """Run until SIGTERM or SIGINT; the slot in hand is closed before the end."""
    with lock(options.ledger):
        store = Store(options.ledger / LEDGER_FILE)
        try:
            await _serve(options, store)
        finally:
            store.close()


async def _serve(options: NodeOptions, store: Store) -> None:
    validator = start_validator(options, store)
    seed, rules, twin = (None, (), None) if options.chaos is None else load(options.chaos)
    chosen = options.seed if options.seed is not None else seed
    forks, book = Forks(validator), Book(chosen or 0, rules)
    producer = Producer(forks, book)
    ticker = SlotTicker(producer, validator.clock, options.slot_ms / 1000, manual=options.manual)
    hub = Hub(validator, options.subscriptions)
    validator.listeners.append(hub.slot_closed)
    validator.switch_listeners.append(hub.switched)
    context = Context(validator, ticker, options.port, str(options.ledger), forks, book)
    async with AsyncExitStack() as ends:
        if twin is not None:
            late, late_hub = _twin(context, twin, options.subscriptions)
            await ends.enter_async_context(endpoint(late, late_hub, options.host))
        await ends.enter_async_context(endpoint(context, hub, options.host))
        log.info("slot %d of chain %s", validator.open.slot, validator.identity.genesis_hash)
        await _until_told(asyncio.create_task(ticker.run()))
    if validator.open.records:
        validator.close_slot()


async def _until_told(ticking: asyncio.Task[None]) -> None:
    """Wait for a signal, or for the ticker to fail, which ends the process with its error."""
    told = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told.set)
    waiting = asyncio.create_task(told.wait())
    done, _ = await asyncio.wait({ticking, waiting}, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    ticking.cancel()
    if ticking in done:
        await ticking
