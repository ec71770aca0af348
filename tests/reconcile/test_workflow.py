"""Work on breaks: two people, evidence that counts once, a clock that nobody stops, a log that nobody edits."""

import asyncio
import hashlib
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import Any

import asyncpg
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

import tieout_reconcile
from reconcile.builders import ISIN, ONE, REGISTRY, Book, at, iso, issue, memo
from tieout_database import append_audit, list_audit, verify_audit
from tieout_reconcile import (
    Kind,
    NotAllowed,
    NotFound,
    Period,
    Wish,
    WorkedBreak,
    act,
    verify_signatures,
    worked_breaks,
)
from tieout_reconcile.ages import age_of
from tieout_reconcile.calendars import Calendar
from tieout_reconcile.reports import signing
from tieout_reconcile.workflow import Action, Case, Evidence, Person, refuse_unless_allowed, work_of
from tieout_web.people import set_person


def key_of(name: str) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(hashlib.sha256(name.encode()).digest())


async def person(book: Book, name: str, *roles: str, by: str | None = "ada") -> None:
    admin = None if by is None else key_of(by)
    await set_person(book.dsn, name, roles, signing.public_text(key_of(name)), admin)


async def short_book(book: Book) -> WorkedBreak:
    """250.5 shares owed, 240 in custody: a shortfall of 10.5; ada is admin, pat and paul prepare, anna approves."""
    await book.commit()
    await book.open_mint()
    await book.mint(10, "treasury", 1000 * ONE)
    await book.transfer(20, "treasury", "ap", 25_050_000_000, memo=memo("issue", "REQ-1"))
    await book.track(100)
    await book.registry()
    await book.orders(issue("REQ-1", "250.5"))
    await book.statement("240", 90)
    await person(book, "ada", "admin", by=None)
    await person(book, "pat", "preparer")
    await person(book, "paul", "preparer", "approver")
    await person(book, "anna", "approver")
    await book.run()
    (found,) = await worked_breaks(book.dsn)
    return found


async def document(book: Book, by: str | None = "pat", quantity: str = "1") -> int:
    """A file handed in, as evidence: its load."""
    text = f"custodian,account,isin,quantity,basis,as_of\nalpaca,ITN-1,{ISIN},{quantity},trade_date,{iso(95)}\n"
    path = book.file(f"evidence-{quantity}.csv", text)
    done = await tieout_reconcile.import_statement(book.dsn, path, key=None if by is None else key_of(by))
    return done.load


def proposal(key: str, load: int, **more: Any) -> Wish:
    wanted = {
        "line": "unsettled_trade",
        "document": load,
        "shares": Fraction("10.5"),
        "expires_at": datetime.now(UTC) + timedelta(days=5),
        **more,
    }
    return Wish(key, Kind.PROPOSE, **wanted)


async def proposed(book: Book, by: str = "pat", **more: Any) -> tuple[str, int]:
    """A break with a proposal that waits: its key and the proposal's number."""
    found = await short_book(book)
    worked = await act(book.dsn, proposal(found.finding.key, await document(book), **more), key_of(by))
    assert worked.work.pending is not None
    return found.finding.key, worked.work.pending.action


async def test_one_proposes_another_approves_and_the_figures_stay(book: Book) -> None:
    key, number = await proposed(book)
    worked = await act(book.dsn, Wish(key, Kind.APPROVE, proposal=number), key_of("anna"))
    assert worked.work.status == "explained"
    assert worked.unexplained == 0
    run = await book.run()
    assert run.verdict == (await book.run(100)).verdict != "ties_out"
    assert run.instruments[0].difference == Fraction("-10.5")
    (again,) = await worked_breaks(book.dsn)
    assert again.work.status == "explained"
    assert [(a.actor, str(a.kind)) for a in again.actions] == [("pat", "propose"), ("anna", "approve")]


TRADES = "custodian,account,isin,reference,side,quantity,traded_at,settles_on,status,status_at\n"
TRADE = f"alpaca,ITN-1,{ISIN},{{}},buy,{{}},{iso(60)},2026-11-03,pending,\n"


