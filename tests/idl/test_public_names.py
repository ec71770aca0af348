"""The package's public names and its error table."""

import subprocess
import sys

import tieout_idl
from tieout_idl import PROGRAM_ERRORS, explain_error


def test_public_names_exist_and_are_sorted_and_complete():
    assert len(set(tieout_idl.__all__)) == len(tieout_idl.__all__)
    for name in tieout_idl.__all__:
        assert getattr(tieout_idl, name) is not None


def test_it_imports_without_a_warning_and_without_other_libraries():
    paths = [str(p) for p in tieout_idl.__path__]
    code = (
        f"import sys; sys.path.insert(0, {paths[0].removesuffix('tieout_idl')!r}); import tieout_idl; "
        "print(sorted(m.split('.')[0] for m in sys.modules if m.split('.')[0] in {'anchorpy', 'solders', 'msgspec'}))"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-S", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_errors_are_named_and_unknown_ones_say_so():
    assert explain_error(1) == "InsufficientFunds: the balance is smaller than the amount"
    assert explain_error(67) == "MintPaused: the mint is paused"
    assert "69" in explain_error(69)
    assert len(PROGRAM_ERRORS) == 69
