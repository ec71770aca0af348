"""Payments of orders: money and stablecoins that came in or went out, with what each was for. Pure.

Columns: ``reference, direction, amount, currency, paid_at, source`` and optionally ``request_id`` (the order that it
pays), ``account`` (ours), ``counterparty``, ``evidence`` and, of a stablecoin on Solana, ``signature``. ``reference``
is the key: a newer row of the same one supersedes the older.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction
from typing import Any

from tieout_reconcile import fields
from tieout_reconcile.canonical import to_plain
from tieout_reconcile.files import InputFile, Problems, Row, choice, csv_rows, parse_instant
from tieout_reconcile.registry import Registry

REQUIRED = frozenset({"reference", "direction", "amount", "currency", "paid_at", "source"})
OPTIONAL = frozenset({"request_id", "account", "counterparty", "evidence", "signature"})
DIRECTIONS = ("in", "out")


@dataclass(frozen=True, slots=True)
class Payment:
    """One version of a payment: ``amount`` units of ``currency``, above zero; ``direction`` is in or out of the issuer.

    ``source`` says whose word it is (a bank's statement, a payment system), ``evidence`` where to look it up.
    """

    line: int
    reference: str
    direction: str
    amount: Fraction
    currency: str
    paid_at: datetime
    source: str
    request_id: str | None = None
    account: str | None = None
    counterparty: str | None = None
    evidence: str | None = None
    signature: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Return plain values; the amount as text."""
        return to_plain(self)


def parse_payments(file: InputFile, _: Registry) -> list[Payment]:
    """Return the payments of a CSV file. Raises BadInput with the line of each fault."""
    problems = Problems(file.name)
    payments = payments_of_rows(csv_rows(file, REQUIRED, OPTIONAL, problems))
    problems.refuse_if_any()
    return payments


def payments_of_rows(rows: Iterable[Row]) -> list[Payment]:
    """Return the payments of rows in the columns above; those at fault are told and left out."""
    seen, payments = fields.Seen("reference"), []
    for row in rows:
        if (payment := _payment(row)) is not None:
            seen.check(payment.reference, row)
            payments.append(payment)
    return payments


def _payment(row: Row) -> Payment | None:
    before = len(row.problems)
    reference, direction = row.parsed("reference", fields.key), row.parsed("direction", choice(*DIRECTIONS))
    amount, currency = row.parsed("amount", fields.positive), row.parsed("currency", fields.money)
    paid_at, request_id = row.parsed("paid_at", parse_instant), row.optional("request_id", fields.request_id)
    signature = row.optional("signature", fields.signature)
    if not (source := row.get("source")):
        row.fault("has no source: say whose word it is, like the bank's statement")
    if len(row.problems) > before or reference is None or direction is None or amount is None:
        return None
    if currency is None or paid_at is None:
        return None
    account, counterparty, evidence = (row.get(name) or None for name in ("account", "counterparty", "evidence"))
    return Payment(
        row.line, reference, direction, amount, currency, paid_at, source, request_id, account, counterparty, evidence,
        signature,
    )  # fmt: skip
