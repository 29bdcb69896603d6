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
from prometheus_client.parser import text_string_to_metric_families

from service.journal import Row
from service.koji import Koji
from service.metrics import Finished, Metrics
from service.shelf import Shelf
from tests.hub import Hub
from tests.pages import site

ANSIBLE = Path(__file__).parents[2] / "ansible"
MONITORING = ANSIBLE / "monitoring"
PROMTOOL = pytest.mark.skipif(not shutil.which("promtool"), reason="Prometheus is not installed")
# Metric -> its labels, as the operator's manual says.
DOCUMENTED = {
    name: set(re.findall(r"`(\w+)`", labels))
    for name, labels in re.findall(
        r"^\| `(srcgit_\w+)` \|([^|]*)\|", (ANSIBLE / "README.md").read_text(), re.MULTILINE
    )
}


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


def metrics(text: str) -> set[str]:
    return {re.sub(r"_bucket$", "", name) for name in re.findall(r"\bsrcgit_\w+", text)}


def labels(text: str) -> set[str]:
    """The labels that an expression, or a legend, asks for; but those of Prometheus itself."""
    grouped = re.findall(r"\b(?:by|on) \(([^)]*)\)", text)
    named = re.findall(r"(\w+)=~?\"", text) + re.findall(
        r"\{\{\s*(?:\$labels\.)?(\w+)\s*\}\}", text
    )
    return {*named, *re.findall(r"\w+", " ".join(grouped))} - {"le", "job"}


@pytest.mark.parametrize("expr", list(expressions()))
def test_expressions_use_documented_metrics(expr: str) -> None:
    used = metrics(expr)
    assert used <= DOCUMENTED.keys()
    assert labels(expr) <= {label for name in used for label in DOCUMENTED[name]}


@pytest.mark.parametrize("panel", dashboard()["panels"], ids=lambda panel: str(panel["title"]))
def test_legends_name_what_the_expression_leaves(panel: dict[str, Any]) -> None:
    for target in panel["targets"]:
        grouped = re.search(r"\bby \(([^)]*)\)", target["expr"])
        left = [DOCUMENTED[name] for name in metrics(target["expr"])]
        left += [set(re.findall(r"\w+", grouped[1]))] if grouped else []
        assert labels(target["legendFormat"]) <= set.intersection(*left)


def test_the_dashboard_asks_for_documented_metrics_everywhere() -> None:
    """Its variables, too."""
    assert metrics((MONITORING / "dashboard.json").read_text()) <= DOCUMENTED.keys()
    (package,) = (each for each in dashboard()["templating"]["list"] if each["type"] == "query")
    name, label = re.fullmatch(r"label_values\((\w+), (\w+)\)", package["query"]).groups()  # type: ignore[union-attr]
    assert label in DOCUMENTED[name] and package["name"] == label


def test_the_documented_metrics_are_those_that_are_served(tmp_path: Path) -> None:
    config, journal = site(tmp_path)
    journal.add(Row("kernel-4.15.0-1.fc28", "kernel", "kernel:f28"))
    claimed = journal.claim("test", 60)
    assert claimed and journal.settle(claimed, "done", "", {"seconds": {"series": 0.3}})
    with Hub() as hub:
        finished = Finished(config, journal, Koji(hub.url))
        finished.ask()
        told = Metrics(config, journal, Shelf(config, journal), finished).text().decode()
    journal.close()
    served = {
        name: {label for sample in family.samples for label in sample.labels} - {"le"}
        for family in text_string_to_metric_families(told)
        for name in [family.name + ("_total" if family.type == "counter" else "")]
    }
    assert served == DOCUMENTED


def test_every_documented_metric_is_watched() -> None:
    assert set.union(*map(metrics, expressions())) == DOCUMENTED.keys()


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: str(rule["alert"]))
def test_each_alert_says_what_to_do(rule: dict[str, Any]) -> None:
    assert set(rule) == {"alert", "expr", "for", "labels", "annotations"}
    assert rule["labels"]["severity"] in ("warning", "critical")
    assert rule["annotations"]["summary"] and rule["annotations"]["action"]
    assert re.fullmatch(r"\d+[mh]", rule["for"])


def promtool(*words: str | Path) -> None:
    command = ["promtool", *map(str, words)]
    done = subprocess.run(command, cwd=MONITORING, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@PROMTOOL
def test_alerts_fire_when_they_should() -> None:
    promtool("test", "rules", "alerts_test.yml")


def test_each_alert_is_seen_firing() -> None:
    """And the tests that promtool runs expect it."""
    cases = yaml.safe_load((MONITORING / "alerts_test.yml").read_text())["tests"]
    firing = {
        rule["alertname"]
        for case in cases
        for rule in case["alert_rule_test"]
        if rule["exp_alerts"]
    }
    assert firing == {rule["alert"] for rule in rules()}


@PROMTOOL
def test_prometheus_understands_the_dashboard(tmp_path: Path) -> None:
    asked = [target["expr"] for panel in dashboard()["panels"] for target in panel["targets"]]
    recorded = [
        {"record": f"panel:{n}", "expr": expr.replace("$__rate_interval", "5m")}
        for n, expr in enumerate(asked)
    ]
    file = tmp_path / "dashboard.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": recorded}]}))
    promtool("check", "rules", file)


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
