"""A report is management's statement: no word that is shown says that anybody outside confirmed it."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.paths import ROOT

CLAIM = re.compile(r"(?<![\w-])(?:audited|attested|attestations?|proven[ -]reserves?|proof[ -]of[ -]reserves?)\b", re.I)
ALLOWED = re.compile(r"[/…]proof-of-reserves\b")
"""The address of what an issuer publishes itself, which is answered in the same shape."""
OTHERS = {"issuer's public proof of reserves", "Audited"}
"""What an issuer calls its own publication, in files taken in before this was held to; a class of the code."""
PACKAGES = ("idl", "rpc", "client", "database", "indexer", "reconcile", "web", "cli")
SHOWN = [
    *(ROOT / name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "Makefile", "localnet/README.md")),
    *(
        path
        for path in sorted((ROOT / "docs").rglob("*"))
        if path.suffix in {".md", ".svg", ".yml", ".json", ".service"}
    ),
    *(path for path in sorted((ROOT / "web").rglob("*")) if path.suffix in {".html", ".js", ".css", ".svg"}),
]
SOURCES = [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]


def claims(text: str) -> list[str]:
    """The words that claim too much, each with what stands around it."""
    kept = ALLOWED.sub("", text)
    return [kept[max(0, m.start() - 40) : m.end() + 20] for m in CLAIM.finditer(kept)]


def texts(path: Path) -> Iterator[str]:
    """Every text in a module: what it prints, its help, what is told of it."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value not in OTHERS:
            yield node.value


@pytest.mark.parametrize("path", SHOWN, ids=lambda p: str(p.relative_to(ROOT)))
def test_no_page_or_document_says_that_anybody_confirmed_it(path: Path) -> None:
    assert claims(path.read_text("utf-8")) == []


def test_no_text_of_the_product_says_that_anybody_confirmed_it() -> None:
    assert len(SOURCES) > 200
    found = [(str(p.relative_to(ROOT)), said) for p in SOURCES for text in texts(p) for said in claims(text)]
    assert found == []


@pytest.mark.parametrize(
    "text", ["It is audited.", "Attested by X", "a proof of reserves", "Proof-of-Reserves", "proven reserves"]
)
def test_a_claim_is_found_wherever_it_stands(text: str) -> None:
    assert claims(text)


def test_the_address_of_the_issuers_own_answer_and_the_work_of_an_audit_are_no_claims() -> None:
    assert claims("`/compat/xstocks/proof-of-reserves`, an audit, its auditor, unaudited") == []
