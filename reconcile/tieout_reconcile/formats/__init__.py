"""Statements and orders in the custodians' own formats: which one it is, and its parser. Pure.

A format is told by its content, or named. Each parser gives the same records, with the place of every
fault; ``records.resolve`` turns them into positions of registered accounts.
"""

import codecs

from msgspec.structs import replace

from tieout_reconcile.errors import BadInput
from tieout_reconcile.files import InputFile, Problems
from tieout_reconcile.formats import alpaca, columns, flex, mt535, semt002
from tieout_reconcile.formats.declared import StatementMap
from tieout_reconcile.formats.records import Declared, resolve
from tieout_reconcile.orders import Order, parse_orders
from tieout_reconcile.registry import Registry
from tieout_reconcile.statements import Position, parse_positions

STATEMENT_FORMATS = ("csv", "alpaca-positions", "ibkr-flex", "mt535", "semt002")
ORDER_FORMATS = ("csv", "alpaca-requests")
REQUESTS = "alpaca-requests/2"
"""How a file of tokenization requests is stored since those of every network are orders."""
_HEAD_BYTES = 4096


def detect(file: InputFile, json_format: str) -> str:
    """Return the format that a file's beginning shows. Raises BadInput for XML of another kind."""
    data = file.data[:_HEAD_BYTES]
    wide = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    head = data.decode("utf-16" if wide else "utf-8-sig", errors="replace")
    if flex.is_flex(head):
        return "ibkr-flex"
    if semt002.is_semt002(head):
        return "semt002"
    if head.lstrip().startswith("<"):
        raise BadInput(file.name, ["line 1: it is XML, but neither an IBKR Flex query nor a semt.002"])
    if mt535.is_mt535(head):
        return "mt535"
    return json_format if alpaca.is_json(head) else "csv"


def parse_statement(
    file: InputFile, registry: Registry, given: StatementMap, declared: Declared, named: str | None = None
) -> tuple[str, list[Position]]:
    """Return the format and the positions of a statement file. Raises BadInput with the place of each fault."""
    form = _known(file, named or given.texts.get("format"), STATEMENT_FORMATS) or detect(file, "alpaca-positions")
    if form == "csv" and not given.columns:
        _refuse_declared(file, declared)
        return form, parse_positions(file, registry)
    problems = Problems(file.name, file.rule)
    match form:
        case "csv":
            records, empties = columns.parse(file, given, problems)
        case "alpaca-positions":
            records, empties = alpaca.parse_positions(file, given.isins, problems)
        case "ibkr-flex":
            records, empties = flex.parse(file, problems, declared.basis)
        case "mt535":
            records, empties = mt535.parse(file, problems)
        case _:
            records, empties = semt002.parse(file, problems)
    positions = resolve(records, empties, declared, registry, problems)
    problems.refuse_if_any()
    if not positions:
        raise BadInput(file.name, [f"line 1: no position is in it, read as {form}: unknown is not zero"])
    return form, positions


def parse_order_file(file: InputFile, registry: Registry, named: str | None = None) -> tuple[str, list[Order], int]:
    """Return the format as it is stored, the orders, and the count of entries in the file. Raises BadInput."""
    form = _known(file, named, ORDER_FORMATS) or detect(file, "alpaca-requests")
    if form == "csv":
        orders = parse_orders(file, registry)
        return form, orders, len(orders)
    if form != "alpaca-requests":
        raise BadInput(file.name, [f"line 1: it is a statement ({form}), not orders: tieout statement import"])
    orders, count = _requests(file, registry, solana_only=False)
    return REQUESTS, orders, count


def replay_order_file(file: InputFile, registry: Registry, stored: str | None) -> list[Order]:
    """Return the orders of a file by the rule under which it was taken. Raises BadInput."""
    if stored in ("alpaca-requests", REQUESTS):
        return _requests(file, registry, solana_only=stored != REQUESTS)[0]
    return parse_order_file(file, registry, stored)[1]


def _requests(file: InputFile, registry: Registry, *, solana_only: bool) -> tuple[list[Order], int]:
    problems = Problems(file.name)
    orders, count = alpaca.parse_requests(file, registry, problems, solana_only=solana_only)
    problems.refuse_if_any()
    return [replace(order, line=number) for number, order in enumerate(orders, 1)], count


def _known(file: InputFile, named: str | None, formats: tuple[str, ...]) -> str | None:
    if named is not None and named not in formats:
        raise BadInput(file.name, [f"the format {named!r} is not one of {', '.join(formats)}"])
    return named


def _refuse_declared(file: InputFile, declared: Declared) -> None:
    # the plain CSV names custodian, account, basis and time in every row: a second word could only contradict
    if declared.custodian or declared.account or declared.as_of:
        raise BadInput(file.name, ["it is the plain CSV, which says its own custodian, account and time: declare none"])
