from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch

from museg.config.choices import KLEstimator, Variant
from museg.grpo.aggregation import StepTotals
from museg.grpo.losses import grpo_loss
from museg.grpo.variants import LossSettings
from tests.museg.grpo.material import ADVANTAGES, MASK, TOTALS, settings_of, some_logprobs

GRPO = settings_of(Variant.grpo)
WITH_KL = settings_of(Variant.grpo, kl_beta=0.5)
OLD = some_logprobs(0)
# Ratios of the first sequence (advantage 0.8) and of the second (advantage -1.2), the rest is padding.
RATIOS = torch.tensor([[1.1, 1.5, 0.5], [0.6, 1.0, 1.0]], dtype=torch.float64)


def loss_at(logprobs: torch.Tensor, settings: LossSettings, **inputs: torch.Tensor | None) -> torch.Tensor:
    return grpo_loss(
        settings, logprobs=logprobs, mask=MASK, advantages=ADVANTAGES, totals=TOTALS, old_logprobs=OLD, **inputs
    ).loss


def gradient(loss: Callable[[torch.Tensor], torch.Tensor], at: torch.Tensor) -> list[list[float]]:
    logprobs = at.clone().requires_grad_()
    loss(logprobs).backward()
    assert logprobs.grad is not None
    return logprobs.grad.tolist()


def finite_differences(loss: Callable[[torch.Tensor], torch.Tensor], at: torch.Tensor) -> list[list[float]]:
    found = torch.zeros_like(at)
    for g in range(at.shape[0]):
        for c in range(at.shape[1]):
            nudge = torch.zeros_like(at)
            nudge[g, c] = 1e-6
            found[g, c] = (loss(at + nudge) - loss(at - nudge)) / 2e-6
    return found.tolist()


def test_in_a_first_update_the_gradient_is_each_tokens_share_of_its_advantage() -> None:
    logprobs = some_logprobs(0).requires_grad_()
    result = grpo_loss(GRPO, logprobs=logprobs, mask=MASK, advantages=ADVANTAGES, totals=TOTALS)
    result.loss.backward()
    # Two sequences; the first has three tokens.
    assert logprobs.grad is not None
    assert logprobs.grad.tolist() == [pytest.approx([-0.8 / 6] * 3), pytest.approx([1.2 / 2, 0.0, 0.0])]
    assert result.loss.item() == result.policy.item() == pytest.approx(-(0.8 - 1.2) / 2)
    assert result.kl.item() == result.clip_fraction.item() == result.importance_capped_fraction.item() == 0.0
    assert result.importance_mean.item() == 1.0


def test_value_with_a_reference_by_hand() -> None:
    logprobs, reference = some_logprobs(0), some_logprobs(1)
    result = grpo_loss(
        WITH_KL, logprobs=logprobs, mask=MASK, advantages=ADVANTAGES, totals=TOTALS, reference_logprobs=reference
    )
    ratios = (reference - logprobs).tolist()
    tokens = [[math.exp(r) - r - 1 for r in row] for row in ratios]
    kl = (sum(tokens[0]) / 3 + tokens[1][0]) / 2
    assert result.kl.item() == pytest.approx(kl)
    assert result.loss.item() == pytest.approx(0.2 + 0.5 * kl)


# Of each variant: the loss, the gradient by the four tokens' logprobs, and the share of ratios held back.
# Token terms: min(1.1, ·)·0.8, min(1.5, clip)·0.8, 0.5·0.8 and max side of 0.6 against 1 - low for the advantage -1.2.
BY_HAND = {
    Variant.grpo: (
        -(0.8 * (1.1 + 1.5 + 0.5) / 3 - 1.2 * 0.6) / 2,
        [-0.8 * 1.1 / 6, -0.8 * 1.5 / 6, -0.8 * 0.5 / 6, 1.2 * 0.6 / 2],
        0.0,
    ),
    Variant.ppo: (
        -(0.8 * (1.1 + 1.2 + 0.5) / 3 - 1.2 * 0.8) / 2,
        [-0.8 * 1.1 / 6, 0.0, -0.8 * 0.5 / 6, 0.0],
        2 / 4,
    ),
    Variant.dapo: (
        -(0.8 * (1.1 + 1.28 + 0.5) - 1.2 * 0.8) / 4,
        [-0.8 * 1.1 / 4, 0.0, -0.8 * 0.5 / 4, 0.0],
        2 / 4,
    ),
    Variant.dr_grpo: (
        -(0.8 * (1.1 + 1.2 + 0.5) - 1.2 * 0.8) / (2 * 5),
        [-0.8 * 1.1 / 10, 0.0, -0.8 * 0.5 / 10, 0.0],
        2 / 4,
    ),
    # The first sequence's ratio is (1.1 · 1.5 · 0.5)^(1/3) = 0.938, below the bound but with a positive advantage; the
    # second's, 0.6, is held at 1 - 3e-4.
    Variant.gspo: (
        -(0.8 * 0.825 ** (1 / 3) - 1.2 * (1 - 3e-4)) / 2,
        [-0.8 * 0.825 ** (1 / 3) / 6] * 3 + [0.0],
        1 / 2,
    ),
}


