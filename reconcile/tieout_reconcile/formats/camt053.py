"""camt.053, Bank to Customer Statement (ISO 20022), any version, as rows of a payments file: elements by local name.

Taken from it, for each statement: its id, account, pages, opening (OPBD, or the closing PRCD before it) and closing
balance (CLBD), and its entries: amount, side, status, reversal, booking day, references, and for each transaction of an
entry its own amount, parties, end-to-end id and remittance lines. What is booked (BOOK) counts; what is pending or for
information does not. Opening plus entries has to be closing: a statement that lacks an entry is refused.

A transaction pays the order that its remittance names (``tieout/1 <verb> <request id>``, as memos do), or whose request
id is its end-to-end id; nothing else links it. A day without a time counts from its end, in UTC.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from fractions import Fraction
from itertools import groupby
from xml.etree.ElementTree import Element

from tieout_reconcile import fields
from tieout_reconcile.exact import decimal_text, parse_quantity
from tieout_reconcile.files import InputFile, Problems, Row, shown
from tieout_reconcile.formats.xml import child, children, local, parse_xml, text
from tieout_reconcile.matching import memo_references

SOURCE = "bank statement"
_SIDES = {"CRDT": ("in", 1), "DBIT": ("out", -1)}
_YES, _NO = ("true", "1"), ("false", "0", None)
_BOOKED, _NOT_YET = "BOOK", ("PDNG", "INFO", "FUTR")
_OPENING, _CLOSING = ("OPBD", "PRCD"), ("CLBD",)
_NONE_GIVEN = "NOTPROVIDED"
_NAME_MAX = 140
_DAY_ENDS = time(23, 59, 59)


def is_camt053(head: str) -> bool:
    """Whether a file begins like a bank's statement."""
    return "camt.053" in head or "BkToCstmrStmt" in head


def rows(file: InputFile, problems: Problems) -> list[Row]:
    """Return a row for each booked transaction. Faults go to ``problems`` with their element paths."""
    pages = [_Page(e, f"Stmt[{n}]", problems) for n, e in enumerate(_statements(parse_xml(file)), 1)]
    if not pages:
        problems.add("Document", "holds no statement (Stmt)")
    found: list[Row] = []
    for _, group in groupby(pages, key=lambda page: (page.account, page.identity)):
        statement = list(group)
        entries = [entry for page in statement for entry in page.entries()]
        _check_whole(statement, entries, problems)
        for entry in entries:
            found += entry.rows(len(found))
    return found


def _statements(root: Element) -> Iterator[Element]:
    return (element for element in root.iter() if local(element) == "Stmt")


class _Page:
    """A statement, or one page of it."""

    def __init__(self, element: Element, path: str, problems: Problems) -> None:
        self.element, self.path, self.problems = element, path, problems
        self.identity = text(element, "Id") or text(element, "ElctrncSeqNb")
        account = child(element, "Acct", "Id")
        self.account = text(account, "IBAN") or text(account, "Othr", "Id")
        if self.account is None:
            problems.add(f"{path}/Acct/Id", "has neither IBAN nor Othr/Id: whose statement it is is not known")
        if self.identity is None:
            problems.add(f"{path}/Id", "is missing: nothing names the statement")

    def entries(self) -> Iterator["_Entry"]:
        """Yield the booked entries; those at fault are told and left out."""
        for number, element in enumerate(children(self.element, "Ntry"), 1):
            if (entry := _entry(element, self, f"{self.path}/Ntry[{number}]")) is not None:
                yield entry

    def balances(self, codes: Sequence[str]) -> list[tuple[Fraction, str]]:
        """Return the balances of some types, signed, with their currencies."""
        found = []
        for number, element in enumerate(children(self.element, "Bal"), 1):
            if text(element, "Tp", "CdOrPrtry", "Cd") in codes:
                path = f"{self.path}/Bal[{number}]"
                amount, side = _amount(element, path, self.problems), _side(element, path, self.problems)
                if amount is not None and side is not None:
                    found.append((amount[0] * side[1], amount[1]))
        return found


