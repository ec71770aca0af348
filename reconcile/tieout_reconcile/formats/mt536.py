"""Statements of transactions: MT536 (ISO 15022) and semt.017 (ISO 20022), as rows of a movement file. Pure.

Taken from both: pages, period, account and sub-accounts, ISIN, both references, quantity with its direction,
payment, what kind of transaction, trade, settlement and effective settlement date, reversal. The effective
settlement is the fact; a transaction without one is pending. A statement on trade date settles nothing, and
neither it nor one of changes alone (DELT) says that every movement of its period is known. A day alone stands
for the cut-off time that is declared with the file, as it does in the same custodian's statements, and the
period runs from the cut-off before its first day.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from xml.etree.ElementTree import Element
from zoneinfo import ZoneInfo

from tieout_reconcile.errors import BadInput
from tieout_reconcile.exact import parse_quantity
from tieout_reconcile.files import InputFile, Problems, Row, decode_text, shown
from tieout_reconcile.formats import fin
from tieout_reconcile.formats.records import BASIS_OF
from tieout_reconcile.formats.xml import child, children, local, parse_xml, text
from tieout_reconcile.registry import Registry

_QUANTITY = re.compile(r":PSTA/[^/]*/([A-Z]{4})/(N?)(\d{1,15},\d{0,14})")
_PERIOD = re.compile(r":STAT//(\d{8})(\d{6})?/(\d{8})(\d{6})?")
_NO_REFERENCE = frozenset({"", "NONREF"})
# Of a transaction's type: what is no plain settlement.
_CORPORATE = frozenset({"CORP", "CLAI"})


@dataclass(frozen=True, slots=True)
class Clock:
    """What was declared about a file's days and local times; None where it was not."""

    zone: ZoneInfo | None
    cut_off: time | None

    def instant(self, moment: datetime | date, place: str, problems: Problems) -> datetime | None:
        """Return the instant of a day or time; a fault where nothing declared says which it is."""
        if not isinstance(moment, datetime):
            if self.cut_off is None:
                problems.add(place, f"is of the day {moment} alone: declare --cut-off and --time-zone")
                return None
            moment = datetime.combine(moment, self.cut_off)
        if moment.tzinfo is None:
            if self.zone is None:
                problems.add(place, f"the time {moment} has no zone: declare --time-zone")
                return None
            moment = moment.replace(tzinfo=self.zone)
        return moment.astimezone(UTC)


@dataclass(slots=True)
class Statement:
    """A statement's rows, and for each account the period of which it holds every movement."""

    rows: list[Row]
    periods: dict[tuple[str, str], tuple[datetime, datetime]]


@dataclass(frozen=True, slots=True)
class _Claim:
    """What a statement says of itself: its period, whether it is complete, whether on settlement date."""

    period: tuple[datetime, datetime] | None
    complete: bool
    settled: bool

    def cover(self, found: Statement, places: Iterable[tuple[str, str]]) -> None:
        """Record the period for the accounts of which every movement in it is known."""
        if self.period is not None and self.complete and self.settled:
            found.periods.update(dict.fromkeys(places, self.period))


class Accounts:
    """Whose account of the registry a name is."""

    def __init__(self, registry: Registry, custodian: str | None, problems: Problems) -> None:
        self._named = custodian
        self._problems = problems
        self._held: dict[str, list[str]] = {}
        for one in registry.custodians:
            for account in one.accounts:
                self._held.setdefault(account.account, []).append(one.custodian)

    def place(self, account: str, where: str) -> tuple[str, str]:
        """The custodian and account; an account of several custodians needs one named."""
        found = [c for c in self._held.get(account, []) if self._named in (None, c)]
        if len(found) != 1:
            what = f"is one of {', '.join(found)}: say which by --custodian" if found else "is not in the registry"
            self._problems.add(where, f"account {shown(account)} {what}")
            return "", account
        return found[0], account