async def test_a_document_counts_once_by_what_it_says_and_not_by_its_bytes(book: Book) -> None:
    found = await short_book(book)
    columns = "custodian,account,isin,quantity,basis,as_of"
    said = f"alpaca,ITN-1,{ISIN},1,trade_date,{iso(95)}"
    texts = [f"{columns}\n{said}\n", f"{columns}\n\n{said}\n\n", f"{columns}\n{said.replace(',1,', ',1.0,')}\n"]

    async def loaded(number: int, text: str, take: Any = tieout_reconcile.import_statement) -> int:
        done = await take(book.dsn, book.file(f"evidence-{number}.csv", text), key=key_of("paul"))
        load: int = done.load
        return load

    loads = [await loaded(number, text) for number, text in enumerate(texts)]
    assert len(set(loads)) == 3
    parts = {"shares": Fraction(5)}
    worked = await act(book.dsn, proposal(found.finding.key, loads[0], **parts), key_of("pat"))
    assert worked.work.pending is not None
    wish = Wish(found.finding.key, Kind.APPROVE, proposal=worked.work.pending.action)
    await act(book.dsn, wish, key_of("anna"))
    for load in loads[1:]:
        with pytest.raises(NotAllowed, match="evidence counts once"):
            await act(book.dsn, proposal(found.finding.key, load, **parts), key_of("pat"))
    # a trade is the same trade in a later version, and beside others
    trades = [TRADES + TRADE.format("T-1", 3), TRADES + TRADE.format("T-1", 4), TRADES + TRADE.format("T-2", 3)]
    taken = [await loaded(9 + n, text, tieout_reconcile.import_trades) for n, text in enumerate(trades)]
    worked = await act(book.dsn, proposal(found.finding.key, taken[0], shares=Fraction(2)), key_of("pat"))
    assert worked.work.pending is not None
    await act(book.dsn, Wish(found.finding.key, Kind.APPROVE, proposal=worked.work.pending.action), key_of("anna"))
    with pytest.raises(NotAllowed, match="evidence counts once"):
        await act(book.dsn, proposal(found.finding.key, taken[1], shares=Fraction(2)), key_of("pat"))
    await act(book.dsn, proposal(found.finding.key, taken[2], shares=Fraction(2)), key_of("pat"))


async def test_one_file_taken_in_as_trades_and_as_movements_is_one_piece_of_evidence(book: Book) -> None:
    found = await short_book(book)
    row = (
        f'<Trade accountId="ITN-1" isin="{ISIN}" transactionID="77" buySell="BUY" quantity="3" tradeDate="20261030" '
        'settleDateTarget="20261103" />'
    )
    whole = f'<FlexStatement accountId="ITN-1"><Trades>{row}</Trades></FlexStatement>'
    path = book.file("q.xml", f"<FlexQueryResponse><FlexStatements>{whole}</FlexStatements></FlexQueryResponse>")
    declared = Period(custodian="alpaca", time_zone="UTC", cut_off="14:00")
    key = key_of("paul")
    traded = await tieout_reconcile.import_trades(book.dsn, path, declared=declared, key=key)
    moved = await tieout_reconcile.import_records(book.dsn, "movements", path, declared=declared, key=key)
    assert traded.load != moved.load
    worked = await act(book.dsn, proposal(found.finding.key, traded.load, shares=Fraction(2)), key_of("pat"))
    assert worked.work.pending is not None
    await act(book.dsn, Wish(found.finding.key, Kind.APPROVE, proposal=worked.work.pending.action), key_of("anna"))
    with pytest.raises(NotAllowed, match="evidence counts once"):
        await act(book.dsn, proposal(found.finding.key, moved.load, shares=Fraction(2)), key_of("pat"))


async def test_nobody_approves_what_they_proposed_themselves(book: Book) -> None:
    key, number = await proposed(book, by="paul")
    with pytest.raises(NotAllowed, match="somebody else must approve"):
        await act(book.dsn, Wish(key, Kind.APPROVE, proposal=number), key_of("paul"))
    # nor under another name with the same key, nor by becoming an approver in between
    with pytest.raises(NotAllowed, match="two people with one key"):
        await set_person(book.dsn, "paul2", ["approver"], signing.public_text(key_of("paul")), key_of("ada"))
    with pytest.raises(NotAllowed, match="somebody else must approve"):
        await act(book.dsn, Wish(key, Kind.APPROVE, proposal=number), "paul")


