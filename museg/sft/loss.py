"""The supervised loss."""

from __future__ import annotations

import torch


def supervised_loss(logprobs: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Mean negative log-probability over each target's tokens, then over targets: a scalar in nats, differentiable.

    So a short answer weighs as much as a long one, as completions do in GRPO's loss.

    Args:
        logprobs: of the targets' tokens at temperature 1, `[B, C]`.
        mask: bool `[B, C]`, true at tokens; every target has at least one.
    """
    return -(logprobs.masked_fill(~mask, 0.0).sum(dim=1) / mask.sum(dim=1)).mean()
