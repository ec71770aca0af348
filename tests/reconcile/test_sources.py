"""How often a source of files is due, by the registry: when it is stale, and what is said of it."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

import tieout_reconcile
from reconcile.builders import ONE, REGISTRY, Book, issue, memo
from reconcile.controlling import checked, commit, firing, issued
from support.command import tieout_here
from tieout_reconcile import AgeLimits, BadInput, apply_registry, headroom, plan_registry
from tieout_reconcile.calendars import PLAIN, Calendar
from tieout_reconcile.control import ControlLimits, control_status
from tieout_reconcile.files import InputFile
from tieout_reconcile.freshness import order_source
from tieout_reconcile.registry import Registry
from tieout_reconcile.registry_file import parse_registry
from tieout_reconcile.sources import Source

HOURLY = '[[sources]]\nkind = "orders"\nname = "desk"\nevery_minutes = 60\ngrace_minutes = 10\n'
DAILY = Source("orders", "desk", None, ("08:00", "16:00"), "America/New_York", None, 30)
NOTHING_FRESH = ControlLimits(ages=AgeLimits(10**9, 10**9, 0))


def ny(text: str) -> datetime:
    return datetime.fromisoformat(f"2026-{text}").replace(tzinfo=ZoneInfo("America/New_York"))


@pytest.mark.parametrize(
    ("seen", "due"),
    [
        ("11-23 07:58", "11-23 16:00"),  # early for 08:00
        ("11-23 08:30", "11-23 16:00"),  # at the end of its grace
        ("11-23 08:31", "11-24 08:00"),  # too late for 08:00: it is the 16:00 file
        ("11-23 16:10", "11-24 08:00"),
        ("11-27 16:30", "11-30 08:00"),  # Friday evening: Monday
        ("11-28 12:00", "11-30 16:00"),  # on a Saturday: it is Monday's first
    ],
)
def test_a_file_counts_for_the_due_instant_until_its_grace_ends(seen: str, due: str) -> None:
    found = DAILY.due_after(ny(seen), PLAIN)
    assert (found.at, found.until) == (ny(due), ny(due) + timedelta(minutes=30))


def test_holidays_and_the_clock_change_are_those_of_the_source() -> None:
    nyse = Calendar("nyse", (date(2026, 11, 26),))
    assert DAILY.due_after(ny("11-25 16:00"), nyse).at == ny("11-27 08:00")
    # clocks go back on Sunday, 1 November
    assert DAILY.due_after(ny("10-30 16:00"), PLAIN).at == datetime(2026, 11, 2, 13, tzinfo=UTC)


@given(
    st.integers(0, 330 * 24 * 3600),
    st.integers(0, 7 * 24 * 60),
    st.sets(st.sampled_from([f"{h:02}:30" for h in range(24)]), min_size=1, max_size=6),
)
def test_the_next_file_is_due_after_this_one_and_the_one_after_later(seconds: int, grace: int, times: set[str]) -> None:
    seen = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)
    source = Source("orders", "desk", None, tuple(sorted(times)), "Europe/Zurich", None, grace)
    due = source.due_after(seen, PLAIN)
    assert due.until > seen
    assert PLAIN.is_business(due.at.astimezone(ZoneInfo("Europe/Zurich")).date())
    later = source.due_after(due.until, PLAIN)
    assert later.at > due.at
    # who comes before the end of grace is served by the same instant, whenever that is
    assert source.due_after(due.until, PLAIN) == source.due_after(max(seen, due.until - timedelta(seconds=1)), PLAIN)


def registered(text: str) -> Registry:
    return parse_registry(InputFile("r.toml", (REGISTRY + text).encode()))


def test_the_cadence_goes_before_the_setting_and_is_said() -> None:
    seen = datetime(2026, 11, 23, 12, tzinfo=UTC)
    plain = order_source(registered(""), seen, 900)
    assert plain.is_fresh(seen + timedelta(seconds=899))
    assert not plain.is_fresh(seen + timedelta(seconds=900))
    hourly = order_source(registered(HOURLY), seen, 900)
    assert hourly.problem(seen + timedelta(minutes=69)) is None
    assert hourly.problem(seen + timedelta(minutes=70)) == (
        "the order source desk, last read 2026-11-23 12:00:00 UTC, is stale since 2026-11-23 13:10:00 UTC: "
        "a file was due at 2026-11-23 13:00:00 UTC, with 10 minutes of grace (every 60 minutes)"
    )
    assert order_source(registered(HOURLY), None, 900).problem(seen) == (
        "the order source desk was never read: a file is due every 60 minutes"
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('every_minutes = 60\nat = ["08:00"]\ntime_zone = "UTC"', "needs either every_minutes or at"),
        ("", "needs either every_minutes or at"),
        ('at = ["08:00"]', "time_zone: goes with at"),
        ('at = ["8:00"]\ntime_zone = "UTC"', '"8:00" is no time of day like 16:00'),
        ('at = ["08:00"]\ntime_zone = "Mars/Base"', "is no time zone"),
        ("every_minutes = 0", "is not between 1 and"),
        ('every_minutes = 5\ncalendar = "none"', "is the id of no entry"),
        ("every_minutes = 5\nhow = 1", "sources[0].how: is not one of"),
    ],
)
def test_what_is_no_cadence_is_refused(text: str, said: str) -> None:
    with pytest.raises(BadInput) as bad:
        registered(f'[[sources]]\nkind = "orders"\nname = "desk"\n{text}\n')
    assert said in str(bad.value)


def test_one_source_a_kind_and_only_kinds_that_there_are() -> None:
    with pytest.raises(BadInput, match='kind "orders" is there 2 times'):
        registered(HOURLY + HOURLY)
    with pytest.raises(BadInput, match='"statements" is not one of orders'):
        registered(HOURLY.replace('"orders"', '"statements"'))


async def test_a_source_that_comes_hourly_matches_crossings_for_an_hour(book: Book) -> None:
    await issued(book)
    await book.orders(issue("REQ-1", "1"))
    await commit(book, book.transfer(20, "treasury", "ap", ONE, memo=memo("issue", "REQ-1")))
    await checked(book, NOTHING_FRESH)
    assert await firing(book) == [("CrossingUnmatched", "stale_source")]
    plan = await plan_registry(book.dsn, book.file("hourly.toml", REGISTRY + HOURLY))
    assert [c.text() for c in plan.changes] == ["+ source of orders"]
    await apply_registry(book.dsn, book.file("hourly.toml", REGISTRY + HOURLY))
    await checked(book, NOTHING_FRESH)
    assert await firing(book) == []
    assert await book.db.fetchval("select name from recon.sources") == "desk"
    now = await book.db.fetchval("select now()")
    found = await headroom(book.dsn, "AAPLx", ages=NOTHING_FRESH.ages, now=now + timedelta(hours=3))
    (reason,) = [r for r in found.reasons if "order source" in r]
    assert "is stale since" in reason
    assert "(every 60 minutes)" in reason


async def test_status_says_in_one_sentence_which_source_is_stale(book: Book) -> None:
    await issued(book)
    await checked(book)
    status = await control_status(book.dsn, ages=AgeLimits())
    assert status.stale == "the order source was never read"
    await apply_registry(book.dsn, book.file("hourly.toml", REGISTRY + HOURLY))
    done = await tieout_here("control", "status", "--json", TIEOUT_DSN=book.dsn)
    assert (done.code, done.json["stale"]) == (
        1, "the order source desk was never read: a file is due every 60 minutes",
    )  # fmt: skip
    await book.orders(issue("REQ-1", "1"))
    await checked(book)
    assert (await control_status(book.dsn, ages=AgeLimits())).late(60) == []
    assert (await tieout_reconcile.show_registry(book.dsn)).source("orders") is not None