async def test_nobody_approves_on_a_document_that_they_handed_in(book: Book) -> None:
    found = await short_book(book)
    await person(book, "anna", "approver", "preparer")
    load = await document(book, by="anna")
    worked = await act(book.dsn, proposal(found.finding.key, load), key_of("pat"))
    assert worked.work.pending is not None
    wish = Wish(found.finding.key, Kind.APPROVE, proposal=worked.work.pending.action)
    with pytest.raises(NotAllowed, match="anna handed in load"):
        await act(book.dsn, wish, key_of("anna"))
    # naming another document in the approval changes nothing: the proposal's counts
    with pytest.raises(NotAllowed, match="anna handed in load"):
        await act(book.dsn, Wish(**{**_fields(wish), "document": 1}), key_of("anna"))
    await act(book.dsn, wish, key_of("paul"))


def _fields(wish: Wish) -> dict[str, Any]:
    return {name: getattr(wish, name) for name in Wish.__slots__}


async def test_a_document_that_nobody_is_known_to_have_handed_in_supports_nothing(book: Book) -> None:
    found = await short_book(book)
    worked = await act(book.dsn, proposal(found.finding.key, await document(book, by=None)), key_of("pat"))
    assert worked.work.pending is not None
    with pytest.raises(NotAllowed, match="nobody is known"):
        await act(book.dsn, Wish(found.finding.key, Kind.APPROVE, proposal=worked.work.pending.action), key_of("anna"))


@pytest.mark.parametrize(
    ("who", "wish", "why"),
    [
        ("stranger", Wish("", Kind.EXPLAIN, note="x"), "belongs to nobody"),
        ("anna", Wish("", Kind.EXPLAIN, note="x"), "needs the role preparer"),
        ("ada", Wish("", Kind.ASSIGN, assignee="pat"), "needs the role preparer"),
        ("pat", Wish("", Kind.APPROVE, proposal=1), "needs the role approver"),
        ("pat", Wish("", Kind.ASSIGN, assignee="nobody"), "is nobody here"),
        ("pat", Wish("", Kind.EXPLAIN), "needs words"),
        ("pat", Wish("", Kind.EXPLAIN, note="x" * 3000), "at most 2000"),
        ("paul", Wish("", Kind.APPROVE, proposal=77), "there is no proposal 77"),
        ("pat", Wish("", Kind.REOPEN), "open already"),
        ("pat", Wish("", Kind.PROPOSE, line="it is fine"), "not one of the lines"),
        ("pat", Wish("", Kind.PROPOSE, line="unsettled_trade"), "needs a document"),
    ],
)
async def test_what_is_not_allowed_is_refused_with_why(book: Book, who: str, wish: Wish, why: str) -> None:
    found = await short_book(book)
    with pytest.raises(NotAllowed, match=why):
        await act(book.dsn, Wish(**{**_fields(wish), "key": found.finding.id}), key_of(who))
    assert (await worked_breaks(book.dsn))[0].actions == ()


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"shares": Fraction("10.50000001")}, "unexplained rest"),
        ({"shares": Fraction(0)}, "unexplained rest"),
        ({"document": 4711}, "needs a document"),
        ({"expires_at": datetime(2020, 1, 1, tzinfo=UTC)}, "not within the next 40 days"),
        ({"expires_at": datetime.now(UTC) + timedelta(days=41)}, "not within the next 40 days"),
    ],
)
async def test_a_proposal_explains_no_more_than_there_is_and_not_for_ever(
    book: Book, more: dict[str, Any], why: str
) -> None:
    found = await short_book(book)
    load = await document(book)
    with pytest.raises(NotAllowed, match=why):
        await act(book.dsn, proposal(found.finding.key, load, **more), key_of("pat"))


