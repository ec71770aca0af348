"""Corporate actions as somebody declared them. Pure.

Columns: ``action_id, isin, kind, status, announced_at`` and optionally ``ex_date, record_date, pay_date,
effective_at, factor, cash_rate, currency, withholding, new_isin``. The same id again is a new version.
``factor`` is the new multiplier divided by the old, exact: ``10``, ``1.0025``, ``401/400``.
"""

from dataclasses import dataclass
from datetime import date, datetime
from fractions import Fraction
from typing import Any

from tieout_reconcile import fields
from tieout_reconcile.canonical import to_plain
from tieout_reconcile.exact import parse_quantity
from tieout_reconcile.files import InputFile, Problems, Row, choice, csv_rows, parse_instant, shown
from tieout_reconcile.registry import Registry

REQUIRED = frozenset({"action_id", "isin", "kind", "status", "announced_at"})
OPTIONAL = frozenset({
    "ex_date", "record_date", "pay_date", "effective_at", "factor", "cash_rate", "currency", "withholding", "new_isin",
})  # fmt: skip
KINDS = (
    "dividend", "split", "reverse_split", "spin_off", "merger", "isin_change", "cash_in_lieu", "stock_dividend",
)  # fmt: skip
STATUSES = ("announced", "cancelled")
STEPPING = frozenset({"dividend", "split", "reverse_split", "spin_off", "merger", "stock_dividend"})
"""The kinds that change the multiplier."""
_RENAMING = frozenset({"isin_change", "merger"})
_GROWING = frozenset({"split", "stock_dividend"})
_NEEDS = {"split": ("factor",), "reverse_split": ("factor",), "stock_dividend": ("factor",),
          "dividend": ("cash_rate", "currency"),
          "isin_change": ("new_isin",), "merger": ("new_isin",)}  # fmt: skip


@dataclass(frozen=True, slots=True)
class CorporateAction:
    """One version of a declared action. ``factor`` is text, so that a third stays exact."""

    line: int
    action_id: str
    isin: str
    kind: str
    status: str
    announced_at: datetime
    ex_date: date | None = None
    record_date: date | None = None
    pay_date: date | None = None
    effective_at: datetime | None = None
    factor: str | None = None
    cash_rate: Fraction | None = None
    currency: str | None = None
    withholding: Fraction | None = None
    new_isin: str | None = None

    @property
    def ratio(self) -> Fraction | None:
        """The factor, exact."""
        return None if self.factor is None else Fraction(self.factor)

    @property
    def renames(self) -> bool:
        """Whether the shares are held under another ISIN from ``effective_at`` on."""
        return self.kind in _RENAMING and self.status == "announced"

    def to_json(self) -> dict[str, Any]:
        """Return plain values; quantities and days as text."""
        return to_plain(self)


_DAYS = ("ex_date", "record_date", "pay_date")


def parse_actions(file: InputFile, registry: Registry) -> list[CorporateAction]:
    """Return the actions of a CSV file. Raises BadInput with the line of each fault."""
    problems, seen = Problems(file.name), fields.Seen("action_id")
    isins = {i.isin for i in registry.instruments}
    actions = []
    for row in csv_rows(file, REQUIRED, OPTIONAL, problems):
        if (action := action_of_row(row, isins)) is not None:
            seen.check(action.action_id, row)
            actions.append(action)
    problems.refuse_if_any()
    return actions


def action_of_row(row: Row, isins: set[str]) -> CorporateAction | None:
    """Return the action of one row in the columns above, None when it is at fault."""
    before = len(row.problems)
    isin = row.get("isin")
    if isin not in isins:
        row.fault(f"isin {shown(isin)} belongs to no instrument of the registry (B7 UNMAPPED_IDENTIFIER)")
    identity, kind = row.parsed("action_id", fields.key), row.parsed("kind", choice(*KINDS))
    status, announced_at = row.parsed("status", choice(*STATUSES)), row.parsed("announced_at", parse_instant)
    ex_date, record_date, pay_date = (row.optional(name, fields.day) for name in _DAYS)
    effective_at, factor = row.optional("effective_at", parse_instant), row.optional("factor", fields.ratio)
    cash_rate, currency = row.optional("cash_rate", parse_quantity), row.optional("currency", fields.currency)
    withholding, new_isin = row.optional("withholding", fields.part), row.optional("new_isin", fields.isin)
    for name in _NEEDS.get(kind or "", ()):
        if not row.get(name):
            row.fault(f"is a {kind} and has no {name}")
    if kind in STEPPING | _RENAMING and not row.get("effective_at"):
        row.fault(f"is a {kind} and has no effective_at: the instant at which the multiplier or the ISIN changes")
    _check_direction(row, kind, factor)
    if ex_date is not None and pay_date is not None and pay_date < ex_date:
        row.fault(f"pay_date {pay_date} is before ex_date {ex_date}")
    if len(row.problems) > before or identity is None or kind is None or status is None or announced_at is None:
        return None
    return CorporateAction(
        row.line, identity, isin, kind, status, announced_at, ex_date, record_date, pay_date, effective_at, factor,
        cash_rate, currency, withholding, new_isin,
    )  # fmt: skip


def _check_direction(row: Row, kind: str | None, factor: str | None) -> None:
    if factor is None:
        return
    size = Fraction(factor)
    if (kind in _GROWING and size <= 1) or (kind == "reverse_split" and size >= 1):
        row.fault(f"is a {kind} with the factor {factor}: new multiplier divided by old is wanted")
    elif kind in ("isin_change", "cash_in_lieu") and size != 1:
        row.fault(f"is a {kind}, which changes no multiplier, and has the factor {factor}")