def is_semt017(head: str) -> bool:
    """Whether a file begins like a securities transaction posting report."""
    return "semt.017" in head or "SctiesTxPstngRpt" in head


def parse_mt536(
    file: InputFile, registry: Registry, custodian: str | None, clock: Clock, problems: Problems
) -> Statement:
    """Return the transactions of all pages. Faults go to ``problems`` with their lines."""
    accounts = Accounts(registry, custodian, problems)
    found = Statement([], {})
    pages: list[tuple[int, str, int]] = []
    heads: list[tuple[int, Mapping[str, str | None]]] = []
    for message in fin.messages(decode_text(file), "536", problems):
        general = next(message.named("GENL"), None)
        if general is None:
            problems.add(f"line {message.line}", "the message has no block GENL: it is no MT536")
            continue
        where = f"line {general.line}"
        page = fin.PAGE.fullmatch(general.value("28E") or "")
        if page is None:
            problems.add(where, "its :28E: is no page number like 1/ONLY")
        else:
            pages.append((int(page[1]), page[2], general.line))
        heads.append((general.line, _fin_identity(general)))
        if (general.value("23G") or "").partition("/")[0] != "NEWM":
            problems.add(where, f":23G: is {shown(general.value('23G') or '')}: NEWM is taken")
        claim = _fin_claim(general, clock, where, problems)
        parts = list(_fin_parts(message, general, accounts, problems))
        claim.cover(found, (place for place, _ in parts))
        for place, holding in ((place, holding) for place, holdings in parts for holding in holdings):
            isin = fin.ISIN.match(holding.value("35B") or "")
            for transaction in holding.named("TRAN"):
                row = _fin_row(transaction, isin[1] if isin else "", place, clock, problems)
                found.rows.append(row if claim.settled else _unsettled(row))
    fin.check_pages(pages, problems)
    fin.check_same_statement(heads, problems)
    return found


def _fin_identity(general: fin.Block) -> dict[str, str | None]:
    period = next((v for t in ("69A", "69B") for _, v in general.values(t, ":STAT")), None)
    return {
        "account": fin.account_of(general),
        "period": period,
        "basis": general.value("22F", ":STBA/"),
        "number": fin.statement_number(general),
    }


def _fin_claim(general: fin.Block, clock: Clock, where: str, problems: Problems) -> _Claim:
    period = _fin_period(general, clock, where, problems)
    basis = next((v.rpartition("/")[2] for _, v in general.values("22F", ":STBA/")), None)
    return _claim(period, basis, "DELT" not in fin.completeness(general), f"{where}: :22F::STBA//", problems)


def _claim(
    period: tuple[datetime, datetime] | None, basis: str | None, complete: bool, where: str, problems: Problems
) -> _Claim:
    if basis is not None and basis not in BASIS_OF:
        problems.add_since(2, where, f"is {shown(basis)}: SETT and TRAD are taken")
    return _Claim(period, complete, basis != "TRAD") if problems.rule >= 2 else _Claim(period, True, True)


def _unsettled(row: Row) -> Row:
    return Row(row.line, row.values | {"settled_at": ""}, row.problems, row.place)


def _fin_parts(
    message: fin.Block, general: fin.Block, accounts: Accounts, problems: Problems
) -> Iterator[tuple[tuple[str, str], list[fin.Block]]]:
    """Yield each account of a message with its FIN blocks: the statement's own, and that of each SUBSAFE."""
    account, own = fin.account_of(general) or "", list(message.named("FIN"))
    inner = [block for block in message.blocks if block.name != "FIN"]
    if problems.rule < 2:
        yield accounts.place(account, f"line {general.line}"), own + [f for b in inner for f in b.named("FIN")]
        return
    subs = [block for block in inner if block.name == "SUBSAFE"]
    if own or not subs:
        yield accounts.place(account, f"line {general.line}"), own
    for sub in subs:
        where = f"line {sub.line}"
        if next(sub.named("SUBSAFE"), None) is not None:
            problems.add(where, "a SUBSAFE holds a SUBSAFE: whose movements these are is unknown")
        if (named := fin.account_of(sub)) is None:
            problems.add(where, "a SUBSAFE names no account")
        else:
            yield accounts.place(named, where), list(sub.named("FIN"))