async def test_evidence_counts_once_and_one_proposal_waits_at_a_time(book: Book) -> None:
    key, number = await proposed(book, shares=Fraction(10))
    with pytest.raises(NotAllowed, match="waits for its decision"):
        await act(book.dsn, proposal(key, await document(book, quantity="2")), key_of("paul"))
    worked = await act(book.dsn, Wish(key, Kind.APPROVE, proposal=number), key_of("anna"))
    assert worked.unexplained == Fraction("0.5")
    load = worked.actions[0].document
    assert load is not None
    with pytest.raises(NotAllowed, match="evidence counts once"):
        await act(book.dsn, proposal(key, load, shares=Fraction("0.5")), key_of("pat"))
    await act(book.dsn, Wish(key, Kind.REOPEN), key_of("pat"))
    with pytest.raises(NotAllowed, match="evidence counts once"):
        await act(book.dsn, proposal(key, load), key_of("pat"))


async def test_a_break_that_evidence_closed_takes_no_more_work_and_keeps_its_history(book: Book) -> None:
    key, _ = await proposed(book)
    await book.statement("250.5", 91)
    assert (await book.run()).clean
    with pytest.raises(NotFound):
        await act(book.dsn, Wish(key, Kind.EXPLAIN, note="x"), key_of("pat"))
    await book.statement("240", 92)
    await book.run()
    (back,) = await worked_breaks(book.dsn)
    assert (back.finding.key, back.first_run, len(back.actions)) == (key, 1, 1)


async def test_the_log_holds_every_action_and_shows_any_change(book: Book) -> None:
    key, number = await proposed(book)
    await act(book.dsn, Wish(key, Kind.REJECT, proposal=number, note="no such trade"), key_of("anna"))
    entries = await list_audit(book.db, 100)
    did = [(e.actor, e.action) for e in reversed(entries)]
    assert did == [
        ("founder", "person.set"),
        *[("ada", "person.set")] * 3,
        ("pat", "load.import"),
        ("pat", "break.propose"),
        ("anna", "break.reject"),
    ]
    assert await verify_audit(book.db) == (7, [])
    assert await verify_signatures(book.dsn) == []
    for statement in (
        "update audit.entry_row set actor = 'pat'",
        "delete from recon.break_action_row",
        "truncate access.person_row cascade",
        "update recon.break_action_row set actor = 'pat'",
    ):
        with pytest.raises(asyncpg.RestrictViolationError, match="append-only"):
            await book.db.execute(statement)
    # even by somebody who owns the tables
    await book.db.execute("alter table audit.entry_row disable trigger refuse_change")
    await book.db.execute("update audit.entry_row set actor = 'nobody' where entry = 6")
    count, faults = await verify_audit(book.db)
    assert (count, len(faults)) == (7, 1)
    assert "entry 6" in faults[0]
    await book.db.execute("set session_replication_role = replica")
    await book.db.execute("delete from audit.entry_row where entry = 2")
    await book.db.execute("set session_replication_role = origin")
    assert any("entry 2 is missing" in fault for fault in (await verify_audit(book.db))[1])
    await book.db.execute("alter table recon.break_action_row disable trigger refuse_change")
    await book.db.execute("update recon.break_action_row set body = replace(body, 'no such', 'some such')")
    assert any("anna's over" in fault for fault in await verify_signatures(book.dsn))


async def test_a_new_key_leaves_older_signatures_standing_and_a_swapped_file_shows(book: Book) -> None:
    await proposed(book)
    await set_person(book.dsn, "pat", ["preparer"], signing.public_text(key_of("pat's new key")), key_of("ada"))
    assert await verify_signatures(book.dsn) == []
    await book.db.execute("set session_replication_role = replica")
    await book.db.execute("update recon.load_row set sha256 = sha256('another'::bytea) where kind = 'statement'")
    assert ["pat's over the file" in fault for fault in await verify_signatures(book.dsn)] == [True]


