"""The trades of an Interactive Brokers Flex query: executions, what takes them back, when they settle. Pure.

A trade that is cancelled (``Ca``) stands twice, as it was booked and taken back with the sign turned. One that is
corrected (``TradeCorrect``) stands a third time, and counts only where what it corrects is taken back.

As rows of a trade file a trade is pending up to its settlement day, settled where the statement (``toDate``)
reaches that, and cancelled where another row takes it back.
"""

from collections.abc import Iterator
from datetime import date, datetime

from tieout_reconcile.exact import decimal_text, parse_signed
from tieout_reconcile.files import InputFile, Problems, Row, shown
from tieout_reconcile.formats.flex_rows import FlexRow, FlexStatement, Section, statements_of
from tieout_reconcile.formats.mt536 import Accounts, Clock
from tieout_reconcile.movements import Period
from tieout_reconcile.registry import Registry, instant_text

TRADES = Section(
    "Trades", "Trade", ("", "EXECUTION"), ("ORDER", "CLOSED_LOT", "SYMBOL_SUMMARY", "ASSET_SUMMARY", "WASH_SALE"),
    frozenset({"Order", "Lot", "SymbolSummary", "AssetSummary", "WashSale"}),
)  # fmt: skip
_CANCELS = frozenset({"TradeCancel", "FracShareCancel"})
_TRADED = _CANCELS | {"", "ExchTrade", "BookTrade", "DvpTrade", "FracShare", "TradeCorrect"}


class Places:
    """Whose account of the registry each row is of."""

    def __init__(self, statement: FlexStatement, registry: Registry, declared: Period) -> None:
        self._accounts = Accounts(registry, declared.custodian, statement.problems)
        self._statement = statement
        self._declared = declared
        self._found: dict[str, tuple[str, str]] = {}

    def of(self, row: FlexRow | None = None) -> tuple[str, str]:
        """Return custodian and account of a row, or of the statement; what is at fault is told once an account."""
        named, own = self._declared.account, "" if row is None else row.get("accountId")
        account = own or self._statement.account or named or ""
        if account not in self._found:
            where = self._statement.place if row is None else row.place
            if named not in (None, account):
                what = f"{shown(account)} is not the account {shown(named)} that is declared"
                self._statement.problems.add(f"{where}/@accountId", f"{what}: declare none for several accounts")
            self._found[account] = self._accounts.place(account, where)
        return self._found[account]


class Trades:
    """The executions of a statement, by the ids under which others take them back."""

    def __init__(self, statement: FlexStatement) -> None:
        self.rows = [row for row in statement.rows(TRADES) if row.is_stock]
        self._by_id: dict[tuple[str, str], list[FlexRow]] = {}
        for row in self.rows:
            for name in ("transactionID", "tradeID"):
                if row.get(name) and not is_cancel(row):
                    self._by_id.setdefault((name, row.get(name)), []).append(row)
        self._before = {row.place: before for row in self.rows if (before := self._original(row)) is not None}
        self.cancelled = {
            before.place: row for row in self.rows if is_cancel(row) and (before := self.original(row)) is not None
        }
        for row in self.rows:
            self._check_corrected(row)

    def original(self, row: FlexRow) -> FlexRow | None:
        """Return what a row takes back or corrects, None where it is not in this statement."""
        return self._before.get(row.place)

    def _original(self, row: FlexRow) -> FlexRow | None:
        for name in ("origTransactionID", "origTradeID"):
            named = row.get(name)
            if named in ("", "0"):
                continue
            key = "transactionID" if name == "origTransactionID" else "tradeID"
            found = [r for r in self._by_id.get((key, named), ()) if r is not row]
            if is_cancel(row):
                found = [r for r in found if _is_turned(r.get("quantity"), row.get("quantity"))]
            days = {r.get("settleDateTarget") for r in found}
            if len(days) > 1:
                row.fault(name, f"{shown(named)} is {len(found)} trades: tick origTransactionID in the Flex query")
            return found[0] if found else None
        return None

    def _check_corrected(self, row: FlexRow) -> None:
        before = self.original(row) if row.get("transactionType") == "TradeCorrect" else None
        if before is not None and before.place not in self.cancelled:
            what = f"corrects {before.place}, which nothing takes back (TradeCancel)"
            row.problems.add(row.place, f"{what}: both would count, so give the cancellation too")

    def settles(self, row: FlexRow) -> date | None:
        """Return the day on which a trade is to settle; what is taken back settles with what it takes back."""
        before = self.original(row) if is_cancel(row) else None
        day = row.day("settleDateTarget") or (None if before is None else before.day("settleDateTarget"))
        if day is None and before is None and is_cancel(row):
            what = "takes back a trade that is not in this file, and has no settleDateTarget"
            row.problems.add(row.place, f"{what}: tick it in the Flex query, or give both in one file")
        elif day is None:
            row.needed("settleDateTarget")
        return day


