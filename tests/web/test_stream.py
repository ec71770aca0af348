"""Live movements: once each, in order, resumable; who is slow is let go and delays nobody."""

import asyncio
import json
import socket
import sys
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from reconcile.builders import ONE, Book, at
from tieout_indexer import Position
from tieout_web.stream import Broadcaster, Full, Message, parse_id
from web.service import fill, served, settings


async def messages(client: httpx.AsyncClient, headers: dict[str, str] | None = None) -> AsyncIterator[dict[str, Any]]:
    """The movements of a stream, as a browser reads them."""
    async with client.stream("GET", "/v1/events/stream?symbol=AAPLx", headers=headers, timeout=30) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        found: dict[str, Any] = {}
        async for line in answer.aiter_lines():
            if line.startswith(("id: ", "event: ", "data: ")):
                name, _, value = line.partition(": ")
                found[name] = value
            elif not line and "data" in found:
                if found["event"] != "state":
                    yield found | {"data": json.loads(found["data"])}
                found = {}


async def taken(stream: AsyncIterator[dict[str, Any]], count: int) -> list[dict[str, Any]]:
    async with asyncio.timeout(20):
        return [await anext(stream) for _ in range(count)]


async def mint(book: Book, slot: int, amount: int) -> None:
    """A batch with one mint in it, told as the indexer tells it."""
    async with book.db.transaction():
        await book.commit()
        await book.mint(slot, "treasury", amount)
        await book.flush()
        await book.db.execute("select pg_notify('tieout_ledger', $1)", str(book.batch))


async def test_movements_arrive_once_in_order_and_resume_after_the_last_seen(book: Book) -> None:
    await fill(book)
    async with served(book.dsn) as client:
        first = messages(client)
        reading = asyncio.create_task(taken(first, 3))
        await asyncio.sleep(0.5)
        for number in range(1, 4):
            await mint(book, 100 + number, number * ONE)
        seen = await reading
        assert [(m["event"], m["data"]["amount"]) for m in seen] == [("final", str(n * ONE)) for n in (1, 2, 3)]
        await first.aclose()  # type: ignore[attr-defined]
        for number in range(4, 6):
            await mint(book, 100 + number, number * ONE)
        again = messages(client, {"Last-Event-ID": seen[1]["id"]})
        assert [m["data"]["amount"] for m in await taken(again, 3)] == [str(n * ONE) for n in (3, 4, 5)]
        await again.aclose()  # type: ignore[attr-defined]


async def test_the_state_is_told_first_and_when_figures_grow_too_old(book: Book) -> None:
    await fill(book)
    oldest_s = await book.db.fetchval("select extract(epoch from now() - $1)::bigint", at(90))
    async with (
        served(book.dsn, statement_age_max_s=oldest_s + 3) as client,
        client.stream("GET", "/v1/events/stream?only=state", timeout=30) as answer,
    ):
        told = []
        async with asyncio.timeout(20):
            async for line in answer.aiter_lines():
                if line.startswith("data: "):
                    told.append(json.loads(line.removeprefix("data: ")))
                if len(told) == 2:
                    break
        fresh, old = told
        assert (fresh["database"], fresh["verdicts"]) == ("ok", {"AAPLx": "ties_out"})
        assert old["verdicts"] == {"AAPLx": "unknown"}
        assert fresh["digest"] != old["digest"]
        assert f'data-situation="{old["digest"]}"' in (await client.get("/")).text


async def test_who_comes_back_after_too_long_is_told_to_start_over(book: Book) -> None:
    await fill(book)
    async with served(book.dsn, stream_backlog_max=2) as client:
        await asyncio.sleep(0.3)
        for number in range(1, 6):
            await mint(book, 100 + number, number * ONE)
        await asyncio.sleep(1)
        stream = messages(client, {"Last-Event-ID": "1.1"})
        (told,) = await taken(stream, 1)
        assert told["event"] == "reset"
        await stream.aclose()  # type: ignore[attr-defined]


@pytest.mark.parametrize("bad", ["x", "1", "1.", "-1.2", "1.2.3", "9" * 30 + ".1", "é.1"])
async def test_a_last_event_id_of_somebody_elses_is_refused(client: httpx.AsyncClient, bad: str) -> None:
    answer = await client.get("/v1/events/stream", headers=[(b"Last-Event-ID", bad.encode())])
    assert answer.status_code == 400, bad


async def test_a_service_that_is_stopped_ends_its_streams_whoever_reads_them_and_leaves_no_traceback(
    book: Book,
) -> None:
    await fill(book)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tieout", "serve", "--port", str(port), "--dsn", book.dsn,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    with socket.socket() as silent:
        silent.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=20) as client:
            await answering(client)
            seen: list[list[dict[str, Any]]] = [[] for _ in range(5)]
            reading = [asyncio.create_task(whole(messages(client), into)) for into in seen]
            silent.connect(("127.0.0.1", port))
            silent.sendall(b"GET /v1/events/stream?symbol=AAPLx HTTP/1.1\r\nHost: localhost\r\n\r\n")
            await asyncio.sleep(0.5)
            await book.commit()
            async with book.db.transaction():
                # more than the kernel holds for somebody who never reads
                for _ in range(_FLOOD):
                    await book.mint(101, "treasury", ONE, memo="m" * 4000)
                await book.commit()
                await book.db.execute("select pg_notify('tieout_ledger', $1)", str(book.batch))
            async with asyncio.timeout(60):
                while min(map(len, seen)) < _FLOOD:
                    await asyncio.sleep(0.05)
            process.terminate()
            await asyncio.gather(*reading)
            _, err = await process.communicate()
    assert process.returncode == _INTERRUPTED, err.decode()
    assert b"Traceback" not in err, err.decode()
    assert b"timeout" not in err, err.decode()
    # at an end, not torn: the gathered readers raised nothing, and have each movement once
    assert [len(s) for s in seen] == [_FLOOD] * 5


_FLOOD = 1200
_INTERRUPTED = 4


async def whole(stream: AsyncIterator[dict[str, Any]], into: list[dict[str, Any]]) -> None:
    async with asyncio.timeout(90):
        async for message in stream:
            into.append(message)


async def answering(client: httpx.AsyncClient) -> None:
    async with asyncio.timeout(30):
        while True:
            try:
                await client.get("/healthz")
            except httpx.TransportError:
                await asyncio.sleep(0.1)
            else:
                return


async def test_a_listener_that_does_not_keep_up_is_let_go_and_the_others_go_on() -> None:
    stream = Broadcaster(settings("unused", stream_queue_max=5, stream_readers_max=2))
    mints = frozenset({"m"})
    slow, quick = stream.listen(mints, None), stream.listen(mints, None)
    await anext(slow)
    await anext(quick)
    with pytest.raises(Full):
        await anext(stream.listen(mints, None))
    got = []
    for number in range(20):
        stream._hand_out(Message("final", "m", {"n": number}, Position(1, number)))
        got.append(await anext(quick))
    assert len(got) == 20
    assert [chunk async for chunk in slow] == []
    assert (stream.let_go, stream.listeners) == (1, 1)
    await quick.aclose()  # type: ignore[attr-defined]
    assert stream.listeners == 0


def test_ids_are_positions() -> None:
    assert parse_id("12.3") == Position(12, 3)
    assert Message("final", "m", {}, Position(12, 3)).encode() == b"id: 12.3\nevent: final\ndata: {}\n\n"