async def test_entries_written_at_once_are_chained_one_by_one(book: Book) -> None:
    others = [await asyncpg.connect(book.dsn) for _ in range(4)]

    async def write(connection: asyncpg.Connection, who: int) -> None:
        for number in range(10):
            await append_audit(connection, f"w{who}", "test", "x:1\n", {"n": number, "text": "é\u2028"})

    await asyncio.gather(*(write(c, n) for n, c in enumerate(others)))
    for connection in others:
        await connection.close()
    assert await verify_audit(book.db) == (40, [])


async def test_the_first_person_is_an_admin_and_the_last_admin_stays(book: Book) -> None:
    with pytest.raises(NotAllowed, match="nobody is an admin yet"):
        await person(book, "pat", "preparer", by=None)
    await person(book, "ada", "admin", by=None)
    for by, why in ((None, "an admin changes people"), ("pat", "is no admin's")):
        with pytest.raises(NotAllowed, match=why):
            await person(book, "pat", "preparer", by=by)
    with pytest.raises(NotAllowed, match="the last admin"):
        await set_person(book.dsn, "ada", [], None, key_of("ada"))
    for name, roles, public_key in (
        ("", ["viewer"], None),
        ("x", ["king"], None),
        ("x", ["viewer"], "0OIl"),
        ("x", [], "11"),
    ):
        with pytest.raises(NotAllowed):
            await set_person(book.dsn, name, roles, public_key, key_of("ada"))


async def test_who_lost_their_roles_does_nothing_more(book: Book) -> None:
    found = await short_book(book)
    await set_person(book.dsn, "pat", [], None, key_of("ada"))
    with pytest.raises(NotAllowed, match="pat has no role"):
        await act(book.dsn, Wish(found.finding.key, Kind.EXPLAIN, note="x"), key_of("pat"))
    with pytest.raises(NotAllowed, match="not the role preparer"):
        await document(book, by="pat")
    assert [s.name for s in await tieout_reconcile.list_statements(book.dsn)] != []
    assert "evidence-1.csv" not in json.dumps([s.name for s in await tieout_reconcile.list_statements(book.dsn)])


def test_the_clock_runs_from_the_event_and_an_accepted_line_does_not_stop_it() -> None:
    friday = datetime(2026, 11, 6, 15, tzinfo=UTC)
    assert age_of(None, friday) is None
    age = age_of(friday, friday + timedelta(days=3))
    assert age is not None
    assert (age.days, age.business_days, age.marks) == (3, 1, ())
    old = age_of(friday, friday + timedelta(days=40))
    assert old is not None
    assert (old.days, old.business_days, old.marks) == (40, 28, ("7 business days", "30 days", "40 days"))


@given(
    st.dates(datetime(2020, 1, 1, tzinfo=UTC).date(), datetime(2090, 1, 1, tzinfo=UTC).date()),
    st.integers(0, 400),
    st.lists(st.integers(0, 400), max_size=30, unique=True),
)
def test_business_days_are_counted_as_one_by_one(start: Any, days: int, shut: list[int]) -> None:
    begin = datetime(start.year, start.month, start.day, 17, tzinfo=UTC)  # noon of that day in New York
    closed = tuple(sorted(start + timedelta(days=n) for n in shut))
    plain = age_of(begin, begin + timedelta(days=days))
    age = age_of(begin, begin + timedelta(days=days), Calendar("nyse", closed))
    assert plain is not None
    assert age is not None
    weekdays = [start + timedelta(days=n) for n in range(1, days + 1) if (start + timedelta(days=n)).weekday() < 5]
    assert plain.business_days == len(weekdays)
    assert age.business_days == len(set(weekdays) - set(closed))
    assert (plain.days, age.days) == (days, days)


def test_a_holiday_of_the_registered_calendar_puts_the_mark_off_by_a_day() -> None:
    friday = datetime(2026, 11, 20, 15, tzinfo=UTC)
    thanksgiving = Calendar("nyse", (datetime(2026, 11, 26, tzinfo=UTC).date(),))
    seven_weekdays_on = datetime(2026, 12, 1, 15, tzinfo=UTC)
    plain, counted = age_of(friday, seven_weekdays_on), age_of(friday, seven_weekdays_on, thanksgiving)
    assert plain is not None
    assert counted is not None
    assert (plain.business_days, plain.marks, plain.calendar_registered) == (7, ("7 business days",), False)
    assert (counted.business_days, counted.marks, counted.calendar_registered) == (6, (), True)
    next_day = age_of(friday, seven_weekdays_on + timedelta(days=1), thanksgiving)
    assert next_day is not None
    assert next_day.marks == ("7 business days",)