def is_cancel(row: FlexRow) -> bool:
    """Whether a trade's row takes another back."""
    return row.get("transactionType") in _CANCELS or row.get("buySell").endswith("(Ca.)") or "Ca" in row.codes()


def side_of(row: FlexRow) -> str:
    """Return buy or sell; a fault where the row does not say, or its quantity says otherwise."""
    said, before = row.get("buySell").removesuffix("(Ca.)").strip().lower(), len(row.problems)
    size = row.number_of("quantity")
    if row.get("transactionType") not in _TRADED:
        row.fault("transactionType", f"{shown(row.get('transactionType'))} is not one of {names(_TRADED)}")
    if said not in ("buy", "sell"):
        row.fault("buySell", f"{shown(row.get('buySell'))} is neither BUY nor SELL: tick it in the Flex query")
    elif len(row.problems) > before:
        pass
    elif size == 0 or (size > 0) is not ((said == "buy") is not is_cancel(row)):
        what = f"{shown(row.get('quantity'))} has not the sign of {shown(row.get('buySell'))}"
        row.fault("quantity", f"{what}: what comes is above zero, what goes below")
    return said


def traded_at(row: FlexRow, clock: Clock) -> datetime | None:
    """Return the instant of a trade, or the cut-off of its day where no time is told."""
    moment = row.moment("dateTime") or row.moment("tradeDate")
    if moment is None:
        row.problems.add(row.place, "has neither dateTime nor tradeDate: tick one in the Flex query")
        return None
    return clock.instant(moment, row.place, row.problems)


def reach_of(statement: FlexStatement, declared: Period, clock: Clock, problems: Problems) -> datetime | None:
    """Return the instant up to which a statement tells what settled, None where nothing says how far."""
    last = statement.day("toDate")
    told = None if last is None else clock.instant(last, f"{statement.place}/@toDate", problems)
    known = [at for at in (told, declared.end) if at is not None]
    return min(known, default=None)


def settled_at(row: FlexRow, day: date | None, reach: datetime | None, clock: Clock) -> datetime | None:
    """Return when a trade settled, None where that lies beyond what the statement tells."""
    if day is None or reach is None:
        return None
    settled = clock.instant(day, row.place, row.problems)
    return settled if settled is not None and settled <= reach else None


def trade_rows(
    file: InputFile, registry: Registry, declared: Period, clock: Clock, problems: Problems
) -> Iterator[Row]:
    """Yield the trades of all statements as rows of a trade file. Faults go to ``problems`` with their elements."""
    number = 0
    for statement in statements_of(file, problems):
        if not statement.count(TRADES):
            problems.add(statement.place, "has no section Trades: add it to the Flex query")
        places, trades = Places(statement, registry, declared), Trades(statement)
        reach = reach_of(statement, declared, clock, problems)
        for row in trades.rows:
            number += 1
            if (values := _trade(row, trades, reach, clock)) is not None:
                custodian, account = places.of(row)
                yield Row(number, values | {"custodian": custodian, "account": account}, problems, row.place)


def _trade(row: FlexRow, trades: Trades, reach: datetime | None, clock: Clock) -> dict[str, str] | None:
    """Return what a trade's row says; None for what takes back another of the same file, and for what is at fault."""
    before, side = len(row.problems), side_of(row)
    isin, traded, reference = row.needed("isin"), traded_at(row, clock), row.needed("transactionID")
    taken_back = row if is_cancel(row) else trades.cancelled.get(row.place)
    if taken_back is row:
        if trades.original(row) is not None:
            return None
        # what an earlier file told of it is superseded
        reference, day = row.needed("origTransactionID"), row.day("settleDateTarget")
    else:
        day = trades.settles(row)
    if len(row.problems) > before:
        return None
    settled = settled_at(row, day, reach, clock)
    if taken_back is not None:
        status, since = "cancelled", _taken_back_at(taken_back, traded, clock)
    else:
        status, since = ("pending", None) if settled is None else ("settled", settled)
    return {
        "isin": isin, "reference": reference, "side": side, "quantity": decimal_text(abs(row.number_of("quantity"))),
        "traded_at": instant_text(traded) or "", "settles_on": "" if day is None else day.isoformat(),
        "status": status, "status_at": instant_text(since) or "",
    }  # fmt: skip


def _taken_back_at(row: FlexRow, traded: datetime | None, clock: Clock) -> datetime | None:
    """Return since when a trade is taken back: at the cut-off of the day that reports it, never before the trade."""
    day = row.day("reportDate")
    told = traded_at(row, clock) if day is None else clock.instant(day, row.place, row.problems)
    return max((at for at in (told, traded) if at is not None), default=None)


def _is_turned(text: str, other: str) -> bool:
    """Whether one number is the other with its sign turned."""
    try:
        return parse_signed(text) == -parse_signed(other)
    except ValueError:
        return False


def names(words: frozenset[str]) -> str:
    """Return words as a message lists them."""
    return ", ".join(sorted(word for word in words if word))
