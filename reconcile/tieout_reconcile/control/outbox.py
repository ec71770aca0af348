"""The outbox: each notice is told to each receiver until it has answered with success.

At least once: a notice is delivered when its row says so, and that row is written after the answer. In order
for each fingerprint: its next notice waits for the one before. A receiver that is down is waited for, with
back-off and jitter; one that refuses a single message does not hold up the others.
"""

import asyncio
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import asyncpg

from tieout_reconcile.control.alerts import Notice, body_of, signed_headers
from tieout_reconcile.control.limits import ControlLimits, Receiver
from tieout_reconcile.control.reading import SQL

Say = Callable[..., None]
_ABOUT_THE_MESSAGE = frozenset({400, 409, 410, 413, 414, 415, 422})
_ERROR_CHARACTERS_MAX = 200
_JITTER = (0.5, 1.5)


def back_off_s(failures: int, initial_s: float, max_s: float) -> float:
    """Return how long to wait after so many failures in a row: doubled each time, with jitter, never over the limit."""
    doubled = initial_s * 2.0 ** min(failures - 1, 40)
    return min(max_s, doubled * random.uniform(*_JITTER))  # noqa: S311  spreads retries, decides nothing


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of one attempt. ``status`` 0: no answer; ``problem`` None: delivered."""

    status: int
    problem: str | None

    @property
    def refuses_message(self) -> bool:
        """Whether the receiver is there and speaks of this message alone."""
        return self.status in _ABOUT_THE_MESSAGE


@dataclass(slots=True)
class _Waiting:
    """A fingerprint whose message was refused: how often, and when it is tried again (monotonic)."""

    failures: int
    until: float


@dataclass(slots=True)
class _Tries:
    """How often each notice was tried, and who waits."""

    attempts: dict[int, int] = field(default_factory=dict)
    waiting: dict[str, _Waiting] = field(default_factory=dict)


class Outbox:
    """Tells one receiver. Owns no connection: ``drain`` is given one that holds the receiver's lock."""

    def __init__(self, receiver: Receiver, limits: ControlLimits, say: Say) -> None:
        self.receiver, self._limits, self._say = receiver, limits, say
        self._tries = _Tries()
        self.failures = 0
        self.delivered = 0

    async def drain(self, db: asyncpg.Connection, client: aiohttp.ClientSession) -> float | None:
        """Tell all that waits. Return in how many seconds to try again; None: there is nothing left to tell."""
        while True:
            notices = await self._pending(db)
            if not notices:
                return self._next_wait()
            answers = await asyncio.gather(*(self._send(client, notice) for notice in notices))
            down = None
            for notice, answer in zip(notices, answers, strict=True):
                down = await self._note(db, notice, answer) or down
            if any(answer.problem is None for answer in answers):
                await db.execute(SQL["advance_receiver"], self.receiver.name)
            if down is not None:
                self.failures += 1
                await db.execute(SQL["note_failure"], self.receiver.name, down)
                wait = back_off_s(self.failures, self._limits.retry_initial_s, self._limits.retry_max_s)
                self._say(
                    f"receiver {self.receiver.name} is not told: {down}; again in {wait:.1f} s",
                    event="receiver_failed", receiver=self.receiver.name, problem=down, failures=self.failures,
                )  # fmt: skip
                return wait
            self.failures = 0

    async def _pending(self, db: asyncpg.Connection) -> list[Notice]:
        now = time.monotonic()
        held = [fingerprint for fingerprint, w in self._tries.waiting.items() if w.until > now]
        rows = await db.fetch(SQL["pending"], self.receiver.name, held, self._limits.notices_at_once_max)
        found = sorted((Notice(**dict(row)) for row in rows), key=lambda n: n.notice)
        # where it was down, one message finds out whether it is back
        return found[: 1 if self.failures else self._limits.sends_in_flight_max]

    def _next_wait(self) -> float | None:
        now = time.monotonic()
        waits = [w.until - now for w in self._tries.waiting.values()]
        return max(0.0, min(waits)) if waits else None

    async def _note(self, db: asyncpg.Connection, notice: Notice, answer: Answer) -> str | None:
        """Book one answer; return what is wrong with the receiver, None where it is there."""
        attempts = self._tries.attempts.pop(notice.notice, 0) + 1
        if answer.problem is None:
            self._tries.waiting.pop(notice.fingerprint, None)
            await db.execute(SQL["insert_delivery"], self.receiver.name, notice.notice, attempts, answer.status)
            self.delivered += 1
            return None
        self._tries.attempts[notice.notice] = attempts
        if not answer.refuses_message:
            return answer.problem
        before = self._tries.waiting.get(notice.fingerprint)
        failures = 1 if before is None else before.failures + 1
        wait = back_off_s(failures, self._limits.retry_initial_s, self._limits.retry_max_s)
        self._tries.waiting[notice.fingerprint] = _Waiting(failures, time.monotonic() + wait)
        await db.execute(SQL["note_failure"], self.receiver.name, f"notice {notice.notice}: {answer.problem}")
        self._say(
            f"receiver {self.receiver.name} refuses notice {notice.notice}: {answer.problem}",
            event="notice_refused", receiver=self.receiver.name, notice=notice.notice, problem=answer.problem,
        )  # fmt: skip
        return None

    async def _send(self, client: aiohttp.ClientSession, notice: Notice) -> Answer:
        """Tell one notice: no redirect is followed, and little of the answer is read."""
        body = body_of(notice, self.receiver, self._limits.external_url)
        headers = signed_headers(body, notice, self.receiver, time.time())
        try:
            async with asyncio.timeout(self._limits.send_timeout_s):
                return await self._post(client, body, headers)
        except TimeoutError:
            return Answer(0, f"no answer in {self._limits.send_timeout_s:g} s")
        except (aiohttp.ClientError, OSError, ValueError) as failed:
            return Answer(0, f"{type(failed).__name__}")

    async def _post(self, client: aiohttp.ClientSession, body: bytes, headers: dict[str, str]) -> Answer:
        answer = await client.post(self.receiver.url, data=body, headers=headers, allow_redirects=False)
        try:
            if 200 <= answer.status < 300:
                return Answer(answer.status, None)
            text = await answer.content.read(self._limits.answer_bytes_max)
            said = " ".join(text.decode("utf-8", "replace").split())[:_ERROR_CHARACTERS_MAX]
            return Answer(answer.status, f"it answered {answer.status}" + (f": {said}" if said else ""))
        finally:
            # what is left of the answer is nobody's business, however much it is
            answer.close()


def client_session() -> aiohttp.ClientSession:
    """A client that keeps no cookies, unpacks nothing and takes no proxy from the environment."""
    return aiohttp.ClientSession(
        cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False, trust_env=False, max_line_size=8190,
        max_field_size=8190,
    )  # fmt: skip


async def owns(db: Any, receiver: Receiver) -> bool:
    """Take the receiver's lock where it is free: one daemon tells it at a time."""
    taken: bool = await db.fetchval(SQL["deliver_lock"], receiver.name)
    if taken:
        await db.execute(SQL["add_receiver"], receiver.name)
    return taken
