"""The ripcord: what pulls it, how long that must stand, and that a flapping condition is told to nobody."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

import tieout_reconcile
from reconcile.builders import MINT, ONE, Book, at, issue, memo
from reconcile.controlling import AGES, checked, issued
from tieout_reconcile import AgeLimits, Margin
from tieout_reconcile.control import ControlLimits, Ripcord, list_alerts
from tieout_reconcile.control.ripcord import Standing, looked
from tieout_reconcile.freshness import InputAge

T = datetime(2026, 11, 2, tzinfo=UTC)
AT_ONCE = ControlLimits(ages=AGES, ripcord_after_s=0, ripcord_observations_min=1)


async def tied(book: Book) -> None:
    """A book that ties out, and its run."""
    await issued(book)
    await book.transfer(20, "treasury", "ap", 100 * ONE, memo=memo("issue", "REQ-1"))
    await book.orders(issue("REQ-1", "100"))
    await book.statement("100", 90)
    assert (await book.run()).clean
    await checked(book)


async def reasons(book: Book, limits: ControlLimits = AT_ONCE) -> str:
    return "; ".join((await Ripcord(limits).look(book.db)).reasons["AAPLx"])


async def test_a_book_that_ties_out_with_fresh_inputs_pulls_nothing(book: Book) -> None:
    await tied(book)
    found = await Ripcord(AT_ONCE).look(book.db)
    assert (dict(found.reasons), found.pulled, found.notices) == ({"AAPLx": ()}, frozenset(), ())


async def parked(book: Book) -> None:
    await book.db.execute("insert into ledger.park_row values (101, 'park', 'not linked', now(), $1)", book.batch)


async def quarantined(book: Book) -> None:
    await book.db.execute(
        "insert into ledger.quarantine_row values (50, 0, 0, -1, 's', '0', $1, 'does not add up', '', $2)",
        MINT, book.batch,
    )  # fmt: skip


async def finding(book: Book) -> None:
    await book.db.execute(
        "insert into ledger.finding_row values ('supply', $1, $1, 90, 'open', '100', '99', 'e', now(), $2)",
        MINT, book.batch,
    )  # fmt: skip


async def given_up(book: Book) -> None:
    await book.db.execute("insert into ledger.hole_row values (200, 210, 'gone', 'ada', now(), $1)", book.batch)


async def short(book: Book) -> None:
    await book.statement("90", 95)
    await book.run()


@pytest.mark.parametrize(
    ("spoil", "text"),
    [
        (parked, "AAPLx: slot 101 is parked: not linked"),
        (quarantined, "AAPLx: 1 transactions are in quarantine"),
        (finding, "AAPLx: an audit of the ledger (supply) differs on "),
        (given_up, "AAPLx: slots 200 to 210 of the ledger were given up"),
        (short, "AAPLx: custody and liability do not tie out"),
    ],
)
async def test_what_speaks_against_the_figures_pulls_it(book: Book, spoil: Callable[[Book], object], text: str) -> None:
    await tied(book)
    await spoil(book)  # type: ignore[misc]
    found = await Ripcord(AT_ONCE).look(book.db)
    assert any(r.startswith(text) for r in found.reasons["AAPLx"]), found.reasons
    assert found.pulled == {"AAPLx"}
    assert [(n.status, n.labels["alertname"], n.annotations["verdict"]) for n in found.notices] == [
        ("firing", "Ripcord", "unknown")
    ]
    assert text in found.notices[0].annotations["reasons"]


@pytest.mark.parametrize(
    ("ages", "text"),
    [
        (AgeLimits(1, 10**9, 10**9), "AAPLx: the chain's newest proven block, of "),
        (AgeLimits(10**9, 1, 10**9), "AAPLx: the statement of alpaca, of "),
        (AgeLimits(10**9, 10**9, 0), "AAPLx: the order source, of "),
    ],
)
async def test_an_input_that_is_too_old_pulls_it(book: Book, ages: AgeLimits, text: str) -> None:
    await tied(book)
    found = await reasons(book, ControlLimits(ages=ages, ripcord_after_s=0, ripcord_observations_min=1))
    assert found.startswith(text)
    assert " s old: at most " in found


async def test_what_was_never_read_or_reconciled_pulls_it(book: Book) -> None:
    await book.commit()
    await book.registry()
    found = await reasons(book)
    for name in ("the chain's newest proven block", "the statement of alpaca", "the order source"):
        assert f"AAPLx: {name} was never read" in found
    assert "AAPLx: it was not reconciled yet" in found


async def test_it_lets_go_by_itself_and_says_since_when_it_stood(book: Book) -> None:
    await tied(book)
    ripcord = Ripcord(AT_ONCE)
    await parked(book)
    (fired,) = (await ripcord.look(book.db)).notices
    assert (await ripcord.look(book.db)).notices == ()
    assert [n.notice for n in await list_alerts(book.dsn)] == [fired.notice]
    await book.commit()
    await book.db.execute("insert into ledger.park_row values (101, 'clear', '', now(), $1)", book.batch)
    (ended,) = (await ripcord.look(book.db)).notices
    assert (ended.status, ended.fingerprint, ended.starts_at) == ("resolved", fired.fingerprint, fired.starts_at)
    assert await list_alerts(book.dsn) == []


async def test_a_condition_must_stand_and_a_daemon_that_starts_again_does_not_forget_since_when(book: Book) -> None:
    await tied(book)
    await parked(book)
    patient = ControlLimits(ages=AGES, ripcord_after_s=0, ripcord_observations_min=3)
    told = [(await Ripcord(patient).look(book.db)).notices for _ in range(4)]
    assert [len(notices) for notices in told] == [0, 0, 1, 0]


def stand(seen: list[bool], after_s: float, observations: int, step_s: float = 1.0) -> list[bool]:
    standing, pulled = Standing(), []
    for n, bad in enumerate(seen):
        now = T + timedelta(seconds=n * step_s)
        standing = looked(standing, ["it is bad"] if bad else [], now, after_s, observations)
        pulled.append(standing.pulled)
    return pulled


def test_a_condition_alarms_after_its_time_and_its_looks_and_ends_likewise() -> None:
    assert stand([True] * 5 + [False] * 5, 3.0, 2) == [False] * 3 + [True] * 5 + [False] * 2
    assert stand([True] * 5, 0.0, 3) == [False, False, True, True, True]


@given(st.lists(st.booleans(), max_size=60), st.integers(1, 5), st.integers(1, 5))
def test_whatever_flaps_faster_than_its_time_changes_nothing(seen: list[bool], after_s: int, observations: int) -> None:
    """The alarm changes only where the last looks, over the time, all say so."""
    pulled = stand(seen, float(after_s), observations)
    before = False
    for n, now in enumerate(pulled):
        if now is not before:
            window = seen[max(0, n - max(after_s, observations - 1)) : n + 1]
            assert len(window) == max(after_s, observations - 1) + 1
            assert all(bad is now for bad in window)
        before = now


async def test_headroom_keeps_a_margin_back_and_says_how_old_its_inputs_are(book: Book) -> None:
    await tied(book)
    await book.statement("150", 95)
    for margin, wanted in (("0", "50"), ("10", "40"), ("10%", "35"), ("100%", "-100"), ("60.5", "-10.5")):
        room = await tieout_reconcile.headroom(book.dsn, "AAPLx", margin=Margin.parse(margin), now=at(100))
        assert room.shares == Fraction(wanted), margin
    said = room.to_json()
    assert said["margin"] == "60.5"
    assert [(a["input"], a["fresh"]) for a in said["ages"]] == [
        ("the chain's cut-off block", True),
        ("the statement of alpaca", True),
        ("the order source", True),
    ]
    assert said["ages"][1]["age_s"] == 5


@pytest.mark.parametrize(
    ("ages", "text"),
    [
        (AgeLimits(10, 10**9, 10**9), "the chain's cut-off block, of 2026-11-02 14:01:40 UTC, is 60 s old"),
        (AgeLimits(10**9, 10, 10**9), "the statement of alpaca, of 2026-11-02 14:01:30 UTC, is 70 s old"),
        (AgeLimits(10**9, 10**9, 10), "the order source, of "),
    ],
)
async def test_headroom_of_old_figures_is_unknown_and_no_number(book: Book, ages: AgeLimits, text: str) -> None:
    await tied(book)
    now = at(160) if ages.order_age_max_s > 10 else datetime.now(UTC) + timedelta(days=1)
    room = await tieout_reconcile.headroom(book.dsn, "AAPLx", ages=ages, now=now)
    assert (room.shares, room.raw, room.margin, room.ladder) == (None, None, None, ())
    assert len(room.reasons) == 1
    assert room.reasons[0].startswith(f"AAPLx: {text}")


async def test_headroom_without_any_order_file_is_unknown(book: Book) -> None:
    await issued(book)
    await book.statement("100", 90)
    room = await tieout_reconcile.headroom(book.dsn, "AAPLx", now=at(100))
    assert room.shares is None
    assert room.reasons == ("AAPLx: the order source was never read",)


@pytest.mark.parametrize("text", ["", "-1", "1e3", "101%", "%", "5 %", "nan", "1,000", "x"])
def test_a_margin_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"^(is|has) "):
        Margin.parse(text)


@given(st.integers(0, 10**6), st.integers(1, 10**6))
def test_an_input_counts_until_its_age_and_not_at_it(age_s: int, limit_s: int) -> None:
    age = InputAge("the statement", T, limit_s)
    now = T + timedelta(seconds=age_s)
    assert age.is_fresh(now) is (age_s < limit_s)
    assert (age.problem(now) is None) is age.is_fresh(now)
