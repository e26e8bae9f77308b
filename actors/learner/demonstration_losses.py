"""What a micro-batch of demonstrations adds to a supervised step's loss."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from actors.learner.stats import DemonstrationStats
from museg.policy.logprobs import CompletionLogprobs
from museg.sft.demonstrations import Demonstration
from museg.sft.loss import supervised_loss


def demonstration_losses(
    demonstrations: Sequence[Demonstration], policy: Sequence[CompletionLogprobs]
) -> tuple[torch.Tensor, list[DemonstrationStats]]:
    """The demonstrations' summed losses, differentiable, and the statistics of each under the current weights."""
    losses = [supervised_loss(scored.logprobs, scored.mask) for scored in policy]
    entropies = [scored.entropies.mean() for scored in policy]
    # One tensor, one transfer: on CUDA every separate read would wait for the device.
    values = torch.stack([torch.stack(losses).detach(), torch.stack(entropies)]).tolist()
    stats = [
        DemonstrationStats(loss=loss, entropy=entropy, num_tokens=len(demonstration.target_ids))
        for demonstration, loss, entropy in zip(demonstrations, *values, strict=True)
    ]
    return torch.stack(losses).sum(), stats