async def test_the_age_of_a_break_names_the_calendar_of_its_instrument(book: Book) -> None:
    await short_book(book)
    (plain,) = await worked_breaks(book.dsn)
    assert plain.to_json()["age"]["calendar_registered"] is False
    calendar = '[[calendars]]\nid = "nyse"\nclosed = [2026-11-26]\n'
    await book.registry(REGISTRY.replace("decimals = 8", 'decimals = 8\ncalendar = "nyse"') + calendar)
    await book.run()
    (counted,) = await worked_breaks(book.dsn)
    shown = counted.to_json()["age"]
    assert (shown["calendar"], shown["calendar_registered"]) == ("nyse", True)
    # a run that knew no calendar keeps its own counting
    (before,) = await worked_breaks(book.dsn, 1)
    assert before.to_json()["age"] == plain.to_json()["age"]


def cover(key: str, load: int | None, **more: Any) -> Wish:
    wanted = {"assets": "treasury bills of the issuer, account 77", "since": at(90), "shares": Fraction(10), **more}
    return Wish(key, Kind.COVER, document=load, **wanted)


def notice(key: str, load: int | None, **more: Any) -> Wish:
    wanted = {"recipient": "the supervisor", "since": at(95), **more}
    return Wish(key, Kind.NOTIFY, document=load, **wanted)


async def test_a_shortfall_records_its_cover_and_who_was_told_and_its_clock_runs_on(book: Book) -> None:
    found = await short_book(book)
    load = await document(book)
    assert found.uncovered == Fraction("10.5")
    covered = await act(book.dsn, cover(found.finding.key, load), key_of("pat"))
    assert (covered.uncovered, covered.unexplained, covered.work.status) == (Fraction("0.5"), Fraction("10.5"), "open")
    told = await act(book.dsn, notice(found.finding.key, load), key_of("pat"))
    assert [n.recipient for n in told.work.notifications] == ["the supervisor"]
    # a later cover takes the place of the one before
    again = await act(book.dsn, cover(found.finding.key, load, shares=Fraction("10.5")), key_of("paul"))
    assert again.uncovered == 0
    assert again.age == found.age
    shown = again.to_json()["work"]
    assert (shown["cover"]["assets"], shown["cover"]["shares"]) == ("treasury bills of the issuer, account 77", "10.5")
    assert shown["notifications"][0]["document"] == load
    assert (await book.run()).verdict == "does_not_tie_out"
    assert await verify_signatures(book.dsn) == []


@pytest.mark.parametrize(
    ("made", "more", "why"),
    [
        (cover, {"assets": None}, "needs which assets"),
        (cover, {"since": None}, "needs which assets"),
        (cover, {"shares": Fraction(0)}, "needs which assets"),
        (cover, {"document": 4711}, "needs which assets"),
        (cover, {"since": datetime(2990, 1, 1, tzinfo=UTC)}, "not come yet"),
        (cover, {"assets": "x" * 501}, "at most 500"),
        (notice, {"recipient": ""}, "needs to whom"),
        (notice, {"document": None}, "needs to whom"),
        (notice, {"since": datetime(2990, 1, 1, tzinfo=UTC)}, "not come yet"),
    ],
)
def test_a_cover_or_notification_that_lacks_something_is_refused(made: Any, more: dict[str, Any], why: str) -> None:
    now = datetime(2026, 12, 1, tzinfo=UTC)
    pat = Person("pat", ("preparer",), None)
    wish = replace(made("k", 7), **more)
    evidence = Evidence(7, "pat", ()) if wish.document == 7 else None
    with pytest.raises(NotAllowed, match=why):
        refuse_unless_allowed(wish, pat, Case("k", Fraction(-10), (), evidence, now), [pat])
    whole = Case("k", Fraction(-10), (), Evidence(7, "pat", ()), now)
    refuse_unless_allowed(made("k", 7), pat, whole, [pat])


