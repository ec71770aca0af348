"""Alpaca's JSON: positions of an account, and tokenization requests, which are orders.

Positions carry neither account nor time: both are declared at import. They are as of trade date, and
``qty_available`` leaves out what open sell orders hold. Quantities are strings, up to nine decimals.
Requests (Instant Tokenization Network): ``mint`` and ``redeem`` become issue and redeem orders under the
issuer's request id, on every network; one of a token that the registry lacks is passed over on another
network than Solana. Files taken by the first rule, which knew Solana alone, are replayed by it (``solana_only``).
"""

import json
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

from tieout_reconcile.errors import BadInput
from tieout_reconcile.exact import parse_quantity
from tieout_reconcile.files import InputFile, Problems, Row, decode_text, shown
from tieout_reconcile.formats.records import Empty, Record
from tieout_reconcile.orders import Order, order_of_row
from tieout_reconcile.registry import SOLANA, Instrument, Registry

BASIS = "trade_date"
_SIDES = {"mint": "issue", "redeem": "redeem"}


def is_json(head: str) -> bool:
    """Whether a file begins like a JSON array or object."""
    return head.lstrip().startswith(("[", "{\n", '{"', "{ ", "{\r"))


def unique_pairs(found: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return a JSON object. Raises ValueError where a key is there twice: which one counts would be a guess."""
    if len({key for key, _ in found}) != len(found):
        raise ValueError("an object has the same key twice")
    return dict(found)


def read_json(file: InputFile) -> Any:
    """Return a file's JSON; numbers stay text. Raises BadInput, also for a key that is there twice."""

    try:
        return json.loads(
            decode_text(file), parse_float=str, parse_int=str, parse_constant=str, object_pairs_hook=unique_pairs
        )
    except json.JSONDecodeError as bad:
        raise BadInput(file.name, [f"line {bad.lineno}: it is not JSON: {bad.msg}"]) from None
    except (ValueError, RecursionError) as bad:
        raise BadInput(file.name, [f"line 1: it is not JSON that can be taken: {shown(str(bad))}"]) from None


def parse_positions(file: InputFile, isins: dict[str, str], problems: Problems) -> tuple[list[Record], list[Empty]]:
    """Return the positions. ``isins`` is the map's own symbol table: a ticker is no key by itself."""
    records = []
    for number, entry in enumerate(_objects(read_json(file), problems), 1):
        place = f"[{number - 1}]"
        symbol = entry.get("symbol")
        isin = entry.get("isin") or isins.get(str(symbol))
        if not isinstance(isin, str):
            problems.add(place, f"symbol {shown(symbol)} has no ISIN: declare it under [isins] in the map")
        quantity = _number(entry, "qty", place, problems, signed=True)
        available = _number(entry, "qty_available", place, problems, signed=True) if "qty_available" in entry else None
        if entry.get("side") == "short" and quantity is not None:
            quantity = -abs(quantity)
        if isinstance(isin, str) and quantity is not None:
            free = None if available is None or quantity < 0 else available
            records.append(Record(place, number, None, isin, quantity, BASIS, None, {}, free))
    return records, []


def parse_requests(
    file: InputFile, registry: Registry, problems: Problems, *, solana_only: bool = False
) -> tuple[list[Order], int]:
    """Return the orders, and how many requests the file holds."""
    symbols = {i.symbol: i for i in registry.instruments}
    orders: list[Order] = []
    seen: dict[str, str] = {}
    count = 0
    for number, entry in enumerate(_objects(read_json(file), problems), 1):
        count = number
        place = f"[{number - 1}]"
        if _is_passed_over(entry, symbols, solana_only):
            continue
        if not entry.get("network"):
            problems.add(place, "has no network: on which chain its tokens are is not guessed")
        order = order_of_row(_row(entry, place, number, problems), symbols, {})
        if order is None:
            continue
        if order.request_id in seen:
            problems.add(place, f"request id {shown(order.request_id)} is that of {seen[order.request_id]} again")
        seen[order.request_id] = place
        orders.append(order)
    return orders, count


def _is_passed_over(entry: dict[str, Any], symbols: dict[str, Instrument], solana_only: bool) -> bool:
    network = str(entry.get("network") or "").lower()
    if solana_only:
        return network != SOLANA
    return network not in ("", SOLANA) and entry.get("token_symbol") not in symbols


def _row(entry: dict[str, Any], place: str, number: int, problems: Problems) -> Row:
    """Return a request in the columns of an order file, which then hold it to the same rules."""
    status = str(entry.get("status", ""))
    identity = entry.get("issuer_request_id") or entry.get("tokenization_request_id") or ""
    kind = str(entry.get("type", ""))
    values = {
        "request_id": identity,
        "side": _SIDES.get(kind, kind),
        "status": status,
        "symbol": entry.get("token_symbol"),
        "quantity": entry.get("qty"),
        "wallet": entry.get("wallet_address"),
        "signature": entry.get("tx_hash"),
        "network": entry.get("network"),
        "created_at": entry.get("created_at"),
        "settled_at": entry.get("updated_at") if status in ("completed", "rejected") else None,
    }
    return Row(number, {name: str(value or "") for name, value in values.items()}, problems, place)


def _objects(parsed: Any, problems: Problems) -> Iterator[dict[str, Any]]:
    entries = parsed.get("requests", parsed.get("data")) if isinstance(parsed, dict) else parsed
    if not isinstance(entries, list):
        problems.add("line 1", "it is no JSON array of objects")
        return
    for number, entry in enumerate(entries):
        if isinstance(entry, dict):
            yield entry
        else:
            problems.add(f"[{number}]", "is no JSON object")


def _number(entry: dict[str, Any], key: str, place: str, problems: Problems, *, signed: bool) -> Fraction | None:
    given = entry.get(key)
    try:
        if not isinstance(given, str):
            raise ValueError("is missing")
        negative = signed and given.startswith("-")
        return -parse_quantity(given[1:]) if negative else parse_quantity(given)
    except ValueError as bad:
        problems.add(f"{place}.{key}", f"{shown(given)} {bad}")
        return None