def _fin_period(general: fin.Block, clock: Clock, where: str, problems: Problems) -> tuple[datetime, datetime] | None:
    given = next((v for t in ("69A", "69B") for _, v in general.values(t, ":STAT")), "")
    found = _PERIOD.fullmatch(given)
    if found is None:
        problems.add(where, f"its :69a::STAT// {shown(given)} is no period: which movements it holds is unknown")
        return None
    try:
        first, last = (_fin_moment(found[n], found[n + 1]) for n in (1, 3))
    except ValueError:
        problems.add(where, f"its period {shown(given)} is no period")
        return None
    return period_of(first, last, clock, where, problems)


def period_of(
    first: datetime | date, last: datetime | date, clock: Clock, where: str, problems: Problems
) -> tuple[datetime, datetime] | None:
    """Return the instants of a period: of two days, from the cut-off before the first to that of the last."""
    if not isinstance(first, datetime):
        first -= timedelta(days=1)
    start, end = clock.instant(first, where, problems), clock.instant(last, where, problems)
    return None if start is None or end is None else (start, end)


def _fin_moment(day: str, clock_time: str | None) -> datetime | date:
    if clock_time is None:
        return datetime.strptime(day, "%Y%m%d").date()  # noqa: DTZ007 - a day has no zone
    return datetime.strptime(day + clock_time, "%Y%m%d%H%M%S")  # noqa: DTZ007 - local, the zone is declared


def _fin_row(block: fin.Block, isin: str, place: tuple[str, str], clock: Clock, problems: Problems) -> Row:
    where = f"line {block.line}"
    links = list(block.named("LINK"))
    details = next(block.named("TRANSDET"), block)

    def code(tag: str, start: str) -> str:
        return (details.value(tag, start) or "").rpartition("/")[2]

    size = next((m for _, v in details.values("36B") if (m := _QUANTITY.fullmatch(v))), None)
    if size is None or size[1] != "UNIT":
        problems.add(where, "has no posted quantity in units (:36B::PSTA//UNIT/)")
    ours = _linked(links, "RELA")
    dates = {q: _fin_date(details, q, clock, where, problems) for q in ("ESET", "TRAD")}
    day = _fin_day(details, "SETT")
    backwards = code("25D", ":MOVE/") == "REVE"
    inward = code("22H", ":REDE/") == "RECE"
    if code("22H", ":REDE/") not in ("RECE", "DELI"):
        problems.add(where, "is neither received nor delivered (:22H::REDE//)")
    corporate = code("22F", ":TRAN/") in _CORPORATE
    quantity = size[3].replace(",", ".").rstrip(".") if size else ""
    negative = (not inward) is not (backwards or bool(size and size[2]))
    return Row(block.line, {
        "custodian": place[0], "account": place[1], "isin": isin,
        "quantity": f"-{quantity}" if negative else quantity,
        "kind": _kind(inward=inward, paid=code("22H", ":PAYM/") == "APMT", corporate=corporate, backwards=backwards),
        "reference": _linked(links, "ASRF") or _linked(links, "TRRF") or ours,
        "request_id": "" if corporate else ours, "action_id": _linked(links, "CORP"),
        "traded_at": dates["TRAD"], "settled_at": dates["ESET"], "settles_on": day,
    }, problems, where)  # fmt: skip


def _kind(*, inward: bool, paid: bool, corporate: bool, backwards: bool) -> str:
    if backwards:
        return "reversal"
    if corporate:
        return "split"
    if paid:
        return "buy" if inward else "sell"
    return "receive" if inward else "deliver"


