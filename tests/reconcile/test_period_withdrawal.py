"""A period opened with a wrong end: withdrawn by two persons, never one that was locked; the audit log keeps it."""

from pathlib import Path

import asyncpg
import pytest

from reconcile.builders import Book, at
from reconcile.test_periods import books, key_file, locked, second
from reconcile.test_workflow import key_of
from support.command import tieout_here
from tieout_database import list_audit, verify_audit
from tieout_reconcile import (
    NotAllowed,
    NotFound,
    PeriodKind,
    ReportingPeriod,
    decide_period,
    list_periods,
    open_period,
    propose_period,
    show_period,
    verify_signatures,
)


async def opened(book: Book) -> ReportingPeriod:
    """The first period, opened with a wrong end."""
    await books(book)
    return await open_period(book.dsn, "p1", at(0), at(45), key_of("pat"))


async def test_a_period_opened_with_a_wrong_end_is_withdrawn_by_two_and_its_name_opened_again(book: Book) -> None:
    await opened(book)
    asked = await decide_period(book.dsn, PeriodKind.ASK_WITHDRAW, "p1", key_of("pat"), note="it ends at 50")
    assert (asked.standing.status, asked.proposed) == ("withdrawing", None)
    gone = await decide_period(book.dsn, PeriodKind.WITHDRAW, "p1", key_of("anna"))
    assert (gone.standing.status, gone.opening, gone.to_at) == ("withdrawn", 1, at(45))
    assert await list_periods(book.dsn) == []
    with pytest.raises(NotFound, match="no period 'p1'"):
        await show_period(book.dsn, "p1")
    again = await open_period(book.dsn, "p1", at(0), at(50), key_of("pat"))
    assert (again.standing.status, again.opening, again.actions) == ("open", 2, ())
    await book.run(at(50))
    await propose_period(book.dsn, "p1", key_of("pat"))
    done = await decide_period(book.dsn, PeriodKind.SIGN, "p1", key_of("anna"))
    assert (done.standing.status, done.to_at) == ("locked", at(50))
    assert [(p.period, p.opening, p.standing.status) for p in await list_periods(book.dsn, withdrawn=True)] == [
        ("p1", 2, "locked"), ("p1", 1, "withdrawn"),
    ]  # fmt: skip
    said = [(e.actor, e.action) for e in reversed(await list_audit(book.db, 6))]
    assert said[:4] == [
        ("pat", "period.open"), ("pat", "period.ask_withdraw"), ("anna", "period.withdraw"), ("pat", "period.open"),
    ]  # fmt: skip
    assert (await verify_audit(book.db))[1] == []
    assert await verify_signatures(book.dsn) == []
    await second(book)


async def test_the_wish_to_withdraw_may_be_rejected_and_nothing_else_is_done_meanwhile(book: Book) -> None:
    await opened(book)
    await book.run(at(45))
    await decide_period(book.dsn, PeriodKind.ASK_WITHDRAW, "p1", key_of("pat"), note="wrong")
    with pytest.raises(NotAllowed, match="is withdrawing: nothing can be proposed"):
        await propose_period(book.dsn, "p1", key_of("pat"))
    with pytest.raises(NotAllowed, match="nothing waits on the period p1 to sign"):
        await decide_period(book.dsn, PeriodKind.SIGN, "p1", key_of("anna"))
    kept = await decide_period(book.dsn, PeriodKind.REJECT, "p1", key_of("anna"), note="it is right")
    assert kept.standing.status == "open"
    assert (await propose_period(book.dsn, "p1", key_of("pat"))).standing.status == "proposed"


async def test_withdrawing_needs_a_preparer_and_a_reason(book: Book) -> None:
    await opened(book)
    for who, note, why in (
        ("anna", "wrong", "needs the role preparer"), ("pat", None, "needs a reason"), ("pat", " ", "needs a reason"),
    ):  # fmt: skip
        with pytest.raises(NotAllowed, match=why):
            await decide_period(book.dsn, PeriodKind.ASK_WITHDRAW, "p1", key_of(who), note=note)


