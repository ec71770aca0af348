"""Orders from CSV: what was asked to be issued or redeemed, and how far it got.

Columns: ``request_id, side, status, created_at``, one of ``symbol`` and ``isin``, one of ``quantity``
(shares, decimal) and ``raw`` (token units), and optionally ``wallet`` (the counterparty's owner
address), ``signature``, ``settled_at`` (when the share journal was booked, or the refusal) and ``fee``, in
the quantity's unit: what is kept back. ``inventory`` orders authorise mints into treasury or inventory.
``settlement`` is ``in_kind`` where it is left out, or ``cash`` with ``cash_amount`` and ``cash_currency``: what the
counterparty pays for an issue, or is paid for a redemption.
``network`` is where the tokens are, ``solana`` where it is left out; on another one wallet and signature are of
that network's kind, and quantities are in shares: raw units are those of the chain that is indexed.
"""

from datetime import datetime
from fractions import Fraction
from typing import Any

import msgspec
from msgspec.structs import replace

from tieout_reconcile import fields
from tieout_reconcile.canonical import to_plain
from tieout_reconcile.exact import parse_quantity, parse_raw
from tieout_reconcile.files import InputFile, Problems, Row, choice, csv_rows, parse_instant, shown
from tieout_reconcile.registry import SOLANA, Instrument, Registry

REQUIRED = frozenset({"request_id", "side", "status", "created_at"})
OPTIONAL = frozenset({
    "symbol", "isin", "quantity", "raw", "wallet", "signature", "settled_at", "fee", "network", "settlement",
    "cash_amount", "cash_currency",
})  # fmt: skip
SIDES = ("issue", "redeem", "inventory")
STATUSES = ("pending", "completed", "rejected")
IN_KIND, CASH = "in_kind", "cash"
SETTLEMENTS = (IN_KIND, CASH)


class Order(msgspec.Struct, frozen=True, gc=False):
    """One version of an order. Exactly one of ``shares`` and ``raw`` is given; ``fee`` is in the same unit.

    ``cash_amount``, in units of ``cash_currency``, is there exactly where ``settlement`` is ``cash``.
    """

    line: int
    request_id: str
    side: str
    mint: str
    shares: Fraction | None
    raw: int | None
    status: str
    wallet: str | None
    signature: str | None
    created_at: datetime
    settled_at: datetime | None
    fee: Fraction | None = None
    network: str = SOLANA
    settlement: str = IN_KIND
    cash_amount: Fraction | None = None
    cash_currency: str | None = None

    @property
    def is_here(self) -> bool:
        """Whether its tokens are on the chain that is indexed."""
        return self.network == SOLANA

    @property
    def token_raw(self) -> int | None:
        """The raw tokens to be moved, where the order is in raw: an issue keeps its fee back."""
        if self.raw is None or self.fee is None or self.side != "issue":
            return self.raw
        return self.raw - int(self.fee)

    @property
    def token_shares(self) -> Fraction | None:
        """The shares' worth of tokens to be moved, where the order is in shares."""
        if self.shares is None or self.fee is None or self.side != "issue":
            return self.shares
        return self.shares - self.fee

    @property
    def completed_at(self) -> datetime | None:
        """Since when its shares have moved; None: they have not, as known."""
        if self.status != "completed":
            return None
        settled = self.settled_at
        return settled if settled is not None and settled > self.created_at else self.created_at

    def status_at(self, at: datetime) -> str:
        """Return the status as of an instant: what was made or settled later was still pending."""
        later = self.created_at > at or (self.settled_at is not None and self.settled_at > at)
        return "pending" if later else self.status

    def to_json(self) -> dict[str, Any]:
        """Return plain values; quantities as text."""
        return to_plain(self) | {"raw": None if self.raw is None else str(self.raw)}

    def same_content(self, other: "Order") -> bool:
        """Whether two versions say the same; the line in the file does not count."""
        return replace(self, line=0) == replace(other, line=0)


def parse_orders(file: InputFile, registry: Registry) -> list[Order]:
    """Return the orders of a file. Raises BadInput with the line of each fault."""
    problems = Problems(file.name)
    symbols = {i.symbol: i for i in registry.instruments}
    isins = {i.isin: i for i in registry.instruments}
    orders = []
    lines: dict[str, int] = {}
    for row in csv_rows(file, REQUIRED, OPTIONAL, problems):
        order = order_of_row(row, symbols, isins)
        if order is None:
            continue
        if order.request_id in lines:
            row.fault(f"request_id {shown(order.request_id)} is that of line {lines[order.request_id]} again")
        lines.setdefault(order.request_id, row.line)
        orders.append(order)
    problems.refuse_if_any()
    return orders


