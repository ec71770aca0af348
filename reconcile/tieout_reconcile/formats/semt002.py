"""semt.002, Securities Balance Custody Report (ISO 20022), any version: elements are found by local name.

Taken from it: pagination, date, update type, statement basis, activity indicator, safekeeping account and,
for each balance, ISIN, aggregate with its long or short sign, available, not available, and the breakdowns
by sub-balance type, of the holding and of each place of safekeeping. A sub-balance that is called not
available (AvlbtyInd) encumbers whatever its type. An additional breakdown lies inside a breakdown: it
counts where that one encumbers nothing by itself. The pages of one statement are reports of one file.
"""

from collections.abc import Iterator, Sequence
from datetime import date, datetime
from fractions import Fraction
from xml.etree.ElementTree import Element

from tieout_reconcile.exact import decimal_text, parse_quantity
from tieout_reconcile.files import InputFile, Problems, shown
from tieout_reconcile.formats.records import BASIS_OF, PROPRIETARY, Empty, Record, SubBalances
from tieout_reconcile.formats.xml import child, children, local, parse_xml, text

_UNITS = ("Unit", "DgtlTknUnit")
_YES, _NO = ("true", "1"), ("false", "0")


def is_semt002(head: str) -> bool:
    """Whether a file begins like a securities balance custody report."""
    return "SctiesBalCtdyRpt" in head or "semt.002" in head


def parse(file: InputFile, problems: Problems) -> tuple[list[Record], list[Empty]]:
    """Return the balances of all pages. Faults go to ``problems`` with their element paths."""
    reports = [e for e in parse_xml(file).iter() if local(e) == "SctiesBalCtdyRpt"]
    records: list[Record] = []
    empties: list[Empty] = []
    heads = [_Head(report, f"SctiesBalCtdyRpt[{n}]", problems) for n, report in enumerate(reports, 1)]
    for number, (report, head) in enumerate(zip(reports, heads, strict=True), 1):
        before = len(records)
        for path, account, balance in _balances(report, head):
            if (record := _record(balance, path, account, head, len(records) + 1)) is not None:
                records.append(record)
        if head.active is False:
            if len(records) > before:
                problems.add(head.path, "ActvtyInd says that nothing is held, but there are balances")
            empties.append(Empty(head.path, number, head.account, head.basis, head.moment))
        empties += _empty_parts(report, head, number)
    _check_pages(heads, problems)
    return records, empties


def _check_pages(heads: Sequence["_Head"], problems: Problems) -> None:
    """Report pages that are missing, out of order, or of another statement than the first."""
    if not heads:
        problems.add("Document", "holds 0 securities balance custody reports, one is wanted")
    for number, head in enumerate(heads, 1):
        last = number == len(heads)
        right = head.page == str(number) and head.last in (_YES if last else _NO)
        if not right and ((head.page, head.last) != (None, None) or len(heads) > 1):
            what = f"is page {shown(head.page)}, last {shown(head.last)}, where page {number} of {len(heads)} is wanted"
            problems.add(f"{head.path}/Pgntn", f"{what}: all pages of one statement belong in one file, in order")
    for head in heads[1:]:
        for name, value in head.identity.items():
            if value != heads[0].identity[name]:
                what = f"its {name} is {shown(value)}, that of the first page {shown(heads[0].identity[name])}"
                problems.add(head.path, f"{what}: it is a page of another statement")


