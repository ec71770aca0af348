"""Live movements: one reader of the ledger, many listeners, each with a bounded queue.

A listener that does not keep up is let go: it resumes with the position of the last event it saw. The
ledger is read once whatever the number of listeners, so none of them can delay the indexer.
"""

import asyncio
import json
import logging
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import asdict
from typing import Any

import asyncpg

from tieout_indexer import Final, Position, Provisional, Retracted, Withdrawn, events
from tieout_web.reading import LOST
from tieout_web.settings import WebSettings

_LOG = logging.getLogger(__name__)
_RETRY_S = 2.0
_TOLD_AT_ONCE = 32
_PATIENCE_STEPS = 10
_PATIENCE_STEP_S = 0.01
_RETRY_MS = 2000


class Message:
    """One message of the stream: its event name, its data as text, its id (None for what cannot be resumed)."""

    __slots__ = ("data", "id", "mint", "name")

    def __init__(self, name: str, mint: str | None, data: dict[str, Any], position: Position | None) -> None:
        """``mint``: whose listeners it concerns; None: everybody's."""
        self.name = name
        self.mint = mint
        self.data = json.dumps(data, default=str, separators=(",", ":"))
        self.id = None if position is None else f"{position.batch}.{position.ordinal}"

    def encode(self) -> bytes:
        """Return it as Server-Sent Events have it."""
        head = "" if self.id is None else f"id: {self.id}\n"
        return f"{head}event: {self.name}\ndata: {self.data}\n\n".encode()


class Full(Exception):
    """No more listeners are taken."""


class Broadcaster:
    """Reads the ledger's stream and hands each item to every listener."""

    def __init__(self, settings: WebSettings) -> None:
        self._settings = settings
        self._listeners: set[asyncio.Queue[Message | None]] = set()
        self._backlog: deque[Message] = deque(maxlen=settings.stream_backlog_max)
        self._floor = Position(0, 0)
        self._ended = False
        self._state: Message | None = None
        self.let_go = 0

    @property
    def listeners(self) -> int:
        """How many listen."""
        return len(self._listeners)

    async def run(self, after: Position) -> None:
        """Read for ever from a position; when the database goes away, go on where it was left."""
        self._floor = after
        while True:
            try:
                told = 0
                async for item in events(self._settings.dsn, after=after, provisional=True, poll_interval_s=0.5):
                    message = message_of(item)
                    if isinstance(item, Final | Retracted):
                        after = item.position
                        self._remember(message)
                    self._hand_out(message)
                    told += 1
                    if told % _TOLD_AT_ONCE == 0:
                        await self._wait_for_readers()
            except (asyncpg.PostgresError, *LOST) as gone:
                _LOG.warning("the live stream pauses: %s", str(gone) or type(gone).__name__)
            await asyncio.sleep(_RETRY_S)

    def tell_state(self, data: dict[str, Any]) -> None:
        """Tell every listener what figures are worth now, where it differs from what was told last."""
        message = Message("state", None, data, None)
        if self._state is None or message.data != self._state.data:
            self._state = message
            self._hand_out(message)

    async def _wait_for_readers(self) -> None:
        """A large batch must not fill the queues of those who read: give them a moment, and the silent ones no more."""
        await asyncio.sleep(0)
        for _ in range(_PATIENCE_STEPS):
            if not any(queue.qsize() > queue.maxsize // 2 for queue in self._listeners):
                return
            await asyncio.sleep(_PATIENCE_STEP_S)

    def _remember(self, message: Message) -> None:
        if len(self._backlog) == self._backlog.maxlen:
            self._floor = parse_id(self._backlog[0].id or "") or self._floor
        self._backlog.append(message)

    def _hand_out(self, message: Message) -> None:
        for queue in list(self._listeners):
            if queue.full():
                self._let_go(queue)
            else:
                queue.put_nowait(message)

    def _let_go(self, queue: asyncio.Queue[Message | None]) -> None:
        """End a listener that does not keep up: what it missed it gets when it comes back."""
        self._listeners.discard(queue)
        self.let_go += 1
        while not queue.empty():
            queue.get_nowait()
        queue.put_nowait(None)

    def end(self) -> None:
        """The service ends: every listener is let go, and comes back to whoever serves next."""
        self._ended = True
        for queue in list(self._listeners):
            self._let_go(queue)

    async def listen(self, mints: frozenset[str], after: Position | None) -> AsyncIterator[bytes]:
        """Yield the stream from now, or from after a position, beginning with the state. Raises Full.

        Where the position lies further back than what is kept, a ``reset`` says so: read /v1/events first.
        """
        if self._ended or len(self._listeners) >= self._settings.stream_readers_max:
            raise Full
        queue: asyncio.Queue[Message | None] = asyncio.Queue(self._settings.stream_queue_max)
        self._listeners.add(queue)
        missed = list(self._backlog)
        try:
            yield f"retry: {_RETRY_MS}\n\n".encode()
            if self._state is not None:
                yield self._state.encode()
            if after is not None and after < self._floor:
                yield b"event: reset\ndata: {}\n\n"
            for message in missed if after is not None else []:
                position = parse_id(message.id or "")
                if position is not None and after is not None and position > after and message.mint in mints:
                    yield message.encode()
            while True:
                try:
                    async with asyncio.timeout(self._settings.stream_ping_s):
                        message_or_end = await queue.get()
                except TimeoutError:
                    yield b": still here\n\n"
                    continue
                if message_or_end is None:
                    return
                if message_or_end.mint is None or message_or_end.mint in mints:
                    yield message_or_end.encode()
        finally:
            self._listeners.discard(queue)


def parse_id(text: str) -> Position | None:
    """Return the position of a Last-Event-ID, None for anything else."""
    batch, dot, ordinal = text.partition(".")
    digits = batch.isascii() and ordinal.isascii() and batch.isdigit() and ordinal.isdigit()
    return Position(int(batch), int(ordinal)) if dot and digits and len(text) < _ID_CHARACTERS_MAX else None


_ID_CHARACTERS_MAX = 40
_SHOWN = (
    "slot", "tx_index", "step", "child", "signature", "kind", "mint", "source", "source_owner", "destination",
    "destination_owner", "authority_role", "memo",
)  # fmt: skip


def message_of(item: Final | Retracted | Provisional | Withdrawn) -> Message:
    """Return the message of an item: final, retracted, provisional, withdrawn."""
    if isinstance(item, Retracted):
        data = asdict(item)
        position = data.pop("position")
        return Message("retracted", item.mint, data, Position(**position))
    event = item.event
    data = {name: getattr(event, name) for name in _SHOWN}
    data |= {"time": None if event.block_time is None else event.block_time.isoformat()}
    data |= {"amount": str(event.amount), "fee": str(event.fee)}
    if isinstance(item, Final):
        return Message("final", event.mint, data, item.position)
    name = "provisional" if isinstance(item, Provisional) else "withdrawn"
    return Message(name, event.mint, data | {"blockhash": item.blockhash}, None)
