"""Raw amounts as PostgreSQL receives them: what is sent is what is stored."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tieout_database import connect
from tieout_database.amounts import amount_as_numeric, only_send_amounts

EDGES = sorted({edge + off for edge in (0, *(10**n for n in range(1, 20)), 2**64 - 1) for off in (-1, 0, 1)})
AMOUNTS = [amount for amount in EDGES if 0 <= amount < 2**64]


async def test_every_amount_is_stored_as_it_is_in_numeric_and_in_the_ledgers_own_type(dsn: str) -> None:
    reader, sender = await connect(dsn), await connect(dsn)
    await only_send_amounts(sender)
    await sender.execute("create temporary table sent (plain numeric, amount ledger.u64)")
    records = [(amount, amount) for amount in AMOUNTS] + [(None, None)]
    await sender.copy_records_to_table("sent", records=records)
    stored = await sender.fetch("select plain::text, amount::text from sent order by sent.plain nulls last")
    assert [tuple(row) for row in stored] == [(str(a), str(a)) for a in AMOUNTS] + [(None, None)]
    await reader.close()
    await sender.close()


@given(st.integers(0, 2**64 - 1))
def test_the_groups_of_digits_are_those_of_the_amount(amount: int) -> None:
    form = amount_as_numeric(amount)
    groups = [int.from_bytes(form[at : at + 2], "big") for at in range(8, len(form), 2)]
    count, weight = (int.from_bytes(form[at : at + 2], "big", signed=True) for at in (0, 2))
    assert (count, weight, form[4:8]) == (len(groups), max(len(groups) - 1, 0), bytes(4))
    assert all(0 <= group < 10_000 for group in groups)
    assert sum(group * 10_000 ** (weight - at) for at, group in enumerate(groups)) == amount
    assert not groups or groups[0] > 0


@pytest.mark.parametrize("what", [-1, 2**64, 1.5, True, "7"])
def test_what_no_amount_can_be_is_refused(what: object) -> None:
    with pytest.raises(ValueError, match="raw amount"):
        amount_as_numeric(what)  # type: ignore[arg-type]
