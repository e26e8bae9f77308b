from __future__ import annotations

import math

import pytest
import torch

from museg.config.choices import KLEstimator
from museg.grpo.kl import kl_per_token
from tests.museg.grpo.material import some_logprobs

POLICY, REFERENCE = torch.tensor([0.7, 0.2, 0.1]), torch.tensor([0.3, 0.3, 0.4])
ESTIMATORS = [KLEstimator.k1, KLEstimator.k2, KLEstimator.k3]


def divergence(policy: torch.Tensor) -> torch.Tensor:
    return (policy * (policy / REFERENCE).log()).sum()


@pytest.mark.parametrize(
    ("estimator", "expected"),
    # The reference finds the token twice as likely: r = 2.
    [
        (KLEstimator.k1, -math.log(2)),
        (KLEstimator.k2, math.log(2) ** 2 / 2),
        (KLEstimator.k3, 2 - 1 - math.log(2)),
    ],
)
def test_kl_of_a_token_by_hand(estimator: KLEstimator, expected: float) -> None:
    kl = kl_per_token(torch.tensor([-1.0]), torch.tensor([-1.0 + math.log(2)]), estimator)
    assert kl.item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("estimator", [KLEstimator.k2, KLEstimator.k3])
def test_kl_of_equal_policies_is_zero_with_zero_gradient(estimator: KLEstimator) -> None:
    logprobs = some_logprobs(0).requires_grad_()
    kl_per_token(logprobs, logprobs.detach(), estimator).sum().backward()
    assert kl_per_token(logprobs, logprobs, estimator).abs().max() == 0
    assert logprobs.grad is not None
    assert logprobs.grad.abs().max() == 0


@pytest.mark.parametrize("estimator", [KLEstimator.k1, KLEstimator.k3])
def test_k1_and_k3_average_to_the_divergence_over_the_policys_samples(estimator: KLEstimator) -> None:
    estimate = (POLICY * kl_per_token(POLICY.log(), REFERENCE.log(), estimator)).sum()
    assert estimate.item() == pytest.approx(divergence(POLICY).item(), rel=1e-5)


def expected_gradient(estimator: KLEstimator) -> list[float]:
    """What the estimator's gradient averages to over the policy's samples, by the policy's logits."""
    logits = POLICY.log().requires_grad_()
    held = POLICY.detach()
    (held * kl_per_token(logits.log_softmax(dim=0), REFERENCE.log(), estimator)).sum().backward()
    assert logits.grad is not None
    return logits.grad.tolist()


def test_k2s_expected_gradient_is_the_divergences_and_k1s_is_zero() -> None:
    logits = POLICY.log().requires_grad_()
    divergence(logits.softmax(dim=0)).backward()
    assert logits.grad is not None
    assert expected_gradient(KLEstimator.k2) == pytest.approx(logits.grad.tolist(), abs=1e-6)
    assert expected_gradient(KLEstimator.k1) == pytest.approx([0.0] * 3, abs=1e-6)


def test_no_estimator_has_no_estimate() -> None:
    with pytest.raises(ValueError, match=r"KLEstimator\.none"):
        kl_per_token(torch.zeros(1), torch.zeros(1), KLEstimator.none)
