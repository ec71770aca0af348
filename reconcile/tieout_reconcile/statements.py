"""Custodian positions from CSV: one row an instrument in an account, exact shares, one instant.

Columns: ``custodian, account, isin, basis, as_of`` and either ``quantity`` (shares, decimal) or
``raw`` (a whole number of 10^-decimals shares). ``basis`` is settled or trade_date; ``as_of`` is an
ISO 8601 instant with its zone. A file holds all positions of each statement (custodian, account,
as_of, basis) that it names: what is missing is unknown; an explicit 0 is a position of nothing.
"""

from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction

from stdnum import isin as isin_number

from tieout_reconcile.exact import parse_raw, parse_signed
from tieout_reconcile.files import InputFile, Problems, Row, choice, csv_rows, parse_instant, shown
from tieout_reconcile.registry import Registry

REQUIRED = frozenset({"custodian", "account", "isin", "basis", "as_of"})
OPTIONAL = frozenset({"quantity", "raw"})
BASES = ("settled", "trade_date")


@dataclass(frozen=True, slots=True)
class Position:
    """Shares of one ISIN in one account, as a statement says. ``line`` is its place in the file.

    ``quantity`` is the aggregate, below zero when short; ``encumbered`` is what of it is not free, by kind.
    """

    line: int
    custodian: str
    account: str
    isin: str
    quantity: Fraction
    basis: str
    as_of: datetime
    encumbered: tuple[tuple[str, Fraction], ...] = ()


def parse_positions(file: InputFile, registry: Registry) -> list[Position]:
    """Return the positions of a statement file. Raises BadInput with the line of each fault."""
    problems = Problems(file.name)
    accounts = {(c.custodian, a.account) for c in registry.custodians for a in c.accounts}
    decimals = {i.isin: i.decimals for i in registry.instruments}
    positions = []
    lines: dict[tuple[str, str, str, str, datetime], int] = {}
    for row in csv_rows(file, REQUIRED, OPTIONAL, problems):
        position = _position(row, accounts, decimals)
        if position is None:
            continue
        key = (position.custodian, position.account, position.isin, position.basis, position.as_of)
        if key in lines:
            row.fault(f"is the position of line {lines[key]} again: one row an account, isin, basis and as_of")
        lines.setdefault(key, row.line)
        positions.append(position)
    problems.refuse_if_any()
    return positions


def _position(row: Row, accounts: set[tuple[str, str]], decimals: dict[str, int]) -> Position | None:
    custodian, account, isin = row.get("custodian"), row.get("account"), row.get("isin")
    if (custodian, account) not in accounts:
        row.fault(f"account {shown(account)} at custodian {shown(custodian)} is not in the registry")
    if isin not in decimals and (fault := unmapped_fault(isin)) is not None:
        row.fault(fault)
    elif isin not in decimals and row.get("raw"):
        row.fault(f"isin {shown(isin)} is no instrument's, so how many decimals raw has is unknown: give quantity")
    basis = row.parsed("basis", choice(*BASES))
    as_of = row.parsed("as_of", parse_instant)
    quantity = _quantity(row, decimals.get(isin, 0))
    if quantity is None or basis is None or as_of is None:
        return None
    return Position(row.line, custodian, account, isin, quantity, basis, as_of)


def unmapped_fault(isin: str) -> str | None:
    """Return what is wrong with an ISIN that no instrument has; None for a sound one.

    A position under it is kept, counts for nothing, and is a break of every run (B7): what lies in a
    collateral account must not vanish because nobody mapped it.
    """
    if isin_number.is_valid(isin) and isin_number.compact(isin) == isin:
        return None
    return f"isin {shown(isin)} is no ISIN"


def _quantity(row: Row, decimals: int) -> Fraction | None:
    if bool(row.get("quantity")) == bool(row.get("raw")):
        row.fault("needs either quantity or raw: unknown is not zero, write 0 for an empty position")
        return None
    if row.get("raw"):
        raw = row.parsed("raw", parse_raw)
        return None if raw is None else Fraction(raw, 10**decimals)
    return row.parsed("quantity", parse_signed)
