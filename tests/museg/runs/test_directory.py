from __future__ import annotations

from pathlib import Path

import pytest

from museg.runs.directory import RunDirectory
from museg.runs.summary import first_and_last_reward


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    run = RunDirectory(tmp_path / "first")
    run.create("seed: 1\n")
    return run


def test_metrics_and_rollouts_read_back_as_written(run: RunDirectory) -> None:
    run.append_metrics({"step": 1, "reward/mean": 0.5})
    run.append_metrics({"step": 2, "reward/mean": 0.75})
    run.write_rollouts(2, [{"completion": "<answer>1.0-2.0</answer> — é"}])
    assert [row["reward/mean"] for row in run.read_metrics()] == [0.5, 0.75]
    assert run.read_rollouts(2) == [{"completion": "<answer>1.0-2.0</answer> — é"}]
    assert run.rollout_steps() == [2]


def test_a_row_that_a_kill_has_torn_is_none_and_goes_when_the_run_goes_on(run: RunDirectory) -> None:
    for step in (1, 2):
        run.append_metrics({"step": step, "reward/mean": 0.5})
    whole = run.metrics_file.read_bytes()
    for length in range(len(whole) // 2 + 1, len(whole) - 1):
        run.metrics_file.write_bytes(whole[:length])
        assert [row["step"] for row in run.read_metrics()] == [1]
    run.forget_after(2)
    run.append_metrics({"step": 2})
    assert [row["step"] for row in run.read_metrics()] == [1, 2]


def test_a_checkpoint_that_fails_half_way_leaves_no_folder_of_its_name(run: RunDirectory) -> None:
    def fill_half_way() -> None:
        with run.checkpoint_store.new(5) as folder:
            (folder / "half").write_text("x")
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        fill_half_way()
    assert run.checkpoint_steps() == []
    with run.checkpoint_store.new(5) as folder:
        assert not (folder / "half").exists()
    assert run.checkpoint_steps() == [5]


def test_only_the_newest_checkpoints_stay(run: RunDirectory) -> None:
    for step in (10, 20, 30, 40):
        with run.checkpoint_store.new(step):
            pass
    run.checkpoint_store.prune(2, newest=40)
    assert run.checkpoint_steps() == [30, 40]


def test_pinned_checkpoints_outlive_newer_ones_and_take_nobody_s_place(run: RunDirectory) -> None:
    for step in (10, 20, 30, 40, 50):
        with run.checkpoint_store.new(step):
            pass
    run.checkpoint_store.prune(2, newest=50, pinned={20, 50})
    assert run.checkpoint_steps() == [20, 30, 40, 50]


def test_a_resumed_run_forgets_the_steps_that_it_does_again(run: RunDirectory) -> None:
    for step in (1, 2, 3):
        run.append_metrics({"step": step})
        run.write_rollouts(step, [])
    run.forget_after(1)
    assert [row["step"] for row in run.read_metrics()] == [1]
    assert run.rollout_steps() == [1]


def test_non_finite_metrics_are_refused_rather_than_written_as_broken_json(run: RunDirectory) -> None:
    with pytest.raises(ValueError, match="Out of range float"):
        run.append_metrics({"step": 1, "policy/kl": float("nan")})


def test_first_and_last_reward_are_means_of_the_outer_tenths() -> None:
    metrics = [{"reward/mean": float(step)} for step in range(20)]
    assert first_and_last_reward(metrics) == (0.5, 18.5)
    assert first_and_last_reward([]) == (None, None)
