"""Tokens that wrap an instrument's: left out of what is owed, told on their own, and compared with their escrow."""

from datetime import timedelta
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

import tieout_reconcile
from reconcile.builders import ONE, REGISTRY, Book, address, at, codes, step, wallet
from reconcile.test_coverage import figures
from reconcile.test_elsewhere import opened, reading
from reconcile.test_inputs import KNOWN
from reconcile.test_reports import TRUSTED, failed, made
from tieout_reconcile import BadInput, Verdict, verify_report
from tieout_reconcile.elsewhere import wrappers
from tieout_reconcile.files import InputFile
from tieout_reconcile.other_chains import parse_chains
from tieout_reconcile.registry_file import parse_registry
from tieout_reconcile.saying import said_digests

BEFORE = "33ecd38ef9ada366dc7b11fa2866924e7a5e34d29e448c89b35da9e492fb645b"


def wrapper(supply: str, escrowed: str, slot: int = 80, **more: Any) -> dict[str, Any]:
    return reading(supply, slot, wrapper="wAAPLx", escrowed=escrowed, **more)


async def test_a_wrapper_adds_nothing_to_what_is_owed_and_has_a_line_of_its_own(book: Book) -> None:
    await opened(book)
    await book.statement("150", 90)
    await book.records("chains", reading("50", 80), wrapper("20.5", "21"))
    run = await book.run()
    (aapl,) = run.instruments
    assert (run.clean, aapl.liability, aapl.other_chains) == (True, Fraction(150), Fraction(50))
    assert [n.network for n in aapl.networks] == ["ethereum"]
    (line,) = aapl.wrappers
    assert (line.network, line.wrapper, line.wraps, line.supply, line.escrowed, line.covered) == (
        "ethereum", "wAAPLx", "AAPLx", Fraction("20.5"), Fraction(21), True,
    )  # fmt: skip


async def test_a_wrapper_on_the_indexed_chain_needs_no_other_network(book: Book) -> None:
    await opened(book, REGISTRY)
    await book.statement("100", 90)
    await book.records("chains", wrapper("2000000000", "2000000000", unit="raw", decimals=8, network="solana"))
    run = await book.run()
    assert (run.clean, run.instruments[0].networks) == (True, ())
    assert [(w.network, w.supply) for w in run.instruments[0].wrappers] == [("solana", Fraction(20))]


async def test_a_wrapper_that_promises_more_than_its_escrow_holds_is_named_and_changes_no_figure(book: Book) -> None:
    await opened(book)
    await book.statement("150", 90)
    await book.records("chains", reading("50", 80), wrapper("21.5", "21", block="77"))
    run = await book.run()
    (found,) = run.breaks
    assert (found.code, found.name, found.shares) == ("B21", "WRAPPER_UNBACKED", Fraction("0.5"))
    assert found.key.endswith("/wrapper/ethereum/wAAPLx")
    assert "its supply is 21.5, its escrow holds 21" in found.summary
    assert found.details == {"source": "archive node", "block": "77"}
    (aapl,) = run.instruments
    assert (aapl.verdict, aapl.liability, aapl.wrappers[0].covered) == (Verdict.TIES_OUT, Fraction(150), False)


async def test_the_latest_reading_of_each_wrapper_counts_and_one_unit_too_few_is_seen(book: Book) -> None:
    await opened(book)
    await book.statement("150", 90)
    units = {"unit": "raw", "decimals": 18}
    await book.records("chains", reading("50", 80), wrapper("5", "1", 70))
    await book.records("chains", wrapper("1" + "0" * 18, "9" * 18, 85, **units))
    await book.records("chains", wrapper("7", "0", 500))
    (found,) = (await book.run()).breaks
    assert (found.code, found.shares) == ("B21", Fraction(1, 10**18))


async def test_a_wrapper_of_a_token_whose_network_was_not_read_is_incomplete(book: Book) -> None:
    await opened(book, REGISTRY)
    await book.statement("100", 90)
    await book.records("chains", wrapper("20", "20"))
    run = await book.run()
    assert (run.verdict, codes(run)) == (Verdict.INCOMPLETE, ["B8"])
    assert "no reading of ethereum" in run.breaks[0].summary


