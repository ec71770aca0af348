"""The pure cores: exact numbers, multipliers, and properties of crossings and matching on random days."""

import random
import struct
from datetime import timedelta
from fractions import Fraction
from typing import Any

import pytest
import rfc8785
from hypothesis import given, settings
from hypothesis import strategies as st

from reconcile.builders import MINT, REGISTRY, address, at
from tieout_reconcile.canonical import canonical_bytes
from tieout_reconcile.crossings import Crossing, Kind, RoleBook, find_crossings
from tieout_reconcile.exact import decimal_text, exact_decimal, f64, parse_quantity, rounded_text
from tieout_reconcile.facts import Movement, MultiplierStep, OwnerChange, Position, multiplier_in_force
from tieout_reconcile.files import InputFile
from tieout_reconcile.fitting import fits
from tieout_reconcile.liability import still_owed, unit_of
from tieout_reconcile.matching import match, memo_references
from tieout_reconcile.orders import Order
from tieout_reconcile.registry_file import parse_registry

doubles = st.floats(min_value=1e-12, max_value=1e12, allow_nan=False)
raws = st.integers(min_value=0, max_value=2**64 - 1)


@given(raws, doubles, st.integers(0, 12))
def test_shares_are_exact_and_their_text_loses_nothing(raw: int, multiplier: float, decimals: int) -> None:
    value = f64(struct.pack("<d", multiplier))
    assert value == Fraction(multiplier)
    shares = raw * unit_of(Fraction(multiplier), decimals)
    assert Fraction(decimal_text(shares)) == shares == Fraction(exact_decimal(shares))
    assert shares * 10**decimals == raw * Fraction(multiplier)


@given(st.decimals(min_value=0, max_value=10**19, places=18, allow_nan=False))
def test_a_parsed_quantity_is_what_was_written(number: object) -> None:
    text = f"{number:f}"
    assert parse_quantity(text) == Fraction(text)


def test_what_is_not_finite_is_no_number() -> None:
    assert f64(struct.pack("<d", float("nan"))) is None
    assert f64(struct.pack("<d", float("inf"))) is None
    with pytest.raises(ValueError, match="no finite decimal"):
        decimal_text(Fraction(1, 3))
    assert rounded_text(Fraction(1, 3), 4) == "≈0.3333"
    assert rounded_text(Fraction(5, 2), 4) == "2.5"
    assert decimal_text(Fraction(-1, 8)) == "-0.125"


def step(slot: int, value: float, effective: int, superseded: int | None = None) -> MultiplierStep:
    return MultiplierStep(Position(slot, 0, 0, -1), at(effective), struct.pack("<d", value), superseded)


def test_the_last_announced_of_those_in_effect_counts() -> None:
    steps = (step(1, 1.0, 1), step(10, 2.0, 50, 20), step(20, 3.0, 60), step(60, 4.0, 60))
    in_force = [multiplier_in_force(steps, slot, at(slot)) for slot in (0, 1, 55, 59, 60)]
    assert [m and m.value for m in in_force] == [None, 1, 1, 1, 4]
    # announced at a later slot of the same second: not known yet at slot 59
    assert multiplier_in_force(steps, 59, at(60)).value == 3  # type: ignore[union-attr]
    assert multiplier_in_force((), 5, at(5)).value == 1  # type: ignore[union-attr]
    assert multiplier_in_force((step(1, 0.0, 1),), 5, at(5)) is None


NAMES = ["treasury", "redemption", "alice", "bob"]
REGISTERED = parse_registry(InputFile("r", REGISTRY.encode()))


@st.composite
def days(draw: st.DrawFn) -> list[Movement | OwnerChange]:
    """A random but possible day: nobody spends what he has not; accounts may change hands."""
    owners = {f"account of {name}": name for name in NAMES}
    balances = dict.fromkeys(owners, 0)
    rows: list[Movement | OwnerChange] = []
    for slot in range(1, draw(st.integers(1, 25))):
        place = (Position(slot, 0, 0, -1), at(slot), f"signature {slot}")
        kind = draw(st.sampled_from(["mint", "mint", "burn", "transfer", "transfer", "transfer", "owner"]))
        source, destination = draw(st.sampled_from(sorted(owners))), draw(st.sampled_from(sorted(owners)))
        if kind == "owner":
            owners[source] = draw(st.sampled_from(NAMES))
            rows.append(OwnerChange(*place, source, address(owners[source]), None))
            continue
        amount = draw(st.integers(0, 10**12 if kind == "mint" else balances[source]))
        fee = draw(st.integers(0, amount)) if kind == "transfer" else 0
        if kind != "mint":
            balances[source] -= amount
        if kind != "burn":
            balances[destination] += amount - fee
        rows.append(
            Movement(
                *place,
                kind,
                None if kind == "mint" else source,
                None if kind == "mint" else address(owners[source]),
                None if kind == "burn" else destination,
                None if kind == "burn" else address(owners[destination]),
                None,
                draw(st.sampled_from(["owner", "permanent_delegate"])),
                amount,
                fee,
                None,
            )
        )
    return rows


