from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from museg.config.choices import AdvantageScale
from museg.grpo.advantages import group_advantages

REWARDS = st.lists(st.floats(min_value=-10, max_value=10), min_size=2, max_size=16)
STD, NONE = AdvantageScale.std, AdvantageScale.none


def test_advantages_by_hand() -> None:
    # Mean 2, unbiased deviation sqrt((1 + 1 + 0 + 0) / 3).
    deviation = (2 / 3) ** 0.5
    advantages = group_advantages([1.0, 3.0, 2.0, 2.0], scale=STD, eps=0.0)
    assert advantages == pytest.approx([-1 / deviation, 1 / deviation, 0.0, 0.0])


def test_eps_is_added_to_the_deviation() -> None:
    advantages = group_advantages([0.0, 2.0], scale=STD, eps=0.5)
    assert advantages == pytest.approx([-1 / (2**0.5 + 0.5), 1 / (2**0.5 + 0.5)])


def test_without_scaling_an_advantage_is_the_distance_from_the_mean() -> None:
    assert group_advantages([1.0, 3.0, 2.0, 6.0], scale=NONE, eps=0.5) == [-2.0, 0.0, -1.0, 3.0]


@pytest.mark.parametrize("scale", AdvantageScale)
def test_equal_rewards_have_no_advantage(scale: AdvantageScale) -> None:
    assert group_advantages([0.7] * 8, scale=scale, eps=1e-4) == [0.0] * 8


@given(REWARDS)
def test_advantages_equal_torchs_standardised_rewards(rewards: list[float]) -> None:
    values = torch.tensor(rewards, dtype=torch.float64)
    expected = (values - values.mean()) / (values.std() + 1e-4)
    assert group_advantages(rewards, scale=STD, eps=1e-4) == pytest.approx(expected.tolist(), abs=1e-6)


@pytest.mark.parametrize("rewards", [[], [1.0]])
def test_a_group_of_one_is_refused(rewards: list[float]) -> None:
    with pytest.raises(ValueError, match="at least two rewards"):
        group_advantages(rewards, scale=STD, eps=1e-4)


@pytest.mark.parametrize("wrong", [math.inf, -math.inf, math.nan])
@pytest.mark.parametrize("scale", list(AdvantageScale))
def test_a_group_with_a_reward_that_is_not_finite_has_no_advantages(wrong: float, scale: AdvantageScale) -> None:
    assert all(map(math.isnan, group_advantages([1.0, wrong, 0.0], scale=scale, eps=1e-4)))