async def test_an_old_reading_of_a_wrapper_says_nothing_of_it(book: Book) -> None:
    await opened(book)
    await book.statement("150", 90)
    old = (at(100) - timedelta(hours=25)).isoformat()
    await book.records("chains", reading("50", 80), wrapper("30", "20", as_of=old))
    run = await book.run()
    (line,) = run.instruments[0].wrappers
    assert (line.supply, line.escrowed, run.clean) == (None, None, True)
    assert "over 24 hours old" in (line.problem or "")
    assert [(f.code, f.severity, f.shares) for f in run.findings if f.code == "B21"] == [("B21", "notice", None)]


async def test_wrappers_are_the_same_by_look_up_and_in_a_report(book: Book, tmp_path: Path) -> None:
    await opened(book)
    await book.statement("150", 90)
    await book.records("chains", reading("50", 80), wrapper("20", "21"))
    path = await made(book, tmp_path)
    found = await tieout_reconcile.coverage(book.dsn, 100)
    assert found.walked == ()
    assert figures(found) == figures(await tieout_reconcile.run(book.dsn, 100, keep=False))
    assert failed(verify_report(path, TRUSTED)) == {}


ESCROW = wallet("owner", address("escrow"), "escrow", more='wrapper = "wAAPLx"\ninstrument = "AAPLx"')


def wrapped(supply: str, escrowed: str, slot: int = 80, **more: Any) -> dict[str, Any]:
    """A wrapper on the chain that is indexed, in shares of the first multiplier."""
    return wrapper(supply, escrowed, slot, network="solana", **more)


async def escrowing(book: Book, registry: str = REGISTRY + ESCROW) -> None:
    """Twenty of a hundred tokens lie in the escrow of a wrapper."""
    await opened(book, registry)
    await book.transfer(30, "ap", "escrow", 20 * ONE)
    await book.statement("100", 90)


async def test_an_escrow_on_the_indexed_chain_is_read_from_the_ledger(book: Book) -> None:
    await escrowing(book)
    await book.records("chains", wrapped("20.5", "21"))
    run = await book.run()
    (aapl,) = run.instruments
    (line,) = aapl.wrappers
    assert (line.escrowed, line.declared, line.on_ledger, line.covered) == (Fraction(20), Fraction(21), True, False)
    # it covers nothing of the liability: what lies there is owed to whoever holds the wrapper
    assert (aapl.verdict, aapl.liability) == (Verdict.TIES_OUT, Fraction(100))
    (found,) = run.breaks
    assert (found.code, found.shares) == ("B21", Fraction("0.5"))
    (notice,) = [f for f in run.findings if not f.is_break]
    assert (notice.code, notice.shares, notice.details["declared"]) == ("B21", Fraction(-1), "21")
    assert "declares 21" in notice.summary


async def test_an_escrow_that_holds_what_is_declared_and_promised_raises_nothing(book: Book) -> None:
    await escrowing(book)
    await book.records("chains", wrapped("20", "20"))
    assert (await book.run()).findings == ()
    await book.records("chains", wrapped("2000000000", "2000000000", 85, unit="raw", decimals=8))
    run = await book.run()
    assert (run.findings, run.instruments[0].wrappers[0].on_ledger) == ((), True)


async def test_an_escrow_is_read_at_the_runs_slot_and_multiplier(book: Book) -> None:
    await escrowing(book)
    await book.statement("100", 22)
    await book.records("chains", wrapped("20", "20", 25))
    early = await book.run(28, keep=False)
    assert [w.escrowed for w in early.instruments[0].wrappers] == [0]
    assert codes(early) == ["B21"]
    await book.transfer(40, "escrow", "ap", 5 * ONE)
    await book.multiplier(50, 1.1, 0)
    await book.records("actions", step("SPLIT-1", 50, "1.1"))
    run = await book.run()
    (line,) = run.instruments[0].wrappers
    assert line.escrowed == 15 * Fraction(1.1)
    (found,) = [f for f in run.breaks if f.code == "B21"]
    assert found.shares is not None
    assert abs(found.shares - 5 * Fraction(1.1)) < Fraction(1, 10**17)


