"""MT535, Statement of Holdings (ISO 15022, category 5): pages of one statement, holdings, sub-balances.

Rules, by the standard's field specifications: 28E page number and MORE, LAST or ONLY; 23G NEWM or CANC;
22F STBA SETT or TRAD, and the completeness code COMP or DELT; 17B ACTI//N is a statement of nothing; 93B
and 93C quantities with a decimal comma, N before the number when short; 98A a day, 98C a local time, 98E
a time with its distance from UTC. Sub-balances stand in SUBBAL or beside AGGR.
"""

import re
from collections.abc import Iterator
from datetime import date, datetime
from fractions import Fraction

from tieout_reconcile.files import InputFile, Problems, decode_text, shown
from tieout_reconcile.formats import fin
from tieout_reconcile.formats.records import BASIS_OF, KIND_OF, NEUTRAL, Empty, Record

_BALANCE = re.compile(r":([A-Z0-9]{4})/[^/]*/([A-Z]{4})/(?:([A-Z]{4})/)?(N?)(\d{1,15},\d{0,14})")


def is_mt535(head: str) -> bool:
    """Whether a file begins like one or several FIN messages."""
    return fin.is_fin(head)


def parse(file: InputFile, problems: Problems) -> tuple[list[Record], list[Empty]]:
    """Return the holdings of all pages. Faults go to ``problems`` with their lines."""
    records: list[Record] = []
    empties: list[Empty] = []
    pages: list[tuple[int, str, int]] = []
    for message in fin.messages(decode_text(file), "535", problems):
        general = next(message.named("GENL"), None)
        if general is None:
            problems.add(f"line {message.line}", "the message has no block GENL: it is no MT535")
            continue
        head = _Head(general, problems)
        if head.page is not None:
            pages.append((*head.page, general.line))
        if head.active == "N":
            if next(_holdings(message), None) is not None:
                problems.add(f"line {general.line}", ":17B::ACTI//N says that nothing is held, but there are holdings")
            empties.append(Empty(f"line {general.line}", general.line, head.account, head.basis, head.moment))
        for safekeeping, holding in _holdings(message):
            if (record := _record(holding, safekeeping or head.account, head, problems)) is not None:
                records.append(record)
    fin.check_pages(pages, problems)
    return records, empties[:1] if len({e.account for e in empties}) == 1 else empties


class _Head:
    """What a message says of itself in GENL."""

    def __init__(self, block: fin.Block, problems: Problems) -> None:
        self.line = f"line {block.line}"
        self.problems = problems
        self.account = block.value("97A", ":SAFE//") or block.value("97B", ":SAFE//")
        self.active = block.value("17B", ":ACTI//")
        self.page = self._page(block)
        self.basis = self._basis(block)
        self.moment = self._moment(block)
        function = (block.value("23G") or "").partition("/")[0]
        if function != "NEWM":
            remedy = "import the corrected statement: it supersedes" if function == "CANC" else "NEWM is taken"
            problems.add(self.line, f":23G: is {shown(function)}: {remedy}")
        completeness = [v.rpartition("/")[2] for tag in ("CODE", "SFRE") for _, v in block.values("22F", f":{tag}/")]
        if "DELT" in completeness:
            problems.add(self.line, "it holds changes only (DELT), so what it leaves out is unknown: ask for COMP")

    def _page(self, block: fin.Block) -> tuple[int, str] | None:
        found = fin.PAGE.fullmatch(block.value("28E") or "")
        if found is None:
            self.problems.add(self.line, "its :28E: is no page number like 1/ONLY")
            return None
        return int(found[1]), found[2]

    def _basis(self, block: fin.Block) -> str | None:
        code = next((v.rpartition("/")[2] for _, v in block.values("22F", ":STBA/")), None)
        if code is not None and code not in BASIS_OF:
            self.problems.add(self.line, f":22F::STBA// is {shown(code)}: SETT and TRAD are taken")
        return BASIS_OF.get(code or "")

    def _moment(self, block: fin.Block) -> datetime | date | None:
        given = [v for tag in ("98A", "98C", "98E") for _, v in block.values(tag, ":STAT/")]
        if not given:
            return None
        found = fin.DATE.fullmatch(given[0])
        try:
            if found is None:
                raise ValueError
            return fin.moment_of(found)
        except (ValueError, OverflowError):
            self.problems.add(self.line, f":98a::STAT// is {shown(given[0])}, which is no date")
            return None


def _holdings(message: fin.Block) -> Iterator[tuple[str | None, fin.Block]]:
    """Yield each FIN block with the account of the SUBSAFE that it stands in."""
    for block in message.blocks:
        if block.name == "FIN":
            yield None, block
        elif block.name == "SUBSAFE":
            account = block.value("97A", ":SAFE//") or block.value("97B", ":SAFE//")
            if block.value("17B", ":ACTI//") != "N":
                yield from ((account, holding) for holding in block.named("FIN"))


def _record(block: fin.Block, account: str | None, head: _Head, problems: Problems) -> Record | None:
    place = f"line {block.line}"
    isin = fin.ISIN.match(block.value("35B") or "")
    if isin is None:
        problems.add(place, f"its :35B: names no ISIN: {shown(block.value('35B') or '')}")
    balances = list(_balances(block, problems))
    aggregates = [quantity for code, quantity in balances if code == "AGGR"]
    if len(aggregates) != 1:
        problems.add(place, f"has {len(aggregates)} aggregate balances (:93B::AGGR//), one is wanted")
    if isin is None or len(aggregates) != 1:
        return None
    named: dict[str, Fraction] = {}
    whole: dict[str, Fraction] = {}
    for code, quantity in balances:
        if code in KIND_OF:
            named[KIND_OF[code]] = named.get(KIND_OF[code], Fraction(0)) + quantity
        elif code in ("AVAI", "NAVL"):
            whole[code] = whole.get(code, Fraction(0)) + quantity
        elif code not in NEUTRAL | {"AGGR"}:
            problems.add(place, f"has a sub-balance {code} of which it is not known whether it encumbers")
    return Record(
        place, block.line, account, isin[1], aggregates[0], head.basis, head.moment, named,
        whole.get("AVAI"), whole.get("NAVL"),
    )  # fmt: skip


def _balances(block: fin.Block, problems: Problems) -> Iterator[tuple[str, Fraction]]:
    for part in (block, *block.named("SUBBAL")):
        for number, tag, value in part.fields:
            if tag not in ("93B", "93C"):
                continue
            found = _BALANCE.fullmatch(value)
            if found is None:
                problems.add(f"line {number}", f":{tag}:{shown(value)} is no balance like :AGGR//UNIT/1234,5")
            elif found[2] not in ("UNIT", "DIGI"):
                problems.add(f"line {number}", f"is in {found[2]}, not in units: a share is a unit")
            elif found[3] not in (None, "AVAI", "NAVL"):
                problems.add(f"line {number}", f"the balance type {found[3]} is neither AVAI nor NAVL")
            else:
                size = Fraction(found[5].replace(",", ".") + "0")
                yield found[1], -size if found[4] else size
