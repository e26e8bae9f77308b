"""Where a run of phases goes on: the phase, its weights, and whether a saved optimizer is taken up."""

from __future__ import annotations

from pathlib import Path

import pytest

from actors.phase_start import PhaseStart
from actors.resuming import StartingPoint, TrainerState, starting_point
from museg.config.loading import dump_config, load_config
from museg.config.phases import phases_of
from museg.config.schema import Config
from museg.errors import ConfigError
from museg.runs.directory import RunDirectory

QUICKSTART = Path(__file__).parents[2] / "configs" / "quickstart.yaml"


def config_of(*phases: str, more: str = "resume=auto") -> Config:
    return load_config(QUICKSTART, ["run.name=x", f"phases=[{', '.join(phases)}]", more])


RESTARTING = config_of("{name: a, steps: 3}", "{name: b, steps: 4}")
GOING_ON = config_of("{name: a, steps: 3}", "{name: b, steps: 4, restart: false}")


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    run = RunDirectory(tmp_path / "x")
    run.create(dump_config(RESTARTING))
    return run


def checkpoint(run: RunDirectory, step: int) -> Path:
    with run.checkpoint_store.new(step) as folder:
        (folder / "hf").mkdir()
        TrainerState(step=step).write(folder)
    return run.checkpoint(step)


@pytest.mark.parametrize(
    ("config", "step", "phase", "policy", "reference", "takes_up_state"),
    [
        (RESTARTING, 2, "a", 0, 0, True),
        (RESTARTING, 3, "b", 3, 3, False),
        (RESTARTING, 5, "b", 3, 3, True),
        (RESTARTING, 7, "b", 3, 3, True),
        (GOING_ON, 3, "b", 0, 3, True),
        (GOING_ON, 5, "b", 0, 3, True),
    ],
)
def test_a_checkpoint_leads_to_the_phase_of_the_next_step_and_its_weights(
    config: Config, step: int, phase: str, policy: int, reference: int, takes_up_state: bool, run: RunDirectory
) -> None:
    for saved in sorted({3, step}):
        checkpoint(run, saved)
    point = StartingPoint(state=TrainerState(step=step), checkpoint=run.checkpoint(step))
    start = point.phase_start(phases_of(config), run)
    folders = {0: Path(config.model.path), 3: run.checkpoint(3) / "hf"}
    assert (start.phase.name, start.policy, start.reference) == (phase, folders[policy], folders[reference])
    assert point.state_to_load(start.phase) == (run.checkpoint(step) if takes_up_state else None)


def test_a_run_resumed_from_another_one_s_checkpoint_finds_the_boundary_there(
    run: RunDirectory, tmp_path: Path
) -> None:
    checkpoint(run, 3)
    named = config_of("{name: a, steps: 3}", "{name: b, steps: 4}", more=f"resume={checkpoint(run, 5)}")
    other = RunDirectory(tmp_path / "other")
    start = starting_point(named, other).phase_start(phases_of(named), other)
    assert start.reference == run.checkpoint(3) / "hf"


def test_a_boundary_that_is_gone_is_named(run: RunDirectory) -> None:
    point = StartingPoint(state=TrainerState(step=5), checkpoint=checkpoint(run, 5))
    with pytest.raises(ConfigError, match=r"phase 'b' starts from the weights of step 3, and .*step-000003/hf isn't"):
        point.phase_start(phases_of(RESTARTING), run)


def test_other_phases_than_the_run_s_are_refused_by_the_key_that_differs(run: RunDirectory) -> None:
    other = config_of("{name: a, steps: 3}", "{name: b, steps: 4, template: plain}")
    with pytest.raises(ConfigError, match=r"holds a run with phases\[1\]\.template=None, and this one has plain"):
        starting_point(other, run)
    assert starting_point(RESTARTING, run).checkpoint is None


def test_a_run_written_before_a_key_existed_goes_on_under_the_key_s_default(run: RunDirectory) -> None:
    written = run.config_file.read_text(encoding="utf-8")
    run.config_file.write_text(written.replace("  kl_estimator: k3\n", ""), encoding="utf-8")
    assert run.config_file.read_text(encoding="utf-8") != written
    assert starting_point(RESTARTING, run).checkpoint is None
    other = config_of("{name: a, steps: 3}", "{name: b, steps: 4}", more="grpo.kl_estimator=k1")
    with pytest.raises(ConfigError, match=r"holds a run with grpo.kl_estimator=k3, and this one has k1"):
        starting_point(other, run)


def test_a_run_begins_with_its_first_phase_from_the_model() -> None:
    start = PhaseStart.of_run(RESTARTING)
    assert (start.phase.name, start.policy, start.reference) == ("a", *[Path(RESTARTING.model.path)] * 2)
