"""The issuer's public reserve answer: ``{symbol, timestamp, sharesHeld, circulatingSupply, holdings}``.

Its address ends in ``/proof-of-reserves``. One object, or a page of them under ``nodes``. The figures are issuer-wide,
over all networks, keyed by symbol and unsigned: a third opinion, no source of a figure. A symbol that is not registered
is passed over.
"""

from collections.abc import Iterator
from typing import Any

from tieout_reconcile.files import InputFile, Problems, Row
from tieout_reconcile.formats.alpaca import read_json

SOURCE = "the issuer's public reserve answer"
_SOURCE_BEFORE = "issuer's public proof of reserves"
"""What files of earlier rules were stored with: another word would be another figure."""
_HEAD_BYTES = 64
_NAMED_SINCE = 3


def is_json(file: InputFile) -> bool:
    """Whether a file begins like a JSON object or array."""
    return file.data[:_HEAD_BYTES].lstrip(b"\xef\xbb\xbf \t\r\n").startswith((b"{", b"["))


def reserve_rows(file: InputFile, symbols: set[str], problems: Problems) -> Iterator[Row]:
    """Yield one row, in the columns of a chain file, for each registered symbol."""
    parsed = read_json(file)
    nodes = parsed.get("nodes", [parsed]) if isinstance(parsed, dict) else parsed
    if not isinstance(nodes, list) or not all(isinstance(node, dict) for node in nodes):
        problems.add("line 1", "it is no answer like /proof-of-reserves gives: an object, or a page with nodes")
        return
    for number, node in enumerate(nodes, 1):
        if node.get("symbol") in symbols:
            yield Row(number, _values(node, problems.rule), problems, f"nodes[{number - 1}]")


def _values(node: dict[str, Any], rule: int) -> dict[str, str]:
    values = {
        "symbol": node.get("symbol"),
        "network": "*",
        "unit": "adjusted",
        "quantity": node.get("circulatingSupply"),
        "held": node.get("sharesHeld"),
        "as_of": node.get("timestamp"),
        "source": SOURCE if rule >= _NAMED_SINCE else _SOURCE_BEFORE,
    }
    return {name: value if isinstance(value, str) else "" for name, value in values.items()}
