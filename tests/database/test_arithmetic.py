"""Amounts and multipliers are exact: the database's arithmetic equals that of fractions."""

import math
import struct
from datetime import UTC, datetime
from fractions import Fraction
from typing import Any

import asyncpg
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from database.rows import Rows

AS_ONE = settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
U64_MAX = 2**64 - 1


def double(bits: int) -> float:
    return float(struct.unpack("<d", bits.to_bytes(8, "little"))[0])


FINITE = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False),
    st.integers(0, U64_MAX).map(double).filter(math.isfinite),
    st.integers(0, 2**52 - 1).map(double),  # subnormal
    st.floats(0.5, 20),
)
EXTREMES = [
    0.0, -0.0, 1.0, -1.0, 5e-324, -5e-324, 2.2250738585072014e-308, 2.225073858507201e-308, 1.7976931348623157e308,
    -1.7976931348623157e308, 0.1, 1.0032690125398187, 2.0**53 + 2, 2.0**-1022,
]  # fmt: skip


@AS_ONE
@given(st.lists(FINITE, min_size=1, max_size=60))
@example(EXTREMES)
async def test_every_finite_double_has_its_exact_value(rows: Rows, values: list[float]) -> None:
    found = await rows.fetch(
        "select ledger.f64_exact(b)::text as exact from unnest($1::bytea[]) with ordinality as t (b, n) order by n",
        [struct.pack("<d", v) for v in values],
    )
    assert [Fraction(r["exact"]) for r in found] == [Fraction(v) for v in values]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
async def test_what_is_no_number_has_no_value(rows: Rows, value: float) -> None:
    assert await rows.value("select ledger.f64_exact($1)", struct.pack("<d", value)) is None
    assert await rows.value("select ledger.shares(1, 8, $1)", struct.pack("<d", value)) is None


@pytest.mark.parametrize("bits", [b"", b"1234567", b"123456789"])
async def test_a_multiplier_has_eight_bytes(rows: Rows, bits: bytes) -> None:
    with pytest.raises(asyncpg.PostgresError):
        await rows.value("select ledger.f64_exact($1)", bits)


@AS_ONE
@given(st.lists(st.tuples(st.integers(0, U64_MAX), st.integers(0, 18), FINITE), min_size=1, max_size=30))
@example([(U64_MAX, 18, 5e-324), (U64_MAX, 0, 1.7976931348623157e308), (1, 8, 1.0)])
async def test_shares_are_raw_times_the_multiplier_without_rounding(
    rows: Rows, cases: list[tuple[int, int, float]]
) -> None:
    for raw, decimals, multiplier in cases:
        found = await rows.value("select ledger.shares($1, $2, $3)::text", raw, decimals, struct.pack("<d", multiplier))
        assert Fraction(found) == Fraction(raw) * Fraction(multiplier) / 10**decimals


@pytest.mark.parametrize("value", ["0", "1", "1.0", str(U64_MAX), str(2**63)])
async def test_a_raw_amount_is_any_unsigned_64_bit_integer(rows: Rows, value: str) -> None:
    assert await rows.value(f"select ('{value}'::ledger.u64)::numeric") == Fraction(value)


@pytest.mark.parametrize(
    "value", ["1.5", "0.000000001", "-1", str(U64_MAX + 1), "NaN", "Infinity", "-Infinity", "1e30"]
)
async def test_what_is_no_unsigned_64_bit_integer_is_refused_not_rounded(rows: Rows, value: str) -> None:
    with pytest.raises(asyncpg.CheckViolationError):
        await rows.value(f"select '{value}'::ledger.u64")


@pytest.mark.parametrize(
    ("seconds", "instant"),
    [
        (0, datetime(1970, 1, 1, tzinfo=UTC)),
        (1_786_149_000, datetime.fromtimestamp(1_786_149_000, UTC)),
        (-1, datetime(1970, 1, 1, tzinfo=UTC)),
        (-(2**63), datetime(1970, 1, 1, tzinfo=UTC)),
        (253_402_300_799, datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)),
    ],
)
async def test_a_chains_seconds_are_an_instant(rows: Rows, seconds: int, instant: datetime) -> None:
    assert await rows.value("select ledger.instant($1)", seconds) == instant


@pytest.mark.parametrize("seconds", [9_000_000_000_001, 2**63 - 1])
async def test_an_instant_beyond_the_calendar_never_comes(rows: Rows, seconds: int) -> None:
    assert await rows.value("select ledger.instant($1) = 'infinity'", seconds) is True


@pytest.mark.parametrize("seconds", [253_402_300_800, 8_999_999_999_999])
async def test_an_instant_after_the_year_9999_is_far_but_not_never(rows: Rows, seconds: int) -> None:
    found: Any = await rows.value(
        "select ledger.instant($1) > '9999-12-31' and ledger.instant($1) < 'infinity'", seconds
    )
    assert found is True