async def test_what_is_no_shortfall_takes_no_cover_and_the_same_assets_cover_one(book: Book) -> None:
    found = await short_book(book)
    load = await document(book)
    await act(book.dsn, cover(found.finding.key, load), key_of("pat"))
    case = Case("another", Fraction(-5), (), Evidence(load, "pat", (), (found.finding.key,)), datetime.now(UTC))
    pat = Person("pat", ("preparer",), None)
    with pytest.raises(NotAllowed, match="the same assets cover one shortfall"):
        refuse_unless_allowed(cover("another", load), pat, case, [pat])
    with pytest.raises(NotAllowed, match="no shortfall"):
        refuse_unless_allowed(cover("another", load), pat, replace(case, size=Fraction(5)), [pat])
    with pytest.raises(NotAllowed, match="needs the role preparer"):
        await act(book.dsn, cover(found.finding.key, load), key_of("anna"))


def test_an_expired_line_explains_nothing_any_more() -> None:
    start = at(0)
    propose = Action(1, "k", Kind.PROPOSE, "pat", start, line="unsettled_trade", document=1, shares=Fraction(3),
                     expires_at=start + timedelta(days=2))  # fmt: skip
    approve = Action(2, "k", Kind.APPROVE, "anna", start, proposal=1)
    assert work_of([propose, approve], start + timedelta(days=1)).explained_shares == 3
    later = work_of([propose, approve], start + timedelta(days=2))
    assert later.status == "expired"
    assert later.explained_shares == 0


async def test_the_database_lets_nobody_approve_in_anothers_name(book: Book) -> None:
    key, number = await proposed(book, by="paul")
    row = (
        "insert into recon.break_action_row (action, key, kind, actor, at, proposal, signature, body, entry) "
        "select 99, $1, 'approve', $2, clock_timestamp(), $3, $4, '{}', 1"
    )
    for actor, signature, why in (
        ("anna", None, "anna has no session and signs nothing"),
        ("paul", "s", "paul made proposal"),
        ("pat", "s", "pat handed in the evidence"),
    ):
        with pytest.raises(asyncpg.RestrictViolationError, match=why):
            await book.db.execute(row, key, actor, number, signature)
    # nor does whom the proposer made an approver
    await set_person(book.dsn, "ada", ["admin", "preparer"], None, key_of("ada"))
    await act(book.dsn, Wish(key, Kind.REJECT, proposal=number), key_of("anna"))
    again = await act(book.dsn, proposal(key, await document(book, by="paul", quantity="2")), key_of("ada"))
    await person(book, "eve", "approver")
    assert again.work.pending is not None
    wish = Wish(key, Kind.APPROVE, proposal=again.work.pending.action)
    with pytest.raises(NotAllowed, match=r"ada made proposal .*, and gave eve the key"):
        await act(book.dsn, wish, key_of("eve"))


async def test_a_person_has_one_name_and_a_key_is_one_persons_for_ever(book: Book) -> None:
    await short_book(book)
    await set_person(book.dsn, "pat", ["preparer"], signing.public_text(key_of("new")), key_of("ada"))
    with pytest.raises(NotAllowed, match="is or was that of pat"):
        await set_person(book.dsn, "ana", ["approver"], signing.public_text(key_of("pat")), key_of("ada"))
    for alike in ("Pat", "ｐａｔ"):
        with pytest.raises(NotAllowed, match="reads as 'pat'"):
            await person(book, alike, "approver")


async def test_a_person_whom_no_admin_signed_for_is_found(book: Book) -> None:
    await short_book(book)
    assert await verify_signatures(book.dsn) == []
    key = signing.public_text(key_of("mallory"))
    details = {"public_key": key, "roles": ["approver"]}
    entry = await append_audit(book.db, "ada", "person.set", "mallory", details)
    await book.db.execute("insert into access.person_row values ('mallory', 1, $1, array['approver'], $2)", key, entry)
    assert await verify_signatures(book.dsn) == ["person mallory, version 1: ada did not sign it"]