async def test_nobody_withdraws_alone_nor_past_the_program(book: Book) -> None:
    await opened(book)
    await decide_period(book.dsn, PeriodKind.ASK_WITHDRAW, "p1", key_of("paul"), note="wrong")
    with pytest.raises(NotAllowed, match="somebody else must withdraw"):
        await decide_period(book.dsn, PeriodKind.WITHDRAW, "p1", key_of("paul"))
    row = "insert into recon.period_action_row select 99, 'p1', $1, $2, now(), 'n', null, null, 1, 's', 'b', 1"
    with pytest.raises(asyncpg.RestrictViolationError, match="somebody else decides"):
        await book.db.execute(row, "withdraw", "paul")
    with pytest.raises(asyncpg.RestrictViolationError, match="is nothing that sign decides on"):
        await book.db.execute(row, "sign", "anna")
    with pytest.raises(asyncpg.UniqueViolationError, match="there is a period p1 already"):
        await book.db.execute(
            "insert into recon.period_row select period, from_at, to_at, actor, at, signature, body, entry, 2 "
            "from recon.period_row"
        )
    await decide_period(book.dsn, PeriodKind.WITHDRAW, "p1", key_of("anna"))
    with pytest.raises(asyncpg.RestrictViolationError, match="is withdrawn: propose refused"):
        await book.db.execute(row.replace("null, null, 1", "1, 'c', null"), "propose", "pat")


async def test_one_that_was_ever_locked_or_that_another_follows_is_never_withdrawn(book: Book) -> None:
    await locked(book)
    for _ in range(2):
        with pytest.raises(NotAllowed, match="was locked once"):
            await decide_period(book.dsn, PeriodKind.ASK_WITHDRAW, "p1", key_of("pat"), note="wrong")
        row = (
            "insert into recon.period_action_row "
            "select 99, 'p1', 'ask_withdraw', 'x', now(), 'n', null, null, null, 's', 'b', 1"
        )
        with pytest.raises(asyncpg.RestrictViolationError, match="was locked once"):
            await book.db.execute(row)
        if (await show_period(book.dsn, "p1", later=False)).standing.status == "locked":
            await decide_period(book.dsn, PeriodKind.ASK_REOPEN, "p1", key_of("pat"), note="again")
            await decide_period(book.dsn, PeriodKind.REOPEN, "p1", key_of("anna"))
    await open_period(book.dsn, "p2", None, at(60), key_of("pat"))
    await open_period(book.dsn, "p3", None, at(70), key_of("pat"))
    with pytest.raises(NotAllowed, match="the period p3 begins where p2 ends"):
        await decide_period(book.dsn, PeriodKind.ASK_WITHDRAW, "p2", key_of("pat"), note="wrong")
    with pytest.raises(asyncpg.RestrictViolationError, match="is not the last one"):
        await book.db.execute(row.replace("'p1'", "'p2'"))


async def test_a_period_that_was_opened_meanwhile_keeps_the_one_before_it(book: Book) -> None:
    await opened(book)
    await decide_period(book.dsn, PeriodKind.ASK_WITHDRAW, "p1", key_of("pat"), note="wrong")
    await open_period(book.dsn, "p2", None, at(60), key_of("pat"))
    with pytest.raises(NotAllowed, match="the period p2 begins where p1 ends: withdraw that one first"):
        await decide_period(book.dsn, PeriodKind.WITHDRAW, "p1", key_of("anna"))


async def test_the_commands_withdraw_and_list_what_was_withdrawn(book: Book, tmp_path: Path) -> None:
    await opened(book)
    pat, anna, more = key_file(tmp_path, "pat"), key_file(tmp_path, "anna"), ("--dsn", book.dsn, "--json")
    asked = await tieout_here("period", "ask-withdraw", "p1", "--note", "wrong end", "--key", pat, *more)
    assert (asked.code, asked.json["period"]["status"]) == (0, "withdrawing"), asked.err
    alone = await tieout_here("period", "withdraw", "p1", "--key", pat, *more)
    assert alone.code == 2
    gone = await tieout_here("period", "withdraw", "p1", "--key", anna, *more)
    assert (gone.code, gone.json["period"]["status"]) == (0, "withdrawn")
    assert (await tieout_here("period", "list", *more)).json["periods"] == []
    listed = await tieout_here("period", "list", "--withdrawn", *more)
    assert [(p["period"], p["status"]) for p in listed.json["periods"]] == [("p1", "withdrawn")]
