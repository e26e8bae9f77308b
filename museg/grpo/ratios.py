"""Ratios between two policies at sampled tokens. Letters for shapes: G completions, C tokens of the longest."""

from __future__ import annotations

import torch

from museg.config.choices import RatioLevel


def policy_ratio(
    logprobs: torch.Tensor, old_logprobs: torch.Tensor, mask: torch.Tensor, level: RatioLevel
) -> torch.Tensor:
    """New over old policy at each token, `[G, C]`, differentiable; at level `sequence` all tokens share one.

    A sequence's is the geometric mean of its tokens', `exp(mean log ratio)`: GSPO (arXiv 2507.18071) equation 7.
    """
    log_ratio = logprobs - old_logprobs
    if level is RatioLevel.sequence:
        total = log_ratio.masked_fill(~mask, 0.0).sum(dim=1, keepdim=True)
        log_ratio = (total / mask.sum(dim=1, keepdim=True)).expand_as(mask)
    return log_ratio.exp()


def clipped_objective(
    ratio: torch.Tensor, advantages: torch.Tensor, low: float | None, high: float | None
) -> torch.Tensor:
    """`min(ratio · A, clip(ratio, 1 - low, 1 + high) · A)` with `ratio` `[G, C]` and `advantages` `[G, 1]`.

    Without bounds it is `ratio · A`. Source: PPO (arXiv 1707.06347) equation 7, with two bounds as in DAPO
    (arXiv 2503.14476) equation 8.
    """
    if low is None or high is None:
        return ratio * advantages
    return torch.minimum(ratio * advantages, ratio.clamp(1 - low, 1 + high) * advantages)


def held_back(ratio: torch.Tensor, advantages: torch.Tensor, low: float | None, high: float | None) -> torch.Tensor:
    """Bool `[G, C]`, true where the clipped side of `clipped_objective` is the smaller one: no gradient flows there."""
    if low is None or high is None:
        return torch.zeros_like(ratio, dtype=torch.bool)
    return ((ratio > 1 + high) & (advantages > 0)) | ((ratio < 1 - low) & (advantages < 0))


def importance_weights(
    old_logprobs: torch.Tensor, engine_logprobs: torch.Tensor | None, cap: float | None
) -> torch.Tensor:
    """`min(learner's / engine's probability, cap)` of each sampled token, `[G, C]`, without gradient; ones uncapped.

    It mends that learner and engine compute the same weights' distribution differently. Source: Yao et al., "Your
    Efficient RL Framework Secretly Brings You Off-Policy RL Training" (2025), truncated importance sampling.

    Raises:
        ValueError: there is a cap and nothing to compare with.
    """
    if cap is None:
        return torch.ones_like(old_logprobs)
    if engine_logprobs is None:
        raise ValueError("an importance cap needs the engine's logprobs")
    return (old_logprobs - engine_logprobs).exp().clamp(max=cap).detach()
