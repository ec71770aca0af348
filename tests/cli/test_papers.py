"""The files that demo and scenarios write: read back, they say what was put in."""

import csv
import io
import tomllib
from datetime import UTC, datetime
from fractions import Fraction

from tieout.papers import csv_text, stated, toml_table

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


def test_tables_read_back_as_what_was_put_in() -> None:
    custodian = {"id": "a", "name": 'Müller & "Söhne" \\ 😀', "since": NOON, "chains": ["x", "y"], "asks": True, "n": 8}
    account = {"id": "OMNIBUS-1"}
    text = toml_table("custodians", custodian) + toml_table("custodians.accounts", account)
    assert tomllib.loads(text) == {"custodians": [{**custodian, "accounts": [account]}]}


def test_rows_read_back_as_the_text_of_what_was_put_in() -> None:
    text = csv_text(("what", "much", "at"), [('a, "b"', Fraction(1, 8), NOON), (None, 3, "x")])
    assert list(csv.reader(io.StringIO(text))) == [
        ["what", "much", "at"], ['a, "b"', "0.125", "2026-11-23T12:00:00+00:00"], ["", "3", "x"],
    ]  # fmt: skip


def test_a_custodian_states_billionths_of_a_share() -> None:
    assert stated(Fraction(2, 3)) == Fraction("0.666666667")
    assert stated(Fraction("1.5")) == Fraction("1.5")
