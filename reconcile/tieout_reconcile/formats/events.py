"""Corporate actions, custody movements, trades and payments in any format: which one it is, and its parser. Pure."""

import codecs
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, time
from zoneinfo import ZoneInfo

from tieout_reconcile import fields
from tieout_reconcile.corporate import CorporateAction, action_of_row, parse_actions
from tieout_reconcile.errors import BadInput
from tieout_reconcile.files import InputFile, Problems, Row
from tieout_reconcile.formats import activities, camt053, fin, flex, flex_movements, flex_trades, mt536, mt564
from tieout_reconcile.movements import CustodyMovement, Period, Span, movement_of_row, parse_movements, spans_of
from tieout_reconcile.payments import Payment, parse_payments, payments_of_rows
from tieout_reconcile.registry import Registry
from tieout_reconcile.trades import Trade, parse_trades, trades_of_rows

ACTION_FORMATS = ("csv", "mt564", "seev031")
MOVEMENT_FORMATS = ("csv", "mt536", "semt017", "alpaca-activities", "ibkr-flex")
TRADE_FORMATS = ("csv", "ibkr-flex")
PAYMENT_FORMATS = ("csv", "camt053")
_BOOKINGS = {"alpaca-activities": activities.parse, "ibkr-flex": flex_movements.parse}
"""Lists of bookings that say no period of their own: it is declared."""
_HEAD_BYTES = 4096


def parse_action_file(
    file: InputFile, registry: Registry, named: str | None = None
) -> tuple[str, Sequence[CorporateAction]]:
    """Return the format and the actions of a file. Raises BadInput with the place of each fault."""
    form = _known(file, named, ACTION_FORMATS) or _told(file, "mt564", "seev031", mt564.is_seev031)
    if form == "csv":
        return form, parse_actions(file, registry)
    rows = mt564.mt564_rows if form == "mt564" else mt564.seev031_rows
    problems, seen = Problems(file.name, file.rule), fields.Seen("action_id")
    isins = {i.isin for i in registry.instruments}
    actions = []
    for row in rows(file, problems):
        if (action := action_of_row(row, isins)) is not None:
            seen.check(action.action_id, row)
            actions.append(action)
    _refuse(file, form, problems, actions)
    return form, actions


def parse_movement_file(
    file: InputFile, registry: Registry, declared: Period, named: str | None = None
) -> tuple[str, Sequence[CustodyMovement], Sequence[Span]]:
    """Return the format, the movements and the spans of a file. Raises BadInput with the place of each fault."""
    form = _known(file, named, MOVEMENT_FORMATS) or _told(file, "mt536", "semt017", mt536.is_semt017)
    if form == "csv":
        if declared.time_zone or declared.cut_off:
            raise BadInput(file.name, ["it is the CSV, which says its own times: declare neither zone nor cut-off"])
        return form, *parse_movements(file, registry, declared)
    if form in _BOOKINGS:
        return form, *_booked(file, registry, declared, form)
    if declared.start or declared.end:
        raise BadInput(file.name, [f"it is {form}, which says its own period: declare none"])
    parse = mt536.parse_mt536 if form == "mt536" else mt536.parse_semt017
    problems = Problems(file.name, file.rule)
    statement = parse(file, registry, declared.custodian, _clock(file, declared), problems)
    movements = list(_movements(statement.rows, registry))
    _refuse(file, form, problems, [*movements, *statement.periods])
    spans = [Span(*place, *period) for place, period in sorted(statement.periods.items())]
    return form, movements, spans


def parse_trade_file(
    file: InputFile, registry: Registry, declared: Period, named: str | None = None
) -> tuple[str, Sequence[Trade]]:
    """Return the format and the trades of a file. Raises BadInput with the place of each fault."""
    form = _known(file, named, TRADE_FORMATS) or ("ibkr-flex" if flex.is_flex(_head(file)) else "csv")
    if form == "csv":
        if declared != Period():
            raise BadInput(file.name, ["it is the CSV, which says its own account and times: declare none"])
        return form, parse_trades(file, registry)
    problems = Problems(file.name, file.rule)
    rows = flex_trades.trade_rows(file, registry, declared, _clock(file, declared), problems)
    trades = trades_of_rows(rows, registry, None)
    _refuse(file, form, problems, trades)
    return form, trades


