"""Corporate actions as multipliers: exact rationals in, the number that the chain keeps and its error out. Pure.

A dividend's net cash is reinvested at a price: ``new = old x (1 + net / price)``. A split of a
shares for b: ``new = old x a / b``. The chain keeps a binary64 number, the nearest to the exact one.
"""

from dataclasses import dataclass
from fractions import Fraction
from typing import Final, Literal

from tieout_client.errors import BadInput
from tieout_idl import exact_multiplier, nearest_multiplier

DIVIDEND_MAX: Final = Fraction(1, 4)
"""Net cash above this part of the price is taken for a slip of the pen."""

RATIO_MAX: Final = 100
"""The same for a multiplier that is so many times the one in force, or as small a part of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MultiplierStep:
    """One step: the multiplier it starts from, the exact one wanted, the one kept in ``bits``, kept minus wanted."""

    kind: Literal["dividend", "split", "reverse split"]
    old: Fraction
    wanted: Fraction
    bits: bytes
    kept: Fraction
    error: Fraction

    @property
    def ratio(self) -> Fraction:
        """The exact factor of the step."""
        return self.wanted / self.old


def dividend(
    old_bits: bytes, *, gross: Fraction, withholding: Fraction, price: Fraction, forced: bool = False
) -> MultiplierStep:
    """Return the step of a cash dividend.

    ``gross`` and ``price`` in one currency for one share, ``withholding`` as a part of 1. Raises
    BadInput for what is no dividend, and for one above ``DIVIDEND_MAX`` unless ``forced``.
    """
    if gross <= 0 or price <= 0:
        raise BadInput(f"a dividend of {gross} at a price of {price} is none: both are above zero")
    if not 0 <= withholding < 1:
        raise BadInput(f"a withholding of {withholding} is none: write a part of 1, such as 0.30")
    share = gross * (1 - withholding) / price
    if share > DIVIDEND_MAX and not forced:
        raise BadInput(
            f"the net dividend is {float(share):.2%} of the price, above {float(DIVIDEND_MAX):.0%}: check gross, "
            "withholding and price, or force it with a reason"
        )
    return _step("dividend", old_bits, 1 + share)


def split(old_bits: bytes, *, new: int, old: int, forced: bool = False) -> MultiplierStep:
    """Return the step of a split, ``new`` shares for ``old``; fewer for more is a reverse split.

    Raises BadInput for what is no split, and for a ratio beyond ``RATIO_MAX`` unless ``forced``.
    """
    if new <= 0 or old <= 0 or new == old:
        raise BadInput(f"{new} for {old} is no split: write two different whole numbers, such as 10 for 1")
    ratio = Fraction(new, old)
    if not forced:
        check_ratio(ratio)
    return _step("split" if ratio > 1 else "reverse split", old_bits, ratio)


def check_ratio(ratio: Fraction) -> None:
    """Raise BadInput when a multiplier would become more than ``RATIO_MAX`` times another, or as small a part."""
    if not Fraction(1, RATIO_MAX) <= ratio <= RATIO_MAX:
        raise BadInput(
            f"the multiplier would become {float(ratio):g} times the one in force, beyond {RATIO_MAX} to 1: "
            "check it, or force it with a reason"
        )


def _step(kind: Literal["dividend", "split", "reverse split"], old_bits: bytes, ratio: Fraction) -> MultiplierStep:
    old = exact_multiplier(old_bits)
    wanted = old * ratio
    bits, error = nearest_multiplier(wanted)
    return MultiplierStep(kind=kind, old=old, wanted=wanted, bits=bits, kept=wanted + error, error=error)
