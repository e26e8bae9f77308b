"""Dashboards, alert rules and Prometheus' configuration as they are committed."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from deploy.grafana.generate import FOLDER, dashboards

PROMETHEUS = Path(__file__).parents[2] / "deploy" / "prometheus"
needs_promtool = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="promtool isn't installed: apt-get install prometheus"
)


def test_the_committed_dashboards_are_those_that_the_program_makes() -> None:
    made = dashboards()
    assert {file.name for file in FOLDER.iterdir()} == made.keys()
    for name, text in made.items():
        assert (FOLDER / name).read_text(encoding="utf-8") == text, "python -m deploy.grafana.generate"


def test_every_panel_has_its_place_a_description_and_only_runs_that_are_chosen() -> None:
    for text in dashboards().values():
        panels = [panel for panel in json.loads(text)["panels"] if panel["type"] != "row"]
        places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in panels]
        assert len(set(places)) == len(panels) > 6
        for panel in panels:
            assert panel["description"], panel["title"]
            for query in panel["targets"]:
                assert '{run=~"$run"' in query["expr"] or 'run=~"$run"}' in query["expr"] or "ALERTS" in query["expr"]


@needs_promtool
def test_the_rules_fire_on_the_runs_that_they_are_for_and_on_no_healthy_one() -> None:
    done = subprocess.run(
        ["promtool", "test", "rules", str(PROMETHEUS / "tests" / "museg_test.yml")],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@needs_promtool
def test_every_alert_is_tried_and_explained() -> None:
    rules = (PROMETHEUS / "rules" / "museg.yml").read_text()
    tried = (PROMETHEUS / "tests" / "museg_test.yml").read_text()
    explained = (PROMETHEUS.parents[1] / "docs" / "dashboards.md").read_text()
    alerts = [line.split(": ")[1] for line in rules.splitlines() if "- alert: " in line]
    assert len(alerts) == 10
    assert [alert for alert in alerts if alert not in tried or alert not in explained] == []


@needs_promtool
def test_prometheus_takes_its_configuration_and_the_rules() -> None:
    done = subprocess.run(
        ["promtool", "check", "config", "--lint=all", "--lint-fatal", str(PROMETHEUS / "prometheus.yml")],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
