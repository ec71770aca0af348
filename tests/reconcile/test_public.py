"""The public face: what the package exports, and that its cores stay pure."""

import ast
import re
import types
from importlib import resources
from pathlib import Path

import pytest

import tieout_reconcile
from tieout_database import Queries, connect
from tieout_reconcile.findings import NAMES
from tieout_reconcile.inputs import KINDS

PURE = ["canonical", "crossings", "exact", "facts", "findings", "instrument", "liability", "matching", "orders"]
PURE += ["action_findings", "bridge", "bridge_findings", "bridging", "calendars", "chain_findings", "corporate"]
PURE += ["crossing_lines", "elsewhere", "fields", "figures", "fitting", "grouping", "inputs", "inventory", "legs"]
PURE += ["leg_findings", "movements", "other_chains", "rolling", "split", "surprises", "three_way", "unmapped"]
PURE += ["venues", "loads", "registry", "registry_file", "results", "statements", "trades", "whole", "workflow"]
PURE += [f"reports/{name}" for name in ("build", "bundle", "mint_rows", "render", "roll_forward", "sample", "verify")]
PURE += [
    f"formats/{name}"
    for name in (
        "activities",
        "alpaca",
        "columns",
        "declared",
        "flex",
        "mt535",
        "options",
        "records",
        "ruled",
        "semt002",
        "xml",
    )
]


def test_all_lists_each_public_name_in_order() -> None:
    public = [n for n in vars(tieout_reconcile) if not n.startswith("_")]
    names = [n for n in public if not isinstance(getattr(tieout_reconcile, n), types.ModuleType)]
    assert sorted(tieout_reconcile.__all__) == sorted(names)
    assert len(set(names)) == len(tieout_reconcile.__all__)


def test_every_public_name_has_a_docstring() -> None:
    for name in tieout_reconcile.__all__:
        value = getattr(tieout_reconcile, name)
        if isinstance(value, type | types.FunctionType):
            assert value.__doc__, name


def test_the_cores_do_no_io() -> None:
    for name in PURE:
        tree = ast.parse(resources.files("tieout_reconcile").joinpath(f"{name}.py").read_text("utf-8"))
        imported = {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
        imported |= {a.name for node in ast.walk(tree) if isinstance(node, ast.Import) for a in node.names}
        forbidden = {"asyncpg", "asyncio", "os", "time", "logging", "tieout_database", "tieout_reconcile.store"}
        assert not imported & forbidden, name


FILES = (
    ("tieout_reconcile", "recon.sql"),
    ("tieout_reconcile", "inputs.sql"),
    ("tieout_reconcile", "working.sql"),
    ("tieout_reconcile.reports", "report.sql"),
    ("tieout_web", "web.sql"),
    ("tieout_web", "access.sql"),
    ("tieout_web", "people.sql"),
    ("tieout_database", "audit.sql"),
)


@pytest.mark.parametrize(("package", "file"), FILES)
def test_every_query_is_used_and_reads_views_of_the_ledger_only(package: str, file: str) -> None:
    queries = Queries(package, file)
    code = "".join(f.read_text("utf-8") for f in resources.files(package).iterdir() if f.name.endswith(".py"))
    for name in queries.names:
        # known_<kind>: one query a row of inputs.KINDS
        kind = name.removeprefix("known_")
        assert f'"{name}"' in code or (kind in KINDS and 'f"known_{kind.kind}"' in code), name
        assert not [w for w in queries[name].split() if w.startswith("ledger.") and w.rstrip(",;").endswith("_row")]


@pytest.mark.parametrize(("package", "file"), FILES)
async def test_every_query_prepares_against_the_real_schema(dsn: str, package: str, file: str) -> None:
    connection = await connect(dsn)
    try:
        for name in Queries(package, file).names:
            await connection.prepare(Queries(package, file)[name])
    finally:
        await connection.close()


def test_the_web_reads_views_alone() -> None:
    for name in Queries("tieout_web", "web.sql").names:
        words = Queries("tieout_web", "web.sql")[name].replace("(", " ").split()
        assert not [w for w in words if w.rstrip(",;)").endswith("_row")], name


def test_every_code_has_a_name_and_a_line_in_the_docs() -> None:
    table = (Path(__file__).parents[2] / "docs/explanation/breaks.md").read_text("utf-8")
    told = dict(re.findall(r"\b([A-D]\d{1,2}) ([A-Z_]{3,})", table))
    assert told == dict(NAMES)
