"""The outbox: nothing is lost, nothing told out of order, whatever a receiver does."""

import asyncio
import re
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from aiohttp import web

from reconcile.builders import ONE, Book, issue, memo
from reconcile.controlling import LIMITS, SECRET, Desk, checked, commit, desk, issued
from support.database import query, value
from support.paths import ROOT
from tieout_reconcile import BadSetting
from tieout_reconcile.control import ControlLimits, Notice, Receiver, control, control_status
from tieout_reconcile.control.alerts import body_of, signed_headers
from tieout_reconcile.control.outbox import back_off_s


class Running:
    """A daemon of this process, until the block ends."""

    def __init__(self, book: Book, receivers: Sequence[Receiver], limits: ControlLimits = LIMITS) -> None:
        self.stop, self.said = asyncio.Event(), list[str]()
        self._work = control(
            book.dsn, receivers, self.stop, limits=limits, say=lambda text, **_: self.said.append(text)
        )

    async def __aenter__(self) -> "Running":
        self._task = asyncio.create_task(self._work)
        return self

    async def __aexit__(self, *_: object) -> None:
        self.stop.set()
        async with asyncio.timeout(10):
            await self._task


@pytest.fixture
async def told_book(book: Book) -> Book:
    """Three releases without an order, checked; nobody was told yet."""
    await issued(book)
    await book.orders(issue("REQ-1", "100"))
    await checked(book)
    await release(book, 20, 21, 22)
    await checked(book)
    return book


async def release(book: Book, *slots: int) -> None:
    await commit(book, *(book.transfer(slot, "treasury", "ap", ONE, memo=memo("issue", f"R-{slot}")) for slot in slots))


async def undelivered(book: Book) -> int:
    return sum(r.depth for r in (await control_status(book.dsn)).receivers)


async def all_delivered(book: Book) -> None:
    async with asyncio.timeout(20):
        while await undelivered(book) or not (await control_status(book.dsn)).receivers:
            await asyncio.sleep(0.02)


async def test_each_notice_is_told_once_signed_and_booked(told_book: Book) -> None:
    async with desk() as heard, Running(told_book, [heard.receiver]):
        await heard.until(3)
        await all_delivered(told_book)
    assert heard.forged == 0
    assert len(set(heard.keys)) == len(heard.keys) == 3
    first = heard.told[0]
    assert first["version"] == "4"
    assert first["receiver"] == "desk"
    assert first["status"] == "firing"
    assert first["groupLabels"].keys() == {"alertname", "mint"}
    alert = first["alerts"][0]
    assert alert.keys() == {
        "status", "labels", "annotations", "startsAt", "endsAt", "generatorURL", "fingerprint",
    }  # fmt: skip
    assert alert["endsAt"] == "0001-01-01T00:00:00Z"
    assert heard.keys[0] == f"{alert['fingerprint']}-1"
    rows = await query(told_book.dsn, "select notice, http_status, attempts from recon.alert_deliveries order by 1")
    assert [tuple(r.values()) for r in rows] == [(1, 200, 1), (2, 200, 1), (3, 200, 1)]


async def redirect(_: web.Request) -> Any:
    raise web.HTTPFound("http://127.0.0.1:1/elsewhere")


async def hang(_: web.Request) -> Any:
    await asyncio.sleep(3600)


async def gigabytes(request: web.Request) -> Any:
    answer = web.StreamResponse(status=500)
    await answer.prepare(request)
    for _ in range(100_000):
        await answer.write(b"x" * 65_536)
    return answer


async def endless_success(request: web.Request) -> Any:
    answer = web.StreamResponse(status=200)
    await answer.prepare(request)
    for _ in range(100_000):
        await answer.write(b"x" * 65_536)
    return answer


