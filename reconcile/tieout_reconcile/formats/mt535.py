"""MT535, Statement of Holdings (ISO 15022, category 5): pages of one statement, holdings, sub-balances.

Rules, by the standard's field specifications: 28E page number and MORE, LAST or ONLY; 23G NEWM or CANC;
22F STBA SETT or TRAD, and the completeness code COMP or DELT; 17B ACTI//N is a statement of nothing; 93B
and 93C quantities with a decimal comma, N before the number when short, 93C with AVAI or NAVL beside the
code; 98A a day, 98C a local time, 98E a time with its distance from UTC. Sub-balances stand in SUBBAL or
beside AGGR; an AGGR in SUBBAL is that of one place of safekeeping, and the places add up to the holding.
93E and 93F count digital tokens in thirty digits: they are no shares, and are refused.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, datetime
from fractions import Fraction

from tieout_reconcile.exact import decimal_text
from tieout_reconcile.files import InputFile, Problems, decode_text, shown
from tieout_reconcile.formats import fin
from tieout_reconcile.formats.records import BASIS_OF, Empty, Record, SubBalances

_BALANCE = re.compile(r":([A-Z0-9]{4})/[^/]*/([A-Z]{4})/(?:([A-Z]{4})/)?(N?)(\d{1,15},\d{0,14})")
_WHOLE = frozenset({"AGGR", "AVAI", "NAVL"})


def is_mt535(head: str) -> bool:
    """Whether a file begins like one or several FIN messages."""
    return fin.is_fin(head)


def parse(file: InputFile, problems: Problems) -> tuple[list[Record], list[Empty]]:
    """Return the holdings of all pages. Faults go to ``problems`` with their lines."""
    records: list[Record] = []
    empties: list[Empty] = []
    pages: list[tuple[int, str, int]] = []
    heads: list[_Head] = []
    for message in fin.messages(decode_text(file), "535", problems):
        general = next(message.named("GENL"), None)
        if general is None:
            problems.add(f"line {message.line}", "the message has no block GENL: it is no MT535")
            continue
        head = _Head(general, problems)
        heads.append(head)
        if head.page is not None:
            pages.append((*head.page, general.line))
        if head.active == "N":
            if next(_holdings(message, head), None) is not None:
                problems.add(f"line {general.line}", ":17B::ACTI//N says that nothing is held, but there are holdings")
            empties.append(Empty(f"line {general.line}", general.line, head.account, head.basis, head.moment))
        empties += _empty_parts(message, head)
        for safekeeping, holding in _holdings(message, head):
            if (record := _record(holding, safekeeping or head.account, head, problems)) is not None:
                records.append(record)
    fin.check_pages(pages, problems)
    fin.check_same_statement([(h.number, h.identity) for h in heads], problems)
    return records, empties[:1] if len({e.account for e in empties}) == 1 else empties


class _Head:
    """What a message says of itself in GENL."""

    def __init__(self, block: fin.Block, problems: Problems) -> None:
        self.number, self.line = block.line, f"line {block.line}"
        self.problems = problems
        self.account = fin.account_of(block)
        self.active = block.value("17B", ":ACTI//")
        self.page = self._page(block)
        self.basis = self._basis(block)
        self.moment = self._moment(block)
        self.identity = {
            "account": self.account, "statement date": fin.dated(block, "STAT"),
            "basis": block.value("22F", ":STBA/"), "number": fin.statement_number(block),
        }  # fmt: skip
        function = (block.value("23G") or "").partition("/")[0]
        if function != "NEWM":
            remedy = "import the corrected statement: it supersedes" if function == "CANC" else "NEWM is taken"
            problems.add(self.line, f":23G: is {shown(function)}: {remedy}")
        if "DELT" in fin.completeness(block):
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
        given = fin.dated(block, "STAT")
        if given is None:
            return None
        found = fin.DATE.fullmatch(given)
        try:
            if found is None:
                raise ValueError
            return fin.moment_of(found)
        except (ValueError, OverflowError):
            self.problems.add(self.line, f":98a::STAT// is {shown(given)}, which is no date")
            return None


def _holdings(message: fin.Block, head: _Head) -> Iterator[tuple[str | None, fin.Block]]:
    """Yield each FIN block with the account of the SUBSAFE that it stands in."""
    for block in message.blocks:
        if block.name == "FIN":
            yield None, block
        elif block.name == "SUBSAFE" and (head.problems.rule >= 2 or block.value("17B", ":ACTI//") != "N"):
            yield from ((fin.account_of(block), holding) for holding in block.named("FIN"))


def _empty_parts(message: fin.Block, head: _Head) -> Iterator[Empty]:
    """Yield each SUBSAFE that says that nothing is held in it. One that contradicts itself is a fault."""
    if head.problems.rule < 2:
        return
    for part in message.named("SUBSAFE"):
        place, account = f"line {part.line}", fin.account_of(part)
        if next(part.named("SUBSAFE"), None) is not None:
            head.problems.add(place, "a SUBSAFE holds a SUBSAFE: whose holdings these are is unknown")
        if part.value("17B", ":ACTI//") != "N":
            continue
        if account is None:
            head.problems.add(place, "a SUBSAFE that holds nothing names no account")
        elif next(part.named("FIN"), None) is not None:
            head.problems.add(place, ":17B::ACTI//N of the SUBSAFE says that nothing is held, but there are holdings")
        else:
            yield Empty(place, part.line, account, head.basis, head.moment, if_registered=True)


@dataclass(slots=True)
class _Found:
    """The balances of one block: (code, AVAI | NAVL | None, quantity, line)."""

    balances: list[tuple[str, str | None, Fraction, int]] = field(default_factory=list)

    def sizes(self, code: str) -> list[Fraction]:
        """The quantities under a code."""
        return [size for name, _, size, _ in self.balances if name == code]


def _record(block: fin.Block, account: str | None, head: _Head, problems: Problems) -> Record | None:
    place = f"line {block.line}"
    isin = fin.ISIN.match(block.value("35B") or "")
    if isin is None:
        problems.add(place, f"its :35B: names no ISIN: {shown(block.value('35B') or '')}")
    own = _balances(block, problems)
    parts = [_balances(part, problems) for part in block.named("SUBBAL")]
    aggregate = _aggregate(place, own, parts, problems)
    if isin is None or aggregate is None:
        return None
    held = SubBalances(problems)
    for code, kind, size, line in (b for found in (own, *parts) for b in found.balances):
        if code not in _WHOLE:
            where = place if problems.rule < 2 else f"line {line}"
            held.take(where, code, size, not_available=kind == "NAVL", available=kind == "AVAI")
    return Record(
        place, block.line, account, isin[1], aggregate, head.basis, head.moment, held.named,
        _whole(own, parts, "AVAI", problems), _whole(own, parts, "NAVL", problems),
    )  # fmt: skip


def _aggregate(place: str, own: _Found, parts: list[_Found], problems: Problems) -> Fraction | None:
    """Return the holding's aggregate; those of its places of safekeeping, where given, add up to it."""
    mine, placed = own.sizes("AGGR"), [size for part in parts for size in part.sizes("AGGR")]
    if problems.rule < 2:
        mine, placed = mine + placed, []
    if len(mine) > 1 or not mine + placed:
        problems.add(place, f"has {len(mine)} aggregate balances (:93B::AGGR//), one is wanted")
        return None
    total = sum(placed, Fraction(0))
    if mine and placed and total != mine[0]:
        said = f"its places of safekeeping add up to {decimal_text(total)}, its aggregate is {decimal_text(mine[0])}"
        problems.add(place, said)
        return None
    return mine[0] if mine else total


def _whole(own: _Found, parts: list[_Found], code: str, problems: Problems) -> Fraction | None:
    """Return what is available, or not, of the whole holding: its own word, else that of its places."""
    mine, placed = own.sizes(code), [size for part in parts for size in part.sizes(code)]
    found = mine + placed if problems.rule < 2 else mine or placed
    return sum(found, Fraction(0)) if found else None


def _balances(block: fin.Block, problems: Problems) -> _Found:
    taken = _Found()
    for number, tag, value in block.fields:
        if tag in ("93E", "93F"):
            said = f":{tag}: counts digital tokens, not shares: how they add to the holding is unknown"
            problems.add_since(2, f"line {number}", said)
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
            taken.balances.append((found[1], found[3], -size if found[4] else size, number))
    return taken
