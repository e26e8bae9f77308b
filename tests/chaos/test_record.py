"""What the suite compares by: it must see a difference where there is one."""

from __future__ import annotations

import itertools
import signal
from dataclasses import replace

import pytest

from tests.chaos.plan import BETWEEN, MOMENTS, StepTimes, deal, phase_at
from tests.chaos.record import Record
from tests.chaos.usage import Growth, Sample, growths

RECORD = Record(
    metrics=[{"step": 1, "policy/loss": 0.25}, {"step": 2, "policy/loss": 0.125}],
    rollouts={1: "a", 2: "b"},
    weights={"model.safetensors": "c"},
    samples=[[0, 1], [2, 3]],
)


def test_an_equal_run_has_no_differences() -> None:
    assert list(RECORD.differences(RECORD)) == []


@pytest.mark.parametrize(
    "other",
    [
        replace(RECORD, metrics=RECORD.metrics[:1]),
        replace(RECORD, metrics=[RECORD.metrics[0], {"step": 2, "policy/loss": 0.125 + 2**-50}]),
        replace(RECORD, metrics=[RECORD.metrics[0], {**RECORD.metrics[1], "policy/kl": 0.0}]),
        replace(RECORD, rollouts={1: "a", 2: "x"}),
        replace(RECORD, rollouts={1: "a"}),
        replace(RECORD, weights={"model.safetensors": "x"}),
        replace(RECORD, weights={}),
    ],
)
def test_any_difference_is_told(other: Record) -> None:
    assert len(list(other.differences(RECORD))) == 1


def test_a_sample_that_an_epoch_uses_twice_is_told() -> None:
    assert list(RECORD.misused_samples(2)) == []
    assert list(replace(RECORD, samples=[[0, 1], [1, 2]]).misused_samples(4)) == [
        "epoch 1 uses samples [1] more than once"
    ]


def test_every_role_is_killed_in_every_phase_and_stopped_in_two_before_any_case_comes_again() -> None:
    runs = deal({"driver": [signal.SIGKILL], "learner-0": [signal.SIGKILL, signal.SIGSTOP]}, 14, steps_a_run=8, seed=3)
    blows = [blow for run in runs for blow in run]
    assert {(blow.role, blow.phase) for blow in blows if blow.signal == signal.SIGKILL} == set(
        itertools.product(("driver", "learner-0"), MOMENTS)
    )
    assert len({blow.phase for blow in blows if blow.signal == signal.SIGSTOP}) == 2
    assert [[blow.step for blow in run] for run in runs] == [[2, 3, 4, 5]] * 3 + [[2, 3]]


def test_a_moment_lies_in_the_phase_that_its_offset_was_made_from() -> None:
    times = StepTimes(phases={BETWEEN: 0.5, "wait_video": 0.0, "generate": 2.0, "learn": 1.0})
    assert times.offset_s("generate", 0.25) == 1.0
    assert phase_at(1.0, times.phases) == "generate"
    assert phase_at(0.49, times.phases) == BETWEEN
    assert phase_at(9.0, times.phases) == "learn"


def test_growth_is_seen_after_the_warm_up_alone() -> None:
    samples = [Sample(at_s=at_s, values={"leak": 100 + max(0, at_s - 10), "flat": 7}) for at_s in range(40)]
    assert growths(samples, warm_up_s=10) == [
        Growth(name="leak", early=104.5, late=124.5),
        Growth(name="flat", early=7, late=7),
    ]
