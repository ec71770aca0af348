"""Holders at a record time, and the split of the supply: they add up, or it shows."""

import csv
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from solders.pubkey import Pubkey

import tieout_reconcile
from reconcile.builders import ONE, Book, address, at, wallet
from reconcile.test_elsewhere import COLD, HOT, REGISTRY, VENUE, stocked
from support.command import tieout_here
from tieout_reconcile import NotFound, NotReady
from tieout_reconcile.curve import is_on_curve


@given(st.binary(min_size=32, max_size=32))
def test_on_curve_is_what_the_runtime_says(key: bytes) -> None:
    assert is_on_curve(key) is Pubkey(key).is_on_curve()


def test_on_curve_at_the_edges() -> None:
    prime = 2**255 - 19
    for y in (0, 1, 2, prime - 1, prime, prime + 1, 2**255 - 1, 2**255, 2**255 + 1, 2**256 - 1):
        key = y.to_bytes(32, "little")
        assert is_on_curve(key) is Pubkey(key).is_on_curve(), y
    with pytest.raises(ValueError, match="has 32 bytes"):
        is_on_curve(b"")


async def test_holders_at_a_record_time_are_all_there_in_raw_and_in_shares(book: Book) -> None:
    await stocked(book)
    await book.multiplier(40, 2.0, 0)
    await book.transfer(60, "ap", "bob", 7 * ONE)
    await book.flush()
    before = await tieout_reconcile.entitlement(book.dsn, "AAPLx", at(35))
    after = await tieout_reconcile.entitlement(book.dsn, "AAPLx", 70)
    assert (before.slot, before.multiplier, before.adds_up) == (35, Fraction(1), True)
    assert {h.owner: (h.raw, h.shares, h.label) for h in before.holders} == {
        address("treasury"): (900 * ONE, Fraction(900), "treasury"),
        address("ap"): (70 * ONE, Fraction(70), None),
        address("cold"): (20 * ONE, Fraction(20), "kraken venue_cold"),
        address("hot"): (10 * ONE, Fraction(10), "kraken venue_hot"),
    }
    assert {h.owner: h.shares for h in after.holders}[address("bob")] == 14
    assert [h.program_owned for h in after.holders] == [
        not Pubkey.from_string(h.owner or "").is_on_curve() for h in after.holders
    ]
    with pytest.raises(NotFound):
        await tieout_reconcile.entitlement(book.dsn, "NOPE")
    with pytest.raises(NotReady):
        await tieout_reconcile.entitlement(book.dsn, "AAPLx", 5000)


async def test_the_split_sums_to_the_supply_or_says_that_it_does_not(book: Book, tmp_path: Path) -> None:
    await stocked(book, REGISTRY + VENUE + HOT + COLD + wallet("owner", address("ap"), "market_maker"))
    await book.flush()
    shown = await tieout_here("venue", "show", "--dsn", book.dsn, "--json")
    assert shown.code == 0, shown.err
    (instrument,) = shown.json["instruments"]
    assert {x["label"]: x["raw"] for x in instrument["lines"]} == {
        "treasury": str(900 * ONE), "market_maker": str(70 * ONE), "kraken venue_cold": str(20 * ONE),
        "kraken venue_hot": str(10 * ONE),
    }  # fmt: skip
    assert sum(int(x["raw"]) for x in instrument["lines"]) == int(instrument["supply"])
    path = tmp_path / "holders.csv"
    done = await tieout_here("entitlement", "AAPLx", "--slot", "50", "--csv", str(path), "--dsn", book.dsn, "--json")
    assert (done.code, done.json["adds_up"]) == (0, True)
    with path.open(encoding="utf-8") as lines:
        assert sum(int(row["raw"]) for row in csv.DictReader(lines)) == 1000 * ONE
    await book.db.execute("alter table ledger.touch_row disable trigger all")
    await book.db.execute("delete from ledger.touch_row where account = $1", book.ata("hot"))
    torn = await tieout_here("venue", "show", "--dsn", book.dsn)
    assert torn.code == 1
    assert "DO NOT ADD UP" in torn.out
    two = await tieout_here("entitlement", "AAPLx", "--slot", "50", "--at", "2026-11-02T14:00:50Z", "--dsn", book.dsn)
    assert two.code == 2
