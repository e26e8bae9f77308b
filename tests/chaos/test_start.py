"""Workers that die while the run starts, before it has any on record."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos.material import prepare
from tests.chaos.plan import START, Blow
from tests.chaos.suite import Shape, disturb, undisturbed

SHAPE = Shape(steps=3, patience_s=240)


@pytest.mark.slow
@pytest.mark.thorough
def test_a_run_whose_workers_die_while_it_starts_ends_with_the_undisturbed_numbers(tmp_path: Path) -> None:
    material = prepare(tmp_path)
    reference = undisturbed(material, SHAPE)
    for role in ("generation-0", "reward-0", "learner-0"):
        blow = Blow(role=role, step=1, phase=START, fraction=0.0)
        run = disturb(material, f"start-{role}", [blow], reference, SHAPE)
        assert run.wrong == []
        (struck,) = run.struck
        assert struck.back_s is not None, f"{role} was never told to be back"