class _Head:
    def __init__(self, report: Element, path: str, problems: Problems) -> None:
        self.path, self.problems = path, problems
        details = child(report, "StmtGnlDtls")
        self.account = text(report, "SfkpgAcct", "Id")
        self.active = _indicator(details, "ActvtyInd", f"{path}/StmtGnlDtls", problems)
        self.page, self.last = text(report, "Pgntn", "PgNb"), text(report, "Pgntn", "LastPgInd")
        basis = text(details, "StmtBsis", "Cd")
        if basis is not None and basis not in BASIS_OF:
            problems.add(f"{path}/StmtGnlDtls/StmtBsis", f"is {shown(basis)}: SETT and TRAD are taken")
        self.basis = BASIS_OF.get(basis or "")
        self._check_complete(details)
        self.moment = self._moment(details)
        dated, number = child(details, "StmtDtTm"), child(details, "RptNb")
        self.identity = {
            "account": self.account,
            "statement date": text(dated, "DtTm") or text(dated, "Dt"),
            "basis": basis,
            "number": text(details, "StmtId") or text(number, "Shrt") or text(number, "Lng"),
        }

    def _check_complete(self, details: Element | None) -> None:
        update, place = text(details, "UpdTp", "Cd"), f"{self.path}/StmtGnlDtls/UpdTp"
        if update == "DELT":
            self.problems.add(place, "is DELT: it holds changes only, so what it leaves out is unknown: ask for COMP")
        elif update != "COMP" and child(details, "UpdTp") is not None:
            self.problems.add_since(
                2, place, f"is {shown(update or 'no code')}, not COMP: whether it is complete is unknown"
            )

    def _moment(self, details: Element | None) -> datetime | date | None:
        instant, day = text(details, "StmtDtTm", "DtTm"), text(details, "StmtDtTm", "Dt")
        try:
            return datetime.fromisoformat(instant) if instant else date.fromisoformat(day) if day else None
        except ValueError:
            self.problems.add(f"{self.path}/StmtGnlDtls/StmtDtTm", f"{shown(instant or day)} is no date")
            return None


def _indicator(element: Element | None, name: str, path: str, problems: Problems) -> bool | None:
    """Return what a yes-or-no element says, None where it is not there."""
    said = text(element, name)
    if said is not None and said not in _YES + _NO:
        problems.add_since(2, f"{path}/{name}", f"is {shown(said)}, which is neither true nor false")
    return None if said is None else said in _YES


def _balances(report: Element, head: _Head) -> Iterator[tuple[str, str | None, Element]]:
    for number, balance in enumerate(children(report, "BalForAcct"), 1):
        yield f"{head.path}/BalForAcct[{number}]", head.account, balance
    for place, sub in enumerate(children(report, "SubAcctDtls"), 1):
        account = text(sub, "SfkpgAcct", "Id")
        for number, balance in enumerate(children(sub, "BalForSubAcct"), 1):
            yield f"{head.path}/SubAcctDtls[{place}]/BalForSubAcct[{number}]", account, balance


def _empty_parts(report: Element, head: _Head, number: int) -> Iterator[Empty]:
    """Yield each sub-account that says that nothing is held in it. One that contradicts itself is a fault."""
    if head.problems.rule < 2:
        return
    for place, sub in enumerate(children(report, "SubAcctDtls"), 1):
        path, account = f"{head.path}/SubAcctDtls[{place}]", text(sub, "SfkpgAcct", "Id")
        if _indicator(sub, "ActvtyInd", path, head.problems) is not False:
            continue
        if child(sub, "BalForSubAcct") is not None:
            head.problems.add(path, "ActvtyInd says that nothing is held, but there are balances")
        elif account is None:
            head.problems.add(path, "a sub-account that holds nothing has no SfkpgAcct")
        else:
            yield Empty(path, number, account, head.basis, head.moment, if_registered=True)


def _record(balance: Element, path: str, account: str | None, head: _Head, number: int) -> Record | None:
    problems = head.problems
    isin = text(balance, "FinInstrmId", "ISIN")
    if isin is None:
        problems.add(f"{path}/FinInstrmId", "names no ISIN")
    quantity = _quantity(child(balance, "AggtBal"), f"{path}/AggtBal", problems)
    if isin is None or quantity is None:
        return None
    held = _breakdowns(balance, path, "BalBrkdwn", problems)
    available, blocked = _part(balance, path, "AvlblBal", problems), _part(balance, path, "NotAvlblBal", problems)
    if problems.rule >= 2:
        # the same shares told another way: the larger figure of a kind stands, so that none counts twice
        held.at_least(_breakdowns(balance, path, "AddtlBalBrkdwn", problems))
        placed, free, taken = _places(balance, path, quantity, problems)
        held.at_least(placed)
        available, blocked = free if available is None else available, taken if blocked is None else blocked
    return Record(
        path, number, account, isin, quantity, head.basis, head.moment, held.named, available, blocked
    )  # fmt: skip


