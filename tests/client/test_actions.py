"""Corporate actions: exact steps, the number that the chain keeps, and what is refused as absurd."""

import struct
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from client.desks import house_on
from support.command import tieout_here
from tieout_client import BadInput, dividend, split, write_keypair

ONE = struct.pack("<d", 1.0)
MULTIPLIERS = st.floats(1e-6, 1e6).map(lambda f: struct.pack("<d", f))


def test_a_dividend_is_the_net_cash_reinvested():
    step = dividend(ONE, gross=Fraction("0.26"), withholding=Fraction("0.30"), price=Fraction(230))
    assert step.wanted == 1 + Fraction("0.182") / 230
    assert (step.kept - step.wanted, step.kind) == (step.error, "dividend")
    assert struct.unpack("<d", step.bits)[0] == float(step.wanted)


def test_a_split_of_a_power_of_two_is_exact_and_its_reverse_undoes_it():
    there = split(ONE, new=4, old=1)
    back = split(there.bits, new=1, old=4)
    assert (there.kind, there.error, back.kind, back.bits) == ("split", 0, "reverse split", ONE)


@given(MULTIPLIERS, st.integers(1, 100), st.integers(1, 100))
def test_the_number_kept_is_the_nearest(bits, new, old):
    if new == old:
        return
    step = split(bits, new=new, old=old)
    assert step.ratio == Fraction(new, old)
    assert abs(step.error) <= step.wanted * Fraction(1, 2**53)


@pytest.mark.parametrize(
    ("gross", "withholding", "price", "words"),
    [
        ("0", "0.3", "10", "both are above zero"),
        ("1", "0.3", "0", "both are above zero"),
        ("1", "1", "10", "a part of 1"),
        ("1", "30", "10", "a part of 1"),
        ("5", "0.3", "10", r"35\.00% of the price, above 25%"),
    ],
)
def test_what_is_no_dividend_is_refused(gross, withholding, price, words):
    numbers = {"gross": Fraction(gross), "withholding": Fraction(withholding), "price": Fraction(price)}
    with pytest.raises(BadInput, match=words):
        dividend(ONE, **numbers)


def test_an_absurd_split_needs_to_be_forced():
    with pytest.raises(BadInput, match="101 times the one in force"):
        split(ONE, new=101, old=1)
    assert split(ONE, new=101, old=1, forced=True).kept == 101
    for new, old in ((0, 1), (1, 0), (3, 3)):
        with pytest.raises(BadInput, match="is no split"):
            split(ONE, new=new, old=old)


async def test_backdated_absurd_or_repeated_steps_need_a_reason(chain):
    async with house_on(chain) as house, house.desk() as issuer:
        mint = house.mint
        await issuer.set_multiplier_now(mint, 2, expected=ONE)
        with pytest.raises(BadInput, match=r"in force is 2\.0, not 1\.0 .* applied already"):
            await issuer.set_multiplier_now(mint, 2, expected=ONE)
        with pytest.raises(BadInput, match="500 times"):
            await issuer.set_multiplier_now(mint, 1000)
        with pytest.raises(BadInput, match="force it with a reason"):
            await issuer.schedule_multiplier(mint, 3, 1_700_000_000)
        await issuer.schedule_multiplier(mint, 3, 1_700_000_000, reason="late notice of the agent")
        assert (await issuer.show(mint)).multiplier.value == 3


async def test_the_commands_show_first_and_sign_when_told(chain, tmp_path):
    async with house_on(chain) as house, house.desk() as issuer:
        write_keypair(tmp_path / "payer.json", house.payer)
        keys = ("--keypair", str(tmp_path / "payer.json"), "--rpc-url", chain, "--json")
        shown = await tieout_here("instrument", "split", house.mint, "10:1", "--rpc-url", chain, "--json")
        assert (shown.code, shown.json["new"], shown.json["signed"]) == (0, "10.0", False), shown.err
        unnamed = await tieout_here("instrument", "split", house.mint, "10:1", "--sign", *keys)
        assert (unnamed.code, "--from" in unnamed.err) == (2, True)
        cash = ("--gross", "0.26", "--withholding", "0.3", "--price", "230")
        signed = await tieout_here("instrument", "dividend", house.mint, *cash, "--sign", "--from", "1.0", *keys)
        assert (signed.code, signed.json["signed"]) == (0, True), signed.err
        again = await tieout_here("instrument", "dividend", house.mint, *cash, "--sign", "--from", "1.0", *keys)
        assert (again.code, "applied already" in again.err) == (2, True)
        assert (await issuer.show(house.mint)).multiplier.bits.hex() == signed.json["bits"]
