"""A resumed run's telemetry, as a run begins and ends it."""

from __future__ import annotations

import json
import urllib.request
from dataclasses import replace
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from actors.telemetry.telemetry import Telemetry, begin_logs, run_telemetry
from museg.config.validation import validate
from museg.errors import ConfigError
from museg.runs.directory import RunDirectory
from tests.actors.telemetry.rows import config, row


def value(address: str, name: str) -> float:
    page = urllib.request.urlopen(f"http://{address}/metrics", timeout=10).read().decode()
    samples = [sample for family in text_string_to_metric_families(page) for sample in family.samples]
    (found,) = (sample.value for sample in samples if sample.name == name)
    return found


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunDirectory:
    """Of two steps, on a cluster, whose workers Prometheus finds by Ray's own file."""
    monkeypatch.setenv("RAY_ADDRESS", "a-cluster")
    directory = RunDirectory(tmp_path / "first")
    directory.create("")
    for step in (1, 2):
        directory.append_metrics(row(step))
    return directory


def test_a_resumed_run_goes_on_from_its_counters(run: RunDirectory) -> None:
    said: list[str] = []
    asked = config("telemetry.port=0")
    with run_telemetry(asked, run, said.append) as telemetry:
        assert telemetry.address is not None
        begin_logs(telemetry, asked, run, 2, said.append)
        assert value(telemetry.address, "museg_completions_total") == 2 * 64
        telemetry.log(row(3))
        assert value(telemetry.address, "museg_completions_total") == 3 * 64
        assert value(telemetry.address, "museg_step") == 3
    events = EventAccumulator(str(run.tensorboard))
    events.Reload()
    assert [event.step for event in events.Scalars("reward/mean")] == [3], "an earlier life has written the others"
    assert said == []


def test_prometheus_finds_the_page_while_the_run_goes_and_not_before_it_can(run: RunDirectory) -> None:
    asked = config("telemetry.port=0")
    with run_telemetry(asked, run, print) as telemetry:
        assert not any(file.exists() for file in run.targets_files)
        begin_logs(telemetry, asked, run, 2, print)
        for file in run.targets_files:
            assert json.loads(file.read_text()) == [{"targets": [telemetry.address], "labels": {"run": "first"}}]
    assert not any(file.exists() for file in run.targets_files)


def test_without_a_port_there_is_no_page_and_the_other_logs_are_as_ever(run: RunDirectory) -> None:
    asked = config("telemetry.port=null")
    with run_telemetry(asked, run, print) as telemetry:
        begin_logs(telemetry, asked, run, 2, print)
        telemetry.log(row(3))
        assert telemetry.address is None
        assert not any(file.exists() for file in run.targets_files)
    assert list(run.tensorboard.iterdir())


def test_the_clock_of_a_step_moves_the_phase_at_present() -> None:
    telemetry = Telemetry()
    assert telemetry.moment.phase == "start"
    clock = telemetry.clock()
    assert telemetry.moment.phase == "wait_video"
    clock.lap("wait_video")
    clock.lap("generate")
    assert telemetry.moment.phase == "reward"
    telemetry.log(row(1))
    assert telemetry.moment.phase == "conclude"


def test_a_port_out_of_range_is_refused_with_the_range() -> None:
    wrong = config()
    wrong = replace(wrong, telemetry=replace(wrong.telemetry, port=70_000))
    with pytest.raises(ConfigError, match=r"telemetry\.port must be between 0 .* and 65535, or null"):
        validate(wrong)
