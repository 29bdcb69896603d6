"""Alert rules and dashboard: well formed, and only about metrics that srcgit documents."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from service.koji import Koji
from service.metrics import Finished, Metrics
from service.shelf import Shelf
from tests.hub import Hub
from tests.pages import site

ANSIBLE = Path(__file__).parents[2] / "ansible"
MONITORING = ANSIBLE / "monitoring"
DOCUMENTED = set(
    re.findall(r"^\| `(srcgit_\w+)` \|", (ANSIBLE / "README.md").read_text(), re.MULTILINE)
)


def rules() -> list[dict[str, Any]]:
    groups = yaml.safe_load((MONITORING / "alerts.yml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def dashboard() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((MONITORING / "dashboard.json").read_text())
    return found


def expressions() -> Iterator[str]:
    yield from (rule["expr"] for rule in rules())
    for panel in dashboard()["panels"]:
        yield from (target["expr"] for target in panel["targets"])


@pytest.mark.parametrize("expr", list(expressions()))
def test_expressions_use_documented_metrics(expr: str) -> None:
    used = {re.sub(r"_bucket$", "", name) for name in re.findall(r"\bsrcgit_\w+", expr)}
    assert used <= DOCUMENTED


def test_the_documented_metrics_are_those_that_are_served(tmp_path: Path) -> None:
    config, journal = site(tmp_path)
    with Hub() as hub:
        finished = Finished(config, journal, Koji(hub.url))
        finished.ask()
        told = Metrics(config, journal, Shelf(config, journal), finished).text().decode()
    journal.close()
    assert set(re.findall(r"^# TYPE (srcgit_\w+)", told, re.MULTILINE)) == DOCUMENTED


def test_every_documented_metric_is_watched() -> None:
    used = {name for expr in expressions() for name in re.findall(r"\bsrcgit_\w+", expr)}
    assert {re.sub(r"_bucket$", "", name) for name in used} == DOCUMENTED


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: str(rule["alert"]))
def test_each_alert_says_what_to_do(rule: dict[str, Any]) -> None:
    assert set(rule) == {"alert", "expr", "for", "labels", "annotations"}
    assert rule["labels"]["severity"] in ("warning", "critical")
    assert rule["annotations"]["summary"] and rule["annotations"]["action"]
    assert re.fullmatch(r"\d+[mh]", rule["for"])


@pytest.mark.skipif(not shutil.which("promtool"), reason="Prometheus is not installed")
def test_alerts_fire_when_they_should() -> None:
    command = ["promtool", "test", "rules", "alerts_test.yml"]
    done = subprocess.run(command, cwd=MONITORING, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_dashboard_panels_have_ids_of_their_own_and_do_not_overlap() -> None:
    panels = dashboard()["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    cells = [
        (x, y)
        for panel in panels
        for grid in [panel["gridPos"]]
        for x in range(grid["x"], grid["x"] + grid["w"])
        for y in range(grid["y"], grid["y"] + grid["h"])
    ]
    assert len(set(cells)) == len(cells)
    assert max(x for x, _ in cells) < 24
