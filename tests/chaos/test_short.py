"""The chaos suite's short form: one run, one blow to each role. `make chaos` has all roles in all phases."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.chaos.material import prepare
from tests.chaos.plan import Blow
from tests.chaos.processes import DECODER
from tests.chaos.suite import Shape, disturb, undisturbed

SHAPE = Shape(steps=8, patience_s=240)


@pytest.mark.slow
def test_a_run_whose_workers_are_killed_one_after_the_other_ends_with_the_undisturbed_numbers(tmp_path: Path) -> None:
    material = prepare(tmp_path)
    reference = undisturbed(material, SHAPE)
    blows = [
        Blow(role="generation-0", step=2, phase="generate", fraction=0.5),
        Blow(role="reward-1", step=3, phase="generate", fraction=0.2),
        Blow(role=DECODER, step=3, phase="generate", fraction=0.8),
        Blow(role="learner-0", step=4, phase="learn", fraction=0.5),
        Blow(role="driver", step=5, phase="generate", fraction=0.5),
    ]
    run = disturb(material, "killed", blows, reference, SHAPE)
    assert run.wrong == []
    assert [(one.blow.role, one.blow.signal) for one in run.struck] == [(blow.role, signal.SIGKILL) for blow in blows]
