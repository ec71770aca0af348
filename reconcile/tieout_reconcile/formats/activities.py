"""Alpaca's account activities (JSON): fills, journals, transfers, corporate actions, as rows of a movement file. Pure.

Two shapes, told apart by entry: that of the Activity stream (``ref_id``, ``executed_at``, ``settle_date``,
``details``; a JSON array, or the stream's own ``data:`` lines), and the older one of the activities endpoint
(``id``, ``date`` or ``transaction_time``, no ``details``). Tickers need an ISIN: the entry's own, else the one
that the importer declares.

A fill settles on its settlement day, at the declared cut-off, and only where the file is declared (``--to``) to
reach past it; else it is pending. What the older shape leaves out (a fill's settlement day) stays unknown. Journals
and corporate actions are booked when they were executed, or at the cut-off of a later settlement day. Cash that
belongs to no instrument is no movement of shares and is passed over.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime
from fractions import Fraction
from typing import Any

from tieout_reconcile import fields
from tieout_reconcile.errors import BadInput
from tieout_reconcile.exact import decimal_text
from tieout_reconcile.files import InputFile, Problems, Row, decode_text, parse_instant, shown
from tieout_reconcile.formats.alpaca import unique_pairs
from tieout_reconcile.formats.mt536 import Accounts, Clock
from tieout_reconcile.movements import Period
from tieout_reconcile.registry import Registry

FILLS = frozenset({"FILL", "TRD"})
DIVIDENDS = ("DIV", "CGD")
"""How the types of what is paid on a holding begin."""
REORGANISED = frozenset({"SPLIT", "SPIN", "MA", "NC", "REO", "REORG", "VOF", "SSP", "SSO", "SC"})
"""Corporate actions that take shares, bring shares, or both, each leg an entry of its own."""
TRANSFERS = frozenset({"ACATS", "FOPT", "PTR", "DTCS"})
CASH = frozenset({
    "JNLC", "CSD", "CSW", "TRANS", "ACATC", "FEE", "CFEE", "PTC", "INT", "INTNRA", "INTTW", "WH", "MEM", "SWP", "OCT",
})  # fmt: skip
FEES = frozenset({"FEE", "CFEE", "PTC"})
"""Cash that may be charged on a holding."""
NEWLINE = "\n"
_BLANKS = re.compile(r"[ \t\r\n]*")
_CURRENCY = "USD"
"""Of the older shape, which names none: accounts are kept in it."""


def is_activities(head: str) -> bool:
    """Whether a file begins like a list or a stream of activities."""
    return head.lstrip().startswith(("[", "{", "data:", ":", "id:", "event:")) and '"activity_type"' in head


@dataclass(frozen=True, slots=True)
class Activity:
    """One entry with its place in the file: both shapes are asked by the names of the newer one.

    ``root`` is the id of what it corrects, or its own.
    """

    line: int
    place: str
    values: Mapping[str, Any]
    root: str = ""

    def text(self, *names: str) -> str:
        """Return the first value of some names, in the entry or in its details, empty where there is none."""
        inner = [self.values.get(part) for part in ("details", "asset")]
        for name in names:
            for part in (self.values, *(p for p in inner if isinstance(p, dict))):
                if part.get(name) not in (None, ""):
                    return str(part[name]).strip()
        return ""

    @property
    def kind(self) -> str:
        """What was done: FILL, JNLS, DIV, …"""
        return self.text("activity_type")

    @property
    def reference(self) -> str:
        """Its id at the custodian."""
        return self.text("ref_id", "id")


def parse(file: InputFile, registry: Registry, declared: Period, clock: Clock, problems: Problems) -> list[Row]:
    """Return a row for each movement of shares, or of cash on shares. Faults go to ``problems`` with their lines."""
    reader = _Reader(Accounts(registry, declared.custodian, problems), declared, clock, problems)
    rows = [reader.row(entry) for entry in _standing(list(_entries(file, problems)), problems)]
    return [row for row in rows if row is not None]


def _entries(file: InputFile, problems: Problems) -> Iterator[Activity]:
    text = decode_text(file)
    found = _array(file, text) if text.lstrip().startswith("[") else _stream(file, text)
    for number, (line, value) in enumerate(found, 1):
        place = f"line {line}, activity {number}"
        if isinstance(value, dict):
            yield Activity(number, place, value)
        else:
            problems.add(place, "is no JSON object")


def _decoder() -> json.JSONDecoder:
    return json.JSONDecoder(parse_float=str, parse_int=str, parse_constant=str, object_pairs_hook=unique_pairs)


def _decoded(file: InputFile, line: int, text: str, at: int) -> tuple[Any, int]:
    """Return the JSON value at a place of a text that begins on a line, and where it ends."""
    try:
        value, end = _decoder().raw_decode(text, at)
    except json.JSONDecodeError as bad:
        raise BadInput(
            file.name, [f"line {line + text.count(NEWLINE, at, bad.pos)}: it is not JSON: {bad.msg}"]
        ) from None
    except (ValueError, RecursionError) as bad:
        raise BadInput(file.name, [f"line {line}: it is not JSON that can be taken: {shown(str(bad))}"]) from None
    return value, end


def _array(file: InputFile, text: str) -> Iterator[tuple[int, Any]]:
    """Yield each element of a JSON array with the line on which it begins."""
    at, line, first = text.index("["), 1, True
    line += text.count(NEWLINE, 0, at)
    while True:
        at, line = _skip(text, at + 1, line)
        if text[at : at + 1] == "]" and first:
            break
        value, end = _decoded(file, line, text, at)
        yield line, value
        line += text.count(NEWLINE, at, end)
        at, line = _skip(text, end, line)
        first = False
        if text[at : at + 1] == "]":
            break
        if text[at : at + 1] != ",":
            raise BadInput(file.name, [f"line {line}: it is not JSON: a comma or ] is wanted after an activity"])
    if text[at + 1 :].strip():
        raise BadInput(file.name, [f"line {line}: it is not JSON: something stands after the array"])


def _skip(text: str, at: int, line: int) -> tuple[int, int]:
    """Return the next place that is not blank, and its line."""
    found = _BLANKS.match(text, at)
    end = found.end() if found else at
    return end, line + text.count(NEWLINE, at, end)


def _stream(file: InputFile, text: str) -> Iterator[tuple[int, Any]]:
    """Yield each event of a stream, one JSON object a line, with or without the stream's own ``data:``."""
    for number, line in enumerate(text.split(NEWLINE), 1):
        said = line.strip()
        if said.startswith(":") and "dropped" in said:
            raise BadInput(file.name, [f"line {number}: the stream says that it dropped messages: read it again"])
        if not said or said.startswith((":", "id:", "event:", "retry:")):
            continue
        body = said.removeprefix("data:").strip()
        value, end = _decoded(file, number, body, 0)
        if body[end:].strip():
            raise BadInput(file.name, [f"line {number}: it is not JSON: something stands after the activity"])
        yield number, value


