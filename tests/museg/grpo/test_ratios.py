from __future__ import annotations

import math

import pytest
import torch

from museg.config.choices import RatioLevel
from museg.grpo.ratios import clipped_objective, held_back, importance_weights, policy_ratio
from tests.museg.grpo.material import MASK

# Ratios 1.1, 1.5 and 0.5 in the first sequence, 2 in the second; what stands at padding is absurd.
OLD = torch.full((2, 3), -1.0)
NEW = torch.tensor([[1.1, 1.5, 0.5], [2.0, 1e9, 1e-9]]).log() + OLD


def test_a_tokens_ratio_is_new_over_old_probability() -> None:
    assert policy_ratio(NEW, OLD, MASK, RatioLevel.token)[0].tolist() == pytest.approx([1.1, 1.5, 0.5])


def test_a_sequences_ratio_is_the_geometric_mean_of_its_tokens() -> None:
    ratio = policy_ratio(NEW, OLD, MASK, RatioLevel.sequence)
    assert ratio[0].tolist() == pytest.approx([(1.1 * 1.5 * 0.5) ** (1 / 3)] * 3)
    assert ratio[1].tolist() == pytest.approx([2.0] * 3)


@pytest.mark.parametrize(
    ("ratio", "advantage", "objective", "held"),
    [
        (1.1, 1.0, 1.1, False),
        (1.5, 1.0, 1.28, True),  # enough of a good thing
        (1.5, -1.0, -1.5, False),  # a bad token that became likelier is always pushed back
        (0.5, -1.0, -0.8, True),
        (0.5, 1.0, 0.5, False),
        (1.5, 0.0, 0.0, False),
    ],
)
def test_only_ratios_that_went_the_advantages_way_are_clipped(
    ratio: float, advantage: float, objective: float, held: bool
) -> None:
    value, gain = torch.tensor([[ratio]], requires_grad=True), torch.tensor([[advantage]])
    clipped = clipped_objective(value, gain, 0.2, 0.28)
    clipped.backward()
    assert clipped.item() == pytest.approx(objective)
    assert held_back(value, gain, 0.2, 0.28).item() is held
    assert value.grad is not None
    assert value.grad.item() == (0.0 if held else advantage)


def test_without_bounds_nothing_is_clipped() -> None:
    ratio, gain = torch.tensor([[9.0, 0.1]]), torch.tensor([[2.0]])
    assert clipped_objective(ratio, gain, None, None).tolist() == [[18.0, pytest.approx(0.2)]]
    assert not held_back(ratio, gain, None, None).any()


def test_importance_weights_are_the_learners_over_the_engines_probability_up_to_the_cap() -> None:
    learner = torch.tensor([[math.log(0.3), math.log(0.9)]], requires_grad=True)
    engine = torch.tensor([[math.log(0.6), math.log(0.1)]])
    weights = importance_weights(learner, engine, 2.0)
    assert weights.tolist() == [pytest.approx([0.5, 2.0])]
    assert not weights.requires_grad
    assert importance_weights(learner, None, None).tolist() == [[1.0, 1.0]]


def test_a_cap_without_the_engines_logprobs_is_refused() -> None:
    with pytest.raises(ValueError, match="engine's logprobs"):
        importance_weights(OLD, None, 2.0)
