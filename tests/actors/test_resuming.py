from __future__ import annotations

from pathlib import Path

import pytest

from actors.resuming import TrainerState, starting_point
from museg.config.loading import dump_config, load_config
from museg.config.schema import Config
from museg.errors import CheckpointError, ConfigError
from museg.runs.directory import RunDirectory

QUICKSTART = Path(__file__).parents[2] / "configs" / "quickstart.yaml"


def config_of(*overrides: str) -> Config:
    return load_config(QUICKSTART, ["run.name=x", *overrides])


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    """With checkpoints of steps 10, 20 and 30."""
    run = RunDirectory(tmp_path / "x")
    run.create(dump_config(config_of()))
    for step in (10, 20, 30):
        with run.checkpoint_store.new(step) as folder:
            (folder / "state").mkdir()
            (folder / "state" / "rank.pt").write_bytes(b"pickle")
            TrainerState(step=step, learner_ranks=1, zero_stage=2).write(folder)
    return run


def damage(run: RunDirectory, step: int) -> None:
    (run.checkpoint(step) / "state" / "rank.pt").write_bytes(b"pickel")


def test_a_run_goes_on_from_the_newest_whole_checkpoint_and_names_the_others(run: RunDirectory) -> None:
    damage(run, 30)
    point = starting_point(config_of(), run)
    assert (point.state.step, point.checkpoint) == (20, run.checkpoint(20))
    [complaint] = point.passed_over
    assert complaint == (f"{run.checkpoint(30)} is corrupt: state/rank.pt isn't what was written (SHA-256 differs)")


def test_what_a_killed_run_left_half_written_goes(run: RunDirectory) -> None:
    (run.checkpoint_store.begin(40) / "half").write_text("x")
    assert starting_point(config_of(), run).state.step == 30
    assert sorted(path.name for path in run.checkpoints.iterdir()) == [f"step-0000{step}" for step in (10, 20, 30)]


def test_a_run_never_begins_anew_over_its_records_because_its_checkpoints_are_lost(run: RunDirectory) -> None:
    for step in (10, 20, 30):
        damage(run, step)
    with pytest.raises(CheckpointError, match="none of the 3 checkpoints"):
        starting_point(config_of(), run)


def test_a_damaged_checkpoint_that_resume_names_is_refused(run: RunDirectory) -> None:
    assert starting_point(config_of(f"resume={run.checkpoint(20)}"), run).state.step == 20
    damage(run, 20)
    with pytest.raises(CheckpointError, match="SHA-256 differs"):
        starting_point(config_of(f"resume={run.checkpoint(20)}"), run)
    (run.checkpoint(30) / "manifest.json").unlink()
    with pytest.raises(CheckpointError, match=r"no manifest\.json.*model\.path="):
        starting_point(config_of(f"resume={run.checkpoint(30)}"), run)


@pytest.mark.parametrize("override", ["learner.ranks=2", "learner.zero_stage=3"])
def test_another_division_of_the_learners_state_is_refused(run: RunDirectory, override: str) -> None:
    key, now = override.split("=")
    with pytest.raises(ConfigError, match=f"{key}=[12], and this (run|one) has {now}"):
        starting_point(config_of(f"resume={run.checkpoint(20)}", override), run)
    with pytest.raises(ConfigError, match=f"{key}=[12], and this (run|one) has {now}"):
        starting_point(config_of(override), run)


def test_other_numbers_of_generators_and_reward_workers_go_on(run: RunDirectory) -> None:
    config = config_of("generation.workers=2", "reward.workers=5", "generation.max_workers=3")
    assert starting_point(config, run).state.step == 30