def _linked(links: list[fin.Block], qualifier: str) -> str:
    found = next((v for b in links if (v := b.value("20C", f":{qualifier}//")) is not None), "").strip()
    return "" if found in _NO_REFERENCE else found


def _fin_date(block: fin.Block, qualifier: str, clock: Clock, where: str, problems: Problems) -> str:
    given = next((v for t in ("98A", "98C", "98E") for _, v in block.values(t, f":{qualifier}/")), None)
    found = fin.DATE.fullmatch(given) if given is not None else None
    if given is None:
        return ""
    try:
        moment = clock.instant(fin.moment_of(found), where, problems) if found is not None else None
    except (ValueError, OverflowError):
        moment = None
    if moment is None:
        problems.add(where, f":98a::{qualifier}// {shown(given)} gives no instant")
        return ""
    return moment.isoformat()


def _fin_day(block: fin.Block, qualifier: str) -> str:
    given = next((v for t in ("98A", "98C") for _, v in block.values(t, f":{qualifier}/")), "")
    found = fin.DATE.fullmatch(given)
    return f"{found[2][:4]}-{found[2][4:6]}-{found[2][6:]}" if found else ""


def parse_semt017(
    file: InputFile, registry: Registry, custodian: str | None, clock: Clock, problems: Problems
) -> Statement:
    """Return the transactions of a report. Faults go to ``problems`` with their elements."""
    accounts = Accounts(registry, custodian, problems)
    reports = [e for e in parse_xml(file).iter() if local(e) == "SctiesTxPstngRpt"]
    if len(reports) != 1:
        raise BadInput(file.name, [f"holds {len(reports)} securities transaction posting reports, one is wanted"])
    report, where = reports[0], "SctiesTxPstngRpt"
    page, last = text(report, "Pgntn", "PgNb"), text(report, "Pgntn", "LastPgInd")
    if (page, last) not in ((None, None), ("1", "true"), ("1", "1")):
        problems.add(f"{where}/Pgntn", f"is page {shown(page)}, last {shown(last)}: all of it belongs in one page")
    found = Statement([], {})
    claim = _xml_claim(report, clock, where, problems)
    number = 0
    parts = list(_xml_parts(report, accounts, where, problems))
    claim.cover(found, (place for place, _ in parts))
    for place, holding in ((place, holding) for place, holdings in parts for holding in holdings):
        isin = text(holding, "FinInstrmId", "ISIN") or ""
        for transaction in children(holding, "Tx"):
            number += 1
            row = _xml_row(transaction, isin, place, clock, number, problems)
            found.rows.append(row if claim.settled else _unsettled(row))
    return found


def _xml_claim(report: Element, clock: Clock, where: str, problems: Problems) -> _Claim:
    period = _xml_period(report, clock, where, problems)
    details = child(report, "StmtGnlDtls")
    update, basis = child(details, "UpdTp"), child(details, "StmtBsis")
    said = None if basis is None else text(basis, "Cd") or "no code"
    return _claim(period, said, update is None or text(update, "Cd") == "COMP", f"{where}/StmtBsis", problems)


def _xml_parts(
    report: Element, accounts: Accounts, where: str, problems: Problems
) -> Iterator[tuple[tuple[str, str], list[Element]]]:
    """Yield each account of a report with its instruments: the report's own, and that of each sub-account."""
    every = [e for e in report.iter() if local(e) == "FinInstrmDtls"]
    subs = [e for e in report.iter() if local(e) == "SubAcctDtls"] if problems.rule >= 2 else []
    inner = {id(e) for sub in subs for e in sub.iter()}
    own = [e for e in every if id(e) not in inner]
    if own or not subs:
        yield accounts.place(text(report, "SfkpgAcct", "Id") or "", f"{where}/SfkpgAcct"), own
    for number, sub in enumerate(subs, 1):
        place = f"{where}/SubAcctDtls[{number}]"
        if any(local(e) == "SubAcctDtls" for e in sub.iter() if e is not sub):
            problems.add(place, "holds a sub-account of a sub-account: whose movements these are is unknown")
        held = [e for e in sub.iter() if local(e) == "FinInstrmDtls"]
        yield accounts.place(text(sub, "SfkpgAcct", "Id") or "", f"{place}/SfkpgAcct"), held


