"""Figures of one group's forward, read from the device at once."""

from __future__ import annotations

import torch

from actors.learner.stats import GroupStats, LogprobGap
from museg.grpo.losses import GRPOLoss
from museg.policy.logprobs import CompletionLogprobs
from museg.rollout.completions import Group


def group_stats(group: Group, loss: GRPOLoss, policy: CompletionLogprobs) -> GroupStats:
    """Statistics of a group from its loss and its logprobs under the current weights."""
    gaps = (policy.logprobs.detach() - _engine_logprobs(group, policy.logprobs)).abs().masked_fill(~policy.mask, 0.0)
    lengths = policy.mask.sum(dim=1)
    num_completions, num_tokens = len(group.completions), sum(len(c.token_ids) for c in group.completions)
    # One tensor, one transfer: on CUDA every separate read would wait for the device.
    figures = torch.cat(
        [
            torch.stack([loss.loss.detach(), loss.kl, policy.entropies.sum() / num_tokens, gaps.sum() / num_tokens]),
            gaps.sum(dim=1) / lengths,
            gaps.amax(dim=1),
        ]
    ).tolist()
    (value, kl, entropy, gap_mean), of_completions = figures[:4], figures[4:]
    means, maxima = of_completions[:num_completions], of_completions[num_completions:]
    return GroupStats(
        loss=value,
        kl=kl,
        entropy=entropy,
        clip_fraction=0.0,
        logprob_gap_mean=gap_mean,
        logprob_gap_max=max(maxima),
        completion_gaps=tuple(LogprobGap(mean=mean, max=maximum) for mean, maximum in zip(means, maxima, strict=True)),
        num_tokens=num_tokens,
    )


def _engine_logprobs(group: Group, like: torch.Tensor) -> torch.Tensor:
    """The engine's logprobs `[G, C]`, zeros at padding."""
    rows = [torch.tensor(completion.logprobs) for completion in group.completions]
    return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True).to(like)
