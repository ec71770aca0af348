"""What custodians moved: shares in and out of an account, and cash, with what each movement was for. Pure.

Columns: ``custodian, account, isin, quantity, kind, reference`` and optionally ``request_id, action_id,
traded_at, settles_on, settled_at, cash, currency``. ``quantity`` is signed: into the account above zero.
A file may be declared, or say itself, to hold every movement of its accounts in a period: a ``Span``.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from fractions import Fraction
from typing import Any

from stdnum import isin as isin_number

from tieout_reconcile import fields
from tieout_reconcile.calendars import day_of
from tieout_reconcile.canonical import to_plain
from tieout_reconcile.errors import BadInput
from tieout_reconcile.files import InputFile, Problems, Row, choice, csv_rows, parse_instant, shown
from tieout_reconcile.registry import Registry, instant_text

REQUIRED = frozenset({"custodian", "account", "isin", "quantity", "kind", "reference"})
OPTIONAL = frozenset({
    "request_id", "action_id", "traded_at", "settles_on", "settled_at", "cash", "currency",
})  # fmt: skip
KINDS = (
    "receive", "deliver", "buy", "sell", "journal", "split", "reinvest", "dividend", "reversal", "fee",
)  # fmt: skip
LEGS = frozenset({"receive", "deliver", "journal", "reversal"})
"""The kinds that stand for an order's shares."""


@dataclass(frozen=True, slots=True)
class CustodyMovement:
    """One version of a movement; ``settled_at`` None: pending."""

    line: int
    custodian: str
    account: str
    isin: str
    quantity: Fraction
    kind: str
    reference: str
    request_id: str | None = None
    action_id: str | None = None
    traded_at: datetime | None = None
    settles_on: date | None = None
    settled_at: datetime | None = None
    cash: Fraction | None = None
    currency: str | None = None

    @property
    def place(self) -> tuple[str, str]:
        """Custodian and account."""
        return self.custodian, self.account

    def settled_by(self, at: datetime) -> bool:
        """Whether it counts for the settled position at an instant."""
        return self.settled_at is not None and self.settled_at <= at

    def to_json(self) -> dict[str, Any]:
        """Return plain values; quantities as text."""
        return to_plain(self)


@dataclass(frozen=True, slots=True)
class Span:
    """A period, after ``start`` and up to ``end``, of which every movement of an account is known."""

    custodian: str
    account: str
    start: datetime
    end: datetime

    @property
    def place(self) -> tuple[str, str]:
        """Custodian and account."""
        return self.custodian, self.account


