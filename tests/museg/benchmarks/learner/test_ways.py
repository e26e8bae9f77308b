from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from museg.benchmarks.learner.gaps import gradient_gap, take_gradients
from museg.benchmarks.learner.material import LearnerWork, Material, make_material
from museg.benchmarks.learner.models import build_policy, plain_twin
from museg.benchmarks.learner.ways import learner_step, repeated_prompt, shared_prompt
from museg.policy.model import PackedPolicy

WORK = LearnerWork(layers=1, prompt_tokens=50, completion_tokens=6, group_size=3)


@pytest.fixture(scope="module")
def policy() -> PackedPolicy:
    return build_policy(WORK)


def results(policy: PackedPolicy, material: Material, work: LearnerWork) -> dict[str, tuple[torch.Tensor, dict]]:
    parameters = list(policy.parameters())
    ways = {"naive": repeated_prompt(plain_twin(policy, work), material), "ours": shared_prompt(policy, material)}
    return {
        name: (learner_step(scores, material, parameters, work), take_gradients(policy))
        for name, scores in ways.items()
    }


def test_the_video_takes_most_of_the_prompt_and_leaves_text_around_it() -> None:
    assert [replace(WORK, prompt_tokens=tokens).visual_tokens for tokens in (24, 800, 3500)] == [8, 729, 3375]


def test_a_twin_has_the_policys_own_parameters(policy: PackedPolicy) -> None:
    twin = dict(plain_twin(policy, WORK).named_parameters())
    assert {name: id(parameter) for name, parameter in policy.named_parameters()} == {
        name: id(parameter) for name, parameter in twin.items()
    }


@pytest.mark.parametrize("changes", [{}, {"with_reference": True}, {"gradient_checkpointing": True}], ids=str)
def test_both_ways_score_a_group_alike_and_leave_the_same_gradient(changes: dict[str, bool]) -> None:
    work = replace(WORK, **changes)
    material = make_material(work)
    found = results(build_policy(work), material, work)
    (naive, naive_gradients), (ours, our_gradients) = found["naive"], found["ours"]
    assert ours.shape == (3, 6)
    assert torch.allclose(ours, naive, atol=1e-5)
    assert gradient_gap(our_gradients, naive_gradients) < 1e-5
    assert all(gradient.abs().sum() > 0 for name, gradient in naive_gradients.items() if name.endswith("proj.weight"))


def test_rows_of_different_lengths_are_padded_without_effect(policy: PackedPolicy) -> None:
    material = make_material(WORK)
    first, second, third = material.completions
    ragged = replace(material, completions=(first, second[:2], third[:4]))
    found = results(policy, ragged, WORK)
    (naive, naive_gradients), (ours, our_gradients) = found["naive"], found["ours"]
    assert torch.allclose(ours, naive, atol=1e-5)
    assert naive[1, 2:].tolist() == [0.0] * 4
    assert gradient_gap(our_gradients, naive_gradients) < 1e-5


def test_a_gap_is_that_of_the_worst_block() -> None:
    reference = {"layers.0.weight": torch.tensor([3.0, 4.0]), "layers.1.weight": torch.tensor([100.0])}
    moved = {"layers.0.weight": torch.tensor([3.0, 4.5]), "layers.1.weight": torch.tensor([101.0])}
    assert gradient_gap(moved, reference) == pytest.approx(0.1)


def test_a_way_that_misses_a_parameter_is_told() -> None:
    with pytest.raises(ValueError, match=r"layers\.1\.weight"):
        gradient_gap({"layers.0.weight": torch.ones(1)}, dict.fromkeys(("layers.0.weight", "layers.1.weight")))
