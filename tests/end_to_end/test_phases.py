"""Two stages as one run against the two runs that it stands for, whole and interrupted."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.end_to_end.conftest import QUICKSTART, Museg, Workplace
from tests.end_to_end.test_train import largest_difference, weights_of
from tests.museg.runs.report.reading import Page

pytestmark = pytest.mark.slow

LATER = ["reward.functions=[format_n_timestamp,segment_matching]", "data.template=plain", "learner.lr=1e-4"]
PHASES = (
    "phases=[{name: stage_1, steps: 3},"
    " {name: stage_2, steps: 3, functions: [format_n_timestamp, segment_matching], template: plain, lr: 1e-4}]"
)


@pytest.fixture(scope="module")
def overrides(workplace: Workplace) -> list[str]:
    """Few completions and no evaluation; a context that holds the questions of both templates."""
    more = ["grpo.group_size=4", "generation.max_tokens=32", "data.eval=null", "learner.warmup_steps=1"]
    return [*workplace.overrides("phased", *more, "checkpoint.every_steps=1", "checkpoint.keep=9")]


def train(museg: Museg, overrides: Sequence[str], *more: str) -> str:
    done = museg("train", str(QUICKSTART), *overrides, *more)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("interruptions", [(4,), pytest.param((2, 5), marks=pytest.mark.thorough)])
def test_a_run_of_two_phases_is_the_two_runs_and_stays_so_when_it_is_interrupted(
    museg: Museg, workplace: Workplace, overrides: list[str], tmp_path: Path, interruptions: Sequence[int]
) -> None:
    train(museg, overrides, "run.name=alone_1")
    handed_on = workplace.run("alone_1").checkpoint(3) / "hf"
    train(museg, overrides, "run.name=alone_2", f"model.path={handed_on}", *LATER)
    output = train(museg, overrides, "grpo.steps=6", PHASES)
    assert "phase 2 of 2: stage_2, steps 4 to 6, data.template=plain" in output
    end_of_2 = weights_of(workplace, "alone_2", 3)
    assert largest_difference(weights_of(workplace, "phased", 3), weights_of(workplace, "alone_1", 3)) == 0.0
    assert largest_difference(weights_of(workplace, "phased", 6), end_of_2) == 0.0
    assert largest_difference(weights_of(workplace, "alone_1", 3), end_of_2) > 1e-5, "stage 2 moved nothing"
    rows = workplace.run("phased").read_metrics()
    assert [row["phase"] for row in rows] == [1, 1, 1, 2, 2, 2]
    assert [row["weights_version"] for row in rows] == [0, 1, 2, 3, 4, 5]
    lrs = [row["policy/lr"] for name in ("alone_1", "alone_2") for row in workplace.run(name).read_metrics()]
    assert [row["policy/lr"] for row in rows] == lrs
    page = Page(workplace.run("phased").report_file.read_text())
    assert "stage_2" in [phase["name"] for phase in page.index()["phases"]]

    for interrupted_at in interruptions:
        elsewhere = Workplace(data=workplace.data, model=workplace.model, runs=tmp_path / f"after-{interrupted_at}")
        shutil.copytree(workplace.run("phased").path, elsewhere.run("phased").path)
        for step in range(interrupted_at + 1, 7):
            shutil.rmtree(elsewhere.run("phased").checkpoint(step))
        train(museg, overrides, "grpo.steps=6", PHASES, f"run.root={elsewhere.runs}", "checkpoint.keep=1")
        assert largest_difference(weights_of(elsewhere, "phased", 6), end_of_2) == 0.0
        assert elsewhere.run("phased").read_metrics()[-1]["step"] == 6
        # The boundary outlives the rotation: the last phase holds on to it as its KL reference.
        assert elsewhere.run("phased").checkpoint_steps() == [3, 6]
