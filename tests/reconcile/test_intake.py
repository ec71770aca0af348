"""What a file may claim when it is taken in: its one date, a period that is over, references that are its own."""

from datetime import UTC, datetime, timedelta

import pytest

import tieout_reconcile
from reconcile.builders import ISIN, ONE, REGISTRY, Book, at, codes, issue, memo, step
from reconcile.rendering import Account, Held, to_alpaca
from reconcile.test_workflow import key_of, person
from tieout_reconcile import BadInput, Imported, Period, Verdict
from tieout_reconcile.loads import Load, Replay
from tieout_reconcile.store import statements_known

BARE = f"I,Q\n{ISIN},100\n"
MAP = 'account = "ITN-1"\nbasis = "settled"\n[columns]\nisin = "I"\nquantity = "Q"\n'


async def take(book: Book, slot: int, *, by: str | None = None, correct: bool = False, text: str = BARE) -> Imported:
    """The same bytes, which carry no date, declared as of a slot's instant."""
    path, given = book.file("s.csv", text), book.file("map.toml", MAP)
    return await tieout_reconcile.import_statement(
        book.dsn, path, map_path=given, as_of=at(slot), correct=correct, key=None if by is None else key_of(by)
    )


async def in_force(book: Book, slot: int = 90, load: int = 2**62) -> dict[str, datetime]:
    """The statement that counts for each account, as the database says it and as a replay of the files does."""
    statements, later = await statements_known(book.db, load, at(slot))
    rows = await book.db.fetch(
        "select load, kind, name, format, declared, body from recon.load_bodies where load <= $1 order by load", load
    )
    replayed = Replay([Load(**row) for row in rows]).book(at(slot))
    assert (replayed.statements, replayed.later_statements) == (statements, later)
    return {account: found.as_of for (_, account), found in statements.items()}


async def test_the_same_bytes_under_another_date_are_refused_unless_a_person_corrects_them(book: Book) -> None:
    await book.registry()
    await person(book, "ada", "admin", by=None)
    await person(book, "pat", "preparer")
    await take(book, 80)
    assert not (await take(book, 80)).new
    for wrong in (take(book, 20), take(book, 20, by="pat")):
        with pytest.raises(BadInput, match=r"a file has one date; if that one was wrong, say so with --correct"):
            await wrong
    with pytest.raises(BadInput, match="under a personal key: give --key"):
        await take(book, 20, correct=True)
    with pytest.raises(tieout_reconcile.NotAllowed):
        await take(book, 20, correct=True, by="nobody")
    before = await book.db.fetchval("select max(load) from recon.loads")
    assert await in_force(book) == {"ITN-1": at(80)}
    assert (await take(book, 20, correct=True, by="pat")).new
    # the wrong date stands no more, and what was known before still says what it said
    assert await in_force(book) == {"ITN-1": at(20)}
    assert await in_force(book, load=before) == {"ITN-1": at(80)}
    assert not (await take(book, 20)).new
    assert not (await take(book, 20, correct=True, by="pat")).new
    listed = await tieout_reconcile.list_statements(book.dsn)
    assert [(s.as_of, s.superseded) for s in listed] == [(at(80), True), (at(20), False)]
    with pytest.raises(BadInput, match="one date"):
        await take(book, 80)
    assert (await take(book, 80, correct=True, by="pat")).new
    assert await in_force(book) == {"ITN-1": at(80)}
    # other bytes are another file
    assert (await take(book, 85, text=BARE + "\n")).new


def test_a_file_that_a_later_version_read_is_not_read_by_guess() -> None:
    with pytest.raises(BadInput, match="by a rule that this version does not know"):
        Replay([Load(1, "statement", "s.csv", "csv/99", None, BARE.encode())])


async def test_one_file_may_be_declared_for_two_accounts(book: Book) -> None:
    await book.registry(REGISTRY + '[[custodians.accounts]]\nid = "ITN-2"\n')
    path = book.file("p.json", to_alpaca(Account("", at(1), "trade_date", (Held(ISIN, 10**9),))))
    given = book.file("map.toml", f'[isins]\nAAPL = "{ISIN}"\n')
    for account, slot in (("ITN-1", 5), ("ITN-2", 6)):
        await tieout_reconcile.import_statement(book.dsn, path, map_path=given, account=account, as_of=at(slot))
    assert len(await tieout_reconcile.list_statements(book.dsn)) == 2


async def test_a_period_that_has_not_ended_is_refused(book: Book) -> None:
    await book.registry()
    coming = datetime.now(UTC) + timedelta(days=3)
    empty = "custodian,account,isin,quantity,kind,reference,settled_at\n"
    path = book.file("m.csv", empty)
    for end, taken in ((coming, False), (at(50), True)):
        declared = Period(at(1), end, "alpaca", "ITN-1")
        if taken:
            assert (await tieout_reconcile.import_records(book.dsn, "movements", path, declared=declared)).new
        else:
            with pytest.raises(BadInput, match="which is to come: it may end at"):
                await tieout_reconcile.import_records(book.dsn, "movements", path, declared=declared)
    assert await book.db.fetchval("select max(to_at) from recon.movement_spans") == at(50)


async def test_an_old_statement_does_not_stay_fresh_by_a_period_that_is_to_come(book: Book) -> None:
    await book.commit()
    await book.open_mint()
    await book.mint(10, "treasury", 1000 * ONE)
    await book.transfer(20, "treasury", "ap", 100 * ONE, memo=memo("issue", "R"))
    await book.track(100)
    await book.registry()
    await book.orders(issue("R", "100"))
    await book.statement("100", -400 * 3600)
    assert (await book.run()).verdict is Verdict.INCOMPLETE
    path = book.file("m.csv", "custodian,account,isin,quantity,kind,reference,settled_at\n")
    declared = Period(at(-400 * 3600), datetime(2100, 1, 1, tzinfo=UTC), "alpaca", "ITN-1")
    with pytest.raises(BadInput, match="which is to come"):
        await tieout_reconcile.import_records(book.dsn, "movements", path, declared=declared)
    run = await book.run()
    assert (run.verdict, "B5" in codes(run)) == (Verdict.INCOMPLETE, True)


async def test_an_action_of_other_shares_or_another_kind_under_a_known_reference_is_refused(book: Book) -> None:
    await book.registry()
    await book.records("actions", step("CA1", 50, "2"))
    await book.records("actions", step("CA1", 50, "3"))
    with pytest.raises(BadInput) as bad:
        await book.records("actions", step("CA1", 70, "1/2", kind="reverse_split"))
    (fault,) = bad.value.problems
    assert fault.startswith('line 2: "CA1" is a reverse_split of')
    assert f"a split of {ISIN} in " in fault
    assert "actions-" in fault
    assert "(load 3): two events need two references" in fault
    await book.records("actions", step("CA2", 70, "1/2", kind="reverse_split"))
    assert [(a.action_id, a.factor) for a in await tieout_reconcile.list_records(book.dsn, "actions")] == [
        ("CA1", "3"),
        ("CA2", "1/2"),
    ]
