"""Alerts and dashboards ask for metrics that the code exports, with labels that these have; each alert has its page."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]
from prometheus_client.core import Metric

from reconcile.builders import Book
from support.paths import ROOT
from tieout_indexer.metrics import Metrics
from tieout_reconcile.control.metrics import Metrics as ControlMetrics
from tieout_reconcile.control.status import Firing, ReceiverStatus, Status
from tieout_reconcile.findings import NAMES
from tieout_rpc import Endpoint, Standing
from tieout_web.board import Board
from tieout_web.metrics import BoardMetrics
from tieout_web.reading import Reader
from tieout_web.stream import Broadcaster
from web.service import fill, settings

DEPLOY = ROOT / "docs" / "deploy"
ALERTS = DEPLOY / "alerts.yml"
DASHBOARDS = sorted((DEPLOY / "grafana").glob("*.json"))
SELECTOR = re.compile(r"(tieout_\w+)(?:\{([^}]*)\})?")
MATCHER = re.compile(r'(\w+)(!?=)"([^"]*)"')
VALUES = {"code": set(NAMES), "basis": {"settled"}, "state": {"current"}, "standing": {s.value for s in Standing}}
SUFFIXES = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count"), "info": ("_info",)}


def rules() -> list[dict[str, Any]]:
    groups = yaml.safe_load(ALERTS.read_text("utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"]]


def panels(path: Path) -> list[dict[str, Any]]:
    return list(json.loads(path.read_text("utf-8"))["panels"])


def expressions() -> Iterator[tuple[str, str]]:
    for rule in rules():
        yield rule["alert"], rule["expr"]
    for path in DASHBOARDS:
        for panel in panels(path):
            for target in panel["targets"]:
                yield f"{path.name}: {panel['title']}", target["expr"]


def labels_of(families: Iterable[Metric]) -> dict[str, set[str]]:
    """The names of samples, with the labels seen on them."""
    found: dict[str, set[str]] = {}
    for family in families:
        for suffix in SUFFIXES.get(family.type, ("",)):
            found.setdefault(family.name + suffix, set())
        for sample in (s for s in family.samples if not s.name.endswith("_created")):
            found.setdefault(sample.name, set()).update(sample.labels)
    return found


@pytest.fixture
async def exported(dsn: str, tmp_path: Path) -> Mapping[str, set[str]]:
    """What both programs export, over a book that is short, so that breaks have samples."""
    book, reader = await Book.open(dsn, tmp_path), Reader(dsn, 1)
    try:
        await fill(book, custody="12")
        board = Board(settings(dsn), reader)
        await board.look()
        families = list(BoardMetrics(board, Broadcaster(board.settings)).collect())
    finally:
        await reader.close()
        await book.close()
    code = {s.labels["code"] for m in families if m.name == "tieout_breaks_open" for s in m.samples}
    found = labels_of(families)
    assert "B1" in code
    for name, labels in labels_of([*_indexer().registry.collect(), *_control().registry.collect()]).items():
        found.setdefault(name, set()).update(labels)
    return found


def _indexer() -> Metrics:
    made = Metrics()
    made.reached({"M": 1}, 2)
    made.endpoints([Endpoint("http://node.example")])
    # labelled families have no sample before something happens: what they are labelled with is in their definition
    for name, labels in (("_events", ("M", "mint")), ("_quarantined", ("M",)), ("_findings", ("supply",))):
        getattr(made, name).labels(*labels)
    return made


def _control() -> ControlMetrics:
    made, now = ControlMetrics(), datetime.now(UTC)
    made.looked(["AAPLx"], {"AAPLx"})
    told = ReceiverStatus("desk", 1, now, 1.0, 1, "it answered 500", now)
    made.stands(Status(1, 1, 1, 1, 0.0, now, (told,), (Firing("CrossingUnmatched", "AAPLx", 1),)))
    made.stepped(1, ())
    made._notices.labels("CrossingUnmatched", "firing")
    return made


async def test_alerts_and_dashboards_ask_for_what_is_exported(exported: Mapping[str, set[str]]) -> None:
    asked = 0
    for where, expression in expressions():
        for name, selector in SELECTOR.findall(expression):
            asked += 1
            assert name in exported, f"{where}: {name} is exported by nothing"
            for label, _, value in MATCHER.findall(selector):
                assert label in exported[name] | ({"le"} if name.endswith("_bucket") else set()), f"{where}: {label}"
                assert value in VALUES.get(label, {value}), f"{where}: {label} is never {value}"
    assert asked > 50


async def test_the_reference_names_every_metric(exported: Mapping[str, set[str]]) -> None:
    text = (ROOT / "docs" / "reference.md").read_text("utf-8")
    families = {re.sub(r"_(bucket|sum|count)$", "", name) for name in exported}
    missing = [name for name in families if not re.search(rf"\b{name}\b", text)]
    assert missing == []


def test_every_alert_has_a_severity_a_runbook_section_and_a_test() -> None:
    sections = set(re.findall(r"^## (\w+)$", (ROOT / "docs" / "runbook.md").read_text("utf-8"), re.MULTILINE))
    cases = yaml.safe_load((DEPLOY / "alerts_test.yml").read_text("utf-8"))["tests"]
    tested = {a["alertname"] for case in cases for a in case["alert_rule_test"] if a["exp_alerts"]}
    names = [rule["alert"] for rule in rules()]
    assert len(names) == len(set(names))
    assert sections == set(names) == tested
    for rule in rules():
        assert rule["labels"]["severity"] in {"critical", "warning", "info"}, rule
        assert rule["annotations"]["runbook"] == f"docs/runbook.md#{rule['alert'].lower()}"


def test_links_within_the_docs_lead_to_sections() -> None:
    for page in ("runbook.md", "how-to-serve.md", "how-to-control.md"):
        text = (ROOT / "docs" / page).read_text("utf-8")
        for target, anchor in re.findall(r"\]\(([\w.-]*)#([\w-]+)\)", text):
            headings = re.findall(r"^#+ (.+)$", (ROOT / "docs" / (target or page)).read_text("utf-8"), re.MULTILINE)
            assert anchor in {re.sub(r"[^\w -]", "", h).lower().replace(" ", "-") for h in headings}, (page, anchor)


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda p: p.stem)
def test_a_dashboard_uses_the_provisioned_source_and_its_panels_do_not_overlap(path: Path) -> None:
    source = yaml.safe_load((DEPLOY / "grafana" / "datasource.yml").read_text("utf-8"))["datasources"][0]["uid"]
    taken: set[tuple[int, int]] = set()
    for panel in panels(path):
        assert panel["datasource"]["uid"] == source
        place = panel["gridPos"]
        cells = {(x, y) for x in range(place["x"], place["x"] + place["w"])
                 for y in range(place["y"], place["y"] + place["h"])}  # fmt: skip
        assert max(x for x, _ in cells) < 24, panel["title"]
        assert not cells & taken, panel["title"]
        taken |= cells


def test_the_alerts_fire_when_they_should() -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not on PATH: Debian has it in the package prometheus")
    for arguments in (("check", "rules", ALERTS.name), ("test", "rules", "alerts_test.yml")):
        done = subprocess.run([promtool, *arguments], cwd=DEPLOY, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("unit", sorted(DEPLOY.glob("*.service")), ids=lambda p: p.stem)
def test_a_unit_starts_a_command_with_options_that_it_has(unit: Path) -> None:
    lines = unit.read_text("utf-8").splitlines()
    starts = [line.partition("=")[2].split() for line in lines if line.startswith(("ExecStart=", "ExecStartPre="))]
    assert starts
    for program, *words in starts:
        assert program == "/opt/tieout/.venv/bin/tieout"
        command = [word for word in words if word.isalpha()]
        done = subprocess.run(
            [sys.executable, "-m", "tieout", *command, "--help"], capture_output=True, text=True, check=True,
            env={**os.environ, "COLUMNS": "200", "NO_COLOR": "1"},
        )  # fmt: skip
        assert {word for word in words if word.startswith("--")} <= set(re.findall(r"--[a-z-]+", done.stdout)), done
    names = {line.partition("=")[2] for line in lines if line.startswith("EnvironmentFile=")}
    assert names == {f"/etc/tieout/{unit.stem.removeprefix('tieout-')}.env"}
