"""Shares that are lent out: recall and collateral on lines of their own, and never anything but less in custody."""

from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

import tieout_reconcile
from reconcile.builders import ISIN, ONE, REGISTRY, Book, codes, iso, issue, memo
from reconcile.test_coverage import figures
from reconcile.test_reports import TRUSTED, failed, made
from tieout_reconcile import BadInput, Verdict, verify_report
from tieout_reconcile.files import InputFile
from tieout_reconcile.loans import parse_loans
from tieout_reconcile.registry_file import parse_registry

KNOWN = parse_registry(InputFile("r", REGISTRY.encode()))


def loan(reference: str = "L-1", quantity: str = "30", position: str = "left", **more: Any) -> dict[str, Any]:
    return {"custodian": "alpaca", "account": "ITN-1", "isin": ISIN, "reference": reference, "quantity": quantity,
            "position": position, "lent_at": "2026-10-20T14:00:00Z", "document": "GMSLA 7", **more}  # fmt: skip


def recalled(due_on: str = "2026-11-03", at: str = "2026-10-28T14:00:00Z") -> dict[str, str]:
    return {"recalled_at": at, "due_on": due_on}


COLLATERAL = {"collateral_amount": "6150.25", "collateral_currency": "USD"}


async def lender(book: Book, custody: str = "100", lent: str = "") -> None:
    """A hundred shares are owed; the statement has ``custody``, ``lent`` of them on loan by its own word."""
    await book.commit()
    await book.open_mint()
    await book.mint(10, "treasury", 1000 * ONE)
    await book.transfer(20, "treasury", "ap", 100 * ONE, memo=memo("issue", "REQ-1"))
    await book.track(100)
    await book.registry()
    await book.orders(issue("REQ-1", "100"))
    names = {"account": "a", "isin": "i", "quantity": "q", "as_of": "t", "basis": "b", "lent": "l"}
    columns = 'custodian = "alpaca"\n[columns]\n' + "".join(f'{name} = "{said}"\n' for name, said in names.items())
    rows = book.file("positions.csv", f"a,i,q,t,b,l\nITN-1,{ISIN},{custody},{iso(90)},settled,{lent or 0}\n")
    await tieout_reconcile.import_statement(book.dsn, rows, map_path=book.file("map.toml", columns))


async def test_a_recall_and_its_collateral_are_lines_that_add_nothing_to_custody(book: Book) -> None:
    await lender(book, "70")
    before = await book.run(keep=False)
    await book.records("loans", loan(borrower="Bank", **recalled(), **COLLATERAL))
    run = await book.run()
    (was,), (aapl,) = before.instruments, run.instruments
    assert (aapl.custody, aapl.difference, aapl.verdict) == (was.custody, was.difference, was.verdict)
    assert (aapl.custody, aapl.verdict) == (Fraction(70), Verdict.DOES_NOT_TIE_OUT)
    assert codes(run) == codes(before) == ["B1"]
    (line,) = aapl.loans
    assert (line.shares, line.state, line.collateral_amount, line.collateral_currency) == (
        Fraction(30), "recalled", Fraction("6150.25"), "USD",
    )  # fmt: skip
    assert (str(line.due_on), str(line.expires_on), line.document) == ("2026-11-03", "2026-11-03", "GMSLA 7")


async def test_shares_that_come_back_leave_their_line(book: Book) -> None:
    await lender(book)
    await book.records("loans", loan(), loan("L-2"), loan("L-3", lent_at=iso(500)))
    await book.records("loans", loan(returned_at=iso(95)), loan("L-2", returned_at=iso(500)))
    run = await book.run()
    assert [(x.reference, x.state) for x in run.instruments[0].loans] == [("L-2", "lent")]
    assert run.clean


@pytest.mark.parametrize(
    ("said", "state"),
    [
        (recalled("2026-10-30"), "overdue"),
        (recalled("2026-11-02"), "recalled"),
        # a day years from now keeps no recall coming: ten business days are over
        (recalled("2028-01-03", "2026-10-16T14:00:00Z"), "overdue"),
        (recalled("2026-11-05", iso(500)), "lent"),
        ({}, "lent"),
    ],
)
async def test_a_recall_is_overdue_when_its_day_is_over(book: Book, said: dict[str, str], state: str) -> None:
    await lender(book)
    await book.records("loans", loan(**{"lent_at": "2026-10-01T14:00:00Z"} | said, **COLLATERAL))
    run = await book.run()
    assert [x.state for x in run.instruments[0].loans] == [state]
    assert codes(run) == (["B20"] if state == "overdue" else [])
    assert run.instruments[0].verdict is Verdict.TIES_OUT


