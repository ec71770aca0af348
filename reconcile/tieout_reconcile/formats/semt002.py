"""semt.002, Securities Balance Custody Report (ISO 20022), any version: elements are found by local name.

Taken from it: pagination, date, update type, statement basis, activity indicator, safekeeping account and,
for each balance, ISIN, aggregate with its long or short sign, available, not available, and the breakdown
by sub-balance type. An additional breakdown lies inside a breakdown and is not counted again.
"""

from collections.abc import Iterator
from datetime import date, datetime
from fractions import Fraction
from xml.etree.ElementTree import Element

from tieout_reconcile.exact import parse_quantity
from tieout_reconcile.files import InputFile, Problems, shown
from tieout_reconcile.formats.records import BASIS_OF, KIND_OF, NEUTRAL, Empty, Record
from tieout_reconcile.formats.xml import child, children, local, parse_xml, text

_UNITS = ("Unit", "DgtlTknUnit")


def is_semt002(head: str) -> bool:
    """Whether a file begins like a securities balance custody report."""
    return "SctiesBalCtdyRpt" in head or "semt.002" in head


def parse(file: InputFile, problems: Problems) -> tuple[list[Record], list[Empty]]:
    """Return the balances of a report. Faults go to ``problems`` with their element paths."""
    reports = [e for e in parse_xml(file).iter() if local(e) == "SctiesBalCtdyRpt"]
    records: list[Record] = []
    empties: list[Empty] = []
    for number, report in enumerate(reports, 1):
        head = _Head(report, f"SctiesBalCtdyRpt[{number}]", problems)
        before = len(records)
        for path, account, balance in _balances(report, head):
            if (record := _record(balance, path, account, head, len(records) + 1)) is not None:
                records.append(record)
        if head.active is False:
            if len(records) > before:
                problems.add(head.path, "ActvtyInd says that nothing is held, but there are balances")
            empties.append(Empty(head.path, number, head.account, head.basis, head.moment))
    if len(reports) != 1:
        problems.add("Document", f"holds {len(reports)} securities balance custody reports, one is wanted")
    return records, empties


class _Head:
    def __init__(self, report: Element, path: str, problems: Problems) -> None:
        self.path, self.problems = path, problems
        details = child(report, "StmtGnlDtls")
        self.account = text(report, "SfkpgAcct", "Id")
        active = text(details, "ActvtyInd")
        self.active = None if active is None else active in ("true", "1")
        page, last = text(report, "Pgntn", "PgNb"), text(report, "Pgntn", "LastPgInd")
        if (page, last) not in ((None, None), ("1", "true"), ("1", "1")):
            problems.add(f"{path}/Pgntn", f"is page {shown(page)}, last {shown(last)}: all of it belongs in one page")
        basis = text(details, "StmtBsis", "Cd")
        if basis is not None and basis not in BASIS_OF:
            problems.add(f"{path}/StmtGnlDtls/StmtBsis", f"is {shown(basis)}: SETT and TRAD are taken")
        self.basis = BASIS_OF.get(basis or "")
        if text(details, "UpdTp", "Cd") == "DELT":
            problems.add(
                f"{path}/StmtGnlDtls/UpdTp",
                "is DELT: it holds changes only, so what it leaves out is unknown: ask for COMP",
            )
        self.moment = self._moment(details)

    def _moment(self, details: Element | None) -> datetime | date | None:
        instant, day = text(details, "StmtDtTm", "DtTm"), text(details, "StmtDtTm", "Dt")
        try:
            return datetime.fromisoformat(instant) if instant else date.fromisoformat(day) if day else None
        except ValueError:
            self.problems.add(f"{self.path}/StmtGnlDtls/StmtDtTm", f"{shown(instant or day)} is no date")
            return None


def _balances(report: Element, head: _Head) -> Iterator[tuple[str, str | None, Element]]:
    for number, balance in enumerate(children(report, "BalForAcct"), 1):
        yield f"{head.path}/BalForAcct[{number}]", head.account, balance
    for place, sub in enumerate(children(report, "SubAcctDtls"), 1):
        account = text(sub, "SfkpgAcct", "Id")
        for number, balance in enumerate(children(sub, "BalForSubAcct"), 1):
            yield f"{head.path}/SubAcctDtls[{place}]/BalForSubAcct[{number}]", account, balance


def _record(balance: Element, path: str, account: str | None, head: _Head, number: int) -> Record | None:
    problems = head.problems
    isin = text(balance, "FinInstrmId", "ISIN")
    if isin is None:
        problems.add(f"{path}/FinInstrmId", "names no ISIN")
    aggregate = child(balance, "AggtBal")
    quantity = _quantity(aggregate, f"{path}/AggtBal", problems)
    if isin is None or quantity is None:
        return None
    named: dict[str, Fraction] = {}
    for place, part in enumerate(children(balance, "BalBrkdwn"), 1):
        code = text(part, "SubBalTp", "Cd") or "unnamed"
        size = _quantity(part, f"{path}/BalBrkdwn[{place}]", problems)
        if code not in KIND_OF.keys() | NEUTRAL:
            problems.add(
                f"{path}/BalBrkdwn[{place}]", f"is of type {shown(code)}: it is not known whether that encumbers"
            )
        elif code in KIND_OF and size is not None:
            named[KIND_OF[code]] = named.get(KIND_OF[code], Fraction(0)) + size
    available, blocked = child(balance, "AvlblBal"), child(balance, "NotAvlblBal")
    return Record(
        path, number, account, isin, quantity, head.basis, head.moment, named,
        None if available is None else _quantity(available, f"{path}/AvlblBal", problems),
        None if blocked is None else _quantity(blocked, f"{path}/NotAvlblBal", problems),
    )  # fmt: skip


def _quantity(element: Element | None, path: str, problems: Problems) -> Fraction | None:
    """Return the units of a balance; its quantity lies at a depth that differs by version."""
    if element is None:
        problems.add(path, "is missing")
        return None
    nested = [e for part in element if local(part) != "AddtlBalBrkdwnDtls" for e in part.iter()]
    found = [e for e in nested if local(e) in (*_UNITS, "FaceAmt", "AmtsdVal")]
    if len(found) != 1 or local(found[0]) not in _UNITS:
        problems.add(path, f"has no quantity in units, but {', '.join(map(local, found)) or 'nothing'}")
        return None
    sign = -1 if any(local(e).startswith("ShrtLng") and e.text == "SHOR" for e in element) else 1
    try:
        return sign * parse_quantity((found[0].text or "").strip())
    except ValueError as bad:
        problems.add(path, f"{shown(found[0].text or '')} {bad}")
        return None
