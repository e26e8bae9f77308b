from __future__ import annotations

import pytest
import torch

from museg.benchmarks.learner.gaps import gradient_gap, take_gradients
from museg.benchmarks.learner.material import LearnerWork, make_material
from museg.benchmarks.learner.models import build_policy, plain_twin
from museg.benchmarks.learner.trl_way import TRLWay
from museg.benchmarks.learner.ways import learner_step, shared_prompt


@pytest.mark.parametrize("with_reference", [False, True], ids=["", "kl"])
def test_trls_trainer_finds_our_logprobs_and_gradient_for_the_video_as_an_image(with_reference: bool) -> None:
    work = LearnerWork(layers=1, prompt_tokens=50, completion_tokens=6, group_size=3, with_reference=with_reference)
    policy, material = build_policy(work), make_material(work)
    ours = learner_step(shared_prompt(policy, material), material, list(policy.parameters()), work)
    our_gradients = take_gradients(policy)
    trl = TRLWay(plain_twin(policy, work), material, work)
    trl.step()
    assert torch.allclose(trl.logprobs(), ours, atol=1e-5)
    assert gradient_gap(our_gradients, take_gradients(policy)) < 1e-5