@dataclass(frozen=True, slots=True)
class Period:
    """What an importer declares about a file of movements: its period, and the account of a file without rows.

    For a format that gives days or local times: the zone, and the time of day that a day stands for. For one
    that names tickers: the ISIN of each.
    """

    start: datetime | None = None
    end: datetime | None = None
    custodian: str | None = None
    account: str | None = None
    time_zone: str | None = None
    cut_off: str | None = None
    isins: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return what is declared, as plain values."""
        said = {"from": instant_text(self.start), "to": instant_text(self.end),
                "custodian": self.custodian, "account": self.account, "time_zone": self.time_zone,
                "cut_off": self.cut_off, "isins": dict(self.isins) or None}  # fmt: skip
        return {name: value for name, value in said.items() if value is not None}


def period_of(said: dict[str, Any]) -> Period:
    """Return what ``Period.to_json`` wrote."""
    start, end = (datetime.fromisoformat(said[n]) if n in said else None for n in ("from", "to"))
    names = ("custodian", "account", "time_zone", "cut_off")
    custodian, account, time_zone, cut_off = (said.get(name) for name in names)
    return Period(start, end, custodian, account, time_zone, cut_off, said.get("isins", {}))


def parse_movements(file: InputFile, registry: Registry, declared: Period) -> tuple[list[CustodyMovement], list[Span]]:
    """Return the movements of a CSV file and the spans that it covers. Raises BadInput."""
    problems, seen = Problems(file.name), fields.Seen("this custodian's reference")
    movements = []
    for row in csv_rows(file, REQUIRED, OPTIONAL, problems):
        if (movement := movement_of_row(row, registry)) is not None:
            seen.check((movement.custodian, movement.reference), row)
            movements.append(movement)
    problems.refuse_if_any()
    return movements, spans_of(file, movements, declared, registry)


def movement_of_row(row: Row, registry: Registry) -> CustodyMovement | None:
    """Return the movement of one row in the columns above, None when it is at fault."""
    before = len(row.problems)
    place = fields.account_of(row, registry)
    isin = row.get("isin")
    if not isin_number.is_valid(isin) or isin_number.compact(isin) != isin:
        row.fault(f"isin {shown(isin)} is no ISIN")
    quantity, kind = row.parsed("quantity", fields.signed), row.parsed("kind", choice(*KINDS))
    reference = row.parsed("reference", fields.key)
    request, action = row.optional("request_id", fields.request_id), row.optional("action_id", fields.key)
    traded_at, settled_at = row.optional("traded_at", parse_instant), row.optional("settled_at", parse_instant)
    settles_on = row.optional("settles_on", fields.day)
    cash, currency = row.optional("cash", fields.signed), row.optional("currency", fields.currency)
    if (cash is None) is not (currency is None):
        row.fault("gives cash or a currency, but not both")
    if quantity == 0 and cash is None:
        row.fault("moves nothing: its quantity is 0 and it has no cash")
    if traded_at is not None and settled_at is not None and settled_at < traded_at:
        row.fault(f"settled_at {settled_at} is before traded_at {traded_at}")
    if settled_at is None and settles_on is None and traded_at is None:
        row.fault("is neither settled nor due: give settled_at, or traded_at (and settles_on)")
    if len(row.problems) > before or place is None or quantity is None or kind is None or reference is None:
        return None
    if settled_at is None and settles_on is None and traded_at is not None:
        settles_on = registry.calendar_of(place[0]).settles_on(day_of(traded_at))
    return CustodyMovement(
        row.line, *place, isin, quantity, kind, reference, request, action, traded_at, settles_on, settled_at, cash,
        currency,
    )  # fmt: skip


def spans_of(file: InputFile, movements: Sequence[CustodyMovement], declared: Period, registry: Registry) -> list[Span]:
    """Return the spans of a file by what was declared about it. Raises BadInput where that does not hold."""
    if declared.start is None or declared.end is None:
        if declared != Period():
            raise BadInput(file.name, ["its period is declared by half: give both --from and --to"])
        return []
    if declared.end <= declared.start:
        raise BadInput(file.name, [f"its period ends at {declared.end}, which is not after {declared.start}"])
    places = {m.place for m in movements}
    if declared.custodian is not None or declared.account is not None:
        named = (declared.custodian or "", declared.account or "")
        if named not in {(c.custodian, a.account) for c in registry.custodians for a in c.accounts}:
            what = f"account {shown(named[1])} at custodian {shown(named[0])} is not in the registry"
            raise BadInput(file.name, [f"{what}: give both --custodian and --account"])
        places |= {named}
    if not places:
        raise BadInput(file.name, ["it has no movement: say by --custodian and --account whose period it covers"])
    late = [m for m in movements if m.settled_at is not None and not declared.start < m.settled_at <= declared.end]
    if late:
        what = f"{late[0].reference} settled at {late[0].settled_at}, outside the declared period"
        raise BadInput(file.name, [f"line {late[0].line}: {what}: it runs from --from (left out) to --to"])
    return [Span(*place, declared.start, declared.end) for place in sorted(places)]


def covered_to(spans: Iterable[Span], start: datetime, at: datetime) -> datetime:
    """Return how far from ``start`` the spans reach without a hole, at most to ``at``."""
    reached = start
    for span in sorted(spans, key=lambda s: (s.start, s.end)):
        if span.start <= reached:
            reached = max(reached, span.end)
    return max(start, min(reached, at))
