"""A run that is stopped after each of its steps, and ends where one that was left alone does."""

from __future__ import annotations

import signal

import pytest

from tests.chaos.material import Material
from tests.chaos.record import Record
from tests.chaos.stops import Moment, StoppedRun, overrides_of, undisturbed
from tests.end_to_end.conftest import Workplace

pytestmark = pytest.mark.slow
HARDLY_ANY_S = 6.5
"""A grace that leaves no time for a step beside a checkpoint, so that it is dropped."""


def test_a_run_stopped_in_every_step_and_going_on_with_other_workers_ends_at_the_same_bits(
    workplace: Workplace,
) -> None:
    material = Material(data=workplace.data, model=workplace.model, runs=workplace.runs / "stops")
    overrides = [*overrides_of(material), "grpo.steps=4", "generation.workers=1", "checkpoint.best=eval/miou"]
    record, step_s, _ = undisturbed(material, overrides)
    run = StoppedRun(material=material, name="stopped", overrides=overrides)
    moments = [
        Moment(after_rows=1, delay_s=0.0, number=signal.SIGTERM, grace_s=HARDLY_ANY_S),
        Moment(after_rows=1, delay_s=step_s / 2, number=signal.SIGINT, grace_s=HARDLY_ANY_S),
        Moment(after_rows=None, delay_s=8.0, number=signal.SIGTERM, grace_s=30.0),
    ]
    stops = [run.live(moment) for moment in moments]
    try:
        assert [stop.code for stop in stops] == [130, 130, 130], stops
        assert [stop.left for stop in stops] == [0, 0, 0], "processes outlive the run"
        kept = run.directory.checkpoint_steps()[-1]
        assert 2 <= kept < 4, "the run was over before the last signal: the test shows nothing"
        assert "interrupted after" in stops[1].said
        assert "given up" in stops[0].said + stops[1].said
        end = run.live(None, "generation.workers=2", "reward.workers=1")
    finally:
        run.family.end()
    assert end.code == 0, end.said
    assert list(Record.of(run.directory).differences(record)) == []
    assert run.directory.checkpoint_store.newest_whole() == (4, [])