@pytest.mark.parametrize("variant", Variant)
def test_a_later_updates_value_and_gradient_by_hand(variant: Variant) -> None:
    value, slopes, clip_fraction = BY_HAND[variant]
    logprobs = (OLD + RATIOS.log()).requires_grad_()
    result = grpo_loss(
        settings_of(variant), logprobs=logprobs, mask=MASK, advantages=ADVANTAGES, totals=TOTALS, old_logprobs=OLD
    )
    result.loss.backward()
    assert logprobs.grad is not None
    assert result.loss.item() == result.policy.item() == pytest.approx(value)
    assert logprobs.grad[MASK].tolist() == pytest.approx(slopes)
    assert result.clip_fraction.item() == pytest.approx(clip_fraction)


@pytest.mark.parametrize("estimator", [KLEstimator.k1, KLEstimator.k2, KLEstimator.k3])
@pytest.mark.parametrize("variant", Variant)
def test_gradients_equal_finite_differences(variant: Variant, estimator: KLEstimator) -> None:
    settings = settings_of(variant, kl_beta=0.5, kl_estimator=estimator, importance_cap=1.5)

    def loss(logprobs: torch.Tensor) -> torch.Tensor:
        return loss_at(logprobs, settings, engine_logprobs=some_logprobs(2), reference_logprobs=some_logprobs(1))

    at = OLD + RATIOS.log()
    expected = finite_differences(loss, at)
    assert gradient(loss, at) == [pytest.approx(row, abs=1e-8) for row in expected]
    assert max(abs(slope) for row in expected for slope in row) > 0.01


def test_a_first_updates_gradient_is_that_of_the_loss_with_its_own_logprobs_held() -> None:
    for variant in Variant:
        settings = settings_of(variant)

        def first(logprobs: torch.Tensor, settings: LossSettings = settings) -> torch.Tensor:
            return grpo_loss(settings, logprobs=logprobs, mask=MASK, advantages=ADVANTAGES, totals=TOTALS).loss

        def held(logprobs: torch.Tensor, settings: LossSettings = settings) -> torch.Tensor:
            return loss_at(logprobs, settings)

        assert gradient(first, OLD) == [pytest.approx(row, abs=1e-8) for row in finite_differences(held, OLD)]


def test_truncated_importance_sampling_weighs_tokens_by_learner_over_engine() -> None:
    # Of the four tokens, the engine found one half as likely as the learner, one a tenth as likely, two the same.
    engine = OLD - torch.tensor([[2.0, 10.0, 1.0], [1.0, 1.0, 1.0]], dtype=torch.float64).log()
    settings = settings_of(Variant.grpo, importance_cap=3.0)
    logprobs = OLD.clone().requires_grad_()
    result = grpo_loss(
        settings, logprobs=logprobs, mask=MASK, advantages=ADVANTAGES, totals=TOTALS, engine_logprobs=engine
    )
    result.loss.backward()
    assert logprobs.grad is not None
    assert logprobs.grad[MASK].tolist() == pytest.approx([-0.8 * 2 / 6, -0.8 * 3 / 6, -0.8 / 6, 1.2 / 2])
    assert result.loss.item() == pytest.approx(-(0.8 * (2 + 3 + 1) / 3 - 1.2) / 2)
    assert result.importance_mean.item() == pytest.approx((2 + 3 + 1 + 1) / 4)
    assert result.importance_capped_fraction.item() == pytest.approx(1 / 4)


def test_the_kl_term_is_not_importance_weighted() -> None:
    engine, reference = some_logprobs(2), some_logprobs(1)
    with_kl, without = (
        loss_at(
            OLD,
            settings_of(Variant.grpo, kl_beta=beta, importance_cap=2.0),
            engine_logprobs=engine,
            reference_logprobs=reference,
        ).item()
        for beta in (0.5, 0.0)
    )
    plain = loss_at(OLD, WITH_KL, reference_logprobs=reference).item() - loss_at(OLD, GRPO).item()
    assert with_kl - without == pytest.approx(plain)


def test_a_groups_loss_is_its_share_of_the_step() -> None:
    larger = StepTotals(num_groups=4, num_completions=8, num_tokens=40)
    for variant, factor in {Variant.grpo: 4, Variant.dapo: 10, Variant.dr_grpo: 4}.items():
        alone, within = (
            grpo_loss(settings_of(variant), logprobs=OLD, mask=MASK, advantages=ADVANTAGES, totals=totals).loss.item()
            for totals in (TOTALS, larger)
        )
        assert alone == pytest.approx(factor * within)


def test_what_padding_holds_changes_nothing() -> None:
    for variant in Variant:
        results = []
        for dirt in (0.0, -50.0):
            logprobs, old, reference = some_logprobs(3), some_logprobs(0), some_logprobs(1)
            logprobs[1, 1:] += dirt
            result = grpo_loss(
                settings_of(variant, kl_beta=0.5),
                logprobs=logprobs.requires_grad_(),
                mask=MASK,
                advantages=ADVANTAGES,
                totals=TOTALS,
                old_logprobs=old,
                reference_logprobs=reference,
            )
            result.loss.backward()
            assert logprobs.grad is not None
            results.append((result.loss.item(), result.clip_fraction.item(), logprobs.grad.tolist()))
        assert results[0] == results[1]
