"""FIN messages (ISO 15022): a file split into messages, a message into its tree of 16R and 16S blocks. Pure."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta

from tieout_reconcile.files import Problems, shown

FIELD = re.compile(r":(\d\d[A-Z]?):(.*)")
PAGE = re.compile(r"(\d{1,5})/(MORE|LAST|ONLY)")
ISIN = re.compile(r"ISIN ([A-Z]{2}[A-Z0-9]{9}\d)")
DATE = re.compile(r":([A-Z]{4})/[^/]*/(\d{8})(\d{6})?(?:,\d{1,3})?(?:/(N?)(\d\d)(\d\d)?)?")
DEPTH_MAX = 16


@dataclass(slots=True)
class Block:
    """A block, or a whole message: its fields as (line, tag, value), and the blocks in it."""

    name: str
    line: int
    fields: list[tuple[int, str, str]] = field(default_factory=list)
    blocks: list["Block"] = field(default_factory=list)

    def values(self, tag: str, start: str = "") -> Iterator[tuple[int, str]]:
        """The lines and values of a tag that begin with ``start``."""
        return ((n, value) for n, name, value in self.fields if name == tag and value.startswith(start))

    def value(self, tag: str, start: str = "") -> str | None:
        """The first value of a tag that begins with ``start``, without it."""
        return next((value[len(start) :] for _, value in self.values(tag, start)), None)

    def named(self, name: str) -> Iterator["Block"]:
        """The direct blocks of a name."""
        return (block for block in self.blocks if block.name == name)


def is_fin(head: str) -> bool:
    """Whether a file begins like one or several FIN messages."""
    return head.lstrip().startswith(("{1:", "{4:", ":16R:GENL"))


def kind_of(head: str) -> str | None:
    """Return which message a FIN file begins with, by its application header; None where it has none."""
    found = re.search(r"\{2:[IO](\d{3})", head)
    return found[1] if found else None


def messages(text: str, kind: str, problems: Problems) -> Iterator[Block]:
    """Split the file into messages and each into its tree of 16R and 16S blocks."""
    stack = [Block("message", 1)]
    wrapped = False
    for number, line in enumerate(text.splitlines(), 1):
        if "{4:" in line:
            if len(stack) > 1 or wrapped:
                problems.add(f"line {number}", "a message begins before the last one ended: it is cut short")
            stack, wrapped = [Block("message", number)], True
            if "MT" not in line and (said := kind_of(line)) and said != kind:
                problems.add(f"line {number}", f"it is an MT{said}, not an MT{kind}")
        elif line.strip() in ("-}", "-") or line.startswith("-}"):
            _close(stack, number, problems)
            yield stack[0]
            stack, wrapped = [Block("message", number + 1)], False
        elif (found := FIELD.fullmatch(line.rstrip())) is not None:
            _take(stack, number, found[1], found[2], problems)
        elif stack[-1].fields and line.strip():
            at, tag, value = stack[-1].fields[-1]
            stack[-1].fields[-1] = (at, tag, f"{value}\n{line.rstrip()}")
    if wrapped:
        problems.add(f"line {stack[0].line}", "the message has no end (-}): the file is cut short")
    elif stack[0].blocks or len(stack) > 1:
        _close(stack, stack[0].line, problems)
        yield stack[0]


def _take(stack: list[Block], number: int, tag: str, value: str, problems: Problems) -> None:
    if tag == "16R":
        if len(stack) > DEPTH_MAX:
            problems.add(f"line {number}", f"blocks lie over {DEPTH_MAX} deep")
            return
        block = Block(value, number)
        stack[-1].blocks.append(block)
        stack.append(block)
    elif tag == "16S":
        if len(stack) == 1 or stack[-1].name != value:
            problems.add(f"line {number}", f"block {shown(value)} ends, which is not the one that is open")
        else:
            stack.pop()
    else:
        stack[-1].fields.append((number, tag, value))


def _close(stack: list[Block], number: int, problems: Problems) -> None:
    if len(stack) > 1:
        problems.add(f"line {number}", f"block {stack[-1].name} of line {stack[-1].line} never ends")


def moment_of(found: re.Match[str]) -> datetime | date:
    """Return the day, local time or instant of a match of ``DATE``. Raises ValueError."""
    if found[3] is None:
        return datetime.strptime(found[2], "%Y%m%d").date()  # noqa: DTZ007 - a day has no zone
    local = datetime.strptime(found[2] + found[3], "%Y%m%d%H%M%S")  # noqa: DTZ007 - 98C is local time
    if found[5] is None:
        return local
    distance = timedelta(hours=int(found[5]), minutes=int(found[6] or 0))
    return local.replace(tzinfo=UTC) + (distance if found[4] else -distance)


def check_pages(pages: list[tuple[int, str, int]], problems: Problems) -> None:
    """Report pages that are missing or out of order; each is (number, MORE | LAST | ONLY, line)."""
    if [kind for _, kind, _ in pages] == ["ONLY"] or not pages:
        return
    for expected, (number, kind, line) in enumerate(pages, 1):
        last = expected == len(pages)
        if number != expected or kind != ("LAST" if last else "MORE"):
            what = f"is page {number}/{kind}, where page {expected}/{'LAST' if last else 'MORE'} is wanted"
            problems.add(f"line {line}", f"{what}: all pages of one statement belong in one file, in order")


def account_of(block: Block) -> str | None:
    """Return the safekeeping account that a block names."""
    return block.value("97A", ":SAFE//") or block.value("97B", ":SAFE//")


def dated(block: Block, qualifier: str) -> str | None:
    """Return the date of a qualifier, in whichever option it stands."""
    return next((v for tag in ("98A", "98C", "98E") for _, v in block.values(tag, f":{qualifier}/")), None)


def statement_number(block: Block) -> str | None:
    """Return the number of a statement (13a STAT)."""
    return next((v for tag in ("13A", "13J") for _, v in block.values(tag, ":STAT/")), None)


def completeness(block: Block) -> set[str]:
    """Return the codes that say whether a statement holds everything (COMP) or changes alone (DELT)."""
    return {v.rpartition("/")[2] for tag in ("CODE", "SFRE") for _, v in block.values("22F", f":{tag}/")}


def check_same_statement(heads: Sequence[tuple[int, Mapping[str, str | None]]], problems: Problems) -> None:
    """Report pages that are of another statement than the first; each is (line, what must be the same)."""
    for line, said in heads[1:]:
        for name, value in heads[0][1].items():
            if said[name] != value:
                what = f"its {name} is {shown(said[name])}, that of the first page {shown(value)}"
                problems.add_since(2, f"line {line}", f"{what}: it is a page of another statement")
