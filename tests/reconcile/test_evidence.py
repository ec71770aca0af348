"""Whose word a figure is: soft evidence never counts, and the verdict is told without each unproven wallet."""

from fractions import Fraction

import pytest

import tieout_reconcile
from reconcile.builders import ISIN, ONE, REGISTRY, Book, address, at, codes, iso, issue, memo
from tieout_reconcile import BadInput, Verdict

PROOF = 'holder = "Issuer AG"\nevidence = "deed 7"\nproven_at = 2026-06-01T00:00:00Z\n'
PROVEN = REGISTRY.replace('role = "treasury"\n', f'role = "treasury"\n{PROOF}')
BROKER = '[[custodians]]\nid = "house"\nname = "House"\nevidence = "{}"\n[[custodians.accounts]]\nid = "H-1"\n'


async def opened(book: Book, registry: str) -> None:
    """A hundred tokens outside, nine hundred in the treasury, sixty shares at the custodian."""
    await book.commit()
    await book.open_mint()
    await book.mint(10, "treasury", 1000 * ONE)
    await book.transfer(20, "treasury", "ap", 100 * ONE, memo=memo("issue", "REQ-1"))
    await book.track(100)
    await book.registry(registry)
    await book.orders(issue("REQ-1", "100"))
    await book.statement("60", 90)


async def positions(book: Book, custodian: str, account: str, quantity: str) -> None:
    row = f"{custodian},{account},{ISIN},{quantity},settled,{iso(90)}"
    text = f"custodian,account,isin,quantity,basis,as_of\n{row}\n"
    await tieout_reconcile.import_statement(book.dsn, book.file("house.csv", text))


@pytest.mark.parametrize(
    ("evidence", "custody", "soft"), [("broker", 100, None), ("affiliate", 60, 40), ("management", 60, 40)]
)
async def test_what_only_an_affiliate_or_management_says_never_counts_as_custody(
    book: Book, evidence: str, custody: int, soft: int | None
) -> None:
    await opened(book, PROVEN + BROKER.format(evidence))
    await positions(book, "house", "H-1", "40")
    (aapl,) = (await book.run()).instruments
    assert (aapl.custody, aapl.soft) == (Fraction(custody), None if soft is None else Fraction(soft))
    assert aapl.verdict is (Verdict.TIES_OUT if custody == 100 else Verdict.DOES_NOT_TIE_OUT)
    assert [line.evidence for line in aapl.accounts] == ["custodian", evidence]
    assert (await tieout_reconcile.coverage(book.dsn)).instruments[0].custody == custody


async def test_a_soft_account_that_says_nothing_is_missed_by_nobody_and_none_but_soft_ones_prove_nothing(
    book: Book,
) -> None:
    await opened(book, PROVEN + BROKER.format("management"))
    assert (await book.run()).verdict is Verdict.DOES_NOT_TIE_OUT
    await book.registry(PROVEN.replace('name = "Alpaca', 'evidence = "management"\nname = "Alpaca'))
    run = await book.run()
    assert (run.verdict, codes(run)) == (Verdict.INCOMPLETE, ["B6"])
    assert run.instruments[0].custody is None


async def test_the_verdict_is_told_without_each_wallet_that_is_not_proven_to_be_the_issuers(book: Book) -> None:
    await opened(book, REGISTRY)
    await book.statement("100", 91)
    run = await book.run()
    (line,) = run.instruments[0].unproven
    assert run.verdict is Verdict.TIES_OUT
    assert (line.address, line.role, int(line.raw)) == (address("treasury"), "treasury", 900 * ONE)
    assert (line.liability, line.difference, line.verdict) == (Fraction(1000), Fraction(-900), Verdict.DOES_NOT_TIE_OUT)
    assert (await tieout_reconcile.coverage(book.dsn)).instruments[0].unproven == (line,)
    await book.registry(PROVEN)
    assert (await book.run()).instruments[0].unproven == ()
    # before control of its key was proven it was not
    assert [u.address for u in (await book.run(at(60))).instruments[0].unproven] == []
    await book.registry(PROVEN.replace("2026-06-01", "2026-12-01"))
    assert len((await book.run()).instruments[0].unproven) == 1


async def test_an_evidence_class_that_is_none_is_refused(book: Book) -> None:
    await book.commit()
    with pytest.raises(BadInput, match="is not one of custodian, broker, affiliate, management"):
        await book.registry(REGISTRY.replace("quantum", 'evidence = "friends"\nquantum'))


async def test_a_registry_that_says_nothing_of_it_is_the_same_as_before_it_could(book: Book) -> None:
    await book.commit()
    await book.registry(REGISTRY)
    plain = (await tieout_reconcile.show_registry(book.dsn)).to_json()
    assert "evidence" not in plain["custodians"][0]
    assert {"holder", "proven_at"}.isdisjoint(plain["wallets"][0])


async def test_what_management_says_is_bought_explains_no_gap(book: Book) -> None:
    await opened(book, PROVEN + BROKER.format("management"))
    header = "custodian,account,isin,reference,side,quantity,traded_at,settles_on,status,status_at"
    row = f"{{}},{{}},{ISIN},T-1,buy,40,{iso(15)},2026-11-03,pending,"
    for custodian, account, verdict in (
        ("house", "H-1", Verdict.DOES_NOT_TIE_OUT),
        ("alpaca", "ITN-1", Verdict.TIES_OUT_IN_SETTLEMENT),
    ):
        text = "\n".join([header, row.format(custodian, account)])
        await tieout_reconcile.import_trades(book.dsn, book.file(f"{custodian}.csv", text))
        assert (await book.run()).verdict is verdict