async def test_what_a_multiplier_rounds_up_is_no_shortfall_of_an_escrow(book: Book) -> None:
    await escrowing(book)
    await book.multiplier(50, 1.1, 0)
    await book.records("actions", step("SPLIT-1", 50, "1.1"))
    await book.statement("110.000001", 95)
    await book.records("chains", wrapped("20", "20", 45))
    assert [f for f in (await book.run()).findings if f.code == "B21"] == []


async def test_an_escrow_that_is_not_registered_or_no_more_is_as_declared(book: Book) -> None:
    await escrowing(book, REGISTRY + ESCROW.replace('"wAAPLx"', '"other"'))
    await book.records("chains", wrapped("20", "21"))
    run = await book.run()
    assert [(w.escrowed, w.declared, w.on_ledger) for w in run.instruments[0].wrappers] == [(Fraction(21), None, False)]
    assert run.findings == ()


@pytest.mark.parametrize(("raw", "multiplier"), [(None, Fraction(1)), (20 * ONE, None)])
def test_what_is_not_proven_of_an_escrow_is_unknown(raw: int | None, multiplier: Fraction | None) -> None:
    read = parse(**wrapped("20", "20"))
    (line,) = wrappers(KNOWN.instruments[0], read, lambda _: multiplier, at(100), {"wAAPLx": raw})
    assert (line.escrowed, line.uncovered, line.differs) == (None, False, False)
    assert line.problem


async def test_an_escrow_by_the_ledger_is_the_same_by_look_up_and_in_a_report(book: Book, tmp_path: Path) -> None:
    await escrowing(book)
    await book.records("chains", wrapped("20", "21"))
    path = await made(book, tmp_path)
    found = await tieout_reconcile.coverage(book.dsn, 100)
    assert found.walked == ()
    assert figures(found) == figures(await tieout_reconcile.run(book.dsn, 100, keep=False))
    assert failed(verify_report(path, TRUSTED)) == {}


@pytest.mark.parametrize(
    "entry", [ESCROW.replace('wrapper = "wAAPLx"\n', ""), ESCROW.replace('"escrow"', '"affiliate"')]
)
def test_an_escrow_names_its_wrapper_and_nothing_else_does(entry: str) -> None:
    with pytest.raises(BadInput, match="an escrow has one, and nothing else has"):
        parse_registry(InputFile("r.toml", (REGISTRY + entry).encode()))


def parse(**row: Any) -> list[Any]:
    text = ",".join(row) + "\n" + ",".join(str(value) for value in row.values()) + "\n"
    return parse_chains(InputFile("chains.csv", text.encode()), KNOWN)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"escrowed": ""}, 'is of the wrapper "wAAPLx" and has no escrowed: what its escrow holds'),
        ({"wrapper": ""}, "gives escrowed and no wrapper"),
        ({"issuer_held": "1"}, "is of a wrapper and gives issuer_held"),
        ({"escrowed": "-1"}, 'escrowed "-1" is negative'),
        ({"wrapper": "wrapped AAPLx"}, 'wrapper "wrapped AAPLx" is no id'),
        ({"network": "*"}, 'network "*" stands for every network: a wrapper is on one'),
        ({"wrapper": "", "escrowed": "", "network": "solana"}, "is the chain that is indexed"),
    ],
)
def test_a_wrapper_that_does_not_say_what_its_escrow_holds_is_refused(more: dict[str, str], said: str) -> None:
    with pytest.raises(BadInput) as bad:
        parse(**(wrapper("20", "20") | more))
    assert said in "\n".join(bad.value.problems)


def test_a_reading_of_no_wrapper_says_what_it_said_before_wrappers_were_known() -> None:
    plain, blank = parse(**reading("50", 80)), parse(**reading("50", 80, wrapper="", escrowed=""))
    digests = said_digests("chains", plain)
    assert digests == said_digests("chains", blank)
    # as a version that knew no wrappers digested it
    assert [d.hex() for d in digests] == [BEFORE]
    assert digests != said_digests("chains", parse(**wrapper("50", "50")))