@pytest.mark.parametrize(
    ("answer", "problem"),
    [(500, "answered 500"), (429, "answered 429"), (401, "answered 401"), (redirect, "answered 302"),
     (hang, "no answer in 0.2 s"), (gigabytes, "answered 500: xxx")],
    ids=["500", "429", "401", "redirect", "hang", "gigabytes"],
)  # fmt: skip
async def test_what_a_bad_receiver_was_not_told_is_told_when_it_is_good(
    told_book: Book, answer: Any, problem: str
) -> None:
    limits = ControlLimits(
        ages=LIMITS.ages, poll_interval_s=0.05, retry_initial_s=0.01, retry_max_s=0.05, send_timeout_s=0.2
    )
    async with desk(answer=answer) as heard, Running(told_book, [heard.receiver], limits) as running:
        async with asyncio.timeout(20):
            while sum(problem in said for said in running.said) < 3:
                await asyncio.sleep(0.02)
        status = (await control_status(told_book.dsn)).receivers[0]
        assert status.depth == 3
        assert status.failures >= 2
        assert problem in (status.last_error or "")
        assert "never-shown" not in str(running.said) + str(status)
        heard.answer = 200
        await heard.until(3)
        await all_delivered(told_book)
    assert sorted(heard.keys) == sorted(set(heard.keys))


async def test_gigabytes_of_success_are_not_read(told_book: Book) -> None:
    async with desk(answer=endless_success) as heard, Running(told_book, [heard.receiver]):
        await all_delivered(told_book)


async def test_a_message_that_is_refused_does_not_hold_up_the_others(told_book: Book) -> None:
    told: list[str] = []

    async def refuse_the_second(request: web.Request) -> web.Response:
        key = request.headers["Idempotency-Key"]
        told.append(key)
        return web.Response(status=422 if key.endswith("-2") else 204)

    async with desk(answer=refuse_the_second) as heard, Running(told_book, [heard.receiver]) as running:
        async with asyncio.timeout(20):
            while await undelivered(told_book) != 1 or sum(k.endswith("-2") for k in told) < 3:
                await asyncio.sleep(0.02)
        assert sum(not k.endswith("-2") for k in told) == 2
        assert any("refuses notice 2" in said for said in running.said)
        assert (await control_status(told_book.dsn)).receivers[0].depth == 1
        heard.answer = 200
        await heard.until(1)
        await all_delivered(told_book)
    assert [k.rpartition("-")[2] for k in heard.keys] == ["2"]


async def test_the_end_of_an_alarm_is_never_told_before_its_beginning(told_book: Book) -> None:
    book = told_book
    told: list[str] = []

    async def refuse_one_in_two(request: web.Request) -> web.Response:
        told.append(request.headers["Idempotency-Key"])
        if len(told) % 2:
            return web.Response(status=400)
        body = await request.json()
        heard.told.append(body)
        return web.Response()

    async with desk(answer=refuse_one_in_two) as heard, Running(book, [heard.receiver]):
        for slot in (20, 21, 22):
            await book.orders(issue(f"R-{slot}", "1"))
        await heard.until(6)
        await all_delivered(book)
    seen: dict[str, list[str]] = {}
    for message in heard.told:
        seen.setdefault(message["alerts"][0]["fingerprint"], []).append(message["status"])
    assert list(seen.values()) == [["firing", "resolved"]] * 3


async def test_receivers_do_not_wait_for_each_other(told_book: Book) -> None:
    async with desk(answer=hang, name="silent") as silent, desk() as heard:
        async with Running(told_book, [silent.receiver, heard.receiver]):
            await heard.until(3)
            await all_delivered_to(told_book, "desk")
        depths = {r.receiver: r.depth for r in (await control_status(told_book.dsn)).receivers}
    assert depths == {"silent": 3, "desk": 0}


async def all_delivered_to(book: Book, name: str) -> None:
    async with asyncio.timeout(20):
        while any(r.depth for r in (await control_status(book.dsn, [name])).receivers):
            await asyncio.sleep(0.02)


async def test_a_receiver_that_comes_later_is_told_what_still_fires(told_book: Book) -> None:
    book = told_book
    await book.orders(issue("R-20", "1"))
    await checked(book)
    async with desk() as heard, Running(book, [heard.receiver]):
        await heard.until(3)
        await all_delivered(book)
    still = [m["alerts"][0]["annotations"]["slot"] for m in heard.told if m["status"] == "firing"]
    assert sorted(still) == ["21", "22"]


