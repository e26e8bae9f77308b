from __future__ import annotations

import json
import os
import socket
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from museg.config.loading import dump_config, read_config
from museg.errors import DataError
from museg.runs.directory import RunDirectory
from museg.runs.health import STRETCH, logprob_gap_bound, reward_collapsed, stalled
from museg.runs.lock import RunLock
from museg.runs.status import run_status, statuses_below
from museg.runs.summary import Summary

QUICKSTART = Path(__file__).parents[3] / "configs" / "quickstart.yaml"
NOW_S = 4_000_000_000.0
ENDED = Summary(
    status="completed",
    steps=2,
    eval_before={},
    eval_after={},
    reward_first=None,
    reward_last=None,
    wall_s=1.0,
    restarts=0,
    videos_skipped={},
)


def row(step: int, **more: float) -> dict[str, float]:
    return {
        "step": step,
        "reward/mean": 0.5 * step,
        "parity/logprob_gap_mean": 4e-7,
        "guards/bad_steps": 0,
        "guards/entropy_collapsed": 0.0,
        "time/step_s": 60.0,
        "time/unix_s": NOW_S - 300 + step,
        "restarts/generation": 2,
        "restarts/learner": 1,
        **more,
    }


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    """Of two steps, with neither a driver nor an end."""
    directory = RunDirectory(tmp_path / "first")
    directory.create(dump_config(read_config(QUICKSTART, ["run.name=first"])))
    for step in (1, 2):
        directory.append_metrics(row(step))
    return directory


def driven(run: RunDirectory, *, pid: int, host: str, beat_s: float) -> None:
    run.workers_file.write_text(json.dumps({"driver": {"pid": pid, "node_id": "a", "life": 0, "host": host}}))
    os.utime(run.workers_file, (beat_s, beat_s))


def test_a_run_under_way_is_told_from_its_rows_and_its_drivers_beat(run: RunDirectory) -> None:
    driven(run, pid=os.getpid(), host=socket.gethostname(), beat_s=NOW_S - 5)
    run.append_skipped([{"video": "a.mp4"}, {"video": "b.mp4"}, {"video": "a.mp4"}])
    run.targets_files[0].write_text('[{"targets": ["127.0.0.1:9400"], "labels": {}}]')
    status = run_status(run, NOW_S)
    assert (status.state, status.driver, status.troubles) == ("running", "alive", ())
    assert (status.step, status.planned_steps, status.last_step_age_s) == (2, 80, 298.0)
    assert (status.reward, status.restarts, status.videos_skipped) == (1.0, 3, 2)
    assert status.metrics_address == "127.0.0.1:9400"


def test_a_run_that_ended_is_as_its_summary_says(run: RunDirectory) -> None:
    run.write_summary(ENDED.as_json())
    assert (run_status(run, NOW_S).state, run_status(run, NOW_S).driver) == ("completed", "ended")
    run.write_summary(replace(ENDED, status="failed").as_json())
    assert run_status(run, NOW_S).state == "failed"


def test_a_resumed_run_is_running_whatever_the_summary_of_its_first_life_says(run: RunDirectory) -> None:
    run.write_summary(replace(ENDED, status="interrupted").as_json())
    driven(run, pid=os.getpid(), host=socket.gethostname(), beat_s=NOW_S)
    assert run_status(run, NOW_S).state == "running"


def test_a_run_whose_workers_are_not_there_yet_is_starting_whatever_is_left_of_the_lives_before(
    run: RunDirectory,
) -> None:
    run.write_summary(replace(ENDED, status="failed").as_json())
    with closing(RunLock(run.path)) as lock:
        lock.take()
        assert (run_status(run, NOW_S).state, run_status(run, NOW_S).troubles) == ("starting", ())
        driven(run, pid=os.getpid(), host="elsewhere", beat_s=1.0)
        assert run_status(run, NOW_S).state == "starting"
    assert run_status(run, NOW_S).state == "dead"


def test_a_driver_that_hangs_holds_its_directory_and_is_missed_all_the_same(run: RunDirectory) -> None:
    with closing(RunLock(run.path)) as lock:
        lock.take()
        driven(run, pid=os.getpid(), host=socket.gethostname(), beat_s=NOW_S - 600)
        assert run_status(run, NOW_S).state == "dead"


def test_a_driver_that_was_killed_is_missed_at_once_here_and_by_its_beat_elsewhere(run: RunDirectory) -> None:
    nobody = 2**22 + 1  # above the kernel's highest pid
    driven(run, pid=nobody, host=socket.gethostname(), beat_s=NOW_S)
    assert (run_status(run, NOW_S).state, run_status(run, NOW_S).troubles) == ("dead", ("driver gone",))
    driven(run, pid=nobody, host="another", beat_s=NOW_S - 30)
    assert run_status(run, NOW_S).state == "running"
    driven(run, pid=nobody, host="another", beat_s=NOW_S - 90)
    assert run_status(run, NOW_S).state == "dead"


def test_what_is_wrong_with_the_numbers_is_told(run: RunDirectory) -> None:
    last = {"parity/logprob_gap_mean": 0.02, "guards/entropy_collapsed": 1.0, "guards/bad_steps": 1}
    run.append_metrics(row(3, **last, **{"guards/ungrounded": 1.0}))
    driven(run, pid=os.getpid(), host=socket.gethostname(), beat_s=NOW_S + 5000)
    assert run_status(run, NOW_S + 5000).troubles == (
        *("stalled", "parity broken (2.0e-02 nats)", "entropy collapsed", "ungrounded", "last step skipped"),
    )


def test_a_run_whose_files_are_damaged_does_not_hide_the_others(run: RunDirectory) -> None:
    (run.path.parent / "second").mkdir()
    (run.path.parent / "second" / "config.yaml").write_text("grpo: {group_sise: 3}")
    (run.path.parent / "prometheus").mkdir()
    first, second = statuses_below(run.path.parent)
    assert (first.name, first.state) == ("first", "dead")
    assert (second.name, second.state) == ("second", "unreadable")
    assert "group_sise" in second.troubles[0]
    with pytest.raises(DataError, match="isn't a folder of runs"):
        statuses_below(run.path.parent / "nowhere")


def test_the_bound_of_the_parity_follows_what_can_be_expected() -> None:
    def bound(*overrides: str) -> float | None:
        return logprob_gap_bound(read_config(QUICKSTART, overrides))

    assert bound() == 1e-4
    assert bound("model.dtype=bfloat16", "guards.max_logprob_gap=0.1") == 0.05
    assert bound("model.dtype=bfloat16", "guards.max_logprob_gap=null") is None
    assert bound("pipeline.staleness=1") is None


@pytest.mark.parametrize(("age_s", "step_s", "is_stalled"), [(899, 1, False), (901, 1, True), (901, 600, False)])
def test_a_run_is_stalled_only_when_its_pace_does_not_explain_it(age_s: float, step_s: float, is_stalled: bool) -> None:
    assert stalled([{"time/step_s": step_s}], age_s) is is_stalled


def test_a_reward_that_falls_below_half_of_its_best_has_collapsed() -> None:
    good, bad = [1.0] * 2 * STRETCH, [0.25] * STRETCH
    assert not reward_collapsed(good)
    assert not reward_collapsed(bad * 3)
    assert not reward_collapsed(good + bad[:3])
    assert reward_collapsed(good + bad)
