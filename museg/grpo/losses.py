"""The GRPO loss of one group. Letters for shapes: G completions, C tokens of the longest completion."""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass(frozen=True, slots=True, kw_only=True)
class GRPOLoss:
    """A group's loss and, detached, what it is made of; all are scalars."""

    loss: torch.Tensor
    """`policy + kl_beta * kl`, differentiable."""
    policy: torch.Tensor
    """The policy-gradient term; its value is minus the mean advantage."""
    kl: torch.Tensor
    """Estimated KL divergence from the reference in nats a token; zero without a reference."""


def grpo_loss(
    *,
    logprobs: torch.Tensor,
    mask: torch.Tensor,
    advantages: torch.Tensor,
    kl_beta: float,
    reference_logprobs: torch.Tensor | None,
) -> GRPOLoss:
    """Loss whose gradient is GRPO's for one update per rollout.

    A token's policy term is `-ratio · advantage` with `ratio = exp(lp - lp.detach())`: one in value, the policy's score
    in gradient. With a single update a rollout the ratio never leaves one, so nothing is clipped. Sources: DeepSeekMath
    (arXiv 2402.03300) equation 3, mean over a sequence's tokens, then over sequences; KL: equation 4 (k3).

    Args:
        logprobs: of the sampled tokens, `[G, C]`.
        mask: bool `[G, C]`, true at tokens; every completion has at least one.
        advantages: `[G]`.
        kl_beta: weight of the KL term.
        reference_logprobs: of the same tokens under the starting policy, `[G, C]`; None leaves the KL term out.
    """
    ratio = (logprobs - logprobs.detach()).exp()
    policy = mean_over_sequences(-ratio * advantages.unsqueeze(1), mask)
    if reference_logprobs is None:
        return GRPOLoss(loss=policy, policy=policy.detach(), kl=torch.zeros_like(policy.detach()))
    kl = mean_over_sequences(kl_per_token(logprobs, reference_logprobs), mask)
    return GRPOLoss(loss=policy + kl_beta * kl, policy=policy.detach(), kl=kl.detach())


def kl_per_token(logprobs: torch.Tensor, reference_logprobs: torch.Tensor) -> torch.Tensor:
    """Estimate `r - 1 - log r` of KL(policy ‖ reference), with `r = reference / policy` at the sampled token.

    Unbiased for samples of the policy and never negative. Source: Schulman, "Approximating KL Divergence" (2020), k3.
    """
    log_ratio = reference_logprobs - logprobs
    return log_ratio.expm1() - log_ratio


def mean_over_sequences(values: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Mean of `values` `[G, C]` over each sequence's tokens, then over sequences; what padding holds doesn't count."""
    return (values.masked_fill(~mask, 0.0).sum(dim=1) / mask.sum(dim=1)).mean()