@dataclass(frozen=True, slots=True)
class _Entry:
    """A booked entry: its sides are the account's, ``amount`` above zero in ``currency``."""

    element: Element
    page: _Page
    path: str
    amount: Fraction
    currency: str
    side: tuple[str, int]
    reference: str
    paid_at: datetime

    @property
    def signed(self) -> Fraction:
        """What it adds to the balance."""
        return self.amount * self.side[1]

    def rows(self, before: int) -> list[Row]:
        """Return a row for each transaction in it; ``before`` rows were there."""
        details = [d for group in children(self.element, "NtryDtls") for d in children(group, "TxDtls")]
        if len(details) < 2:
            detail = details[0] if details else None
            return [self._row(detail, self.amount, self.side, self.reference, before + 1)]
        parts = [self._part(d, f"{self.path}/TxDtls[{n}]") for n, d in enumerate(details, 1)]
        known = [part for part in parts if part is not None]
        if len(known) < len(parts):
            return []
        if sum(amount * side[1] for amount, side in known) != self.signed:
            what = f"its {len(parts)} transactions do not add up to its {decimal_text(self.amount)} {self.currency}"
            self.page.problems.add(self.path, what)
        return [
            self._row(detail, *part, f"{self.reference}/{number}", before + number)
            for number, (detail, part) in enumerate(zip(details, known, strict=True), 1)
        ]

    def _part(self, detail: Element, path: str) -> tuple[Fraction, tuple[str, int]] | None:
        """The amount and side of one of several transactions."""
        place = detail if child(detail, "Amt") is not None else child(detail, "AmtDtls", "TxAmt")
        amount = _amount(place, path, self.page.problems)
        side = _side(detail, path, self.page.problems) if child(detail, "CdtDbtInd") is not None else self.side
        if amount is not None and amount[1] != self.currency:
            self.page.problems.add(path, f"is in {amount[1]}, and the entry is in {self.currency}")
            return None
        return None if amount is None or side is None else (amount[0], side)

    def _row(self, detail: Element | None, amount: Fraction, side: tuple[str, int], reference: str, number: int) -> Row:
        values = {
            "reference": reference,
            "direction": side[0],
            "amount": decimal_text(amount),
            "currency": self.currency,
            "paid_at": self.paid_at.isoformat(),
            "source": SOURCE,
            "request_id": _request_id(detail) or "",
            "account": self.page.account or "",
            "counterparty": _counterparty(detail, side[0]) or "",
            "evidence": f"camt.053 {self.page.identity}, {self.path.partition('/')[2]}",
        }
        return Row(number, values, self.page.problems, self.path)


def _entry(element: Element, page: _Page, path: str) -> _Entry | None:
    problems, before = page.problems, len(page.problems)
    status = text(element, "Sts", "Cd") or text(element, "Sts")
    if status in _NOT_YET:
        return None
    if status != _BOOKED:
        problems.add(
            f"{path}/Sts", f"is {shown(status or 'missing')}: BOOK is taken, {', '.join(_NOT_YET)} passed over"
        )
    amount, side = _amount(element, path, problems), _side(element, path, problems)
    paid_at = _booked_at(element, path, problems)
    turned = text(element, "RvslInd")
    if turned not in _YES + _NO:
        problems.add(f"{path}/RvslInd", f"is {shown(turned)}, which is neither true nor false")
    reference = _reference(element, page, reversal=turned in _YES)
    if reference is None:
        problems.add(path, "has neither AcctSvcrRef nor NtryRef: nothing names it")
    if len(problems) > before or amount is None or side is None or paid_at is None or reference is None:
        return None
    if not amount[0]:
        # it says something, and moves nothing
        return None
    return _Entry(element, page, path, *amount, side, reference, paid_at)


def _reference(element: Element, page: _Page, *, reversal: bool) -> str | None:
    """What names an entry among all of the bank's: its own number counts within one statement alone."""
    given, number = text(element, "AcctSvcrRef"), text(element, "NtryRef")
    if given is None and number is None:
        return None
    name = f"{page.account}/{given}" if given is not None else f"{page.account}/{page.identity}/{number}"
    return "".join(f"{name}/reversal".split() if reversal else name.split())


