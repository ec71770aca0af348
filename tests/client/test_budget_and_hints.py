"""What a transaction may use and bid, and who tells first that it has settled."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from solders.keypair import Keypair

from client.desks import house_on
from tieout_client import SendOptions
from tieout_client.budget import COMPUTE_UNITS_MAX, compute_limit, unit_price
from tieout_idl import base58

BUDGET = "ComputeBudget111111111111111111111111111111"


@given(st.integers(0, 2_000_000))
def test_the_limit_leaves_room_and_stays_legal(units):
    assert min(units + 300, COMPUTE_UNITS_MAX) <= compute_limit(units) <= COMPUTE_UNITS_MAX


@given(st.lists(st.integers(0, 2**40)), st.integers(1, COMPUTE_UNITS_MAX), st.integers(0, 10**7))
def test_the_bid_never_costs_more_than_the_cap(recent, limit, cap):
    assert unit_price(recent, limit, cap) * limit <= cap * 1_000_000


def test_the_bid_is_the_third_quartile_of_recent_ones():
    assert unit_price([1, 2, 3, 400], 100, 10**9) == 400
    assert unit_price([10, 30, 20, 40, 5, 1, 2, 3], 100, 10**9) == 30
    assert unit_price([], 100, 10**9) == 0


async def test_a_journaled_request_asks_for_what_it_used(chain, tmp_path):
    async with house_on(chain, inventory=9) as house, house.desk(tmp_path / "j") as issuer:
        done = await issuer.issue(house.mint, 5, Keypair().pubkey(), "ord-1")
        config = {"encoding": "json", "commitment": "confirmed", "maxSupportedTransactionVersion": 0}
        found = await issuer.rpc.call("getTransaction", [done.signature, config])
    message = found["transaction"]["message"]
    asked = [i for i in message["instructions"] if message["accountKeys"][i["programIdIndex"]] == BUDGET]
    limits = [base58.decode(i["data"]) for i in asked if base58.decode(i["data"])[0] == 2]
    limit = int.from_bytes(limits[0][1:], "little")
    assert found["meta"]["computeUnitsConsumed"] <= limit < 200_000


@pytest.mark.parametrize("lasting", [True, False])
async def test_the_websocket_tells_when_polling_sleeps(chain, lasting):
    options = SendOptions(poll_first_s=20, poll_max_s=20, websocket_after_s=0 if lasting else 0.2)
    async with house_on(chain, inventory=9) as house, house.desk() as issuer:
        started = time.monotonic()
        await issuer.using(options=options).issue(house.mint, 5, Keypair().pubkey(), "ord-1")
        assert time.monotonic() - started < 15
