"""Raw amounts on their way to PostgreSQL: ``int`` as ``numeric``, in its binary form.

asyncpg takes every numeric for a decimal fraction, and goes through its digits one by one: over a quarter of what a
commit of the ledger's rows took on this side. An amount is a whole number of at most 20 digits. The form is that of
numeric_recv: how many groups of four decimal digits, the first one's weight, the sign, digits after the point, the
groups.
"""

import struct
from typing import Final

import asyncpg

_GROUP: Final = 10_000
_TWO_GROUPS: Final = _GROUP**2
_FORM: Final = [struct.Struct(f"!hhHH{groups}H").pack for groups in range(6)]
_ZERO: Final = _FORM[0](0, 0, 0, 0)


def amount_as_numeric(amount: int) -> bytes:
    """A raw amount, 0 to 2**64 - 1, as PostgreSQL receives a numeric. Raises ValueError on what no amount can be."""
    if type(amount) is not int or not 0 <= amount < 1 << 64:
        raise ValueError(f"{amount!r} is not a raw amount: a whole number from 0 to {2**64 - 1}")
    if amount < _TWO_GROUPS:
        if amount < _GROUP:
            return _FORM[1](1, 0, 0, 0, amount) if amount else _ZERO
        return _FORM[2](2, 1, 0, 0, *divmod(amount, _GROUP))
    upper, lower = divmod(amount, _TWO_GROUPS)
    third, fourth = divmod(lower, _GROUP)
    if upper < _GROUP:
        return _FORM[3](3, 2, 0, 0, upper, third, fourth)
    if upper < _TWO_GROUPS:
        return _FORM[4](4, 3, 0, 0, *divmod(upper, _GROUP), third, fourth)
    top, upper = divmod(upper, _TWO_GROUPS)
    return _FORM[5](5, 4, 0, 0, top, *divmod(upper, _GROUP), third, fourth)


def _unread(numeric: bytes) -> object:
    raise NotImplementedError(f"this connection sends amounts and reads none: {numeric.hex()}")


async def only_send_amounts(connection: asyncpg.Connection) -> None:
    """Have the connection take every numeric that it sends for a raw amount; it cannot read any after that."""
    await connection.set_type_codec(
        "numeric", schema="pg_catalog", format="binary", encoder=amount_as_numeric, decoder=_unread
    )