@settings(max_examples=200)
@given(days(), st.randoms())
def test_circulating_plus_issuer_is_supply_and_the_crossings_explain_it(
    rows: list[Movement | OwnerChange], shuffle: random.Random
) -> None:
    book = RoleBook(REGISTERED, "AAPLx")
    shuffled = list(rows)
    shuffle.shuffle(shuffled)
    moves = [r for r in shuffled if isinstance(r, Movement)]
    changes = [r for r in shuffled if isinstance(r, OwnerChange)]
    found = find_crossings(moves, changes, book, lambda slot, when: Fraction(1, 10**8), at(1000))
    supply = sum({"mint": m.amount, "burn": -m.amount}.get(m.kind, 0) for m in moves)
    assert found.outside + sum(found.issuer_balances.values()) == supply
    assert sum(c.raw if c.outward else -c.raw for c in found.found) == found.outside
    assert all(c.raw > 0 for c in found.found)
    owed = still_owed(found.found, match([], found.found, at(1000)), at(1000))
    assert all(raw > 0 for raw in owed.values())
    assert len({c.key for c in found.found}) == len(found.found)


def order(request_id: str, shares: Fraction | None = None, raw: int | None = None, **more: object) -> Order:
    values: dict[str, object] = {"line": 1, "side": "issue", "mint": MINT, "status": "completed", "wallet": None}
    values |= {"signature": None, "created_at": at(10), "settled_at": None, **more}
    return Order(request_id=request_id, shares=shares, raw=raw, **values)  # type: ignore[arg-type]


def release(slot: int, raw: int, unit: Fraction = Fraction(1, 10**8), memo: str | None = None) -> Crossing:
    place = (at(slot), Position(slot, 0, 0, -1), f"s{slot}")
    return Crossing(f"tx/{slot}", Kind.RELEASE, True, raw, unit, *place, "t", None, "ap", None, memo)


@given(st.integers(1, 2**64 - 1), doubles)
def test_an_issue_in_shares_fits_the_floor_and_a_redemption_the_ceiling_too(raw: int, multiplier: float) -> None:
    unit = unit_of(Fraction(multiplier), 8)
    between = order("R", (raw + Fraction(1, 3)) * unit)
    assert [fits(between, [release(1, raw + n, unit)]) for n in (-1, 0, 1, 2)] == [False, True, False, False]
    redeemed = order("R", (raw + Fraction(1, 3)) * unit, side="redeem")
    assert [fits(redeemed, [release(1, raw + n, unit)]) for n in (-1, 0, 1, 2)] == [False, True, True, False]
    exactly = order("R", raw * unit)
    assert [fits(exactly, [release(1, raw + n, unit)]) for n in (-1, 0, 1)] == [False, True, False]


@given(st.lists(st.tuples(st.integers(1, 3), st.integers(0, 30)), max_size=12), st.randoms())
def test_matching_does_not_depend_on_the_order_of_its_input(
    days_and_sizes: list[tuple[int, int]], shuffle: random.Random
) -> None:
    crossings = [release(100 + n, size) for n, (size, _) in enumerate(days_and_sizes)]
    orders = [
        order(f"R{n}", raw=size, created_at=at(0) + timedelta(days=d)) for n, (size, d) in enumerate(days_and_sizes)
    ]
    first = match(orders, crossings, at(10**7))
    shuffle.shuffle(orders)
    assert match(orders, crossings, at(10**7)) == first
    used = [m.order.request_id for m in first.matches if m.order is not None]
    assert len(used) == len(set(used))


def test_a_memo_line_counts_only_when_it_is_whole() -> None:
    assert memo_references("hello\ntieout/1 issue REQ-1\ntieout/1 redeem REQ-2") == ("REQ-1", "REQ-2")
    assert memo_references("xtieout/1 issue REQ-1\ntieout/1 issue\ntieout/1 issue a b") == ()
    assert memo_references(None) == ()
    named = match([order("REQ-1", raw=5)], [release(1, 5, memo="about REQ-1")], at(100))
    assert named.matches[0].rule == "quantity"
    named = match([order("REQ-1", raw=5)], [release(1, 5, memo="REQ-1")], at(100))
    assert named.matches[0].rule == "memo"


plain_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(st.characters(max_codepoint=126)), inner, max_size=4)
    ),
    max_leaves=24,
)


@given(st.dictionaries(st.text(st.characters(max_codepoint=126)), plain_values, max_size=6))
def test_canonical_bytes_are_those_of_rfc_8785(record: dict[str, Any]) -> None:
    assert canonical_bytes(record) == rfc8785.dumps(record)


def test_a_float_has_no_canonical_form_here() -> None:
    with pytest.raises(TypeError, match="float"):
        canonical_bytes({"a": [{"b": 1.0}]})
