"""Matching where there is much that nothing explains: each movement is looked at once, however many there are."""

from collections.abc import Iterator
from datetime import timedelta
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconcile.builders import MINT, ONE, at, memo
from tieout_reconcile import matching
from tieout_reconcile.crossings import Crossing, Kind
from tieout_reconcile.facts import Position
from tieout_reconcile.fitting import first_fit, fits
from tieout_reconcile.matching import match
from tieout_reconcile.orders import Order

UNIT = Fraction(1, ONE)
COUNT = 1_000


def crossing(number: int, kind: Kind, raw: int, party: str = "ap", words: str | None = None) -> Crossing:
    place = (at(number), Position(number, 0, 0, -1), f"s{number}", "treasury")
    outward = kind is Kind.RELEASE
    return Crossing(f"tx/{number}", kind, outward, raw, UNIT, *place, None, party, None, words)


def order(request_id: str, side: str, raw: int | None = None, shares: Fraction | None = None) -> Order:
    return Order(1, request_id, side, MINT, shares, raw, "pending", None, None, at(0) - timedelta(hours=1), None)


def test_without_any_order_all_releases_and_returns_are_gone_through_once(monkeypatch: pytest.MonkeyPatch) -> None:
    compared = 0

    def counted(one: Crossing, other: Crossing) -> bool:
        nonlocal compared
        compared += 1
        return before(one, other)

    before = matching._is_before
    monkeypatch.setattr(matching, "_is_before", counted)
    crossings = [crossing(n, Kind.RELEASE if n % 2 else Kind.RETURN, ONE + n, f"party {n % 7}") for n in range(COUNT)]
    assert match([], crossings, at(COUNT)).matches == ()
    assert compared <= COUNT


def test_a_request_that_a_stranger_names_in_every_transfer_costs_one_look_each() -> None:
    looked = 0

    class Looked(list[Crossing]):
        def __iter__(self) -> Iterator[Crossing]:
            nonlocal looked
            for one in super().__iter__():
                looked += 1
                yield one

        def __getitem__(self, place: Any) -> Any:
            return Looked(super().__getitem__(place))

    named = Looked([crossing(n, Kind.RETURN, 1, "ap", memo("redeem", "RED-1")) for n in range(COUNT)])
    for wanted in (order("RED-1", "redeem", raw=5 * ONE), order("RED-1", "redeem", shares=Fraction(7))):
        assert first_fit(wanted, named) is None
    assert looked == 2 * COUNT
    found = match([order("RED-1", "redeem", raw=5 * ONE)], list(named), at(COUNT))
    assert [(len(m.crossings), m.partial) for m in found.mismatches] == [(COUNT, True)]


def test_a_return_is_given_back_in_parts_to_who_names_it_and_whole_to_who_sent_it() -> None:
    sent = crossing(1, Kind.RETURN, 10, "ap", memo("redeem", "RED-1"))
    crossings = [
        crossing(0, Kind.RELEASE, 10, "ap"),  # before it came: it gives nothing back
        sent,
        crossing(2, Kind.RELEASE, 6, "other", memo("redeem", "RED-1")),
        crossing(3, Kind.RELEASE, 10, "ap"),
        crossing(4, Kind.RELEASE, 4, "ap"),
        crossing(5, Kind.RELEASE, 4, "ap"),
    ]
    found = [(m.crossing.key, m.status, m.refunds) for m in match([], crossings, at(9)).matches]
    assert found == [("tx/2", "exact", sent), ("tx/4", "derived", sent)]


@given(
    st.lists(st.integers(1, 6), max_size=8), st.integers(1, 12), st.sampled_from(["issue", "redeem"]),
    st.booleans(), st.sampled_from([UNIT, Fraction(1, 3), Fraction(7, 5)]),
)  # fmt: skip
def test_the_first_run_that_fits_is_the_shortest_one(
    raws: list[int], asked: int, side: str, in_shares: bool, unit: Fraction
) -> None:
    wanted = order("R", side, shares=asked * unit) if in_shares else order("R", side, raw=asked)
    moved = [
        Crossing(f"tx/{n}", Kind.RETURN, False, raw, unit, at(n), None, None, None, None, None, None)
        for n, raw in enumerate(raws)
    ]
    shortest = next((n for n in range(1, len(moved) + 1) if fits(wanted, moved[:n])), None)
    assert first_fit(wanted, moved) == shortest
