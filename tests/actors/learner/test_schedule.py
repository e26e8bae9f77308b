from __future__ import annotations

import pytest

from actors.learner.schedule import learning_rate
from museg.config.choices import Schedule
from museg.config.schema import LearnerConfig


def test_without_warm_up_linear_is_the_authors_schedule() -> None:
    config = LearnerConfig(lr=1.0)
    rates = [learning_rate(config, step, num_steps=4) for step in (1, 2, 3, 4)]
    assert rates == [1.0, 0.75, 0.5, 0.25]


def test_steps_beyond_the_run_stay_at_the_final_rate() -> None:
    config = LearnerConfig(lr=1.0, final_lr_fraction=0.2)
    assert learning_rate(config, 5, num_steps=4) == pytest.approx(0.2)
    assert learning_rate(config, 9, num_steps=4) == pytest.approx(0.2)


def test_warm_up_reaches_lr_on_its_last_step_and_decay_starts_after_it() -> None:
    config = LearnerConfig(lr=2.0, warmup_steps=4, final_lr_fraction=0.5)
    rates = [learning_rate(config, step, num_steps=8) for step in range(1, 9)]
    assert rates == pytest.approx([0.5, 1.0, 1.5, 2.0, 2.0, 1.75, 1.5, 1.25])


def test_a_constant_rate_stays_after_warm_up() -> None:
    config = LearnerConfig(lr=3.0, schedule=Schedule.constant, warmup_steps=2)
    assert [learning_rate(config, step, num_steps=4) for step in (1, 2, 3, 4)] == [1.5, 3.0, 3.0, 3.0]


def test_a_run_of_warm_up_alone_never_decays() -> None:
    config = LearnerConfig(lr=1.0, warmup_steps=3)
    assert [learning_rate(config, step, num_steps=3) for step in (1, 2, 3)] == pytest.approx([1 / 3, 2 / 3, 1.0])