async def test_two_daemons_tell_each_notice_once(told_book: Book) -> None:
    book = told_book
    async with desk() as heard, Running(book, [heard.receiver]), Running(book, [heard.receiver]):
        for slot in range(30, 40):
            await release(book, slot)
            await book.db.execute("select pg_notify('tieout_ledger', $1)", str(book.batch))
        await heard.until(13)
        await all_delivered(book)
    assert len(heard.keys) == len(set(heard.keys)) == 13
    assert await value(book.dsn, "select count(*) from recon.checked_crossings") == 13
    assert await value(book.dsn, "select max(notice) from recon.alert_notices") == 13


async def test_status_tells_what_waits_for_long(told_book: Book) -> None:
    async with desk(answer=500) as heard, Running(told_book, [heard.receiver]) as running:
        async with asyncio.timeout(20):
            while not any("again in" in said for said in running.said):
                await asyncio.sleep(0.02)
    status = await control_status(told_book.dsn, ["desk", "never"])
    assert status.late(10_000.0) == ["receiver never is in the settings and was never taken up: tieout control run"]
    assert status.late(0.0)[0].startswith("receiver desk: 3 undelivered, the oldest for ")


@pytest.mark.parametrize(
    "url",
    ["ftp://host/x", "file:///etc/passwd", "javascript:1", "http://", "http://user:pw@host/", "http://[bad", "host",
     "http://host:99999/"],
)  # fmt: skip
def test_only_http_addresses_without_a_password_are_receivers(url: str) -> None:
    with pytest.raises(BadSetting, match="receiver desk"):
        Receiver("desk", url, SECRET)


def test_a_short_secret_is_refused_and_none_is_shown() -> None:
    with pytest.raises(BadSetting, match="under 16 bytes"):
        Receiver("desk", "http://host/", b"short")
    assert "secret" not in repr(Receiver("desk", "https://host/hook?token=secret", SECRET))


def test_back_off_doubles_with_jitter_up_to_its_limit() -> None:
    waits = [[back_off_s(n, 0.5, 60.0) for _ in range(200)] for n in (1, 2, 5, 50)]
    assert 0.25 <= min(waits[0]) < max(waits[0]) <= 0.75
    assert 0.5 <= min(waits[1]) < max(waits[1]) <= 1.5
    assert max(waits[2]) <= 12
    assert set(waits[3]) == {60.0}


def test_a_desk_is_what_it_says() -> None:
    assert Desk(url="http://host/").receiver.host == "host"


def documented_check() -> Any:
    """The receiver's check, as the guide gives it."""
    text = (ROOT / "docs" / "how-to-control.md").read_text("utf-8")
    (snippet,) = re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    names: dict[str, Any] = {}
    exec(snippet, names)  # noqa: S102  that is what a reader does with it
    return names["is_genuine"]


def test_the_check_that_the_guide_gives_takes_our_messages_and_no_others() -> None:
    receiver, now = Receiver("desk", "https://host/", SECRET), time.time()
    at = datetime.fromtimestamp(now, UTC)
    notice = Notice(7, "f" * 32, "firing", "no_order", "M", 1, {"alertname": "A"}, {}, at, None, at)
    body = body_of(notice, receiver, "https://pages.example/")
    header = signed_headers(body, notice, receiver, now)["Tieout-Signature"]
    is_genuine = documented_check()
    assert is_genuine(header, body, SECRET)
    assert not is_genuine(header, body + b" ", SECRET)
    assert not is_genuine(header, body, SECRET + b"x")
    assert not is_genuine(signed_headers(body, notice, receiver, now - 3600)["Tieout-Signature"], body, SECRET)
    for bad in ("", "t=,v1=", "t=abc,v1=00", f"t={int(now)}", f"t={int(now)},v1=", "v1=00", "t=²,v1=00", "t=1,v1=é"):
        assert not is_genuine(bad, body, SECRET)
