"""Every error of every package has its exit code; figures are shown exactly, or rounded once."""

import errno
import json
import re
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction
from importlib.metadata import packages_distributions, requires

import pytest
from hypothesis import given
from hypothesis import strategies as st

import tieout_client
import tieout_client.errors
import tieout_database
import tieout_indexer.errors
import tieout_reconcile
import tieout_reconcile.errors
import tieout_rpc
from tieout import exits, stack
from tieout.output import exact, plain, printable, shares

ROOTS: list[type[Exception]] = [
    tieout_rpc.RpcError,
    tieout_database.DatabaseError,
    tieout_indexer.errors.IndexerError,
    tieout_client.errors.ClientError,
    tieout_reconcile.errors.ReconcileError,
    exits.UsageProblem,
]


def tree(kind: type[Exception]) -> Iterator[type[Exception]]:
    yield kind
    for child in kind.__subclasses__():
        yield from tree(child)


EVERY = sorted({kind for root in ROOTS for kind in tree(root)}, key=lambda k: (k.__module__, k.__name__))


def code_of(kind: type[BaseException]) -> int | None:
    return exits.exit_code(kind.__new__(kind))


def test_every_library_of_every_part_is_told_by_its_part_where_it_is_missing() -> None:
    modules: dict[str, list[str]] = {}
    for module, names in packages_distributions().items():
        for name in names:
            modules.setdefault(name.lower().replace("_", "-"), []).append(module)
    wanted = {re.split(r"[^\w.-]", line)[0].lower() for line in requires("tieout") or [] if "extra ==" in line} - {
        "tieout"
    }
    assert len(wanted) > 20
    for name in wanted:
        # one module of it at least: the one that is imported
        told = [exits.missing_extra(ImportError(name=module)) for module in modules[name]]
        assert any(told), name


def test_each_package_has_more_than_its_root() -> None:
    assert len(EVERY) > 20


@pytest.mark.parametrize("kind", EVERY, ids=lambda k: f"{k.__module__}.{k.__name__}")
def test_every_error_of_every_package_has_a_documented_code(kind: type[Exception]) -> None:
    assert code_of(kind) in (exits.FINDING, exits.USAGE, exits.UNREACHABLE)


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (tieout_rpc.NodeUnreachable, 3),
        (tieout_rpc.MalformedAnswer, 3),
        (tieout_database.DatabaseUnreachable, 3),
        (tieout_database.SchemaBehind, 2),
        (tieout_database.MigrationDrift, 2),
        (tieout_database.PasswordInDsn, 2),
        (tieout_indexer.errors.NotAMint, 2),
        (tieout_indexer.errors.AnotherChain, 2),
        (tieout_indexer.errors.ChangedBlock, 1),
        (tieout_indexer.errors.WriterBusy, 3),
        (tieout_client.errors.BadInput, 2),
        (tieout_client.errors.ProgramRefused, 1),
        (tieout_reconcile.errors.BadInput, 2),
        (tieout_reconcile.errors.NotFound, 2),
        (tieout_reconcile.errors.NoRegistry, 2),
        (tieout_reconcile.errors.NotReady, 1),
        (stack.LocalnetFailed, 2),
    ],
)
def test_an_errors_code_is_the_documented_one(kind: type[Exception], code: int) -> None:
    assert code_of(kind) == code


@pytest.mark.parametrize("error", [ValueError("x"), KeyError("x"), AssertionError(), OSError("disk"), RecursionError()])
def test_what_no_package_declares_is_a_defect(error: Exception) -> None:
    assert exits.exit_code(error) is None


def test_of_several_errors_the_gravest_counts_and_each_is_told_once() -> None:
    both = ExceptionGroup(
        "x", [exits.UsageProblem("bad"), tieout_rpc.NodeUnreachable("gone"), exits.UsageProblem("bad")]
    )
    assert exits.exit_code(both) == 3
    assert (
        exits.sentence(both)
        == "bad; gone; check that it runs and that its address is right (--rpc-url, TIEOUT_RPC_URL)"
    )
    assert exits.exit_code(ExceptionGroup("x", [exits.UsageProblem("bad"), ValueError("x")])) is None
    assert exits.exit_code(ExceptionGroup("x", [ExceptionGroup("y", [exits.UsageProblem("bad")])])) == 2


