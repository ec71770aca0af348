"""Queries are read by name from their files; text from outside is made storable."""

import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tieout_database import Queries, clean_text, marked_text
from tieout_database.text import CUT, REPLACEMENT


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "queries_for_a_test"
    folder.mkdir()
    (folder / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, folder.name, raising=False)
    return folder


def read(package: Path, text: str) -> Queries:
    (package / "some.sql").write_text(text, "utf-8")
    return Queries(package.name, "some.sql")


def test_each_query_is_read_by_its_name(package: Path) -> None:
    queries = read(package, "-- about the file\n\n-- name: one\nselect 1\n\n-- name: two_more\n-- why\nselect\n  2;\n")
    assert queries.names == {"one", "two_more"}
    assert queries["one"] == "select 1"
    assert queries["two_more"] == "-- why\nselect\n  2;"


def test_an_unknown_name_is_a_programmers_mistake(package: Path) -> None:
    with pytest.raises(KeyError, match="three"):
        read(package, "-- name: one\nselect 1\n")["three"]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("select 0;\n-- name: one\nselect 1\n", "before the first"),
        ("-- name: one\nselect 1\n-- name: one\nselect 2\n", "same name"),
    ],
)
def test_a_file_that_is_not_a_run_of_named_queries_is_refused(package: Path, text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        read(package, text)


def test_a_file_without_queries_has_no_names(package: Path) -> None:
    assert read(package, "").names == frozenset()


@pytest.mark.parametrize(
    ("raw", "text", "changed"),
    [
        (b"plain", "plain", False),
        ("é\n", "é\n", False),
        (b"a\x00b", f"a{REPLACEMENT}b", True),
        (b"a\xffb", f"a{REPLACEMENT}b", True),
        ("a\udc80b", f"a{REPLACEMENT * 3}b", True),
        (REPLACEMENT, REPLACEMENT, False),
        (b"123456", "12345", True),
        (b"", "", False),
    ],
)
def test_text_is_made_storable_and_says_whether_it_was_changed(raw: bytes | str, text: str, changed: bool) -> None:
    assert clean_text(raw, 5) == (text[:5], changed)


@given(
    st.one_of(st.binary(), st.text(), st.text(alphabet=st.characters(categories=["Cs", "Cc", "L"]))), st.integers(0, 20)
)
def test_clean_text_can_always_be_stored(raw: bytes | str, limit: int) -> None:
    text, changed = clean_text(raw, limit)
    assert "\x00" not in text
    assert len(text) <= limit
    assert changed == (text.encode() != (raw if isinstance(raw, bytes) else raw.encode("utf-8", "surrogatepass")))


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        ("12345", "12345"),
        (b"123456", f"12345{CUT}"),
        ("1234\u2026", "1234\u2026"),
        (f"12345{CUT}", f"12345{CUT}"),
        (b"1\x002\xff3", f"1{REPLACEMENT}2{REPLACEMENT}3"),
        (b"", ""),
    ],
)
def test_a_text_that_was_cut_says_so_and_no_other_does(raw: bytes | str, text: str) -> None:
    assert marked_text(raw, 5) == text


@given(st.one_of(st.binary(max_size=40), st.text(max_size=40)), st.integers(0, 20))
def test_only_a_cut_text_is_longer_than_the_limit(raw: bytes | str, limit: int) -> None:
    text, (whole, _) = marked_text(raw, limit), clean_text(raw, 100)
    assert text == (whole if len(whole) <= limit else whole[:limit] + CUT)
    assert (len(text) > limit) == (len(whole) > limit)