def parse_payment_file(file: InputFile, registry: Registry, named: str | None = None) -> tuple[str, Sequence[Payment]]:
    """Return the format and the payments of a file. Raises BadInput with the place of each fault."""
    form = _known(file, named, PAYMENT_FORMATS)
    if form is None and (head := _head(file)).lstrip().startswith("<"):
        if not camt053.is_camt053(head):
            raise BadInput(file.name, ["line 1: it is XML, but no camt.053, a bank's statement of what it booked"])
        form = "camt053"
    if form != "camt053":
        return "csv", parse_payments(file, registry)
    problems = Problems(file.name, file.rule)
    payments = payments_of_rows(camt053.rows(file, problems))
    # a statement of a quiet day says that nothing was booked
    problems.refuse_if_any()
    return form, payments


def _booked(
    file: InputFile, registry: Registry, declared: Period, form: str
) -> tuple[Sequence[CustodyMovement], Sequence[Span]]:
    """Return the movements of a list of bookings, and the spans that are declared of it."""
    problems = Problems(file.name, file.rule)
    rows = _BOOKINGS[form](file, registry, declared, _clock(file, declared), problems)
    movements = list(_movements(rows, registry))
    problems.refuse_if_any()
    if not (declared.start or declared.end):
        spans = []
    elif form == "ibkr-flex":
        # it reaches back before the period, to the trades that settle in it
        spans = spans_of(file, [m for m in movements if not _is_before(m, declared.start)], declared, registry)
    else:
        spans = spans_of(file, movements, declared, registry)
    _refuse(file, form, problems, [*movements, *spans])
    return movements, spans


def _is_before(movement: CustodyMovement, start: datetime | None) -> bool:
    return start is not None and movement.settled_at is not None and movement.settled_at <= start


def _movements(rows: Sequence[Row], registry: Registry) -> Iterator[CustodyMovement]:
    seen = fields.Seen("this custodian's reference")
    for row in rows:
        if (movement := movement_of_row(row, registry)) is not None:
            seen.check((movement.custodian, movement.reference), row)
            yield movement


def _clock(file: InputFile, declared: Period) -> mt536.Clock:
    try:
        zone = None if declared.time_zone is None else ZoneInfo(declared.time_zone)
        return mt536.Clock(zone, None if declared.cut_off is None else time.fromisoformat(declared.cut_off))
    except (ValueError, OSError, KeyError):
        what = f"the zone {declared.time_zone!r} or the cut-off {declared.cut_off!r}"
        raise BadInput(file.name, [f"{what} is none: write Europe/Zurich and 17:30"]) from None


def _told(file: InputFile, fin_format: str, xml_format: str, is_xml: Callable[[str], bool]) -> str:
    """Return the format that a file's beginning shows."""
    head = _head(file)
    if fin.is_fin(head):
        return fin_format
    if fin_format == "mt536" and activities.is_activities(head):
        return "alpaca-activities"
    if head.lstrip().startswith("<"):
        if is_xml(head):
            return xml_format
        if flex.is_flex(head):
            return _flex(file, xml_format)
        raise BadInput(file.name, [f"line 1: it is XML, but no {xml_format}"])
    return "csv"


def _head(file: InputFile) -> str:
    data = file.data[:_HEAD_BYTES]
    wide = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    return data.decode("utf-16" if wide else "utf-8-sig", errors="replace")


def _flex(file: InputFile, xml_format: str) -> str:
    if xml_format == "semt017":
        return "ibkr-flex"
    what = "an IBKR Flex query tells what was booked, not what was announced: tieout movement import takes it"
    raise BadInput(file.name, [f"{what}; declare the action by MT564, seev.031 or a CSV"])


def _refuse(file: InputFile, form: str, problems: Problems, found: Sequence[object]) -> None:
    problems.refuse_if_any()
    if not found:
        raise BadInput(file.name, [f"line 1: nothing is in it, read as {form}"])


def _known(file: InputFile, named: str | None, formats: tuple[str, ...]) -> str | None:
    if named is not None and named not in formats:
        raise BadInput(file.name, [f"the format {named!r} is not one of {', '.join(formats)}"])
    return named