def order_of_row(row: Row, symbols: dict[str, Instrument], isins: dict[str, Instrument]) -> Order | None:
    """Return the order of one row in the columns above, None when it is at fault."""
    request_id = row.parsed("request_id", fields.request_id)
    side, status = row.parsed("side", choice(*SIDES)), row.parsed("status", choice(*STATUSES))
    instrument = _instrument(row, symbols, isins)
    shares, raw = _quantity(row)
    network = row.optional("network", fields.network) or SOLANA
    _refuse_elsewhere(row, network, side)
    wallet = row.optional("wallet", fields.address if network == SOLANA else fields.key)
    signature = row.optional("signature", fields.signature if network == SOLANA else fields.key)
    fee = row.optional("fee", _raw_fee if row.get("raw") else parse_quantity)
    if fee is not None and fee >= (shares if shares is not None else raw or 0):
        row.fault(f"fee {shown(row.get('fee'))} is not below the quantity of the order")
        return None
    created_at, settled_at = row.parsed("created_at", parse_instant), row.optional("settled_at", parse_instant)
    if settled_at is not None and created_at is not None and settled_at < created_at:
        row.fault(f"settled_at {settled_at} is before created_at {created_at}")
    if settled_at is not None and status == "pending":
        row.fault("is pending and has a settled_at: leave settled_at empty, or give the final status")
    cash = _cash(row, side)
    if request_id is None or side is None or status is None or instrument is None or created_at is None:
        return None
    if cash is None or (shares is None and raw is None):
        return None
    return Order(
        row.line, request_id, side, instrument.mint, shares, raw, status, wallet, signature, created_at, settled_at,
        fee, network, *cash,
    )  # fmt: skip


def _cash(row: Row, side: str | None) -> tuple[str, Fraction | None, str | None] | None:
    """Return settlement, cash amount and currency, which go together; None when they are at fault."""
    before = len(row.problems)
    settlement = row.optional("settlement", choice(*SETTLEMENTS)) or IN_KIND
    amount = row.optional("cash_amount", fields.positive)
    currency = row.optional("cash_currency", fields.money)
    given = [name for name in ("cash_amount", "cash_currency") if row.get(name)]
    if settlement == CASH and len(given) < 2:
        lacking = " and ".join(name for name in ("cash_amount", "cash_currency") if name not in given)
        row.fault(f"settlement {shown(CASH)} needs {lacking} too: what is paid, like 1250.50 and USD")
    if settlement == IN_KIND and given and len(row.problems) == before:
        named = " and ".join(f"{name} {shown(row.get(name))}" for name in given)
        row.fault(f"is settled in kind and gives {named}: write cash under settlement, or leave them empty")
    if settlement == CASH and side == "inventory":
        row.fault('is an inventory order with the settlement "cash": nobody pays for it, leave settlement empty')
    return None if len(row.problems) > before else (settlement, amount, currency)


def _refuse_elsewhere(row: Row, network: str, side: str | None) -> None:
    if network == SOLANA:
        return
    if row.get("raw"):
        row.fault(f"is on {shown(network)} and gives raw units: give quantity, in shares")
    if side == "inventory":
        row.fault(f"is an inventory order on {shown(network)}: inventory is watched on {SOLANA} alone")


def _instrument(row: Row, symbols: dict[str, Instrument], isins: dict[str, Instrument]) -> Instrument | None:
    symbol, isin = row.get("symbol"), row.get("isin")
    if not symbol and not isin:
        row.fault("needs a symbol or an isin")
        return None
    found = [known.get(text) for text, known in ((symbol, symbols), (isin, isins)) if text]
    if None in found:
        row.fault(
            f"symbol {shown(symbol)}, isin {shown(isin)}: not an instrument of the registry (B7 UNMAPPED_IDENTIFIER)"
        )
        return None
    if found[0] != found[-1]:
        row.fault(f"symbol {shown(symbol)} and isin {shown(isin)} are two different instruments")
        return None
    return found[0]


def _raw_fee(text: str) -> Fraction:
    return Fraction(parse_raw(text))


def _quantity(row: Row) -> tuple[Fraction | None, int | None]:
    if bool(row.get("quantity")) == bool(row.get("raw")):
        row.fault("needs either quantity (in shares) or raw (in token units)")
        return None, None
    shares, raw = row.optional("quantity", parse_quantity), row.optional("raw", parse_raw)
    if shares == 0 or raw == 0:
        row.fault("is an order of nothing: its quantity is 0")
        return None, None
    return shares, raw
