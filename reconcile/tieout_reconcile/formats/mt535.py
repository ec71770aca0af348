"""MT535, Statement of Holdings (ISO 15022, category 5): pages of one statement, holdings, sub-balances.

Rules, by the standard's field specifications: 28E page number and MORE, LAST or ONLY; 23G NEWM or CANC;
22F STBA SETT or TRAD, and the completeness code COMP or DELT; 17B ACTI//N is a statement of nothing; 93B
and 93C quantities with a decimal comma, N before the number when short; 98A a day, 98C a local time, 98E
a time with its distance from UTC. Sub-balances stand in SUBBAL or beside AGGR.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction

from tieout_reconcile.files import InputFile, Problems, decode_text, shown
from tieout_reconcile.formats.records import BASIS_OF, KIND_OF, NEUTRAL, Empty, Record

_FIELD = re.compile(r":(\d\d[A-Z]?):(.*)")
_PAGE = re.compile(r"(\d{1,5})/(MORE|LAST|ONLY)")
_ISIN = re.compile(r"ISIN ([A-Z]{2}[A-Z0-9]{9}\d)")
_BALANCE = re.compile(r":([A-Z0-9]{4})/[^/]*/([A-Z]{4})/(?:([A-Z]{4})/)?(N?)(\d{1,15},\d{0,14})")
_DATE = re.compile(r":([A-Z]{4})/[^/]*/(\d{8})(\d{6})?(?:,\d{1,3})?(?:/(N?)(\d\d)(\d\d)?)?")
DEPTH_MAX = 16


@dataclass(slots=True)
class _Block:
    name: str
    line: int
    fields: list[tuple[int, str, str]] = field(default_factory=list)
    blocks: list["_Block"] = field(default_factory=list)

    def values(self, tag: str, start: str = "") -> Iterator[tuple[int, str]]:
        return ((n, value) for n, name, value in self.fields if name == tag and value.startswith(start))

    def value(self, tag: str, start: str = "") -> str | None:
        """The first value of a tag that begins with ``start``, without it."""
        return next((value[len(start) :] for _, value in self.values(tag, start)), None)

    def named(self, name: str) -> Iterator["_Block"]:
        return (block for block in self.blocks if block.name == name)


def is_mt535(head: str) -> bool:
    """Whether a file begins like one or several FIN messages."""
    start = head.lstrip()
    return start.startswith(("{1:", "{4:", ":16R:GENL"))


def parse(file: InputFile, problems: Problems) -> tuple[list[Record], list[Empty]]:
    """Return the holdings of all pages. Faults go to ``problems`` with their lines."""
    records: list[Record] = []
    empties: list[Empty] = []
    pages: list[tuple[int, str, int]] = []
    for message in _messages(decode_text(file), problems):
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
    _check_pages(pages, problems)
    return records, empties[:1] if len({e.account for e in empties}) == 1 else empties


def _messages(text: str, problems: Problems) -> Iterator[_Block]:
    """Split the file into messages and each into its tree of 16R and 16S blocks."""
    stack = [_Block("message", 1)]
    wrapped = False
    for number, line in enumerate(text.splitlines(), 1):
        if "{4:" in line:
            if len(stack) > 1 or wrapped:
                problems.add(f"line {number}", "a message begins before the last one ended: it is cut short")
            stack, wrapped = [_Block("message", number)], True
            if "MT" not in line and (kind := re.search(r"\{2:[IO](\d{3})", line)) and kind[1] != "535":
                problems.add(f"line {number}", f"it is an MT{kind[1]}, not an MT535")
        elif line.strip() in ("-}", "-") or line.startswith("-}"):
            _close(stack, number, problems)
            yield stack[0]
            stack, wrapped = [_Block("message", number + 1)], False
        elif (found := _FIELD.fullmatch(line.rstrip())) is not None:
            _take(stack, number, found[1], found[2], problems)
        elif stack[-1].fields and line.strip():
            at, tag, value = stack[-1].fields[-1]
            stack[-1].fields[-1] = (at, tag, f"{value}\n{line.rstrip()}")
    if wrapped:
        problems.add(f"line {stack[0].line}", "the message has no end (-}): the file is cut short")
    elif stack[0].blocks or len(stack) > 1:
        _close(stack, stack[0].line, problems)
        yield stack[0]


def _take(stack: list[_Block], number: int, tag: str, value: str, problems: Problems) -> None:
    if tag == "16R":
        if len(stack) > DEPTH_MAX:
            problems.add(f"line {number}", f"blocks lie over {DEPTH_MAX} deep")
            return
        block = _Block(value, number)
        stack[-1].blocks.append(block)
        stack.append(block)
    elif tag == "16S":
        if len(stack) == 1 or stack[-1].name != value:
            problems.add(f"line {number}", f"block {shown(value)} ends, which is not the one that is open")
        else:
            stack.pop()
    else:
        stack[-1].fields.append((number, tag, value))


def _close(stack: list[_Block], number: int, problems: Problems) -> None:
    if len(stack) > 1:
        problems.add(f"line {number}", f"block {stack[-1].name} of line {stack[-1].line} never ends")


class _Head:
    """What a message says of itself in GENL."""

    def __init__(self, block: _Block, problems: Problems) -> None:
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

    def _page(self, block: _Block) -> tuple[int, str] | None:
        found = _PAGE.fullmatch(block.value("28E") or "")
        if found is None:
            self.problems.add(self.line, "its :28E: is no page number like 1/ONLY")
            return None
        return int(found[1]), found[2]

    def _basis(self, block: _Block) -> str | None:
        code = next((v.rpartition("/")[2] for _, v in block.values("22F", ":STBA/")), None)
        if code is not None and code not in BASIS_OF:
            self.problems.add(self.line, f":22F::STBA// is {shown(code)}: SETT and TRAD are taken")
        return BASIS_OF.get(code or "")

    def _moment(self, block: _Block) -> datetime | date | None:
        given = [v for tag in ("98A", "98C", "98E") for _, v in block.values(tag, ":STAT/")]
        if not given:
            return None
        found = _DATE.fullmatch(given[0])
        try:
            if found is None:
                raise ValueError
            return _moment_of(found)
        except (ValueError, OverflowError):
            self.problems.add(self.line, f":98a::STAT// is {shown(given[0])}, which is no date")
            return None


def _moment_of(found: re.Match[str]) -> datetime | date:
    if found[3] is None:
        return datetime.strptime(found[2], "%Y%m%d").date()  # noqa: DTZ007 - a day has no zone
    local = datetime.strptime(found[2] + found[3], "%Y%m%d%H%M%S")  # noqa: DTZ007 - 98C is local time
    if found[5] is None:
        return local
    distance = timedelta(hours=int(found[5]), minutes=int(found[6] or 0))
    return local.replace(tzinfo=UTC) + (distance if found[4] else -distance)


def _holdings(message: _Block) -> Iterator[tuple[str | None, _Block]]:
    """Yield each FIN block with the account of the SUBSAFE that it stands in."""
    for block in message.blocks:
        if block.name == "FIN":
            yield None, block
        elif block.name == "SUBSAFE":
            account = block.value("97A", ":SAFE//") or block.value("97B", ":SAFE//")
            if block.value("17B", ":ACTI//") != "N":
                yield from ((account, holding) for holding in block.named("FIN"))


def _record(block: _Block, account: str | None, head: _Head, problems: Problems) -> Record | None:
    place = f"line {block.line}"
    isin = _ISIN.match(block.value("35B") or "")
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


def _balances(block: _Block, problems: Problems) -> Iterator[tuple[str, Fraction]]:
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


def _check_pages(pages: list[tuple[int, str, int]], problems: Problems) -> None:
    if [kind for _, kind, _ in pages] == ["ONLY"] or not pages:
        return
    for expected, (number, kind, line) in enumerate(pages, 1):
        last = expected == len(pages)
        if number != expected or kind != ("LAST" if last else "MORE"):
            what = f"is page {number}/{kind}, where page {expected}/{'LAST' if last else 'MORE'} is wanted"
            problems.add(f"line {line}", f"{what}: all pages of one statement belong in one file, in order")