def test_an_error_without_words_is_named() -> None:
    assert exits.sentence(exits.UsageProblem()) == "UsageProblem"


def test_a_path_that_somebody_gave_is_bad_usage_and_a_file_of_ours_that_is_gone_a_defect() -> None:
    given_by_a_user = PermissionError(errno.EACCES, "Permission denied", "/root/keys/payer.json")
    assert exits.exit_code(given_by_a_user) == 2
    assert exits.sentence(given_by_a_user) == "cannot use /root/keys/payer.json: Permission denied"
    assert exits.exit_code(FileNotFoundError(errno.ENOENT, "gone", f"{sys.prefix}/lib/web.sql")) is None
    assert exits.exit_code(ConnectionResetError(errno.ECONNRESET, "reset")) is None


DECIMALS = st.builds(lambda n, p: Fraction(n, 10**p), st.integers(-(10**30), 10**30), st.integers(0, 40))


@given(DECIMALS)
def test_a_decimal_is_shown_exactly(value: Fraction) -> None:
    text = exact(value)
    assert Fraction(text) == value
    assert "e" not in text.lower()
    assert "/" not in text


@given(st.floats(allow_nan=False, allow_infinity=False).map(Fraction))
def test_every_double_is_shown_exactly(value: Fraction) -> None:
    assert Fraction(exact(value)) == value
    assert "/" not in exact(value)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Fraction(0), "0"),
        (Fraction(-1), "-1"),
        (Fraction(1, 2), "0.5"),
        (Fraction(-1, 8), "-0.125"),
        (Fraction(100), "100"),
        (Fraction(1, 3), "1/3"),
        (Fraction(-2, 7), "-2/7"),
    ],
)
def test_a_fraction_that_is_no_decimal_is_shown_as_a_quotient(value: Fraction, text: str) -> None:
    assert exact(value) == text


@given(st.fractions(-(10**15), 10**15), st.integers(1, 12))
def test_shares_are_within_half_a_unit_of_the_last_place(value: Fraction, places: int) -> None:
    text = shares(value, places)
    shown = Fraction(text.replace(",", ""))
    assert abs(shown - value) <= Fraction(1, 2 * 10**places)
    assert len(text.partition(".")[2]) <= places
    assert text != "-0"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "unknown"),
        (Fraction(0), "0"),
        (Fraction(1234567), "1,234,567"),
        (Fraction(-1234567, 1000), "-1,234.567"),
        (Fraction(1, 3), "0.33333333"),
        (Fraction(5, 10**9), "0"),
        (Fraction(15, 10**9), "0.00000002"),
        (Fraction(-1, 10**12), "0"),
    ],
)
def test_shares_for_people(value: Fraction | None, text: str) -> None:
    assert shares(value) == text


@pytest.mark.parametrize("value", [Fraction(1234, 10), Fraction(0), Fraction(120)])
def test_shares_without_places_keep_their_zeros(value: Fraction) -> None:
    assert shares(value, 0) == str(round(value))


@given(st.text(alphabet=st.characters()))
def test_printable_text_steers_no_terminal(text: str) -> None:
    assert all(c == "\n" or c.isprintable() for c in printable(text))


def test_json_takes_what_has_no_form_of_its_own() -> None:
    value = {"d": Decimal("1E-9"), "f": Fraction(1, 4), "t": datetime(2026, 1, 1, tzinfo=UTC), "b": b"\x01\xff"}
    assert json.loads(json.dumps(value, default=plain)) == {
        "d": "0.000000001",
        "f": "0.25",
        "t": "2026-01-01T00:00:00+00:00",
        "b": "01ff",
    }
    with pytest.raises(TypeError, match="object has no JSON form"):
        json.dumps(object(), default=plain)