def _xml_period(report: Element, clock: Clock, where: str, problems: Problems) -> tuple[datetime, datetime] | None:
    names = {"FrDt": date, "ToDt": date, "FrDtTm": datetime, "ToDtTm": datetime}
    given: dict[str, datetime | date] = {}
    for element in report.iter():
        name = local(element)
        if name in names and element.text:
            try:
                given[name[:2]] = names[name].fromisoformat(element.text.strip())
            except ValueError:
                problems.add(f"{where}/{name}", f"{shown(element.text)} is no date")
    if given.keys() != {"Fr", "To"}:
        problems.add(f"{where}/StmtGnlDtls", "names no period: which movements it holds is unknown")
        return None
    return period_of(given["Fr"], given["To"], clock, where, problems)


def _xml_row(
    transaction: Element, isin: str, place: tuple[str, str], clock: Clock, number: int, problems: Problems
) -> Row:
    where = f"Tx[{number}]"
    every = {local(e): (e.text or "").strip() for e in transaction.iter()}
    codes = {local(e): next((x.text or "" for x in e.iter() if local(x) == "Cd"), "") for e in transaction.iter()}
    quantity = next((e for e in transaction.iter() if local(e) == "PstngQty"), None)
    size = "" if quantity is None else next((e.text or "" for e in quantity.iter() if local(e) == "Unit"), "")
    try:
        parse_quantity(size)
    except ValueError as bad:
        problems.add(f"{where}/PstngQty", f"{shown(size)} {bad}")
    way = every.get("SctiesMvmntTp", "")
    if way not in ("RECE", "DELI"):
        problems.add(f"{where}/SctiesMvmntTp", f"{shown(way)} is neither RECE nor DELI")
    backwards = every.get("RvslInd", "") in ("true", "1")
    inward, corporate = way == "RECE", codes.get("TxActvty", "") in _CORPORATE
    ours = every.get("AcctOwnrTxId", "")
    ours = "" if ours in _NO_REFERENCE else ours
    return Row(number, {
        "custodian": place[0], "account": place[1], "isin": isin,
        "quantity": f"-{size}" if (not inward) is not backwards else size,
        "kind": _kind(inward=inward, paid=every.get("Pmt") == "APMT", corporate=corporate, backwards=backwards),
        "reference": every.get("AcctSvcrTxId") or ours,
        "request_id": "" if corporate else ours, "action_id": every.get("CorpActnEvtId", ""),
        "traded_at": _xml_date(transaction, "TradDt", clock, where, problems),
        "settled_at": _xml_date(transaction, "FctvSttlmDt", clock, where, problems),
        "settles_on": _xml_text(transaction, "SttlmDt")[:10],
    }, problems, where)  # fmt: skip


def _xml_text(transaction: Element, name: str) -> str:
    found = next((e for e in transaction.iter() if local(e) == name), None)
    return "" if found is None else next((e.text.strip() for e in found.iter() if e.text and e.text.strip()), "")


def _xml_date(transaction: Element, name: str, clock: Clock, where: str, problems: Problems) -> str:
    given = _xml_text(transaction, name)
    if not given:
        return ""
    try:
        is_day = len(given) == len("2026-01-31")
        moment = clock.instant(date.fromisoformat(given) if is_day else datetime.fromisoformat(given), where, problems)
    except ValueError:
        problems.add(f"{where}/{name}", f"{shown(given)} is no date")
        return ""
    return "" if moment is None else moment.isoformat()
