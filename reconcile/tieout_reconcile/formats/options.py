"""Which option of a corporate action's notification its terms are taken from: the default one, never a guess. Pure.

By the standards an option that gives cash or shares stands beside others that give other cash or shares
(another currency, another tax rate, a choice of both), or nothing at all (lapse, no action). Exactly one is
marked as the default (``:17B::DFLT//Y``, ``DfltOptnInd``).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from xml.etree.ElementTree import Element

from tieout_reconcile.files import Problems
from tieout_reconcile.formats import fin
from tieout_reconcile.formats.xml import local

_NOTHING = frozenset({"NOAC", "LAPS", "ABST", "NOQU"})
"""The types of option that give neither cash nor shares."""


@dataclass(frozen=True, slots=True)
class Option:
    """An option: its number, its type (CASH, SECU, …), and whether it says that it is the default; None: silent."""

    number: str
    kind: str
    default: bool | None

    @property
    def gives(self) -> bool:
        """Whether it gives cash or shares."""
        return self.kind not in _NOTHING

    def __str__(self) -> str:
        return f"{self.number or '?'} {self.kind}".strip()


def chosen(options: Sequence[Option], place: str, problems: Problems) -> int | None:
    """Return the ordinal of the option that counts, None where there is none; a guess is a fault."""
    giving = [n for n, one in enumerate(options) if one.gives]
    defaults = [n for n, one in enumerate(options) if one.default]
    if len(defaults) == 1:
        if giving and defaults[0] not in giving:
            told = _told(options, giving)
            problems.add(place, f"its default gives nothing, and option {told} does: declare in a CSV what was chosen")
        return defaults[0]
    if len(giving) > 1:
        which = f"{len(defaults)} of them are the default" if defaults else "none is the default (DFLT)"
        told = _told(options, giving)
        problems.add(place, f"options {told} give cash or shares and {which}: declare the action in a CSV")
    return giving[0] if giving else None


def _told(options: Sequence[Option], ordinals: Sequence[int]) -> str:
    return ", ".join(str(options[n]) for n in ordinals)


def keep_default_block(message: fin.Block, place: str, problems: Problems) -> None:
    """Take the options that do not count out of an MT564."""
    blocks = list(message.named("CAOPTN"))
    found = [
        Option(
            (block.value("13A", ":CAON//") or "").strip(),
            (block.value("22F", ":CAOP/") or "").rpartition("/")[2].strip(),
            {"Y": True, "N": False}.get((block.value("17B", ":DFLT//") or "").strip()),
        )
        for block in blocks
    ]
    kept = chosen(found, place, problems)
    dropped = {id(block) for n, block in enumerate(blocks) if n != kept}
    message.blocks = [block for block in message.blocks if id(block) not in dropped]


def keep_default_element(notification: Element, place: str, problems: Problems) -> None:
    """Take the options that do not count out of a seev.031."""
    elements = [e for e in notification if local(e) == "CorpActnOptnDtls"]
    found = [Option(_word(e, "OptnNb"), _word(e, "OptnTp"), _default(e)) for e in elements]
    kept = chosen(found, place, problems)
    for n, element in enumerate(elements):
        if n != kept:
            notification.remove(element)


def _word(element: Element, name: str) -> str:
    """Return the first text in an element of a name."""
    found = next((e for e in element.iter() if local(e) == name), None)
    return "" if found is None else next((e.text.strip() for e in found.iter() if e.text and e.text.strip()), "")


def _default(option: Element) -> bool | None:
    return {"true": True, "1": True, "false": False, "0": False}.get(_word(option, "DfltOptnInd"))
