"""The loss of one group in each of its variants. Letters for shapes: G completions, C tokens of the longest."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial

import torch

from museg.config.choices import RatioLevel
from museg.grpo.aggregation import StepTotals, mean_over_ratios, mean_over_sequences, share_of_step
from museg.grpo.kl import kl_per_token
from museg.grpo.ratios import clipped_objective, held_back, importance_weights, policy_ratio
from museg.grpo.variants import LossSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class GRPOLoss:
    """A group's part of its step's loss and, detached, figures about it; all are scalars."""

    loss: torch.Tensor
    """The group's addend of the step's loss, differentiable: over the step's groups these sum to the loss."""
    policy: torch.Tensor
    """The same of the policy-gradient term alone."""
    kl: torch.Tensor
    """Estimated KL divergence from the reference, nats a token, mean over sequences; zero without a reference."""
    clip_fraction: torch.Tensor
    """Share of the ratios, of tokens or of completions, that clipping held back."""
    importance_mean: torch.Tensor
    """Mean importance weight of tokens; one without a cap."""
    importance_capped_fraction: torch.Tensor
    """Share of the tokens whose weight the cap cut; zero without one."""


def grpo_loss(
    settings: LossSettings,
    *,
    logprobs: torch.Tensor,
    mask: torch.Tensor,
    advantages: torch.Tensor,
    totals: StepTotals,
    old_logprobs: torch.Tensor | None = None,
    engine_logprobs: torch.Tensor | None = None,
    reference_logprobs: torch.Tensor | None = None,
) -> GRPOLoss:
    """A token's loss is `-weight · min(ratio · A, clip(ratio) · A) + kl_beta · KL`; the settings say how tokens add up.

    In the first update of a rollout the ratio is one in value and the policy's score in gradient. Sources:
    DeepSeekMath (arXiv 2402.03300) equation 3, and for the variants `museg.grpo.variants`.

    Args:
        settings: of the variant.
        logprobs: of the sampled tokens, `[G, C]`.
        mask: bool `[G, C]`, true at tokens; every completion has at least one.
        advantages: `[G]`.
        totals: of the step that the group is part of.
        old_logprobs: of the same tokens before the step's first update, `[G, C]`; None if this is the first.
        engine_logprobs: as the engine told them when it sampled, `[G, C]`; read only with an importance cap.
        reference_logprobs: of the same tokens under the reference policy, `[G, C]`; None leaves the KL term out.
    """
    aggregate = partial(
        share_of_step, mask=mask, aggregation=settings.aggregation, totals=totals, max_tokens=settings.max_tokens
    )
    old, gain = logprobs.detach() if old_logprobs is None else old_logprobs, advantages.unsqueeze(1)
    ratio = policy_ratio(logprobs, old, mask, settings.ratio)
    weight = importance_weights(old, engine_logprobs, settings.importance_cap)
    policy = aggregate(-weight * clipped_objective(ratio, gain, settings.clip_low, settings.clip_high))
    loss, kl = policy, torch.zeros_like(policy)
    if reference_logprobs is not None:
        token_kl = kl_per_token(logprobs, reference_logprobs, settings.kl_estimator)
        loss, kl = policy + settings.kl_beta * aggregate(token_kl), mean_over_sequences(token_kl, mask)
    clipped = held_back(ratio, gain, settings.clip_low, settings.clip_high)
    capped = weight >= (math.inf if settings.importance_cap is None else settings.importance_cap)
    return GRPOLoss(
        loss=loss,
        policy=policy.detach(),
        kl=kl.detach(),
        clip_fraction=mean_over_ratios(clipped, mask, settings.ratio),
        importance_mean=mean_over_ratios(weight, mask, RatioLevel.token),
        importance_capped_fraction=mean_over_ratios(capped, mask, RatioLevel.token),
    )