def _places(
    balance: Element, path: str, whole: Fraction, problems: Problems
) -> tuple[SubBalances, Fraction | None, Fraction | None]:
    """Return what the places of safekeeping say together: sub-balances, available, not available."""
    held, sums = SubBalances(problems), dict[str, Fraction]()
    for number, place in enumerate(children(balance, "BalAtSfkpgPlc"), 1):
        where = f"{path}/BalAtSfkpgPlc[{number}]"
        here = _breakdowns(place, where, "BalBrkdwn", problems)
        here.at_least(_breakdowns(place, where, "AddtlBalBrkdwn", problems))
        for kind, size in here.named.items():
            held.named[kind] = held.named.get(kind, Fraction(0)) + size
        for name in ("AggtBal", "AvlblBal", "NotAvlblBal"):
            if (size_here := _part(place, where, name, problems)) is not None:
                sums[name] = sums.get(name, Fraction(0)) + size_here
    if sums.get("AggtBal", whole) != whole:
        said = f"the places of safekeeping add up to {decimal_text(sums['AggtBal'])}, AggtBal is {decimal_text(whole)}"
        problems.add(path, said)
    return held, sums.get("AvlblBal"), sums.get("NotAvlblBal")


def _part(balance: Element, path: str, name: str, problems: Problems) -> Fraction | None:
    found = child(balance, name)
    return None if found is None else _quantity(found, f"{path}/{name}", problems)


def _breakdowns(balance: Element, path: str, name: str, problems: Problems) -> SubBalances:
    held = SubBalances(problems)
    for place, part in enumerate(children(balance, name), 1):
        _take(held, part, f"{path}/{name}[{place}]", problems)
    return held


def _take(held: SubBalances, part: Element, where: str, problems: Problems) -> None:
    """Take one breakdown; what lies inside it is a part of the same shares."""
    code = text(part, "SubBalTp", "Cd") or PROPRIETARY
    size = _quantity(part, where, problems)
    said = next((e.text or "" for e in _own(part) if local(e) == "AvlbtyInd"), "").strip()
    inner = list(children(part, "AddtlBalBrkdwnDtls"))
    if size is None:
        return
    held.take(where, code, size, not_available=said in _NO, available=said in _YES)
    if problems.rule >= 2 and held.kind_of(code, not_available=said in _NO) is None:
        for number, one in enumerate(inner, 1):
            _take(held, one, f"{where}/AddtlBalBrkdwnDtls[{number}]", problems)


def _own(element: Element) -> Iterator[Element]:
    """Yield what is inside an element but for its additional breakdown."""
    return (e for part in element if local(part) != "AddtlBalBrkdwnDtls" for e in part.iter())


def _quantity(element: Element | None, path: str, problems: Problems) -> Fraction | None:
    """Return the units of a balance; its quantity lies at a depth that differs by version."""
    if element is None:
        problems.add(path, "is missing")
        return None
    found = [e for e in _own(element) if local(e) in (*_UNITS, "FaceAmt", "AmtsdVal")]
    if len(found) != 1 or local(found[0]) not in _UNITS:
        problems.add(path, f"has no quantity in units, but {', '.join(map(local, found)) or 'nothing'}")
        return None
    try:
        return _sign(element, path, problems) * parse_quantity((found[0].text or "").strip())
    except ValueError as bad:
        problems.add(path, f"{shown(found[0].text or '')} {bad}")
        return None


def _sign(element: Element, path: str, problems: Problems) -> int:
    """Return -1 for a short balance, 1 for a long one."""
    said = [e.text or "" for e in element if local(e).startswith("ShrtLng")]
    if problems.rule < 2:
        return -1 if "SHOR" in said else 1
    for word in said:
        if word.strip() not in ("LONG", "SHOR"):
            problems.add(f"{path}/ShrtLngInd", f"is {shown(word)}, which is neither LONG nor SHOR")
    return -1 if any(word.strip() == "SHOR" for word in said) else 1
