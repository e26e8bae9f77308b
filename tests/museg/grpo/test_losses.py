from __future__ import annotations

import math

import pytest
import torch

from museg.grpo.losses import grpo_loss, kl_per_token, mean_over_sequences

MASK = torch.tensor([[True, True, True], [True, False, False]])
ADVANTAGES = torch.tensor([0.8, -1.2], dtype=torch.float64)


def some_logprobs(seed: int) -> torch.Tensor:
    return -3 * torch.rand(2, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_means_go_over_tokens_then_sequences() -> None:
    values = torch.tensor([[1.0, 2.0, 6.0], [5.0, math.nan, math.inf]])
    assert mean_over_sequences(values, MASK).item() == pytest.approx((3.0 + 5.0) / 2)


def test_kl_of_a_token_by_hand() -> None:
    # The reference finds the token twice as likely: r - 1 - log r = 2 - 1 - log 2.
    kl = kl_per_token(torch.tensor([-1.0]), torch.tensor([-1.0 + math.log(2)]))
    assert kl.item() == pytest.approx(1 - math.log(2), rel=1e-6)


def test_kl_of_equal_policies_is_zero_with_zero_gradient() -> None:
    logprobs = some_logprobs(0).requires_grad_()
    kl_per_token(logprobs, logprobs.detach()).sum().backward()
    assert kl_per_token(logprobs, logprobs).abs().max() == 0
    assert logprobs.grad.abs().max() == 0


def test_kl_averages_to_the_divergence_over_the_policys_samples() -> None:
    policy, reference = torch.tensor([0.7, 0.2, 0.1]), torch.tensor([0.3, 0.3, 0.4])
    estimate = (policy * kl_per_token(policy.log(), reference.log())).sum()
    assert estimate.item() == pytest.approx((policy * (policy / reference).log()).sum().item(), rel=1e-5)


def test_the_policy_gradient_is_each_tokens_share_of_its_advantage() -> None:
    logprobs = some_logprobs(0).requires_grad_()
    result = grpo_loss(logprobs=logprobs, mask=MASK, advantages=ADVANTAGES, kl_beta=0.04, reference_logprobs=None)
    result.loss.backward()
    # Two sequences; the first has three tokens.
    assert logprobs.grad.tolist() == [pytest.approx([-0.8 / 6] * 3), pytest.approx([1.2 / 2, 0.0, 0.0])]
    assert result.loss.item() == result.policy.item() == pytest.approx(-(0.8 - 1.2) / 2)
    assert result.kl.item() == 0.0


def test_value_with_a_reference_by_hand() -> None:
    logprobs, reference = some_logprobs(0), some_logprobs(1)
    result = grpo_loss(logprobs=logprobs, mask=MASK, advantages=ADVANTAGES, kl_beta=0.5, reference_logprobs=reference)
    ratios = (reference - logprobs).tolist()
    tokens = [[math.exp(r) - r - 1 for r in row] for row in ratios]
    kl = (sum(tokens[0]) / 3 + tokens[1][0]) / 2
    assert result.kl.item() == pytest.approx(kl)
    assert result.loss.item() == pytest.approx(0.2 + 0.5 * kl)


def test_gradients_equal_finite_differences_of_the_loss_with_the_rollouts_logprobs_held() -> None:
    rollout, reference = some_logprobs(0), some_logprobs(1)

    def held(logprobs: torch.Tensor) -> torch.Tensor:
        policy = -(logprobs - rollout).exp() * ADVANTAGES[:, None]
        return mean_over_sequences(policy + 0.5 * kl_per_token(logprobs, reference), MASK)

    logprobs = rollout.clone().requires_grad_()
    grpo_loss(
        logprobs=logprobs, mask=MASK, advantages=ADVANTAGES, kl_beta=0.5, reference_logprobs=reference
    ).loss.backward()
    step = 1e-6
    for g in range(2):
        for c in range(3):
            nudge = torch.zeros_like(rollout)
            nudge[g, c] = step
            difference = (held(rollout + nudge) - held(rollout - nudge)) / (2 * step)
            assert logprobs.grad[g, c].item() == pytest.approx(difference.item(), abs=1e-8)


def test_what_padding_holds_changes_nothing() -> None:
    clean, dirty = some_logprobs(0), some_logprobs(0)
    dirty[1, 1:] = -50.0
    results = []
    for values in (clean, dirty):
        logprobs = values.requires_grad_()
        result = grpo_loss(
            logprobs=logprobs, mask=MASK, advantages=ADVANTAGES, kl_beta=0.5, reference_logprobs=some_logprobs(1)
        )
        result.loss.backward()
        results.append((result.loss.item(), logprobs.grad.tolist()))
    assert results[0] == results[1]