def _check_whole(pages: Sequence[_Page], entries: Sequence[_Entry], problems: Problems) -> None:
    """Tell where pages are missing, or entries: opening balance and entries have to be the closing balance."""
    for number, page in enumerate(pages, 1):
        said, last = text(page.element, "StmtPgntn", "PgNb"), text(page.element, "StmtPgntn", "LastPgInd")
        right = said == str(number) and last in (_YES if number == len(pages) else _NO)
        if (said, last) != (None, None) and not right:
            what = f"is page {shown(said)}, last {shown(last)}, where page {number} of {len(pages)} is wanted"
            problems.add(f"{page.path}/StmtPgntn", f"{what}: all pages of one statement belong in one file, in order")
    opening, closing = pages[0].balances(_OPENING), pages[-1].balances(_CLOSING)
    if not opening or not closing:
        lacking = "opening balance (OPBD or PRCD)" if not opening else "closing balance (CLBD)"
        problems.add(pages[0].path, f"has no {lacking}: whether every entry is in it cannot be known")
        return
    currencies = {currency for _, currency in (*opening, *closing)} | {entry.currency for entry in entries}
    if len(currencies) > 1:
        problems.add(pages[0].path, f"is in {' and '.join(sorted(currencies))}: an account has one currency")
        return
    if problems:
        return
    start, end = opening[0][0], closing[0][0]
    moved = sum((entry.signed for entry in entries), Fraction(0))
    if start + moved != end:
        problems.add(
            pages[0].path,
            f"does not add up: it opens with {decimal_text(start)}, {len(entries)} booked entries are "
            f"{decimal_text(moved)}, and it closes with {decimal_text(end)}: an entry is missing or wrong",
        )


def _amount(element: Element | None, path: str, problems: Problems) -> tuple[Fraction, str] | None:
    found = child(element, "Amt")
    said, currency = text(element, "Amt"), None if found is None else found.get("Ccy")
    try:
        return parse_quantity(said or ""), fields.money(currency or "")
    except ValueError as bad:
        problems.add(f"{path}/Amt", f"{shown(said or '')} {shown(currency or '')} {bad}")
        return None


def _side(element: Element, path: str, problems: Problems) -> tuple[str, int] | None:
    said = text(element, "CdtDbtInd")
    if said not in _SIDES:
        problems.add(f"{path}/CdtDbtInd", f"is {shown(said or 'missing')}: CRDT or DBIT is wanted")
        return None
    return _SIDES[said]


def _booked_at(element: Element, path: str, problems: Problems) -> datetime | None:
    booked = child(element, "BookgDt")
    instant, day = text(booked, "DtTm"), text(booked, "Dt")
    try:
        if instant is not None:
            at = datetime.fromisoformat(instant)
            return (at if at.tzinfo is not None else at.replace(tzinfo=UTC)).astimezone(UTC)
        # some banks write a day with its zone
        return datetime.combine(date.fromisoformat((day or "")[: len("2026-01-01")]), _DAY_ENDS, UTC)
    except (ValueError, OverflowError):
        problems.add(f"{path}/BookgDt", f"{shown(instant or day or '')} is no day or instant")
        return None


def _request_id(detail: Element | None) -> str | None:
    """The order that a transaction names, None where it names none, or several: that is no link."""
    remittance = child(detail, "RmtInf")
    lines = [] if remittance is None else [line.text or "" for line in children(remittance, "Ustrd")]
    named = {name for line in lines for name in memo_references(" ".join(line.split()))}
    if named:
        return _word(named.pop()) if len(named) == 1 else None
    end_to_end = text(detail, "Refs", "EndToEndId")
    return None if end_to_end == _NONE_GIVEN else _word(end_to_end)


def _word(said: str | None) -> str | None:
    """A request id, None for what a stranger wrote that can be none."""
    try:
        return None if said is None else fields.request_id(said)
    except ValueError:
        return None


def _counterparty(detail: Element | None, direction: str) -> str | None:
    """The other side: its name, else its account."""
    role = "Dbtr" if direction == "in" else "Cdtr"
    parties = child(detail, "RltdPties")
    account = child(parties, f"{role}Acct", "Id")
    said = text(parties, role, "Nm") or text(parties, role, "Pty", "Nm") or text(account, "IBAN")
    found = said or text(account, "Othr", "Id")
    return None if found is None else "".join(c for c in " ".join(found.split()) if c.isprintable())[:_NAME_MAX]