def _standing(entries: list[Activity], problems: Problems) -> list[Activity]:
    """Return what stands after corrections: a later activity replaces the one that it names, a bust takes it out.

    What replaces another keeps the id of the first, under which an earlier file may have said it.
    """
    standing: dict[str, Activity] = {}
    for entry in entries:
        own, corrected = entry.reference, entry.text("previous_id")
        if not own:
            problems.add(entry.place, "has no ref_id or id")
        elif own in standing and entry.text("status") != "canceled":
            problems.add(entry.place, f"its id is that of {standing[own].place} again")
        elif entry.text("execution_type") == "trade_bust" or entry.text("status") == "canceled":
            if standing.pop(corrected or own, None) is None:
                what = f"cancels {shown(corrected or own)}, which is not in this file"
                problems.add(entry.place, f"{what}: give both in one file")
        else:
            before = standing.pop(corrected, None) if corrected else None
            standing[own] = replace(entry, root=before.root if before is not None else corrected or own)
    return list(standing.values())


class _Reader:
    """Turns activities into rows of a movement file, which then hold them to the same rules."""

    def __init__(self, accounts: Accounts, declared: Period, clock: Clock, problems: Problems) -> None:
        self._accounts = accounts
        self._declared = declared
        self._clock = clock
        self._problems = problems
        self._account_ids: dict[str, str] = {}

    def row(self, entry: Activity) -> Row | None:
        """Return the row of an activity, None where it moves no shares and no cash on shares, or is at fault."""
        before = len(self._problems)
        status = entry.text("status")
        if status not in ("", "executed", "correct", "pending"):
            self._problems.add(entry.place, f"its status {shown(status)} is not executed, correct or pending")
        shares, cash = self._moved(entry)
        if len(self._problems) > before or (not shares and not cash) or self._is_plain_cash(entry, shares):
            return None
        custodian, account = self._place(entry)
        traded_at, settled_at, settles_on = self._times(entry, pending=status == "pending")
        values = {
            "custodian": custodian, "account": account, "isin": self._isin(entry, shares),
            "quantity": decimal_text(shares), "kind": self._kind(entry, shares), "reference": entry.root,
            "request_id": entry.text("issuer_request_id", "tokenization_request_id"),
            "action_id": entry.text("ca_id", "corporate_action_id"),
            "traded_at": traded_at, "settled_at": settled_at, "settles_on": settles_on,
            "cash": decimal_text(cash) if cash else "",
            "currency": (entry.text("currency") or _CURRENCY) if cash else "",
        }  # fmt: skip
        return Row(entry.line, values, self._problems, entry.place) if len(self._problems) == before else None

    def _moved(self, entry: Activity) -> tuple[Fraction, Fraction]:
        """The shares that an activity moves, into the account above zero, and the cash."""
        kind, subtype = entry.kind, entry.text("activity_subtype", "activity_sub_type")
        size, cash = (self._number(entry, name) for name in ("qty", "net_amount"))
        if kind in FILLS:
            side = entry.text("side")
            if side not in ("buy", "sell", "sell_short"):
                self._problems.add(entry.place, f"its side {shown(side)} is neither buy nor sell")
            if size < 0:
                self._problems.add(entry.place, "a fill's qty is below zero: its side says the direction")
            return (size if side == "buy" else -size), cash
        if kind.startswith(DIVIDENDS):
            # of a cash dividend the older shape says how many shares it was paid on: they do not move
            if subtype != "SDIV" and size and not cash:
                self._problems.add(entry.place, f"is a {shown(kind)} of shares or of nothing: declare it in a CSV")
            return (size if subtype == "SDIV" else Fraction(0)), cash
        if kind in REORGANISED | TRANSFERS | {"JNLS"}:
            return size, cash
        if kind in CASH:
            if size:
                self._problems.add(entry.place, f"is {shown(kind)}, cash alone, and moves {shown(entry.text('qty'))}")
            return Fraction(0), cash
        self._problems.add(entry.place, f"the activity {shown(kind)} is not known: declare it in a CSV")
        return Fraction(0), Fraction(0)

    def _number(self, entry: Activity, name: str) -> Fraction:
        try:
            return fields.signed(entry.text(name) or "0")
        except ValueError as bad:
            self._problems.add(entry.place, f"{name} {shown(entry.text(name))} {bad}")
            return Fraction(0)

    def _is_plain_cash(self, entry: Activity, shares: Fraction) -> bool:
        return not shares and entry.kind in CASH and not (entry.kind in FEES and entry.text("symbol", "isin"))

    def _kind(self, entry: Activity, shares: Fraction) -> str:
        if entry.kind in FILLS:
            return "buy" if shares > 0 else "sell"
        if entry.kind == "JNLS":
            return "journal"
        if entry.kind in TRANSFERS:
            return "receive" if shares > 0 else "deliver"
        if entry.kind in CASH:
            return "fee"
        return "split" if shares else "dividend"

    def _isin(self, entry: Activity, shares: Fraction) -> str:
        """The ISIN of the leg: what goes is the old one's, what comes the new one's."""
        old, new = ("acquiree", "old", "source"), ("acquirer", "new")
        sides = (new if shares > 0 else old) if entry.kind in REORGANISED else ()
        own = entry.text(*(f"{side}_isin" for side in sides), "isin")
        ticker = entry.text(*(f"{side}_symbol" for side in sides), "symbol")
        found = own or self._declared.isins.get(ticker, "")
        if not found:
            self._problems.add(entry.place, f"symbol {shown(ticker)} has no ISIN: declare it under [isins] in the map")
        return found

    def _place(self, entry: Activity) -> tuple[str, str]:
        """Custodian and account: the entry's own, or the declared one for a file of one account."""
        own, named = entry.text("account_id"), self._declared.account
        if named is None:
            return self._accounts.place(own, entry.place)
        if own:
            self._account_ids.setdefault(own, entry.place)
        first = next(iter(self._account_ids), own)
        if own not in ("", first, named):
            what = f"is of account {shown(own)}, {self._account_ids[first]} of {shown(first)}"
            remedy = "for a file of several accounts declare none, and register them by their ids"
            self._problems.add(entry.place, f"{what}: {remedy}")
        return self._accounts.place(named, entry.place)

    def _times(self, entry: Activity, *, pending: bool) -> tuple[str, str, str]:
        """When it was traded, when it settled and when it is due, as text, each empty where it is not known."""
        executed, day = self._instant(entry, "executed_at", "transaction_time"), self._day(entry)
        if day is None and executed is None:
            self._problems.add(entry.place, "has neither executed_at, transaction_time, settle_date nor date")
            return "", "", ""
        fill = entry.kind in FILLS
        traded = executed.isoformat() if executed is not None and fill else ""
        due = day or (None if fill or executed is None else executed.date())
        if pending:
            settled = None
        elif fill:
            settled = self._fill_settled(entry, day)
        elif executed is not None and (day is None or day <= executed.date()):
            settled = executed
        else:
            settled = None if day is None else self._clock.instant(day, entry.place, self._problems)
        return traded, "" if settled is None else settled.isoformat(), "" if due is None else due.isoformat()

    def _fill_settled(self, entry: Activity, day: date | None) -> datetime | None:
        """When a fill settled, None where the file does not reach that far."""
        end = self._declared.end
        if end is None:
            return None
        if day is None:
            what = "a fill without a settlement day: whether it settled by --to is unknown"
            self._problems.add(entry.place, f"{what}, so declare no period")
            return None
        settled = self._clock.instant(day, entry.place, self._problems)
        return settled if settled is not None and settled <= end else None

    def _instant(self, entry: Activity, *names: str) -> datetime | None:
        given = entry.text(*names)
        try:
            return parse_instant(given) if given else None
        except ValueError as bad:
            self._problems.add(entry.place, f"{names[0]} {shown(given)} {bad}")
            return None

    def _day(self, entry: Activity) -> date | None:
        given = entry.text("settle_date", "date")
        try:
            return fields.day(given[:10]) if given else None
        except ValueError as bad:
            self._problems.add(entry.place, f"settle_date {shown(given)} {bad}")
            return None