async def test_an_overdue_recall_is_named_with_what_is_held_for_it(book: Book) -> None:
    await lender(book)
    await book.records("loans", loan(borrower="Bank", **recalled("2026-10-30"), **COLLATERAL))
    (found,) = (await book.run()).breaks
    assert (found.code, found.name, found.shares) == ("B20", "RECALL_OVERDUE", Fraction(30))
    assert found.key.endswith("/loan/alpaca/L-1")
    assert found.details == {"reference": "L-1", "document": "GMSLA 7"}
    for word in ('lent to "Bank" under L-1', "due back on 2026-10-30", "6150.25 USD of cash are held for them"):
        assert word in found.summary


@pytest.mark.parametrize(
    ("lent", "position", "custody", "taken"),
    [
        ("", "left", 100, 0),
        ("", "included", 70, 30),
        ("12.5", "included", 70, 30),
        ("40", "included", 60, 40),
        ("12.5", "left", Fraction("87.5"), Fraction("12.5")),
    ],
)
async def test_what_a_statement_includes_and_does_not_call_lent_is_taken_off(
    book: Book, lent: str, position: str, custody: Any, taken: Any
) -> None:
    await lender(book, "100", lent)
    await book.records("loans", loan(position=position))
    run = await book.run()
    (account,) = run.instruments[0].accounts
    assert (run.instruments[0].custody, account.shares, account.encumbered, account.aggregate) == (
        custody, custody, taken, Fraction(100),
    )  # fmt: skip
    assert [(e.kind, e.shares) for e in account.encumbrances] == ([("lent", taken)] if taken else [])


async def test_a_loan_made_after_the_statement_takes_nothing_from_it(book: Book) -> None:
    await lender(book)
    await book.records("loans", loan(position="included", lent_at=iso(95)))
    assert (await book.run()).instruments[0].custody == 100


async def test_a_loan_of_an_account_that_is_no_collateral_is_no_line(book: Book) -> None:
    await lender(book)
    more = '[[custodians.accounts]]\nid = "OWN"\ninstruments = []\n'
    await book.registry(REGISTRY + more)
    await book.records("loans", loan(account="OWN", **recalled("2026-10-30")))
    run = await book.run()
    assert (run.instruments[0].loans, codes(run)) == ((), [])


async def test_the_figures_by_look_up_have_the_same_loans_as_a_run(book: Book) -> None:
    await lender(book)
    await book.records("loans", loan(position="included", **recalled()))
    await book.run()
    found = await tieout_reconcile.coverage(book.dsn, 100)
    assert found.walked == ()
    assert figures(found) == figures(await tieout_reconcile.run(book.dsn, 100, keep=False))


async def test_a_report_tells_loans_and_verifies_offline(book: Book, tmp_path: Path) -> None:
    await lender(book)
    await book.records("loans", loan(position="included", **recalled("2026-10-30"), **COLLATERAL))
    path = await made(book, tmp_path)
    assert failed(verify_report(path, TRUSTED)) == {}


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"position": "somewhere"}, 'position "somewhere" is not one of included, left'),
        ({"quantity": "0"}, 'quantity "0" is 0'),
        ({"isin": "US0378331006"}, 'isin "US0378331006" is no ISIN'),
        ({"account": "X"}, 'account "X" at custodian "alpaca" is not in the registry'),
        ({"document": ""}, "has no document: say where the loan is on record"),
        ({"recalled_at": "2026-10-28T14:00:00Z"}, "gives recalled_at and no due_on: both are wanted, or neither"),
        ({"due_on": "2026-10-28"}, "gives due_on and no recalled_at"),
        ({"collateral_amount": "5"}, "gives collateral_amount and no collateral_currency"),
        ({"returned_at": "2026-10-01T14:00:00Z"}, "is before lent_at"),
        (recalled("2026-10-27"), "due_on 2026-10-27 is before the day of the recall, 2026-10-28"),
    ],
)
def test_a_loan_that_does_not_say_what_it_is_refuses_the_file(more: dict[str, str], said: str) -> None:
    row = loan(**recalled(), **COLLATERAL) | {"recalled_at": "", "due_on": "", "collateral_amount": "",
                                             "collateral_currency": "", "returned_at": ""} | more  # fmt: skip
    text = ",".join(row) + "\n" + ",".join(row.values()) + "\n"
    with pytest.raises(BadInput) as bad:
        parse_loans(InputFile("loans.csv", text.encode()), KNOWN)
    (fault,) = bad.value.problems
    assert fault.startswith("line 2: ")
    assert said in fault
