"""Matching where there is much that nothing explains: each movement is looked at once, however many there are."""

from datetime import timedelta
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from reconcile.builders import MINT, ONE, at, memo
from tieout_reconcile.crossings import Crossing, Kind
from tieout_reconcile.facts import Position
from tieout_reconcile.fitting import first_fit, fits
from tieout_reconcile.matching import match
from tieout_reconcile.orders import Order

UNIT = Fraction(1, ONE)
COUNT = 30_000
"""Of these, pair by pair would take longer than a test may."""


def crossing(number: int, kind: Kind, raw: int, party: str = "ap", words: str | None = None) -> Crossing:
    place = (at(number), Position(number, 0, 0, -1), f"s{number}", "treasury")
    outward = kind is Kind.RELEASE
    return Crossing(f"tx/{number}", kind, outward, raw, UNIT, *place, None, party, None, words)


def order(request_id: str, side: str, raw: int | None = None, shares: Fraction | None = None) -> Order:
    return Order(1, request_id, side, MINT, shares, raw, "pending", None, None, at(0) - timedelta(hours=1), None)


def test_without_any_order_all_releases_and_returns_are_gone_through_once() -> None:
    crossings = [crossing(n, Kind.RELEASE if n % 2 else Kind.RETURN, ONE + n, f"party {n % 7}") for n in range(COUNT)]
    assert match([], crossings, at(COUNT)).matches == ()


def test_a_request_that_a_stranger_names_in_every_transfer_costs_one_look_each() -> None:
    named = memo("redeem", "RED-1") + "\n" + memo("redeem", "RED-2")
    crossings = [crossing(n, Kind.RETURN, 1, f"party {n}", named) for n in range(COUNT)]
    orders = [order("RED-1", "redeem", raw=5 * ONE), order("RED-2", "redeem", shares=Fraction(7))]
    found = match(orders, crossings, at(COUNT))
    assert (found.matches, len(found.mismatches)) == ((), 0)
    alone = match(
        orders[:1], [crossing(n, Kind.RETURN, 1, "ap", memo("redeem", "RED-1")) for n in range(COUNT)], at(COUNT)
    )
    assert [(len(m.crossings), m.partial) for m in alone.mismatches] == [(COUNT, True)]


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
