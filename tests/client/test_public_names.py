"""The package's public names."""

import inspect
import subprocess
import sys

import pytest

import tieout_client


def test_every_public_name_is_there_once():
    names = tieout_client.__all__
    assert len(set(names)) == len(names)
    for name in names:
        assert hasattr(tieout_client, name), name


def test_nothing_of_ours_that_is_imported_stays_unlisted():
    ours = {
        name
        for name, value in vars(tieout_client).items()
        if not name.startswith("_")
        and not inspect.ismodule(value)
        and getattr(value, "__module__", "tieout_client").startswith("tieout_client")
    }
    assert ours <= set(tieout_client.__all__)


def test_public_names_are_documented():
    for name in tieout_client.__all__:
        value = getattr(tieout_client, name)
        if inspect.isclass(value) or inspect.isfunction(value):
            assert inspect.getdoc(value), name
    for name, method in inspect.getmembers(tieout_client.Issuer, inspect.isfunction):
        if not name.startswith("_"):
            assert inspect.getdoc(method), name


def test_the_error_tree_is_the_one_that_is_drawn():
    drawn = tieout_client.__doc__
    for error in tieout_client.ClientError.__subclasses__():
        assert error.__name__ in drawn


def test_it_imports_and_builds_under_warnings_as_errors():
    paths = [p for p in sys.path if p.endswith(("/idl", "/rpc", "/client"))]
    code = (
        f"import sys; sys.path[:0] = {paths!r}; import tieout_client; "
        "tieout_client.token_program(); print(len(tieout_client.__all__))"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(len(tieout_client.__all__))


async def test_an_address_that_is_none_is_bad_input():
    from solders.keypair import Keypair

    for url in ("", "localhost:8899", "ftp://x", []):
        with pytest.raises(tieout_client.BadInput, match="node address"):
            async with tieout_client.connect(url, Keypair()):
                pass
