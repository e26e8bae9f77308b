from __future__ import annotations

from pathlib import Path

import pytest

from museg.errors import DataError
from museg.runs.directory import RunDirectory
from museg.runs.report.record import read_record


def test_a_finished_run_is_read_back(finished_run: RunDirectory) -> None:
    record = read_record(finished_run)
    assert (record.name, record.status, record.num_steps, record.num_planned_steps) == ("tiny", "completed", 3, 3)
    assert record.eval_after["miou"] == 0.77
    assert record.wall_s == 3723.4
    assert record.videos_skipped == {"gone.mp4": "no such file"}


def test_a_run_without_a_summary_is_running_and_its_time_is_its_steps(finished_run: RunDirectory) -> None:
    finished_run.summary_file.unlink()
    record = read_record(finished_run)
    assert (record.status, record.wall_s, record.restarts) == ("running", 15.0, None)


def test_a_running_run_s_restarts_are_those_of_its_last_step(finished_run: RunDirectory) -> None:
    finished_run.append_metrics({"step": 4, "restarts/generation": 1, "restarts/reward": 2})
    assert read_record(finished_run).restarts == 3


def test_the_summary_of_an_earlier_life_is_out_of_date_but_for_the_start(finished_run: RunDirectory) -> None:
    finished_run.append_metrics({"step": 4, "time/step_s": 5.0})
    record = read_record(finished_run)
    assert (record.status, record.num_steps, record.wall_s) == ("running", 4, 20.0)
    assert record.eval_before["miou"] == 0.42
    assert record.eval_after == {}


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"isn't a run directory: it has no config\.yaml"):
        read_record(RunDirectory(tmp_path))


def test_damaged_files_are_named(finished_run: RunDirectory) -> None:
    finished_run.append_metrics({"reward/mean": 1.0})
    with pytest.raises(DataError, match=r"metrics\.jsonl, line 4: no step"):
        read_record(finished_run)
    finished_run.metrics_file.unlink()
    finished_run.summary_file.write_text("{")
    with pytest.raises(DataError, match=r"summary\.json isn't JSON"):
        read_record(finished_run)
