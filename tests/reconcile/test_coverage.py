"""The figures of any slot by look-up are those of a run as of that slot; what is new is walked anew."""

from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest

import tieout_reconcile
from reconcile.builders import MINT, ONE, OTHER_ISIN, REGISTRY, Book, address, at, iso, issue, memo, redeem
from tieout_reconcile import Coverage, CrossingLines, NotFound, Run, Verdict


async def told(book: Book, slot: int, **known: Any) -> Coverage:
    await book.flush()
    return await tieout_reconcile.coverage(book.dsn, slot, **known)


def figures(found: Run | Coverage) -> list[Any]:
    """All of each instrument but its crossings and its cash, which are a run's."""
    return [replace(i, crossings=CrossingLines(), cash=(), cash_legs=(), history=None) for i in found.instruments]


async def life(book: Book) -> None:
    """Mints, two releases, two returns of which one is settled at once and one later, a seizure, a burn."""
    await book.commit()
    await book.open_mint()
    await book.mint(10, "treasury", 1000 * ONE)
    await book.transfer(20, "treasury", "ap", 50 * ONE, memo=memo("issue", "REQ-1"))
    await book.transfer(25, "ap", "alice", 20 * ONE)
    await book.transfer(30, "treasury", "bob", 30 * ONE, memo=memo("issue", "REQ-2"))
    await book.transfer(40, "alice", "redemption", 5 * ONE, memo=memo("redeem", "RED-1"))
    await book.transfer(50, "bob", "redemption", 7 * ONE, memo=memo("redeem", "RED-2"))
    await book.transfer(55, "redemption", "treasury", 5 * ONE)
    await book.track(100)
    await book.registry()
    await book.orders(
        issue("REQ-1", "50", created_at=iso(15)),
        issue("REQ-2", "30", created_at=iso(16)),
        redeem("RED-1", "5", created_at=iso(39), settled_at=iso(40)),
        redeem("RED-2", "7", created_at=iso(49), settled_at=iso(70)),
    )
    await book.statement("80", 35)
    await book.statement("68", 75)


async def test_every_slot_of_a_closed_history_has_the_figures_of_a_run_of_that_slot(book: Book) -> None:
    await life(book)
    await book.run()
    for slot in (1, 9, 10, 19, 20, 25, 30, 39, 40, 49, 50, 55, 69, 70, 75, 100):
        found = await told(book, slot)
        assert found.walked == (), slot
        assert figures(found) == figures(await tieout_reconcile.run(book.dsn, slot, keep=False)), slot
    liabilities = {slot: (await told(book, slot)).instruments[0].liability for slot in (19, 20, 30, 40, 50, 69, 70)}
    assert liabilities == {19: 0, 20: 50, 30: 80, 40: 75, 50: 75, 69: 75, 70: 68}


async def test_what_is_new_of_a_mint_is_walked_anew_and_of_outsiders_is_not(book: Book) -> None:
    await life(book)
    await book.run()
    await book.commit()
    await book.transfer(105, "bob", "carol", ONE)
    await book.track(110, from_slot=101)
    quiet = await told(book, 108)
    assert quiet.walked == ()
    assert quiet.instruments[0].liability == 68
    await book.commit()
    await book.transfer(115, "treasury", "dave", 9 * ONE)
    await book.track(120, from_slot=111)
    assert (await told(book, 108)).walked == ()
    found = await told(book, 118)
    assert found.walked == ("AAPLx",)
    assert found.instruments[0].liability == 77
    assert figures(found) == figures(await tieout_reconcile.run(book.dsn, 118, keep=False))
    # and as known before it came, it did not
    assert (await told(book, 100, known_batch=1)).walked == ()


async def test_a_new_order_a_new_registry_and_a_custody_movement_make_it_walk(book: Book) -> None:
    await life(book)
    await book.run()
    await book.orders(redeem("RED-3", "1", created_at=iso(80)))
    assert (await told(book, 90)).walked == ("AAPLx",)
    await book.run()
    assert (await told(book, 90)).walked == ()
    await book.registry(REGISTRY.replace('name = "Alpaca Securities LLC"', 'name = "Alpaca"'))
    assert (await told(book, 90)).walked == ("AAPLx",)


async def test_a_crossing_without_an_order_keeps_its_instrument_walked(book: Book) -> None:
    await life(book)
    await book.transfer(80, "treasury", "mallory", 3 * ONE)
    await book.flush()
    run = await book.run()
    assert run.breaks
    found = await told(book, 90)
    assert found.walked == ("AAPLx",)
    assert found.verdict is Verdict.DOES_NOT_TIE_OUT
    assert figures(found) == figures(await tieout_reconcile.run(book.dsn, 90, keep=False))


async def test_an_older_run_does_not_replace_what_a_newer_one_kept(book: Book) -> None:
    await life(book)
    await book.run()
    await tieout_reconcile.run(book.dsn, 45)
    assert await book.db.fetchval("select as_of_slot from recon.history_head") == 100


async def test_a_tampered_history_is_not_believed(book: Book) -> None:
    await life(book)
    await book.run()
    packed = await book.db.fetchval("select steps from recon.history_chunk")
    last = len(packed) - 56
    more = int.from_bytes(packed[last + 24 : last + 32], "little") + ONE
    await book.db.execute("delete from recon.history_chunk")
    await book.db.execute(
        "insert into recon.history_chunk values ('AAPLx', $1, $2, $3)",
        int.from_bytes(packed[:8], "little"),
        int.from_bytes(packed[8:16], "little"),
        packed[: last + 24] + more.to_bytes(8, "little") + packed[last + 32 :],
    )
    found = await told(book, 100)
    assert found.walked == ("AAPLx",)
    assert found.instruments[0].liability == 68


async def test_one_symbol_is_told_alone_and_an_unknown_one_is_refused(book: Book) -> None:
    await life(book)
    other = REGISTRY.split("[[wallets]]", maxsplit=1)[0].replace("AAPLx", "TSLAx").replace(MINT, address("other mint"))
    await book.registry(other.replace("US0378331005", OTHER_ISIN) + REGISTRY)
    await book.run()
    found = await told(book, 60, symbols=["AAPLx"])
    assert [i.symbol for i in found.instruments] == ["AAPLx"]
    assert [i.verdict for i in (await told(book, 60)).instruments] == ["does_not_tie_out", "incomplete"]
    with pytest.raises(NotFound, match="'MSFTx' is no registered instrument: there are AAPLx, TSLAx"):
        await told(book, 60, symbols=["MSFTx"])


async def test_an_instant_and_the_latest_slot_are_understood(book: Book) -> None:
    await life(book)
    await book.run()
    assert (await tieout_reconcile.coverage(book.dsn, at(52))).inputs.as_of_slot == 52
    assert (await tieout_reconcile.coverage(book.dsn)).instruments[0].liability == Fraction(68)
