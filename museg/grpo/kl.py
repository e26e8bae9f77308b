"""Estimators of KL(policy ‖ reference) from the policy's own samples."""

from __future__ import annotations

import torch

from museg.config.choices import KLEstimator


def kl_per_token(
    logprobs: torch.Tensor, reference_logprobs: torch.Tensor, estimator: KLEstimator = KLEstimator.k3
) -> torch.Tensor:
    """Estimate of the divergence at each sampled token in nats, differentiable, of the arguments' shape.

    With `r = reference / policy` at the token: k1 is `-log r`, unbiased, often negative, and as a loss its expected
    gradient is zero; k2 is `(log r)² / 2`, never negative, and its expected gradient is the divergence's; k3 is
    `r - 1 - log r`, unbiased and never negative, the one of GRPO (arXiv 2402.03300, equation 4).
    Source: Schulman, "Approximating KL Divergence" (2020).

    Raises:
        ValueError: the estimator is `none`.
    """
    log_ratio = reference_logprobs - logprobs
    match estimator:
        case KLEstimator.k1:
            return -log_ratio
        case KLEstimator.k2:
            return log_ratio.square() / 2
        case KLEstimator.k3:
            return log_ratio.expm1() - log_ratio
        case KLEstimator.none:
            raise ValueError("no divergence is estimated by KLEstimator.none")
