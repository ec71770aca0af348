"""What other networks hold of an instrument, from CSV or the issuer's public answer. Pure.

Columns: ``symbol, network, unit, quantity, as_of, source`` and optionally ``decimals, multiplier,
issuer_held, block, wrapper, escrowed``. ``unit`` raw: token units, to be scaled by the multiplier; adjusted:
shares that contain the multiplier already, as an EVM totalSupply does.

A row with ``wrapper`` is of another token, each of which is a claim on the instrument's own: ``quantity`` is its
supply, ``escrowed`` what of the instrument's token its escrow holds, in the same unit. What it wraps is counted
where it lies, so a wrapper adds nothing to what is owed; it is compared with its escrow alone.
"""

from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction
from typing import Any

from tieout_reconcile import fields
from tieout_reconcile.canonical import to_plain
from tieout_reconcile.exact import parse_quantity, parse_raw
from tieout_reconcile.files import InputFile, Problems, Row, choice, csv_rows, parse_instant, shown
from tieout_reconcile.formats import public_json
from tieout_reconcile.registry import SOLANA, Registry

REQUIRED = frozenset({"symbol", "network", "unit", "quantity", "as_of", "source"})
OPTIONAL = frozenset({"decimals", "multiplier", "issuer_held", "block", "wrapper", "escrowed"})
UNITS = ("raw", "adjusted")
EVERY_NETWORK = "*"
"""The network of an issuer-wide figure: an opinion beside ours, never a part of the sum."""
DECIMALS_MAX = 36


@dataclass(frozen=True, slots=True)
class ChainReading:
    """What a network held at an instant. ``multiplier`` is text: how many decimals it has is part of it.

    ``held`` are the shares that an issuer-wide answer says are in custody. ``wrapper``: the token whose supply it is,
    where that is not the instrument's own; ``escrowed`` is then what its escrow holds.
    """

    line: int
    mint: str
    network: str
    unit: str
    quantity: Fraction
    issuer_held: Fraction
    decimals: int | None
    multiplier: str | None
    block: str | None
    as_of: datetime
    source: str
    held: Fraction | None = None
    wrapper: str = ""
    escrowed: Fraction | None = None

    @property
    def is_of_network(self) -> bool:
        """Whether it is what a network holds of the token itself: neither a wrapper's, nor an issuer-wide figure."""
        return not self.wrapper and self.network != EVERY_NETWORK

    def to_json(self) -> dict[str, Any]:
        """Return plain values; quantities as text."""
        return to_plain(self)


def parse_chains(file: InputFile, registry: Registry) -> list[ChainReading]:
    """Return the readings of a file, CSV or JSON. Raises BadInput with the place of each fault."""
    problems, seen = Problems(file.name, file.rule), fields.Seen("this symbol, network, as_of and wrapper")
    symbols = {i.symbol: i for i in registry.instruments}
    readings = []
    if public_json.is_json(file):
        rows = public_json.reserve_rows(file, set(symbols), problems)
    else:
        rows = csv_rows(file, REQUIRED, OPTIONAL, problems)
    for row in rows:
        instrument = fields.instrument_of(row, symbols)
        if (reading := _reading(row, instrument.mint if instrument else "")) is not None and instrument is not None:
            seen.check((reading.mint, reading.network, reading.as_of, reading.wrapper), row)
            readings.append(reading)
    problems.refuse_if_any()
    return readings


def _reading(row: Row, mint: str) -> ChainReading | None:
    before = len(row.problems)
    unit = row.parsed("unit", choice(*UNITS))
    number = _whole if unit == "raw" else parse_quantity
    quantity, issuer_held = row.parsed("quantity", number), row.optional("issuer_held", number)
    decimals, multiplier = row.optional("decimals", _decimals), row.optional("multiplier", fields.ratio)
    network, source = row.parsed("network", _wrapping if row.get("wrapper") else _network), row.get("source")
    wrapper, escrowed = row.optional("wrapper", fields.key) or "", row.optional("escrowed", number)
    as_of, held = row.parsed("as_of", parse_instant), row.optional("held", parse_quantity)
    if unit == "raw" and decimals is None and not row.get("decimals"):
        row.fault("is in raw units and has no decimals")
    _check_wrapper(row)
    if not source:
        row.fault("has no source: who read it, and where")
    if quantity is not None and issuer_held is not None and issuer_held > quantity:
        row.fault(f"issuer_held {shown(row.get('issuer_held'))} is more than the quantity {shown(row.get('quantity'))}")
    if len(row.problems) > before or unit is None or quantity is None or network is None or as_of is None:
        return None
    return ChainReading(
        row.line, mint, network, unit, quantity, issuer_held or Fraction(0), decimals, multiplier,
        row.get("block") or None, as_of, source, held, wrapper, escrowed,
    )  # fmt: skip


def _check_wrapper(row: Row) -> None:
    if row.get("wrapper") and not row.get("escrowed"):
        row.fault(f"is of the wrapper {shown(row.get('wrapper'))} and has no escrowed: what its escrow holds")
    if row.get("escrowed") and not row.get("wrapper"):
        row.fault("gives escrowed and no wrapper: which token it is that wraps this one")
    if row.get("wrapper") and row.get("issuer_held"):
        row.fault("is of a wrapper and gives issuer_held: its whole supply is a claim on its escrow")


def _whole(text: str) -> Fraction:
    # an EVM total of 18 decimals is far beyond 64 bits
    if not text.isascii() or not text.isdigit():
        parse_raw(text)
        raise ValueError("is no whole number of raw units")
    if len(text) > 2 * DECIMALS_MAX:
        raise ValueError(f"has {len(text)} digits")
    return Fraction(int(text))


def _decimals(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text[:4]) > DECIMALS_MAX or len(text) > len(str(DECIMALS_MAX)):
        raise ValueError(f"is not a whole number up to {DECIMALS_MAX}")
    return int(text)


def _wrapping(text: str) -> str:
    # a token of the chain that is indexed may be wrapped there
    if text == EVERY_NETWORK:
        raise ValueError("stands for every network: a wrapper is on one")
    return fields.network(text)


def _network(text: str) -> str:
    if text != EVERY_NETWORK:
        fields.key(text)
    if text.lower() == SOLANA:
        raise ValueError("is the chain that is indexed: readings are of the others")
    return text
